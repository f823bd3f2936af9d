use super::*;
use proptest::prelude::*;

use crate::log_line::times::Clock;
use jiff::tz::TimeZone;

fn parts(line: &str) -> (Option<&str>, Option<u32>, &str, &str) {
    let parsed = parse(line.as_bytes());
    let text = |bytes| std::str::from_utf8(bytes).unwrap();
    (parsed.program.map(text), parsed.pid, text(parsed.host), text(parsed.message))
}

#[test]
fn both_forms() {
    for time in [
        "Aug  4 07:33:02",
        "Nov 20 05:08:30",
        "2026-11-20T05:13:11.573002+00:00",
        "2026-11-20T05:13:11Z",
        "Nov 20 05:08:30.123456",
        "2026-11-20T05:13:11+0000",
        "Fri 2026-11-20 05:13:11 UTC",
        "2026-11-20 05:13:11",
        "2026-11-20 05:13:11.573",
    ] {
        let line = format!("{time} ht-web04 sshd[14492]: fatal: setresuid 500: x");
        let expected = (Some("sshd"), Some(14492), "ht-web04", "fatal: setresuid 500: x");
        assert_eq!(parts(&line), expected, "{time}");
        assert_eq!(parse(format!("<86>{line}").as_bytes()).priority, Some(86));
        assert_eq!(parts(&format!("<86>{line}")), expected, "{time}");
    }
}

#[test]
fn rfc_5424() {
    let of =
        |rest: &str| parts(&format!("<86>1 {rest}")) == (Some("sshd"), Some(458), "web04", "text");
    for data in ["-", "[a b=\"c\"]", "[a b=\"\\]\\\\\"][c]"] {
        for time in [
            "2026-11-20T05:13:11.573002+00:00",
            "2026-11-20T05:13:11Z",
            "2026-11-20T05:13:11-0500",
            "-",
        ] {
            assert!(of(&format!("{time} web04 sshd 458 - {data} text")), "{time} {data}");
            assert!(of(&format!("{time} web04 sshd 458 ID47 {data} \u{feff}text")), "{data}");
        }
    }
    assert_eq!(parts("<86>1 - - - - - -"), (None, None, "-", ""));
    let kernel = "<6>1 2026-11-20T05:13:11Z h kernel - - - [    1.5] audit: x";
    assert_eq!(parts(kernel), (Some("kernel"), None, "h", "audit: x"));
    for other in ["1 2026-11-20 h p 1 - - x", "1 - h p 1 - [a x", "2 - h p 1 - - x", "1 x"] {
        assert_eq!(parts(&format!("<86>{other}")), (None, None, "", other));
    }
}

/// `journalctl --no-hostname`, in each of its forms.
#[test]
fn without_a_host() {
    for time in [
        "Nov 20 05:08:30",
        "2026-11-20T05:13:11+00:00",
        "2026-11-20T05:13:11+0000",
        "Fri 2026-11-20 05:13:11 CET",
    ] {
        let of = |rest: &str| {
            let line = format!("{time} {rest}");
            let (program, pid, host, message) = parts(&line);
            (program.map(str::to_owned), pid, host.to_owned(), message.to_owned())
        };
        let expected =
            |program: &str, pid| (Some(program.to_owned()), pid, "-".to_owned(), "x y".to_owned());
        assert_eq!(of("sshd[458]: x y"), expected("sshd", Some(458)), "{time}");
        assert_eq!(of("kernel: x y"), expected("kernel", None), "{time}");
    }
    for line in [
        "Fri 2026-11-20",
        "Fri 2026-11-20 05:13:11",
        "Fri 2026-11-20 25:1x:11 UTC h p: x",
        "Fri: x",
    ] {
        assert_eq!(parts(line), (None, None, "", line));
    }
}

#[test]
fn dmesg_with_times() {
    let line = "2026-11-20T05:13:11,123456+00:00 Out of memory: Killed process 1 (x)";
    assert_eq!(parts(line), (Some("kernel"), None, "-", "Out of memory: Killed process 1 (x)"));
    let log4j = "2026-11-20T05:13:11,123 ERROR x";
    assert_eq!(parts(log4j), (None, None, "", log4j));
}

/// A date and a time, which every program writes.
#[test]
fn logs_of_other_kinds() {
    for line in [
        "2026-11-20 05:13:11 INFO worker: started",
        "2026-11-20 05:13:11,123 ERROR x",
        "2026-11-20 05:13:11 UTC [123] LOG: x",
    ] {
        assert_eq!(parts(line), (None, None, "", line));
    }
    let kernel = "2026-11-20 05:13:11 web04 kernel: x";
    assert_eq!(parts(kernel), (Some("kernel"), None, "web04", "x"));
}

/// Without a tag it is no syslog.
#[test]
fn mongodb() {
    let line = "2014-11-03T18:28:32.450-0500 I NETWORK [initandlisten] waiting for connections";
    assert_eq!(parts(line), (None, None, "", line));
}

