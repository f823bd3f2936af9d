//! What the tests share: randomness that is the same every time.

use crate::audit::record::event::Event;
use crate::audit::record::joiner::{Joiner, Limits};

/// xorshift64.
pub(crate) struct Random(pub u64);

impl Random {
    /// A number below `below`.
    pub(crate) fn below(&mut self, below: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 11).unwrap() % below.max(1)
    }

    /// One of these.
    pub(crate) fn pick<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.below(of.len())]
    }

    pub(crate) fn shuffle<T>(&mut self, of: &mut [T]) {
        for at in (1..of.len()).rev() {
            of.swap(at, self.below(at + 1));
        }
    }

    /// Cuts, flips, inserts, doubles: what a torn or hostile line may look like.
    pub(crate) fn mutate(&mut self, line: &mut Vec<u8>) {
        const SPICE: &[u8] = b" =\"'{}()[],:.\x1d\x00\x01\xff09afAF?-";
        for _ in 0..=self.below(4) {
            let at = self.below(line.len() + 1);
            match self.below(5) {
                0 => line.truncate(at),
                1 if at < line.len() => line[at] = *self.pick(SPICE),
                2 => line.insert(at, *self.pick(SPICE)),
                3 if at < line.len() => drop(line.remove(at)),
                _ => {
                    let tail = line[at..].to_vec();
                    let from = self.below(line.len() + 1).min(at);
                    line.truncate(from);
                    line.extend(tail);
                }
            }
        }
    }
}

/// The one event that these lines make.
pub(crate) fn event(lines: &str) -> Event {
    let mut events = events(lines.as_bytes());
    assert_eq!(events.len(), 1, "{lines}");
    events.remove(0)
}

/// All events of a log, as they end.
pub(crate) fn events(log: &[u8]) -> Vec<Event> {
    let mut joiner = Joiner::new(Limits::default());
    let mut out = Vec::new();
    for line in log.split(|&byte| byte == b'\n').filter(|line| !line.is_empty()) {
        assert!(joiner.push(line, 0, &mut out), "{}", String::from_utf8_lossy(line));
    }
    joiner.finish(&mut out);
    assert_eq!((joiner.late(), joiner.open_lines().count()), (0, 0));
    out
}

/// A signal that a user's command of this name sent to a process that nobody knows.
pub(crate) fn sent(signal: u32, uid: u32, comm: &str) -> Event {
    event(&format!(
        "type=SYSCALL msg=audit(1.2:3): arch=c000003e syscall=62 success=yes exit=0 a0=1 a1={signal:x} pid=1 \
         uid={uid} euid={uid} comm=\"{comm}\""
    ))
}
