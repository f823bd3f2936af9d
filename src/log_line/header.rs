//! Headers: who wrote a line, in each of the forms of [`forms`], told apart line by line.
//!
//! A form that other programs write as well (a date and a time, seconds, brackets) is a header only where a tag
//! follows that no ordinary text begins with: `sshd[24628]: ` or `kernel: `. What is not sure has no header, and
//! meets every signature.

use std::net::Ipv6Addr;

use super::dmesg;
use super::stamp::{self, Stamp, Style};

pub(crate) mod forms;
mod kernel_text;
mod tag;

use kernel_text::{without_caller, without_uptime};
pub(crate) use tag::tag;
use tag::{facility_and_severity, host_and_sure_tag, is_host, sure_tag};

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

/// What the header of a line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// There is none.
    Absent,
    /// A tag and no time.
    Tag,
    /// A time, and who wrote the line.
    Timed(Style),
    /// RFC 5424.
    Rfc5424,
    /// A line that a container wrote to its output, as its runtime hands it on.
    Container,
    /// A line of the kernel, as dmesg prints it.
    Dmesg(Option<Style>),
}

/// How the lines of a source are taken apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Headers {
    /// In any form, told apart line by line.
    Any,
    /// A line is all text.
    Absent,
}

impl Headers {
    /// Takes a line apart.
    pub(crate) fn parse(self, line: &[u8]) -> Line<'_> {
        match self {
            Self::Any => parse(line),
            Self::Absent => plain(line),
        }
    }
}

/// Takes a line apart; one without a header comes back whole.
pub fn parse(line: &[u8]) -> Line<'_> {
    take_apart(line).1
}

/// Takes a line apart, and says what its header is.
pub(crate) fn take_apart(line: &[u8]) -> (Form, Line<'_>) {
    take_apart_at(line, 0)
}

/// The time at the start of a line, behind `<34>` and the `1` of RFC 5424; of an audit record its stamp.
pub(crate) fn stamp(line: &[u8]) -> Option<Stamp> {
    let (_, rest) = priority(line);
    let rest = rest.strip_prefix(b"1 ").unwrap_or(rest);
    let rest = dmesg::decoded(rest).map_or(rest, |(_, rest)| rest);
    let Some((stamp, style, after)) = stamp::read(rest) else { return stamp::audit(rest) };
    // Ten digits may be any number.
    let is_number = style == Style::Unix && rest.len() - after.len() == 10;
    (!is_number || take_apart(line).0 != Form::Absent).then_some(stamp)
}

/// `depth`: how many headers stand before this one, for a relay puts its own before what it was given.
fn take_apart_at(line: &[u8], depth: u8) -> (Form, Line<'_>) {
    let (priority, rest) = priority(line);
    if let Some(line) = rfc5424(priority, rest) {
        return (Form::Rfc5424, line);
    }
    let absent = |message| (Form::Absent, Line { priority, ..plain(message) });
    if let Some((priority, rest)) = dmesg::decoded(rest) {
        let form = stamp::read(rest).and_then(|(_, style, text)| of_kernel(style, text));
        let (form, text) = form.unwrap_or((Form::Dmesg(None), rest));
        return (form, kernel_line(Some(priority), text));
    }
    let Some((_, style, after)) = stamp::read(rest) else {
        return match tag_alone(rest) {
            Some((program, pid, message)) => {
                (Form::Tag, finish(priority, b"", (Some(program), pid, message)))
            }
            None => absent(rest),
        };
    };
    if let Some((form, text)) = of_kernel(style, after) {
        return (form, kernel_line(priority, text));
    }
    let Some(untimed) = after.strip_prefix(b" ").map(<[u8]>::trim_ascii_start) else {
        return absent(rest);
    };
    if matches!(style, Style::Iso | Style::IsoBasic)
        && let Some(output) = of_container(untimed)
    {
        let (form, inner) = if depth == 0 { take_apart_at(output, 1) } else { absent(output) };
        let inner = if form == Form::Absent { plain(output) } else { inner };
        return (Form::Container, Line { priority: inner.priority.or(priority), ..inner });
    }
    let Some(found) = writer(untimed, priority, depth) else { return absent(rest) };
    let is_sure = found.pid.is_some() || found.program == Some(b"kernel");
    match style {
        Style::Spaced
        | Style::IsoLocal
        | Style::Unix
        | Style::Tai64n
        | Style::Uptime
        | Style::Bracketed
        | Style::BracketedFraction
        | Style::Human
        | Style::IsoOfDmesg
            if !is_sure =>
        {
            absent(line)
        }
        // Logs of other kinds have that too, such as a database's.
        Style::IsoBasic if found.program.is_none() => absent(line),
        _ => (Form::Timed(style), found),
    }
}

