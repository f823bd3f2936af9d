//! The sink of log lines: which signatures they are counted for, and what those look like that no signature knows.

use std::cell::{Cell, OnceCell, RefCell};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

use super::counter::{self, Before, Counted};
use super::matched::{Matched, Values};
use super::matcher::Matcher;
use super::twins::Twins;
use crate::live::{Live, lock};
use crate::log_line::header::{Headers, Line};
use crate::log_line::json;
use crate::log_line::kernel_clock::kernel_start;
use crate::log_line::times::{Clock, Time};
use crate::sources::published::Counts;
use crate::sources::sink::{Batch, Carry, Message, Sink};
use crate::unknown_lines::Shapes;

/// A time that is ahead of the clock by more is not believed.
const MAX_AHEAD: Duration = Duration::from_secs(300);

/// Takes a line that says how a process ended, and its time in milliseconds since 1970.
pub(crate) type OnEnding = Box<dyn Fn(u64, &[u8]) + Send + Sync>;

/// What the lines of all sources are counted with.
pub(crate) struct Meanings {
    /// The signatures that are on now.
    pub matcher: Live<Matcher>,
    /// The labels of captures.
    pub values: Values,
    /// Shapes of lines that no signature matched; for people, and not kept over a restart.
    pub unknown: Mutex<Shapes>,
    /// The zone of the host, which the times of its lines are of.
    pub zone: TimeZone,
    /// Is told of each such line.
    pub on_ending: OnEnding,
}

impl Meanings {
    /// With these signatures, and nothing counted yet.
    pub(crate) fn new(
        matcher: Matcher,
        zone: TimeZone,
        on_ending: impl Fn(u64, &[u8]) + Send + Sync + 'static,
    ) -> Self {
        let (values, unknown) = Default::default();
        let (matcher, on_ending) = (Live::new(matcher), Box::new(on_ending));
        Self { matcher, values, unknown, zone, on_ending }
    }
}

/// Counts the lines of one source.
pub(crate) struct LineSink {
    pub meanings: Arc<Meanings>,
    /// How its lines are taken apart.
    pub headers: Headers,
}

/// What the lines of a source add up to.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LineCounts {
    /// By id of the signature: another catalogue may give it another place, or take it out for a while.
    pub signatures: BTreeMap<String, Matched>,
    /// Audit events that may be told a second time.
    pub twins: Twins,
}

impl Carry for Before {
    fn split_off(&mut self) -> Self {
        // When the kernel started is what the next lines under this name need as well.
        let given = self.clone();
        self.forget_line();
        given
    }

    fn waits(&self) -> bool {
        false
    }
}

impl Sink for LineSink {
    type Carry = Before;
    type Counts = LineCounts;
    type Batch<'s> = LineBatch<'s>;

    fn begin_batch(&self, now: SystemTime) -> LineBatch<'_> {
        let matcher = self.meanings.matcher.get();
        let (clock, unmatched) = (OnceCell::new(), Cell::new(0));
        LineBatch {
            meanings: &self.meanings,
            headers: self.headers,
            matcher,
            now,
            clock,
            unmatched,
        }
    }
}

/// Of the lines of one piece that nothing matches, so many are all looked at for their shape, and then
/// one of [`SHARE`]: looking costs more than matching, and catching up must not.
const ALL: u64 = 64;
const SHARE: u64 = 16;

/// Counts the lines of one piece.
pub(crate) struct LineBatch<'s> {
    meanings: &'s Meanings,
    headers: Headers,
    /// The signatures of this piece.
    matcher: Arc<Matcher>,
    now: SystemTime,
    /// The times of lines, and when the kernel started; of few pieces any is asked for.
    clock: OnceCell<(RefCell<Clock>, i64)>,
    /// Lines of this piece that nothing matched.
    unmatched: Cell<u64>,
}

impl Batch for LineBatch<'_> {
    type Carry = Before;
    type Counts = LineCounts;

    fn count(&self, message: Message<'_>, before: &mut Before, to: &mut Counts<LineCounts>) {
        match message {
            Message::Line(bytes) => match json::lines(bytes) {
                Some(lines) if self.headers == Headers::Any => {
                    for (nth, line) in lines.iter().enumerate() {
                        // The runner has counted one.
                        if nth > 0 {
                            to.read.add_line(self.now);
                        }
                        self.count_text(line, before, to);
                    }
                }
                _ => self.count_text(bytes, before, to),
            },
            Message::Parsed { .. } => self.count_parsed(message, to),
        }
    }

    fn expire(&self, _: &mut Before, _: &mut Counts<LineCounts>) {}

    fn join(&self, own: &mut Before, given: Before, _: &mut Counts<LineCounts>) {
        *own = given;
    }
}

