//! What survives a restart, and what may be believed of it.
//!
//! A counter that falls by 5 makes `increase()` jump by its whole value, while a restart from 0 does not (measured). So
//! positions and values are written to the [runtime file](super::runtime) before a scrape shows them, and values are
//! taken up from there alone. It is memory: a reboot takes it away. Then the positions that are [on the
//! disk](super::disk) hold, and counters begin at 0.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::directory;
use super::disk::Disk;
use super::runtime::{self, Refused, RuntimeFile};

/// The end of the exporter waits so long for the disk.
const FLUSH_BOUND: Duration = Duration::from_secs(1);

/// The state of the exporter.
pub(crate) struct State {
    runtime: Option<RuntimeFile>,
    disk: Option<Disk>,
    /// What the runtime file holds, if it is known.
    saved: Option<Vec<u8>>,
    /// How often that could not be written.
    errors: u64,
    /// Why it cannot be, as long as it is so.
    failing: Option<String>,
    /// What is wrong for good.
    notes: Vec<String>,
}

/// What the last run has left.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Loaded {
    /// Positions and values, at least as new as what was last shown.
    pub shown: Option<Vec<u8>>,
    /// Positions alone.
    pub positions: Option<Vec<u8>>,
}

impl State {
    /// Takes the runtime file and opens the state directory, which is made where there is none.
    ///
    /// # Errors
    /// When another exporter uses it: one line that says what to do. Everything else is a note, for the
    /// exporter is of use without state too.
    pub(crate) fn open(directory: Option<&Path>) -> Result<(Self, Loaded), String> {
        let Some(directory) = directory.map(Path::to_owned).or_else(directory::default) else {
            let note = "no state directory is known: give one with --path.state; without it, counters \
                 begin at 0 at each start, and lines written meanwhile are not read";
            let state = Self { notes: vec![note.to_owned()], ..Self::without() };
            return Ok((state, Loaded::default()));
        };
        Self::open_in(&directory, runtime::default_directory())
    }

    fn open_in(directory: &Path, runtime: io::Result<PathBuf>) -> Result<(Self, Loaded), String> {
        let mut state = Self::without();
        let mut loaded = Loaded::default();
        let opened = runtime.map_err(Refused::from);
        match opened.and_then(|runtime| RuntimeFile::open_in(&runtime, directory)) {
            Ok((file, shown)) => {
                state.runtime = Some(file);
                state.saved.clone_from(&shown);
                loaded.shown = shown;
            }
            Err(Refused::InUse(owner)) => return Err(directory::refusal(directory, &owner)),
            Err(Refused::Impossible(error)) => {
                let note = format!(
                    "no runtime directory (RUNTIME_DIRECTORY, XDG_RUNTIME_DIR or /run): {error}; \
                     counters begin at 0 at each start"
                );
                tracing::warn!("{note}");
                state.notes.push(note);
            }
        }
        let (disk, found) = Disk::open(directory)?;
        state.disk = Some(disk);
        loaded.positions = found.positions;
        state.notes.extend(found.note.map(|why| {
            format!(
                "state directory {}: {why}; after a reboot, lines that were written before are not read",
                directory.display()
            )
        }));
        Ok((state, loaded))
    }

    fn without() -> Self {
        let (runtime, disk, saved, failing) = (None, None, None, None);
        Self { runtime, disk, saved, errors: 0, failing, notes: Vec::new() }
    }

    /// Writes what is about to be shown, if it is new; `positions`: that without the values. When this returns it may
    /// be shown: whether or not it was written, no later start will fall back behind it.
    pub(crate) fn save(
        &mut self,
        shown: Vec<u8>,
        positions: impl FnOnce() -> Vec<u8> + Send + 'static,
    ) {
        if self.saved.as_ref() == Some(&shown) {
            return;
        }
        self.saved = None;
        match self.runtime.as_ref().map(|runtime| runtime.write(&shown)) {
            Some(Ok(())) => {
                self.saved = Some(shown);
                if self.failing.take().is_some() {
                    tracing::info!("what is shown can be kept again");
                }
            }
            Some(Err(error)) => {
                self.errors += 1;
                let error = error.to_string();
                if self.failing.as_ref() != Some(&error) {
                    tracing::warn!(error, "what is shown cannot be kept in the runtime directory");
                }
                self.failing = Some(error);
            }
            None => {}
        }
        if let Some(disk) = &self.disk {
            disk.write(Box::new(positions));
        }
    }

    /// Brings the positions of what was last shown to the disk, as far as it answers soon: at the end of the exporter.
    pub(crate) fn flush(&self) {
        if let Some(disk) = &self.disk {
            disk.flush(FLUSH_BOUND);
        }
    }

    /// What could not be written.
    pub(crate) fn errors(&self) -> u64 {
        self.errors + self.disk.as_ref().map_or(0, |disk| disk.errors().0)
    }

    /// What is wrong, in sentences.
    pub(crate) fn warnings(&self) -> Vec<String> {
        let runtime = self.failing.as_ref().map(|error| {
            format!(
                "what is shown cannot be kept in the runtime directory ({error}): counters begin at 0 at the next start"
            )
        });
        let disk = self.disk.as_ref().and_then(|disk| disk.errors().1).map(|error| {
            format!("log positions cannot be written ({error}): after a reboot, lines count again")
        });
        self.notes.iter().cloned().chain(runtime).chain(disk).collect()
    }
}

#[cfg(test)]
mod tests;
