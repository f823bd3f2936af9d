//! Starts `tests/load` and tells what it got.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

/// A load that holds its tasks until dropped.
pub struct Load {
    child: Child,
    /// It ends when its standard input does.
    stdin: Option<ChildStdin>,
    /// Tasks it made besides itself.
    pub made: u64,
    /// Whether the kernel refused it more.
    pub refused: bool,
}

impl Load {
    /// Runs `load` with these words and waits until it holds what it could get.
    pub fn start(words: &[&str]) -> Self {
        let mut command = load_command();
        command.args(words);
        Self::spawn(command)
    }

    /// As [`Load::start`], for a command that ends up as `load`.
    pub fn spawn(mut command: Command) -> Self {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut said = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut said).unwrap();
        let (made, why) = said.trim().split_once(' ').expect("the load says what it got");
        let (made, refused) = (made.parse().unwrap(), why == "EAGAIN");
        Self { stdin: child.stdin.take(), child, made, refused }
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        drop(self.stdin.take());
        let _ = self.child.wait();
    }
}

/// The built helper. `cargo test` builds it, `cargo test NAME` does not: then a stale one is refused.
pub fn load_command() -> Command {
    let exporter = PathBuf::from(env!("CARGO_BIN_EXE_telltale_exporter"));
    let built = exporter.with_file_name("examples").join("load");
    let source = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/load/main.rs");
    let age = |path: &Path| path.metadata().and_then(|file| file.modified()).ok();
    assert!(age(&built) >= age(&source), "run `cargo build --examples` first");
    Command::new(built)
}

/// A uid that no other test, and no other test run beside this one, uses: from a range that neither
/// Debian nor systemd gives out.
pub fn free_uid() -> u32 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let nth = NEXT.fetch_add(1, Ordering::SeqCst);
    assert!(nth < 120, "more uids than a run has");
    // 1,000 runs of 120 uids each below the container ranges (524288 and up).
    400_000 + (std::process::id() % 1000) * 120 + nth
}
