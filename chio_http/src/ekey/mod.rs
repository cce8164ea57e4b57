//! E-Key: tokens that live for seconds, name what they are for, and are bound to a key or to a certificate.

pub mod token;

pub mod scheme;

pub mod issue;

pub mod client;

pub use self::client::{EKeySession, Transport};
pub use self::issue::{EKeyIssuer, IssuerClient};
pub use self::scheme::{EKey, EKeyRules};
pub use self::token::EKeyToken;
