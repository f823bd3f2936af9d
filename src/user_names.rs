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
mod tests;
