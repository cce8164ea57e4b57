//! `[device]`: what is configured of device keys.

use std::collections::BTreeMap;

use serde::Deserialize;
use toml::Spanned;

use super::{Count, Issuer, Seconds};

/// `[device]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Device {
    /// Whose bearer tokens count.
    pub issuer: Vec<Issuer>,
    /// The claim that says what a token is for: a text with spaces, or an array of texts.
    #[serde(default = "scope")]
    pub abilities: String,
    /// How old a signed request may be, at most 60 s.
    #[serde(default = "Seconds::<5>::get")]
    pub window_secs: Seconds<5>,
    /// How many devices a subject may have.
    #[serde(default = "Count::<8>::get")]
    pub max_devices: Count<8>,
    /// Which device a session may begin to belong to.
    #[serde(default)]
    pub new_sessions: NewSessions,
    /// What the headers of a proof are called.
    #[serde(default)]
    pub headers: DeviceHeaders,
    /// The profile of a client that is in none; without it, everything is required of it.
    pub default_profile: Option<String>,
    /// Profiles of clients.
    #[serde(default)]
    pub profile: BTreeMap<String, Spanned<DeviceProfile>>,
    /// Client applications.
    #[serde(default)]
    pub client: BTreeMap<String, DeviceClient>,
    /// What attacks lead to.
    #[serde(default)]
    pub threat: DeviceThreat,
}

impl Device {
    /// What is allowed, and an operator should know of: each, and what to do about it.
    pub fn warnings(&self) -> Vec<(&'static str, &'static str)> {
        let mut warnings = Vec::new();
        if self.profile.get("mobile").is_some_and(|mobile| mobile.get_ref().require != Require::All) {
            warnings.push((
                "the profile `mobile` does not require every request to be signed: a stolen token is enough for the others",
                "take `require` out of [device.profile.mobile]",
            ));
        }
        if self.threat.replay != Reaction::Report {
            warnings.push((
                "whoever captures a request and sends it again has its device turned away",
                "leave `replay` of [device.threat] at \"report\", unless that is what is wanted",
            ));
        }
        if self.threat.signature != Reaction::Report {
            warnings.push((
                "whoever steals a token and sends bad signatures with it has its device turned away",
                "leave `signature` of [device.threat] at \"report\", unless that is what is wanted",
            ));
        }
        warnings
    }
}

fn scope() -> String {
    "scope".to_owned()
}

/// Which device a session may begin to belong to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NewSessions {
    /// To the first of its subject's that signs a request in it, or is enrolled in it.
    #[default]
    EnrolledDevices,
    /// To the one that is enrolled in it.
    Enroll,
}

/// `[device.headers]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DeviceHeaders {
    /// Which device.
    pub device_id: Spanned<String>,
    /// When.
    pub timestamp: Spanned<String>,
    /// What makes it different from any other.
    pub nonce: Spanned<String>,
    /// The signature.
    pub signature: Spanned<String>,
}

impl Default for DeviceHeaders {
    fn default() -> Self {
        let name = |name: &str| Spanned::new(0..0, name.to_owned());
        let (device_id, timestamp) = (name("x-device-id"), name("x-pop-timestamp"));
        Self { device_id, timestamp, nonce: name("x-pop-nonce"), signature: name("x-pop-signature") }
    }
}

impl DeviceHeaders {
    /// All of them.
    pub fn all(&self) -> [&Spanned<String>; 4] {
        [&self.device_id, &self.timestamp, &self.nonce, &self.signature]
    }
}

/// `[device.profile.NAME]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeviceProfile {
    /// The client applications that it is of.
    #[serde(default)]
    pub clients: Vec<String>,
    /// Which of their requests have to be signed.
    #[serde(default)]
    pub require: Require,
}

/// Which requests have to be signed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Require {
    /// All.
    #[default]
    All,
    /// Those that could change something.
    Mutating,
    /// None.
    None,
}

/// `[device.client.NAME]`
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeviceClient {
    /// Whether it is welcome.
    pub status: Status,
}

/// Whether a client application is welcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// It is.
    Active,
    /// Not for now.
    Suspended,
    /// It is not.
    Banned,
}

/// `[device.threat]`
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DeviceThreat {
    /// What a replayed request leads to, for the device that has signed it.
    pub replay: Reaction,
    /// How many failed signatures in the name of a device lead to `signature`.
    pub signature_failures: Count<5>,
    /// What that many lead to.
    pub signature: Reaction,
    /// How long a suspension lasts.
    pub suspend_secs: Seconds<3600>,
    /// How long it takes until one failed signature is forgiven.
    pub forgive_secs: Seconds<60>,
}

impl Default for DeviceThreat {
    fn default() -> Self {
        Self {
            replay: Reaction::Report,
            signature_failures: Count::get(),
            signature: Reaction::Report,
            suspend_secs: Seconds::get(),
            forgive_secs: Seconds::get(),
        }
    }
}

/// What an attack leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reaction {
    /// To its denial, and its receipt.
    Report,
    /// The device is suspended.
    Suspend,
    /// The device is banned.
    Ban,
}
