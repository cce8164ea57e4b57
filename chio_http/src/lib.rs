//! Chio for HTTP: the same kernel before an HTTP API.
//!
//! [`gateway`] is a reverse proxy. What may pass through it is not its affair: a guard, a layer around [`gateway::Proxy`],
//! decides, and says who calls by a [`Caller`] in the request.

mod body;

mod caller;

mod client_certificate;

pub mod gateway;

pub use self::body::{Body, BodyError};
pub use self::caller::Caller;
pub use self::client_certificate::ClientCertificate;
