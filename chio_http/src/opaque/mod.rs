//! Sessions that a password opens and a MAC proves: OPAQUE (RFC 9807) where one logs in, HMAC-SHA256 for every request. The
//! server has no password, nothing that a password could be guessed by without its setup, and no bearer token.

mod suite;

pub mod setup;

pub mod user;

mod values;

pub mod accounts;

pub mod sessions;

pub mod proof;

pub mod scheme;

mod limits;

pub mod rules;

pub mod desk;

pub mod client;

pub use self::accounts::{Accounts, Invitation};
pub use self::client::{ClientSession, Stretch};
pub use self::desk::SessionDesk;
pub use self::rules::{DeskRules, Registration};
pub use self::scheme::SessionMac;
pub use self::sessions::Sessions;
pub use self::setup::Setup;
pub use self::user::User;
