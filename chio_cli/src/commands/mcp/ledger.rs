//! The receipts of a guard, in a file.

use std::fs::{File, OpenOptions};
use std::future::ready;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use chio_audit::ChainVerifier;
use chio_core::crypto::Keypair;
use chio_core::receipt::{ChainHead, Receipt};
use chio_kernel::store::{BoxFuture, KernelError, ReceiptStore, Seal};

use crate::exit::Failure;

/// Receipts as JSON Lines, appended as they are made. They are handed to the operating system one by one; what it has not
/// written to the disk yet is lost with the machine, and a receipt that is cut off by that is found when it is read.
pub(super) struct ReceiptFile {
    inner: Mutex<Inner>,
}

struct Inner {
    file: File,
    head: Option<ChainHead>,
    /// A line may be half written: nothing more is added to it.
    is_broken: bool,
}

impl ReceiptFile {
    /// Opens a file, or makes it. What is there already is verified.
    pub(super) fn open(path: &Path, kernel: Option<&Keypair>) -> Result<Self, Failure> {
        let name = format!("the receipts `{}`", path.display());
        let unwritten = |error: &std::io::Error| {
            Failure::new(format!("{name} cannot be written: {error}"), "name a file where you may write")
        };
        let file = OpenOptions::new().read(true).append(true).create(true).open(path);
        let file = file.map_err(|error| unwritten(&error))?;
        #[cfg(target_os = "linux")]
        rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockExclusive).map_err(|_| {
            let help = "each guard has a file of its own: name another, or end the other guard";
            Failure::new(format!("{name} are those of another guard that is running"), help)
        })?;
        let mut verifier = ChainVerifier::new(kernel.map(Keypair::public_key));
        let mut head = None;
        for (number, line) in (1_u64..).zip(BufReader::new(&file).split(b'\n')) {
            let help = "keep this file as it is, and name a new one; `chio receipts verify` tells more";
            let line = line.map_err(|error| unwritten(&error))?;
            let wrong = |what: String| Failure::new(format!("{name}, line {number}: {what}"), help);
            if kernel.is_none() {
                let help = "name the key that signed them as --kernel-key, or name a new file";
                return Err(Failure::new(format!("{name} are not empty, and a new key would not follow"), help));
            }
            let receipt = Receipt::parse(&line).map_err(|error| wrong(error.to_string()))?;
            verifier.push(&receipt).map_err(|fault| wrong(fault.to_string()))?;
            head = Some(receipt);
        }
        let head = head.and(verifier.finish().head);
        Ok(Self { inner: Mutex::new(Inner { file, head, is_broken: false }) })
    }
}

impl ReceiptStore for ReceiptFile {
    fn append(&self, seal: Seal) -> BoxFuture<'_, Result<Receipt, KernelError>> {
        let failed = |what: &dyn std::fmt::Display| KernelError::new(format!("receipts: {what}"));
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let write = || {
            let Inner { file, head, is_broken } = &mut *inner;
            if *is_broken {
                return Err(KernelError::new("receipts: the file was not written to the end"));
            }
            let (receipt, next) = seal(*head).map_err(|error| failed(&error))?;
            let mut line = receipt.to_line().map_err(|error| failed(&error))?;
            line.push(b'\n');
            let before = file.metadata().map_err(|error| failed(&error))?.len();
            if let Err(error) = file.write_all(&line) {
                // What was written of the line is taken back; where even that fails, nothing is added any more.
                *is_broken = file.set_len(before).is_err();
                return Err(failed(&error));
            }
            *head = Some(next);
            Ok(receipt)
        };
        Box::pin(ready(write()))
    }
}
