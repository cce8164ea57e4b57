//! Locks and atomics: the standard library's, or those of `shuttle`, which tries out in what order threads can come.

use std::sync::PoisonError;

#[cfg(shuttle)]
pub(crate) use shuttle::sync::{Mutex, MutexGuard, RwLock, atomic};
#[cfg(not(shuttle))]
pub(crate) use std::sync::{Mutex, MutexGuard, RwLock, atomic};

// A panic cannot leave a half-made change behind: each is complete before anything in it could panic.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
