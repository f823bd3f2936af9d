//! Runs the collectors: each on a thread of its own, timed, bounded, shared among scrapes.
//!
//! A collector reads the kernel, and the kernel can make a reader wait. So each has a thread, made at
//! start and kept, and a scrape waits for it no longer than [`BOUND`]. A run that takes longer is
//! shown as failed, by that scrape and at once by those that follow, until it comes back. Scrapes that
//! come while a run is under way share its outcome.

use std::sync::mpsc::{RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::sync::watch;

use crate::live::lock;
use crate::metrics::{Desc, Metrics};
use crate::supervised::{self, Pause};

/// How long a scrape waits for one collector, counted from the start of that collector's run.
pub(crate) const BOUND: Duration = Duration::from_secs(5);

const SUCCESS: Desc = Desc::gauge(
    "telltale_scrape_collector_success",
    "1 when the collector's last run succeeded, 0 when it failed or is still running past its bound.",
);
const DURATION: Desc = Desc::gauge(
    "telltale_scrape_collector_duration_seconds",
    "How long the collector's last run took, or has taken so far.",
);

/// What a collector may fail with; the text says what to do where something can be done.
pub(crate) type Error = Box<dyn std::error::Error + Send + Sync>;

/// Reads one subject from the kernel.
pub(crate) trait Collector: Send {
    /// Name in flags, `collect[]` and the `collector` label.
    fn name(&self) -> &'static str;

    /// Reads and describes everything now.
    ///
    /// # Errors
    /// Shown as the reason on the page and logged once. What was written to `found` before stays:
    /// a value that is missing is absent, the others are true.
    fn collect(&mut self, found: &mut Found) -> Result<(), Error>;

    /// Samples between scrapes, if it wants to, and says when it wants to be called again.
    fn sample(&mut self) -> Option<Instant> {
        None
    }
}

/// What one run of a collector found.
#[derive(Debug, Default)]
pub(crate) struct Found {
    pub metrics: Metrics,
    /// What makes the numbers incomplete, with the cure; shown on the page, logged once.
    pub warnings: Vec<String>,
}

#[derive(Debug)]
pub(crate) struct Outcome {
    pub found: Found,
    /// Why it failed, if it did.
    pub error: Option<String>,
    /// How long it took.
    pub duration: Duration,
    run: u64,
}

/// A collector as one scrape saw it.
#[derive(Debug, Clone)]
pub(crate) struct Shown {
    /// Name of the collector.
    pub name: &'static str,
    /// The finished run; `None` when the bound passed first.
    pub outcome: Option<Arc<Outcome>>,
    /// How long the run took, or has taken so far.
    pub duration: Duration,
}

impl Shown {
    /// Why the collector is shown as failed, if it is.
    pub(crate) fn error(&self) -> Option<String> {
        match &self.outcome {
            Some(outcome) => outcome.error.clone(),
            None => Some(format!("no answer yet after {:.1} s", self.duration.as_secs_f64())),
        }
    }

    /// What makes its numbers incomplete.
    pub(crate) fn warnings(&self) -> &[String] {
        self.outcome.as_ref().map_or(&[], |outcome| &outcome.found.warnings)
    }
}

/// The handle to a collector's thread.
pub(crate) struct Runner {
    name: &'static str,
    requests: SyncSender<u64>,
    running: Mutex<Running>,
    outcomes: watch::Receiver<Option<Arc<Outcome>>>,
}

/// A run that was asked for.
pub(crate) struct Wait {
    name: &'static str,
    run: u64,
    since: Instant,
    outcomes: watch::Receiver<Option<Arc<Outcome>>>,
}

impl Wait {
    /// Waits for the run until its bound, but not past `deadline`.
    pub(crate) async fn until(mut self, deadline: tokio::time::Instant) -> Shown {
        let deadline = deadline.min((self.since + BOUND).into());
        let run = self.run;
        let done = self.outcomes.wait_for(|outcome| outcome.as_ref().is_some_and(|o| o.run >= run));
        let outcome = match tokio::time::timeout_at(deadline, done).await {
            Ok(Ok(outcome)) => outcome.clone(),
            // The bound has passed, or the thread is gone, which catching its panics prevents.
            _ => None,
        };
        let duration = outcome.as_ref().map_or_else(|| self.since.elapsed(), |o| o.duration);
        Shown { name: self.name, outcome, duration }
    }
}

/// The newest run and when it was asked for.
struct Running {
    run: u64,
    since: Instant,
}

impl Runner {
    /// Starts the collector's thread. This is the only place where one is made, before serving begins.
    ///
    /// # Errors
    /// When the thread cannot be created.
    pub(crate) fn start(collector: Box<dyn Collector>) -> std::io::Result<Self> {
        let name = collector.name();
        let (requests, inbox) = sync_channel(1);
        let (publish, outcomes) = watch::channel(None);
        std::thread::Builder::new()
            .name(name.to_owned())
            .stack_size(256 * 1024)
            .spawn(move || work(collector, &inbox, &publish))?;
        let running = Mutex::new(Running { run: 0, since: Instant::now() });
        Ok(Self { name, requests, running, outcomes })
    }

    /// Name of the collector.
    pub(crate) fn name(&self) -> &'static str {
        self.name
    }

    /// Joins the run under way, or starts one.
    pub(crate) fn ask(&self) -> Wait {
        let (run, since) = self.request();
        Wait { name: self.name, run, since, outcomes: self.outcomes.clone() }
    }

    /// The run to wait for, started if none is under way, and since when it runs.
    fn request(&self) -> (u64, Instant) {
        let mut running = lock(&self.running);
        let finished = self.outcomes.borrow().as_ref().map_or(0, |outcome| outcome.run);
        if finished == running.run {
            *running = Running { run: running.run + 1, since: Instant::now() };
            // There is room: the thread has taken the last request, for it has finished that run.
            if let Err(TrySendError::Disconnected(_)) = self.requests.try_send(running.run) {
                tracing::error!(collector = self.name, "collector thread is gone");
            }
        }
        (running.run, running.since)
    }
}

