//! What the documents say can be done: configuration examples, links, flags, lengths.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use regex::Regex;

use super::common::{Need, exporter_command, need};

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// A document of the repository, by its path from the root.
pub fn document(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Every Markdown file that is read by people, by its path from the root.
pub fn documents() -> Vec<(String, String)> {
    let mut found = Vec::new();
    for pattern in ["*.md", "deploy/**/*.md", "dashboards/**/*.md"] {
        for path in glob::glob(&root().join(pattern).to_string_lossy()).unwrap().flatten() {
            let text = std::fs::read_to_string(&path).unwrap();
            found.push((path.strip_prefix(root()).unwrap().display().to_string(), text));
        }
    }
    let names: BTreeSet<_> = found.iter().map(|(name, _)| name.as_str()).collect();
    for name in ["README.md", "SECURITY.md", "deploy/docs/METRICS.md"] {
        assert!(names.contains(name), "{names:?}");
    }
    found
}

/// One fenced block.
struct Block<'a> {
    /// Where its first line stands.
    line: usize,
    language: &'a str,
    indent: usize,
    text: String,
}

fn blocks(text: &str) -> Vec<Block<'_>> {
    let mut blocks = Vec::new();
    let mut open: Option<Block> = None;
    for (number, line) in text.lines().enumerate() {
        match (line.trim_start().strip_prefix("```"), &mut open) {
            (Some(_), Some(_)) => blocks.extend(open.take()),
            (Some(language), None) => {
                let indent = line.len() - line.trim_start().len();
                open = Some(Block { line: number + 2, language, indent, text: String::new() });
            }
            (None, Some(block)) => {
                // A block within a list is indented as the list is.
                let indented = line.len() - line.trim_start().len();
                block.text.extend([&line[block.indent.min(indented)..], "\n"]);
            }
            (None, None) => {}
        }
    }
    assert!(open.is_none(), "a block is not closed");
    blocks
}

/// The text without its fenced blocks, whose lines stay empty.
fn prose(text: &str) -> String {
    let mut inside = false;
    let mut keep = |line: &str| {
        let fence = line.trim_start().starts_with("```");
        inside ^= fence;
        !fence && !inside
    };
    text.lines().map(|line| if keep(line) { line } else { "" }).collect::<Vec<_>>().join("\n")
}

#[test]
fn the_readme_is_short_and_leads_to_every_document() {
    let readme = document("README.md");
    let lines = readme.lines().count();
    assert!(lines <= 150, "README.md has {lines} lines, at most 150 are read");
    for (name, _) in documents() {
        if name.starts_with("deploy/docs/") || !name.contains('/') && name != "README.md" {
            assert!(readme.contains(&format!("]({name})")), "README.md has no link to {name}");
        }
    }
}

/// What the README counts.
#[test]
fn the_readme_counts_alerts_and_dashboards() {
    let count = |pattern: &str| {
        glob::glob(&root().join(pattern).to_string_lossy()).unwrap().flatten().count()
    };
    let readme = document("README.md");
    // Each alert has one runbook: `tests/rules/check`.
    let alerts = format!("{} alerts", count("deploy/runbooks/*.md"));
    assert!(readme.contains(&alerts), "README.md does not say {alerts}");
    assert_eq!(count("dashboards/*.json"), 6, "README.md says six dashboards");
    assert!(readme.contains("six dashboards"));
}

/// What stands behind `#` in a link to a heading, as GitHub makes it.
fn anchor(heading: &str) -> String {
    let kept = heading.chars().filter(|char| char.is_alphanumeric() || " -_".contains(*char));
    kept.collect::<String>().to_lowercase().replace(' ', "-")
}

#[test]
fn links_lead_to_files_and_headings_that_exist() {
    assert_eq!(anchor("It works, `when` the host does not"), "it-works-when-the-host-does-not");
    let link = Regex::new(r"\]\(([^)\s]+)\)").unwrap();
    let (mut wrong, mut seen) = (Vec::new(), 0);
    for (name, text) in documents() {
        for target in link.captures_iter(&prose(&text)).map(|found| found[1].to_owned()) {
            if target.contains("://") || target.starts_with("mailto:") {
                continue;
            }
            seen += 1;
            let (file, heading) = target.split_once('#').unwrap_or((&target, ""));
            let place = root().join(&name);
            let path = if file.is_empty() { place } else { place.parent().unwrap().join(file) };
            if !path.exists() {
                wrong.push(format!("{name}: {target}: no such file"));
            } else if !heading.is_empty() {
                let text = prose(&std::fs::read_to_string(&path).unwrap());
                let mut headings = text.lines().filter(|line| line.starts_with('#'));
                if !headings.any(|line| anchor(line.trim_start_matches('#').trim()) == heading) {
                    wrong.push(format!("{name}: {target}: no such heading"));
                }
            }
        }
    }
    assert!(seen > 50, "{seen} links");
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn paths_that_documents_name_exist() {
    let path = Regex::new(r"`((?:src|tests|deploy|dashboards)/[a-zA-Z0-9_./-]+)[ `]").unwrap();
    let (mut wrong, mut seen) = (BTreeSet::new(), 0);
    for (name, text) in documents() {
        for path in path.captures_iter(&text).map(|found| found[1].to_owned()) {
            seen += 1;
            if !root().join(&path).exists() {
                wrong.insert(format!("{name}: {path}"));
            }
        }
    }
    assert!(seen > 20, "{seen} paths");
    assert!(wrong.is_empty(), "no such file: {wrong:#?}");
}

/// What a YAML example is an example of.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Configuration,
    Signatures,
    Prometheus,
}

