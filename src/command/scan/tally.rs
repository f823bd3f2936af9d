//! What the lines of a scan add up to.

use std::collections::{BTreeMap, HashMap};

use super::report::{Capture, Finding, Report, Shape, readable};
use crate::command::times::{Time, Window};
use crate::logs::header::{self, Line};
use crate::logs::matcher::Matcher;
use crate::logs::unknown::Shapes;

/// So many unknown lines are all looked at; of those that follow about one in [`SHARE`].
const ALL: u64 = 100_000;

/// To find the shape of a line takes longer than to find out that no signature knows it.
const SHARE: u64 = 8;

/// More values of one capture are summed up.
const MAX_VALUES: usize = 1_000;

/// Bytes kept of an example.
const MAX_EXAMPLE: usize = 4_096;

/// Bytes kept of a captured value.
const MAX_VALUE: usize = 256;

/// Programs of one signature that are named.
const MAX_PROGRAMS: usize = 20;

/// The counts.
pub struct Tally<'m> {
    matcher: &'m Matcher,
    window: Window,
    /// Whether the last line with a time lay within the window.
    within: bool,
    lines: u64,
    bytes: u64,
    unmatched: u64,
    /// By position of the signature.
    found: HashMap<usize, Found>,
    shapes: Option<Shapes>,
    /// Not every unknown line was looked at.
    sampled: bool,
    dice: u64,
    /// The last line, if it was counted: the next may say that it was repeated.
    previous: Vec<u8>,
}

/// What one signature has counted.
#[derive(Default)]
struct Found {
    count: u64,
    first: Option<Time>,
    last: Option<Time>,
    example: Vec<u8>,
    programs: Vec<Vec<u8>>,
    captures: BTreeMap<String, HashMap<Vec<u8>, u64>>,
}

impl<'m> Tally<'m> {
    /// Nothing counted yet; `unknown` says whether the shapes of unknown lines are asked for.
    pub fn new(matcher: &'m Matcher, window: Window, unknown: bool) -> Self {
        Self {
            matcher,
            window,
            within: true,
            lines: 0,
            bytes: 0,
            unmatched: 0,
            found: HashMap::new(),
            shapes: unknown.then(Shapes::default),
            sampled: false,
            dice: 1,
            previous: Vec::new(),
        }
    }

    /// What follows has no line before.
    pub fn begin_file(&mut self) {
        self.within = true;
        self.previous.clear();
    }

    /// Whether a line of this time was asked for; one without follows the line before.
    pub fn is_within(&mut self, time: impl FnOnce() -> Option<Time>) -> bool {
        if !self.window.is_all()
            && let Some(time) = time()
        {
            self.within = self.window.has(time);
        }
        if !self.within {
            // What repeats a line that was not asked for does not repeat an earlier one.
            self.previous.clear();
        }
        self.within
    }

    /// Whether a line may have to be counted; else it need not be taken apart for that.
    pub fn concerns(&self, line: &[u8]) -> bool {
        self.matcher.concerns(line)
    }

    /// Whether the next unknown line is one of those whose shape is looked for.
    pub fn looks_at_unknown(&self) -> bool {
        self.shapes.is_some() && self.weight() > 0
    }

    /// How many lines the next unknown one stands for. At random, as logs have a rhythm of their own.
    fn weight(&self) -> u64 {
        if self.unmatched < ALL {
            1
        } else if (self.dice >> 33).is_multiple_of(SHARE) {
            SHARE
        } else {
            0
        }
    }

    /// Counts a line that nothing matches and whose shape is not looked for.
    pub fn pass(&mut self, raw: &[u8]) {
        self.read(raw);
        self.miss();
        self.previous.clear();
    }

    fn read(&mut self, raw: &[u8]) {
        self.lines += 1;
        self.bytes += raw.len() as u64 + 1;
    }

    fn miss(&mut self) {
        self.sampled |= self.weight() != 1;
        self.unmatched += 1;
        // Knuth's MMIX generator.
        self.dice = self.dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
    }

    /// Counts a line of a text within the window; `last message repeated 3 times` is three of the line
    /// before.
    pub fn text(&mut self, raw: &[u8], line: &Line<'_>, time: impl FnOnce() -> Option<Time>) {
        let previous = std::mem::take(&mut self.previous);
        if let Some(times) = header::repeats(line)
            && !previous.is_empty()
        {
            self.read(raw);
            self.count(&Line { times, ..header::parse(&previous) }, &previous, time);
            self.previous = previous;
            return;
        }
        self.read(raw);
        self.previous = previous;
        self.previous.clear();
        if self.count(line, raw, time) {
            if raw.len() <= MAX_EXAMPLE {
                self.previous.extend_from_slice(raw);
            }
        } else {
            self.unknown(line, raw);
        }
    }