#[test]
fn tags_of_all_kinds() {
    let of = |rest: &str| {
        let line = format!("Nov 20 05:08:30 web04 {rest}");
        let (program, pid, _, message) = parts(&line);
        (program.map(str::to_owned), pid, message.to_owned())
    };
    let is =
        |program: &str, pid, message: &str| (Some(program.to_owned()), pid, message.to_owned());
    assert_eq!(of("kernel: [ 1237.492680] audit: x"), is("kernel", None, "audit: x"));
    for caller in ["[   12.345678][  T123]", "[   12.345678] [    C0]"] {
        assert_eq!(
            of(&format!("kernel: {caller} Out of memory: x")),
            is("kernel", None, "Out of memory: x")
        );
    }
    assert_eq!(of("kernel: [   12.345678] [Tx] y"), is("kernel", None, "[Tx] y"));
    assert_eq!(of("kernel: [drm:f [m]] x"), is("kernel", None, "[drm:f [m]] x"));
    assert_eq!(of("CRON[7]: (root) CMD (x)"), is("CRON", Some(7), "(root) CMD (x)"));
    assert_eq!(of("rsyslogd: x"), is("rsyslogd", None, "x"));
    assert_eq!(of("sssd[be[a.org]]: x"), is("sssd", None, "x"));
    assert_eq!(of("sssd[be[a.org]][12]: x"), is("sssd", Some(12), "x"));
    assert_eq!(of("postfix/smtpd[9]: x"), is("postfix/smtpd", Some(9), "x"));
    assert_eq!(of("-- MARK --"), (None, None, "-- MARK --".to_owned()));
    assert_eq!(of("a:"), is("a", None, ""));
    assert_eq!(of(": x"), (None, None, ": x".to_owned()));
}

#[test]
fn lines_without_a_header_come_back_whole() {
    for line in
        ["", "x", "-bash: fork: retry: x", "Nov 20 05:08:30", "Nov 99:99", "2026-11-20 x y: z"]
    {
        assert_eq!(parts(line), (None, None, "", line));
    }
}

#[test]
fn repeated_messages_count_as_many() {
    let of = |message: &str| {
        let line = format!("Nov 20 05:08:30 web04 sshd[7]: {message}");
        let parsed = parse(line.as_bytes());
        (parsed.times, String::from_utf8(parsed.message.to_vec()).unwrap())
    };
    assert_eq!(of("message repeated 3 times: [ Failed x]"), (3, "Failed x".to_owned()));
    for other in
        ["message repeated x times: [ y]", "message repeated 0 times: [ y]", "message repeated 3"]
    {
        assert_eq!(of(other), (1, other.to_owned()));
    }
}

#[test]
fn every_line_of_the_recordings_has_a_program() {
    let lines = include_bytes!("../../../tests/fixtures/auth_traditional.log")
        .split(|&byte| byte == b'\n')
        .chain(
            include_bytes!("../../../tests/fixtures/auth_iso8601.log").split(|&byte| byte == b'\n'),
        )
        .filter(|line| !line.is_empty());
    let mut count = 0;
    for line in lines {
        assert!(parse(line).program.is_some(), "{}", String::from_utf8_lossy(line));
        count += 1;
    }
    assert!(count > 100);
}

#[test]
fn the_line_before_was_repeated() {
    let of = |line: &str| repeats(&parse(line.as_bytes()));
    assert_eq!(of("Nov 20 05:08:31 web04 last message repeated 3 times"), Some(3));
    assert_eq!(of("Nov 20 05:08:31 web04 --- last message repeated 1 time ---"), Some(1));
    for other in [
        "Nov 20 05:08:31 web04 app: last message repeated 3 times",
        "Nov 20 05:08:31 web04 last message repeated 0 times",
        "Nov 20 05:08:31 web04 last message repeated many times",
    ] {
        assert_eq!(of(other), None, "{other}");
    }
}

proptest! {
    #[test]
    fn any_line_is_survived(line in proptest::collection::vec(any::<u8>(), 0..120)) {
        parse(&line);
        let header = b"<13>Nov 20 05:08:30 h ";
        let with_header = [&header[..], &line].concat();
        let message = parse(&with_header).message;
        prop_assert!(line.ends_with(message) || message.len() < line.len());
    }

    #[test]
    fn what_was_put_together_is_taken_apart(
        program in "[a-zA-Z0-9_./-]{1,20}",
        pid in proptest::option::of(any::<u32>()),
        message in "[^\\[\n][ -~]{0,40}",
    ) {
        prop_assume!(!message.starts_with("message repeated"));
        let pid_text = pid.map_or_else(String::new, |pid| format!("[{pid}]"));
        let line = format!("2026-11-20T05:13:11+01:00 host {program}{pid_text}: {message}");
        prop_assert_eq!(parts(&line), (Some(&*program), pid, "host", &*message));
    }
}

