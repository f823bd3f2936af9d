//! Times as people and machines read them.

/// `2026-11-20T05:05:43.337Z`.
pub(crate) fn rfc3339(millis: u64) -> String {
    let (year, month, day) = civil(millis / DAY);
    format!("{year:04}-{month:02}-{day:02}T{}.{:03}Z", clock(millis, 0), millis % 1000)
}

/// `05:05:43`, so many seconds east of Greenwich.
pub(crate) fn clock(millis: u64, offset: i32) -> String {
    let seconds = i64::try_from(millis / 1000).unwrap_or(0) + i64::from(offset);
    let second = seconds.rem_euclid(86_400);
    format!("{:02}:{:02}:{:02}", second / 3600, second / 60 % 60, second % 60)
}

const DAY: u64 = 86_400_000;

/// Year, month and day of a day since 1970: eras of 400 years that begin in March, so that the
/// leap day is the last of a year.
fn civil(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (era * 400 + year + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_times() {
        // date -u -d @…
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00"),
            (951_782_399, "2000-02-28T23:59:59"),
            (951_782_400, "2000-02-29T00:00:00"),
            (1_078_099_200, "2004-03-01T00:00:00"),
            (1_548_644_148, "2019-01-28T02:55:48"),
            (1_795_151_143, "2026-11-20T05:05:43"),
            (4_107_542_400, "2100-03-01T00:00:00"),
        ] {
            assert_eq!(rfc3339(seconds * 1000 + 7), format!("{text}.007Z"));
        }
        assert_eq!(clock(1_548_644_148_000, 8 * 3600), "10:55:48");
        assert_eq!(clock(0, -3600), "23:00:00");
        rfc3339(u64::MAX);
        clock(u64::MAX, i32::MAX);
    }
}
