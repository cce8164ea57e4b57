//! Device keys, as they are configured.

use std::sync::Arc;

use chio_http::device::book::NewSessions;
use chio_http::device::{
    BearerTokens, ClientStatus, Clients, DeviceBook, DeviceRules, DeviceScheme, DeviceThreat, EnrollmentDesk,
    HeaderNames, Profile, Profiles, Require, SessionRules,
};
use chio_http::gateway::config::{self, Reaction, Status};
use chio_http::issuer::Issuer;
use chio_http::origin::Origin;
use chio_kernel::Kernel;
use chio_kernel::clock::SystemClock;
use chio_kernel::config::Response;
use chio_kernel::store::StandingStore;
use chio_store::Records;
use hyper::header::HeaderName;

use super::{issuers, wrong};
use crate::exit::Failure;

/// How old a request may be, and how far ahead.
pub(super) fn window(config: &config::Device) -> (u64, u64) {
    (config.window_secs.seconds(), config.window_secs.seconds().min(5))
}

/// What is made of the configuration before there is a kernel.
pub(super) struct Devices {
    issuers: Vec<Issuer>,
    abilities: String,
    rules: DeviceRules,
    sessions: SessionRules,
    clients: Vec<(String, ClientStatus)>,
}

impl Devices {
    pub(super) fn read(config: &config::Device) -> Result<Self, Failure> {
        let profiles = config.profile.iter().map(|(name, profile)| Profile {
            name: name.clone(),
            clients: profile.get_ref().clients.clone(),
            require: match profile.get_ref().require {
                config::Require::All => Require::All,
                config::Require::Mutating => Require::Mutating,
                config::Require::None => Require::None,
            },
        });
        let profiles = Profiles::new(profiles.collect(), config.default_profile.clone());
        let header =
            |name: &toml::Spanned<String>| HeaderName::try_from(name.get_ref().as_str()).map_err(|error| wrong(&error));
        let names = HeaderNames {
            device_id: header(&config.headers.device_id)?,
            timestamp: header(&config.headers.timestamp)?,
            nonce: header(&config.headers.nonce)?,
            signature: header(&config.headers.signature)?,
        };
        let threat = config.threat;
        let reaction = |reaction| match reaction {
            Reaction::Report => Response::Report,
            Reaction::Suspend => Response::Suspend { seconds: threat.suspend_secs.seconds() },
            Reaction::Ban => Response::Ban,
        };
        let status = |status| match status {
            Status::Active => ClientStatus::Active,
            Status::Suspended => ClientStatus::Suspended,
            Status::Banned => ClientStatus::Banned,
        };
        Ok(Self {
            issuers: issuers(&config.issuer)?,
            abilities: config.abilities.clone(),
            rules: DeviceRules {
                window_secs: config.window_secs.seconds(),
                names,
                profiles: profiles.map_err(|error| wrong(&error))?,
                threat: DeviceThreat {
                    replay: reaction(threat.replay),
                    signature_failures: threat.signature_failures.count().into(),
                    signature: reaction(threat.signature),
                    forgiven_after_secs: threat.forgive_secs.seconds(),
                },
            },
            sessions: SessionRules {
                new_sessions: match config.new_sessions {
                    config::NewSessions::EnrolledDevices => NewSessions::EnrolledDevices,
                    config::NewSessions::Enroll => NewSessions::Enroll,
                },
                max_devices: config.max_devices.count().into(),
            },
            clients: config.client.iter().map(|(name, client)| (name.clone(), status(client.status))).collect(),
        })
    }

    /// The scheme, and the desk where devices are enrolled.
    pub(super) fn made(
        self,
        kernel: &Kernel,
        records: &Arc<dyn Records>,
        standings: &Arc<dyn StandingStore>,
        origin: &Origin,
    ) -> (DeviceScheme, EnrollmentDesk) {
        let tokens = Arc::new(BearerTokens::new(self.issuers, self.abilities));
        let book = Arc::new(DeviceBook::new(Arc::clone(records), Arc::clone(standings), self.sessions));
        let clients = Arc::new(Clients::new(self.clients.into_iter().collect(), Arc::clone(standings)));
        let names = self.rules.names.clone();
        let desk = EnrollmentDesk::new(
            Arc::clone(&tokens),
            Arc::clone(&book),
            Arc::clone(&clients),
            names,
            origin.clone(),
            SystemClock,
        );
        (DeviceScheme::new(tokens, book, clients, self.rules, kernel.clone()), desk)
    }
}
