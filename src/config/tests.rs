use super::*;

fn error(yaml: &str) -> String {
    Config::parse(yaml, "t.yml").unwrap_err().to_string()
}

#[test]
fn built_in_default_shows_everybody() {
    let config = Config::parse(DEFAULT, "built-in").unwrap();
    assert!(config.users.shows("root") && config.users.shows("4711"));
}

#[test]
fn empty_documents_are_valid() {
    for yaml in ["", "# nothing\n", "---\n", "users:\n", "users: {}\n"] {
        assert!(Config::parse(yaml, "t.yml").unwrap().users.shows("root"), "{yaml:?}");
    }
}

#[test]
fn include_and_exclude() {
    let yaml = "users:\n  include: '^www'\n  exclude: 'test$'\n";
    let users = Config::parse(yaml, "t.yml").unwrap().users;
    assert!(users.shows("www-data"));
    assert!(!users.shows("root") && !users.shows("www-test"));
}

#[test]
fn mistakes_name_file_and_line() {
    for (yaml, place, word) in [
        ("users:\n  excluded: x\n", "t.yml:2:", "excluded"),
        ("user:\n  exclude: x\n", "t.yml:1:", "user"),
        ("users:\n  exclude: '('\n", "t.yml:2:", "unclosed group"),
        ("users: [1]\n", "t.yml:1:", ""),
        ("users:\n\texclude: x\n", "t.yml:2:", ""),
        ("logs:\n  sources: [{name: a, files: [/a, /a]}]\n", "t.yml:2:", "twice"),
        ("logs:\n  sources: [{name: a, files: ['/a[']}]\n", "t.yml:2:", "no pattern"),
        ("logs:\n  sources: [{name: a, files: [a]}]\n", "t.yml:2:", "absolute"),
        ("logs:\n  sources: [{name: a}]\n", "t.yml:2:", "either files"),
        ("logs:\n  sources: [{name: a, files: [/a], kmsg: true}]\n", "t.yml:2:", "either files"),
        (
            "logs:\n  sources: [{name: a, kmsg: true, directories: [/a]}]\n",
            "t.yml:2:",
            "directories",
        ),
        (
            "logs:\n  sources: [{name: a, kmsg: true}, {name: b, kmsg: true}]\n",
            "t.yml:2:",
            "'a' again",
        ),
        (
            "logs:\n  sources:\n    - {name: a, kmsg: true}\n    - name: b\n      files: [b]\n",
            "t.yml:4:7: source 'b'",
            "absolute",
        ),
        (
            "logs:\n  sources:\n  - {name: a, files: /a}\n",
            "t.yml:3:",
            "a list is wanted, [one, two]",
        ),
        ("audit: {required: maybe}\n", "t.yml:1:", "true or false"),
        ("logs: {}\nlogs: {}\n", "t.yml:2:", "duplicate mapping key: logs"),
    ] {
        let line = error(yaml);
        assert!(line.starts_with(place), "{yaml:?}: {line}");
        assert!(line.contains(word) && !line.contains('\n'), "{yaml:?}: {line}");
        assert!(!line.contains("Policy"), "{line}");
    }
}

fn said(yaml: &str) -> Vec<String> {
    let (_, mistakes) = Config::parse_all(yaml, "t.yml");
    mistakes.iter().map(ToString::to_string).collect()
}

#[test]
fn every_mistake_is_told_once_in_its_line() {
    let yaml = "\
users:
  excluded: x
  include: '('
audit:
  required: maybe
  expected_keys:
    - one
    - [two]
logs:
  sources:
    - name: a
      fils: [/a]
    - name: b
      files: /b
      format: sylog
    - {name: c, kmsg: perhaps}
    - name: d
      files: [d]
      journal: true
    - name: d
      files: [/d, /d]
  disable:
  - x
  - [y]
  examples: 7
log: {}
";
    let said = said(yaml);
    let expected = [
        ("2:", "excluded"),
        ("3:", "unclosed group"),
        ("5:", "true or false"),
        ("8:", ""),
        ("12:", "fils"),
        ("14:", "a list is wanted"),
        ("15:", "sylog"),
        ("16:", "true or false"),
        ("17:", "either files"),
        ("17:", "absolute"),
        ("20:", "a name of its own"),
        ("20:", "twice"),
        ("24:", ""),
        ("25:", "true or false"),
        ("26:", "log"),
    ];
    for (line, word) in expected {
        let place = format!("t.yml:{line}");
        let is_told = |one: &&String| one.starts_with(&place) && one.contains(word);
        assert_eq!(said.iter().filter(is_told).count(), 1, "{line} {word}: {said:#?}");
    }
    assert_eq!(said.len(), expected.len(), "{said:#?}");
}

#[test]
fn lists_on_one_line_are_told_of_as_far_as_they_go() {
    let yaml = "users: {exclud: x}\nlogs: {sources: [{name: a, fils: [/a]},\n  \
        {name: b}]}\naudit: {required: 3}\n";
    let said = said(yaml);
    assert_eq!(said.len(), 3, "{said:#?}");
    assert!(said[0].starts_with("t.yml:1:") && !said[0].ends_with(')'), "{said:#?}");
    assert!(said[1].starts_with("t.yml:2:") && said[1].ends_with("it is corrected)"), "{said:#?}");
}
