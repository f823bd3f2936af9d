//! What a line is, and how often it counts: one answer for the service and for `scan`.
//!
//! A line is taken apart, or says that the one before was repeated; signatures match it; it has a time of its
//! own; and it may tell an event that another line of its log has told. What is made of that, series or a
//! report, is up to who asks.

use std::hash::Hasher as _;

use serde::{Deserialize, Serialize};
use siphasher::sip::SipHasher13;

use super::matcher::{Match, Matcher};
use super::twins::{Audit, Twins};
use crate::log_line::header::{self, Headers, Line};
use crate::log_line::kernel_clock::{self, Boot, When};
use crate::log_line::times::{Clock, SECOND, Time};

/// A longer line is not remembered for being repeated.
const MAX_PREVIOUS: usize = 4096;

/// What the next line of a log needs to know of those before.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Before {
    /// The last line, if it was counted: the next may say that it was repeated.
    previous: Vec<u8>,
    /// When the kernel started.
    pub boot: Boot,
}

impl Before {
    /// Whether nothing matches a line, whatever it is taken apart to. Most lines are so, and are looked at no
    /// closer.
    pub(crate) fn passes(&mut self, matcher: &Matcher, raw: &[u8]) -> bool {
        let passes = !matcher.concerns(raw);
        if passes {
            self.forget_line();
        }
        passes
    }

    /// Something came between that no line repeats.
    pub(crate) fn forget_line(&mut self) {
        self.previous.clear();
    }
}

/// A line, and what it is counted for.
#[derive(Debug)]
pub(crate) struct Counted<'m, 'l> {
    /// The line; where it repeats the one before, that one.
    pub line: Line<'l>,
    pub text: &'l [u8],
    /// Whether a signature knows it. It may be known and count for nothing, as the twin of another.
    pub known: bool,
    /// What it is counted for.
    pub matches: Vec<Match<'m, 'l>>,
    /// What it says about when it was written.
    pub when: When,
    /// When it was written, as far as the lines so far tell.
    pub time: Option<Time>,
    /// The kernel's boot before, if this line is the first of another.
    pub ended: Option<Boot>,
    /// The audit event that it tells.
    audit: Option<Audit<'l>>,
}

/// The lines of one log.
pub(crate) struct Counter<'m, 'c> {
    pub matcher: &'m Matcher,
    /// The times of its lines.
    pub clock: &'c mut Clock,
    /// When the running kernel of the host started, for logs of this host.
    pub current: Option<i64>,
}

impl<'m> Counter<'m, '_> {
    /// What a line of text is, which [`passes`](Before::passes) has not passed; `last message repeated 3 times` is
    /// three of the line before.
    pub(crate) fn text<R>(
        &mut self,
        raw: &[u8],
        headers: Headers,
        (before, twins): (&mut Before, &mut Twins),
        tell: impl FnOnce(&mut Counted<'m, '_>) -> R,
    ) -> R {
        let (known, line) = ((self.matcher, self.current), headers.parse(raw));
        let mut previous = std::mem::take(&mut before.previous);
        if let Some(times) = header::repeats(&line)
            && !previous.is_empty()
        {
            let line = Line { times, ..headers.parse(&previous) };
            let when = || When { header: self.clock.of(raw), uptime: None };
            let told = tell(&mut counted(known, (line, &previous), when, None, (before, twins)));
            before.previous = previous;
            return told;
        }
        let when = || when(raw, &line, self.clock);
        let mut counted = counted(known, (line, raw), when, None, (before, twins));
        previous.clear();
        if counted.known && raw.len() <= MAX_PREVIOUS {
            previous.extend_from_slice(raw);
        }
        before.previous = previous;
        tell(&mut counted)
    }
}

/// What a line of text says about when it was written.
pub(crate) fn when(raw: &[u8], line: &Line<'_>, clock: &mut Clock) -> When {
    match clock.of(raw) {
        Some(Time::Uptime(uptime)) => When { header: None, uptime: Some(uptime) },
        header => When { header, uptime: kernel_clock::uptime(raw, line) },
    }
}

/// What a message is that came taken apart. `serial`: of the audit event that it tells, if that was handed on
/// beside it; `current`: when the running kernel started, for messages of this host.
pub(crate) fn message<'m, 'l>(
    matcher: &'m Matcher,
    line: &Line<'l>,
    when: When,
    (serial, current): (Option<u64>, Option<i64>),
    memory: (&mut Before, &mut Twins),
) -> Counted<'m, 'l> {
    counted((matcher, current), (*line, line.message), || when, serial, memory)
}

