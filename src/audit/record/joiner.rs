//! Joins records to events, in bounded memory and time.
//!
//! Records of an event may stand between those of others. The last is PROCTITLE where the kernel
//! writes one (EOE is sent, but never written to a file); an event without it ends when many newer
//! ones have begun, when nothing came for it for a while, or when its memory is needed: a lost end
//! blocks nothing.
//!
//! **To go on after a restart** a follower keeps, together with its position and its counts, the
//! [lines of open events](Joiner::open_lines) and [those that ended last](Joiner::ended), and gives
//! both to [`Joiner::resumed`]. Nothing is read twice, so it works over rotations, for compressed
//! files and for a socket. The lines hold command lines: the file is for its owner only.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use super::Record;
use super::event::{Event, Id};
use crate::audit::record::kind::Kind;

/// Events that ended last and are remembered, so that a late record is no new event.
const REMEMBERED: usize = 128;

/// Bounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Events open at a time.
    pub events: usize,
    /// Bytes of their records: `kill -1` writes about 100 for each process of the host.
    pub bytes: usize,
    /// Events that begin later before one is taken for complete.
    pub newer: u64,
    /// Milliseconds without a record before one is taken for complete.
    pub idle: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { events: 128, bytes: 4 << 20, newer: 256, idle: 2_000 }
    }
}

/// An event that ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ended {
    pub id: Id,
    /// Its system call was among its records.
    pub called: bool,
}

/// Joins records to events.
#[derive(Debug, Clone)]
pub struct Joiner {
    limits: Limits,
    open: VecDeque<Open>,
    ended: VecDeque<Ended>,
    bytes: usize,
    /// Events begun so far.
    begun: u64,
    now: u64,
    late: u64,
}

#[derive(Debug, Clone)]
struct Open {
    event: Event,
    called: bool,
    /// Events begun when it began.
    begun: u64,
    /// When its last record came.
    touched: u64,
}

impl Joiner {
    /// One that begins in the middle of nothing.
    pub fn new(limits: Limits) -> Self {
        let (open, ended) = (VecDeque::new(), VecDeque::new());
        Self { limits, open, ended, bytes: 0, begun: 0, now: 0, late: 0 }
    }

