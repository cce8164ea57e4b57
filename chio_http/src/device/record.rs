//! A device, as it is remembered.

use std::fmt;

use chio_core::canonical::{self, Json, Limits};
use chio_core::digest::Digest;

use super::token::owner;
use crate::jwk::{Jwk, Thumbprint, public_jwk};

/// What the kernel calls the scheme, before the principals of its devices.
pub const SCHEME: &str = "device";

/// How long the name of a device may be, in bytes.
pub const MAX_NAME_BYTES: usize = 64;

/// The id of a device: what it is follows from whose it is and from its key, so that nobody can take another's, and a key
/// that is enrolled again is the device that it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct DeviceId(pub Digest);

impl DeviceId {
    /// The id of a subject's key.
    pub fn of(issuer: &str, subject: &str, key: Thumbprint) -> Self {
        let parts: [&[u8]; 4] = [b"chio-device", issuer.as_bytes(), subject.as_bytes(), key.0.as_bytes()];
        Self(Digest::of_parts(&parts))
    }

    /// Reads an id. There is one text of each.
    pub fn parse(text: &str) -> Option<Self> {
        Thumbprint::parse(text).map(|digest| Self(digest.0))
    }

    /// What the kernel calls it: by this it is suspended and banned.
    pub fn principal(self) -> String {
        format!("scheme:{SCHEME}:{self}")
    }
}

impl fmt::Display for DeviceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Thumbprint(self.0).fmt(f)
    }
}

/// A device that has enrolled. Nothing of it ever changes.
#[derive(Clone, Debug)]
pub struct Device {
    /// Its id.
    pub id: DeviceId,
    /// The issuer of its subject.
    pub issuer: String,
    /// Whose it is.
    pub subject: String,
    /// The client application that has enrolled it.
    pub client: Option<String>,
    /// What its owner calls it.
    pub name: Option<String>,
    /// When it was enrolled.
    pub enrolled_at: u64,
    /// Its key.
    pub key: Jwk,
}

impl Device {
    /// Whose it is, as a digest.
    pub fn owner(&self) -> Digest {
        owner(&self.issuer, &self.subject)
    }

    /// What a store keeps of it.
    pub fn to_bytes(&self) -> Vec<u8> {
        let jwk = self.key.public_key().map(public_jwk).unwrap_or_default();
        let jwk: serde_json::Value = serde_json::from_str(&jwk).unwrap_or_default();
        let value = serde_json::json!({
            "at": self.enrolled_at, "client": self.client, "iss": self.issuer, "jwk": jwk, "name": self.name,
            "sub": self.subject, "v": 1,
        });
        value.to_string().into_bytes()
    }

    /// Reads what a store has kept.
    /// None where it is not the device of that id: what a store gives back is not believed.
    pub fn from_bytes(id: DeviceId, bytes: &[u8]) -> Option<Self> {
        let json = canonical::parse(bytes, Limits { bytes: 4096, depth: 4 }).ok()?;
        let object = json.as_object()?;
        let text = |name: &str| object.get(name).and_then(Json::as_str).map(str::to_owned);
        let number = |name: &str| match object.get(name) {
            Some(Json::Number(number)) => number.to_integer().and_then(|number| u64::try_from(number).ok()),
            _ => None,
        };
        if number("v") != Some(1) {
            return None;
        }
        let device = Self {
            id,
            issuer: text("iss")?,
            subject: text("sub")?,
            client: text("client"),
            name: text("name"),
            enrolled_at: number("at")?,
            key: Jwk::from_json(object.get("jwk")?).ok()?,
        };
        (DeviceId::of(&device.issuer, &device.subject, device.key.thumbprint()) == id).then_some(device)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chio_core::crypto::{Algorithm, Keypair};

    #[test]
    fn a_device_is_what_its_id_says() {
        let key = Jwk::of(&Keypair::generate_for(Algorithm::P256).unwrap().public_key()).unwrap();
        let id = DeviceId::of("iss", "alice", key.thumbprint());
        assert_eq!(DeviceId::parse(&id.to_string()), Some(id));
        assert_ne!(DeviceId::of("iss", "bob", key.thumbprint()), id);
        assert_ne!(DeviceId::of("issa", "lice", key.thumbprint()), id);
        let (issuer, subject) = ("iss".to_owned(), "alice".to_owned());
        let device = Device { id, issuer, subject, client: None, name: Some("phone".into()), enrolled_at: 7, key };
        let bytes = device.to_bytes();
        let read = Device::from_bytes(id, &bytes).unwrap();
        assert_eq!(
            (&*read.subject, read.name.as_deref(), read.client, read.enrolled_at),
            ("alice", Some("phone"), None, 7)
        );
        assert_eq!(read.key.thumbprint(), device.key.thumbprint());
        let text = String::from_utf8(bytes).unwrap();
        assert!(Device::from_bytes(id, text.replace("alice", "mallory").as_bytes()).is_none());
        assert!(Device::from_bytes(DeviceId(Digest([0; 32])), text.as_bytes()).is_none());
        assert!(Device::from_bytes(id, text.replace("\"v\":1", "\"v\":2").as_bytes()).is_none());
    }
}
