//! The state that a person names.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use chio_core::crypto::{Keypair, PublicKey};
use chio_kernel::store::{KernelError, key_id};
use chio_kernel::{Settings, Stores};
use chio_store::{
    Kind, MemoryRecords, OpenError, Page, Record, Records, RedisOptions, RedisState, SqliteOptions, SqliteState, State,
};

use crate::args::StateName;
use crate::exit::Failure;
use crate::files;
use crate::source::Source;
use crate::write::{self, Audience};

/// Where a state is.
#[derive(Clone, Debug)]
pub(crate) enum Place {
    File(PathBuf),
    /// Its URL, and how it is called where something is said of it.
    Redis(String, String),
    /// What is not said again.
    Refused(&'static str),
}

impl Place {
    /// A path; the URL of a Redis without a password; or `env:NAME` for either, with one.
    pub(crate) fn read(text: &str) -> Self {
        match text.strip_prefix("env:") {
            Some(name) => match std::env::var(name) {
                Ok(value) if !value.is_empty() => Self::of(&value, text),
                _ => Self::Refused("the environment variable that is named as the state is not set"),
            },
            None if is_url(text) && text.contains('@') => {
                Self::Refused("the URL of a state has a user or a password in it, and is not repeated here")
            }
            None => Self::of(text, text),
        }
    }

    /// The same of a text that stands where nobody else reads it, such as a file.
    pub(crate) fn of(text: &str, called: &str) -> Self {
        if is_url(text) { Self::Redis(text.to_owned(), called.to_owned()) } else { Self::File(text.into()) }
    }

    fn refused(&self) -> Failure {
        let what = if let Self::Refused(what) = self { what } else { "it is no state" };
        Failure::usage(what, "name a file, redis://HOST:PORT, or `env:NAME` where NAME has the URL with its password")
    }
}

fn is_url(text: &str) -> bool {
    ["redis://", "rediss://"].iter().any(|start| text.starts_with(start))
}

fn refused(path: &Path, error: &OpenError) -> Failure {
    Failure::new(format!("the state `{}`: {error}", path.display()), error.help())
}

/// A state beside the kernels that it may have. Of receipts in a Redis, those of `kernel` are meant.
pub(crate) fn beside(name: &StateName, now: u64) -> Result<Box<dyn State>, Failure> {
    match &Place::read(&name.state) {
        Place::File(path) => {
            let state = SqliteState::beside(&SqliteOptions::new(path, now)).map_err(|error| refused(path, &error))?;
            Ok(Box::new(state))
        }
        Place::Redis(url, called) => {
            let kernel = name.kernel.as_deref().map(files::read_public_key).transpose()?;
            Ok(Box::new(connect(url, called, kernel.as_ref(), None)?))
        }
        place @ Place::Refused(_) => Err(place.refused()),
    }
}

/// A state that no kernel has at the moment, made where there is none; a Redis is everybody's.
pub(crate) fn alone(name: &StateName, now: u64) -> Result<Box<dyn State>, Failure> {
    let Place::File(path) = Place::read(&name.state) else { return beside(name, now) };
    let life = if path.exists() { 0 } else { SqliteOptions::new(&path, now).proof_life_secs };
    // Its kernel says how long proofs live.
    let options = SqliteOptions { proof_life_secs: life, ..SqliteOptions::new(&path, now) };
    let state = SqliteState::open(&options).map_err(|error| refused(&path, &error))?;
    Ok(Box::new(state))
}

/// The chain of receipts of each kernel goes by its key.
fn connect(
    url: &str,
    called: &str,
    kernel: Option<&PublicKey>,
    settings: Option<&Settings>,
) -> Result<RedisState, Failure> {
    let chain = kernel.map_or_else(|| "none".to_owned(), |key| key_id(&key.to_string()).to_string());
    let refused = |error| Failure::new(format!("the state `{called}`: {error}"), "see docs/guides/operations.md");
    let mut options = RedisOptions::from_url(url, chain).map_err(refused)?;
    // A kernel says how long proofs live.
    options.proof_life_secs = 0;
    // What is done by hand may take longer than a call.
    options.timeout = std::time::Duration::from_secs(10);
    if let Some(settings) = settings {
        options.timeout = settings.patience.store;
        let quota = settings.dpop.nonce_store_capacity.checked_div(8).unwrap_or_default();
        options.account_quota = u64::try_from(quota).unwrap_or(u64::MAX);
        options.proof_life_secs = settings.dpop.proof_ttl_secs.saturating_add(settings.dpop.max_clock_skew_secs);
    }
    // It works as long as the process does.
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    let runtime = runtime.map_err(|error| Failure::new(error, "this machine has no room for another thread"))?;
    let runtime: &'static tokio::runtime::Runtime = Box::leak(Box::new(runtime));
    runtime.block_on(RedisState::connect(options)).map_err(refused)
}

/// What a kernel remembers with, what the schemes beside it do, and the key that signs its receipts: where none is named,
/// that in the file beside the state, which is made with it. Without a place all of it is in memory, and a key is none.
#[allow(clippy::type_complexity)] // three things that are handed on at once
pub(crate) fn of_kernel(
    place: Option<&Place>,
    key: Option<Keypair>,
    settings: &Settings,
    now: u64,
) -> Result<(Stores, Arc<dyn Records>, Option<Keypair>), Failure> {
    let path = match place {
        None => return Ok((Stores::default(), Arc::new(MemoryRecords::default()), key)),
        Some(Place::File(path)) => path,
        Some(Place::Redis(url, called)) => {
            let Some(key) = key else {
                let help = "name it as --kernel-key: each kernel has its own, and its receipts go by it";
                return Err(Failure::usage("a kernel whose state is in a Redis needs a key", help));
            };
            let state = Arc::new(connect(url, called, Some(&key.public_key()), Some(settings))?);
            return Ok((chio_store::stores(&state), state, Some(key)));
        }
        Some(place @ Place::Refused(_)) => return Err(place.refused()),
    };
    let mut beside = path.as_os_str().to_owned();
    beside.push(".key");
    let beside = PathBuf::from(beside);
    let key = match key {
        None if beside.exists() => Some(files::read_key(&Source::File(beside.clone()))?),
        key => key,
    };
    let kernel_key = key.as_ref().map(Keypair::public_key);
    let dpop = &settings.dpop;
    let nonce_capacity = dpop.nonce_store_capacity;
    let proof_life_secs = dpop.proof_ttl_secs.saturating_add(dpop.max_clock_skew_secs);
    let options = SqliteOptions { kernel_key, nonce_capacity, proof_life_secs, ..SqliteOptions::new(path, now) };
    let state = SqliteState::open(&options).map_err(|error| refused(path, &error))?;
    let key = match key {
        Some(key) => key,
        None => match ask(state.overview())?.kernel_key {
            Some(key) => return Err(refused(path, &OpenError::OtherKernel { key })),
            None => make_key(&beside)?,
        },
    };
    let state = Arc::new(state);
    Ok((state.stores(), state, Some(key)))
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
        Failure::new(
            format!("the state: {error}"),
            "what was asked may not have been done, or in part; check the disk, and who has the state",
        )
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
