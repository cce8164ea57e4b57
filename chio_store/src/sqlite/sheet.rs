//! A sheet: the nonces of one group, in one row. They are only ever read all together, at the start, and a row for each would
//! take as long to write as all else.

use chio_core::digest::Digest;
use chio_kernel::store::NonceClaim;

/// The bytes of a nonce: the digests of it and of its account, and the second until which it counts, big end first.
pub(super) const NONCE: usize = 32 + 32 + 8;

/// The most bytes of a sheet. What a caller puts in by hand can be more than one.
const MOST: usize = 900 * NONCE;

/// What a group has spent so far.
#[derive(Debug, Default)]
pub(super) struct Sheet {
    pub(super) bytes: Vec<u8>,
    /// The last second at which one of them counts.
    pub(super) until: u64,
}

impl Sheet {
    pub(super) fn add(&mut self, key: Digest, account: Digest, until: u64) {
        self.bytes.extend_from_slice(&key.0);
        self.bytes.extend_from_slice(&account.0);
        self.bytes.extend_from_slice(&until.to_be_bytes());
        self.until = self.until.max(until);
    }

    pub(super) fn is_full(&self) -> bool {
        self.bytes.len() >= MOST
    }

    pub(super) fn clear(&mut self) {
        self.bytes.clear();
        self.until = 0;
    }
}

/// The nonces of a sheet; nothing where it is none.
pub(super) fn nonces(sheet: &[u8]) -> Option<impl Iterator<Item = NonceClaim>> {
    let (nonces, rest) = sheet.as_chunks::<NONCE>();
    let nonce = |nonce: &[u8; NONCE]| {
        let (key, rest) = nonce.split_first_chunk()?;
        let (account, until) = rest.split_first_chunk()?;
        let until = u64::from_be_bytes(*until.first_chunk()?);
        Some(NonceClaim { key: Digest(*key), account: Digest(*account), now: 0, until })
    };
    rest.is_empty().then(|| nonces.iter().filter_map(nonce))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_and_nothing_else_is() {
        let mut sheet = Sheet::default();
        let of = |number: u8| (Digest([number; 32]), Digest([number + 1; 32]), u64::from(number) << 40);
        for number in [7, 9, 8] {
            let (key, account, until) = of(number);
            sheet.add(key, account, until);
        }
        assert_eq!((sheet.bytes.len(), sheet.until), (3 * NONCE, 9 << 40));
        let read: Vec<_> = nonces(&sheet.bytes).unwrap().map(|nonce| (nonce.key, nonce.account, nonce.until)).collect();
        assert_eq!(read, [of(7), of(9), of(8)]);
        assert!(nonces(sheet.bytes.get(1..).unwrap()).is_none(), "a part of a nonce is none");
        sheet.clear();
        assert_eq!((sheet.bytes.len(), sheet.until), (0, 0));
    }
}
