//! Device keys: the bearer tokens of any identity provider, made worthless without the key of an enrolled device.
//!
//! A request goes through six stages, each with its own answer: its token ([`token`]), its device ([`book`]), its proof of
//! possession ([`possession`]), its client application ([`status`]), what the token allows ([`token::BearerToken::has`]),
//! and the kernel, which asks for standings and replays and keeps the receipts. The seam of them is [`scheme`].

pub mod token;

pub mod record;

pub mod possession;

pub mod profile;

pub mod status;

pub mod book;

pub mod scheme;

pub mod enroll;

pub mod client;

pub use self::book::{DeviceBook, NewSessions, SessionRules};
pub use self::client::{DeviceClient, DeviceTransport};
pub use self::enroll::EnrollmentDesk;
pub use self::possession::HeaderNames;
pub use self::profile::{Profile, Profiles, Require};
pub use self::scheme::{DeviceRules, DeviceScheme, DeviceThreat};
pub use self::status::{ClientStatus, Clients};
pub use self::token::{BearerToken, BearerTokens};
