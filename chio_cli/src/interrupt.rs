//! Ctrl-C waits while a file is put in its place, so that nothing half done is left beside it.

/// While it lives, the process is not ended from its terminal. Then it is, if that was asked for.
pub(crate) struct Held;

#[cfg(unix)]
mod held {
    use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
    use std::sync::{Arc, OnceLock};

    use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
    use signal_hook::flag;
    use signal_hook::low_level::emulate_default_handler;

    struct Signals {
        /// Whether a signal has its usual effect.
        usual: Arc<AtomicBool>,
        /// The signal that came while it had none; 0 for none.
        came: Arc<AtomicUsize>,
    }

    fn signals() -> &'static Signals {
        static SIGNALS: OnceLock<Signals> = OnceLock::new();
        SIGNALS.get_or_init(|| {
            let signals = Signals { usual: Arc::new(AtomicBool::new(true)), came: Arc::default() };
            for signal in [SIGHUP, SIGINT, SIGTERM] {
                // Where a signal cannot be held it ends the process, as ever.
                let _ = flag::register_conditional_default(signal, Arc::clone(&signals.usual));
                let number = usize::try_from(signal).unwrap_or_default();
                let _ = flag::register_usize(signal, Arc::clone(&signals.came), number);
            }
            signals
        })
    }

    pub(super) fn hold() {
        signals().usual.store(false, Ordering::SeqCst);
    }

    pub(super) fn release() {
        let Signals { usual, came } = signals();
        usual.store(true, Ordering::SeqCst);
        if let Some(signal) = i32::try_from(came.load(Ordering::SeqCst)).ok().filter(|signal| *signal > 0) {
            let _ = emulate_default_handler(signal);
        }
    }
}

pub(crate) fn hold() -> Held {
    #[cfg(unix)]
    held::hold();
    Held
}

/// From now on, and to its end, the process minds these signals itself.
#[cfg(unix)]
pub(crate) fn hand_over() {
    held::hold();
}

impl Drop for Held {
    fn drop(&mut self) {
        #[cfg(unix)]
        held::release();
    }
}

#[cfg(all(test, unix))]
mod tests {
    #[test]
    fn a_signal_waits() {
        let held = super::hold();
        signal_hook::low_level::raise(signal_hook::consts::SIGINT).unwrap();
        // Without the hold, nobody comes here. Released, the process that runs the tests would end.
        std::mem::forget(held);
    }
}
