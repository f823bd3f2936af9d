//! What the lines of one source add up to, and how far they were read: published together.

use std::cell::{Cell, OnceCell, RefCell};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

use super::boot::{When, kernel_start};
use super::counter::{self, Before, Counted, Parse};
use super::effects::{LostMessages, Sums};
use super::header::Line;
use super::matcher::Matcher;
use super::times::{Clock, Time};
use super::twins::Twins;
use super::unknown::Shapes;
use super::{follower, journal, kmsg, lock};
use crate::audit::events::event::Event;
use crate::audit::events::facts::Facts;
use crate::audit::events::joiner::{Joiner, Limits};
use crate::audit::events::recent::{ENDINGS, Recent};
use crate::audit::events::totals::Totals;
use crate::live::Live;
use crate::metrics::OTHER;
use crate::text;

/// Values of one capture that make series; the rest is summed up. First come, first served, for good:
/// a counter never goes back.
const MAX_VALUES: usize = 20;

/// A longer value is not worth a label.
const MAX_VALUE_BYTES: usize = 128;

/// The values of captures that have a series of their own, of all sources together.
#[derive(Debug, Default)]
pub(crate) struct Values(Mutex<HashMap<(String, String), HashSet<String>>>);

impl Values {
    /// The label for a value: itself while there is room, else `other`.
    fn label(&self, id: &str, name: &str, value: &[u8]) -> String {
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

/// Levels of severity by their number, in the names of syslog(3).
pub(crate) const LEVELS: [&str; 8] =
    ["emerg", "alert", "crit", "err", "warning", "notice", "info", "debug"];

/// A count for each level, and last for lines that have none.
pub(crate) type ByLevel = [u64; LEVELS.len() + 1];

/// Counts of a source since start.
#[derive(Debug, Clone, Default)]
pub(crate) struct Counts {
    /// Lines read, each once, however often it says it was repeated.
    pub lines: u64,
    pub bytes: u64,
    /// Lines that no signature matched, by level.
    pub unmatched: ByLevel,
    /// Rotations, and bytes that no line was made of.
    pub sums: Sums,
    /// When the last line was read.
    pub last_line: Option<SystemTime>,
    /// What audit events add up to.
    pub audit: Totals,
    /// By id of the signature: another catalogue may give it another place, or take it out for a while.
    pub signatures: BTreeMap<String, Matched>,
    /// Audit events that may be told a second time.
    pub twins: Twins,
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

/// A source as others see it: positions, and the counts of exactly what lies before them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Published {
    pub files: BTreeMap<PathBuf, File>,
    /// How far the kernel's log or the journal is read.
    pub place: Option<Place>,
    /// Why the source as a whole cannot be read.
    pub error: Option<String>,
    /// Something of it was read since this start: until then what it counts is not known.
    pub read: bool,
    /// When its thread last came back from looking for more.
    pub looked: Option<Instant>,
    pub counts: Counts,
    /// What is to be known about the source.
    pub notes: Vec<String>,
}

/// A thread that looks twice a second, or each minute where it fails, and has not come back for so long is held
/// up by its filesystem.
const HUNG: Duration = Duration::from_secs(120);

impl Published {
    /// What is wrong where the thread does not come back from looking.
    pub(crate) fn hangs(&self) -> Option<String> {
        let since = self.looked?.elapsed();
        (since > HUNG).then(|| {
            format!("reading has not come back for {} s: its filesystem hangs", since.as_secs())
        })
    }
}

/// How far a log is read whose messages are numbered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Place {
    /// The kernel's.
    Kmsg(kmsg::Position),
    /// journald's.
    Journal(journal::Position),
}

/// A log of a source.
#[derive(Debug, Clone, Default)]
pub(crate) struct File {
    /// Which files it is, and how far they are read.
    pub state: follower::State,
    /// What its next line needs to know of those before.
    pub before: Before,
    /// Audit records whose event is not complete; of logs of the audit daemon only.
    pub joiner: Option<Joiner>,
    /// Why it cannot be read.
    pub error: Option<String>,
}

/// A time that is ahead of the clock by more is not believed.
const MAX_AHEAD: Duration = Duration::from_secs(300);

/// What all sources share.
pub(crate) struct Shared {
    /// The signatures that are on now.
    pub matcher: Live<Matcher>,
    /// The labels of captures.
    pub values: Values,
    /// Shapes of lines that no signature matched; for people, and not kept over a restart.
    pub unknown: Mutex<Shapes>,
    /// The last stories of the audit events; for people too.
    pub recent: Mutex<Recent>,
    /// The zone of the host, which the times of its lines are of.
    pub zone: TimeZone,
}

/// Of the lines of one piece that nothing matches, so many are all looked at for their shape, and then
/// one of [`SHARE`]: looking costs more than matching, and catching up must not.
const ALL: u64 = 64;
const SHARE: u64 = 16;

/// What the lines of a source are.
#[derive(Clone, Copy)]
pub(crate) enum Form {
    /// Text, taken apart so.
    Text(Parse),
    /// Records of the audit log, at this time of a clock that never goes backwards, in milliseconds.
    Audit(u64),
}

/// What lines of one piece are counted with.
pub(crate) struct Counter<'a> {
    /// What all sources share.
    pub shared: &'a Shared,
    /// The signatures of this piece.
    pub matcher: Arc<Matcher>,
    /// What they are.
    pub form: Form,
    pub now: SystemTime,
    /// The times of lines, and when the kernel started; of few pieces any is asked for.
    clock: OnceCell<(RefCell<Clock>, i64)>,
    /// Lines of this piece that nothing matched.
    pub unmatched: Cell<u64>,
}

