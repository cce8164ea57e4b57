//! Decisions drawn from a fuzzer's bytes, first byte first.

/// Bytes to draw from. Where they have run out, every draw is 0.
pub struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        *first
    }

    /// A number below `end`; 0 where there is none.
    pub fn below(&mut self, end: usize) -> usize {
        let drawn =
            if end > 256 { usize::from(self.byte()) << 8 | usize::from(self.byte()) } else { self.byte().into() };
        drawn.checked_rem(end).unwrap_or_default()
    }

    /// A number of any size, small ones often.
    pub fn number(&mut self) -> u64 {
        let bits = u32::from(self.byte()) % 65;
        let drawn = (0..bits.div_ceil(8)).fold(0, |drawn, _| drawn << 8 | u64::from(self.byte()));
        if bits < 64 { drawn & ((1 << bits) - 1) } else { drawn }
    }

    /// The next bytes, at most that many.
    pub fn take(&mut self, most: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(most.min(self.0.len()));
        self.0 = rest;
        taken
    }

    pub fn choose<'t, T>(&mut self, of: &'t [T]) -> &'t T {
        &of[self.below(of.len())]
    }
}
