//! Syslog headers: who wrote a line. The forms that syslog daemons write to files, told apart line by line.
//!
//! `Nov 20 05:08:30 host sshd[24628]: text` (traditional, RFC 3164) and
//! `2026-11-20T05:13:11.573002+00:00 host sshd[458]: text` (ISO 8601), each perhaps after `<PRI>`, and
//! `<86>1 2026-11-20T05:13:11.573002+00:00 host sshd 458 - - text` (RFC 5424). What journalctl shows as
//! `Fri 2026-11-20 05:13:11 UTC host sshd[458]: text` (`-o short-full`), and all without the host
//! (`--no-hostname`), is understood as well.

/// A line taken apart; everything is bytes of the line itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Line<'a> {
    /// Facility times 8 plus severity, where the line has it.
    pub priority: Option<u8>,
    /// Host name; empty where the line has no header.
    pub host: &'a [u8],
    /// Syslog identifier of the program, such as `sshd` or `kernel`; `None` where there is no header.
    pub program: Option<&'a [u8]>,
    /// Process number.
    pub pid: Option<u32>,
    /// What it says; the whole line where there is no header.
    pub message: &'a [u8],
    /// How often: `message repeated N times: [ … ]` stands for N.
    pub times: u64,
}

/// Names of the months in times.
pub const MONTHS: [&[u8; 3]; 12] = [
    b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec",
];

/// Takes a line apart; one without a header comes back whole.
pub fn parse(line: &[u8]) -> Line<'_> {
    let (priority, rest) = priority(line);
    if let Some(line) = priority.and_then(|_| rfc5424(priority, rest)) {
        return line;
    }
    if let Some(message) = of_dmesg(rest) {
        return Line {
            priority,
            host: b"-",
            program: Some(b"kernel"),
            pid: None,
            message,
            times: 1,
        };
    }
    let untimed = after_time(rest).map(<[u8]>::trim_ascii_start);
    let Some((untimed, (host, after))) = untimed.and_then(|rest| Some((rest, word(rest)?))) else {
        return Line { priority, host: b"", program: None, pid: None, message: rest, times: 1 };
    };
    // No host's name ends so: it is the tag already.
    let (host, rest) = if host.ends_with(b":") { (&b"-"[..], untimed) } else { (host, after) };
    let (program, pid, message) = tag(rest);
    let doubtful = if is_spaced(line) {
        pid.is_none() && program != Some(b"kernel")
    } else {
        program.is_none() && is_basic(line)
    };
    if doubtful {
        return Line { priority, host: b"", program: None, pid: None, message: line, times: 1 };
    }
    let message = if program == Some(b"kernel") { without_uptime(message) } else { message };
    let (times, message) = repeated(message);
    Line { priority, host, program, pid, message, times }
}

/// What follows `<PRI>` in RFC 5424, where `-` stands for what is not known.
fn rfc5424(priority: Option<u8>, rest: &[u8]) -> Option<Line<'_>> {
    let rest = rest.strip_prefix(b"1 ")?;
    let (time, rest) = word(rest)?;
    if time != b"-" && iso_length(time)? != time.len() {
        return None;
    }
    let (host, rest) = word(rest)?;
    let (program, rest) = word(rest)?;
    let (pid, rest) = word(rest)?;
    let (_, rest) = word(rest)?;
    let message = after_data(rest)?;
    // Text in UTF-8 may have a mark of it in front.
    let message = message.strip_prefix(b"\xef\xbb\xbf").unwrap_or(message);
    let program = Some(program).filter(|program| *program != b"-");
    let message = if program == Some(b"kernel") { without_uptime(message) } else { message };
    let (times, message) = repeated(message);
    let pid = std::str::from_utf8(pid).ok().and_then(|pid| pid.parse().ok());
    Some(Line { priority, host, program, pid, message, times })
}

/// What follows RFC 5424's structured data: `-`, or `[id name="value"]` any number of times, where a
/// backslash stands before a quote or a bracket that is part of a value.
fn after_data(mut rest: &[u8]) -> Option<&[u8]> {
    if let Some(after) = rest.strip_prefix(b"-") {
        rest = after;
    } else {
        while rest.first() == Some(&b'[') {
            let mut escaped = false;
            let end = rest.iter().position(|&byte| {
                let ends = byte == b']' && !escaped;
                escaped = byte == b'\\' && !escaped;
                ends
            });
            rest = &rest[end? + 1..];
        }
    }
    if rest.is_empty() { Some(rest) } else { rest.strip_prefix(b" ") }
}

