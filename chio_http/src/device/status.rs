//! The fourth stage: whether the client application is welcome. By configuration, and by what an operator has said since.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use chio_core::time::MAX_UNIX_SECONDS;
use chio_kernel::store::{Standing, StandingStore, key_id};

use super::token::BearerToken;
use crate::deadline::Deadline;
use crate::failure::Failure;

/// How an operator thinks of a client application.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ClientStatus {
    /// It is welcome.
    #[default]
    Active,
    /// It is turned away until the configuration says otherwise.
    Suspended,
    /// It is turned away.
    Banned,
}

/// What a client application of an issuer is called where standings are kept.
pub fn client_principal(issuer: &str, client: &str) -> String {
    format!("client:{issuer}:{client}")
}

/// The client applications.
pub struct Clients {
    configured: BTreeMap<String, ClientStatus>,
    standings: Arc<dyn StandingStore>,
}

impl fmt::Debug for Clients {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Clients").field("configured", &self.configured).finish_non_exhaustive()
    }
}

impl Clients {
    /// With what is configured of some of them, of whatever issuer, and where standings are kept.
    pub fn new(configured: BTreeMap<String, ClientStatus>, standings: Arc<dyn StandingStore>) -> Self {
        Self::within(&Deadline::default(), configured, standings)
    }

    /// The same, with another deadline for each thing that the store is asked.
    pub fn within(
        deadline: &Deadline,
        configured: BTreeMap<String, ClientStatus>,
        standings: Arc<dyn StandingStore>,
    ) -> Self {
        Self { configured, standings: deadline.around(standings) }
    }

    /// Whether the client that a token was issued to is welcome. A token that names none has none to be turned away for.
    pub async fn check(&self, token: &BearerToken, now: u64) -> Result<(), Failure> {
        let Some(client) = token.client() else { return Ok(()) };
        match self.configured.get(client) {
            Some(ClientStatus::Banned) => return Err(Failure::Client(Standing::Banned)),
            Some(ClientStatus::Suspended) => {
                return Err(Failure::Client(Standing::Suspended { until: MAX_UNIX_SECONDS }));
            }
            Some(ClientStatus::Active) | None => {}
        }
        let principal = [key_id(&client_principal(token.issuer(), client))];
        match self.standings.worst(&principal, now).await {
            Ok(Standing::Good) => Ok(()),
            Ok(Standing::Suspended { until }) if until <= now => Ok(()),
            Ok(standing) => Err(Failure::Client(standing)),
            Err(error) => Err(Failure::Records(error.to_string())),
        }
    }
}
