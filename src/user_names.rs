//! Names of users: from `etc/passwd` at once, else from the name service, which may hang.
//!
//! For our own root that is NSS, for another the host's own service, over its sockets.
//!
//! The name first shown for a uid is kept while the uid is seen, for a series must not change its name; a number
//! may become a name once. A uid that was away for an hour is asked for anew. A name service that does not answer in time costs the name, never the number of tasks.

mod sockets;

use std::collections::{BTreeSet, HashMap, HashSet};
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::supervised;
use crate::text;

/// How long all the names of one scrape may take.
pub(crate) const PATIENCE: Duration = Duration::from_millis(500);

/// A uid that was not seen for so long may be another user's by now.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(3600);

/// How often it is asked whether a number has got a name.
const ASKED_AGAIN_AFTER: Duration = Duration::from_secs(600);

/// Questions that wait for the name service; a user beyond goes by number.
const MAX_WAITING: usize = 1024;

/// A larger `etc/passwd` is read up to here.
const MAX_PASSWD_BYTES: u64 = 16 << 20;

/// Asked for one uid; returns the name if there is one. Runs on a thread of its own.
pub(crate) type Lookup = Box<dyn Fn(u32) -> Option<Vec<u8>> + Send>;

/// Names that several collectors ask for: a user has one name in all of them.
pub(crate) type Shown = Arc<Mutex<Names>>;

/// Who is called what.
pub(crate) struct Names {
    passwd: PathBuf,
    service: Service,
    /// What a uid is shown as.
    shown: HashMap<u32, String>,
    kept: HashMap<u32, Kept>,
}

/// What is remembered of a uid that is shown.
struct Kept {
    /// When it was last asked for by a collector.
    seen: Instant,
    /// When its name was last asked for, where it has none yet.
    nameless: Option<Instant>,
}

/// The thread that asks NSS.
struct Service {
    questions: SyncSender<u32>,
    answers: Receiver<(u32, Option<Vec<u8>>)>,
    /// Asked and not answered.
    waiting: HashSet<u32>,
    answered: HashMap<u32, Option<Vec<u8>>>,
    /// It was waited for in vain and has answered nothing since.
    hangs: bool,
}

impl Names {
    /// Names of the host whose files are below `rootfs`. NSS speaks for our own root only, so another is asked
    /// over its sockets.
    ///
    /// # Errors
    /// When the thread cannot be created.
    pub(crate) fn new(rootfs: &Path) -> std::io::Result<Self> {
        let root = rootfs.to_owned();
        let lookup: Lookup = if rootfs == Path::new("/") {
            Box::new(from_nss)
        } else {
            Box::new(move |uid| sockets::ask_host(&root, uid))
        };
        let service = Service::start(lookup)?;
        let passwd = rootfs.join("etc/passwd");
        Ok(Self { passwd, service, shown: HashMap::new(), kept: HashMap::new() })
    }

    /// Asks the name service ahead of time, without waiting for it.
    pub(crate) fn expect(&mut self, uids: impl Iterator<Item = u32>) {
        let unknown: BTreeSet<u32> = uids.filter(|uid| !self.shown.contains_key(uid)).collect();
        let service = &mut self.service;
        if unknown.iter().any(|uid| !service.knows_of(*uid)) {
            let local = read_passwd(&self.passwd, &unknown);
            service.ask(unknown.iter().filter(|uid| !local.contains_key(uid)).copied());
        }
    }

    /// What to show each of these uids as, the number where it has no name.
    pub(crate) fn resolve(&mut self, uids: &BTreeSet<u32>) -> &HashMap<u32, String> {
        self.resolve_at(uids, Instant::now())
    }

    fn resolve_at(&mut self, uids: &BTreeSet<u32>, now: Instant) -> &HashMap<u32, String> {
        self.kept.retain(|uid, kept| uids.contains(uid) || now - kept.seen < FORGOTTEN_AFTER);
        let away: Vec<u32> = self
            .kept
            .iter_mut()
            .filter(|(uid, _)| uids.contains(uid))
            .filter_map(|(&uid, kept)| {
                let long = now - std::mem::replace(&mut kept.seen, now) >= FORGOTTEN_AFTER;
                long.then_some(uid)
            })
            .collect();
        for uid in away {
            self.kept.remove(&uid);
        }
        self.shown.retain(|uid, _| self.kept.contains_key(uid));
        self.name_numbers(now);

        let mut unknown: BTreeSet<u32> =
            uids.iter().filter(|uid| !self.shown.contains_key(uid)).copied().collect();
        if !unknown.is_empty() {
            let mut names = read_passwd(&self.passwd, &unknown);
            unknown.retain(|uid| !names.contains_key(uid));
            names.extend(self.service.answers(&unknown));
            for &uid in uids {
                let name = names.get(&uid).filter(|name| !name.is_empty());
                self.shown.entry(uid).or_insert_with(|| {
                    let nameless = name.is_none().then_some(now);
                    self.kept.insert(uid, Kept { seen: now, nameless });
                    name.map_or_else(|| uid.to_string(), |name| text::label(name))
                });
            }
        }
        &self.shown
    }

