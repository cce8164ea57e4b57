//! The guards of the kernel's owner: checks that no capability can express.

use std::sync::Arc;
use std::time::Duration;

use crate::budget::PaidCall;
use crate::call::ToolCall;
use crate::clock::Timer;
use crate::denial::Denial;
use crate::fence::fenced;
use crate::store::{BoxFuture, KernelError};

/// What a guard is shown: a call that is proven, granted and paid.
#[derive(Clone, Copy, Debug)]
pub struct GuardView<'a> {
    /// The call.
    pub call: &'a ToolCall,
    /// Who calls: the text of the subject's key.
    pub principal: &'a str,
    /// The id of the leaf capability.
    pub capability_id: &'a str,
    /// The time of the call, in Unix seconds.
    pub now: u64,
}

/// What a guard says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GuardAnswer {
    /// It has nothing against the call.
    Allow,
    /// It denies the call.
    Deny {
        /// Why, for operators. It must not hold a secret or the value of an argument.
        reason: String,
    },
}

/// A check of the kernel's owner. Every guard is asked, in the order in which they were installed, and each must allow.
pub trait Guard: Send + Sync {
    /// Its name, for operators.
    fn name(&self) -> &str;

    /// Checks a call. A guard that errs, panics or does not answer in time denies.
    fn check<'a>(&'a self, view: GuardView<'a>) -> BoxFuture<'a, Result<GuardAnswer, KernelError>>;
}

/// Asks every guard.
pub(crate) async fn ask(
    guards: &[Arc<dyn Guard>],
    paid: &PaidCall,
    timer: &dyn Timer,
    patience: Duration,
    now: u64,
) -> Result<(), Denial> {
    let authority = paid.proven.authority();
    for guard in guards {
        let view = GuardView {
            call: paid.proven.call(),
            principal: authority.principal(),
            capability_id: authority.capability_id(),
            now,
        };
        let reason = match fenced(timer, Some(patience), || guard.check(view)).await {
            Ok(Ok(GuardAnswer::Allow)) => continue,
            Ok(Ok(GuardAnswer::Deny { reason })) => reason,
            Ok(Err(error)) => error.to_string(),
            Err(lapse) => format!("it {lapse}"),
        };
        return Err(Denial::GuardDenied { guard: guard.name().to_owned(), reason });
    }
    Ok(())
}
