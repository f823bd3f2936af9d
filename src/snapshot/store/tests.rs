use super::*;
use crate::snapshot::slots::{FAULTS, Fault};
use proptest::prelude::*;
use tempfile::TempDir;

/// Where a run keeps its state.
struct Home {
    state: TempDir,
    runtime: TempDir,
}

impl Home {
    fn new() -> Self {
        Self { state: tempfile::tempdir().unwrap(), runtime: tempfile::tempdir().unwrap() }
    }

    /// The next start, when the last run is gone and its thread with it.
    fn open(&self) -> (State, Loaded) {
        loop {
            match State::open_in(self.state.path(), Ok(self.runtime.path().to_owned())) {
                Ok(opened) => return opened,
                Err(refusal) => assert!(refusal.contains("another telltale_exporter"), "{refusal}"),
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// The next write to the disk fails so.
    fn break_disk(&self, fault: Fault) {
        FAULTS.lock().unwrap().insert(self.state.path().join("positions"), fault);
    }

    fn reboot(&self) {
        for entry in std::fs::read_dir(&self.runtime).unwrap() {
            std::fs::remove_file(entry.unwrap().path()).unwrap();
        }
    }
}

/// Saves a text, of which the positions are in capitals.
fn save(state: &mut State, text: &str) {
    let positions = text.to_uppercase();
    state.save(text.as_bytes().to_vec(), || positions.into_bytes());
}

fn loaded(shown: Option<&str>, positions: Option<&str>) -> Loaded {
    let bytes = |text: &str| text.as_bytes().to_vec();
    Loaded { shown: shown.map(bytes), positions: positions.map(bytes) }
}

#[test]
fn values_are_taken_up_where_they_are_what_was_shown() {
    let home = Home::new();
    let (mut state, found) = home.open();
    assert_eq!(found, Loaded::default());
    save(&mut state, "one");
    save(&mut state, "two");
    let runtime = || Ok(home.runtime.path().to_owned());
    assert!(State::open_in(home.state.path(), runtime()).is_err(), "it is in use");
    let elsewhere = tempfile::tempdir().unwrap();
    let other = || Ok(elsewhere.path().to_owned());
    state.flush();
    assert!(
        State::open_in(home.state.path(), other()).is_err(),
        "also with another runtime directory"
    );
    drop(state);
    let (mut state, found) = home.open();
    assert_eq!(found, loaded(Some("two"), Some("TWO")));
    // Shown, and not kept: the next start has the position alone.
    state.runtime.as_ref().unwrap().fail_once();
    save(&mut state, "three");
    assert_eq!((state.errors(), state.warnings().len()), (1, 1));
    state.flush();
    drop(state);
    let (mut state, found) = home.open();
    assert_eq!(found, loaded(None, Some("THREE")));
    save(&mut state, "four");
    state.flush();
    drop(state);
    home.reboot();
    assert_eq!(home.open().1, loaded(None, Some("FOUR")));
}

#[test]
fn a_broken_disk_is_told_of_and_takes_nothing_but_positions() {
    let home = Home::new();
    let (mut state, _) = home.open();
    save(&mut state, "one");
    state.flush();
    home.break_disk(Fault::Fails);
    save(&mut state, "two");
    state.flush();
    assert_eq!(state.errors(), 1);
    assert!(state.warnings()[0].contains("after a reboot, lines count again"));
    drop(state);
    let (mut state, found) = home.open();
    assert_eq!(found, loaded(Some("two"), Some("ONE")));
    save(&mut state, "three");
    state.flush();
    assert!(state.warnings().is_empty(), "it is written again");
    drop(state);
    assert_eq!(home.open().1, loaded(Some("three"), Some("THREE")));
}

#[test]
fn what_failed_is_written_again_and_what_is_equal_is_not() {
    let home = Home::new();
    let (mut state, _) = home.open();
    state.runtime.as_ref().unwrap().fail_once();
    save(&mut state, "one");
    save(&mut state, "one");
    assert_eq!((state.errors(), state.warnings().len()), (1, 0));
    state.save(b"one".to_vec(), || unreachable!("nothing is new"));
    drop(state);
    assert_eq!(home.open().1.shown.unwrap(), b"one");
}

#[test]
fn a_directory_that_cannot_be_is_a_note() {
    let none = Err(io::ErrorKind::NotFound.into());
    let (mut state, found) = State::open_in(Path::new("/proc/telltale"), none).unwrap();
    assert_eq!(found, Loaded::default());
    let warnings = state.warnings();
    assert!(warnings[0].contains("no runtime directory") && warnings[1].contains("/proc/telltale"));
    save(&mut state, "one");
    state.flush();
    assert_eq!(state.errors(), 1);
}

#[derive(Debug, Clone)]
enum Step {
    /// Events are counted.
    Count(u64),
    /// A scrape, with what happens to its writes: of what is shown, and to the disk.
    Scrape(bool, Option<Fault>),
    /// The end of the run, with SIGTERM or without.
    Die(bool),
    /// The same, and the machine starts anew.
    Reboot(bool),
}

fn step() -> impl Strategy<Value = Step> {
    let fault = prop_oneof![
        4 => Just(None),
        1 => Just(Some(Fault::Fails)),
        1 => (0usize..70).prop_map(|count| Some(Fault::Torn(count))),
    ];
    prop_oneof![
        4 => (1u64..100).prop_map(Step::Count),
        6 => (proptest::bool::weighted(0.2), fault).prop_map(|(fails, fault)| Step::Scrape(fails, fault)),
        3 => any::<bool>().prop_map(Step::Die),
        1 => any::<bool>().prop_map(Step::Reboot),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    /// In no order of kills, failed writes and starts does a counter fall, but to 0; what was counted at 0 again never
    /// comes back; and after a clean end the position is that of what was shown.
    #[test]
    fn no_counter_ever_falls(steps in proptest::collection::vec(step(), 1..40)) {
        let home = Home::new();
        let (mut state, _) = home.open();
        // What is counted in all is the position; what is shown of it began at 0 where a line of counters began.
        let (mut read, mut began, mut shown) = (0u64, 0u64, 0u64);
        let (mut broken, mut is_shown_on_disk) = (false, true);
        for step in steps {
            let (clean, reboot) = match step {
                Step::Count(more) => {
                    read += more;
                    continue;
                }
                Step::Scrape(fails, fault) => {
                    if fails {
                        state.runtime.as_ref().unwrap().fail_once();
                    }
                    if let Some(fault) = fault {
                        home.break_disk(fault);
                    }
                    let payload = [read.to_le_bytes(), began.to_le_bytes()].concat();
                    state.save(payload, move || read.to_le_bytes().to_vec());
                    state.flush();
                    let left = FAULTS.lock().unwrap().remove(&home.state.path().join("positions"));
                    // What was equal was not written.
                    is_shown_on_disk = fault.is_none() || (left.is_some() && is_shown_on_disk);
                    broken |= !is_shown_on_disk;
                    shown = read;
                    continue;
                }
                Step::Die(clean) => (clean, false),
                Step::Reboot(clean) => (clean, true),
            };
            if clean {
                state.flush();
            }
            drop(state);
            if reboot {
                home.reboot();
            }
            let (next, found) = home.open();
            state = next;
            let number = |bytes: &[u8], at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap());
            if let Some(bytes) = &found.shown {
                prop_assert!(!reboot);
                prop_assert_eq!(number(bytes, 8), began, "another line of counters");
                prop_assert!(number(bytes, 0) >= shown, "{} after {}", number(bytes, 0), shown);
                read = number(bytes, 0);
            } else {
                let position = found.positions.as_ref().map_or(0, |bytes| number(bytes, 0));
                prop_assert!(position <= shown);
                prop_assert!(broken || position == shown, "{position}, where {shown} was shown");
                (read, began) = (position, position);
                shown = position;
            }
        }
    }
}
