//! The log: logfmt or JSON lines on standard error, written by a thread of their own.
//!
//! Standard error may be a pipe to a journal that has stopped. So at most [`MAX_WAITING_LINES`] wait
//! for it, and further ones are dropped: the exporter never blocks on its log.

use std::time::Duration;

use tracing_appender::non_blocking::{NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::{Layer as _, Registry, fmt};

use crate::args::{LogFormat, LogLevel};

/// Lines kept while standard error does not take any.
const MAX_WAITING_LINES: usize = 1000;

/// The end of the log: dropping it waits for the last lines, at most 1.1 s.
pub type Guard = WorkerGuard;

/// How long dropping the [`Guard`] may take (tracing-appender 0.2: 100 ms and 1 s).
pub const FLUSH: Duration = Duration::from_millis(1100);

/// Sends everything that is logged to standard error, from now on.
pub fn start(level: LogLevel, format: LogFormat) -> Guard {
    let (writer, guard) = NonBlockingBuilder::default()
        .lossy(true)
        .buffered_lines_limit(MAX_WAITING_LINES)
        .thread_name("log")
        .finish(std::io::stderr());
    let level = match level {
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Error => LevelFilter::ERROR,
    };
    let layer = match format {
        LogFormat::Logfmt => fmt::layer()
            .event_format(tracing_logfmt::EventsFormatter::default())
            .fmt_fields(tracing_logfmt::FieldsFormatter::default())
            .with_writer(writer)
            .boxed(),
        LogFormat::Json => fmt::layer().json().flatten_event(true).with_writer(writer).boxed(),
    };
    // Only one subscriber is ever set; a second call would be a bug and keeps the first.
    let _ =
        tracing::subscriber::set_global_default(Registry::default().with(layer.with_filter(level)));
    guard
}