    /// Gives a name to those that are shown as a number, where an answer came late or one was made since.
    /// Nobody waits for it.
    fn name_numbers(&mut self, now: Instant) {
        self.service.take_answers();
        let numbers: BTreeSet<u32> = self
            .kept
            .iter()
            .filter(|(_, kept)| kept.nameless.is_some())
            .map(|(&uid, _)| uid)
            .collect();
        let due: BTreeSet<u32> = numbers
            .iter()
            .filter(|uid| {
                let asked = self.kept.get(uid).and_then(|kept| kept.nameless);
                asked.is_some_and(|asked| now - asked >= ASKED_AGAIN_AFTER)
            })
            .copied()
            .collect();
        let mut names =
            if due.is_empty() { HashMap::new() } else { read_passwd(&self.passwd, &due) };
        self.service.ask(due.iter().filter(|uid| !names.contains_key(uid)).copied());
        for uid in &numbers {
            if let Some(name) = self.service.answered.remove(uid).flatten() {
                names.insert(*uid, name);
            }
        }
        for uid in numbers {
            let Some(kept) = self.kept.get_mut(&uid) else { continue };
            if let Some(name) = names.get(&uid).filter(|name| !name.is_empty()) {
                kept.nameless = None;
                self.shown.insert(uid, text::label(name));
            } else if due.contains(&uid) {
                kept.nameless = Some(now);
            }
        }
    }
}

impl Service {
    fn start(lookup: Lookup) -> std::io::Result<Self> {
        let (questions, inbox) = sync_channel(MAX_WAITING);
        let (outbox, answers) = sync_channel(MAX_WAITING + 1);
        // NSS modules keep large buffers on the stack.
        std::thread::Builder::new().name("names".to_owned()).stack_size(1 << 20).spawn(
            move || {
                for uid in inbox {
                    let name = supervised::catch("names", || {
                        supervised::panic_if_asked("names");
                        lookup(uid)
                    });
                    // Who asked gets an answer, or would wait for it for ever.
                    let name = name.unwrap_or_else(|error| {
                        tracing::error!(uid, error, "the name of a user cannot be asked for");
                        None
                    });
                    if outbox.send((uid, name)).is_err() {
                        return;
                    }
                }
            },
        )?;
        let (waiting, answered) = (HashSet::new(), HashMap::new());
        Ok(Self { questions, answers, waiting, answered, hangs: false })
    }

    fn knows_of(&self, uid: u32) -> bool {
        self.waiting.contains(&uid) || self.answered.contains_key(&uid)
    }

    fn ask(&mut self, uids: impl Iterator<Item = u32>) {
        for uid in uids {
            if !self.knows_of(uid) && self.questions.try_send(uid).is_ok() {
                self.waiting.insert(uid);
            }
        }
    }

    /// Takes what was answered by now.
    fn take_answers(&mut self) {
        while let Ok((uid, name)) = self.answers.try_recv() {
            self.hangs = false;
            self.waiting.remove(&uid);
            self.answered.insert(uid, name);
        }
    }

    /// Takes the names of these uids, waiting for them no longer than [`PATIENCE`]. They are not
    /// asked about again.
    fn answers(&mut self, uids: &BTreeSet<u32>) -> HashMap<u32, Vec<u8>> {
        self.ask(uids.iter().copied());
        let deadline = Instant::now() + PATIENCE;
        loop {
            let missing = uids.iter().any(|uid| self.waiting.contains(uid));
            let waits = missing && !self.hangs;
            let until = if waits { deadline } else { Instant::now() };
            let patience = until.saturating_duration_since(Instant::now());
            let Ok((uid, name)) = self.answers.recv_timeout(patience) else {
                self.hangs = missing;
                break;
            };
            self.hangs = false;
            self.waiting.remove(&uid);
            self.answered.insert(uid, name);
        }
        uids.iter()
            .filter_map(|uid| self.answered.remove(uid).flatten().map(|name| (*uid, name)))
            .collect()
    }
}

