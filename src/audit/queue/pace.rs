//! When to ask for the audit status, given that asking may put the asker to sleep for minutes.
//!
//! While the queue is over its limit the kernel answers and then lets the asker sleep for up to
//! `backlog_wait_time`. Sleepers are woken one at a time, so most sleep to the end although the
//! overflow is over. So there are few askers, and while they sleep questions are spaced out such that
//! one is always awake. Pure: time comes from outside.

use std::time::{Duration, Instant};

/// Threads that may sleep at one time.
pub(crate) const ASKERS: usize = ALL as usize;

const ALL: u32 = 4;

/// Between two questions while nothing sleeps.
pub(crate) const QUICK: Duration = Duration::from_secs(1);

/// An asker that takes longer has been put to sleep; an answer takes less than a millisecond.
const SLEEPS: Duration = Duration::from_millis(250);

/// The slowest clock of any kernel build: the wait time is in jiffies, and HZ is nowhere to be read.
const SLOWEST_HZ: u32 = 100;

/// How the questions go.
#[derive(Debug)]
pub(crate) struct Pace {
    /// When each asker that has not come back was sent.
    away: [Option<Instant>; ASKERS],
    newest: Option<(usize, Instant)>,
    /// The newest question was, or is, put to sleep.
    slept: bool,
    /// Something happened that may have ended the overflow.
    hint: bool,
    wait: Duration,
    /// Askers that take turns: one less while an extra question sleeps.
    askers: u32,
    /// A sleeper could make the kernel panic.
    panics: bool,
}

/// What to do now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Turn {
    /// Send this asker.
    Ask(usize),
    /// Nothing yet.
    Rest,
}

/// What the questions are like, for those who read the answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Rhythm {
    /// Askers that sleep.
    pub sleeping: usize,
    /// Time between two questions.
    pub spacing: Duration,
    /// No question is asked while an asker sleeps, for it could make the kernel panic.
    pub panics: bool,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            away: [None; ASKERS],
            newest: None,
            slept: false,
            hint: false,
            wait: Duration::ZERO,
            askers: ALL,
            panics: false,
        }
    }
}

impl Pace {
    /// Takes in the wait time of the newest status, and after which time asleep the kernel panics.
    pub(crate) fn learn(&mut self, wait_jiffies: u32, panics_after: Option<Duration>) {
        self.wait = Duration::from_secs(u64::from(wait_jiffies.div_ceil(SLOWEST_HZ)));
        self.panics = panics_after.is_some_and(|after| self.wait > after);
    }

    /// The overflow may be over: ask soon.
    pub(crate) fn hint(&mut self) {
        self.hint = true;
    }

    /// Asker `nth` is back.
    pub(crate) fn back(&mut self, nth: usize, now: Instant) {
        let Some(sent) = self.away[nth].take() else { return };
        if nth == 0 {
            // Extra questions are asker 0's.
            self.askers = ALL;
        }
        let slept = now.duration_since(sent) > SLEEPS;
        if self.newest.is_some_and(|(newest, at)| newest == nth && at == sent) {
            self.slept = slept;
        }
        // A sleeper that is back may have been woken because there is room again. Where one can make the
        // kernel panic that is not worth another try.
        self.hint |= slept && !self.panics;
    }

    /// Whether an asker is to be sent now; it counts as sent.
    pub(crate) fn turn(&mut self, now: Instant) -> Turn {
        self.slept |= self.newest.is_some_and(|(newest, at)| {
            self.away[newest] == Some(at) && now.duration_since(at) > SLEEPS
        });
        let due = self.newest.is_none_or(|(_, at)| now.duration_since(at) >= self.spacing());
        let home = self.away.iter().position(Option::is_none);
        let held = self.panics && self.away.iter().any(Option::is_some);
        match home {
            Some(nth) if due && !held => {
                self.away[nth] = Some(now);
                self.newest = Some((nth, now));
                self.hint = false;
                Turn::Ask(nth)
            }
            _ => Turn::Rest,
        }
    }

    /// An asker for a question out of turn, while nothing sleeps; it counts as sent. Should it be put
    /// to sleep, one less is left for the others.
    pub(crate) fn extra(&mut self, now: Instant) -> Option<usize> {
        let all_home = self.away.iter().all(Option::is_none);
        (all_home && !self.slept).then(|| {
            self.away[0] = Some(now);
            self.askers = ALL - 1;
            0
        })
    }

    /// Whether the newest question was put to sleep.
    pub(crate) fn slept(&self) -> bool {
        self.slept
    }

    pub(crate) fn rhythm(&self, now: Instant) -> Rhythm {
        let sleeping = |sent: &&Option<Instant>| {
            sent.is_some_and(|sent: Instant| now.duration_since(sent) > SLEEPS)
        };
        let sleeping = self.away.iter().filter(sleeping).count();
        Rhythm { sleeping, spacing: self.spacing(), panics: self.panics && sleeping > 0 }
    }

