//! The README and the code say the same.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use super::common::{Scrape, exporter_command};
use super::golden::golden;

fn readme() -> String {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("README.md");
    std::fs::read_to_string(path).unwrap()
}

/// Type and labels by metric name, from the table that starts with `| metric |`.
fn documented() -> BTreeMap<String, (String, BTreeSet<String>)> {
    let readme = readme();
    let table = readme.lines().skip_while(|line| !line.starts_with("| metric |")).skip(2);
    table
        .take_while(|line| line.starts_with('|'))
        .map(|line| {
            let cells: Vec<_> = line.split('|').map(|cell| cell.trim().to_owned()).collect();
            let labels = cells[3].split(", ").filter(|label| !label.is_empty());
            let labels = labels.map(|label| label.trim_matches('`').to_owned()).collect();
            (cells[1].trim_matches('`').to_owned(), (cells[2].clone(), labels))
        })
        .collect()
}

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
    let documented = documented();
    assert_eq!(
        documented.keys().collect::<Vec<_>>(),
        exported.keys().collect::<Vec<_>>(),
        "names: README on the left, /metrics of the reference host on the right"
    );
    for (name, is) in &exported {
        assert_eq!(&documented[name], is, "{name}: README on the left, /metrics on the right");
    }
}

#[test]
fn every_flag_is_documented() {
    let help = exporter_command().arg("--help").output().unwrap();
    let help = String::from_utf8(help.stdout).unwrap();
    let readme = readme();
    let flags: BTreeSet<_> = help
        .split_whitespace()
        .filter(|word| word.starts_with("--") && word.contains('.'))
        .map(|word| word.trim_end_matches(['=', ',']))
        .collect();
    assert!(flags.len() > 10, "{help}");
    for flag in flags {
        assert!(readme.contains(flag), "README does not mention {flag}");
    }
}

#[test]
fn nothing_in_the_tree_is_of_one_machine() {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    for file in ["README.md", "CHANGELOG.md", "CONTRIBUTING.md", "LICENSE", "deny.toml", ".ci/run"]
    {
        let text =
            std::fs::read_to_string(root.join(file)).unwrap_or_else(|e| panic!("{file}: {e}"));
        assert!(!text.contains(&*root.to_string_lossy()), "{file} names this machine's path");
    }
}