impl<'a> Counter<'a> {
    /// For lines of this kind that are read now.
    pub(crate) fn new(shared: &'a Shared, form: Form) -> Self {
        let (matcher, now) = (shared.matcher.get(), SystemTime::now());
        let (clock, unmatched) = (OnceCell::new(), Cell::new(0));
        Self { shared, matcher, form, now, clock, unmatched }
    }

    /// Counts a line of a file.
    pub(crate) fn count(&self, bytes: &[u8], file: &mut File, counts: &mut Counts) {
        match self.form {
            Form::Text(parse) => self.count_text(bytes, parse, &mut file.before, counts),
            Form::Audit(_) => self.count_record(bytes, &mut file.joiner, counts),
        }
    }

    /// Counts an audit record, and the events that are complete with it.
    pub(crate) fn count_record(
        &self,
        bytes: &[u8],
        joiner: &mut Option<Joiner>,
        counts: &mut Counts,
    ) {
        let Form::Audit(now) = self.form else { return };
        let mut ended = Vec::new();
        let joiner = joiner.get_or_insert_with(|| Joiner::new(Limits::default()));
        let late = joiner.late();
        if joiner.take(bytes, now, &mut ended) {
            counts.lines += 1;
            counts.last_line = Some(self.now);
        } else {
            counts.pass(self.now, None);
        }
        counts.sums.lose_messages(LostMessages::Unjoined, joiner.late() - late);
        self.count_events(&ended, counts);
    }

    /// Counts the audit events that nothing came for any more; to be called where there is nothing more to read.
    pub(crate) fn expire(&self, joiner: &mut Option<Joiner>, counts: &mut Counts) {
        let (Form::Audit(now), Some(joiner)) = (self.form, joiner) else { return };
        let mut ended = Vec::new();
        joiner.expire(now, &mut ended);
        self.count_events(&ended, counts);
        lock(&self.shared.recent).expire();
    }

    /// Joins the audit events that are open in a log whose file was renamed to the name of another with those that
    /// are open there.
    pub(crate) fn join(
        &self,
        own: &mut Option<Joiner>,
        given: Option<Joiner>,
        counts: &mut Counts,
    ) {
        let Form::Audit(now) = self.form else { return };
        let (Some(first), Some(second)) = (own.as_ref(), given.as_ref()) else {
            *own = own.take().or(given);
            return;
        };
        let mut out = Vec::new();
        let ended = first.ended().chain(second.ended()).cloned();
        let lines = first.open_lines().chain(second.open_lines());
        *own = Some(Joiner::resumed(Limits::default(), ended, lines, now, &mut out));
        self.count_events(&out, counts);
    }

    fn count_events(&self, ended: &[Event], counts: &mut Counts) {
        for event in ended {
            counts.sums.lose_messages(LostMessages::Unjoined, event.left_out);
            let facts = Facts::of(event);
            counts.audit.add(&facts);
            lock(&self.shared.recent).add(facts);
        }
    }

    /// Counts a line of text.
    fn count_text(&self, bytes: &[u8], parse: Parse, before: &mut Before, counts: &mut Counts) {
        if before.passes(&self.matcher, bytes) {
            counts.pass(self.now, None);
            self.note(|| parse(bytes), bytes, None);
            return;
        }
        let mut twins = std::mem::take(&mut counts.twins);
        self.with_lines(|lines| {
            lines.text(bytes, parse, (before, &mut twins), |counted| {
                self.add(counted, None, counts);
            });
        });
        counts.twins = twins;
    }

    /// Counts a message that came taken apart, with its level and what is known of its time; `serial`: of the
    /// audit event that it tells.
    pub(crate) fn count_message(
        &self,
        line: &Line<'_>,
        level: Option<u8>,
        (when, serial): (When, Option<u64>),
        counts: &mut Counts,
    ) {
        counts.bytes += line.message.len() as u64;
        if !self.matcher.concerns(line.message) {
            counts.pass(self.now, level);
            self.note(|| *line, line.message, level);
            return;
        }
        let mut twins = std::mem::take(&mut counts.twins);
        let memory = (&mut Before::default(), &mut twins);
        let known = (serial, when.uptime.map(|_| kernel_start()));
        let counted = counter::message(&self.matcher, line, when, known, memory);
        self.add(&counted, level, counts);
        counts.twins = twins;
    }