/// What follows the time of `dmesg --time-format iso`, which alone has a comma before the fraction:
/// `2026-11-20T05:13:11,123456+00:00 text`.
fn of_dmesg(line: &[u8]) -> Option<&[u8]> {
    let fraction = line.get(19..).filter(|rest| rest.first() == Some(&b','))?;
    let digits = fraction[1..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    let is_time = matches(&line[..19], b"0000-00-00T00:00:00");
    let offset = fraction.get(1 + digits..7 + digits)?;
    let is_offset = matches(offset, b"+00:00") || matches(offset, b"-00:00");
    if is_time && is_offset { fraction[7 + digits..].strip_prefix(b" ") } else { None }
}

/// `<34>` at the start.
pub(super) fn priority(line: &[u8]) -> (Option<u8>, &[u8]) {
    let parsed = line.strip_prefix(b"<").and_then(|rest| {
        let end = rest.iter().take(4).position(|&byte| byte == b'>')?;
        let priority: u8 = std::str::from_utf8(&rest[..end]).ok()?.parse().ok()?;
        // 23 facilities of 8 severities.
        (priority < 192).then_some((Some(priority), &rest[end + 1..]))
    });
    parsed.unwrap_or((None, line))
}

/// What follows the time and one space.
fn after_time(line: &[u8]) -> Option<&[u8]> {
    if let Some(rest) = after_weekday(line) {
        let (time, rest) = rest.split_at_checked(20)?;
        let (_zone, rest) = word(rest)?;
        return matches(time, b"0000-00-00 00:00:00 ").then_some(rest);
    }
    let length = if is_traditional(line) {
        after_fraction(line, 15)
    } else if is_spaced(line) {
        after_fraction(line, 19)
    } else {
        iso_length(line)?
    };
    line.get(length..)?.strip_prefix(b" ")
}

/// What follows `Fri ` in front of a date.
pub fn after_weekday(line: &[u8]) -> Option<&[u8]> {
    const DAYS: [&[u8]; 7] = [b"Mon ", b"Tue ", b"Wed ", b"Thu ", b"Fri ", b"Sat ", b"Sun "];
    let rest = DAYS.iter().find_map(|day| line.strip_prefix(*day))?;
    rest.first()?.is_ascii_digit().then_some(rest)
}

/// `Nov 20 05:08:30`, with a space before a day of one digit.
fn is_traditional(line: &[u8]) -> bool {
    line.len() > 15
        && MONTHS.iter().any(|month| line.starts_with(&month[..]))
        && matches(&line[3..15], b" _0 00:00:00")
}

/// `2026-11-20T05:13:11`, a fraction, and `Z` or an offset from UTC.
fn iso_length(line: &[u8]) -> Option<usize> {
    if !line.get(..19).is_some_and(|time| matches(time, b"0000-00-00T00:00:00")) {
        return None;
    }
    let at = after_fraction(line, 19);
    match line.get(at)? {
        b'Z' => Some(at + 1),
        b'+' | b'-' => {
            let is = |pattern: &[u8]| {
                let offset = line.get(at + 1..at + 1 + pattern.len());
                offset
                    .is_some_and(|offset| matches(offset, pattern))
                    .then_some(at + 1 + pattern.len())
            };
            is(b"00:00").or_else(|| is(b"0000"))
        }
        _ => None,
    }
}

/// Whether the offset from UTC has no colon, as `journalctl -o short-iso` shows it. Logs of other kinds have
/// that too, such as a database's: only a tag makes it syslog.
fn is_basic(line: &[u8]) -> bool {
    let (_, line) = priority(line);
    iso_length(line).is_some_and(|length| {
        length >= 5 && matches!(line[length - 5], b'+' | b'-') && line[length - 1] != b'Z'
    })
}

/// `2026-11-20 05:13:11`, as some templates of rsyslog have it. Programs of all kinds write that too: only a tag with
/// a pid, or the kernel's, makes it syslog.
fn is_spaced(line: &[u8]) -> bool {
    let (_, line) = priority(line);
    line.get(..19).is_some_and(|time| matches(time, b"0000-00-00 00:00:00"))
}

/// Where a fraction of a second ends, if one is there, as in `journalctl -o short-precise`.
fn after_fraction(line: &[u8], at: usize) -> usize {
    if line.get(at) != Some(&b'.') {
        return at;
    }
    at + 1 + line[at + 1..].iter().take_while(|byte| byte.is_ascii_digit()).count()
}

/// Compares with a pattern in which `0` is a digit, `_` a digit or a space, the rest itself.
fn matches(bytes: &[u8], pattern: &[u8]) -> bool {
    bytes.len() == pattern.len()
        && bytes.iter().zip(pattern).all(|(byte, pattern)| match pattern {
            b'0' => byte.is_ascii_digit(),
            b'_' => byte.is_ascii_digit() || *byte == b' ',
            _ => byte == pattern,
        })
}

/// The bytes up to the next space, and what follows it.
fn word(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = line.iter().position(|&byte| byte == b' ')?;
    Some((&line[..end], &line[end + 1..]))
}

/// `program[pid]: text`; a tag ends with a colon, a bracket or a space.
pub(crate) fn tag(line: &[u8]) -> (Option<&[u8]>, Option<u32>, &[u8]) {
    let ends = |byte: &u8| matches!(byte, b':' | b'[' | b' ');
    let Some(end) = line.iter().position(ends).filter(|&end| end > 0) else {
        return (None, None, line);
    };
    let (program, mut rest) = (&line[..end], &line[end..]);
    let mut pid = None;
    if let Some(inside) = rest.strip_prefix(b"[")
        && let Some(close) = closes(inside)
    {
        pid = std::str::from_utf8(&inside[..close]).ok().and_then(|pid| pid.parse().ok());
        rest = &inside[close + 1..];
        // sssd[be[example.com]][1234]
        if let Some(inside) = rest.strip_prefix(b"[")
            && let Some(close) = closes(inside)
        {
            pid = std::str::from_utf8(&inside[..close]).ok().and_then(|pid| pid.parse().ok());
            rest = &inside[close + 1..];
        }
    }
    let Some(message) = rest.strip_prefix(b":") else {
        // Without a colon it is text whose first word is no tag.
        return (None, None, line);
    };
    (Some(program), pid, message.strip_prefix(b" ").unwrap_or(message))
}

/// Where the bracket that is open closes.
fn closes(inside: &[u8]) -> Option<usize> {
    let mut depth = 1_u32;
    inside.iter().take_while(|byte| **byte != b' ').position(|byte| {
        match byte {
            b'[' => depth += 1,
            b']' => depth -= 1,
            _ => {}
        }
        depth == 0
    })
}

/// The kernel's `[ 1237.492680] ` in front, where printk.time is on.
fn without_uptime(message: &[u8]) -> &[u8] {
    let stripped = message.strip_prefix(b"[").and_then(|rest| {
        let end = rest.iter().position(|&byte| byte == b']')?;
        let number = rest[..end].trim_ascii_start();
        let uptime = !number.is_empty()
            && number.iter().all(|byte| byte.is_ascii_digit() || *byte == b'.')
            && number.contains(&b'.');
        if uptime { Some(without_caller(&rest[end + 1..])) } else { None }?.strip_prefix(b" ")
    });
    stripped.unwrap_or(message)
}

/// `[  T123]` or `[    C0]` behind the time, with `CONFIG_PRINTK_CALLER` (SUSE's kernels); newer dmesg parts
/// them by a space.
fn without_caller(rest: &[u8]) -> &[u8] {
    let inside = rest.strip_prefix(b" ").unwrap_or(rest).strip_prefix(b"[");
    let stripped = inside.and_then(|inside| {
        let end = inside.iter().take(16).position(|&byte| byte == b']')?;
        let (kind, number) = inside[..end].trim_ascii_start().split_first()?;
        let caller = matches!(kind, b'T' | b'C')
            && !number.is_empty()
            && number.iter().all(u8::is_ascii_digit);
        caller.then_some(&inside[end + 1..])
    });
    stripped.unwrap_or(rest)
}

/// rsyslog's `message repeated 3 times: [ text]`.
fn repeated(message: &[u8]) -> (u64, &[u8]) {
    let parsed = message.strip_prefix(b"message repeated ").and_then(|rest| {
        let (times, rest) = word(rest)?;
        let times = std::str::from_utf8(times).ok()?.parse().ok().filter(|&times| times > 0)?;
        let text = rest.strip_prefix(b"times: [")?.strip_suffix(b"]")?;
        Some((times, text.strip_prefix(b" ").unwrap_or(text)))
    });
    parsed.unwrap_or((1, message))
}

/// What every line has that [`repeats`] the one before.
pub const REPEATED: &[u8] = b"last message repeated ";

/// How often the line before is to be counted again: `last message repeated 3 times`, which syslogd
/// and older rsyslogd write with a host and no program, some between dashes.
pub fn repeats(line: &Line<'_>) -> Option<u64> {
    if line.program.is_some() || line.host.is_empty() {
        return None;
    }
    let message = line.message;
    let message = message
        .strip_prefix(b"--- ")
        .and_then(|rest| rest.strip_suffix(b" ---"))
        .unwrap_or(message);
    let rest = message.strip_prefix(REPEATED)?;
    let times = rest.strip_suffix(b" times").or_else(|| rest.strip_suffix(b" time"))?;
    std::str::from_utf8(times).ok()?.parse().ok().filter(|&times| times > 0)
}

/// A line without a header, all of which is the message.
pub fn plain(line: &[u8]) -> Line<'_> {
    Line { priority: None, host: b"", program: None, pid: None, message: line, times: 1 }
}

#[cfg(test)]
mod tests;