    /// One that goes on where another was stopped; `ended` and `lines` are what that one had.
    pub fn resumed<'a>(
        limits: Limits,
        ended: impl IntoIterator<Item = Ended>,
        lines: impl IntoIterator<Item = &'a [u8]>,
        now: u64,
        out: &mut Vec<Event>,
    ) -> Self {
        let mut joiner = Self::new(limits);
        joiner.ended.extend(ended);
        while joiner.ended.len() > REMEMBERED {
            joiner.ended.pop_front();
        }
        for line in lines {
            joiner.push(line, now, out);
        }
        joiner
    }

    /// Takes a line in; whatever is complete now is added to `out`. Says whether it was a record.
    ///
    /// `now` is in milliseconds and never goes backwards (an earlier one counts as the latest):
    /// the monotonic clock for a log that grows, the time of the record for one that is read back.
    pub fn push(&mut self, line: &[u8], now: u64, out: &mut Vec<Event>) -> bool {
        self.expire(now, out);
        self.take(line, now, out)
    }

    /// As [`push`](Self::push), but no event ends for want of records: who was kept from reading for a while does not
    /// know that none came. [`expire`](Self::expire) is then for when there is nothing more to read.
    pub fn take(&mut self, line: &[u8], now: u64, out: &mut Vec<Event>) -> bool {
        self.now = self.now.max(now);
        self.end_overtaken(out);
        let line = line.trim_ascii_end();
        let Some(record) = Record::parse(line) else { return false };
        let Some(at) = self.place(&record, out) else { return true };
        if record.kind == Kind::EOE {
            self.end(at, out);
            return true;
        }
        let (at, room) = self.make_room(at, line.len(), out);
        let open = &mut self.open[at];
        let first = open.event.size() == 0;
        if room {
            self.bytes += line.len();
            open.event.push(line, record.kind);
        } else {
            open.event.left_out += 1;
        }
        open.touched = self.now;
        open.called |= record.kind.is_call();
        // A PROCTITLE before its system call means that the order is lost: then time tells.
        if (record.kind == Kind::PROCTITLE && open.called) || (first && record.kind.is_alone()) {
            self.end(at, out);
        }
        true
    }

    /// Ends what nothing came for; to be called now and then while nothing is read.
    pub fn expire(&mut self, now: u64, out: &mut Vec<Event>) {
        self.now = self.now.max(now);
        let mut at = 0;
        while let Some(open) = self.open.get(at) {
            if self.now - open.touched >= self.limits.idle {
                self.end(at, out);
            } else {
                at += 1;
            }
        }
        self.end_overtaken(out);
    }

    /// Ends events after which many have begun. They stand in the order in which they began.
    fn end_overtaken(&mut self, out: &mut Vec<Event>) {
        while self.open.front().is_some_and(|open| self.begun - open.begun > self.limits.newer) {
            self.end(0, out);
        }
    }

    /// Ends everything: the log ends here.
    pub fn finish(&mut self, out: &mut Vec<Event>) {
        while !self.open.is_empty() {
            self.end(0, out);
        }
    }

    /// Lines of events that are not complete, in an order that gives the same events again.
    pub fn open_lines(&self) -> impl Iterator<Item = &[u8]> {
        self.open.iter().flat_map(|open| open.event.lines())
    }

    /// The events that ended last, the latest last.
    pub fn ended(&self) -> impl Iterator<Item = &Ended> {
        self.ended.iter()
    }

    /// Records that came after their event had ended, and were dropped.
    pub fn late(&self) -> u64 {
        self.late
    }

    /// Bytes held for events that are not complete.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// The open event that a record belongs to, a new one if need be; `None` where it is too late.
    fn place(&mut self, record: &Record<'_>, out: &mut Vec<Event>) -> Option<usize> {
        if let Some(at) = self.open.iter().rposition(|open| open.event.id.is(record)) {
            return Some(at);
        }
        // The mark of an end is no record of its own.
        if record.kind == Kind::EOE {
            return None;
        }
        let before = self.ended.iter().rposition(|ended| ended.id.is(record));
        if let Some(before) = before {
            if self.ended[before].called || !record.kind.is_call() {
                self.late += 1;
                return None;
            }
            // Remembered for as long as it goes on.
            let ended = self.ended.remove(before);
            self.ended.extend(ended);
        }
        while self.open.len() >= self.limits.events.max(1) {
            self.end(0, out);
        }
        self.begun += 1;
        let event = Event::new(Id::of(record), before.is_some());
        self.open.push_back(Open { event, called: false, begun: self.begun, touched: self.now });
        Some(self.open.len() - 1)
    }

    /// Ends the oldest other events until so many bytes fit into the one at `at`; says where it is
    /// now, and whether there is room.
    fn make_room(&mut self, mut at: usize, length: usize, out: &mut Vec<Event>) -> (usize, bool) {
        while self.bytes + length > self.limits.bytes && self.open.len() > 1 {
            let oldest = usize::from(at == 0);
            self.end(oldest, out);
            at -= usize::from(oldest < at);
        }
        (at, self.bytes + length <= self.limits.bytes)
    }

    fn end(&mut self, at: usize, out: &mut Vec<Event>) {
        let Some(Open { event, called, .. }) = self.open.remove(at) else { return };
        self.bytes -= event.size();
        if let Some(before) = self.ended.iter_mut().rev().find(|ended| ended.id == event.id) {
            before.called |= called;
        } else {
            if self.ended.len() >= REMEMBERED {
                self.ended.pop_front();
            }
            self.ended.push_back(Ended { id: event.id.clone(), called });
        }
        out.push(event);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::record::testing::{Random, events};

    const LOGS: [&[u8]; 4] = [
        include_bytes!("../../../tests/fixtures/audit/raw.log"),
        include_bytes!("../../../tests/fixtures/audit/enriched.log"),
        include_bytes!("../../../tests/fixtures/audit/nproc.log"),
        include_bytes!("../../../tests/fixtures/audit/kmsg.txt"),
    ];

    fn pushed(joiner: &mut Joiner, now: u64, lines: &[&str]) -> Vec<Event> {
        let mut out = Vec::new();
        for line in lines {
            assert!(joiner.push(line.as_bytes(), now, &mut out), "{line}");
        }
        out
    }

    fn line(kind: &str, serial: u64) -> String {
        format!("type={kind} msg=audit(1795151143.337:{serial}): a=b")
    }

    /// What an event is, however it came together.
    fn content(events: &[Event]) -> Vec<(u64, u64, Vec<Vec<u8>>)> {
        let mut all: Vec<_> = events
            .iter()
            .map(|event| {
                let mut lines: Vec<_> = event.lines().map(<[u8]>::to_vec).collect();
                lines.sort();
                (event.id.stamp.serial, event.id.stamp.millis, lines)
            })
            .collect();
        all.sort();
        all
    }

    #[test]
    fn the_recordings_join_to_what_aureport_counted() {
        // "Number of events: 40" and 34 with the key, of which two add and remove the rule.
        let raw = events(LOGS[0]);
        assert_eq!(raw.len(), 40);
        let keyed = raw.iter().filter(|event| event.keys() == ["my_temporary_kill_audit"]).count();
        assert_eq!(keyed, 32);
        assert!(raw.iter().all(|event| !event.continued));
    }

    #[test]
    fn a_program_and_a_crash_are_complete_at_once() {
        let mut joiner = Joiner::new(Limits::default());
        for (serial, kind) in
            (1..).zip(["USER_LOGIN", "DAEMON_START", "ANOM_ABEND", "KERNEL", "CRYPTO_SESSION"])
        {
            let out = pushed(&mut joiner, 0, &[&line(kind, serial)]);
            assert_eq!(out.len(), 1, "{kind}");
        }
        // The system call that made the change comes after it.
        for (serial, kind) in (11..).zip(["CONFIG_CHANGE", "LOGIN", "AVC", "EVENT_LISTENER"]) {
            let (first, call, last) =
                (line(kind, serial), line("SYSCALL", serial), line("PROCTITLE", serial));
            assert!(pushed(&mut joiner, 0, &[&first, &call]).is_empty());
            assert_eq!(pushed(&mut joiner, 0, &[&last]).len(), 1);
        }
    }

    /// Whoever reads them was kept from it for longer than an event waits.
    #[test]
    fn records_that_were_there_in_time_are_joined_however_late_they_are_read() {
        let mut joiner = Joiner::new(Limits::default());
        let mut out = Vec::new();
        assert!(joiner.take(line("SYSCALL", 1).as_bytes(), 0, &mut out));
        assert!(joiner.take(line("SYSCALL", 2).as_bytes(), 9_000, &mut out));
        assert!(joiner.take(line("PROCTITLE", 1).as_bytes(), 9_000, &mut out));
        assert!(out.len() == 1 && joiner.late() == 0);
        joiner.expire(10_999, &mut out);
        assert_eq!(out.len(), 1);
        joiner.expire(11_000, &mut out);
        assert!(out.len() == 2);
    }

    #[test]
    fn a_lost_end_blocks_nothing() {
        let limits = Limits { newer: 3, ..Limits::default() };
        let mut joiner = Joiner::new(limits);
        assert!(pushed(&mut joiner, 0, &[&line("SYSCALL", 1)]).is_empty());
        for serial in 2..5 {
            let out = pushed(&mut joiner, 0, &[&line("USER_CMD", serial)]);
            assert_eq!(out.len(), 1);
        }
        let out = pushed(&mut joiner, 0, &[&line("USER_CMD", 5), &line("USER_CMD", 6)]);
        assert_eq!(out.len(), 3);
        assert_eq!(out[1].id.stamp.serial, 1);

        assert!(pushed(&mut joiner, 100, &[&line("SYSCALL", 7)]).is_empty());
        let mut out = Vec::new();
        joiner.expire(2_099, &mut out);
        // A clock that goes back is a clock that stands.
        joiner.expire(0, &mut out);
        assert!(out.is_empty());
        joiner.expire(2_100, &mut out);
        assert_eq!(out.len(), 1);
    }

    #[test]
    fn the_mark_of_the_end_ends_and_is_no_event() {
        let mut joiner = Joiner::new(Limits::default());
        let (call, eoe) = (line("SYSCALL", 1), line("EOE", 1));
        let out = pushed(&mut joiner, 0, &[&call, &eoe, &eoe]);
        assert_eq!((out.len(), out[0].lines().count()), (1, 1));
        assert!(pushed(&mut joiner, 0, &[&line("EOE", 2)]).is_empty());
        assert_eq!(joiner.late(), 0);
    }

    #[test]
    fn a_late_record_is_no_new_event() {
        let mut joiner = Joiner::new(Limits::default());
        pushed(&mut joiner, 0, &[&line("SYSCALL", 1), &line("PROCTITLE", 1)]);
        assert!(pushed(&mut joiner, 0, &[&line("OBJ_PID", 1), &line("SYSCALL", 1)]).is_empty());
        assert_eq!(joiner.late(), 2);
        // A call that slept: what it logged at first has timed out, who it was comes at the end.
        let mut out = pushed(&mut joiner, 0, &[&line("AVC", 2)]);
        joiner.expire(9_000, &mut out);
        out.extend(pushed(&mut joiner, 9_000, &[&line("SYSCALL", 2), &line("PROCTITLE", 2)]));
        assert_eq!(out.iter().map(|event| event.continued).collect::<Vec<_>>(), [false, true]);
        assert!(pushed(&mut joiner, 9_000, &[&line("SYSCALL", 2)]).is_empty());
    }

    #[test]
    fn hosts_in_one_log_are_kept_apart() {
        let on = |node: &str, kind: &str| format!("node={node} {}", line(kind, 1));
        let mut joiner = Joiner::new(Limits::default());
        let (a, b) = (on("a", "SYSCALL"), on("b", "SYSCALL"));
        let out = pushed(&mut joiner, 0, &[&a, &b, &on("b", "PROCTITLE"), &on("a", "PROCTITLE")]);
        assert_eq!(out.iter().map(|event| &*event.id.node).collect::<Vec<_>>(), [b"b", b"a"]);
    }

    #[test]
    fn memory_is_bounded_and_the_oldest_gives_way() {
        let limits = Limits { bytes: 1_000, events: 4, ..Limits::default() };
        let mut joiner = Joiner::new(limits);
        let long = |serial| format!("{} x={}", line("SYSCALL", serial), "y".repeat(300));
        let out = pushed(&mut joiner, 0, &[&long(1), &long(2), &long(3)]);
        assert_eq!(out.len(), 1);
        assert_eq!(out[0].id.stamp.serial, 1);
        // One that is too large alone loses records, and says how many.
        let more = format!("{} x={}", line("OBJ_PID", 2), "y".repeat(300));
        let out = pushed(&mut joiner, 0, &[&more, &more, &more, &line("PROCTITLE", 2)]);
        assert_eq!(out.iter().map(|event| event.id.stamp.serial).collect::<Vec<_>>(), [3, 2]);
        assert_eq!((out[1].left_out, out[1].lines().count()), (2, 3));
        let short: Vec<_> = (10..16).map(|serial| line("SYSCALL", serial)).collect();
        let out = pushed(&mut joiner, 0, &short.iter().map(String::as_str).collect::<Vec<_>>());
        assert_eq!(out.len(), 2);
        let mut out = Vec::new();
        joiner.finish(&mut out);
        assert_eq!((out.len(), joiner.bytes()), (4, 0));
    }

    #[test]
    fn any_interleaving_and_any_restart_join_the_same_events() {
        let mut random = Random(7);
        for round in 0..400 {
            let expected = events(LOGS[round % LOGS.len()]);
            let mut queues: Vec<Vec<&[u8]>> =
                expected.iter().map(|event| event.lines().collect()).collect();
            for queue in &mut queues {
                // The order within an event may be lost too, as long as its end comes last,
                // or before its system call.
                let last = usize::from(queue.len() > 1);
                let middle = queue.len() - last;
                random.shuffle(&mut queue[..middle]);
                queue.reverse();
            }
            let mut joiner = Joiner::new(Limits::default());
            let mut out = Vec::new();
            while !queues.is_empty() {
                let at = random.below(queues.len().min(1 + round % 20));
                let line = queues[at].pop().unwrap();
                if queues[at].is_empty() {
                    queues.remove(at);
                }
                assert!(joiner.push(line, 0, &mut out));
                if random.below(9) == 0 {
                    let ended: Vec<_> = joiner.ended().cloned().collect();
                    let lines: Vec<_> = joiner.open_lines().map(<[u8]>::to_vec).collect();
                    let lines = lines.iter().map(Vec::as_slice);
                    joiner = Joiner::resumed(Limits::default(), ended, lines, 0, &mut out);
                }
            }
            assert_eq!(joiner.late(), 0);
            joiner.finish(&mut out);
            assert_eq!(content(&out), content(&expected), "round {round}");
            assert!(out.iter().all(|event| !event.continued));
        }
    }

    #[test]
    fn any_bytes_are_survived_within_bounds() {
        let mut random = Random(11);
        let lines: Vec<_> = LOGS.iter().flat_map(|log| log.split(|&byte| byte == b'\n')).collect();
        let limits = Limits { events: 8, bytes: 2_000, newer: 16, idle: 50 };
        let (mut joiner, mut out) = (Joiner::new(limits), Vec::new());
        for now in 0..40_000 {
            let mut line = random.pick(&lines).to_vec();
            if random.below(2) == 0 {
                random.mutate(&mut line);
            }
            joiner.push(&line, now / 7, &mut out);
            assert!(joiner.bytes() <= 2_000 && joiner.open_lines().count() <= 2_000);
            for event in out.drain(..) {
                assert!(event.size() <= 2_000);
                assert_eq!(event.records().count(), event.lines().count());
                event.keys();
            }
        }
        joiner.finish(&mut out);
        assert_eq!(joiner.bytes(), 0);
    }
}
