//! The process that asks for the audit status, so that nobody else sleeps for it.
//!
//! The exporter starts it once, by executing itself before it opens a socket or makes a thread. It
//! alone needs `CAP_AUDIT_CONTROL`, it holds nothing but the audit socket and its end of a pair, and
//! it ends when the other end closes. Its threads may sleep on in the kernel for a while after that;
//! the exporter is gone at once and its port is free.

use std::io::{self, Read as _};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::Child;
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rustix::io::Errno;

use super::link::Frame;
use super::netlink::{self, Message, messages};
use super::pace::{ASKERS, Pace, Rhythm, Turn};
use super::tasks::{self, HELPER};
use super::{rules, status};
use crate::audit::child;
use crate::live::lock;
use crate::supervised::{self, Pause};
use crate::sys::audit::AuditSocket;

/// First argument of the re-executed binary.
pub(crate) const WORD: &str = "audit-helper";

/// How often the scheduler looks.
const TICK: Duration = Duration::from_millis(100);

/// An answer that has not come by then does not come.
const ANSWER_PATIENCE: Duration = Duration::from_secs(1);

/// Rules are asked for this often: the kernel copies them all.
const RULES_EVERY: Duration = Duration::from_secs(60);

/// After a refusal, which a restart with more privileges cures and time does not.
const REFUSED_PAUSE: Duration = Duration::from_secs(60);

/// Sleepers of former helpers beyond which no more is added to them.
const MAX_STALE: u32 = 12;

/// How often they are counted again while they are too many.
const STALE_EVERY: Duration = Duration::from_secs(5);

/// Keys that are told of at most; a rule set has a few dozen.
const MAX_KEYS: usize = 1000;

/// Starts the helper and returns it with our end of the pair.
///
/// # Errors
/// When no process can be made.
pub(crate) fn spawn() -> io::Result<(Child, UnixStream)> {
    let (ours, theirs) = UnixStream::pair()?;
    let child = child::spawn(WORD, OwnedFd::from(theirs))?;
    Ok((child, ours))
}

/// The helper's whole life; standard input is its end of the pair.
///
/// # Errors
/// When standard input is something else, as when a person starts it.
pub(crate) fn run() -> Result<(), &'static str> {
    let not_by_hand = "audit-helper is started by telltale_exporter itself, not by hand";
    let pair = UnixStream::from(child::enter().ok_or(not_by_hand)?);
    // Errors mean that the exporter is gone or that we cannot go on: both end us, which it sees.
    let _ = rustix::thread::set_name(c"telltale-audit");
    let _ = Helper::start(pair).map(|mut helper| helper.keep_scheduling());
    Ok(())
}

/// Our end of the pair for writing: two threads have something to tell.
#[derive(Clone)]
struct Outbox(Arc<Mutex<UnixStream>>);

impl Outbox {
    fn tell(&self, frame: &Frame) -> io::Result<()> {
        frame.send(&*lock(&self.0))
    }

    fn tell_panic(&self, thread: &str, text: &str) -> io::Result<()> {
        self.tell(&Frame::Panicked(thread.to_owned(), text.to_owned()))
    }
}

struct Helper {
    pair: UnixStream,
    outbox: Outbox,
    questions: Vec<SyncSender<Question>>,
    returns: Receiver<(usize, Result<(), Errno>)>,
    shared: Arc<Mutex<Shared>>,
    sequence: u32,
    pace: Pace,
    rules_due: Instant,
    told: Option<Rhythm>,
    stale: u32,
    stale_due: Instant,
}

#[derive(Clone, Copy)]
struct Question {
    kind: u16,
    sequence: u32,
}

/// What the reader has seen, for the scheduler.
#[derive(Default)]
struct Shared {
    latest: Option<(status::Status, Instant)>,
    /// The newest question for the rules.
    rules_question: u32,
    /// A status question that was taken, and when, until it is answered.
    acknowledged: Option<(u32, Instant)>,
    refused: Option<Instant>,
}

impl Shared {
    /// What to tell of an errno: a refusal, which lasts and stops the questions for a while, or a
    /// shortage, which passes.
    fn refuse(&mut self, errno: Errno, now: Instant) -> Frame {
        let lasts = [Errno::PERM, Errno::ACCESS, Errno::CONNREFUSED, Errno::PROTONOSUPPORT];
        if lasts.contains(&errno) {
            self.refused = Some(now);
            return Frame::Refused(errno.raw_os_error());
        }
        Frame::Unanswered
    }
}

