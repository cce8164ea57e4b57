//! TLS, as a server.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::{RootCertStore, ServerConfig};

/// Whether clients show certificates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClientCertificates {
    /// They are not asked to.
    None,
    /// Those that have one that these authorities signed show it; one that they did not sign is refused.
    Optional(PathBuf),
    /// Nobody comes in without one.
    Required(PathBuf),
}

/// Why there is no TLS.
#[derive(Debug)]
pub struct NoTls {
    /// What is wrong.
    pub what: String,
    /// What to do about it.
    pub help: String,
}

impl fmt::Display for NoTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

impl std::error::Error for NoTls {}

/// A server with this certificate chain, and the private key of its first one as PEM.
/// Fails where one of them cannot be read, or they do not belong together.
pub fn server(chain: &Path, key_pem: &[u8], clients: &ClientCertificates) -> Result<Arc<ServerConfig>, NoTls> {
    let no_key = |_| NoTls {
        what: "the private key is no key in PEM".to_owned(),
        help: "a key starts with `-----BEGIN PRIVATE KEY-----`; one with a password has to be decrypted first"
            .to_owned(),
    };
    let key = PrivateKeyDer::from_pem_slice(key_pem).map_err(no_key)?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let other = |error: &dyn fmt::Display| NoTls {
        what: format!("TLS: {error}"),
        help: "the key must be that of the first certificate in the chain".to_owned(),
    };
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| other(&error))?;
    let verifier = |path: &Path| {
        let mut roots = RootCertStore::empty();
        for authority in certificates(path)? {
            roots.add(authority).map_err(|error| unread(path, &error))?;
        }
        Ok(WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider)))
    };
    let builder = match clients {
        ClientCertificates::None => builder.with_no_client_auth(),
        ClientCertificates::Optional(path) => builder.with_client_cert_verifier(
            verifier(path)?.allow_unauthenticated().build().map_err(|error| unread(path, &error))?,
        ),
        ClientCertificates::Required(path) => {
            builder.with_client_cert_verifier(verifier(path)?.build().map_err(|error| unread(path, &error))?)
        }
    };
    let mut config = builder.with_single_cert(certificates(chain)?, key).map_err(|error| other(&error))?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    if *clients != ClientCertificates::None {
        // A resumed session would have the certificate that its first handshake had, expired or not.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
    }
    Ok(Arc::new(config))
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, NoTls> {
    let read = CertificateDer::pem_file_iter(path).map_err(|error| unread(path, &error))?;
    let read: Vec<_> = read.collect::<Result<_, _>>().map_err(|error| unread(path, &error))?;
    if read.is_empty() {
        return Err(unread(path, &"there is none in it"));
    }
    Ok(read)
}

fn unread(path: &Path, error: &dyn fmt::Display) -> NoTls {
    NoTls {
        what: format!("the certificates `{}`: {error}", path.display()),
        help: "name a file of certificates in PEM, each beginning with `-----BEGIN CERTIFICATE-----`".to_owned(),
    }
}
