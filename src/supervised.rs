//! No thread of ours ends in silence: a panic, which is a bug of ours, is caught inside the thread that had
//! it, told with where it happened, counted, and the thread's work is taken up again.
//!
//! Nothing is created for that: the host may be out of processes just then. What serves requests
//! ([`catch`]) answers the next one; what works by itself ([`run`]) waits first, and longer each time.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, PanicHookInfo, catch_unwind};
use std::pin::pin;
use std::sync::{Mutex, Once};
use std::task::Poll;
use std::time::{Duration, Instant};

use crate::live::lock;
use crate::metrics::{Desc, Metrics};

#[cfg(not(panic = "unwind"))]
compile_error!("threads catch their panics and go on: build without panic = \"abort\"");

/// The pause after the first panic; each further one doubles it.
const FIRST_PAUSE: Duration = Duration::from_secs(1);

const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// After so long without a panic the next pause is a first one.
const GOOD_WHILE: Duration = Duration::from_secs(300);

const PANICS: Desc = Desc::counter(
    "telltale_thread_panics_total",
    "Panics of a thread of the exporter, which are bugs; it was taken up again after each.",
);

/// How often each thread panicked, and what the last panic said.
static PANICKED: Mutex<BTreeMap<String, (u64, String)>> = Mutex::new(BTreeMap::new());

thread_local! {
    /// A panic of this thread is caught by us.
    static CAUGHT: Cell<bool> = const { Cell::new(false) };
    /// Where the last one happened.
    static PLACE: RefCell<String> = const { RefCell::new(String::new()) };
}

/// Does a thread's work once.
///
/// # Errors
/// The panic, in a sentence with its place in the source.
pub(crate) fn catch<T>(thread: &str, work: impl FnOnce() -> T) -> Result<T, String> {
    static HOOK: Once = Once::new();
    HOOK.call_once(keep_place);
    let outer = CAUGHT.replace(true);
    // What shares state over this call takes it up from what was published last.
    let result = catch_unwind(AssertUnwindSafe(work));
    CAUGHT.set(outer);
    result.map_err(|panic| {
        let said = panic.downcast_ref::<&str>().copied();
        let said = said.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
        let place = PLACE.take();
        let said = said.unwrap_or("a panic");
        let text = format!("bug in telltale_exporter, please report it: {said} (at {place})");
        count(thread, &text);
        text
    })
}

/// As [`catch`], for a future.
///
/// # Errors
/// As those of [`catch`].
pub(crate) async fn catch_future<F: Future>(thread: &str, work: F) -> Result<F::Output, String> {
    let mut work = pin!(work);
    let poll = poll_fn(|context| match catch(thread, || work.as_mut().poll(context)) {
        Ok(poll) => poll.map(Ok),
        Err(text) => Poll::Ready(Err(text)),
    });
    poll.await
}

/// Does a thread's work until it ends by itself; after each panic `tell` is called with what happened, and
/// the work is begun again after a pause.
pub(crate) fn run(thread: &str, mut tell: impl FnMut(&str), mut work: impl FnMut()) {
    let mut pause = Pause::default();
    loop {
        let began = Instant::now();
        let Err(text) = catch(thread, &mut work) else { return };
        let pause = pause.after(began.elapsed());
        tracing::error!(thread, error = text, ?pause, "a thread panicked and is taken up again");
        tell(&text);
        std::thread::sleep(pause);
    }
}

/// How long to wait before a thread's work is taken up again.
#[derive(Debug, Default)]
pub(crate) struct Pause(Duration);

impl Pause {
    /// After a panic of what had worked for so long.
    pub(crate) fn after(&mut self, worked: Duration) -> Duration {
        let again = !self.0.is_zero() && worked < GOOD_WHILE;
        self.0 = if again { (self.0 * 2).min(LONGEST_PAUSE) } else { FIRST_PAUSE };
        self.0
    }
}

/// Counts a panic: of a thread of this process, or one that a process of ours told of.
pub(crate) fn count(thread: &str, text: &str) {
    let mut panicked = lock(&PANICKED);
    let (count, last) = panicked.entry(thread.to_owned()).or_default();
    *count += 1;
    text.clone_into(last);
}

/// The threads that have panicked since start.
pub(crate) fn export(metrics: &mut Metrics) {
    for (thread, (count, _)) in &*lock(&PANICKED) {
        metrics.add(&PANICS, &[("thread", thread)], *count as f64);
    }
}