    /// Asks what lines are.
    fn with_lines<'m, R>(&'m self, ask: impl FnOnce(&mut counter::Counter<'m, '_>) -> R) -> R {
        let (clock, current) = self.clock.get_or_init(|| {
            let now = self.now.duration_since(UNIX_EPOCH).unwrap_or_default();
            let now = i64::try_from(now.as_micros()).unwrap_or(i64::MAX);
            (RefCell::new(Clock::new(self.shared.zone.clone(), now)), kernel_start())
        });
        let (clock, current) = (&mut clock.borrow_mut(), Some(*current));
        ask(&mut counter::Counter { matcher: &self.matcher, clock, current })
    }

    fn add(&self, counted: &Counted<'_, '_>, level: Option<u8>, counts: &mut Counts) {
        if !counted.known {
            counts.pass(self.now, level);
            self.note(|| counted.line, counted.text, level);
            return;
        }
        counts.lines += 1;
        counts.last_line = Some(self.now);
        let time = self.believed(counted.time);
        for found in &counted.matches {
            let id = &self.matcher.signatures()[found.signature].id.value;
            if !counts.signatures.contains_key(id) {
                counts.signatures.insert(id.clone(), Matched::default());
            }
            if ENDINGS.contains(&&**id) {
                let millis = time.duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
                let millis = u64::try_from(millis).unwrap_or(u64::MAX);
                lock(&self.shared.recent).add_line(millis, counted.text);
            }
            let Some(matched) = counts.signatures.get_mut(id) else { continue };
            matched.count = matched.count.saturating_add(found.count);
            matched.last = matched.last.max(time);
            for (name, value) in &found.captures {
                let label = self.shared.values.label(id, name, value);
                let counted = matched.captures.entry((*name).to_owned()).or_default();
                let total = counted.entry(label).or_default();
                *total = total.saturating_add(found.count);
            }
        }
    }

    /// When a line was written by its own word, if that can be.
    fn believed(&self, time: Option<Time>) -> SystemTime {
        let own = match time {
            Some(Time::At(micros)) => u64::try_from(micros).ok(),
            _ => None,
        };
        let own = own.and_then(|micros| UNIX_EPOCH.checked_add(Duration::from_micros(micros)));
        own.filter(|own| self.now + MAX_AHEAD >= *own).unwrap_or(self.now)
    }

    /// Notes the shape of a line that nothing matches, or of one in so many.
    fn note<'l>(&self, line: impl FnOnce() -> Line<'l>, bytes: &[u8], level: Option<u8>) {
        let nth = self.unmatched.get();
        self.unmatched.set(nth + 1);
        let weight = match nth {
            0..ALL => 1,
            nth if nth % SHARE == 0 => SHARE,
            _ => return,
        };
        let line = line();
        let mut unknown = lock(&self.shared.unknown);
        unknown.add(line.program, line.message, bytes, level, weight);
    }
}

impl Counts {
    /// Lines that no signature matched, of all levels.
    pub(crate) fn unmatched(&self) -> u64 {
        self.unmatched.iter().sum()
    }

    /// Counts a line that nothing matches.
    fn pass(&mut self, now: SystemTime, level: Option<u8>) {
        self.lines += 1;
        let level = level.map_or(LEVELS.len(), |level| usize::from(level & 7));
        self.unmatched[level] += 1;
        self.last_line = Some(now);
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::logs::header;

    #[test]
    fn values_beyond_the_bound_sum_up_in_other_and_never_go_back() {
        let yaml =
            "- {id: a, title: t, pattern: 'from (?P<who>\\S+)', severity: info, verdict: watch,
            captures: [who]}";
        let matcher = Live::new(Matcher::new(serde_saphyr::from_str(yaml).unwrap()));
        let (values, unknown, recent) = Default::default();
        let shared = Shared { matcher, values, unknown, recent, zone: TimeZone::UTC };
        let (mut counts, mut file) = (Counts::default(), File::default());
        let counter = Counter::new(&shared, Form::Text(header::parse));
        for round in 0..3 {
            for who in 0..30 {
                let line = format!("from host{who}");
                counter.count(line.as_bytes(), &mut file, &mut counts);
            }
            let who = &counts.signatures["a"].captures["who"];
            assert_eq!(who.len(), MAX_VALUES + 1);
            assert_eq!((who["host0"], who[OTHER]), (round + 1, (round + 1) * 10));
        }
        counter.count(b"nothing", &mut file, &mut counts);
        assert_eq!((counts.lines, counts.unmatched(), counts.signatures["a"].count), (91, 1, 90));
    }
}
