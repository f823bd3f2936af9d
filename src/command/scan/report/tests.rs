//! All forms of one realistic result.

use super::*;

fn at(text: &str) -> Time {
    Time::At(text.parse::<jiff::Timestamp>().unwrap().as_microsecond())
}

fn finding(id: &str, verdict: Verdict, severity: Severity, count: u64) -> Finding {
    Finding {
        id: id.to_owned(),
        title: format!("What {id} means"),
        severity,
        verdict,
        count,
        first: Some(at("2026-11-20T05:08:30.5Z")),
        last: Some(at("2026-11-20T05:13:11Z")),
        example: format!("Nov 20 05:08:30 web04 app[7]: {id}"),
        advice: String::new(),
        reference: String::new(),
        programs: vec!["app".to_owned()],
        captures: vec![],
    }
}

fn report() -> Report {
    let mut sshd = finding("sshd-setresuid-nproc", Verdict::Act, Severity::Critical, 1412);
    sshd.title = "sshd could not become the user, who is out of processes".to_owned();
    sshd.example = "Nov 20 05:08:30 web04 sshd[14492]: fatal: setresuid 500: Resource temporarily \
        unavailable (and more text than eighty columns have room for)"
        .to_owned();
    sshd.advice =
        "Raise nproc for the user, or find what multiplies: ps -u USER -o comm= | sort | \
        uniq -c | sort -rn | head; see\n the runbook."
            .to_owned();
    sshd.reference = "https://example.org/runbooks/nproc".to_owned();
    sshd.captures = (500..507)
        .map(|uid| Capture {
            name: "uid".into(),
            value: uid.to_string(),
            count: 1000 / (uid - 499),
        })
        .collect();
    let mut backlog = finding("audit-backlog-exceeded", Verdict::Act, Severity::Warning, 3);
    backlog.first = Some(Time::Uptime(12_345_678));
    backlog.last = Some(Time::Uptime(99_000_000));
    let mut hostile = finding("hostile", Verdict::Watch, Severity::Info, 1);
    hostile.example =
        "\x1b[2Jx``` | <script>alert(1)</script> \u{9b}31m\u{202e}`` \r\nNov".to_owned();
    hostile.first = hostile.last;
    let shape = Shape {
        text: "app: worker * gave up after * ms".to_owned(),
        count: 12_345,
        about: false,
        example: "Nov 20 05:08:30 web04 app[9]: worker 7 gave up after 30 ms".to_owned(),
        stub: "- id: app-worker\n".to_owned(),
    };
    Report {
        lines: 4_816_012,
        bytes: 512_345_678,
        unmatched: 12_345,
        signatures: vec![
            finding("gnome-software-refresh", Verdict::Harmless, Severity::Info, 412),
            hostile,
            backlog,
            finding("systemd-session-started", Verdict::Harmless, Severity::Info, 3000),
            finding("oom-kill", Verdict::Act, Severity::Critical, 2000),
            sshd,
        ],
        unknown: vec![shape],
        left_out: 0,
        forgot: false,
        errors: vec!["/var/log/x.xz: at byte 77: cut off: the xz data goes on".to_owned()],
    }
}

#[test]
fn text_is_in_order_and_fits() {
    for width in [80, 120] {
        let text = text(&report(), Look { width, colours: false });
        println!("{text}\n{}", "=".repeat(width));
        assert!(text.lines().all(|line| line.chars().count() <= width), "{text}");
        let place = |what: &str| text.find(what).unwrap_or_else(|| panic!("{what}: {text}"));
        assert!(
            place("oom-kill") < place("sshd-setresuid") && place("sshd-s") < place("audit-back")
        );
        assert!(place("audit-back") < place("WATCH") && place("WATCH") < place("harmless:"));
        assert!(
            place("harmless: 3,412 lines in 2 signatures (systemd-session-started\u{a0}×3,000")
                < place("Lines nobody knows: 12,345")
        );
        assert!(text.contains("2026-11-20T05:08:30Z … 05:13:11Z"));
        assert!(text.contains("+12.345s … +99.000s since boot"));
    }
    let plain = text(&report(), Look { width: 80, colours: false });
    let coloured = text(&report(), Look { width: 80, colours: true });
    assert!(coloured.contains("\x1b[1;31m") && !plain.contains('\x1b'));
    text(&Report::default(), Look { width: 0, colours: false });
}

#[test]
fn log_content_breaks_out_of_nothing() {
    let report = report();
    let plain = text(&report, Look { width: 200, colours: false });
    let (markdown, json) = (markdown(&report), report.json().unwrap());
    println!("{markdown}\n{json}");
    for form in [&plain, &markdown, &json] {
        assert!(
            !form.chars().any(|letter| crate::text::is_unsafe(letter) && letter != '\n'),
            "{form}"
        );
    }
    assert!(plain.contains(r"\u{1b}[2Jx") && plain.contains(r"\u{9b}31m\u{202e}`` \r\nNov"));
    // The fence is longer than what the line has.
    assert!(markdown.contains("\n````text\n\\u{1b}[2Jx```"));
}

#[test]
fn prose_is_no_markup() {
    let mut report = report();
    report.signatures[0].title = "a|b `c` <b> [x](y) @all".to_owned();
    assert!(markdown(&report).contains(r"| a\|b \`c\` &lt;b&gt; \[x\](y) &#64;all |"));
}

#[test]
fn json_has_the_names_of_the_contract() {
    let json: serde_json::Value = serde_json::from_str(&report().json().unwrap()).unwrap();
    assert_eq!(json["lines"], 4_816_012);
    let sshd = &json["signatures"][5];
    assert_eq!(sshd["id"], "sshd-setresuid-nproc");
    assert_eq!((&sshd["severity"], &sshd["verdict"]), (&"critical".into(), &"act".into()));
    assert_eq!(sshd["first"], "2026-11-20T05:08:30.5Z");
    assert!(json["signatures"][2]["first"].is_null());
    let example = json["signatures"][1]["example"].as_str().unwrap();
    assert!(example.starts_with("\x1b[2J") && example.contains('\u{202e}'));
    assert_eq!(json["unknown"][0]["count"], 12_345);
}

#[test]
fn numbers_and_bytes_for_people() {
    assert_eq!([0, 999, 1000, 1_234_567].map(thousands), ["0", "999", "1,000", "1,234,567"]);
    assert_eq!(
        [1, 999, 1500, 999_960, u64::MAX].map(size),
        ["1 byte", "999 bytes", "1.5 kB", "1.0 MB", "18446.7 PB"]
    );
}