/// What the pages say, where there is something to say.
pub(crate) fn notes() -> Vec<String> {
    let note = |(thread, (count, last)): (&String, &(u64, String))| {
        format!("thread {thread} panicked, {count} since start; the last: {last}")
    };
    lock(&PANICKED).iter().map(note).collect()
}

/// The place of a panic is known to the hook alone. It writes nothing where we catch the panic: standard
/// error may be a pipe that nobody reads.
fn keep_place() {
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info: &PanicHookInfo<'_>| {
        if CAUGHT.get() {
            PLACE.set(info.location().map_or_else(String::new, ToString::to_string));
        } else if tracing::dispatcher::has_been_set() {
            tracing::error!("{info}");
        } else {
            before(info);
        }
    }));
}

/// Panics where a test asks for it: by a file with the name of this step, or of this thread, in the
/// directory that `TELLTALE_FAULTS` names. It is taken away unless it has a word in it. Not in a release.
///
/// # Panics
/// As asked.
#[cfg(debug_assertions)]
pub(crate) fn panic_if_asked(step: &str) {
    let Some(directory) = faults() else { return };
    for name in [step, std::thread::current().name().unwrap_or(step)] {
        let file = directory.join(name);
        let Ok(words) = std::fs::read(&file) else { continue };
        if words.is_empty() {
            let _ = std::fs::remove_file(&file);
        }
        panic!("a test asked {name} for it");
    }
}

/// Waits for as long as a file with the name of this thread after `hold-` is in that directory: what is to be seen
/// meanwhile does not depend on how quick the thread is, and is what it shows `before` that. Not in a release.
#[cfg(debug_assertions)]
pub(crate) fn hold_if_asked(before: impl FnOnce()) {
    let Some(directory) = faults() else { return };
    let current = std::thread::current();
    let Some(name) = current.name() else { return };
    let file = directory.join(format!("hold-{name}"));
    if file.exists() {
        before();
    }
    while file.exists() {
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Names the directory of [`panic_if_asked`] and [`hold_if_asked`].
#[cfg(debug_assertions)]
pub const FAULTS: &str = "TELLTALE_FAULTS";

#[cfg(debug_assertions)]
fn faults() -> Option<&'static std::path::Path> {
    use std::path::PathBuf;
    static ASKED: std::sync::OnceLock<Option<PathBuf>> = std::sync::OnceLock::new();
    ASKED.get_or_init(|| std::env::var_os(FAULTS).map(PathBuf::from)).as_deref()
}

/// Nobody can ask a release for it.
#[cfg(not(debug_assertions))]
#[inline]
pub(crate) fn panic_if_asked(_thread: &str) {}

#[cfg(not(debug_assertions))]
#[inline]
pub(crate) fn hold_if_asked(_before: impl FnOnce()) {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_told_with_its_place_and_counted() {
        let name = "supervised-test";
        let seven = 7;
        let error = catch(name, || assert_eq!(seven, 8, "eight")).unwrap_err();
        assert!(error.contains("eight") && error.contains("src/supervised.rs:"), "{error}");
        assert_eq!(catch(name, || seven), Ok(7));
        let mut metrics = Metrics::default();
        export(&mut metrics);
        let text = String::from_utf8(metrics.encode()).unwrap();
        assert!(text.contains("telltale_thread_panics_total{thread=\"supervised-test\"} 1\n"));
        assert!(notes().iter().any(|note| note.contains("supervised-test panicked, 1 since")));
    }

    #[test]
    fn work_is_taken_up_again_in_the_same_thread() {
        let (mut runs, mut told) = (Vec::new(), 0);
        let work = || {
            runs.push(std::thread::current().id());
            assert!(runs.len() > 1, "the first time");
        };
        run("supervised-again", |_| told += 1, work);
        assert_eq!((runs, told), (vec![std::thread::current().id(); 2], 1));
    }

    #[test]
    fn pauses_grow_up_to_a_bound_and_begin_anew() {
        let mut pause = Pause::default();
        let soon = Duration::from_secs(2);
        let pauses: Vec<_> = (0..8).map(|_| pause.after(soon).as_secs()).collect();
        assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 60, 60]);
        assert_eq!(pause.after(GOOD_WHILE), FIRST_PAUSE);
        assert_eq!(pause.after(soon), FIRST_PAUSE * 2);
    }
}
