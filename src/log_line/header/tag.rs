//! The tag of a line, `program[pid]: `, and what daemons put between the time and the tag.

use super::word;
use crate::log_line::FACILITIES;

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

/// A tag that no ordinary text begins with: one with a process number, or the kernel's.
pub(super) fn sure_tag(text: &[u8]) -> Option<(&[u8], Option<u32>, &[u8])> {
    let (program, pid, message) = tag(text);
    let program = program?;
    (pid.is_some() || program == b"kernel").then_some((program, pid, message))
}

/// `host ` and a tag that no ordinary text begins with; and what follows the host.
pub(super) fn host_and_sure_tag(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let (host, after) = word(text)?;
    (is_host(host) && sure_tag(after).is_some()).then_some((host, after))
}

/// A name or an address of a host. It ends with no colon: that is a tag.
pub(super) fn is_host(word: &[u8]) -> bool {
    let allowed = |byte: &u8| {
        byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_' | b':' | b'%')
    };
    !word.is_empty() && word.len() <= 255 && !word.ends_with(b":") && word.iter().all(allowed)
}

/// `auth.info`, which syslogd of busybox puts before the tag, as facility times 8 plus severity.
pub(super) fn facility_and_severity(word: &[u8]) -> Option<u8> {
    const SEVERITIES: [(&[u8], u8); 11] = [
        (b"emerg", 0),
        (b"panic", 0),
        (b"alert", 1),
        (b"crit", 2),
        (b"err", 3),
        (b"error", 3),
        (b"warn", 4),
        (b"warning", 4),
        (b"notice", 5),
        (b"info", 6),
        (b"debug", 7),
    ];
    let dot = word.iter().take(9).position(|&byte| byte == b'.')?;
    let severity = SEVERITIES.iter().find(|(name, _)| *name == &word[dot + 1..])?.1;
    let facility = FACILITIES.iter().position(|name| *name == &word[..dot])?;
    Some(u8::try_from(facility).ok()? << 3 | severity)
}