    /// Counts a line of the journal or of the kernel's log, if it lies within the window.
    pub fn line(&mut self, line: &Line<'_>, raw: &[u8], time: Option<Time>) {
        if !self.is_within(|| time) {
            return;
        }
        self.read(raw);
        if !self.concerns(line.message) || !self.count(line, raw, || time) {
            self.unknown(line, raw);
        }
    }

    /// Whether a signature matched the line.
    fn count(&mut self, line: &Line<'_>, raw: &[u8], time: impl FnOnce() -> Option<Time>) -> bool {
        let matches = self.matcher.matches(line);
        if matches.is_empty() {
            return false;
        }
        let time = time();
        for matched in matches {
            let found = self.found.entry(matched.signature).or_default();
            if found.count == 0 {
                found.example = raw[..raw.len().min(MAX_EXAMPLE)].to_vec();
            }
            found.count = found.count.saturating_add(matched.count);
            found.extend(time);
            if let Some(program) = line.program
                && found.programs.len() < MAX_PROGRAMS
                && !found.programs.iter().any(|known| known == program)
            {
                found.programs.push(program.to_vec());
            }
            for (name, value) in matched.captures {
                found.capture(name, value, matched.count);
            }
        }
        true
    }

    fn unknown(&mut self, line: &Line<'_>, raw: &[u8]) {
        let weight = self.weight();
        self.miss();
        if let Some(shapes) = self.shapes.as_mut().filter(|_| weight > 0) {
            let level = line.priority.map(|priority| priority & 7);
            shapes.add(line.program, line.message, raw, level, weight);
        }
    }

    /// The report, with so many shapes of unknown lines.
    pub fn report(self, unknown: usize) -> Report {
        let (matcher, sampled) = (self.matcher, self.sampled);
        let found = self.found.into_iter().map(|(nth, found)| found.finding(matcher, nth));
        let mut signatures: Vec<_> = found.collect();
        signatures.sort_by(|one, other| (other.count, &one.id).cmp(&(one.count, &other.id)));
        let top = self.shapes.map(|shapes| shapes.top(unknown)).unwrap_or_default();
        let shape = |shape: crate::logs::unknown::Shape| Shape {
            stub: shape.stub(),
            shape: match &shape.program {
                Some(program) => format!("{program}: {}", shape.text),
                None => shape.text,
            },
            count: shape.count,
            about: sampled || shape.over > 0,
            example: shape.example,
        };
        Report {
            lines: self.lines,
            bytes: self.bytes,
            unmatched: self.unmatched,
            signatures,
            unknown: top.into_iter().map(shape).collect(),
            errors: Vec::new(),
        }
    }
}

impl Found {
    /// A date says more than a time since boot.
    fn extend(&mut self, time: Option<Time>) {
        let Some(time) = time else { return };
        match (self.first, self.last) {
            (Some(Time::At(_)), _) if matches!(time, Time::Uptime(_)) => {}
            (Some(first), Some(last))
                if matches!(first, Time::At(_)) == matches!(time, Time::At(_)) =>
            {
                (self.first, self.last) = (Some(first.min(time)), Some(last.max(time)));
            }
            _ => (self.first, self.last) = (Some(time), Some(time)),
        }
    }

    fn capture(&mut self, name: &str, value: &[u8], count: u64) {
        let values = self.captures.entry(name.to_owned()).or_default();
        let value = &value[..value.len().min(MAX_VALUE)];
        let value = if values.contains_key(value) || values.len() < MAX_VALUES {
            value
        } else {
            crate::metrics::OTHER.as_bytes()
        };
        let total = values.entry(value.to_vec()).or_default();
        *total = total.saturating_add(count);
    }

    fn finding(self, matcher: &Matcher, nth: usize) -> Finding {
        let signature = &matcher.signatures()[nth];
        let one = |name: &str, (value, count): (Vec<u8>, u64)| Capture {
            name: name.to_owned(),
            value: readable(&value),
            count,
        };
        let each = self.captures.into_iter();
        let mut captures: Vec<_> = each
            .flat_map(|(name, values)| values.into_iter().map(move |value| one(&name, value)))
            .collect();
        captures.sort_by(|one, other| {
            (other.count, &one.name, &one.value).cmp(&(one.count, &other.name, &other.value))
        });
        Finding {
            id: signature.id.value.clone(),
            title: signature.title.clone(),
            severity: signature.severity,
            verdict: signature.verdict,
            count: self.count,
            first: self.first,
            last: self.last,
            example: readable(&self.example),
            advice: signature.advice.clone(),
            reference: signature.reference.clone(),
            programs: self.programs.iter().map(|program| readable(program)).collect(),
            captures,
        }
    }
}
