//! Who may log in, and what an operator does about it: accounts, invitations, the sessions of a user. None of it needs the
//! setup.

use std::fmt;
use std::sync::Arc;

use chio_core::digest::Digest;
use chio_kernel::clock::KernelError;
use chio_kernel::store::RevocationStore;
use chio_store::{Entry, Page, Put, Records, Room, Table};

use super::suite::{REFERENCE_CHARS, encoded, reference};
use super::user::User;
use super::values::{AccountValue, InvitationValue, SessionValue, bytes, read};
use crate::deadline::Deadline;

/// How many accounts there may be, and how many sessions.
const ROOM: u64 = 1_000_000;

/// How many invitations a user may have that were not used.
const INVITATIONS_OF_USER: u64 = 8;

/// How long a scope may be, in bytes.
const MAX_SCOPE_BYTES: usize = 1024;

/// The right to register once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invitation {
    /// Who.
    pub user: User,
    /// What sessions of the account are for, separated by spaces.
    pub scope: Option<String>,
    /// Whether an account that is there is registered anew; its sessions end with it.
    pub replaces: bool,
    /// The first second at which it is none any more.
    pub until: u64,
}

/// Why an account is not made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AccountError {
    /// There is one of that name.
    Taken,
    /// There is no room for another.
    Full,
    /// The invitation is none, or not for that user.
    NotInvited,
    /// The store failed, or there is no randomness.
    Failed(String),
}

impl fmt::Display for AccountError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Taken => f.write_str("there is an account of that name"),
            Self::Full => f.write_str("there is no room for another"),
            Self::NotInvited => f.write_str("the invitation is not for that"),
            Self::Failed(why) => f.write_str(why),
        }
    }
}

impl std::error::Error for AccountError {}

impl From<KernelError> for AccountError {
    fn from(error: KernelError) -> Self {
        Self::Failed(error.to_string())
    }
}

/// A session, as an operator sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenSession {
    /// The digest of its reference: what it is revoked by.
    pub id: Digest,
    /// Whose it is.
    pub user: String,
    /// What it is for.
    pub scope: Option<String>,
    /// When it was opened.
    pub opened_at: u64,
    /// The first second at which it is over.
    pub expires_at: u64,
}

/// The accounts in a store, their invitations and their sessions. A clone is another handle to the same.
#[derive(Clone)]
pub struct Accounts {
    pub(super) records: Arc<dyn Records>,
    revocations: Arc<dyn RevocationStore>,
}

impl fmt::Debug for Accounts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Accounts")
    }
}

/// Whether a text is a scope: RFC 6749 section 3.3.
pub fn is_scope(text: &str) -> bool {
    let is_good = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\\');
    text.len() <= MAX_SCOPE_BYTES && text.split(' ').all(|one| !one.is_empty() && one.bytes().all(is_good))
}

impl Accounts {
    /// Those of a store, whose sessions are revoked in another. It waits for them as long as
    /// they take, as by hand; [`Sessions`](super::Sessions) put a deadline around them.
    pub fn new(records: Arc<dyn Records>, revocations: Arc<dyn RevocationStore>) -> Self {
        Self { records, revocations }
    }

    /// The same, with a deadline for each thing that a store is asked.
    pub(super) fn within(self, deadline: &Deadline) -> Self {
        Self { records: deadline.around(self.records), revocations: deadline.around(self.revocations) }
    }

    /// Invites a user: the code, which the store has the digest of. It counts once.
    /// Fails where the store does, or the user has as many as one may have.
    pub async fn invite(&self, invitation: &Invitation, now: u64) -> Result<String, AccountError> {
        let Invitation { user, scope, replaces, until } = invitation;
        if !scope.as_deref().is_none_or(is_scope) {
            return Err(AccountError::Failed("it is no scope".to_owned()));
        }
        let code = reference().ok_or_else(|| AccountError::Failed("there is no randomness".to_owned()))?;
        let value = InvitationValue { user: user.as_str().to_owned(), scope: scope.clone(), replaces: *replaces };
        let (key, owner) = (of_code(&code), user.id());
        let entry = Entry { key, owner, value: bytes(&value), until: Some(*until) };
        let room = Room { table: ROOM, owner: INVITATIONS_OF_USER };
        match self.records.put(Table::Challenge, entry, None, room, now).await? {
            Put::Kept => Ok(code),
            Put::Differs | Put::Full | Put::OwnerFull => Err(AccountError::Full),
        }
    }

