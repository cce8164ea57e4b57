//! Receipts from a file, one after the other, verified as they go by.

use std::io::{BufRead as _, BufReader, Read};

use chio_audit::{ChainReport, ChainVerifier};
use chio_core::crypto::PublicKey;
use chio_core::receipt::{MAX_RECEIPT_BYTES, Receipt};

use crate::exit::Failure;
use crate::files;
use crate::source::{self, Source};

const WHAT: &str = "the receipts";

/// Receipts that are read.
pub(in crate::commands) struct Stream<'a> {
    source: &'a Source,
    reader: BufReader<Box<dyn Read>>,
    line: Vec<u8>,
    number: u64,
    /// None: nothing is verified.
    verifier: Option<ChainVerifier>,
    help: &'static str,
}

/// A line of the file.
pub(in crate::commands) enum Line {
    Receipt(Box<Receipt>),
    /// No receipt; told only where nothing is verified.
    Unreadable(u64),
}

impl<'a> Stream<'a> {
    /// A stream that ends at the first fault of the chain of `kernel`.
    pub(in crate::commands) fn verified(source: &'a Source, kernel: Option<&str>) -> Result<Self, Failure> {
        source::read_once([source.is_standard_input(), kernel == Some("-")])?;
        let kernel: Option<PublicKey> = kernel.map(files::read_public_key).transpose()?;
        let help = "do not rely on these receipts; compare them with another copy";
        Self::new(source, Some(ChainVerifier::new(kernel)), help)
    }

    /// A stream of whatever receipts there are.
    pub(in crate::commands) fn unverified(source: &'a Source) -> Result<Self, Failure> {
        Self::new(source, None, "is it the right file?")
    }

    fn new(source: &'a Source, verifier: Option<ChainVerifier>, help: &'static str) -> Result<Self, Failure> {
        let reader = BufReader::new(source.open(WHAT)?);
        Ok(Self { source, reader, line: Vec::new(), number: 0, verifier, help })
    }

    /// What is said where a fault keeps the receipts from being shown.
    pub(in crate::commands) fn or_else(mut self, help: &'static str) -> Self {
        self.help = help;
        self
    }

    /// The next line; none at the end.
    pub(in crate::commands) fn next(&mut self) -> Result<Option<Line>, Failure> {
        self.line.clear();
        self.number = self.number.saturating_add(1);
        let most = u64::try_from(MAX_RECEIPT_BYTES).unwrap_or(u64::MAX).saturating_add(2);
        let read = self.reader.by_ref().take(most).read_until(b'\n', &mut self.line);
        if read.map_err(|error| self.source.failure(WHAT, &error))? == 0 {
            return Ok(None);
        }
        if self.line.last() == Some(&b'\n') {
            self.line.pop();
        } else if self.verifier.is_none() && self.line.len() > MAX_RECEIPT_BYTES {
            // The rest of a line that is too long is not a line of its own.
            let _ = self.reader.skip_until(b'\n');
        }
        let wrong = |what: &dyn std::fmt::Display| {
            Failure::new(format!("{WHAT} {}, line {}: {what}", self.source, self.number), self.help)
        };
        let receipt = match (Receipt::parse(&self.line), &mut self.verifier) {
            (Ok(receipt), Some(verifier)) => {
                verifier.push(&receipt).map(|()| receipt).map_err(|fault| wrong(&fault))?
            }
            (Ok(receipt), None) => receipt,
            (Err(error), Some(_)) => return Err(wrong(&error)),
            (Err(_), None) => return Ok(Some(Line::Unreadable(self.number))),
        };
        Ok(Some(Line::Receipt(Box::new(receipt))))
    }

    /// What the chain contains, if it was verified.
    pub(in crate::commands) fn finish(self) -> Result<Option<ChainReport>, Failure> {
        if self.number <= 1 {
            return Err(Failure::new(format!("{WHAT} {}: there are none", self.source), "was it written to the end?"));
        }
        Ok(self.verifier.map(ChainVerifier::finish))
    }
}