impl LineBatch<'_> {
    fn count_text(&self, bytes: &[u8], before: &mut Before, to: &mut Counts<LineCounts>) {
        if before.passes(&self.matcher, bytes) {
            to.read.add_unmatched(None);
            self.note_shape(|| self.headers.parse(bytes), bytes, None);
            return;
        }
        let mut twins = std::mem::take(&mut to.sink.twins);
        self.with_counter(|counter| {
            counter.text(bytes, self.headers, (before, &mut twins), |counted| {
                self.add(counted, None, to);
            });
        });
        to.sink.twins = twins;
    }

    fn count_parsed(&self, message: Message<'_>, to: &mut Counts<LineCounts>) {
        let Message::Parsed { line, level, when, audit_serial } = message else { return };
        if !self.matcher.concerns(line.message) {
            to.read.add_unmatched(level);
            self.note_shape(|| line, line.message, level);
            return;
        }
        let mut twins = std::mem::take(&mut to.sink.twins);
        // No message repeats another in words, and each has its own time.
        let memory = (&mut Before::default(), &mut twins);
        let known = (audit_serial, when.uptime.map(|_| kernel_start()));
        let counted = counter::message(&self.matcher, &line, when, known, memory);
        self.add(&counted, level, to);
        to.sink.twins = twins;
    }

    /// Lends what finds out which signatures lines are counted for.
    fn with_counter<'m, R>(&'m self, ask: impl FnOnce(&mut counter::Counter<'m, '_>) -> R) -> R {
        let (clock, current) = self.clock.get_or_init(|| {
            let now = self.now.duration_since(UNIX_EPOCH).unwrap_or_default();
            let now = i64::try_from(now.as_micros()).unwrap_or(i64::MAX);
            (RefCell::new(Clock::new(self.meanings.zone.clone(), now)), kernel_start())
        });
        let (clock, current) = (&mut clock.borrow_mut(), Some(*current));
        ask(&mut counter::Counter { matcher: &self.matcher, clock, current })
    }

    fn add(&self, counted: &Counted<'_, '_>, level: Option<u8>, to: &mut Counts<LineCounts>) {
        if !counted.known {
            to.read.add_unmatched(level);
            self.note_shape(|| counted.line, counted.text, level);
            return;
        }
        let time = self.believed(counted.time);
        for found in &counted.matches {
            let signature = &self.matcher.signatures()[found.signature];
            let id = &signature.id.value;
            if !to.sink.signatures.contains_key(id) {
                to.sink.signatures.insert(id.clone(), Matched::default());
            }
            if signature.ends_process {
                let millis = time.duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
                (self.meanings.on_ending)(u64::try_from(millis).unwrap_or(u64::MAX), counted.text);
            }
            let Some(matched) = to.sink.signatures.get_mut(id) else { continue };
            matched.count = matched.count.saturating_add(found.count);
            matched.last = matched.last.max(time);
            for (name, value) in &found.captures {
                let label = self.meanings.values.label(id, name, value);
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
    fn note_shape<'l>(&self, line: impl FnOnce() -> Line<'l>, bytes: &[u8], level: Option<u8>) {
        let nth = self.unmatched.get();
        self.unmatched.set(nth + 1);
        let weight = match nth {
            0..ALL => 1,
            nth if nth % SHARE == 0 => SHARE,
            _ => return,
        };
        let line = line();
        let mut unknown = lock(&self.meanings.unknown);
        unknown.add(line.program, line.message, bytes, level, weight);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::OTHER;
    use crate::signatures::matched::MAX_VALUES;

    #[test]
    fn values_beyond_the_bound_sum_up_in_other_and_never_go_back() {
        let yaml =
            "- {id: a, title: t, pattern: 'from (?P<who>\\S+)', severity: info, verdict: watch,
            captures: [who]}";
        let matcher = Matcher::new(serde_saphyr::from_str(yaml).unwrap());
        let meanings = Arc::new(Meanings::new(matcher, TimeZone::UTC, |_, _| {}));
        let sink = LineSink { meanings, headers: Headers::Any };
        let (mut counts, mut before) = (Counts::default(), Before::default());
        let batch = sink.begin_batch(SystemTime::now());
        for round in 0..3 {
            for who in 0..30 {
                let line = format!("from host{who}");
                batch.count(Message::Line(line.as_bytes()), &mut before, &mut counts);
            }
            let who = &counts.sink.signatures["a"].captures["who"];
            assert_eq!(who.len(), MAX_VALUES + 1);
            assert_eq!((who["host0"], who[OTHER]), (round + 1, (round + 1) * 10));
        }
        batch.count(Message::Line(b"nothing"), &mut before, &mut counts);
        assert_eq!((counts.read.unmatched(), counts.sink.signatures["a"].count), (1, 90));
    }

    /// Lines are counted as often as they are matched or not, also where several stand in one.
    #[test]
    fn lines_in_json_are_counted_as_what_they_stand_for() {
        let yaml = "
- {id: a, title: t, programs: [sshd], pattern: '^Failed \"x\"', severity: info, verdict: watch}
- {id: b, title: t, pattern: '^gone', severity: info, verdict: watch}";
        let journal = r#"{"__REALTIME_TIMESTAMP":"1795151310500000","SYSLOG_IDENTIFIER":"sshd",
            "MESSAGE":"Failed \"x\"\nand more\nand more"}"#;
        let docker = r#"{"log":"gone\n","stream":"stderr","time":"2026-11-20T05:08:30Z"}"#;
        let other = r#"{"msg":"gone"}"#;
        for (headers, matched, lines) in
            [(Headers::Any, vec!["a", "b"], 5), (Headers::Absent, vec![], 3)]
        {
            let matcher = Matcher::new(serde_saphyr::from_str(yaml).unwrap());
            let meanings = Arc::new(Meanings::new(matcher, TimeZone::UTC, |_, _| {}));
            let sink = LineSink { meanings, headers };
            let (mut counts, mut before) = (Counts::<LineCounts>::default(), Before::default());
            let batch = sink.begin_batch(SystemTime::now());
            for line in [journal, docker, other] {
                counts.read.add_line(SystemTime::now());
                batch.count(Message::Line(line.as_bytes()), &mut before, &mut counts);
            }
            let ids: Vec<_> = counts.sink.signatures.keys().map(String::as_str).collect();
            assert_eq!(ids, matched);
            let all = counts.read.unmatched() + matched.len() as u64;
            assert_eq!((counts.read.lines, all), (lines, lines));
        }
    }
}
