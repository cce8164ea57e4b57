//! A signing key of any algorithm, made at random or read from a PKCS#8 PEM text.

use zeroize::Zeroizing;

use super::{Algorithm, Ed25519Backend, P256Backend, P384Backend, PublicKey, Signature, SigningBackend};
#[cfg(feature = "os")]
use crate::error::FormatError;
use crate::error::SignError;

/// A signing key of any algorithm in memory. Zeroized when dropped; `Debug` shows the public key alone.
#[derive(Clone, Debug)]
pub enum Keypair {
    /// Ed25519.
    Ed25519(Ed25519Backend),
    /// P-256.
    P256(P256Backend),
    /// P-384.
    P384(P384Backend),
}

impl Keypair {
    /// The Ed25519 key of this seed. The seed is the whole secret: 32 bytes from a good random source.
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        Self::Ed25519(Ed25519Backend::from_seed(seed))
    }

    /// The public half.
    pub fn public_key(&self) -> PublicKey {
        self.backend().public_key()
    }

    fn backend(&self) -> &dyn SigningBackend {
        match self {
            Self::Ed25519(key) => key,
            Self::P256(key) => key,
            Self::P384(key) => key,
        }
    }
}

impl SigningBackend for Keypair {
    fn algorithm(&self) -> Algorithm {
        self.backend().algorithm()
    }

    fn public_key(&self) -> PublicKey {
        self.backend().public_key()
    }

    fn sign(&self, message: &[u8]) -> Result<Signature, SignError> {
        self.backend().sign(message)
    }
}

impl Keypair {
    /// A new Ed25519 key from the operating system's random source.
    pub fn generate() -> Result<Self, SignError> {
        Self::generate_for(Algorithm::Ed25519)
    }

    /// A new key of that algorithm from the operating system's random source.
    pub fn generate_for(algorithm: Algorithm) -> Result<Self, SignError> {
        // A random scalar is out of range about once in 2^32 times (P-256): then another is drawn.
        for _ in 0..8 {
            let key = match algorithm {
                Algorithm::Ed25519 => Some(Self::from_seed(&*random()?)),
                Algorithm::P256 => P256Backend::from_scalar(&*random()?).ok().map(Self::P256),
                Algorithm::P384 => P384Backend::from_scalar(&*random()?).ok().map(Self::P384),
            };
            if let Some(key) = key {
                return Ok(key);
            }
        }
        Err(no_randomness())
    }
}

/// 32 lower-case hex digits from the operating system's random source: a nonce, or the serial of a token.
/// Fails where it has no random bytes to give, and without the feature `os`.
pub fn random_hex() -> Result<String, SignError> {
    Ok(base16ct::lower::encode_string(&*random::<16>()?))
}

fn random<const N: usize>() -> Result<Zeroizing<[u8; N]>, SignError> {
    #[cfg_attr(not(feature = "os"), allow(unused_mut))]
    let mut bytes = Zeroizing::new([0; N]);
    #[cfg(feature = "os")]
    getrandom::fill(&mut *bytes).map_err(|_| no_randomness())?;
    if bytes.iter().all(|byte| *byte == 0) { Err(no_randomness()) } else { Ok(bytes) }
}

fn no_randomness() -> SignError {
    SignError::Backend("the operating system gave no random bytes".into())
}

#[cfg(feature = "os")]
impl Keypair {
    /// Reads a PKCS#8 PEM text (`-----BEGIN PRIVATE KEY-----`), as made by `chio keygen` or
    /// `openssl genpkey -algorithm ed25519`.
    /// Fails where the text is none, is encrypted, or holds a key of another algorithm. The text is not repeated.
    pub fn from_pkcs8_pem(pem: &str) -> Result<Self, FormatError> {
        if pem.contains("ENCRYPTED PRIVATE KEY") {
            return Err(FormatError::PrivateKey("it is encrypted; `openssl pkcs8` can decrypt it"));
        }
        if !pem.contains("-----BEGIN PRIVATE KEY-----") {
            return Err(FormatError::PrivateKey("no `-----BEGIN PRIVATE KEY-----` (PKCS#8 PEM) in it"));
        }
        Ed25519Backend::from_pem(pem)
            .map(Self::Ed25519)
            .or_else(|| P256Backend::from_pem(pem).map(Self::P256))
            .or_else(|| P384Backend::from_pem(pem).map(Self::P384))
            .ok_or(FormatError::PrivateKey("damaged, or of another algorithm than Ed25519, P-256 and P-384"))
    }

    /// This key as PKCS#8 PEM, which `openssl pkey` reads. The text is zeroized when dropped.
    /// Fails where the key cannot be encoded, which no key made here is known to do.
    pub fn to_pkcs8_pem(&self) -> Result<Zeroizing<String>, FormatError> {
        match self {
            Self::Ed25519(key) => key.to_pem(),
            Self::P256(key) => key.to_pem(),
            Self::P384(key) => key.to_pem(),
        }
        .ok_or(FormatError::PrivateKey("it cannot be encoded"))
    }
}

#[cfg(all(test, feature = "os"))]
mod tests {
    use super::*;

    #[test]
    fn keys_survive_pem_and_sign() {
        for algorithm in Algorithm::ALL.into_iter().take(if cfg!(miri) { 1 } else { 3 }) {
            let key = Keypair::generate_for(algorithm).unwrap();
            let read = Keypair::from_pkcs8_pem(&key.to_pkcs8_pem().unwrap()).unwrap();
            assert_eq!(read.public_key(), key.public_key());
            assert_eq!(key.public_key().to_string().parse(), Ok(key.public_key()));
            let signature: Signature = read.sign(b"message").unwrap().to_string().parse().unwrap();
            assert!(key.public_key().verify(b"message", &signature));
            assert!(!key.public_key().verify(b"massage", &signature));
            let debug = format!("{key:?}");
            assert!(debug.contains(&key.public_key().to_string()) && debug.len() < 260, "{debug}");
        }
    }

    #[test]
    fn what_is_random_differs() {
        let (one, other) = (random_hex().unwrap(), random_hex().unwrap());
        assert!(one != other && one.len() == 32 && one.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')));
        assert_ne!(Keypair::generate().unwrap().public_key(), Keypair::generate().unwrap().public_key());
    }
}
