//! Sessions, as a gateway has them: the key of their proofs is sealed in the store, and remembered while it is used.

use std::fmt;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, PoisonError};

use chio_core::digest::Digest;
use chio_kernel::Kernel;
use chio_kernel::clock::{Clock, KernelError};
use chio_store::{Entry, Put, Table};
use lru::LruCache;
use ring::{hkdf, hmac};
use zeroize::Zeroizing;

use super::accounts::Accounts;
use super::setup::Setup;
use super::suite::{REFERENCE_BYTES, REFERENCE_CHARS, decoded, encoded, reference};
use super::user::User;
use super::values::{SessionValue, bytes, read};
use crate::deadline::Deadline;
use crate::origin::Origin;

/// How many are remembered.
const REMEMBERED: usize = 4096;

/// How many seconds a session is remembered before its record is read again, and that of its account.
const REMEMBERED_SECS: u64 = 60;

/// What the seals of sessions are for.
const KIND: &str = "chio-session-record-v1";

/// How many bytes the key of proofs has.
pub(super) const KEY_BYTES: usize = 32;

struct KeyLength;

impl hkdf::KeyType for KeyLength {
    fn len(&self) -> usize {
        KEY_BYTES
    }
}

/// The key of a session's proofs: HKDF-SHA256 (RFC 5869) of the key that the login has agreed on, without a salt.
pub(super) fn proof_key(
    session_key: &[u8],
    origin: &str,
    session: &str,
    user: &str,
) -> Option<Zeroizing<[u8; KEY_BYTES]>> {
    let info = format!("chio-session-proof-v1\n{origin}\n{session}\n{user}");
    let extracted = hkdf::Salt::new(hkdf::HKDF_SHA256, &[]).extract(session_key);
    let mut key = Zeroizing::new([0; KEY_BYTES]);
    extracted.expand(&[info.as_bytes()], KeyLength).ok()?.fill(&mut *key).ok()?;
    Some(key)
}

/// A session that is open.
pub(super) struct Live {
    /// The digest of its reference.
    pub(super) id: Digest,
    pub(super) user: String,
    pub(super) scope: Option<String>,
    pub(super) expires_at: u64,
    pub(super) trace: String,
    pub(super) key: hmac::Key,
}

impl Live {
    pub(super) fn has_scope(&self, scope: &str) -> bool {
        self.scope.as_deref().is_some_and(|all| all.split(' ').any(|one| one == scope))
    }
}

/// What a login gives.
pub(super) struct Opened {
    pub(super) session: String,
    pub(super) expires_at: u64,
}

/// The sessions of a service. A clone is another handle to the same.
#[derive(Clone)]
pub struct Sessions(Arc<Inner>);

struct Inner {
    deadline: Deadline,
    setup: Setup,
    accounts: Accounts,
    origin: String,
    kernel: Kernel,
    clock: Box<dyn Clock>,
    live: Mutex<LruCache<Digest, (Arc<Live>, u64)>>,
}

impl fmt::Debug for Sessions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sessions({})", self.0.origin)
    }
}

impl Sessions {
    /// Those of the service at that origin, whose requests this kernel decides.
    pub fn new(setup: Setup, accounts: Accounts, origin: &Origin, kernel: Kernel, clock: impl Clock + 'static) -> Self {
        Self::within(Deadline::default(), setup, accounts, origin, kernel, clock)
    }

    /// The same, with another deadline for each thing that a store is asked, also by the desk of these sessions.
    pub fn within(
        deadline: Deadline,
        setup: Setup,
        accounts: Accounts,
        origin: &Origin,
        kernel: Kernel,
        clock: impl Clock + 'static,
    ) -> Self {
        let accounts = accounts.within(&deadline);
        let live = Mutex::new(LruCache::new(NonZeroUsize::new(REMEMBERED).unwrap_or(NonZeroUsize::MIN)));
        let (origin, clock) = (origin.as_str().to_owned(), Box::new(clock));
        Self(Arc::new(Inner { deadline, setup, accounts, origin, kernel, clock, live }))
    }

