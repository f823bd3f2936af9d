//! The highest value of the last two minutes, so that a burst between two scrapes is seen.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// How long a value counts.
pub(crate) const WINDOW: Duration = Duration::from_secs(120);

/// A sliding maximum: values that can no longer become the highest are dropped.
#[derive(Debug, Clone, Default)]
pub(crate) struct Peak {
    falling: VecDeque<(Instant, u64)>,
}

impl Peak {
    /// Takes a value in; `now` never goes backwards.
    pub(crate) fn push(&mut self, now: Instant, value: u64) {
        while self.falling.back().is_some_and(|&(_, older)| older <= value) {
            self.falling.pop_back();
        }
        self.falling.push_back((now, value));
        self.expire(now);
    }

    /// The highest value of the window that ends now; 0 when it saw none.
    pub(crate) fn highest(&mut self, now: Instant) -> u64 {
        self.expire(now);
        self.falling.front().map_or(0, |&(_, value)| value)
    }

    fn expire(&mut self, now: Instant) {
        while self.falling.front().is_some_and(|&(at, _)| now.duration_since(at) > WINDOW) {
            self.falling.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn agrees_with_the_plain_maximum(
            steps in proptest::collection::vec((0u64..40, 0u64..10), 1..60),
        ) {
            let (mut peak, mut now, mut seen) = (Peak::default(), Instant::now(), Vec::new());
            for (wait, value) in steps {
                now += Duration::from_secs(wait);
                peak.push(now, value);
                seen.push((now, value));
                let plain = seen.iter().filter(|(at, _)| now.duration_since(*at) <= WINDOW);
                prop_assert_eq!(peak.highest(now), plain.map(|&(_, value)| value).max().unwrap());
                prop_assert!(peak.falling.len() <= 11, "bounded by the distinct values");
            }
            prop_assert_eq!(peak.highest(now + WINDOW + Duration::from_secs(1)), 0);
        }
    }
}
