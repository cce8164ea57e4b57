//! Chio before any HTTP API: proofs of possession over HTTP as schemes of the kernel, in a tower layer.
//!
//! The modules, in reading order; each imports only from those above it. What is normative stands in `docs/http.md`.

pub mod deadline;

mod body;

mod caller;

mod decided;

mod problem;

mod json;

mod authorization;

mod client_certificate;

pub mod target;

pub mod origin;

pub mod route;

pub mod jwk;

pub mod jws;

mod claims;

pub mod dpop;

pub mod client;

pub mod keys;

pub mod issuer;

pub mod access_token;

pub mod server_nonce;

pub mod failure;

pub mod signed_request;

pub mod response_key;

pub mod rollout;

pub mod sealed;

pub mod scheme;

pub mod rfc9449;

pub mod ekey;

pub mod device;

mod denied;

pub mod audit;

pub mod opaque;

mod shape;

mod outcome;

mod room;

pub mod guard;

pub mod layer;

pub mod gateway;

pub use self::body::{Body, BodyError};
pub use self::caller::Caller;
pub use self::client_certificate::ClientCertificate;
pub use self::decided::Decided;
pub use self::guard::{GuardOptions, GuardedService, HttpGuard};
pub use self::layer::{GuardLayer, Guarded};
pub use self::rfc9449::Rfc9449;
