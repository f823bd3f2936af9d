//! What signatures have counted, and which values of their captures make series.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Mutex;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use crate::live::lock;
use crate::metrics::OTHER;
use crate::text;

/// Values of one capture that make series; the rest is summed up. First come, first served, for good:
/// a counter never goes back.
pub(crate) const MAX_VALUES: usize = 20;

/// A longer value is not worth a label.
const MAX_VALUE_BYTES: usize = 128;

/// The values of captures that have a series of their own, of all sources together.
#[derive(Debug, Default)]
pub(crate) struct Values(Mutex<HashMap<(String, String), HashSet<String>>>);

impl Values {
    /// The label for a value: itself while there is room, else `other`.
    pub(crate) fn label(&self, id: &str, name: &str, value: &[u8]) -> String {
        let value = text::label(&value[..value.len().min(MAX_VALUE_BYTES)]);
        self.claim(id, name, value)
    }

    /// The label for a value that was one before.
    pub(crate) fn claim(&self, id: &str, name: &str, value: String) -> String {
        let mut taken = lock(&self.0);
        let values = taken.entry((id.to_owned(), name.to_owned())).or_default();
        if values.contains(&value) || values.len() < MAX_VALUES {
            values.insert(value.clone());
            return value;
        }
        OTHER.to_owned()
    }
}

/// What one signature has counted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Matched {
    pub count: u64,
    /// When the last of them was written, by its own time; else when it was read.
    pub last: SystemTime,
    /// By name of the capture and value.
    pub captures: BTreeMap<String, BTreeMap<String, u64>>,
}

impl Default for Matched {
    fn default() -> Self {
        Self { count: 0, last: UNIX_EPOCH, captures: BTreeMap::new() }
    }
}

impl Matched {
    /// Adds what another source has counted.
    pub(crate) fn merge(&mut self, other: Self) {
        self.count = self.count.saturating_add(other.count);
        self.last = self.last.max(other.last);
        for (name, values) in other.captures {
            let mine = self.captures.entry(name).or_default();
            for (value, count) in values {
                let total = mine.entry(value).or_default();
                *total = total.saturating_add(count);
            }
        }
    }
}