impl Helper {
    fn start(pair: UnixStream) -> io::Result<Self> {
        let socket = match AuditSocket::open(Duration::from_secs(3600)) {
            Ok(socket) => Arc::new(socket),
            Err(error) => {
                Frame::Refused(error.raw_os_error()).send(&pair)?;
                // The exporter's end says when to end.
                let _ = (&pair).read(&mut [0]);
                return Err(error.into());
            }
        };
        let shared = Arc::new(Mutex::new(Shared::default()));
        let outbox = Outbox(Arc::new(Mutex::new(pair.try_clone()?)));
        let (returned, returns) = channel();
        let mut questions = Vec::new();
        for nth in 0..ASKERS {
            let (send, inbox) = sync_channel(1);
            let (socket, returned) = (Arc::clone(&socket), returned.clone());
            let outbox = outbox.clone();
            thread(move || ask(nth, &socket, &inbox, &returned, &outbox))?;
            questions.push(send);
        }
        let mut reader =
            Reader { shared: Arc::clone(&shared), outbox: outbox.clone(), rules: None };
        thread(move || {
            let outbox = reader.outbox.clone();
            let tell = |text: &str| drop(outbox.tell_panic("audit-answers", text));
            supervised::run("audit-answers", tell, || reader.run(&socket));
        })?;
        let now = Instant::now();
        Ok(Self {
            pair,
            outbox,
            questions,
            returns,
            shared,
            sequence: 0,
            pace: Pace::default(),
            rules_due: now,
            told: None,
            stale: tasks::count_stale_sleepers(),
            stale_due: now,
        })
    }

    /// Sends askers in turn until the exporter's end closes, whatever happens.
    fn keep_scheduling(&mut self) {
        if self.pair.set_read_timeout(Some(TICK)).is_err() {
            return;
        }
        let mut pause = Pause::default();
        loop {
            let began = Instant::now();
            let Err(text) = supervised::catch("audit-schedule", || self.schedule()) else { return };
            if self.outbox.tell_panic("audit-schedule", &text).is_err() {
                return;
            }
            let until = Instant::now() + pause.after(began.elapsed());
            while Instant::now() < until {
                if self.wait_for_end() {
                    return;
                }
            }
        }
    }

    /// Waits for a tick; whether the exporter is gone.
    fn wait_for_end(&self) -> bool {
        match (&self.pair).read(&mut [0]) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => false,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => false,
            // The end, or a word where none is spoken.
            _ => true,
        }
    }

    /// Sends askers in turn until the exporter's end closes.
    fn schedule(&mut self) {
        let mut daemon_stopped = false;
        loop {
            if self.wait_for_end() {
                return;
            }
            supervised::panic_if_asked("audit-schedule");
            let now = Instant::now();
            while let Ok((nth, result)) = self.returns.try_recv() {
                self.pace.back(nth, now);
                if let Err(errno) = result
                    && self.outbox.tell(&self.lock().refuse(errno, now)).is_err()
                {
                    return;
                }
            }
            let (latest, unanswered, refused) = self.look(now);
            if let Some((latest, _)) = latest {
                self.pace.learn(latest.backlog_wait_time.unwrap_or(0), tasks::panics_after());
                if self.pace.slept() {
                    // A daemon that goes on is the usual end of an overflow, and free to see.
                    let stopped = tasks::is_stopped(latest.pid);
                    if daemon_stopped && !stopped {
                        self.pace.hint();
                    }
                    daemon_stopped = stopped;
                }
            }
            if unanswered && self.outbox.tell(&Frame::Unanswered).is_err() {
                return;
            }
            if refused.is_some_and(|at| now.duration_since(at) < REFUSED_PAUSE) {
                continue;
            }
            if self.crowded(now) {
                continue;
            }
            if let Turn::Ask(nth) = self.pace.turn(now) {
                self.ask(nth, netlink::GET);
            } else if self.rules_are_due(latest, now)
                && let Some(nth) = self.pace.extra(now)
            {
                self.rules_due = now + RULES_EVERY;
                self.ask(nth, netlink::LIST_RULES);
            }
            let rhythm = self.pace.rhythm(now);
            if self.told != Some(rhythm) {
                if self.outbox.tell(&Frame::Rhythm(rhythm)).is_err() {
                    return;
                }
                self.told = Some(rhythm);
            }
        }
    }

    /// The newest status, whether a question is taken and not answered, and the last refusal.
    fn look(&self, now: Instant) -> (Option<(status::Status, Instant)>, bool, Option<Instant>) {
        let mut shared = self.lock();
        let late = |&(_, at): &(u32, Instant)| now.duration_since(at) > ANSWER_PATIENCE;
        let unanswered = shared.acknowledged.take_if(|taken| late(taken)).is_some();
        (shared.latest, unanswered, shared.refused)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Shared> {
        lock(&self.shared)
    }

    /// Whether former helpers' sleepers are so many that none may be added.
    fn crowded(&mut self, now: Instant) -> bool {
        // Where a sleeper can make the kernel panic, one is as many as there may be.
        let most = if tasks::panics_after().is_some() { 1 } else { MAX_STALE };
        if self.stale < most {
            return false;
        }
        if now >= self.stale_due {
            self.stale = tasks::count_stale_sleepers();
            self.stale_due = now + STALE_EVERY;
            if self.stale >= most {
                let _ = self.outbox.tell(&Frame::Crowded(self.stale));
            }
        }
        self.stale >= most
    }

    /// Rules are asked for seldom, and only well before an overflow: they tell nothing of it.
    fn rules_are_due(&self, latest: Option<(status::Status, Instant)>, now: Instant) -> bool {
        let calm = |(status, at): (status::Status, Instant)| {
            now.duration_since(at) < ANSWER_PATIENCE * 2
                && (status.backlog_limit == 0 || status.backlog < status.backlog_limit / 2)
        };
        now >= self.rules_due && latest.is_some_and(calm)
    }

    fn ask(&mut self, nth: usize, kind: u16) {
        self.sequence = self.sequence.wrapping_add(1);
        if kind == netlink::LIST_RULES {
            self.lock().rules_question = self.sequence;
        }
        // The asker is at home, so there is room.
        let _ = self.questions[nth].try_send(Question { kind, sequence: self.sequence });
    }
}

