//! The second stage: which devices there are, and to which of them a session belongs.
//!
//! A device never changes, and a session goes from no device to one and stays there: so both may be remembered. Who is
//! suspended, banned or revoked is asked of the kernel in every call, and is remembered nowhere here.

use std::fmt;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, PoisonError};

use chio_core::digest::Digest;
use chio_kernel::store::{KernelError, Standing, StandingStore, key_id};
use chio_store::{Entry, Put, Records, Room, Table};
use lru::LruCache;

use super::record::{Device, DeviceId};
use super::token::BearerToken;
use crate::deadline::Deadline;
use crate::failure::{DeviceError, Failure};

/// How many devices, and how many sessions, are remembered.
const CACHED: usize = 4096;

/// How many seconds a device is remembered before its record is read again: by then one that was taken away is gone.
const REMEMBERED_SECS: u64 = 60;

/// How long a session that has a name keeps its device, in seconds, since it was last used for a while: 30 days.
pub const SESSION_SECS: u64 = 30 * 86_400;

/// How long a session is held for a device that is being enrolled, in seconds.
const HELD_SECS: u64 = 60;

/// How many devices there may be.
const MAX_DEVICES: u64 = 1 << 24;

/// How many sessions there may be that have a device, and how many of them one subject may have.
const SESSIONS: Room = Room { table: 1 << 24, owner: 1024 };

/// Which device a session may begin to belong to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum NewSessions {
    /// To the first of its subject's that proves a request in it, or is enrolled in it.
    #[default]
    EnrolledDevices,
    /// To the one that is enrolled in it, or enrolled in it again.
    Enroll,
}

/// What holds of devices and sessions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionRules {
    /// Which device a session may begin to belong to.
    pub new_sessions: NewSessions,
    /// How many devices a subject may have.
    pub max_devices: u64,
}

impl Default for SessionRules {
    fn default() -> Self {
        Self { new_sessions: NewSessions::default(), max_devices: 8 }
    }
}

/// What came of the attempt to give a session its device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bound {
    /// It had none, and has this one now.
    New,
    /// It was this one's already.
    Before,
}

/// What came of an enrolment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Enrolled {
    New,
    /// It was enrolled before, and is what it was.
    Before,
    /// The subject has as many devices as one may have.
    TooMany,
}

/// The devices.
pub struct DeviceBook {
    records: Arc<dyn Records>,
    standings: Arc<dyn StandingStore>,
    rules: SessionRules,
    devices: Mutex<LruCache<DeviceId, (Arc<Device>, u64)>>,
    sessions: Mutex<LruCache<Digest, (DeviceId, u64)>>,
}

impl fmt::Debug for DeviceBook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DeviceBook").field("rules", &self.rules).finish_non_exhaustive()
    }
}

fn failed(error: &KernelError) -> Failure {
    Failure::Records(error.to_string())
}

impl DeviceBook {
    /// What is kept in these records. The standings are those of the kernel that decides on the requests.
    pub fn new(records: Arc<dyn Records>, standings: Arc<dyn StandingStore>, rules: SessionRules) -> Self {
        Self::within(&Deadline::default(), records, standings, rules)
    }

    /// The same, with another deadline for each thing that a store is asked.
    pub fn within(
        deadline: &Deadline,
        records: Arc<dyn Records>,
        standings: Arc<dyn StandingStore>,
        rules: SessionRules,
    ) -> Self {
        let (records, standings) = (deadline.around(records), deadline.around(standings));
        let size = NonZeroUsize::new(CACHED).unwrap_or(NonZeroUsize::MIN);
        let (devices, sessions) = (Mutex::new(LruCache::new(size)), Mutex::new(LruCache::new(size)));
        Self { records, standings, rules, devices, sessions }
    }

    pub(crate) fn records(&self) -> &dyn Records {
        &*self.records
    }

    pub(crate) fn standings(&self) -> &dyn StandingStore {
        &*self.standings
    }

    /// A device of the token's subject. Another subject's is not told from one that is not there.
    pub(crate) async fn find(&self, token: &BearerToken, id: DeviceId, now: u64) -> Result<Arc<Device>, Failure> {
        let unknown = Failure::Device(DeviceError::Unknown);
        let device = match self.remembered(id, now) {
            Some(device) => device,
            None => self.read(id, now).await?.ok_or_else(|| unknown.clone())?,
        };
        let is_its = device.issuer == token.issuer() && device.subject == token.subject();
        if is_its { Ok(device) } else { Err(unknown) }
    }

    async fn read(&self, id: DeviceId, now: u64) -> Result<Option<Arc<Device>>, Failure> {
        let entry = self.records.get(Table::Device, id.0, now).await.map_err(|error| failed(&error))?;
        let Some(entry) = entry else { return Ok(None) };
        let device = Device::from_bytes(id, &entry.value);
        let device = Arc::new(device.ok_or_else(|| Failure::Records("the record of a device is damaged".into()))?);
        self.devices.lock().unwrap_or_else(PoisonError::into_inner).put(id, (Arc::clone(&device), now));
        Ok(Some(device))
    }

    fn remembered(&self, id: DeviceId, now: u64) -> Option<Arc<Device>> {
        let mut devices = self.devices.lock().unwrap_or_else(PoisonError::into_inner);
        let (device, read_at) = devices.get(&id)?;
        (now < read_at.saturating_add(REMEMBERED_SECS)).then(|| Arc::clone(device))
    }

