//! Chio before any HTTP API: proofs of possession over HTTP as schemes of the kernel, in a tower layer.
//!
//! The modules, in reading order; each imports only from those above it. What is normative stands in `docs/http.md`.

pub mod target;

pub mod origin;

pub mod route;

pub mod jwk;

pub mod jws;

mod claims;

pub mod dpop;

mod body;

mod caller;

mod client_certificate;

pub use self::body::{Body, BodyError};
pub use self::caller::Caller;
pub use self::client_certificate::ClientCertificate;
