//! Formats and cryptography of Chio, an agent capability kernel.
//!
//! This crate is pure: no clock, no I/O, no threads, no global state. It reads and writes the signed
//! documents of the protocol and checks their signatures; whether a document may be *used* is for
//! `chio_kernel` to say. An agent that only signs calls needs nothing but this crate.
//!
//! The modules, in reading order; each imports only from those above it:
//!
//! 1. [`error`]: what is wrong with a text, and where.
//! 2. [`canonical`]: strict JSON in, RFC 8785 bytes out.
//! 3. [`digest`]: SHA-256 digests, and the arguments of a call with theirs.
//! 4. [`time`]: whole Unix seconds, and windows of them.
//! 5. [`crypto`]: public keys, signatures, signing keys.
//! 6. [`capability`]: tokens, grants, argument constraints, chains.
//! 7. [`dpop`]: the proof of possession that accompanies a call.
//! 8. [`receipt`]: the kernel's signed record of what it decided.
//!
//! Everything read here is *unverified*: it may be printed, it may not be relied on.

pub mod error;

pub mod canonical;

pub mod digest;

pub mod time;

pub mod crypto;

pub mod capability;

pub mod dpop;

pub mod receipt;
