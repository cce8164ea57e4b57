//! The scheme `session`: a session's reference in `Authorization`, and a MAC under the key that its login has agreed on.

use std::fmt;
use std::sync::Arc;

use chio_core::capability::Grant;
use chio_kernel::clock::BoxFuture;
use chio_kernel::denial::Denial;
use chio_kernel::scheme::Claims;
use hyper::header::HeaderName;

use super::proof::{Covered, MAC, NONCE, Shown, TIMESTAMP, check_time};
use super::sessions::{Live, Sessions};
use super::suite::REFERENCE_CHARS;
use crate::failure::Failure;
use crate::issuer::TokenError;
use crate::scheme::{HttpScheme, Opened, Presented, Refused, TokenForm, Told, granted};

/// By how much the clocks of a client and a gateway may differ by default, in seconds: a request is as old as that at most.
pub const WINDOW_SECS: u64 = 5;

/// The name of the scheme.
pub const NAME: &str = "session";

/// Session MACs as a scheme of the kernel.
#[derive(Debug)]
pub struct SessionMac {
    sessions: Sessions,
    window: u64,
}

impl SessionMac {
    /// For these sessions. A request is taken that is dated at most `window_secs` before now or after.
    pub fn new(sessions: Sessions, window_secs: u64) -> Self {
        Self { sessions, window: window_secs }
    }

    async fn opened(&self, presented: Presented<'_>) -> Result<Box<dyn Opened>, Refused> {
        let shown = Shown::of(presented.headers)?;
        // Found before the body is read: who has no session could else have bodies read, and keep those out who have one. The
        // sessions see to it that their store answers in time.
        let live = live(&self.sessions, presented.token).await?;
        let is_granted = presented.route.required_scope().is_none_or(|scope| live.has_scope(scope));
        let grants = is_granted.then(|| granted(presented.tool_server, presented.route)).into_iter().collect();
        Ok(Box::new(Bound { covered: covered(&presented), shown, live, grants, window: self.window }))
    }
}

/// The session that a reference is of.
pub(super) async fn live(sessions: &Sessions, token: &str) -> Result<Arc<Live>, Failure> {
    let now = sessions.now().map_err(|error| Failure::Records(error.to_string()))?;
    let found = sessions.find(token, now).await.map_err(|error| Failure::Records(error.to_string()))?;
    found.ok_or_else(|| TokenError::Unknown.into())
}

fn covered(presented: &Presented<'_>) -> Covered {
    let Presented { method, origin, target, response_key, .. } = presented;
    let query = target.query().map(|query| format!("?{query}")).unwrap_or_default();
    Covered {
        method: (*method).to_owned(),
        origin: origin.as_str().to_owned(),
        target: format!("{}{query}", target.path()),
        response_key: response_key.map_or_else(String::new, |key| key.text.to_owned()),
    }
}

/// A request of a session, whose MAC is yet to be checked.
struct Bound {
    live: Arc<Live>,
    covered: Covered,
    shown: Shown,
    grants: Vec<Grant>,
    window: u64,
}

impl Bound {
    /// What it comes to, which depends on no store.
    fn judged(&self, now: u64, body: Option<&[u8]>) -> Result<Claims, Failure> {
        let Self { live, covered, shown, grants, window } = self;
        let text = covered.check(&live.key, live.id, body.unwrap_or_default(), shown)?;
        check_time(shown.at, now, *window)?;
        Ok(Claims {
            principal: live.user.clone(),
            credential: live.id,
            grants: grants.clone(),
            // The kernel ends it, also where it is remembered here.
            expires_at: live.expires_at,
            // One that this kernel gave out since it started begins what no proof can have had before.
            nonce: format!("{}:{}", live.trace, shown.nonce),
            issued_at: shown.at,
            proof_hash: Some(text),
        })
    }
}

impl Opened for Bound {
    fn covers_body(&self) -> bool {
        true
    }

    fn claims<'a>(&'a self, now: u64, body: Option<&'a [u8]>) -> BoxFuture<'a, Result<Claims, Failure>> {
        Box::pin(std::future::ready(self.judged(now, body)))
    }

    fn told(&self) -> Told {
        Told { subject: self.live.user.clone(), scope: self.live.scope.clone(), subcap: Vec::new(), trace: None }
    }

    fn renews_nonce(&self, _: u64) -> bool {
        false
    }

    fn covers_response_key(&self) -> bool {
        true
    }
}

impl HttpScheme for SessionMac {
    fn name(&self) -> &'static str {
        NAME
    }

    fn word(&self) -> &'static str {
        "Bearer"
    }

    fn form(&self) -> TokenForm {
        TokenForm::Reference
    }

    /// A session is as long as every other. In quotes, or in a list, a service could still find it; where there is a dot, it is a
    /// token of another kind.
    fn could_be_its(&self, token: &str) -> bool {
        let is_part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
        self.form().fits(token) && token.split(|c| !is_part(c)).any(|part| part.len() == REFERENCE_CHARS)
    }

    fn proof_headers(&self) -> Vec<HeaderName> {
        vec![TIMESTAMP, NONCE, MAC]
    }

    fn challenge(&self) -> String {
        format!(r#"realm="{NAME}""#)
    }

    /// As RFC 6750 section 3.1 has them: it has one word for all that is wrong with a token or how it is used.
    fn error(&self, failure: Option<&Failure>, denial: &Denial) -> Option<&'static str> {
        Some(match (failure, denial) {
            (Some(Failure::NoCredentials), _) => return None,
            (Some(Failure::Request(_)), _) => "invalid_request",
            (Some(_), _) => "invalid_token",
            _ if ["capability_", "proof_", "nonce_"].iter().any(|step| denial.code().starts_with(step)) => {
                "invalid_token"
            }
            _ => "insufficient_scope",
        })
    }

    fn open<'a>(&'a self, presented: Presented<'a>) -> BoxFuture<'a, Result<Box<dyn Opened>, Refused>> {
        Box::pin(self.opened(presented))
    }

    fn new_nonce(&self, _: u64) -> Option<String> {
        None
    }
}

impl fmt::Debug for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Bound")
    }
}