/// The collector's thread: runs when asked, samples in between.
fn work(
    mut collector: Box<dyn Collector>,
    inbox: &std::sync::mpsc::Receiver<u64>,
    publish: &watch::Sender<Option<Arc<Outcome>>>,
) {
    let name = collector.name();
    let mut reported = Reported::default();
    let mut sampler = Sampler::default();
    sampler.sample(&mut *collector);
    loop {
        let request = match sampler.next {
            Some(at) => inbox.recv_timeout(at.saturating_duration_since(Instant::now())),
            None => inbox.recv().map_err(|_| RecvTimeoutError::Disconnected),
        };
        match request {
            Ok(run) => {
                let started = Instant::now();
                let mut found = Found::default();
                // A panic is a failed run; the next one comes with the next scrape.
                let result = supervised::catch(name, || {
                    supervised::panic_if_asked(name);
                    collector.collect(&mut found)
                });
                let result = result.and_then(|result| result.map_err(|error| error.to_string()));
                let error = result.err().or_else(|| sampler.error.clone());
                let outcome = Outcome { found, error, duration: started.elapsed(), run };
                reported.changes(name, &outcome);
                publish.send_replace(Some(Arc::new(outcome)));
            }
            Err(RecvTimeoutError::Timeout) => sampler.sample(&mut *collector),
            Err(RecvTimeoutError::Disconnected) => return,
        }
    }
}

/// When a collector is asked to sample, and why the last time failed.
#[derive(Default)]
struct Sampler {
    next: Option<Instant>,
    error: Option<String>,
    pause: Pause,
    /// Since when it has not failed.
    good: Option<Instant>,
}

impl Sampler {
    /// Samples; after a panic again later, and meanwhile what is shown is not complete.
    fn sample(&mut self, collector: &mut dyn Collector) {
        let name = collector.name();
        let now = Instant::now();
        let good = *self.good.get_or_insert(now);
        let sampled = supervised::catch(name, || {
            supervised::panic_if_asked(&format!("{name}-sample"));
            collector.sample()
        });
        match sampled {
            Ok(next) => (self.next, self.error) = (next, None),
            Err(error) => {
                self.next = Some(now + self.pause.after(now.duration_since(good)));
                (self.error, self.good) = (Some(error), None);
            }
        }
    }
}

/// What was logged last, so that a lasting failure is one line and not one a scrape.
#[derive(Default)]
struct Reported {
    error: Option<String>,
    warnings: Vec<String>,
}

impl Reported {
    fn changes(&mut self, collector: &str, outcome: &Outcome) {
        match (&self.error, &outcome.error) {
            (_, Some(error)) if self.error.as_ref() != Some(error) => {
                tracing::warn!(collector, %error, "collector fails");
            }
            (Some(_), None) => tracing::info!(collector, "collector works again"),
            _ => {}
        }
        for warning in &outcome.found.warnings {
            if !self.warnings.contains(warning) {
                tracing::warn!(collector, warning, "numbers are incomplete");
            }
        }
        self.error.clone_from(&outcome.error);
        self.warnings.clone_from(&outcome.found.warnings);
    }
}