    fn spacing(&self) -> Duration {
        if !self.slept || self.hint {
            return QUICK;
        }
        // One that may make the kernel panic sleeps alone, and its whole time.
        let askers = if self.panics { 1 } else { self.askers };
        (self.wait / askers).max(QUICK)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STEP: Duration = Duration::from_millis(100);

    /// Plays a kernel that lets askers sleep `sleep` while `overflow` says so; returns when questions
    /// were asked, in seconds, and the most that slept at one time.
    fn play(
        pace: &mut Pace,
        sleep: Duration,
        seconds: u64,
        overflow: impl Fn(f64) -> bool,
    ) -> (Vec<f64>, usize) {
        let start = Instant::now();
        let (mut asked, mut most) = (Vec::new(), 0);
        let mut until = [None; ASKERS];
        for step in 0..seconds * 10 {
            let now = start + STEP * u32::try_from(step).unwrap();
            let at = (now - start).as_secs_f64();
            for (nth, wakes) in until.iter_mut().enumerate() {
                if wakes.is_some_and(|wakes| wakes <= now) {
                    *wakes = None;
                    pace.back(nth, now);
                }
            }
            if let Turn::Ask(nth) = pace.turn(now) {
                asked.push(at);
                until[nth] = Some(if overflow(at) { now + sleep } else { now });
            }
            most = most.max(pace.rhythm(now).sleeping);
        }
        (asked, most)
    }

    #[test]
    fn once_a_second_while_nothing_sleeps() {
        let (asked, most) = play(&mut Pace::default(), Duration::ZERO, 10, |_| false);
        assert_eq!((asked.len(), most), (10, 0));
    }

    #[test]
    fn an_overflow_never_finds_all_askers_asleep() {
        // 60 s at HZ=100 or slower clocks than ours: assumed and real wait are the same.
        for (jiffies, real) in [(200, 2.0), (600, 6.0), (6000, 60.0), (15000, 60.0)] {
            let mut pace = Pace::default();
            pace.learn(jiffies, None);
            let real = Duration::from_secs_f64(real);
            let (asked, most) = play(&mut pace, real, 600, |_| true);
            let spacing = pace.spacing().as_secs_f64();
            let widest = asked.windows(2).map(|pair| pair[1] - pair[0]).fold(0.0, f64::max);
            assert!(widest <= spacing.max(1.0) + 0.2, "{jiffies}: {widest} over {spacing}");
            assert!(most <= ASKERS);
        }
    }

    #[test]
    fn full_rate_returns_with_the_first_question_that_does_not_sleep() {
        let mut pace = Pace::default();
        pace.learn(6000, None);
        let sleep = Duration::from_secs(60);
        let (asked, _) = play(&mut pace, sleep, 60, |at| at < 20.0);
        let after: Vec<_> = asked.iter().filter(|&&at| at >= 30.2).collect();
        assert!(after.len() >= 28, "although older askers still sleep: {asked:?}");
    }

    #[test]
    fn a_hint_brings_the_next_question_forward() {
        let mut pace = Pace::default();
        pace.learn(60_000, None);
        let start = Instant::now();
        assert_eq!(pace.turn(start), Turn::Ask(0));
        let later = start + Duration::from_secs(5);
        assert_eq!(pace.turn(later), Turn::Rest);
        pace.hint();
        assert_eq!(pace.turn(later), Turn::Ask(1));
        assert_eq!(pace.turn(later + QUICK), Turn::Rest, "which sleeps as well");
    }

    #[test]
    fn an_extra_question_that_sleeps_leaves_the_others_more_time() {
        let mut pace = Pace::default();
        pace.learn(6000, None);
        let start = Instant::now();
        assert_eq!(pace.extra(start), Some(0));
        assert_eq!(pace.extra(start), None, "only while nothing is away");
        assert_eq!(pace.turn(start), Turn::Ask(1));
        let later = start + QUICK;
        assert_eq!(pace.turn(later), Turn::Rest);
        assert_eq!(pace.rhythm(later).spacing, Duration::from_secs(20), "60 s for three");
        pace.back(0, later);
        pace.hint = false;
        assert_eq!(pace.rhythm(later).spacing, Duration::from_secs(15));
    }

    #[test]
    fn where_a_sleeper_makes_the_kernel_panic_one_at_most_sleeps() {
        let mut pace = Pace::default();
        pace.learn(60_000, Some(Duration::from_secs(120)));
        let (asked, most) = play(&mut pace, Duration::from_secs(240), 590, |_| true);
        assert_eq!((asked.len(), most), (1, 1), "not even when it is back: the wait may be 600 s");
        // Whichever question sleeps, that of the rules too.
        let mut pace = Pace::default();
        pace.learn(60_000, Some(Duration::from_secs(120)));
        let start = Instant::now();
        assert_eq!(pace.extra(start), Some(0));
        let later = start + QUICK * 2;
        assert_eq!(pace.turn(later), Turn::Rest);
        assert!(pace.rhythm(later).panics);
        // A wait that is short enough does no harm.
        let mut pace = Pace::default();
        pace.learn(200, Some(Duration::from_secs(120)));
        assert!(play(&mut pace, Duration::from_secs(2), 30, |_| true).0.len() > 20);
    }
}