    /// The invitation with a code, where it is for that user. It stays.
    pub(super) async fn invited(&self, code: &str, user: &User, now: u64) -> Result<InvitationValue, AccountError> {
        let entry = match code.len() {
            REFERENCE_CHARS => self.records.get(Table::Challenge, of_code(code), now).await?,
            _ => None,
        };
        let invitation = entry.and_then(|entry| read::<InvitationValue>(&entry.value));
        invitation.filter(|invitation| invitation.user == user.as_str()).ok_or(AccountError::NotInvited)
    }

    /// Uses an invitation up: of several who do, one has it. Where it replaces an account, the sessions of that end before
    /// anything else is changed: whoever cuts this short then has ended them and no more, and the invitation still counts.
    pub(super) async fn use_up(&self, code: &str, user: &User, now: u64) -> Result<InvitationValue, AccountError> {
        // One that is for somebody else is not taken from them.
        if self.invited(code, user, now).await?.replaces {
            self.end_all(user, now).await?;
        }
        let taken = self.records.take(Table::Challenge, of_code(code), now).await?;
        taken.and_then(|entry| read(&entry.value)).ok_or(AccountError::NotInvited)
    }

    pub(super) async fn account(&self, user: &User, now: u64) -> Result<Option<Entry>, KernelError> {
        self.records.get(Table::Account, user.id(), now).await
    }

    /// A user's account, where it is still the one with that digest.
    pub(super) async fn still(&self, user: &User, account: Digest, now: u64) -> Result<Option<Entry>, KernelError> {
        Ok(self.account(user, now).await?.filter(|entry| Digest::of(&entry.value) == account))
    }

    /// Keeps an account: a new one, or in the place of the one that is there, whose sessions it ends.
    pub(super) async fn register(
        &self,
        user: &User,
        scope: Option<String>,
        registration: &[u8],
        replaces: bool,
        now: u64,
    ) -> Result<(), AccountError> {
        let value = AccountValue { user: user.as_str().to_owned(), scope, registration: encoded(registration) };
        let entry = Entry { key: user.id(), owner: user.id(), value: bytes(&value), until: None };
        let there = if replaces { self.account(user, now).await? } else { None };
        let there = there.as_ref().map(|entry| entry.value.as_slice());
        let put = self.records.put(Table::Account, entry, there, Room { table: ROOM, owner: 1 }, now).await;
        if replaces {
            // Those too that were opened meanwhile. The account is what it is now, whatever comes of this: one that is left
            // is found to be of another account (`Sessions::find`).
            drop(self.end_all(user, now).await);
        }
        match put? {
            Put::Kept => Ok(()),
            Put::Differs | Put::OwnerFull => Err(AccountError::Taken),
            Put::Full => Err(AccountError::Full),
        }
    }

    /// The sessions of a user, or all, a page at a time: from the start, or from what the page before said.
    /// Fails where the store does.
    pub async fn sessions(
        &self,
        user: Option<&User>,
        from: Option<String>,
        now: u64,
    ) -> Result<Page<OpenSession>, KernelError> {
        let Page { items, next } = self.records.list(Table::Session, user.map(User::id), from, now).await?;
        let open = |entry: Entry| {
            let SessionValue { user, scope, opened_at, expires_at, .. } = read(&entry.value)?;
            Some(OpenSession { id: entry.key, user, scope, opened_at, expires_at })
        };
        Ok(Page { items: items.into_iter().filter_map(open).collect(), next })
    }

    /// Ends a session, at once and at every gateway: its credential is revoked first, so that none which remembers it lets
    /// another request through.
    /// Fails where a store does.
    pub async fn end(&self, id: Digest, now: u64) -> Result<bool, KernelError> {
        self.revocations.revoke(id).await?;
        Ok(self.records.take(Table::Session, id, now).await?.is_some())
    }

    /// Ends all sessions of a user, and tells how many there were.
    /// Fails where a store does.
    pub async fn end_all(&self, user: &User, now: u64) -> Result<u64, KernelError> {
        let (mut ended, mut from) = (0_u64, None);
        loop {
            let Page { items, next } = self.records.list(Table::Session, Some(user.id()), from, now).await?;
            for entry in &items {
                ended = ended.saturating_add(u64::from(self.end(entry.key, now).await?));
            }
            if next.is_none() {
                return Ok(ended);
            }
            from = next;
        }
    }

    /// Keeps a session.
    pub(super) async fn open(&self, entry: Entry, of_user: u64, now: u64) -> Result<Put, KernelError> {
        self.records.put(Table::Session, entry, None, Room { table: ROOM, owner: of_user }, now).await
    }
}

fn of_code(code: &str) -> Digest {
    Digest::of(format!("chio-session-invitation-v1\n{code}").as_bytes())
}
