//! The thread of a source whose messages are numbered.

use std::time::{Instant, SystemTime};

use super::published::Shared;
use super::sink::{Batch as _, Message, Sink};
use super::source::Source;
use super::{RETRY, RETRY_MAX};
use crate::live::lock;
use crate::supervised;

/// Reads a source, counts what it hands out, and publishes both together.
pub(crate) struct MessageRunner<N: Source, S: Sink> {
    source: N,
    sink: S,
    published: Shared<S>,
}

impl<N: Source, S: Sink> MessageRunner<N, S> {
    /// For a thread that is going to [take it up](Self::take_up).
    pub(crate) fn new(source: N, sink: S, published: Shared<S>) -> Self {
        Self { source, sink, published }
    }

    /// Takes up what was published last, by this run or the one before, or begins with what is written from
    /// now on.
    pub(crate) fn take_up(&mut self) {
        let place = lock(&self.published).place.clone();
        self.source.take_up(place);
        if !self.source.looks_at_start() {
            return;
        }
        // What was there before is passed over, or what came meanwhile begun with.
        while self.read_and_publish() == Ok(true) && self.source.place().is_none() {}
    }

    /// Follows for ever.
    pub(crate) fn run(&mut self) {
        let mut retry = RETRY;
        loop {
            match self.read_and_publish() {
                Ok(true) => {}
                Ok(false) => {
                    retry = RETRY;
                    self.source.wait();
                }
                Err(Failed) => {
                    std::thread::sleep(retry);
                    let longest = if self.source.is_patient() { RETRY_MAX } else { RETRY };
                    retry = (retry * 2).min(longest);
                }
            }
        }
    }

    /// Reads and counts what is there, up to a bound, and publishes; whether there is more.
    ///
    /// What is published is not locked meanwhile, for a disk may hang, and scrapes must not: this thread
    /// alone changes it.
    fn read_and_publish(&mut self) -> Result<bool, Failed> {
        let mut next = lock(&self.published).clone();
        let now = SystemTime::now();
        let batch = self.sink.begin_batch(now);
        let (counts, carry) = (&mut next.counts, &mut next.carry);
        let mut handed = 0_u64;
        let looked = self.source.read(&mut |message| {
            handed += 1;
            counts.read.add_line(now);
            let bytes = match message {
                Message::Line(bytes) => bytes.len(),
                Message::Parsed { line, .. } => line.message.len(),
            };
            counts.read.bytes += bytes as u64;
            batch.count(message, carry, counts);
        });
        if handed == 0 {
            batch.expire(carry, counts);
        }
        for (why, messages) in looked.lost {
            counts.read.sums.lose_messages(why, messages);
        }
        drop(batch);
        supervised::panic_if_asked("records");
        next.place = self.source.place().or(next.place);
        next.notes = looked.notes;
        next.read |= looked.error.is_none();
        next.error = looked.error.map(|error| error.to_string());
        next.looked = Some(Instant::now());
        let failed = next.error.is_some();
        *lock(&self.published) = next;
        self.source.accept();
        if failed { Err(Failed) } else { Ok(looked.more) }
    }
}

/// Why is published.
#[derive(Debug, PartialEq, Eq)]
struct Failed;
