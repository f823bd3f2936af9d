//! What the lines of a scan add up to.

use std::collections::{BTreeMap, HashMap};

use super::duplicates::Duplicates;
use super::report::{Capture, Finding, Report, Shape};
use crate::command::times::Window;
use crate::log_line::header::{self, Headers, Line};
use crate::log_line::kernel_clock::{Boot, When};
use crate::log_line::times::{Clock, Time};
use crate::signatures::counter::{self, Before, Counted, Counter};
use crate::signatures::matcher::Matcher;
use crate::signatures::twins::Twins;
use crate::text;
use crate::unknown_lines::Shapes;

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

pub(super) struct Tally<'m> {
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
    /// What the next line needs to know of those before.
    before: Before,
    /// Audit events that the log may tell again.
    twins: Twins,
    duplicates: Duplicates,
    /// The log that is read.
    log: u32,
}

/// What one signature has counted.
#[derive(Default)]
struct Found {
    count: u64,
    first: Option<Time>,
    last: Option<Time>,
    /// The first and the last line of this boot with the kernel's clock: a later line may tell when the boot was.
    kernel: Option<(When, When)>,
    example: Vec<u8>,
    programs: Vec<Vec<u8>>,
    captures: BTreeMap<String, HashMap<Vec<u8>, u64>>,
}

impl<'m> Tally<'m> {
    /// Nothing counted yet; `unknown` says whether the shapes of unknown lines are asked for, `several` whether
    /// more than one log is read.
    pub(super) fn new(matcher: &'m Matcher, window: Window, unknown: bool, several: bool) -> Self {
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
            before: Before::default(),
            twins: Twins::default(),
            duplicates: Duplicates::new(several),
            log: 0,
        }
    }

    /// What follows is of a file of this log, and has no line before.
    pub(super) fn begin_file(&mut self, log: u32) {
        self.within = true;
        let boot = std::mem::take(&mut self.before).boot;
        self.date_kernel_lines(&boot);
        if self.log != log {
            self.log = log;
            self.twins = Twins::default();
            self.duplicates.begin_log(log);
        }
    }

    /// Whether a line was asked for: by the kernel's clock where it has that, and with the line before where it has
    /// no time.
    fn is_within(&mut self, when: When, message: &[u8]) -> bool {
        if let Some(boot) = self.before.boot.note(when, message) {
            self.date_kernel_lines(&boot);
        }
        if let Some(time) = self.before.boot.place(when, None) {
            self.within = self.window.has(time);
        }
        if !self.within {
            // What repeats a line that was not asked for does not repeat an earlier one.
            self.before.forget_line();
        }
        self.within
    }

    /// Whether a line of a text was asked for.
    pub(super) fn is_asked_for(&mut self, raw: &[u8], clock: &mut Clock) -> bool {
        if self.window.is_all() {
            return true;
        }
        let line = header::parse(raw);
        self.is_within(counter::when(raw, &line, clock), line.message)
    }

    /// Whether nothing matches a line, whatever it is taken apart to.
    pub(super) fn passes(&mut self, line: &[u8]) -> bool {
        self.before.passes(self.matcher, line)
    }

    /// Whether the next unknown line is one of those whose shape is looked for.
    pub(super) fn looks_at_unknown(&self) -> bool {
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
    pub(super) fn pass(&mut self, raw: &[u8]) {
        self.read(raw);
        self.miss();
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

    /// Counts a line of a text within the window.
    pub(super) fn text(&mut self, raw: &[u8], clock: &mut Clock) {
        self.read(raw);
        let mut memory = (std::mem::take(&mut self.before), std::mem::take(&mut self.twins));
        let mut lines = Counter { matcher: self.matcher, clock, current: None };
        lines.text(raw, Headers::Any, (&mut memory.0, &mut memory.1), |counted| {
            self.count(counted);
        });
        (self.before, self.twins) = memory;
    }

    /// Counts a line of the journal or of the kernel's log, if it lies within the window. `serial`: of the
    /// audit event that it tells, if that is known.
    pub(super) fn line(&mut self, line: &Line<'_>, when: When, serial: Option<u64>) {
        if !self.window.is_all() && !self.is_within(when, line.message) {
            return;
        }
        self.read(line.message);
        if !self.matcher.concerns(line.message) {
            self.unknown(line, line.message);
            return;
        }
        let mut memory = (std::mem::take(&mut self.before), std::mem::take(&mut self.twins));
        let both = (&mut memory.0, &mut memory.1);
        let mut counted = counter::message(self.matcher, line, when, (serial, None), both);
        self.count(&mut counted);
        (self.before, self.twins) = memory;
    }

    /// Counts what a line is counted for, unless another log had it.
    fn count(&mut self, counted: &mut Counted<'_, '_>) {
        if let Some(boot) = counted.ended {
            self.date_kernel_lines(&boot);
        }
        if !counted.known {
            self.unknown(&counted.line, counted.text);
            return;
        }
        if self.duplicates.is_on()
            && !counted.matches.is_empty()
            && let Some(event) = counted.identity()
        {
            counted.keep(self.duplicates.new_of(event, counted.line.times));
        }
        for matched in &counted.matches {
            let found = self.found.entry(matched.signature).or_default();
            if found.count == 0 {
                found.example = counted.text[..counted.text.len().min(MAX_EXAMPLE)].to_vec();
            }
            found.count = found.count.saturating_add(matched.count);
            match counted.when.uptime {
                Some(_) => found.remember(counted.when),
                None => found.extend(counted.time),
            }
            if let Some(program) = counted.line.program
                && found.programs.len() < MAX_PROGRAMS
                && !found.programs.iter().any(|known| known == program)
            {
                found.programs.push(program.to_vec());
            }
            for (name, value) in &matched.captures {
                found.capture(name, value, matched.count);
            }
        }
    }

    /// A boot is over, and all that is known of when it was: its lines have their times.
    fn date_kernel_lines(&mut self, boot: &Boot) {
        for found in self.found.values_mut() {
            if let Some((first, last)) = found.kernel.take() {
                found.extend(boot.place(first, None));
                found.extend(boot.place(last, None));
            }
        }
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
    pub(super) fn report(mut self, unknown: usize) -> Report {
        let boot = self.before.boot;
        self.date_kernel_lines(&boot);
        let (left_out, forgot) = self.duplicates.end();
        let (matcher, sampled) = (self.matcher, self.sampled);
        let found = self.found.into_iter().map(|(nth, found)| found.finding(matcher, nth));
        let mut signatures: Vec<_> = found.collect();
        signatures.sort_by(|one, other| (other.count, &one.id).cmp(&(one.count, &other.id)));
        let top = self.shapes.map(|shapes| shapes.top(unknown)).unwrap_or_default();
        let shape = |shape: crate::unknown_lines::Shape| Shape {
            stub: shape.stub(),
            text: match &shape.program {
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
            left_out,
            forgot,
            errors: Vec::new(),
        }
    }
}

impl Found {
    /// A line with the kernel's clock.
    fn remember(&mut self, when: When) {
        let (first, last) = self.kernel.get_or_insert((when, when));
        if when.uptime < first.uptime {
            *first = when;
        }
        if when.uptime > last.uptime {
            *last = when;
        }
    }

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
            value: text::decode(&value),
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
            example: text::decode(&self.example),
            advice: signature.advice.clone(),
            reference: signature.reference.clone(),
            programs: self.programs.iter().map(|program| text::decode(program)).collect(),
            captures,
        }
    }
}
