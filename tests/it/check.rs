//! `check` and `signatures`.

use std::path::{Path, PathBuf};

use serde_json::Value;

use super::common::{Exporter, eventually, exporter_command};

fn write(dir: &Path, name: &str, text: &str) -> String {
    let path = dir.join(name);
    std::fs::write(&path, text).unwrap();
    path.display().to_string()
}

/// What it prints, and the exit code.
fn run(words: &[&str]) -> (String, i32) {
    let output = exporter_command().args(words).output().unwrap();
    assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    (String::from_utf8(output.stdout).unwrap(), output.status.code().unwrap())
}

/// Checks a configuration file.
fn check(config: &str) -> (String, i32) {
    run(&["check", "--config.file", config])
}

const GOOD: &str = "- id: mine
  title: The application lost its database
  programs: [app]
  pattern: 'lost database (?P<name>\\S+)'
  severity: warning
  verdict: act
  captures: [name]
  advice: Look at the database.
  samples: {match: ['lost database orders'], no_match: ['lost patience']}
";

#[test]
fn what_is_fine() {
    let (said, code) = run(&["check"]);
    assert_eq!(code, 0, "{said}");
    assert!(said.starts_with("configuration fine: sources chosen for this host; "), "{said}");
    assert!(said.ends_with("built-in signatures, 0 of yours, 0 disabled\n"), "{said}");
    let dir = tempfile::tempdir().unwrap();
    let mine = write(
        dir.path(),
        "mine.yml",
        &(GOOD.to_owned() + &GOOD.replace("mine", "bash-fork-retry")),
    );
    let config = format!(
        "logs:\n  sources: [{{name: a, files: [{mine}]}}]\n  signatures: [{mine}]\n  \
         disable: [gnome-software-refresh]\n"
    );
    let (said, code) = check(&write(dir.path(), "telltale.yml", &config));
    assert!(said.starts_with("configuration fine: 1 source; ") && code == 0, "{said}");
    assert!(said.contains("2 of yours (1 in place of a built-in one)"), "{said}");
    assert!(said.ends_with("1 disabled\n"), "{said}");
}

