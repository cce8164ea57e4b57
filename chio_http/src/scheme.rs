//! What a scheme is over HTTP, and the one bridge from all of them to the kernel.
//!
//! A scheme works in two steps. [`HttpScheme::open`] does whatever does not depend on the time and the body: it reads, it
//! verifies signatures, it may wait for an issuer's keys. [`Opened::claims`] is asked by the kernel, with the kernel's time.

use std::sync::OnceLock;

use chio_core::capability::Grant;
use chio_core::digest::Digest;
use chio_kernel::ToolCall;
use chio_kernel::clock::BoxFuture;
use chio_kernel::config::Mode;
use chio_kernel::denial::Denial;
use chio_kernel::scheme::{Claims, ProofScheme};
use hyper::HeaderMap;
use hyper::body::Bytes;
use hyper::header::HeaderName;

use crate::client_certificate::ClientCertificate;
use crate::dpop::ProofError;
use crate::failure::Failure;
use crate::origin::Origin;
use crate::response_key::ResponseKey;
use crate::route::Route;
use crate::target::Target;

/// A request, as a scheme sees it.
#[derive(Clone, Copy, Debug)]
pub struct Presented<'a> {
    /// Its method.
    pub method: &'a str,
    /// Where clients reach the service, by configuration.
    pub origin: &'a Origin,
    /// Its target.
    pub target: Target<'a>,
    /// What it asks for.
    pub route: &'a Route,
    /// The name of the tool server that the route is of.
    pub tool_server: &'a str,
    /// What stands in `Authorization` after the name of the scheme.
    pub token: &'a str,
    /// Its headers.
    pub headers: &'a HeaderMap,
    /// The certificate that the client has shown in the TLS handshake.
    pub certificate: Option<&'a ClientCertificate>,
    /// The key that its answer is to be sealed for, where it asks for that.
    pub response_key: Option<ResponseKey<'a>>,
}

/// What the service behind is told of a caller, once it is proven.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Told {
    /// Who, as the issuer calls it.
    pub subject: String,
    /// What the credential is for.
    pub scope: Option<String>,
    /// Finer rights within the action.
    pub subcap: Vec<String>,
    /// What an audit names the credential by: the `trace` of an E-Key.
    pub trace: Option<String>,
}

/// What a scheme has made of what was presented.
pub trait Opened: Send + Sync {
    /// Whether the proof covers the body, so that it has to be read before the proof can be judged.
    fn covers_body(&self) -> bool;

    /// What it comes to now. `body` is the body, where it was read. A scheme may ask stores for it.
    /// Fails with the reason why it comes to nothing.
    fn claims<'a>(&'a self, now: u64, body: Option<&'a [u8]>) -> BoxFuture<'a, Result<Claims, Failure>>;

    /// What the service behind is told, once the kernel has found it proven.
    fn told(&self) -> Told;

    /// Whether the client is to be given a new nonce with the answer.
    fn renews_nonce(&self, now: u64) -> bool;

    /// Whether the proof covers the key that the answer is to be sealed for: else whoever stands in between could have put
    /// one of its own there, and the request is refused.
    fn covers_response_key(&self) -> bool {
        false
    }

    /// What the client is, where what is required of it depends on that: the name of its profile.
    fn profile(&self) -> Option<&str> {
        None
    }

    /// Is told that what was presented came to nothing: a scheme that counts failures does it here.
    fn refused<'a>(&'a self, failure: &'a Failure, now: u64) -> BoxFuture<'a, ()> {
        let _ = (failure, now);
        Box::pin(std::future::ready(()))
    }

    /// Is told that the kernel has found against what the scheme had found good: a replay, among others.
    fn denied<'a>(&'a self, denial: &'a Denial, now: u64) -> BoxFuture<'a, ()> {
        let _ = (denial, now);
        Box::pin(std::future::ready(()))
    }
}

/// What was presented is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// Why.
    pub failure: Failure,
    /// What the token says, where that is its issuer's word and the proof is what fails: for an audit.
    pub claimed: Option<Box<Told>>,
    /// The profile of the client, where the token says so: its mode holds for a proof that cannot be read, too.
    pub profile: Option<String>,
}

impl Refused {
    /// What was presented with a token that holds, of a client of that profile.
    pub fn of(failure: Failure, told: Told, profile: Option<&str>) -> Self {
        Self { failure, claimed: Some(Box::new(told)), profile: profile.map(str::to_owned) }
    }
}

impl<E: Into<Failure>> From<E> for Refused {
    fn from(failure: E) -> Self {
        Self { failure: failure.into(), claimed: None, profile: None }
    }
}

/// What the tokens of a scheme look like: two schemes with the same word in `Authorization` are told apart by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenForm {
    /// Any: no other scheme has its word.
    Any,
    /// A JWT: it has dots in it.
    Jwt,
    /// A reference: it has none.
    Reference,
}

