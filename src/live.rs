//! A value that one thread replaces now and then, and that others read as a whole.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Handles to the same value.
#[derive(Debug, Default)]
pub(crate) struct Live<T>(Arc<Mutex<Arc<T>>>);

impl<T> Live<T> {
    /// With a first value.
    pub(crate) fn new(value: T) -> Self {
        Self(Arc::new(Mutex::new(Arc::new(value))))
    }

    /// The value now; it stays what it is while it is held.
    pub(crate) fn get(&self) -> Arc<T> {
        Arc::clone(&lock(&self.0))
    }

    /// Replaces it for everybody who asks from now on.
    pub(crate) fn set(&self, value: T) {
        *lock(&self.0) = Arc::new(value);
    }
}

impl<T> Clone for Live<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

/// Locks it, whatever happened to who had it before: what a thread that panicked has left is as good as what it
/// had put there.
pub(crate) fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}