/// Puts the collectors of one scrape together, with success and duration of each.
pub(crate) fn assemble(shown: &[Shown]) -> Metrics {
    let mut metrics = Metrics::default();
    for collector in shown {
        if let Some(outcome) = &collector.outcome {
            metrics.merge(&outcome.found.metrics);
        }
        let labels = [("collector", collector.name)];
        let success = if collector.error().is_none() { 1.0 } else { 0.0 };
        metrics.add(&SUCCESS, &labels, success);
        metrics.add(&DURATION, &labels, collector.duration.as_secs_f64());
    }
    metrics
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU32, Ordering};

    const VALUE: Desc = Desc::gauge("telltale_test", "test");

    /// Takes as long as it is told, counts its runs, fails or panics on demand.
    struct Fake {
        runs: Arc<AtomicU32>,
        takes: Duration,
        fails: bool,
        panics: bool,
    }

    impl Default for Fake {
        fn default() -> Self {
            Self { runs: Arc::default(), takes: Duration::ZERO, fails: false, panics: false }
        }
    }

    impl Collector for Fake {
        fn name(&self) -> &'static str {
            "fake"
        }

        fn collect(&mut self, found: &mut Found) -> Result<(), Error> {
            let run = self.runs.fetch_add(1, Ordering::SeqCst) + 1;
            std::thread::sleep(self.takes);
            found.metrics.add(&VALUE, &[], f64::from(run));
            assert!(!self.panics, "as asked");
            if self.fails { Err("as asked".into()) } else { Ok(()) }
        }
    }

    async fn run(runner: &Runner, patience: Duration) -> Shown {
        runner.ask().until(tokio::time::Instant::now() + patience).await
    }

    fn block_on<T>(future: impl Future<Output = T>) -> T {
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        runtime.enable_time().build().unwrap().block_on(future)
    }

    fn text(shown: Shown) -> String {
        String::from_utf8(assemble(&[shown]).encode()).unwrap()
    }

    #[test]
    fn scrapes_that_overlap_share_one_run() {
        let fake = Fake { takes: Duration::from_millis(200), ..Fake::default() };
        let runs = Arc::clone(&fake.runs);
        let runner = Runner::start(Box::new(fake)).unwrap();
        block_on(async {
            let (a, b, c) =
                tokio::join!(run(&runner, BOUND), run(&runner, BOUND), run(&runner, BOUND));
            assert!(a.error().is_none() && b.error().is_none() && c.error().is_none());
            assert_eq!(runs.load(Ordering::SeqCst), 1);
            run(&runner, BOUND).await;
            assert_eq!(runs.load(Ordering::SeqCst), 2);
        });
    }

    #[test]
    fn failure_keeps_what_was_found() {
        let runner = Runner::start(Box::new(Fake { fails: true, ..Fake::default() })).unwrap();
        let text = text(block_on(run(&runner, BOUND)));
        assert!(text.contains("telltale_scrape_collector_success{collector=\"fake\"} 0\n"));
        assert!(text.contains("telltale_test 1\n"));
    }

    #[test]
    fn panic_is_a_failure_and_the_thread_lives_on() {
        let runner = Runner::start(Box::new(Fake { panics: true, ..Fake::default() })).unwrap();
        block_on(async {
            for _ in 0..2 {
                assert!(run(&runner, BOUND).await.error().unwrap().contains("as asked"));
            }
        });
    }

    /// Samples all the time, and panics the first time.
    struct Sampling(Arc<AtomicU32>);

    impl Collector for Sampling {
        fn name(&self) -> &'static str {
            "sampling"
        }

        fn collect(&mut self, _: &mut Found) -> Result<(), Error> {
            Ok(())
        }

        fn sample(&mut self) -> Option<Instant> {
            assert_ne!(self.0.fetch_add(1, Ordering::SeqCst), 0, "the first sample");
            Some(Instant::now() + Duration::from_millis(10))
        }
    }

    #[test]
    fn a_sampler_that_panics_is_told_and_called_again() {
        let samples = Arc::<AtomicU32>::default();
        let runner = Runner::start(Box::new(Sampling(Arc::clone(&samples)))).unwrap();
        block_on(async {
            while samples.load(Ordering::SeqCst) == 0 {
                std::thread::yield_now();
            }
            // It pauses for a second.
            let error = run(&runner, BOUND).await.error();
            let again = samples.load(Ordering::SeqCst) > 1;
            assert!(again || error.is_some_and(|error| error.contains("the first sample")));
            while samples.load(Ordering::SeqCst) < 3 {
                std::thread::sleep(Duration::from_millis(10));
            }
            assert_eq!(run(&runner, BOUND).await.error(), None);
        });
    }

    #[test]
    fn hanging_collector_costs_its_bound_once() {
        let fake = Fake { takes: Duration::from_secs(60), ..Fake::default() };
        let runner = Runner::start(Box::new(fake)).unwrap();
        block_on(async {
            let started = Instant::now();
            let shown = run(&runner, Duration::from_millis(300)).await;
            assert!(shown.error().unwrap().contains("no answer yet"));
            assert!(started.elapsed() < Duration::from_secs(3));
            // As if the run had begun a bound ago: the next scrape does not wait at all.
            runner.running.lock().unwrap().since -= BOUND;
            let started = Instant::now();
            let shown = run(&runner, BOUND).await;
            assert!(shown.error().is_some() && shown.duration >= BOUND);
            assert!(started.elapsed() < Duration::from_secs(3));
        });
    }
}
