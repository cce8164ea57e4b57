//! The state that a person names.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use chio_core::crypto::Keypair;
use chio_kernel::store::KernelError;
use chio_kernel::{Settings, Stores};
use chio_store::{Kind, OpenError, Page, Record, SqliteOptions, SqliteState, State};

use crate::exit::Failure;
use crate::files;
use crate::source::Source;
use crate::write::{self, Audience};

fn refused(path: &Path, error: &OpenError) -> Failure {
    Failure::new(format!("the state `{}`: {error}", path.display()), error.help())
}

/// A state beside the kernel that it may have.
pub(crate) fn beside(path: &Path, now: u64) -> Result<SqliteState, Failure> {
    SqliteState::beside(&SqliteOptions::new(path, now)).map_err(|error| refused(path, &error))
}

/// What a kernel remembers with, and the key that signs its receipts: where none is named, that in the file beside the
/// state, which is made with it.
pub(crate) fn of_kernel(
    path: &Path,
    key: Option<Keypair>,
    settings: &Settings,
    now: u64,
) -> Result<(Stores, Keypair), Failure> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(".key");
    let beside = PathBuf::from(beside);
    let key = match key {
        None if beside.exists() => Some(files::read_key(&Source::File(beside.clone()))?),
        key => key,
    };
    let kernel_key = key.as_ref().map(Keypair::public_key);
    let nonce_capacity = settings.dpop.nonce_store_capacity;
    let options = SqliteOptions { kernel_key, nonce_capacity, ..SqliteOptions::new(path, now) };
    let state = SqliteState::open(&options).map_err(|error| refused(path, &error))?;
    let key = match key {
        Some(key) => key,
        None => match ask(state.overview())?.kernel_key {
            Some(key) => return Err(refused(path, &OpenError::OtherKernel { key })),
            None => make_key(&beside)?,
        },
    };
    Ok((Arc::new(state).stores(), key))
}

fn make_key(path: &Path) -> Result<Keypair, Failure> {
    let failed = |error: &dyn std::fmt::Display| Failure::new(error, "this machine cannot make keys");
    let key = Keypair::generate().map_err(|error| failed(&error))?;
    let pem = key.to_pkcs8_pem().map_err(|error| failed(&error))?;
    write::write(path, pem.as_bytes(), Audience::Owner, false)?;
    Ok(key)
}

/// Waits for an answer of a state.
pub(crate) fn ask<T>(answer: impl Future<Output = Result<T, KernelError>>) -> Result<T, Failure> {
    pollster::block_on(answer).map_err(|error| {
        Failure::new(format!("the state: {error}"), "nothing was changed; check the disk, and who has the state")
    })
}

/// All records of a kind, one after the other.
pub(crate) fn each(
    state: &dyn State,
    kind: Kind,
    mut each: impl FnMut(Record) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let mut from = None;
    loop {
        let Page { items, next } = ask(state.records(kind, from))?;
        items.into_iter().try_for_each(&mut each)?;
        if next.is_none() {
            return Ok(());
        }
        from = next;
    }
}
