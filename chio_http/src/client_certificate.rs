//! The certificate that a client has shown.

use rustls::pki_types::CertificateDer;

/// The certificate that the client of a connection has proven to be its own in the TLS handshake. The listener puts it into
/// the extensions of each request of the connection; no header is ever read for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientCertificate {
    /// As it was sent.
    pub der: CertificateDer<'static>,
}
