//! The documents and the code say the same.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use super::common::{Scrape, exporter_command};
use super::documents::{document, documents};
use super::golden::golden;

/// Type and labels by metric name, from the tables of METRICS.md that start with `| metric |`.
fn documented() -> BTreeMap<String, (String, BTreeSet<String>)> {
    let text = document("deploy/docs/METRICS.md");
    let mut documented = BTreeMap::new();
    for table in text.split("\n| metric |").skip(1) {
        for line in table.lines().skip(2).take_while(|line| line.starts_with('|')) {
            let cells: Vec<_> = line.split('|').map(|cell| cell.trim().to_owned()).collect();
            let labels = cells[3].split(", ").filter(|label| !label.is_empty());
            let labels = labels.map(|label| label.trim_matches('`').to_owned()).collect();
            let name = cells[1].trim_matches('`').to_owned();
            assert!(!cells[4].is_empty(), "METRICS.md does not say what {name} means");
            let twice = documented.insert(name, (cells[2].clone(), labels));
            assert_eq!(twice, None, "METRICS.md has it twice: {line}");
        }
    }
    documented
}

/// What a healthy host does not have, with type and label.
const AFTER_A_BUG: [(&str, &str, &str); 1] =
    [("telltale_thread_panics_total", "counter", "thread")];

#[test]
fn every_metric_is_documented_and_every_documented_metric_exists() {
    let golden = golden();
    let scrape = Scrape::parse(&golden);
    let mut exported: BTreeMap<_, _> = scrape
        .families
        .iter()
        .map(|(name, kind)| (name.clone(), (kind.clone(), BTreeSet::new())))
        .collect();
    for series in scrape.series() {
        let (name, rest) = series.split_once('{').unwrap_or((series, ""));
        let labels = rest.trim_end_matches('}').split("\",");
        let labels =
            labels.filter_map(|label| label.split_once('=')).map(|(name, _)| name.to_owned());
        exported.get_mut(name).unwrap().1.extend(labels);
    }
    for (name, kind, label) in AFTER_A_BUG {
        let labels = BTreeSet::from([label.to_owned()]);
        exported.insert(name.to_owned(), (kind.to_owned(), labels));
    }
    let documented = documented();
    assert_eq!(
        documented.keys().collect::<Vec<_>>(),
        exported.keys().collect::<Vec<_>>(),
        "names: METRICS.md on the left, /metrics of the reference host on the right"
    );
    for (name, is) in &exported {
        assert_eq!(&documented[name], is, "{name}: METRICS.md on the left, /metrics on the right");
    }
}

/// Dashboards, rules with their tests, Alertmanager's configuration and runbooks.
fn shipped() -> Vec<(String, String)> {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    for pattern in [
        "dashboards/*.json",
        "deploy/prometheus/**/*.yml",
        "deploy/alertmanager/**/*.yml",
        "deploy/alertmanager/**/*.tmpl",
        "deploy/runbooks/*.md",
        "deploy/audit/**/*.rules",
    ] {
        let found = glob::glob(&root.join(pattern).to_string_lossy()).unwrap();
        for path in found.flatten() {
            let text = std::fs::read_to_string(&path).unwrap();
            files.push((path.strip_prefix(&root).unwrap().display().to_string(), text));
        }
    }
    assert!(files.len() > 50, "{}", files.len());
    files.extend(documents().into_iter().filter(|(name, _)| {
        name == "README.md" || name == "SECURITY.md" || name.starts_with("deploy/docs/")
    }));
    files
}

/// The metrics that a text names, each with what follows it: `{…}` or nothing.
fn named(text: &str) -> Vec<(&str, &str)> {
    let part = |char: char| char.is_ascii_alphanumeric() || char == '_';
    let mut found = Vec::new();
    for (at, _) in text.match_indices("telltale_") {
        let before = text[..at].chars().next_back();
        // Parts of recording rules (a:telltale_x:y), paths and longer words are no metrics.
        if before.is_some_and(|char| part(char) || ":/-.".contains(char)) {
            continue;
        }
        let end = text[at..].find(|char| !part(char)).map_or(text.len(), |end| at + end);
        if !text[end..].starts_with([':', '/', '-', '.']) || text[end..].starts_with(". ") {
            found.push((&text[at..end], &text[end..]));
        }
    }
    found
}

/// Words that begin like a metric and are none.
const NO_METRICS: [&str; 4] =
    ["telltale_exporter", "telltale_kill", "telltale_fork", "telltale_storm"];