fn thread(run: impl FnOnce() + Send + 'static) -> io::Result<()> {
    std::thread::Builder::new().name(HELPER.to_owned()).stack_size(128 * 1024).spawn(run).map(drop)
}

fn ask(
    nth: usize,
    socket: &AuditSocket,
    inbox: &Receiver<Question>,
    returned: &Sender<(usize, Result<(), Errno>)>,
    outbox: &Outbox,
) {
    for Question { kind, sequence } in inbox {
        let sent = supervised::catch("audit-ask", || {
            supervised::panic_if_asked("audit-ask");
            socket.send(&netlink::request(kind, sequence))
        });
        // It comes back all the same, or would count as asleep; the pace says when the next goes.
        let result = sent.unwrap_or_else(|text| {
            let _ = outbox.tell_panic("audit-ask", &text);
            Ok(())
        });
        if returned.send((nth, result)).is_err() {
            return;
        }
    }
}

/// Receives what the kernel answers and passes it on.
struct Reader {
    shared: Arc<Mutex<Shared>>,
    outbox: Outbox,
    /// The rules of a reply that has not ended.
    rules: Option<(u32, Vec<Vec<u8>>)>,
}

impl Reader {
    fn run(&mut self, socket: &AuditSocket) {
        let mut buffer = vec![0; 64 * 1024];
        self.rules = None;
        loop {
            let Ok(length) = socket.receive(&mut buffer) else {
                // ENOBUFS, EINTR, the timeout: the next question gets its answer.
                std::thread::sleep(TICK);
                continue;
            };
            supervised::panic_if_asked("audit-answers");
            for message in messages(&buffer[..length.min(buffer.len())]) {
                if self.take(message).is_err() {
                    // The exporter is gone; the scheduler sees it too and ends us all.
                    return;
                }
            }
        }
    }

    fn take(&mut self, message: Message<'_>) -> io::Result<()> {
        let mut shared = lock(&self.shared);
        match message {
            Message::Ack(sequence) => shared.acknowledged = Some((sequence, Instant::now())),
            // Without rules there is still the status.
            Message::Refused(sequence, _) if sequence == shared.rules_question => {}
            Message::Refused(_, errno) => {
                let frame = shared.refuse(Errno::from_raw_os_error(errno), Instant::now());
                drop(shared);
                return self.outbox.tell(&frame);
            }
            Message::Status(sequence, payload) => {
                if shared.acknowledged.is_some_and(|(taken, _)| taken == sequence) {
                    shared.acknowledged = None;
                }
                if let Some(status) = status::parse(payload) {
                    shared.latest = Some((status, Instant::now()));
                    shared.refused = None;
                    drop(shared);
                    return self.outbox.tell(&Frame::Status(payload.to_vec()));
                }
            }
            Message::Rule(_, rule) => {
                shared.acknowledged = None;
                let (count, keys) = self.rules.get_or_insert_default();
                *count += 1;
                for key in rules::keys(rule) {
                    if keys.len() < MAX_KEYS && !keys.iter().any(|known| known == key) {
                        keys.push(key.to_vec());
                    }
                }
            }
            Message::Done(_) => {
                shared.acknowledged = None;
                drop(shared);
                let (count, keys) = self.rules.take().unwrap_or_default();
                return self.outbox.tell(&Frame::Rules(count, keys));
            }
            Message::Unrelated => {}
        }
        Ok(())
    }
}
