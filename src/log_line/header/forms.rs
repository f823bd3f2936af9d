//! The forms of headers, with a line of each: for `scan --explain`, for the documentation, and for the tests.

use super::super::stamp::Style;
use super::Form;

/// A line in one of the forms, and what it says.
#[cfg(test)]
#[derive(Clone, Copy)]
pub(crate) struct Example {
    /// Who writes such lines.
    pub writer: &'static str,
    pub line: &'static str,
    pub form: Form,
    pub host: &'static str,
    pub program: Option<&'static str>,
    pub pid: Option<u32>,
    /// In UTC, of a host in UTC in November 2026.
    pub time: &'static str,
}

impl Form {
    /// What it is called.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Absent => "none",
            Self::Tag => "a tag without a time",
            Self::Rfc5424 => "RFC 5424",
            Self::Container => "output of a container",
            Self::Dmesg(None) => "dmesg without a time",
            Self::Dmesg(Some(Style::Uptime)) => "dmesg",
            Self::Dmesg(Some(Style::Human)) => "dmesg --human",
            Self::Dmesg(Some(Style::IsoOfDmesg)) => "dmesg --time-format iso",
            Self::Dmesg(Some(_)) => "dmesg --ctime",
            Self::Timed(style) => match style {
                Style::MonthFirst => "traditional",
                Style::WithYear => "traditional with the year",
                Style::Ctime => "weekday, month, time and year",
                Style::Weekday => "journalctl -o short-full",
                Style::Iso | Style::IsoOfDmesg => "ISO 8601",
                Style::IsoBasic => "ISO 8601, offset without a colon",
                Style::IsoLocal => "ISO 8601 without an offset",
                Style::Spaced => "ISO 8601 with a space",
                Style::Unix => "seconds since 1970",
                Style::Tai64n => "TAI64N",
                Style::Uptime => "journalctl -o short-monotonic",
                Style::Bracketed | Style::BracketedFraction | Style::Human => "date in brackets",
            },
        }
    }
}

