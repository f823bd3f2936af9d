//! How far reading is, for who waits at a terminal.

use std::io::{IsTerminal as _, Write as _};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::command::input::Progress;

/// Drawn so often at most; less would stutter.
const PAUSE: Duration = Duration::from_millis(100);

const CELLS: u64 = 30;

/// A bar on standard error, where that is a terminal; else nothing.
pub(super) struct Bar {
    progress: Arc<Progress>,
    /// The sizes of all files that have one.
    total: u64,
    on: bool,
    last: Instant,
    drawn: bool,
}

impl Bar {
    /// For these files. It appears after a moment: most scans are over by then.
    pub(super) fn new(files: &[PathBuf], progress: &Arc<Progress>) -> Self {
        let sizes = files.iter().filter_map(|path| std::fs::metadata(path).ok());
        let total = sizes.filter(std::fs::Metadata::is_file).map(|meta| meta.len()).sum();
        let (on, progress) = (std::io::stderr().is_terminal(), Arc::clone(progress));
        Self { progress, total, on, last: Instant::now(), drawn: false }
    }

    /// Draws it anew if it is time.
    pub(super) fn draw(&mut self) {
        if !self.on || self.last.elapsed() < PAUSE {
            return;
        }
        self.last = Instant::now();
        let (read, total) = (self.progress.read(), self.total.max(self.progress.total()));
        if total == 0 {
            return;
        }
        let line = line(read, total);
        // Nothing can be done about a terminal that has gone.
        let _ = write!(std::io::stderr(), "\r{line}\x1b[K");
        self.drawn = true;
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        if self.drawn {
            let _ = write!(std::io::stderr(), "\r\x1b[K");
        }
    }
}

fn line(read: u64, total: u64) -> String {
    let share = |of: u64| u128::from(read.min(total)) * u128::from(of) / u128::from(total.max(1));
    let full = usize::try_from(share(CELLS)).unwrap_or(0);
    let cells = "█".repeat(full) + &"░".repeat(usize::try_from(CELLS).unwrap_or(0) - full);
    format!("{cells} {:3} % of {}", share(100), super::report::size(total))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_fills_up() {
        assert!(line(0, 5_000_000).ends_with("░   0 % of 5.0 MB"));
        assert!(line(2_500_000, 5_000_000).contains("█░") && line(9, 3).contains("█ 100 %"));
        let count = |read| line(read, 1000).matches('█').count();
        assert_eq!((count(0), count(500), count(1000)), (0, 15, 30));
    }
}
