//! The order of the source tree: a room (a module at the top of `src`) uses only rooms that stand before it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// From what uses nothing of ours to what is used by nobody.
const ROOMS: [&str; 23] = [
    "live",
    "nearest",
    "decode",
    "peak",
    "sys",
    "text",
    "metrics",
    "supervised",
    "yaml",
    "config",
    "collector",
    "process",
    "users",
    "audit",
    "state",
    "logs",
    "logging",
    "command",
    "reload",
    "exporter",
    "http",
    "cli",
    "program",
];

/// These may be used by everybody: constants and names of the crate itself.
const OF_THE_CRATE: [&str; 2] = ["CollectorName", "VERSION"];

fn sources(directory: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            found.push(path);
        }
    }
}

/// What follows each `crate::` in code, comments left out: `crate::a::b`, `crate::{a::b, c}`.
fn used(text: &str) -> Vec<String> {
    let code: Vec<_> = text.lines().map(|line| line.split("//").next().unwrap()).collect();
    let code = code.join("\n");
    let name = |text: &str| -> String {
        text.chars().take_while(|sign| sign.is_alphanumeric() || *sign == '_').collect()
    };
    let mut names = Vec::new();
    for rest in code.split("crate::").skip(1) {
        let Some(list) = rest.strip_prefix('{') else {
            names.push(name(rest));
            continue;
        };
        // At depth 1 each name begins an entry.
        let (mut depth, mut entry) = (1, String::new());
        for sign in list.chars() {
            match sign {
                '{' => depth += 1,
                '}' => depth -= 1,
                ',' if depth == 1 => {
                    names.push(name(entry.trim_start()));
                    entry.clear();
                    continue;
                }
                _ => {}
            }
            if depth == 0 {
                break;
            }
            entry.push(sign);
        }
        names.push(name(entry.trim_start()));
    }
    names.retain(|name| !name.is_empty());
    names
}

#[test]
fn imports_go_one_way() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    sources(&root, &mut files);
    let place = |room: &str| ROOMS.iter().position(|known| *known == room);
    let mut wrong = BTreeMap::new();
    let mut rooms = 0;
    for path in files {
        let relative = path.strip_prefix(&root).unwrap();
        let first = relative.components().next().unwrap().as_os_str().to_str().unwrap();
        let room = first.trim_end_matches(".rs");
        // They use whatever there is; the build script is none of the crate.
        if ["main", "lib", "build"].contains(&room) {
            continue;
        }
        let Some(own) = place(room) else { panic!("{room} stands in no place of ROOMS") };
        rooms += 1;
        for other in used(&fs::read_to_string(&path).unwrap()) {
            if other == room || OF_THE_CRATE.contains(&other.as_str()) {
                continue;
            }
            let Some(other_place) = place(&other) else {
                panic!("{}: crate::{other} is no room", relative.display())
            };
            if other_place > own {
                wrong.insert(format!("{room} uses {other}"), relative.to_owned());
            }
        }
    }
    assert!(rooms > 100, "{rooms}");
    assert!(wrong.is_empty(), "against the order of ROOMS: {wrong:#?}");
}

#[test]
fn every_form_of_an_import_is_seen() {
    let text = "use crate::a::b;\n// crate::no\nuse crate::{c::{self, x}, d, e::f};\nfn f() { crate::g::h() }";
    assert_eq!(used(text), ["a", "c", "d", "e", "g"]);
}