/// Each form of the table, and the time that stands in it.
#[test]
fn every_form_of_the_table() {
    let now = "2026-11-20T12:00:00Z".parse::<jiff::Timestamp>().unwrap().as_microsecond();
    for example in forms::EXAMPLES {
        let line = example.line.as_bytes();
        let mut clock = Clock::new(TimeZone::UTC, now);
        let time = clock.of(line).map_or_else(String::new, |time| time.to_string());
        assert_eq!(time, example.time, "{}", example.line);
        let expected = (example.program, example.pid, example.host, "text");
        assert_eq!(parts(example.line), expected, "{}", example.line);
        assert_eq!(take_apart(line).0, example.form, "{}", example.line);
        assert_ne!(example.form.name(), "none");
        // Daemons that pass a line on leave its priority there.
        if !example.line.starts_with('<')
            && !example.line.starts_with("kern")
            && example.program != Some("kernel")
        {
            let given = format!("<86>{}", example.line);
            assert_eq!(parts(&given), expected, "{given}");
            assert_eq!(parse(given.as_bytes()).priority, Some(86), "{given}");
        }
    }
}

/// The documentation has the same table.
#[test]
fn the_documentation_shows_every_form() {
    let document = include_str!("../../../deploy/docs/LOGS.md");
    let rows: Vec<_> = document
        .lines()
        .filter(|line| line.starts_with("| ") && line.contains("text` |"))
        .collect();
    let expected: Vec<_> = forms::EXAMPLES
        .iter()
        .map(|example| format!("| {} | `{}` |", example.writer, example.line))
        .collect();
    assert_eq!(rows, expected, "\n{}\n", expected.join("\n"));
}

#[test]
fn facility_and_severity_are_the_priority() {
    for (line, priority) in [
        ("Nov 20 05:08:30 web04 auth.info sshd[7]: text", 38),
        ("Nov 20 05:08:30 web04 kern.err kernel: text", 3),
        ("Fri Nov 20 05:08:30 2026 local7.warning app: text", 188),
        ("Fri Nov 20 05:08:30 2026 daemon.notice procd: text", 29),
        ("<86>Nov 20 05:08:30 web04 auth.info sshd[7]: text", 86),
        ("2026-11-20T05:08:30.1 authpriv.err: Nov 20 05:08:30 sshd[7]: text", 83),
    ] {
        let parsed = parse(line.as_bytes());
        assert_eq!((parsed.priority, parsed.message), (Some(priority), &b"text"[..]), "{line}");
    }
    // Names of hosts and of files.
    for (line, host, program) in [
        ("Nov 20 05:08:30 mail.example sshd[7]: text", "mail.example", "sshd"),
        ("Nov 20 05:08:30 web04 user.sh: text", "web04", "user.sh"),
    ] {
        assert_eq!((parts(line).2, parts(line).0), (host, Some(program)), "{line}");
    }
}

/// What looks like a header and is none.
#[test]
fn numbers_words_and_brackets_are_no_headers() {
    for line in [
        "1795151310.123    45 192.0.2.9 TCP_MISS/200 1234 GET http://example.org/: - text",
        "1234567890 bytes: read",
        "[Sun Jun 21 20:51:33.892170 2015] [mpm_prefork:error] [pid 2218] text",
        "[Sun Jun 21 20:51:33 2015] [error] [client 192.0.2.9] text",
        "[     5.123] (II) LoadModule: \"glx\"",
        "2026-11-20T05:08:30 INFO worker: started",
        "@40000000 x: y",
        "Nov 20 2026: the day",
        "sshd: no pid",
        "app[7] text",
        "1 2026-11-20 web04 sshd 7 - - text",
        "python3[1234]: segfault at 0 ip 0000 sp 0000 error 4 in libc.so[7f]",
    ] {
        assert_eq!(take_apart(line.as_bytes()).0, Form::Absent, "{line}");
        assert_eq!(parts(line), (None, None, "", line));
    }
    let kernel = |text: &str| format!("[ 1237.492680] {text}");
    for text in [
        "usb 1-1: new device",
        "systemd[1]: text",
        "traps: python3[12] general protection",
        "CPU: 0 PID: 1 Comm: x",
        "Memory cgroup out of memory: Killed process 12 (x)",
        "python3[1234]: segfault at 0",
    ] {
        assert_eq!(parts(&kernel(text)), (Some("kernel"), None, "-", text));
    }
}

/// Who relays may have relayed what was relayed: only one header is looked for behind the first.
#[test]
fn relays() {
    for (rest, host, program) in [
        ("gw web04 sshd[7]: text", "web04", Some("sshd")),
        ("web04 web04 app: text", "web04", Some("app")),
        ("gw 192.0.2.7 kernel: text", "192.0.2.7", Some("kernel")),
        ("gw 2001:db8::7 sshd[7]: text", "2001:db8::7", Some("sshd")),
        ("gw <86>Nov 20 05:08:29 web04 sshd[7]: text", "web04", Some("sshd")),
        ("gw 2026-11-20T05:08:29Z web04 app: text", "web04", Some("app")),
        ("gw not a host: text", "gw", None),
        ("gw web04 app: text", "gw", None),
        ("gw last message repeated 3 times", "gw", None),
    ] {
        let line = format!("Nov 20 05:08:30 {rest}");
        assert_eq!((parts(&line).2, parts(&line).0), (host, program), "{line}");
    }
    let deep = "Nov 20 05:08:30 a ".repeat(2000) + "sshd[7]: text";
    assert_eq!(parts(&deep).0, None);
}