fn kind(example: &str) -> Option<Kind> {
    let first = |words: &[&str]| {
        example.lines().any(|line| words.iter().any(|word| line.starts_with(word)))
    };
    if first(&["users:", "audit:", "logs:"]) {
        Some(Kind::Configuration)
    } else if first(&["- id:"]) {
        Some(Kind::Signatures)
    } else {
        first(&["scrape_configs:"]).then_some(Kind::Prometheus)
    }
}

/// Whether `check` takes it: everything that it says, if not.
fn checked(directory: &Path, kind: &Kind, example: &str) -> Result<(), String> {
    let path = directory.join("example.yml");
    std::fs::write(&path, example).unwrap();
    let mut command = match kind {
        Kind::Prometheus => {
            let mut command = Command::new("promtool");
            command.args(["check", "config", "--syntax-only"]).arg(&path);
            command
        }
        Kind::Configuration => {
            let mut command = exporter_command();
            command.args(["check", "--config.file"]).arg(&path);
            command
        }
        Kind::Signatures => {
            let config = directory.join("config.yml");
            let text = format!("logs: {{signatures: ['{}']}}\n", path.display());
            std::fs::write(&config, text).unwrap();
            let mut command = exporter_command();
            command.args(["check", "--config.file"]).arg(config);
            command
        }
    };
    let output = command.output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    // A signature that people begin with is without warnings, too.
    let fine = output.status.success() && (*kind != Kind::Signatures || !said.contains("warning"));
    if fine { Ok(()) } else { Err(said) }
}

#[test]
fn every_yaml_example_passes_check() {
    let prometheus = need(&[Need::Tool("promtool")]);
    let directory = tempfile::tempdir().unwrap();
    let (mut kinds, mut wrong) = (BTreeSet::new(), Vec::new());
    for (name, text) in documents() {
        // Runbooks show parts of other programs' files.
        if name.starts_with("deploy/runbooks/") {
            continue;
        }
        for block in blocks(&text).iter().filter(|block| block.language == "yaml") {
            let place = format!("{name}:{}", block.line);
            let Some(kind) = kind(&block.text) else {
                wrong.push(format!("{place}: neither a configuration nor signatures"));
                continue;
            };
            if kind != Kind::Prometheus || prometheus {
                let result = checked(directory.path(), &kind, &block.text);
                wrong.extend(result.err().map(|said| format!("{place}: {said}")));
            }
            kinds.insert(kind);
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert_eq!(kinds.len(), 3, "{kinds:?}");
    // The test can fail.
    assert!(checked(directory.path(), &Kind::Configuration, "logs: {sourcs: []}\n").is_err());
    assert!(checked(directory.path(), &Kind::Signatures, "- {id: nothing}\n").is_err());
}

/// The sources in the shipped configuration stand in a comment: without it they must be right, too.
#[test]
fn the_commented_part_of_the_configuration_is_right() {
    let text = document("deploy/telltale_exporter.yml");
    let directory = tempfile::tempdir().unwrap();
    assert_eq!(checked(directory.path(), &Kind::Configuration, &text), Ok(()));
    let (before, rest) = text.split_once("  # sources:\n").unwrap();
    let commented = rest.lines().take_while(|line| line.starts_with("  #   "));
    let length: usize = commented.clone().map(|line| line.len() + 1).sum();
    let sources: String = commented.flat_map(|line| ["  ", &line[4..], "\n"]).collect();
    let whole = format!("{before}  sources:\n{sources}{}", &rest[length..]);
    assert!(sources.contains("follow_links: true") && sources.contains("format: audit"));
    assert_eq!(checked(directory.path(), &Kind::Configuration, &whole), Ok(()));
    let broken = whole.replace("kmsg: true", "kmesg: true");
    assert!(checked(directory.path(), &Kind::Configuration, &broken).is_err());
}

fn help(words: &[&str]) -> String {
    let output = exporter_command().args(words).arg("--help").output().unwrap();
    String::from_utf8(output.stdout).unwrap()
}

fn flags(text: &str) -> BTreeSet<String> {
    let flag = Regex::new(r"(?:^|[\s`'(=/])(--[a-z][a-zA-Z.-]*[a-zA-Z])").unwrap();
    flag.captures_iter(text).map(|found| found[1].to_owned()).collect()
}

#[test]
fn flags_that_documents_name_exist() {
    let of_server = flags(&help(&[]));
    let commands = ["check", "signatures", "scan", "kills"];
    let of_commands: Vec<_> =
        commands.iter().map(|command| (*command, flags(&help(&[command])))).collect();
    assert!(of_server.len() > 20 && of_commands.iter().all(|(_, flags)| flags.len() > 1));
    let dotted = |flag: &String| flag.contains('.') && !flag.ends_with("NAME");
    let every: BTreeSet<_> =
        of_commands.iter().flat_map(|(_, flags)| flags).chain(&of_server).cloned().collect();
    let invoked = Regex::new(r"telltale_exporter((?: [^`|#\n]*)?)").unwrap();
    let (mut wrong, mut seen) = (BTreeSet::new(), 0);
    for (name, text) in documents() {
        for flag in flags(&text).into_iter().filter(dotted) {
            seen += 1;
            if !every.contains(&flag) {
                wrong.insert(format!("{name}: {flag}"));
            }
        }
        // Flags without a dot are known by the command before them.
        for words in invoked.captures_iter(&text).map(|found| found[1].to_owned()) {
            let first = words.split_whitespace().next().unwrap_or_default();
            let Some((_, known)) = of_commands.iter().find(|(command, _)| *command == first) else {
                continue;
            };
            for flag in flags(&words).difference(known) {
                if !of_server.contains(flag) {
                    wrong.insert(format!("{name}: telltale_exporter {first} {flag}"));
                }
            }
        }
    }
    assert!(seen > 20, "{seen} flags");
    assert!(wrong.is_empty(), "no such flag: {wrong:#?}");
}