impl TokenForm {
    /// Whether a token looks like that.
    pub(crate) fn fits(self, token: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Jwt => token.contains('.'),
            Self::Reference => !token.contains('.'),
        }
    }

    /// Whether a token could look like both.
    pub(crate) fn overlaps(self, other: Self) -> bool {
        self == other || self == Self::Any || other == Self::Any
    }
}

/// A proof scheme over HTTP.
pub trait HttpScheme: Send + Sync {
    /// Its name, for the kernel.
    fn name(&self) -> &'static str;

    /// Its word in `Authorization`, in any case of letters.
    fn word(&self) -> &'static str;

    /// What its tokens look like.
    fn form(&self) -> TokenForm {
        TokenForm::Any
    }

    /// Whether a text could be a token of its own, good or not. By a route that is open to everybody, one that could be is
    /// kept from the service behind, and one that could not goes on to it. Where in doubt, it could.
    fn could_be_its(&self, token: &str) -> bool {
        self.form().fits(token)
    }

    /// Whether the mode of a request can depend on the client that its token names. Where the token does not hold, the strictest
    /// counts then that it could lead to.
    fn has_profiles(&self) -> bool {
        false
    }

    /// The headers of its proofs, in lower case: they are for the guard, and no service behind sees them.
    fn proof_headers(&self) -> Vec<HeaderName> {
        Vec::new()
    }

    /// What its challenge says after the word: RFC 9110 section 11.6.1.
    fn challenge(&self) -> String;

    /// The names that its errors have in an answer.
    fn error(&self, failure: Option<&Failure>, denial: &Denial) -> Option<&'static str>;

    /// Reads and verifies what was presented.
    /// Fails with the reason why it is refused.
    fn open<'a>(&'a self, presented: Presented<'a>) -> BoxFuture<'a, Result<Box<dyn Opened>, Refused>>;

    /// A new nonce for a client, where the scheme has such.
    fn new_nonce(&self, now: u64) -> Option<String>;
}

/// The one grant that a route is.
pub(crate) fn granted(tool_server: &str, route: &Route) -> Grant {
    Grant::new(tool_server, route.tool_name())
}

/// Claims of a request that its answer can name, where that is to be sealed.
fn named(claims: Claims, is_sealed: bool) -> Result<Claims, Failure> {
    if is_sealed && claims.proof_hash.is_none() { Err(ProofError::ResponseKey.into()) } else { Ok(claims) }
}

/// Any scheme, as the kernel knows it.
pub(crate) struct Bridge(pub(crate) &'static str);

/// What is handed to the kernel: what a scheme has found, and the body where it was read.
pub(crate) struct Attempt {
    pub(crate) opened: Result<Box<dyn Opened>, Refused>,
    pub(crate) body: Option<Bytes>,
    /// Why the scheme refused it, for the answer.
    pub(crate) failure: OnceLock<Failure>,
    /// The kernel's time.
    pub(crate) now: OnceLock<u64>,
    /// The digest of what was signed.
    pub(crate) proof: OnceLock<Option<Digest>>,
    /// Whether its answer is to be sealed, and so has to name it by that digest.
    pub(crate) is_sealed: bool,
    /// In which mode it is decided; without one, in the kernel's.
    pub(crate) mode: Option<Mode>,
}

impl ProofScheme for Bridge {
    fn name(&self) -> &'static str {
        self.0
    }

    type Credential = Attempt;

    fn verify<'a>(&'a self, attempt: &'a Attempt, _: &'a ToolCall, now: u64) -> BoxFuture<'a, Result<Claims, Denial>> {
        let _ = attempt.now.set(now);
        if attempt.mode == Some(Mode::Off) {
            // The kernel does not ask for it.
            return Box::pin(std::future::ready(Err(Denial::ProofMissing)));
        }
        Box::pin(async move {
            let claims = match &attempt.opened {
                Ok(opened) => opened.claims(now, attempt.body.as_deref()).await,
                Err(refused) => Err(refused.failure.clone()),
            };
            match claims.and_then(|claims| attempt.good(claims)) {
                Ok(claims) => Ok(claims),
                Err(failure) => Err(attempt.bad(failure, now).await),
            }
        })
    }

    fn mode(&self, attempt: &Attempt) -> Option<Mode> {
        attempt.mode
    }
}

impl Attempt {
    fn good(&self, claims: Claims) -> Result<Claims, Failure> {
        let claims = named(claims, self.is_sealed)?;
        let _ = self.proof.set(claims.proof_hash);
        Ok(claims)
    }

    async fn bad(&self, failure: Failure, now: u64) -> Denial {
        if let Ok(opened) = &self.opened {
            opened.refused(&failure, now).await;
        }
        let denial = Denial::from(&failure);
        let _ = self.failure.set(failure);
        denial
    }
}