    /// Whether the token's session is this device's, which has just proven a request in it. One that is nobody's yet may
    /// become its.
    pub(crate) async fn belongs(&self, token: &BearerToken, id: DeviceId, now: u64) -> Result<(), Failure> {
        if let Some((bound, until)) = self.known_session(token.session(), now) {
            if bound != id {
                return Err(Failure::Device(DeviceError::Taken));
            }
            if until >= least(token, now) {
                return Ok(());
            }
        }
        match self.device_of(token, now).await? {
            Some((bound, _)) if bound != id => Err(Failure::Device(DeviceError::Taken)),
            Some((_, until)) => {
                if until < least(token, now) {
                    self.keep(token, id, now).await?;
                } else {
                    self.know(token.session(), (id, until));
                }
                Ok(())
            }
            None if self.rules.new_sessions == NewSessions::Enroll => Err(Failure::Device(DeviceError::NotEnrolled)),
            None => {
                // Who is turned away takes no session for itself. The kernel says so to the client.
                let standing = self.standings.worst(&[key_id(&id.principal())], now).await;
                match standing.map_err(|error| failed(&error))? {
                    Standing::Good => {}
                    Standing::Suspended { until } if until <= now => {}
                    _ => return Ok(()),
                }
                let until = until(token, now);
                self.bind(token, id, until, now).await?;
                self.know(token.session(), (id, until));
                Ok(())
            }
        }
    }

    /// Gives the token's session this device until then, where it has none. Of several who try, one has it.
    async fn bind(&self, token: &BearerToken, id: DeviceId, until: u64, now: u64) -> Result<Bound, Failure> {
        match self.put(token, id, until, None, now).await? {
            Put::Kept => Ok(Bound::New),
            Put::Differs => match self.device_of(token, now).await? {
                Some((bound, _)) if bound == id => Ok(Bound::Before),
                _ => Err(Failure::Device(DeviceError::Taken)),
            },
            Put::Full | Put::OwnerFull => Err(Failure::Records("there is no room for another session".into())),
        }
    }

    /// The session that is this device's stays so for longer. False where it is not its any more.
    async fn keep(&self, token: &BearerToken, id: DeviceId, now: u64) -> Result<bool, Failure> {
        let (until, value) = (until(token, now), id.to_string().into_bytes());
        let is_kept = self.put(token, id, until, Some(&value), now).await? == Put::Kept;
        if is_kept {
            self.know(token.session(), (id, until));
        }
        Ok(is_kept)
    }

    async fn put(
        &self,
        token: &BearerToken,
        id: DeviceId,
        until: u64,
        replaces: Option<&[u8]>,
        now: u64,
    ) -> Result<Put, Failure> {
        let (key, owner, value) = (token.session(), token.owner(), id.to_string().into_bytes());
        let entry = Entry { key, owner, value, until: Some(until) };
        self.records.put(Table::Binding, entry, replaces, SESSIONS, now).await.map_err(|error| failed(&error))
    }

    /// Which device a session belongs to, by its record.
    async fn device_of(&self, token: &BearerToken, now: u64) -> Result<Option<(DeviceId, u64)>, Failure> {
        let entry = self.records.get(Table::Binding, token.session(), now).await.map_err(|error| failed(&error))?;
        let Some(entry) = entry else { return Ok(None) };
        let id = std::str::from_utf8(&entry.value).ok().and_then(DeviceId::parse);
        let id = id.ok_or_else(|| Failure::Records("the record of a session is damaged".into()))?;
        Ok(Some((id, entry.until.unwrap_or(u64::MAX))))
    }

    fn known_session(&self, session: Digest, now: u64) -> Option<(DeviceId, u64)> {
        let mut sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        sessions.get(&session).copied().filter(|(_, until)| now < *until)
    }

    fn know(&self, session: Digest, known: (DeviceId, u64)) {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner).put(session, known);
    }

    /// Enrols a device in the token's session. The session comes first: a device that does not get it leaves nothing behind
    /// that could be used in another. Until there is the device, the session is only held for it: an enrolment that is cut
    /// short takes it from nobody.
    pub(crate) async fn enroll(&self, token: &BearerToken, device: &Device, now: u64) -> Result<Enrolled, Failure> {
        let bound = self.bind(token, device.id, now.saturating_add(HELD_SECS), now).await?;
        let entry = Entry { key: device.id.0, owner: device.owner(), value: device.to_bytes(), until: None };
        let room = Room { table: MAX_DEVICES, owner: self.rules.max_devices };
        let put = self.records.put(Table::Device, entry, None, room, now).await;
        let kept = match put {
            Ok(put @ (Put::Kept | Put::Differs)) => {
                if !self.keep(token, device.id, now).await? {
                    // Another gateway's clock is more than a minute ahead, and the session was given away by it.
                    if put == Put::Kept {
                        let gone = self.records.take(Table::Device, device.id.0, now).await;
                        gone.map_err(|error| failed(&error))?;
                    }
                    return Err(Failure::Device(DeviceError::Taken));
                }
                return Ok(if put == Put::Kept { Enrolled::New } else { Enrolled::Before });
            }
            Ok(Put::OwnerFull) => Ok(Enrolled::TooMany),
            Ok(Put::Full) => Err(Failure::Records("there is no room for another device".into())),
            Err(error) => Err(failed(&error)),
        };
        // There is no such device: its session goes back to nobody, where it was.
        if bound == Bound::New {
            self.records.take(Table::Binding, token.session(), now).await.map_err(|error| failed(&error))?;
        }
        kept
    }
}

/// Until when a session keeps its device that has been used now: longer than any token of it is valid.
fn until(token: &BearerToken, now: u64) -> u64 {
    let named = if token.has_sid() { now.saturating_add(SESSION_SECS) } else { 0 };
    token.expires_at().saturating_add(60).max(named)
}

/// Until when it has to keep it at least, so that nothing needs to be written.
fn least(token: &BearerToken, now: u64) -> u64 {
    let named = if token.has_sid() { now.saturating_add(SESSION_SECS / 2) } else { 0 };
    token.expires_at().saturating_add(30).max(named)
}
