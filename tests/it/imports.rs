//! The order of the source tree: a room (a module at the top of `src`) uses only rooms that stand before it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// From what uses nothing of ours to what is used by nobody. A room is a module at the top of `src`, or a part of one
/// that may be used before the rest of it.
const ROOMS: [&str; 32] = [
    "live",
    "nearest",
    "peak",
    "text",
    "decode",
    "sys",
    "metrics",
    "page_url",
    "supervised",
    "yaml",
    "config",
    "collector",
    "collectors",
    "log_line",
    "audit::record",
    "user_names",
    "users",
    "host",
    "exporter_process",
    "logrotate",
    "journal",
    "sources",
    "unknown_lines",
    "signatures",
    "audit",
    "snapshot",
    "pipeline",
    "logging",
    "command",
    "reload",
    "exporter",
    "http",
];

/// What puts the program together uses whatever there is, and is used by nobody.
const TOP: [&str; 2] = ["cli", "program"];

/// This may be used by everybody: a constant of the crate itself.
const OF_THE_CRATE: &str = "VERSION";

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

/// What follows each `crate::` in code, comments left out, two modules deep: `crate::a::b::c`, `crate::{a::b, c}`.
fn used(text: &str) -> Vec<String> {
    let code: Vec<_> = text.lines().map(|line| line.split("//").next().unwrap()).collect();
    let code = code.join("\n");
    let path = |text: &str| -> String {
        let is_path = |sign: &char| sign.is_alphanumeric() || matches!(sign, '_' | ':');
        let whole: String = text.chars().take_while(is_path).collect();
        let parts: Vec<_> = whole.split("::").filter(|part| !part.is_empty()).take(2).collect();
        parts.join("::")
    };
    let mut names = Vec::new();
    for rest in code.split("crate::").skip(1) {
        let Some(list) = rest.strip_prefix('{') else {
            names.push(path(rest));
            continue;
        };
        // At depth 1 each name begins an entry.
        let (mut depth, mut entry) = (1, String::new());
        for sign in list.chars() {
            match sign {
                '{' => depth += 1,
                '}' => depth -= 1,
                ',' if depth == 1 => {
                    names.push(path(entry.trim_start()));
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
        names.push(path(entry.trim_start()));
    }
    names.retain(|name| !name.is_empty());
    names
}

/// The room of a module: `audit::record::event` is in `audit::record`, `audit::queue` in `audit`.
fn room_of(module: &str) -> Option<&'static str> {
    let rooms = ROOMS.iter().chain(&TOP).copied();
    let within = rooms.filter(|room| {
        module.strip_prefix(room).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
    });
    within.max_by_key(|room| room.len())
}

#[test]
fn imports_go_one_way() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    sources(&root, &mut files);
    let place = |room: &str| ROOMS.iter().chain(&TOP).position(|known| *known == room).unwrap();
    let mut wrong = BTreeMap::new();
    let mut rooms = 0;
    for path in files {
        let relative = path.strip_prefix(&root).unwrap().with_extension("");
        let module = relative.to_str().unwrap().replace('/', "::");
        // They use whatever there is; the build script is none of the crate.
        if ["main", "lib", "build"].contains(&&*module) {
            continue;
        }
        let Some(own) = room_of(&module) else { panic!("{module} stands in no place of ROOMS") };
        rooms += 1;
        for other in used(&fs::read_to_string(&path).unwrap()) {
            if other == OF_THE_CRATE {
                continue;
            }
            let Some(room) = room_of(&other) else { panic!("{module}: crate::{other} is no room") };
            if place(room) > place(own) {
                wrong.insert(format!("{own} uses {room}"), module.clone());
            }
        }
    }
    assert!(rooms > 100, "{rooms}");
    assert!(wrong.is_empty(), "against the order of ROOMS: {wrong:#?}");
}

#[test]
fn every_form_of_an_import_is_seen() {
    let text = "use crate::a::b;\n// crate::no\nuse crate::{c::{self, x}, d, e::f::g};\nfn f() { crate::g::h() }";
    assert_eq!(used(text), ["a::b", "c", "d", "e::f", "g::h"]);
    assert_eq!(room_of("audit::record::event"), Some("audit::record"));
    assert_eq!((room_of("audit::queue"), room_of("auditd")), (Some("audit"), None));
}