/// Asks NSS (nsswitch.conf(5)); may take as long as a network does.
fn from_nss(uid: u32) -> Option<Vec<u8>> {
    use std::os::unix::ffi::OsStrExt as _;
    uzers::get_user_by_uid(uid).map(|user| user.name().as_bytes().to_vec())
}

/// The names that `passwd` has for these uids; where several share a uid, the first, as
/// getpwuid(3) has it.
fn read_passwd(path: &Path, uids: &BTreeSet<u32>) -> HashMap<u32, Vec<u8>> {
    let mut bytes = Vec::new();
    if let Ok(file) = std::fs::File::open(path) {
        // What was read before an error is as good as it ever was.
        let _ = file.take(MAX_PASSWD_BYTES).read_to_end(&mut bytes);
    }
    parse_passwd(&bytes, uids)
}

fn parse_passwd(bytes: &[u8], uids: &BTreeSet<u32>) -> HashMap<u32, Vec<u8>> {
    let mut names = HashMap::new();
    for line in bytes.split(|&byte| byte == b'\n') {
        let mut fields = line.split(|&byte| byte == b':');
        let (Some(name), Some(uid)) = (fields.next(), fields.nth(1)) else { continue };
        let Some(uid) = std::str::from_utf8(uid).ok().and_then(|uid| uid.parse().ok()) else {
            continue;
        };
        // A leading + or - is for the old compat service of nsswitch.conf.
        if uids.contains(&uid) && !matches!(name.first(), Some(b'+' | b'-') | None) {
            names.entry(uid).or_insert_with(|| name.to_vec());
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const PASSWD: &[u8] = b"root:x:0:0:root:/root:/bin/bash\ntoor:x:0:0::/:/bin/sh\n\
        # comment\n+::::::\n-bad:x:9:9:::\nbroken\nuser\xff:x:1000:1000:::\n:x:1001:1:::\n\
        no:x:nan:1:::\n";

    fn uids(uids: &[u32]) -> BTreeSet<u32> {
        uids.iter().copied().collect()
    }

    #[test]
    fn first_name_of_a_uid_wins_and_odd_lines_are_skipped() {
        let names = parse_passwd(PASSWD, &uids(&[0, 9, 1000, 1001]));
        assert_eq!(names[&0], b"root");
        assert_eq!(names[&1000], b"user\xff");
        assert_eq!(names.len(), 2);
    }

    #[test]
    fn without_a_name_service_it_is_passwd_or_the_number() {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir(root.path().join("etc")).unwrap();
        std::fs::write(root.path().join("etc/passwd"), PASSWD).unwrap();
        let mut names = Names::new(root.path()).unwrap();
        let shown = names.resolve(&uids(&[0, 1000, 4711])).clone();
        assert_eq!((&*shown[&0], &*shown[&1000], &*shown[&4711]), ("root", "user\\xff", "4711"));
        // The name first shown stays.
        std::fs::write(root.path().join("etc/passwd"), "new:x:4711:1:::\nx:x:0:0:::\n").unwrap();
        let shown = names.resolve(&uids(&[0, 4711]));
        assert_eq!((&*shown[&0], &*shown[&4711]), ("root", "4711"));
    }

    /// As `Names::new` on the root, but with a passwd that has nobody.
    fn with_service(lookup: fn(u32) -> Option<Vec<u8>>) -> Names {
        let service = Service::start(Box::new(lookup)).unwrap();
        Names {
            passwd: "/nonexistent".into(),
            service,
            shown: HashMap::new(),
            kept: HashMap::new(),
        }
    }

    #[test]
    fn the_name_service_answers_for_the_rest() {
        let mut names = with_service(|uid| (uid == 5000).then(|| b"ldapuser".to_vec()));
        let shown = names.resolve(&uids(&[5000, 5001]));
        assert_eq!((&*shown[&5000], &*shown[&5001]), ("ldapuser", "5001"));
    }

    #[test]
    fn a_number_becomes_a_name_once_when_the_answer_comes_late() {
        let mut names = with_service(|_| {
            std::thread::sleep(PATIENCE + Duration::from_millis(300));
            Some(b"late".to_vec())
        });
        assert_eq!(names.resolve(&uids(&[7]))[&7], "7");
        let started = Instant::now();
        while names.resolve(&uids(&[7]))[&7] != "late" {
            assert!(started.elapsed() < Duration::from_secs(60), "it never came");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    #[test]
    fn a_name_is_kept_while_the_uid_is_seen_and_asked_anew_after_an_hour() {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir(root.path().join("etc")).unwrap();
        let passwd = |text: &str| std::fs::write(root.path().join("etc/passwd"), text).unwrap();
        passwd("ann:x:5:5:::\n");
        let mut names = Names::new(root.path()).unwrap();
        let mut now = Instant::now();
        let mut at = |seconds: u64, asked: &[u32]| {
            now += Duration::from_secs(seconds);
            let shown = names.resolve_at(&uids(asked), now);
            asked.iter().map(|uid| shown[uid].clone()).collect::<Vec<_>>()
        };
        assert_eq!(at(0, &[5, 6]), ["ann", "6"]);
        passwd("bob:x:5:5:::\nkim:x:6:6:::\n");
        // Seen all the while, it keeps its name for hours; the number gets one within ten minutes, once.
        assert_eq!(at(60, &[5, 6]), ["ann", "6"]);
        assert_eq!(at(600, &[5, 6]), ["ann", "kim"]);
        passwd("bob:x:5:5:::\nlee:x:6:6:::\n");
        for _ in 0..5 {
            assert_eq!(at(1800, &[5, 6]), ["ann", "kim"]);
        }
        // Away for an hour: another may have the number.
        assert_eq!(at(1800, &[6]), ["kim"]);
        assert_eq!(at(1799, &[5, 6]), ["ann", "kim"]);
        assert_eq!(at(3600, &[5, 6]), ["bob", "lee"]);
    }

    #[test]
    fn another_root_is_asked_over_its_sockets() {
        let root = tempfile::tempdir().unwrap();
        let socket = root.path().join("run/systemd/userdb/io.systemd.Multiplexer");
        let question =
            b"{\"method\":\"io.systemd.UserDatabase.GetUserRecord\",\"parameters\":{\"uid\":5000,\
            \"service\":\"io.systemd.Multiplexer\"}}\0";
        let answer = b"{\"parameters\":{\"record\":{\"userName\":\"kim\",\"uid\":5000}}}\0";
        sockets::tests::serve(&socket, question.to_vec(), answer.to_vec(), true);
        let mut names = Names::new(root.path()).unwrap();
        let shown = names.resolve(&uids(&[5000, 5001]));
        assert_eq!((&*shown[&5000], &*shown[&5001]), ("kim", "5001"));
    }

    #[test]
    fn a_lookup_that_panics_costs_one_name() {
        let mut names = with_service(|uid| {
            assert_ne!(uid, 5000, "as asked");
            Some(b"ldapuser".to_vec())
        });
        let shown = names.resolve(&uids(&[5000, 5001]));
        assert_eq!((&*shown[&5000], &*shown[&5001]), ("5000", "ldapuser"));
    }

    #[test]
    fn a_hanging_name_service_costs_half_a_second_and_then_the_name() {
        let mut names = with_service(|_| {
            std::thread::sleep(Duration::from_secs(3600));
            None
        });
        let started = Instant::now();
        assert_eq!(names.resolve(&uids(&[5000, 5001]))[&5000], "5000");
        let first = started.elapsed();
        assert!(first >= PATIENCE && first < PATIENCE * 8, "{first:?}");
        let started = Instant::now();
        names.resolve(&uids(&[5000, 5001]));
        assert!(started.elapsed() < PATIENCE, "known uids do not wait");
        let started = Instant::now();
        assert_eq!(names.resolve(&uids(&[5002]))[&5002], "5002");
        assert!(started.elapsed() < PATIENCE, "nor do new ones while it still hangs");
    }

    #[test]
    fn a_slow_answer_that_was_expected_arrives_in_time() {
        let mut names = with_service(|_| {
            std::thread::sleep(PATIENCE + Duration::from_millis(200));
            Some(b"slow".to_vec())
        });
        names.expect([7].into_iter());
        std::thread::sleep(Duration::from_millis(400));
        assert_eq!(names.resolve(&uids(&[7]))[&7], "slow");
    }

    proptest! {
        #[test]
        fn any_passwd_is_survived(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            parse_passwd(&bytes, &uids(&[0, 1]));
        }
    }
}