#[test]
fn whatever_is_shipped_names_metrics_and_labels_that_exist() {
    let documented = documented();
    let mut wrong = BTreeSet::new();
    for (file, text) in shipped() {
        // In JSON a quote within an expression has a backslash.
        let text = text.replace("\\\"", "\"");
        for (name, rest) in named(&text) {
            if NO_METRICS.contains(&name) {
                continue;
            }
            let Some((_, labels)) = documented.get(name) else {
                wrong.insert(format!("{file}: no metric {name}"));
                continue;
            };
            let Some(matchers) = rest.strip_prefix('{').and_then(|rest| rest.split_once('}'))
            else {
                continue;
            };
            for matcher in matchers.0.split(',') {
                let label = matcher.split(['=', '!', '~']).next().unwrap_or_default().trim();
                let is_name =
                    !label.is_empty() && label.chars().all(|c| c.is_ascii_lowercase() || c == '_');
                // Those of every target.
                if is_name && !labels.contains(label) && !["job", "instance"].contains(&label) {
                    wrong.insert(format!("{file}: {name} has no label {label}"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// Runbooks are read in a hurry: a page or sub-command in them exists.
#[test]
fn runbooks_name_pages_and_commands_that_exist() {
    let exporter = super::common::Exporter::start(&[]);
    let help = exporter_command().arg("--help").output().unwrap();
    let help = String::from_utf8(help.stdout).unwrap();
    let commands: BTreeSet<_> = help
        .lines()
        .skip_while(|line| !line.starts_with("Commands:"))
        .skip(1)
        .take_while(|line| line.starts_with("  "))
        .filter_map(|line| line.split_whitespace().next())
        .collect();
    assert!(commands.contains("kills") && !commands.contains("doctor"), "{commands:?}");
    let (mut pages, mut used) = (0, 0);
    for (file, text) in shipped().iter().filter(|(file, _)| file.starts_with("deploy/runbooks/")) {
        for (_, rest) in
            text.match_indices(":10121").map(|(at, found)| (at, &text[at + found.len()..]))
        {
            let end = rest.find(|char: char| " \n`'\"),|".contains(char)).unwrap_or(rest.len());
            let path = rest[..end].trim_end_matches('.');
            if path.starts_with('/') {
                assert_eq!(exporter.get(path).status, 200, "{file}: {path}");
                pages += 1;
            }
        }
        for line in text.lines().map(str::trim_start) {
            for (at, found) in line.match_indices("telltale_exporter ") {
                let word =
                    line[at + found.len()..].split(['`', ' ', ')']).next().unwrap_or_default();
                // In a command: at its start, in backquotes or behind a pipe.
                let is_command =
                    at == 0 || line[..at].ends_with(['`', '|']) || line[..at].ends_with("| ");
                if is_command && word.starts_with(|char: char| char.is_ascii_lowercase()) {
                    assert!(commands.contains(word), "{file}: telltale_exporter {word}");
                    used += 1;
                }
            }
        }
    }
    assert!(pages > 10 && used > 1, "{pages} pages, {used} commands");
}

/// Metrics that no dashboard shows, with the reason.
const NOT_SHOWN: [(&str, &str); 4] = [
    ("process_virtual_memory_bytes", "address space says nothing; resident memory is shown"),
    ("process_threads", "constant after the start: the graph was flat for ever"),
    ("process_open_fds", "far below what it may open: the graph was flat for ever"),
    ("process_max_fds", "far above what is open: the graph was flat for ever"),
];

#[test]
fn every_metric_is_shown_in_a_dashboard_or_has_a_reason_not_to_be() {
    let dashboards: String = shipped()
        .into_iter()
        .filter(|(file, _)| file.starts_with("dashboards/"))
        .map(|(_, text)| text)
        .collect();
    let rules: String = shipped()
        .into_iter()
        .filter(|(file, _)| file.starts_with("deploy/prometheus/rules/"))
        .map(|(_, text)| text)
        .collect();
    for name in documented().keys() {
        let reason = NOT_SHOWN.iter().any(|(other, _)| other == name);
        let shown = dashboards.contains(name.as_str());
        assert!(shown || reason, "{name} is in no dashboard");
        assert!(!(shown && reason), "{name} is in a dashboard now");
    }
    // The check can fail.
    assert!(!dashboards.contains("telltale_nothing") && rules.contains("telltale_user_tasks"));
}

#[test]
fn every_flag_is_documented() {
    let help = exporter_command().arg("--help").output().unwrap();
    let help = String::from_utf8(help.stdout).unwrap();
    let running = document("deploy/docs/RUNNING.md");
    let flags: BTreeSet<_> = help
        .split_whitespace()
        .filter(|word| word.starts_with("--") && word.contains('.'))
        .map(|word| word.trim_end_matches(['=', ',']))
        .collect();
    assert!(flags.len() > 10, "{help}");
    for flag in flags {
        assert!(running.contains(flag), "RUNNING.md does not mention {flag}");
    }
}

#[test]
fn nothing_in_the_tree_is_of_one_machine() {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let others = ["LICENSE", "deny.toml", ".ci/run", "tests/run", "deploy/telltale_exporter.yml"];
    let others = others.map(|file| (file.to_owned(), document(file)));
    for (file, text) in documents().into_iter().chain(others) {
        assert!(!text.contains(&*root.to_string_lossy()), "{file} names this machine's path");
    }
}