fn counted<'m, 'l>(
    (matcher, current): (&'m Matcher, Option<i64>),
    (line, text): (Line<'l>, &'l [u8]),
    when: impl FnOnce() -> When,
    serial: Option<u64>,
    (before, twins): (&mut Before, &mut Twins),
) -> Counted<'m, 'l> {
    let mut matches = matcher.matches(&line);
    let known = !matches.is_empty();
    // To read a time takes as long as to find out that nothing matches.
    let needed = known || line.program == Some(b"kernel");
    let when = if needed { when() } else { When::default() };
    let ended = before.boot.note(when, line.message);
    let time = before.boot.place(when, current);
    let audit = if known { Audit::of(&line, serial) } else { None };
    if let (Some(audit), Some(Time::At(header))) = (&audit, when.header.or(time)) {
        let signatures = matcher.signatures();
        let id = |found: &Match<'_, '_>| &*signatures[found.signature].id.value;
        matches.retain(|found| !twins.is_counted(id(found), audit, header));
        if !matches.is_empty() {
            let told = twins.counted(audit, line.times, header);
            keep(&mut matches, line.times - told, line.times);
        }
    }
    Counted { line, text, known, matches, when, time, ended, audit }
}

impl Counted<'_, '_> {
    /// The same number for every line that tells the same event in whatever log; `None` for a line that does
    /// not say when it was written.
    pub(crate) fn identity(&self) -> Option<u64> {
        let mut hasher = SipHasher13::new();
        let mut word = |word: &[u8]| {
            hasher.write_usize(word.len());
            hasher.write(word);
        };
        let header = match self.when.header {
            Some(Time::At(header)) => Some(header),
            _ => None,
        };
        if let (Some(audit), Some(time)) = (&self.audit, header.or(self.when.uptime)) {
            let (minute, words) = audit.identity(time);
            word(&minute.to_le_bytes());
            word(words);
        } else if let Some(uptime) = self.when.uptime {
            // Whoever hands on what the kernel says puts another time before it.
            word(b"kernel");
            word(&uptime.to_le_bytes());
            word(self.line.message);
        } else {
            word(&header?.div_euclid(SECOND).to_le_bytes());
            word(self.line.host);
            word(self.line.program.unwrap_or_default());
            word(&self.line.pid.unwrap_or_default().to_le_bytes());
            word(self.line.message);
        }
        Some(hasher.finish())
    }

    /// Leaves out what was counted before: so many of the events of this line are `new`.
    pub(crate) fn keep(&mut self, new: u64) {
        keep(&mut self.matches, new, self.line.times);
    }
}

/// Of a line that stands for so many times what it says, so many are `new`.
fn keep(matches: &mut Vec<Match<'_, '_>>, new: u64, times: u64) {
    if new >= times {
        return;
    }
    for found in &mut *matches {
        let part = u128::from(found.count) * u128::from(new) / u128::from(times.max(1));
        found.count = u64::try_from(part).unwrap_or(u64::MAX);
    }
    matches.retain(|found| found.count > 0);
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::tz::TimeZone;

    /// 05:13:20 in UTC, in microseconds.
    const NOW: i64 = 1_795_151_600 * SECOND;

    fn matcher() -> Matcher {
        let yaml = "
- {id: oom, title: t, pattern: 'Killed process', severity: info, verdict: watch}
- {id: denied, title: t, pattern: 'DENIED', severity: info, verdict: watch}
- {id: file, title: t, pattern: 'DENIED open', severity: info, verdict: watch}
- {id: many, title: t, pattern: '(?P<n>[0-9]+) callbacks suppressed', count: n, severity: info, verdict: watch}
";
        Matcher::new(serde_saphyr::from_str(yaml).unwrap())
    }

    /// For each line what it says, its time in seconds after a quarter past five, and what it counts for.
    fn told(lines: &[&str]) -> Vec<String> {
        let (matcher, mut clock) = (matcher(), Clock::new(TimeZone::UTC, NOW));
        let (mut before, mut twins) = (Before::default(), Twins::default());
        let mut lines_of_log = Counter { matcher: &matcher, clock: &mut clock, current: None };
        let mut told = Vec::new();
        for line in lines {
            let line = line.as_bytes();
            if before.passes(&matcher, line) {
                told.push("passed".to_owned());
                continue;
            }
            let memory = (&mut before, &mut twins);
            told.push(lines_of_log.text(line, Headers::Any, memory, |counted| {
                let second = match counted.time {
                    Some(Time::At(time)) => format!("{}", (time - NOW) / SECOND),
                    _ => "none".to_owned(),
                };
                let counts = counted.matches.iter().map(|one| {
                    format!(" {}×{}", matcher.signatures()[one.signature].id.value, one.count)
                });
                let text = String::from_utf8_lossy(counted.line.message).into_owned();
                let known = if counted.known { "" } else { " unknown" };
                format!("{second} {text}{known}{}", counts.collect::<String>())
            }));
        }
        told
    }

    #[test]
    fn a_repeat_is_of_the_line_before_at_its_own_time() {
        let header = "Nov 20 05:13";
        for (lines, expected) in [
            (
                &["20 h kernel: Killed process 7", "50 h last message repeated 2 times"][..],
                &["0 Killed process 7 oom×1", "30 Killed process 7 oom×2"][..],
            ),
            (
                &[
                    "20 h kernel: 7 callbacks suppressed",
                    "21 h last message repeated 3 times",
                    "22 h last message repeated 1 time",
                ],
                &[
                    "0 7 callbacks suppressed many×7",
                    "1 7 callbacks suppressed many×21",
                    "2 7 callbacks suppressed many×7",
                ],
            ),
            (
                &[
                    "20 h app: Killed process 7",
                    "21 h app: x",
                    "22 h last message repeated 2 times",
                ],
                &[
                    "0 Killed process 7 oom×1",
                    "passed",
                    "none last message repeated 2 times unknown",
                ],
            ),
            (
                &["20 h app: message repeated 5 times: [ Killed process 7]"],
                &["0 Killed process 7 oom×5"],
            ),
        ] {
            let lines: Vec<_> = lines.iter().map(|line| format!("{header}:{line}")).collect();
            let lines: Vec<_> = lines.iter().map(String::as_str).collect();
            assert_eq!(told(&lines), expected, "{lines:?}");
        }
    }

    #[test]
    fn a_twin_is_known_and_counts_for_nothing() {
        let audit = "Nov 20 05:13:20 h audit[7]: AVC DENIED open x";
        let kernel =
            "Nov 20 05:13:20 h kernel: audit: type=1400 audit(1795151600.1:5): DENIED open x";
        let expected = [
            "0 AVC DENIED open x denied×1 file×1",
            "0 audit: type=1400 audit(1795151600.1:5): DENIED open x",
        ];
        assert_eq!(told(&[audit, kernel]), expected);
        // Three of one kind in one line, two of which come again.
        let three = "Nov 20 05:13:20 h audit: message repeated 3 times: [ AVC DENIED open x]";
        let other = kernel.replace(":5)", ":6)");
        let told = told(&[kernel, &other, three]);
        assert_eq!(told[2], "0 AVC DENIED open x denied×1 file×1");
    }

    #[test]
    fn the_same_event_has_the_same_identity_in_every_log() {
        let matcher = matcher();
        let identity = |line: &str| {
            let mut clock = Clock::new(TimeZone::UTC, NOW);
            let mut lines = Counter { matcher: &matcher, clock: &mut clock, current: None };
            let memory = (&mut Before::default(), &mut Twins::default());
            lines.text(line.as_bytes(), Headers::Any, memory, |counted| counted.identity())
        };
        let oom = "Killed process 7";
        for (one, other, same) in [
            (
                format!("Nov 20 05:13:20 h app[3]: {oom}"),
                format!("2026-11-20T05:13:20.9+00:00 h app[3]: {oom}"),
                true,
            ),
            (
                format!("Nov 20 05:13:20 h app[3]: {oom}"),
                format!("<30>Nov 20 05:13:20 h app[3]: {oom}"),
                true,
            ),
            (
                format!("Nov 20 05:13:20 h app[3]: {oom}"),
                format!("Nov 20 05:13:21 h app[3]: {oom}"),
                false,
            ),
            (
                format!("Nov 20 05:13:20 h app[3]: {oom}"),
                format!("Nov 20 05:13:20 h app[4]: {oom}"),
                false,
            ),
            (
                format!("Nov 20 05:13:20 h app[3]: {oom}"),
                format!("Nov 20 05:13:20 g app[3]: {oom}"),
                false,
            ),
            (
                format!("Nov 20 05:13:20 h kernel: [ 7.5] {oom}"),
                format!("Nov 20 05:10:20 h kernel: [    7.500000] {oom}"),
                true,
            ),
            (
                format!("Nov 20 05:13:20 h kernel: [ 7.5] {oom}"),
                format!("Nov 20 05:13:20 h kernel: [ 7.6] {oom}"),
                false,
            ),
        ] {
            assert!(identity(&one).is_some());
            assert_eq!(identity(&one) == identity(&other), same, "{one}\n{other}");
        }
        assert_eq!(identity(oom), None);
    }
}