/// What those who write logs call their forms differs; here it is who writes them.
#[cfg(test)]
pub(crate) const EXAMPLES: [Example; 33] = {
    const TIME: &str = "2026-11-20T05:08:30Z";
    const FRACTION: &str = "2026-11-20T05:08:30.123456Z";
    const fn of(
        writer: &'static str,
        line: &'static str,
        form: Form,
        time: &'static str,
    ) -> Example {
        Example { writer, line, form, host: "web04", program: Some("sshd"), pid: Some(7), time }
    }
    const fn kernel(host: &'static str, example: Example) -> Example {
        Example { host, program: Some("kernel"), pid: None, ..example }
    }
    const fn no_host(example: Example) -> Example {
        Example { host: "-", ..example }
    }
    const fn unknown(example: Example) -> Example {
        Example { host: "", program: None, pid: None, ..example }
    }
    [
        of(
            "rsyslog, syslog-ng, journalctl",
            "Nov 20 05:08:30 web04 sshd[7]: text",
            Form::Timed(Style::MonthFirst),
            TIME,
        ),
        of(
            "the same, pasted: one space before the day",
            "Nov 5 05:08:30 web04 sshd[7]: text",
            Form::Timed(Style::MonthFirst),
            "2026-11-05T05:08:30Z",
        ),
        of(
            "syslog-ng with `frac_digits`, journalctl -o short-precise",
            "Nov 20 05:08:30.123456 web04 sshd[7]: text",
            Form::Timed(Style::MonthFirst),
            FRACTION,
        ),
        no_host(of(
            "journalctl --no-hostname",
            "Nov 20 05:08:30 sshd[7]: text",
            Form::Timed(Style::MonthFirst),
            TIME,
        )),
        of(
            "syslogd of busybox (Alpine)",
            "Nov 20 05:08:30 web04 auth.info sshd[7]: text",
            Form::Timed(Style::MonthFirst),
            TIME,
        ),
        no_host(of(
            "syslogd -S of busybox",
            "Nov 20 05:08:30 auth.info sshd[7]: text",
            Form::Timed(Style::MonthFirst),
            TIME,
        )),
        kernel(
            "-",
            of(
                "logread of OpenWrt",
                "Fri Nov 20 05:08:30 2026 kern.err kernel: [ 1237.492680] text",
                Form::Timed(Style::Ctime),
                TIME,
            ),
        ),
        of(
            "a relay that puts its name before the other",
            "Nov 20 05:08:30 relay web04 sshd[7]: text",
            Form::Timed(Style::MonthFirst),
            TIME,
        ),
        of(
            "a relay that puts a header before the other",
            "Nov 20 05:08:30 relay Nov 20 05:08:29 web04 sshd[7]: text",
            Form::Timed(Style::MonthFirst),
            TIME,
        ),
        of(
            "network devices, the year before the time",
            "Nov 20 2026 05:08:30 web04 sshd[7]: text",
            Form::Timed(Style::WithYear),
            TIME,
        ),
        of(
            "the year behind the time",
            "Nov 20 05:08:30 2026 web04 sshd[7]: text",
            Form::Timed(Style::WithYear),
            TIME,
        ),
        of(
            "the year before the month",
            "2026 Nov 20 05:08:30 web04 sshd[7]: text",
            Form::Timed(Style::WithYear),
            TIME,
        ),
        of(
            "rsyslog of Debian 12 and later, systemd",
            "2026-11-20T05:08:30.123456+00:00 web04 sshd[7]: text",
            Form::Timed(Style::Iso),
            FRACTION,
        ),
        of(
            "journalctl -o short-iso",
            "2026-11-20T05:08:30+0000 web04 sshd[7]: text",
            Form::Timed(Style::IsoBasic),
            TIME,
        ),
        of(
            "templates without an offset (a tag with a pid, or the kernel's)",
            "2026-11-20T05:08:30 web04 sshd[7]: text",
            Form::Timed(Style::IsoLocal),
            TIME,
        ),
        of(
            "the same with a space",
            "2026-11-20 05:08:30 web04 sshd[7]: text",
            Form::Timed(Style::Spaced),
            TIME,
        ),
        of(
            "journalctl -o short-full",
            "Fri 2026-11-20 05:08:30 UTC web04 sshd[7]: text",
            Form::Timed(Style::Weekday),
            TIME,
        ),
        of(
            "journalctl -o short-unix",
            "1795151310.123456 web04 sshd[7]: text",
            Form::Timed(Style::Unix),
            FRACTION,
        ),
        of("whole seconds", "1795151310 web04 sshd[7]: text", Form::Timed(Style::Unix), TIME),
        of(
            "journalctl -o short-monotonic",
            "[ 1237.492680] web04 sshd[7]: text",
            Form::Timed(Style::Uptime),
            "+1237.492s since boot",
        ),
        no_host(of(
            "socklog (Void)",
            "2026-11-20T05:08:30.12345 auth.info: Nov 20 05:08:30 sshd[7]: text",
            Form::Timed(Style::IsoLocal),
            "2026-11-20T05:08:30.12345Z",
        )),
        no_host(of(
            "multilog, svlogd, s6-log",
            "@400000006affd5d80756b5b3 sshd[7]: text",
            Form::Timed(Style::Tai64n),
            "2026-11-20T05:08:30.123123Z",
        )),
        of("RFC 5424", "<86>1 2026-11-20T05:08:30Z web04 sshd 7 - - text", Form::Rfc5424, TIME),
        of(
            "the same in a file, without the priority",
            "1 2026-11-20T05:08:30Z web04 sshd 7 ID1 [a b=\"c\"] text",
            Form::Rfc5424,
            TIME,
        ),
        Example {
            host: "",
            ..of(
                "a tag whose time was cut off (with a pid, or the kernel's)",
                "sshd[7]: text",
                Form::Tag,
                "",
            )
        },
        unknown(of(
            "containerd, CRI-O",
            "2026-11-20T05:08:30.123456789Z stderr F text",
            Form::Container,
            FRACTION,
        )),
        of(
            "the same, of a container that writes a header",
            "2026-11-20T05:08:30Z stdout F Nov 20 05:08:30 web04 sshd[7]: text",
            Form::Container,
            TIME,
        ),
        kernel(
            "web04",
            of(
                "a date in brackets before a host",
                "[Fri Nov 20 05:08:30 2026] web04 kernel: text",
                Form::Timed(Style::Bracketed),
                TIME,
            ),
        ),
        kernel(
            "-",
            of(
                "dmesg",
                "[ 1237.492680] text",
                Form::Dmesg(Some(Style::Uptime)),
                "+1237.492s since boot",
            ),
        ),
        kernel(
            "-",
            of(
                "dmesg -T",
                "[Fri Nov 20 05:08:30 2026] text",
                Form::Dmesg(Some(Style::Bracketed)),
                TIME,
            ),
        ),
        kernel(
            "-",
            of(
                "dmesg -H",
                "[Nov20 05:08] text",
                Form::Dmesg(Some(Style::Human)),
                "2026-11-20T05:08:00Z",
            ),
        ),
        kernel(
            "-",
            of(
                "dmesg --time-format iso",
                "2026-11-20T05:08:30,123456+00:00 text",
                Form::Dmesg(Some(Style::IsoOfDmesg)),
                FRACTION,
            ),
        ),
        kernel(
            "-",
            of(
                "dmesg --decode",
                "kern  :warn  : [ 1237.492680] text",
                Form::Dmesg(Some(Style::Uptime)),
                "+1237.492s since boot",
            ),
        ),
    ]
};
