//! `check` and `signatures`.

use std::path::{Path, PathBuf};

use serde_json::Value;

use super::common::exporter_command;

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
        "logs:\n  sources: [{{name: a, files: [/a]}}]\n  signatures: [{mine}]\n  \
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
        said.contains(&format!("{config}:5: logs.disable: there is no signature 'nonsense'")),
        "{said}"
    );
    assert!(said.lines().last().unwrap().starts_with("10 mistakes"), "{said}");
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

/// After a change of the catalogue: `UPDATE_GOLDEN=1 cargo test --test it the_readme_lists`.
#[test]
fn the_readme_lists_the_signatures() {
    const START: &str = "<!-- signatures -->\n";
    const END: &str = "<!-- /signatures -->\n";
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("README.md");
    let readme = std::fs::read_to_string(&path).unwrap();
    let (before, rest) = readme.split_once(START).unwrap();
    let (_, after) = rest.split_once(END).unwrap();
    let (table, _) = run(&["signatures", "--format=markdown"]);
    let expected = format!("{before}{START}\n{table}\n{END}{after}");
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, &expected).unwrap();
        return;
    }
    assert!(readme == expected, "the README's table of signatures is not up to date");
}
