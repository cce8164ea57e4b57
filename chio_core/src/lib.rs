//! Formats and cryptography of Chio, an agent capability kernel.
//!
//! This crate is pure: no clock, no I/O, no threads, no global state. It reads and writes the signed
//! documents of the protocol and checks their signatures; whether a document may be *used* is for
//! `chio_kernel` to say. An agent that only signs calls needs nothing but this crate.
//!
//! The modules stand in reading order; each imports only from those above it.
//! Everything read here is *unverified*: it may be printed, it may not be relied on.

pub mod error;

pub mod canonical;

pub mod digest;

pub mod time;

pub mod crypto;

pub mod capability;

pub mod dpop;

pub mod receipt;