    pub(super) fn now(&self) -> Result<u64, KernelError> {
        self.0.clock.now()
    }

    pub(super) fn deadline(&self) -> &Deadline {
        &self.0.deadline
    }

    pub(super) fn setup(&self) -> &Setup {
        &self.0.setup
    }

    pub(super) fn accounts(&self) -> &Accounts {
        &self.0.accounts
    }

    pub(super) fn origin(&self) -> &str {
        &self.0.origin
    }

    /// Opens a session of a user and an account, by the key that the login has agreed on. None where the user has as many as
    /// one may have.
    pub(super) async fn open(
        &self,
        (user, account): (&User, Digest),
        scope: Option<String>,
        session_key: &[u8],
        (life, of_user): (u64, u64),
        now: u64,
    ) -> Result<Option<Opened>, KernelError> {
        let failed = || KernelError::new("a session cannot be made");
        let session = reference().ok_or_else(failed)?;
        let (id, expires_at) = (Digest::of(session.as_bytes()), now.saturating_add(life));
        let key = proof_key(session_key, &self.0.origin, &session, user.as_str()).ok_or_else(failed)?;
        let (user_name, trace) = (user.as_str().to_owned(), self.0.kernel.new_nonce()?);
        let mut value =
            SessionValue { user: user_name, account, scope, opened_at: now, expires_at, trace, sealed: String::new() };
        let sealed = self.0.setup.seal(KIND, id, &value.about(&self.0.origin), &*key).ok_or_else(failed)?;
        value.sealed = encoded(&sealed);
        let entry = Entry { key: id, owner: user.id(), value: bytes(&value), until: Some(expires_at) };
        match self.0.accounts.open(entry, of_user, now).await? {
            Put::Kept => Ok(Some(Opened { session, expires_at })),
            Put::Full | Put::OwnerFull => Ok(None),
            Put::Differs => Err(failed()),
        }
    }

    /// The session with that reference, where it is open and its account is the one that has opened it: whoever replaces a
    /// password ends the sessions, and this is for those that they could not be told of. What is remembered says nothing of
    /// a revocation, which the kernel asks for at every call.
    pub(super) async fn find(&self, session: &str, now: u64) -> Result<Option<Arc<Live>>, KernelError> {
        if session.len() != REFERENCE_CHARS || decoded(session).is_none_or(|bytes| bytes.len() != REFERENCE_BYTES) {
            return Ok(None);
        }
        let id = Digest::of(session.as_bytes());
        let remembered = self.0.live.lock().unwrap_or_else(PoisonError::into_inner).get(&id).cloned();
        if let Some((live, read_at)) = remembered
            && now < read_at.saturating_add(REMEMBERED_SECS)
        {
            return Ok(Some(live));
        }
        let entry = self.0.accounts.records.get(Table::Session, id, now).await?;
        let Some(value) = entry.and_then(|entry| read::<SessionValue>(&entry.value)) else { return Ok(None) };
        let Some(user) = User::parse(&value.user) else { return Ok(None) };
        if self.0.accounts.still(&user, value.account, now).await?.is_none() {
            return Ok(None);
        }
        let live = self.opened(id, value).map(Arc::new);
        if let Some(live) = &live {
            self.0.live.lock().unwrap_or_else(PoisonError::into_inner).put(id, (Arc::clone(live), now));
        }
        Ok(live)
    }

    fn opened(&self, id: Digest, value: SessionValue) -> Option<Live> {
        let key = self.0.setup.open(KIND, id, &value.about(&self.0.origin), decoded(&value.sealed)?)?;
        let key = hmac::Key::new(hmac::HMAC_SHA256, &key);
        let SessionValue { user, scope, expires_at, trace, .. } = value;
        Some(Live { id, user, scope, expires_at, trace, key })
    }

    pub(super) fn forget(&self, id: Digest) {
        self.0.live.lock().unwrap_or_else(PoisonError::into_inner).pop(&id);
    }
}
