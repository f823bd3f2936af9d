//! The time, as the files of logs are followed by it. A model sets it, so that no outcome depends on how quick the
//! machine is.

use std::time::{Instant, SystemTime};

/// By a clock that never goes backwards.
pub(super) fn monotonic() -> Instant {
    #[cfg(test)]
    if let Some((now, _)) = model::now() {
        return now;
    }
    Instant::now()
}

/// By the clock that files are stamped with, in nanoseconds since 1970.
pub(super) fn wall_nanos() -> i64 {
    #[cfg(test)]
    if let Some((_, wall)) = model::now() {
        return wall;
    }
    super::content::nanos(SystemTime::now())
}

/// The clock of the model that runs in this thread.
#[cfg(test)]
pub(super) mod model {
    use std::cell::Cell;
    use std::time::Instant;

    thread_local! {
        static NOW: Cell<Option<(Instant, i64)>> = const { Cell::new(None) };
    }

    /// The time, if a model has set it.
    pub(crate) fn now() -> Option<(Instant, i64)> {
        NOW.get()
    }

    pub(crate) fn set(now: Instant, wall_nanos: i64) {
        NOW.set(Some((now, wall_nanos)));
    }
}
