//! The times that a model has given its files: its clock and the resolution of its filesystem are its own, so that no
//! outcome depends on how quick the machine is.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;

thread_local! {
    static STAMPS: RefCell<HashMap<u64, (i64, i64)>> = RefCell::default();
    static CHANGED: RefCell<HashMap<u64, i64>> = RefCell::default();
    static COPIES_UP: Cell<Option<bool>> = const { Cell::new(None) };
}

/// When the file with this inode was created and last written, if a model has said so.
pub(crate) fn of(inode: u64) -> Option<(i64, i64)> {
    STAMPS.with_borrow(|stamps| stamps.get(&inode).copied())
}

/// From now on the file with this inode has these times.
pub(crate) fn set(inode: u64, times: (i64, i64)) {
    STAMPS.with_borrow_mut(|stamps| stamps.insert(inode, times));
}

/// When the file with this inode lost a name, if a model has said so.
pub(crate) fn changed(inode: u64) -> Option<i64> {
    CHANGED.with_borrow(|stamps| stamps.get(&inode).copied())
}

/// From now on it has lost a name at this time.
pub(crate) fn set_changed(inode: u64, time: i64) {
    CHANGED.with_borrow_mut(|stamps| stamps.insert(inode, time));
}

/// Whether its filesystem is overlayfs, if a model has said so.
pub(crate) fn copies_up() -> Option<bool> {
    COPIES_UP.get()
}

/// From now on it is, or is not.
pub(crate) fn set_copies_up(copies_up: bool) {
    COPIES_UP.set(Some(copies_up));
}

/// A new model begins.
pub(crate) fn clear() {
    COPIES_UP.set(None);
    STAMPS.with_borrow_mut(HashMap::clear);
    CHANGED.with_borrow_mut(HashMap::clear);
}
