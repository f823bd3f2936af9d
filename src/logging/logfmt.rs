//! Events as logfmt: `ts=… level=… target=…`, then the fields in the order in which the code names them.

use std::fmt::{self, Write};

use jiff::Timestamp;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::fmt::FmtContext;
use tracing_subscriber::fmt::format::{FormatEvent, FormatFields, Writer};
use tracing_subscriber::registry::LookupSpan;

use crate::text;

/// Writes each event as one line. Spans are not written, for the exporter opens none.
pub(super) struct LogfmtLines;

impl<S, N> FormatEvent<S, N> for LogfmtLines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _: &FmtContext<'_, S, N>,
        mut out: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let metadata = event.metadata();
        let level = match *metadata.level() {
            Level::ERROR => "error",
            Level::WARN => "warn",
            Level::INFO => "info",
            Level::DEBUG => "debug",
            Level::TRACE => "trace",
        };
        let target = text::logfmt_value(metadata.target());
        write!(out, "ts={} level={level} target={target}", Timestamp::now())?;
        let mut fields = FieldWriter { out: &mut out, result: Ok(()) };
        event.record(&mut fields);
        fields.result?;
        out.write_char('\n')
    }
}

/// Writes ` name=value` for each field.
struct FieldWriter<'a, W> {
    out: &'a mut W,
    /// The first error, after which nothing more is written.
    result: fmt::Result,
}

impl<W: Write> FieldWriter<'_, W> {
    fn write_field(&mut self, field: &Field, value: &str) {
        if self.result.is_ok() {
            // A name is written in our code, so it needs no quotes.
            self.result = write!(self.out, " {}={}", field.name(), text::logfmt_value(value));
        }
    }
}

impl<W: Write> Visit for FieldWriter<'_, W> {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.write_field(field, value);
    }

    /// Numbers, truth values, messages, and what is written with `%` or `?`.
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.write_field(field, &format!("{value:?}"));
    }

    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        self.write_field(field, &value.to_string());
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::{Arc, Mutex};

    use tracing_subscriber::fmt;
    use tracing_subscriber::layer::SubscriberExt as _;

    use super::*;
    use crate::live::lock;

    #[derive(Clone, Default)]
    struct Written(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Written {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            lock(&self.0).extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// What is written while this is logged.
    fn written(log: impl FnOnce()) -> String {
        let written = Written::default();
        let to = written.clone();
        let layer = fmt::layer().event_format(LogfmtLines).with_writer(move || to.clone());
        let registry = tracing_subscriber::registry().with(layer);
        tracing::subscriber::with_default(registry, log);
        let bytes = lock(&written.0).clone();
        String::from_utf8(bytes).unwrap()
    }

    /// The fields of one line, read as readers of logfmt do: JSON's escapes between quotes.
    fn fields(line: &str) -> Vec<(String, String)> {
        let mut fields = Vec::new();
        let mut rest = line.strip_suffix('\n').expect("a line");
        assert!(!rest.contains('\n'), "{line:?}");
        while let Some((name, value)) = rest.split_once('=') {
            let name = name.trim_start_matches(' ').to_owned();
            assert!(!name.contains([' ', '"']), "{line:?}");
            let length = if value.starts_with('"') {
                let mut escaped = false;
                let end = value.char_indices().skip(1).find(|(_, char)| {
                    let ends = *char == '"' && !escaped;
                    escaped = *char == '\\' && !escaped;
                    ends
                });
                end.expect("a closing quote").0 + 1
            } else {
                value.find(' ').unwrap_or(value.len())
            };
            let text = if value.starts_with('"') {
                serde_json::from_str(&value[..length].replace("\\'", "'")).unwrap()
            } else {
                value[..length].to_owned()
            };
            fields.push((name, text));
            rest = &value[length..];
        }
        assert!(rest.is_empty(), "{line:?}");
        fields
    }

    #[test]
    fn fields_are_written_in_their_order() {
        let line = written(|| {
            let error = io::Error::other("no \"room\"");
            let (count, path) = (3_u64, std::path::Path::new("/var/log/a b"));
            tracing::warn!(
                %error, count, less = -1_i64, share = 0.5_f64, whole = 1.0_f64, known = true,
                path = %path.display(), debug = ?path, plain = "x", empty = "", "the cure: `a=b`"
            );
        });
        let (time, rest) = line.split_once(' ').unwrap();
        assert!(time.strip_prefix("ts=").unwrap().parse::<Timestamp>().is_ok(), "{line}");
        assert!(time.ends_with('Z'), "{line}");
        assert_eq!(
            rest,
            "level=warn target=telltale_exporter::logging::logfmt::tests message=\"the cure: `a=b`\" \
             error=\"no \\\"room\\\"\" count=3 less=-1 share=0.5 whole=1.0 known=true \
             path=\"/var/log/a b\" debug=\"\\\"/var/log/a b\\\"\" plain=x empty=\n"
        );
        let levels = written(|| {
            tracing::error!(target: "telltale::kill", "e");
            tracing::info!("i");
            tracing::debug!("d");
        });
        for level in ["level=error target=telltale::kill ", "level=info ", "level=debug "] {
            assert!(levels.contains(level), "{levels}");
        }
    }

    #[test]
    fn an_error_is_written_as_its_text() {
        let line = written(|| {
            let error = io::Error::other("two\nlines");
            tracing::error!(error = &error as &dyn std::error::Error, "failed");
        });
        assert!(line.ends_with("message=failed error=\"two\\nlines\"\n"), "{line}");
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_one_safe_line_and_is_read_back(
            text in "(?s)(.|[\u{0}-\u{20}=\"'\\\\]|[\u{7f}-\u{9f}]|[\u{2000}-\u{206f}]){0,40}",
            other in "(?s)(.|[\u{0}-\u{20}=\"'\\\\]){0,40}",
        ) {
            let line = written(|| tracing::info!(text, shown = %other, "{other}"));
            proptest::prop_assert!(
                !line.trim_end_matches('\n').chars().any(text::is_unsafe), "{:?}", line);
            let read = fields(&line);
            let names: Vec<_> = read.iter().map(|(name, _)| name.as_str()).collect();
            proptest::prop_assert_eq!(names, ["ts", "level", "target", "message", "text", "shown"]);
            proptest::prop_assert_eq!(&read[3].1, &other);
            proptest::prop_assert_eq!(&read[4].1, &text);
            proptest::prop_assert_eq!(&read[5].1, &other);
        }
    }
}