/// Who wrote what follows a time: `host tag`, `tag`, with `facility.severity` before the tag, or two hosts.
fn writer(untimed: &[u8], priority: Option<u8>, depth: u8) -> Option<Line<'_>> {
    const NO_HOST: &[u8] = b"-";
    let (first, after) = word(untimed)?;
    if let Some(level) = facility_and_severity(first) {
        return Some(finish(priority.or(Some(level)), NO_HOST, tag(after)));
    }
    if let Some(name) = first.strip_suffix(b":") {
        // socklog repeats the header that it was given.
        if let Some(level) = facility_and_severity(name) {
            let priority = priority.or(Some(level));
            return Some(match inner_header(after, depth) {
                Some(inner) => Line { priority: inner.priority.or(priority), ..inner },
                // The kernel has no tag there.
                None if level < 8 && tag(after).0 != Some(b"kernel") => {
                    finish(priority, NO_HOST, (Some(b"kernel"), None, after))
                }
                None => finish(priority, NO_HOST, tag(after)),
            });
        }
        // No host's name ends so: it is the tag already.
        return Some(finish(priority, NO_HOST, tag(untimed)));
    }
    let (host, rest) = (first, after);
    let own = tag(rest);
    if let Some(program) = own.0
        && !goes_on_behind_colon(rest, program)
    {
        return Some(finish(priority, host, own));
    }
    if let Some((level, after)) = word(rest)
        && let Some(level) = facility_and_severity(level)
    {
        return Some(finish(priority.or(Some(level)), host, tag(after)));
    }
    // A time and an address have colons like a tag.
    if let Some(inner) = inner_header(rest, depth) {
        return Some(Line { priority: inner.priority.or(priority), ..inner });
    }
    if own.0.is_some() && !begins_with_address(rest) {
        return Some(finish(priority, host, own));
    }
    if let Some((origin, after)) = word(rest)
        && is_host(host)
        && (host_and_sure_tag(rest).is_some() || origin == host && tag(after).0.is_some())
    {
        return Some(finish(priority, origin, tag(after)));
    }
    Some(finish(priority, host, own))
}

/// Whether a tag ends within a word, as a time and an address do.
fn goes_on_behind_colon(rest: &[u8], program: &[u8]) -> bool {
    matches!(rest[program.len()..], [b':', next, ..] if next != b' ')
}

/// An address with colons, and more.
fn begins_with_address(rest: &[u8]) -> bool {
    word(rest).is_some_and(|(word, _)| {
        let colons = memchr::memchr_iter(b':', word).count();
        colons > 1 && std::str::from_utf8(word).is_ok_and(|word| word.parse::<Ipv6Addr>().is_ok())
    })
}

/// A whole header behind the one of a relay.
fn inner_header(rest: &[u8], depth: u8) -> Option<Line<'_>> {
    // Most lines have their tag here, and this is asked of all.
    let (_, untimed) = self::priority(rest);
    if depth > 0 || !untimed.starts_with(b"1 ") && stamp::read(untimed).is_none() {
        return None;
    }
    let (form, inner) = take_apart_at(rest, depth + 1);
    let is_header = matches!(form, Form::Timed(_) | Form::Rfc5424) && inner.program.is_some();
    is_header.then_some(inner)
}

