//! The log: logfmt or JSON lines on standard error, written by a thread of their own.
//!
//! Standard error may be a pipe to a journal that has stopped. So at most [`MAX_WAITING_LINES`] wait
//! for it, and further ones are dropped: the exporter never blocks on its log.

mod logfmt;

use std::io::{self, Write};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use clap::ValueEnum;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::{Layer as _, Registry, fmt};

use self::logfmt::LogfmtLines;
use crate::supervised;

/// `--log.level`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[allow(missing_docs, reason = "the names are the whole meaning")]
pub(crate) enum LogLevel {
    Debug,
    Info,
    Warn,
    Error,
}

/// `--log.format`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    /// `key=value` pairs.
    Logfmt,
    /// One JSON object a line.
    Json,
}

/// Lines kept while standard error does not take any.
const MAX_WAITING_LINES: usize = 1000;

/// How long dropping the [`Guard`] waits for the last lines.
pub(crate) const FLUSH: Duration = Duration::from_secs(1);

/// Hands lines to the writing thread. (`tracing-appender` 0.2 would do, but on a full queue its guard
/// prints to standard output, which under systemd is the same blocked pipe.)
#[derive(Clone)]
struct Queue(SyncSender<Vec<u8>>);

impl Write for Queue {
    /// Takes one line, or drops it where too many wait.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let _ = self.0.try_send(line.to_vec());
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The end of the log: dropping it waits for the last lines, at most [`FLUSH`].
pub(crate) struct Guard {
    queue: Queue,
    flushed: Receiver<()>,
}

impl Drop for Guard {
    fn drop(&mut self) {
        let deadline = Instant::now() + FLUSH;
        // An empty line is the question whether all before it are written.
        while self.queue.0.try_send(Vec::new()).is_err() {
            if Instant::now() >= deadline {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        let _ = self.flushed.recv_timeout(deadline.saturating_duration_since(Instant::now()));
    }
}

/// Sends everything that is logged to standard error, from now on.
///
/// # Errors
/// When the writing thread cannot be created.
pub(crate) fn start(level: LogLevel, format: LogFormat) -> io::Result<Guard> {
    let (queue, lines) = sync_channel::<Vec<u8>>(MAX_WAITING_LINES);
    let (flush, flushed) = sync_channel(1);
    std::thread::Builder::new().name("log".to_owned()).stack_size(128 * 1024).spawn(move || {
        let write = || {
            for line in &lines {
                supervised::panic_if_asked("log");
                if line.is_empty() {
                    let _ = flush.try_send(());
                } else {
                    // Nobody could be told of a standard error that is closed.
                    let _ = io::stderr().write_all(&line);
                }
            }
        };
        supervised::run("log", |_| {}, write);
    })?;
    let guard = Guard { queue: Queue(queue.clone()), flushed };
    let writer = move || Queue(queue.clone());
    let level = match level {
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Error => LevelFilter::ERROR,
    };
    let layer = match format {
        LogFormat::Logfmt => fmt::layer().event_format(LogfmtLines).with_writer(writer).boxed(),
        LogFormat::Json => fmt::layer().json().flatten_event(true).with_writer(writer).boxed(),
    };
    // Only one subscriber is ever set; a second call would be a bug and keeps the first.
    let _ =
        tracing::subscriber::set_global_default(Registry::default().with(layer.with_filter(level)));
    Ok(guard)
}
