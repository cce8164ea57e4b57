//! `[session]`: what it names, and what is made of it.

use std::sync::Arc;

use chio_http::audit::TracedAudit;
use chio_http::gateway::config;
use chio_http::opaque::rules::DeskRules;
use chio_http::opaque::{Accounts, SessionDesk, SessionMac, Sessions, Setup};
use chio_http::origin::Origin;
use chio_kernel::Kernel;
use chio_kernel::clock::SystemClock;
use chio_kernel::store::{RevocationStore, UsageStore};
use chio_store::Records;
use zeroize::Zeroizing;

use super::super::source;
use crate::exit::Failure;
use crate::files;
use crate::source::Source;

const MAX_SETUP_BYTES: usize = 4 << 10;

/// What schemes remember with, besides the kernel.
pub(crate) struct Kept {
    pub(crate) records: Arc<dyn Records>,
    pub(crate) revocations: Arc<dyn RevocationStore>,
    pub(crate) usage: Arc<dyn UsageStore>,
}

/// The sessions of a service, as they are configured.
pub(super) struct OfSessions {
    setup: Setup,
    rules: DeskRules,
    origin: Origin,
}

impl OfSessions {
    pub(super) fn read(config: &config::Session, origin: &Origin) -> Result<Self, Failure> {
        const WHAT: &str = "the setup of sessions";
        let source = source(&config.setup);
        if let Source::File(path) = &source {
            files::check_private(path)?;
        }
        let bytes = Zeroizing::new(source.read(WHAT, MAX_SETUP_BYTES)?);
        let text = std::str::from_utf8(&bytes).unwrap_or_default().trim();
        let help = "`chio session setup --out FILE` makes one; all gateways of a service have the same";
        let setup = Setup::parse(text).map_err(|error| Failure::new(format!("{WHAT} {source}: {error}"), help))?;
        Ok(Self { setup, rules: config.rules(), origin: origin.clone() })
    }

    pub(super) fn made(self, kernel: &Kernel, kept: &Kept) -> Result<(SessionMac, SessionDesk), Failure> {
        let accounts = Accounts::new(Arc::clone(&kept.records), Arc::clone(&kept.revocations));
        let sessions = Sessions::new(self.setup, accounts, &self.origin, kernel.clone(), SystemClock);
        let scheme = SessionMac::new(sessions.clone(), self.rules.window_secs);
        let desk = SessionDesk::new(sessions, self.rules, Arc::clone(&kept.usage), TracedAudit);
        let desk = desk.map_err(|error| Failure::new(error, "see docs/http.md"))?;
        Ok((scheme, desk))
    }
}
