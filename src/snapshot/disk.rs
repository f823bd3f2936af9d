//! Positions on a disk, for a start after a reboot. A thread that nobody waits for writes them, for a disk may hang.

use std::path::Path;
use std::sync::mpsc::sync_channel;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::directory;
use super::slots::{Found, Record, Slots};
use crate::live::lock;
use crate::supervised;

/// The start waits so long for a disk that hangs.
const LOAD_BOUND: Duration = Duration::from_secs(5);

/// A write that takes longer is told of.
const SLOW: Duration = Duration::from_secs(5);

/// From one write to the next; who looks each second at thousands of logs need not write as often.
const PAUSE: Duration = Duration::from_secs(1);

/// What is to be written, shared with the thread that writes.
pub(super) struct Disk(Arc<(Mutex<Work>, Condvar)>);

/// Encodes positions, on the thread that writes them: there may be thousands.
pub(super) type Encode = Box<dyn FnOnce() -> Vec<u8> + Send>;

#[derive(Default)]
struct Work {
    /// What gives the newest positions that were not begun to be written; older ones are of no use.
    next: Option<Encode>,
    /// Since when the thread is at it.
    writing: Option<Instant>,
    /// Writes that failed, and those that were asked for while the disk did not answer.
    errors: u64,
    /// Why the last one failed.
    failing: Option<String>,
    /// It is to be certain that what was written is on the disk.
    sync: bool,
    /// The exporter ends.
    end: bool,
}

/// What is on the disk, and what is to be said of it.
#[derive(Debug, Default)]
pub(super) struct OnDisk {
    /// The newest positions.
    pub positions: Option<Vec<u8>>,
    /// What is wrong for good.
    pub note: Option<String>,
}

impl Disk {
    /// Opens the state directory, which is made where there is none.
    ///
    /// # Errors
    /// When another exporter uses it: one line that says what to do.
    pub(super) fn open(directory: &Path) -> Result<(Self, OnDisk), String> {
        let disk = Self(Arc::default());
        let shared = Arc::clone(&disk.0);
        let (opened, found) = sync_channel(1);
        let of_thread = directory.to_owned();
        let keep = move || {
            supervised::panic_if_asked("state-open");
            let (slots, lock, result) = directory::open(&of_thread);
            let sequence = match &result {
                Ok((Found::Record(record), _)) => record.sequence,
                _ => 0,
            };
            let refused = result.is_err();
            // The start does not wait for a disk that hung.
            let _ = opened.try_send(result);
            if !refused {
                write_positions(&shared, slots, sequence);
            }
            drop(lock);
        };
        let spawned = std::thread::Builder::new().name("state".to_owned()).stack_size(256 * 1024);
        if let Err(error) = spawned.spawn(move || supervised::run("state", |_| {}, keep)) {
            return Ok((disk, OnDisk { note: Some(error.to_string()), positions: None }));
        }
        let Ok(found) = found.recv_timeout(LOAD_BOUND) else {
            let note = Some("it did not answer within 5 s".to_owned());
            return Ok((disk, OnDisk { positions: None, note }));
        };
        let (found, note) = found?;
        let positions = match found {
            Found::Record(record) => Some(record.payload),
            _ => None,
        };
        Ok((disk, OnDisk { positions, note }))
    }

    /// Has positions written; does not wait.
    pub(super) fn write(&self, positions: Encode) {
        let (work, news) = &*self.0;
        let mut work = lock(work);
        work.next = Some(positions);
        work.errors += u64::from(work.writing.is_some_and(|since| since.elapsed() > SLOW));
        news.notify_all();
    }

    /// Waits until what was handed over is on the disk, but no longer than this.
    pub(super) fn flush(&self, bound: Duration) {
        let (work, news) = &*self.0;
        let mut work = lock(work);
        work.sync = true;
        news.notify_all();
        let busy = |work: &mut Work| work.next.is_some() || work.writing.is_some() || work.sync;
        let _ = news.wait_timeout_while(work, bound, busy).unwrap_or_else(PoisonError::into_inner);
    }

    /// Writes that failed, and why the last one did, or since when the disk does not answer.
    pub(super) fn errors(&self) -> (u64, Option<String>) {
        let work = lock(&self.0.0);
        let slow = work.writing.map(|since| since.elapsed()).filter(|taken| *taken > SLOW);
        let slow = slow.map(|taken| format!("the disk does not answer for {} s", taken.as_secs()));
        (work.errors, slow.or_else(|| work.failing.clone()))
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let (work, news) = &*self.0;
        lock(work).end = true;
        news.notify_all();
    }
}

/// Writes the newest positions until the exporter ends.
fn write_positions((work, news): &(Mutex<Work>, Condvar), mut slots: Slots, mut sequence: u64) {
    let mut pause = Duration::ZERO;
    loop {
        let idle = |work: &mut Work| work.next.is_none() && !work.sync && !work.end;
        let mut now = news.wait_while(lock(work), idle).unwrap_or_else(PoisonError::into_inner);
        let urgent = |work: &mut Work| !work.sync && !work.end;
        let waited = news.wait_timeout_while(now, pause, urgent);
        now = waited.unwrap_or_else(PoisonError::into_inner).0;
        pause = PAUSE;
        let (next, sync) = (now.next.take(), now.sync);
        if next.is_none() && !sync {
            return;
        }
        now.writing = Some(Instant::now());
        drop(now);
        let written = supervised::catch("state", || {
            supervised::panic_if_asked("state");
            if let Some(encode) = next {
                sequence += 1;
                slots.write(&Record { sequence, payload: encode() })?;
            }
            if sync { slots.sync() } else { Ok(()) }
        });
        let failed =
            written.map_or_else(Some, |result| result.err().map(|error| error.to_string()));
        let mut now = lock(work);
        now.writing = None;
        now.sync &= !sync;
        if let Some(why) = &failed {
            now.errors += 1;
            if now.failing.as_ref() != Some(why) {
                tracing::warn!(error = why, "log positions cannot be written");
            }
        } else if now.failing.is_some() {
            tracing::info!("log positions are written again");
        }
        now.failing = failed;
        news.notify_all();
    }
}
