//! What the lines of one source add up to, and how far they were read: published together.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use super::file::Position;
use super::header::Line;
use super::matcher::Matcher;
use crate::metrics::{OTHER, label_text};

/// Values of one capture that make series; the rest is summed up. First come, first served, for good:
/// a counter never goes back.
const MAX_VALUES: usize = 20;

/// A longer value is not worth a label.
const MAX_VALUE_BYTES: usize = 128;

/// The values of captures that have a series of their own, of all sources together.
#[derive(Debug, Default)]
pub struct Values(Mutex<HashMap<(usize, String), HashSet<String>>>);

impl Values {
    /// The label for a value: itself while there is room, else `other`.
    fn label(&self, signature: usize, name: &str, value: &[u8]) -> String {
        let value = label_text(&value[..value.len().min(MAX_VALUE_BYTES)]);
        let mut taken = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let values = taken.entry((signature, name.to_owned())).or_default();
        if values.contains(&value) || values.len() < MAX_VALUES {
            values.insert(value.clone());
            return value;
        }
        OTHER.to_owned()
    }
}

/// Counts of a source since start.
#[derive(Debug, Clone, Default)]
pub struct Counts {
    /// Lines read, each once, however often it says it was repeated.
    pub lines: u64,
    /// Bytes read.
    pub bytes: u64,
    /// Lines that no signature matched.
    pub unmatched: u64,
    /// When the last line was read.
    pub last_line: Option<SystemTime>,
    /// By position of the signature.
    pub signatures: HashMap<usize, Matched>,
}

/// What one signature has counted.
#[derive(Debug, Clone)]
pub struct Matched {
    /// Events.
    pub count: u64,
    /// When the last of them was read.
    pub last: SystemTime,
    /// By name of the capture and value.
    pub captures: BTreeMap<String, BTreeMap<String, u64>>,
}

/// A source as others see it: positions, and the counts of exactly what lies before them.
#[derive(Debug, Clone, Default)]
pub struct Published {
    /// Where each file has been read to; `Err` says why one cannot be.
    pub files: BTreeMap<PathBuf, Result<Position, String>>,
    /// The counts.
    pub counts: Counts,
}

impl Counts {
    /// Counts one line.
    pub fn add(&mut self, line: &Line<'_>, matcher: &Matcher, values: &Values, now: SystemTime) {
        self.lines += 1;
        self.last_line = Some(now);
        let matches = matcher.matches(line);
        if matches.is_empty() {
            self.unmatched += 1;
        }
        for found in matches {
            let matched = self.signatures.entry(found.signature).or_insert_with(|| Matched {
                count: 0,
                last: now,
                captures: BTreeMap::new(),
            });
            matched.count = matched.count.saturating_add(found.count);
            matched.last = now;
            for (name, value) in found.captures {
                let label = values.label(found.signature, name, value);
                let counted = matched.captures.entry(name.to_owned()).or_default();
                let total = counted.entry(label).or_default();
                *total = total.saturating_add(found.count);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::logs::header;

    #[test]
    fn values_beyond_the_bound_sum_up_in_other_and_never_go_back() {
        let yaml =
            "- {id: a, title: t, pattern: 'from (?P<who>\\S+)', severity: info, verdict: watch,
            captures: [who]}";
        let matcher = Matcher::new(serde_saphyr::from_str(yaml).unwrap());
        let (values, mut counts) = (Values::default(), Counts::default());
        for round in 0..3 {
            for who in 0..30 {
                let line = format!("from host{who}");
                counts.add(&header::parse(line.as_bytes()), &matcher, &values, SystemTime::now());
            }
            let who = &counts.signatures[&0].captures["who"];
            assert_eq!(who.len(), MAX_VALUES + 1);
            assert_eq!((who["host0"], who[OTHER]), (round + 1, (round + 1) * 10));
        }
        counts.add(&header::parse(b"nothing"), &matcher, &values, SystemTime::now());
        assert_eq!((counts.lines, counts.unmatched, counts.signatures[&0].count), (91, 1, 90));
    }
}