#[test]
fn all_mistakes_are_told_with_file_and_line() {
    let dir = tempfile::tempdir().unwrap();
    let bad = [
        GOOD.replace("lost database (", "lost database (("),
        GOOD.replace("id: mine", "id: loud").replace("severity: warning", "severity: loud"),
        GOOD.replace("id: mine", "id: samples").replace("match: ['lost", "match: ['found"),
        GOOD.replace("id: mine", "id: twice"),
        GOOD.replace("id: mine", "id: twice"),
        GOOD.replace("id: mine", "id: every")
            .replace("lost database (?P<name>\\S+)", "(?P<name>x*)"),
        GOOD.replace("id: mine", "id: none").replace("lost database (", "lost[^\\s\\S] ("),
        GOOD.replace("id: mine", "id: weak")
            .replace("lost database (", "x (")
            .replace("lost ", "x "),
        GOOD.replace("id: mine", "id: huge").replace("\\S+)", "\\S{9999}{99})"),
    ];
    let mine = write(dir.path(), "mine.yml", &bad.concat());
    let config =
        format!("logs:\n  signatures:\n    - {mine}\n    - /none.yml\n  disable: [nonsense]\n");
    let config = write(dir.path(), "telltale.yml", &config);
    let (said, code) = check(&config);
    assert_eq!(code, 2, "{said}");
    for (at, says) in [
        (4, "is no regular expression"),
        (14, "loud"),
        (19, "sample does not match: found database orders"),
        (37, &*format!("id 'twice' is taken by {mine}:28; give")),
        (46, "matches every line; say"),
        (55, "matches no line at all; take"),
        (64, "4 fixed bytes in a row; say"),
        (73, "is no regular expression: "),
    ] {
        let start = format!("{mine}:{at}:");
        assert!(
            said.lines().any(|line| line.starts_with(&start) && line.contains(says)),
            "{start} {says}\n{said}"
        );
    }
    assert!(
        said.contains(&format!("{config}:4: logs.signatures '/none.yml': no such file")),
        "{said}"
    );
    assert!(
        said.contains(&format!(
            "warning: {config}:5: logs.disable: there is no signature 'nonsense'"
        )),
        "{said}"
    );
    assert!(said.lines().last().unwrap().starts_with("9 mistakes; 1 warning"), "{said}");
    // And a start refuses it with the first of them.
    let output = exporter_command().args(["--config.file", &config]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let output = exporter_command().args(["scan", "--config.file", &config, "-"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
}

#[test]
fn mistakes_of_the_configuration_itself() {
    let dir = tempfile::tempdir().unwrap();
    let config = write(dir.path(), "telltale.yml", "users:\n  exclud: x\n");
    let (said, code) = check(&config);
    assert!(code == 2 && said.starts_with(&format!("{config}:2:")), "{said}");
    let (said, code) = run(&["--collector.users.exclude=(", "check"]);
    assert!(code == 2 && said.starts_with("--collector.users.exclude: "), "{said}");
}

/// Mistakes of the file, of the flags, of the signature files and of what they name, all at once.
#[test]
fn one_mistake_of_the_configuration_does_not_hide_the_next() {
    let dir = tempfile::tempdir().unwrap();
    let mine = write(dir.path(), "mine.yml", &GOOD.replace("severity: warning", "severity: loud"));
    let text = format!(
        "users:\n  exclud: x\n  include: '('\nlogs:\n  sources:\n    - {{name: a, kmsg: maybe}}\n    \
         - name: b\n      files: [{0}/none.log, {0}/mine.yml, '{0}/*.none']\n      directories: [/d]\n  \
         signatures: [{mine}, {0}/*.none]\n  disable: [gnome-sofware-refresh]\n",
        dir.path().display()
    );
    let config = write(dir.path(), "telltale.yml", &text);
    let flags =
        ["--path.sysfs=/none", "--collector.users.exclude=(", "check", "--config.file", &config];
    let (said, code) = run(&flags);
    assert_eq!(code, 2, "{said}");
    for (place, says) in [
        ("--path.sysfs /none:", "mount it"),
        ("--collector.users.exclude:", "unclosed group"),
        (&*format!("{config}:2:"), "exclud"),
        (&format!("{config}:3:"), "unclosed group"),
        (&format!("{config}:6:"), "true or false"),
        (&format!("{config}:7:"), "directories are for"),
        (&format!("{mine}:5:"), "loud"),
        (&format!("warning: {config}:10:"), "no file there"),
        (&format!("warning: {config}:11:"), "is 'gnome-software-refresh' meant?"),
    ] {
        let is_told = |line: &str| line.starts_with(place) && line.contains(says);
        assert!(said.lines().any(is_told), "{place} {says}\n{said}");
    }
    assert!(said.lines().last().unwrap().starts_with("7 mistakes; 2 warnings"), "{said}");
}

#[test]
fn a_path_that_is_not_there_is_a_warning() {
    let dir = tempfile::tempdir().unwrap();
    let there = write(dir.path(), "there.log", "");
    let journal = dir.path().join("journal");
    let text = format!(
        "logs:\n  sources:\n    - name: a\n      files: [{there}, {0}, {0}/none.log, '{0}/*.log', '{0}/*.none']\n    \
         - {{name: j, journal: true, directories: [{0}/journal]}}\n",
        dir.path().display()
    );
    let config = write(dir.path(), "telltale.yml", &text);
    let (said, code) = check(&config);
    let warnings: Vec<_> = said.lines().filter(|line| line.contains("warning: ")).collect();
    assert!(code == 0 && warnings.len() == 3, "{said}");
    let begins = [
        format!(
            "warning: logs.sources: source 'a': {}/none.log: No such file",
            dir.path().display()
        ),
        format!(
            "warning: logs.sources: source 'a': {}/*.none: no file there",
            dir.path().display()
        ),
        format!("warning: logs.sources: source 'j': {}: No such file", journal.display()),
    ];
    for (warning, begin) in warnings.iter().zip(&begins) {
        assert!(warning.starts_with(begin), "{begin}\n{said}");
    }
    assert!(said.lines().last().unwrap().ends_with("; 3 warnings"), "{said}");
}

/// A start, a reload, `check` and `scan` say the same of what is probably not meant, and none refuses it.
#[test]
fn a_misspelt_id_and_a_pattern_without_files_are_warned_of_wherever_they_are_read() {
    let dir = tempfile::tempdir().unwrap();
    let text = format!(
        "logs:\n  sources: []\n  signatures: ['{}/*.none']\n  disable: [gnome-sofware-refresh]\n",
        dir.path().display()
    );
    let config = write(dir.path(), "telltale.yml", &text);
    let says = [
        format!("{config}:3: logs.signatures '{}/*.none': no file there", dir.path().display()),
        format!(
            "{config}:4: logs.disable: there is no signature 'gnome-sofware-refresh'; is 'gnome-software-refresh' meant?"
        ),
    ];
    let exporter = Exporter::start_in(dir.path(), &[&format!("--config.file={config}")]);
    // The log has a backslash before each quote.
    let told = |log: &str| {
        let log = log.replace('\\', "");
        says.each_ref().map(|what| log.matches(&**what).count())
    };
    eventually("the start warns", || told(&exporter.log()) == [1, 1]);
    let pid = rustix::process::Pid::from_raw(exporter.pid().cast_signed()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::HUP).unwrap();
    eventually("the reload warns", || told(&exporter.log()) == [2, 2]);
    assert_eq!(exporter.scrape().value("telltale_config_last_reload_successful"), 1.0);
    let (said, code) = check(&config);
    assert_eq!((code, told(&said)), (0, [1, 1]), "{said}");
    let scan = exporter_command().args(["signatures", "--config.file", &config]).output().unwrap();
    let said = String::from_utf8(scan.stderr).unwrap();
    assert_eq!((scan.status.code(), told(&said)), (Some(0), [1, 1]), "{said}");
}

#[test]
fn what_is_probably_not_meant_is_a_warning() {
    let dir = tempfile::tempdir().unwrap();
    let text = "- {id: mine, title: 'TODO: x', programs: [Kernel, 'sshd '], pattern: 'lost \\d', \
                severity: info, verdict: watch}\n";
    let mine = write(dir.path(), "mine.yml", text);
    let config = write(dir.path(), "telltale.yml", &format!("logs: {{signatures: [{mine}]}}\n"));
    let (said, code) = check(&config);
    assert_eq!(code, 0, "{said}");
    for says in [
        "is 'kernel' meant?",
        "is 'sshd' meant?",
        "only 5 fixed bytes",
        "no sample",
        "no advice",
        "still to be written",
    ] {
        let start = format!("{mine}:1: warning: mine: ");
        assert!(
            said.lines().any(|line| line.starts_with(&start) && line.contains(says)),
            "{says}\n{said}"
        );
    }
    assert!(said.lines().last().unwrap().ends_with(", 0 disabled; 6 warnings"), "{said}");
}

#[test]
fn signatures_are_listed_in_three_forms() {
    let (text, code) = run(&["signatures"]);
    let (json, _) = run(&["signatures", "--format", "json"]);
    let list: Vec<Value> = serde_json::from_str(&json).unwrap();
    assert_eq!((code, text.lines().count()), (0, list.len()));
    assert!(list.len() > 200);
    for one in &list {
        for field in [
            "id",
            "title",
            "programs",
            "pattern",
            "severity",
            "verdict",
            "captures",
            "count",
            "advice",
            "reference",
            "samples",
        ] {
            assert!(one.get(field).is_some(), "{field}: {one}");
        }
        assert!(text.contains(one["id"].as_str().unwrap()));
        assert!(one["samples"]["match"][0]["from"].is_string(), "{one}");
    }
    let dir = tempfile::tempdir().unwrap();
    let mine = write(dir.path(), "mine.yml", GOOD);
    let config = format!("logs: {{signatures: [{mine}], disable: [gnome-software-refresh]}}\n");
    let config = write(dir.path(), "telltale.yml", &config);
    let (own, _) = run(&["signatures", "--config.file", &config]);
    assert!(own.contains("\nmine ") && !own.contains("gnome-software-refresh"), "{own}");
}

/// After a change of the catalogue: `UPDATE_GOLDEN=1 cargo test --test it the_documents_list`.
#[test]
fn the_documents_list_the_signatures() {
    const START: &str = "<!-- signatures -->\n";
    const END: &str = "<!-- /signatures -->\n";
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("deploy/docs/SIGNATURES.md");
    let text = std::fs::read_to_string(&path).unwrap();
    let (before, rest) = text.split_once(START).unwrap();
    let (_, after) = rest.split_once(END).unwrap();
    let (table, _) = run(&["signatures", "--format=markdown"]);
    let expected = format!("{before}{START}\n{table}\n{END}{after}");
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, &expected).unwrap();
        return;
    }
    assert!(text == expected, "SIGNATURES.md is not up to date");
}