/// Whether a line in this style is one of dmesg: what follows its time is the kernel's own text.
fn of_kernel(style: Style, after: &[u8]) -> Option<(Form, &[u8])> {
    let after = match style {
        Style::Uptime => without_caller(after),
        Style::Bracketed | Style::Human | Style::IsoOfDmesg => after,
        _ => return None,
    };
    // Without a text the space may have gone as well.
    let text = if after.is_empty() { after } else { after.strip_prefix(b" ")? };
    let is_other = match style {
        // `[ 12.5] host kernel: text` is of `journalctl -o short-monotonic`.
        Style::Uptime | Style::Bracketed => {
            host_and_sure_tag(text).is_some() || is_of_other_log(text)
        }
        _ => false,
    };
    (!is_other).then_some((Form::Dmesg(Some(style)), text))
}

/// `(EE) text` of the display server and `[error] text` or `[core:error] text` of a web server, which follow a time
/// like the kernel's.
fn is_of_other_log(text: &[u8]) -> bool {
    const LEVELS: [&[u8]; 8] =
        [b"emerg", b"alert", b"crit", b"error", b"warn", b"notice", b"info", b"debug"];
    if let [b'(', _, _, b')', b' ', ..] = text {
        return true;
    }
    let word = word(text).map_or(text, |(word, _)| word);
    let inside = word.strip_prefix(b"[").and_then(|word| word.strip_suffix(b"]"));
    let level = inside.and_then(|inside| inside.rsplit(|&byte| byte == b':').next());
    level.is_some_and(|level| LEVELS.contains(&level))
}

/// A line of the kernel's log; what others wrote into it has a tag.
fn kernel_line(priority: Option<u8>, text: &[u8]) -> Line<'_> {
    let (program, pid, message) = match priority {
        Some(priority) if priority > 7 => tag(text),
        _ => (Some(&b"kernel"[..]), None, text),
    };
    Line { priority, host: b"-", program, pid, message, times: 1 }
}

/// `stderr F text`, as container runtimes write it; P is a part of a line.
fn of_container(untimed: &[u8]) -> Option<&[u8]> {
    let rest = untimed.strip_prefix(b"stdout ").or_else(|| untimed.strip_prefix(b"stderr "))?;
    let (flags, output) = word(rest)?;
    matches!(flags, [b'F' | b'P'] | [b'F' | b'P', b':', ..]).then_some(output)
}

/// A tag at the start of a line, as it stands where the time was cut off.
fn tag_alone(line: &[u8]) -> Option<(&[u8], Option<u32>, &[u8])> {
    // The kernel names processes so in its own text, which `dmesg -t` shows without a time.
    const OF_PROCESSES: [&[u8]; 5] = [
        b"segfault at ",
        b"unhandled signal ",
        b"bad frame in ",
        b"potentially unexpected fatal signal ",
        b"undefined instruction",
    ];
    if !line.first()?.is_ascii_alphabetic() {
        return None;
    }
    let found = sure_tag(line)?;
    (!OF_PROCESSES.iter().any(|text| found.2.starts_with(text))).then_some(found)
}

/// The line, with what its program puts before its text taken off.
fn finish<'a>(
    priority: Option<u8>,
    host: &'a [u8],
    (program, pid, message): (Option<&'a [u8]>, Option<u32>, &'a [u8]),
) -> Line<'a> {
    let message = if program == Some(b"kernel") { without_uptime(message) } else { message };
    let (times, message) = repeated(message);
    Line { priority, host, program, pid, message, times }
}

/// `1 2026-11-20T05:13:11Z host program pid id data text`, where `-` stands for what is not known. The priority may
/// have been left out, but then the time is there.
fn rfc5424(priority: Option<u8>, rest: &[u8]) -> Option<Line<'_>> {
    let rest = rest.strip_prefix(b"1 ")?;
    let (time, rest) = word(rest)?;
    let is_time = || matches!(stamp::read(time), Some((_, Style::Iso | Style::IsoBasic, b"")));
    if !(time == b"-" && priority.is_some() || is_time()) {
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
    let pid = std::str::from_utf8(pid).ok().and_then(|pid| pid.parse().ok());
    Some(finish(priority, host, (program, pid, message)))
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

/// The bytes up to the next space, and what follows it.
fn word(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = memchr::memchr(b' ', line)?;
    Some((&line[..end], &line[end + 1..]))
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
