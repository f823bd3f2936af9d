//! What `--since` and `--until` mean.

use jiff::tz::TimeZone;

use crate::log_line::times::Time;

mod argument;

use argument::argument;

/// The times that were asked for, in microseconds since 1970, both included.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Window {
    pub since: Option<i64>,
    pub until: Option<i64>,
}

impl Window {
    /// Whether everything lies within.
    pub(super) fn is_all(self) -> bool {
        self.since.is_none() && self.until.is_none()
    }

    /// Whether a time lies within.
    pub(super) fn has(self, time: Time) -> bool {
        match time {
            Time::At(time) => {
                self.since.is_none_or(|since| since <= time)
                    && self.until.is_none_or(|until| time <= until)
            }
            // Nobody knows when the boot was.
            Time::Uptime(_) => true,
        }
    }

    /// From what was given to `--since` and `--until`.
    ///
    /// # Errors
    /// What is no time, or a window in which nothing lies.
    pub(super) fn of(
        since: Option<&str>,
        until: Option<&str>,
        now: i64,
        zone: &TimeZone,
    ) -> Result<Self, String> {
        let time = |flag: &str, text: Option<&str>| {
            let time = text.map(|text| argument(text, now, zone)).transpose();
            time.map_err(|error| format!("{flag}: {error}"))
        };
        let last = until.map_or(0, argument::lasts);
        let until = time("--until", until)?.map(|until| until.saturating_add(last));
        let window = Self { since: time("--since", since)?, until };
        match window {
            Self { since: Some(since), until: Some(until) } if since > until => {
                Err("--since is after --until; nothing lies between them".to_owned())
            }
            _ => Ok(window),
        }
    }
}
