//! What the tests share: the exporter as a child process, a load beside it, and what it says.

pub mod audit;
pub mod daemon;
pub mod exporter;
pub mod journald;
pub mod load;
pub mod pack;
pub mod text;

pub use audit::AuditScene;
pub use daemon::Prometheus;
pub use exporter::{Exporter, exporter_command};
pub use load::{Load, free_uid};
pub use text::Scrape;

use std::io::Write as _;
use std::process::Command;
use std::time::{Duration, Instant};

/// Something a test cannot do without.
#[derive(Debug, Clone, Copy)]
pub enum Need {
    /// To be root of the initial user namespace.
    Root,
    /// A program on the path.
    Tool(&'static str),
}

/// Whether everything is there. If not, says what is missing (into `$TELLTALE_SKIPPED`, which
/// `tests/run` prints at its end, and on standard error) or fails under `TELLTALE_REQUIRE_ALL=1`.
#[must_use]
pub fn need(needs: &[Need]) -> bool {
    let missing = needs.iter().find_map(|need| match need {
        Need::Root => (!rustix::process::getuid().is_root()).then(|| "root".to_owned()),
        Need::Tool(tool) => {
            let found = Command::new("sh").args(["-c", "command -v \"$0\"", tool]).output();
            (!found.is_ok_and(|found| found.status.success())).then(|| (*tool).to_owned())
        }
    });
    let Some(missing) = missing else { return true };
    let test = std::thread::current().name().unwrap_or("a test").to_owned();
    assert_ne!(
        std::env::var("TELLTALE_REQUIRE_ALL").as_deref(),
        Ok("1"),
        "{test} needs {missing}, and nothing may be skipped"
    );
    let line = format!("SKIPPED {test}: needs {missing}\n");
    eprint!("{line}");
    if let Some(path) = std::env::var_os("TELLTALE_SKIPPED") {
        let file = std::fs::OpenOptions::new().create(true).append(true).open(path);
        file.unwrap().write_all(line.as_bytes()).unwrap();
    }
    false
}

/// Calls `probe` until it is true; a minute is for a machine that is very busy.
pub fn eventually(what: &str, mut probe: impl FnMut() -> bool) {
    let started = Instant::now();
    while !probe() {
        assert!(started.elapsed() < Duration::from_secs(60), "{what}: not within a minute");
        std::thread::sleep(Duration::from_millis(50));
    }
}
