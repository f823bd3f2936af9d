//! Lines that stand in JSON, made lines of text with a header: those of `journalctl -o json`, and those that
//! Docker's daemon keeps of what a container wrote to its output.

use jiff::Timestamp;
use memchr::memmem;
use serde::Deserialize;
use serde_json::Value;

/// The lines of text that a line in JSON stands for; `None` for any other.
pub(crate) fn lines(line: &[u8]) -> Option<Vec<Vec<u8>>> {
    if line.first() != Some(&b'{') {
        return None;
    }
    if line.starts_with(b"{\"log\":") {
        return of_docker(line);
    }
    memmem::find(line, b"\"__REALTIME_TIMESTAMP\"").and_then(|_| of_journal(line))
}

/// `{"log":"text\n","stream":"stderr","time":"2026-11-20T05:08:30.123456789Z"}`.
#[derive(Deserialize)]
struct Output<'a> {
    log: String,
    stream: Option<&'a str>,
    time: &'a str,
}

/// As other runtimes have it: `2026-11-20T05:08:30.123456789Z stderr F text`.
fn of_docker(line: &[u8]) -> Option<Vec<Vec<u8>>> {
    let Output { log, stream, time } = serde_json::from_slice(line).ok()?;
    let stream = stream.filter(|&stream| stream == "stderr").unwrap_or("stdout");
    let text = |text: &str| format!("{time} {stream} F {text}").into_bytes();
    Some(log.strip_suffix('\n').unwrap_or(&log).split('\n').map(text).collect())
}

/// As in a file of syslog: `<86>2026-11-20T05:08:30.123456Z host program[pid]: text`. A kernel's message keeps its
/// clock.
fn of_journal(line: &[u8]) -> Option<Vec<Vec<u8>>> {
    let entry: Value = serde_json::from_slice(line).ok()?;
    let field = |name: &str| -> Option<Vec<u8>> {
        match entry.get(name)? {
            Value::String(text) => Some(text.as_bytes().to_vec()),
            // What is not UTF-8; where there are several values, the first.
            Value::Array(values) if values.iter().all(Value::is_u64) => {
                values.iter().map(|byte| u8::try_from(byte.as_u64()?).ok()).collect()
            }
            Value::Array(values) => Some(values.first()?.as_str()?.as_bytes().to_vec()),
            _ => None,
        }
    };
    let number = |name: &str| -> Option<i64> {
        std::str::from_utf8(&field(name)?).ok()?.trim().parse().ok()
    };
    let time = Timestamp::from_microsecond(number("__REALTIME_TIMESTAMP")?).ok()?;
    let message = field("MESSAGE")?;
    // A word of the header has no spaces; without a program, none is to be read in the text.
    let word = |name: &str| {
        let word = field(name).filter(|word| !word.is_empty())?;
        Some(String::from_utf8_lossy(&word).replace([' ', ':', '['], "_"))
    };
    let host = word("_HOSTNAME").unwrap_or_else(|| "-".to_owned());
    let program = word("SYSLOG_IDENTIFIER").or_else(|| word("_COMM"));
    let program = program.unwrap_or_else(|| "-".to_owned());
    let is_kernel = field("_TRANSPORT").as_deref() == Some(b"kernel");
    let pid = number("_PID").or_else(|| number("SYSLOG_PID")).filter(|_| !is_kernel);
    let pid = pid.map_or_else(String::new, |pid| format!("[{pid}]"));
    let level = number("PRIORITY").filter(|level| (0..8).contains(level));
    let facility = number("SYSLOG_FACILITY").filter(|facility| (0..24).contains(facility));
    let priority = level.map(|level| facility.unwrap_or(0) << 3 | level);
    let priority = priority.map_or_else(String::new, |priority| format!("<{priority}>"));
    let clock = number("_SOURCE_MONOTONIC_TIMESTAMP").filter(|_| is_kernel);
    let clock = clock.map_or_else(String::new, |micros| {
        format!("[{:5}.{:06}] ", micros / 1_000_000, micros % 1_000_000)
    });
    let header = format!("{priority}{time} {host} {program}{pid}: {clock}");
    let message = message.strip_suffix(b"\n").unwrap_or(&message);
    let lines = message.split(|&byte| byte == b'\n');
    Some(lines.map(|text| [header.as_bytes(), text].concat()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn texts(line: &str) -> Option<Vec<String>> {
        let lines = lines(line.as_bytes())?;
        Some(lines.iter().map(|line| String::from_utf8_lossy(line).into_owned()).collect())
    }

    #[test]
    fn lines_of_docker() {
        let line = r#"{"log":"a \"b\" \u003cc\u003e\n","stream":"stderr","time":"2026-11-20T05:08:30.5Z"}"#;
        assert_eq!(texts(line).unwrap(), ["2026-11-20T05:08:30.5Z stderr F a \"b\" <c>"]);
        let line =
            r#"{"log":"x\n","stream":"stdout","attrs":{"tag":"t"},"time":"2026-11-20T05:08:30Z"}"#;
        assert_eq!(texts(line).unwrap(), ["2026-11-20T05:08:30Z stdout F x"]);
    }

    #[test]
    fn lines_of_the_journal() {
        let line = r#"{"MESSAGE":"one\ntwo","__REALTIME_TIMESTAMP":"1795151310500000","_HOSTNAME":"web04",
            "SYSLOG_IDENTIFIER":"sshd","_PID":"7","PRIORITY":"6","SYSLOG_FACILITY":"10"}"#;
        let header = "<86>2026-11-20T05:08:30.5Z web04 sshd[7]: ";
        assert_eq!(texts(line).unwrap(), [format!("{header}one"), format!("{header}two")]);
        let line = r#"{"MESSAGE":[111,111,109,255],"__REALTIME_TIMESTAMP":"1795151310500000","_TRANSPORT":"kernel",
            "SYSLOG_IDENTIFIER":"kernel","_HOSTNAME":"h","_SOURCE_MONOTONIC_TIMESTAMP":"1237492680"}"#;
        let expected = "2026-11-20T05:08:30.5Z h kernel: [ 1237.492680] oom\u{fffd}";
        assert_eq!(texts(line).unwrap(), [expected]);
        // Nobody makes somebody else of himself.
        let line = r#"{"MESSAGE":"sshd[1]: x","__REALTIME_TIMESTAMP":"1795151310500000"}"#;
        assert_eq!(texts(line).unwrap(), ["2026-11-20T05:08:30.5Z - -: sshd[1]: x"]);
    }

    #[test]
    fn other_lines() {
        for line in
            ["", "x", "{", "{}", r#"{"log":"x"}"#, r#"{"log":1,"time":"x"}"#, r#"{"msg":"x"}"#]
        {
            assert_eq!(texts(line), None, "{line}");
        }
        for broken in
            [r#"{"MESSAGE":"x","__REALTIME_TIMESTAMP":"x"}"#, r#"{"__REALTIME_TIMESTAMP":"1"}"#]
        {
            assert_eq!(texts(broken), None, "{broken}");
        }
    }

    proptest! {
        #[test]
        fn any_line_is_survived(line in "[{}\":,a-z0-9\\\\\\[\\]]{0,60}") {
            lines(line.as_bytes());
            lines(format!("{{\"log\":{line}").as_bytes());
            lines(format!("{{\"__REALTIME_TIMESTAMP\":\"1\",{line}").as_bytes());
        }
    }
}
