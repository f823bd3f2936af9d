//! What `pam_limits` makes of its files, for the number of processes (limits.conf(5)).
//!
//! A line for the user beats one for a group, and that beats `*`, wherever they stand; among equals the
//! later one wins. Neither `*` nor groups bind root.

use std::path::{Path, PathBuf};

use super::super::limits::{Limit, Nproc};
use super::accounts::Account;

/// A line of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Line {
    pub file: PathBuf,
    pub number: usize,
}

impl std::fmt::Display for Line {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.file.display(), self.number)
    }
}

/// What a session is given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Given {
    pub nproc: Nproc,
    /// The line that says so; `None` where none applies.
    pub line: Option<Line>,
}

/// How specific a line is: the less, the more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Specific {
    User,
    Group,
    Everybody,
}

/// One of both limits so far.
#[derive(Debug, Clone, Default)]
struct Chosen {
    by: Option<(Specific, Limit, Line)>,
}

impl Chosen {
    fn take(&mut self, specific: Specific, limit: Limit, line: &Line) {
        if self.by.as_ref().is_none_or(|(before, ..)| specific <= *before) {
            self.by = Some((specific, limit, line.clone()));
        }
    }

    /// Whether a line for a group could still have a say.
    fn open(&self) -> bool {
        self.by.as_ref().is_none_or(|(specific, ..)| *specific > Specific::User)
    }
}

/// What these files, in their order, give to an account whose session begins with `base`.
///
/// # Errors
/// The line whose group we cannot tell for the account.
pub(super) fn apply(
    files: &[(PathBuf, Vec<u8>)],
    account: &Account,
    base: Nproc,
) -> Result<Given, Line> {
    let (mut soft, mut hard) = (Chosen::default(), Chosen::default());
    let mut unknown = None;
    for (file, bytes) in files {
        for (line, text) in lines(file, bytes) {
            let words: Vec<&[u8]> = text
                .split(u8::is_ascii_whitespace)
                .filter(|word| !word.is_empty())
                .take(4)
                .collect();
            match *words.as_slice() {
                // Such an account gets nothing from any file.
                [domain, b"-"] => match exempts(domain, account) {
                    Some(true) => return Ok(Given { nproc: base, line: Some(line) }),
                    Some(false) => {}
                    None => return Err(line),
                },
                [domain, kind, item, value] if item.eq_ignore_ascii_case(b"nproc") => {
                    let Some(limit) = parse_value(value) else { continue };
                    match applies(domain, account) {
                        Match::Unknown => unknown = Some(line),
                        Match::No => {}
                        Match::As(specific) => {
                            let both = kind == b"-";
                            if both || kind.eq_ignore_ascii_case(b"soft") {
                                soft.take(specific, limit, &line);
                            }
                            if both || kind.eq_ignore_ascii_case(b"hard") {
                                hard.take(specific, limit, &line);
                            }
                        }
                    }
                }
                _ => {}
            }
        }
    }
    if let Some(line) = unknown.filter(|_| soft.open() || hard.open()) {
        return Err(line);
    }
    let hard_limit = hard.by.as_ref().map_or(base.hard, |(_, limit, _)| *limit);
    let (soft_limit, line) = match soft.by {
        Some((_, limit, line)) => (limit, Some(line)),
        None => (base.soft, None),
    };
    // A soft limit beyond the hard one is cut down to it.
    let given = if soft_limit > hard_limit {
        let line = hard.by.map(|(.., line)| line).or(line);
        Given { nproc: Nproc { soft: hard_limit, hard: hard_limit }, line }
    } else {
        Given { nproc: Nproc { soft: soft_limit, hard: hard_limit }, line }
    };
    Ok(given)
}

/// The lines of a file, without comments.
fn lines<'a>(file: &'a Path, bytes: &'a [u8]) -> impl Iterator<Item = (Line, &'a [u8])> {
    bytes.split(|&byte| byte == b'\n').enumerate().map(move |(nth, text)| {
        let end = text.iter().position(|&byte| byte == b'#').unwrap_or(text.len());
        (Line { file: file.to_owned(), number: nth + 1 }, &text[..end])
    })
}

/// A number, or no limit; what begins with no digit is refused by `pam_limits` too.
fn parse_value(value: &[u8]) -> Option<Limit> {
    let value = std::str::from_utf8(value).ok()?.to_ascii_lowercase();
    if matches!(&*value, "-1" | "unlimited" | "infinity") {
        return Some(Limit::Unlimited);
    }
    let digits = value.bytes().take_while(u8::is_ascii_digit).count();
    value[..digits].parse().ok().map(Limit::Tasks)
}

/// Whether `DOMAIN -` is about the account; `None` where that cannot be told.
fn exempts(domain: &[u8], account: &Account) -> Option<bool> {
    if domain == &*account.name {
        return Some(true);
    }
    match domain.strip_prefix(b"@") {
        Some(group) => account.is_in_group(group),
        None => Some(false),
    }
}

/// Whether a line is about an account.
enum Match {
    /// So specifically.
    As(Specific),
    No,
    /// It is about a group, and nobody tells whether the account is in it.
    Unknown,
}

/// Whether a line of this domain is about the account.
fn applies(domain: &[u8], account: &Account) -> Match {
    let when = |applies: bool, specific| if applies { Match::As(specific) } else { Match::No };
    if domain == &*account.name {
        return Match::As(Specific::User);
    }
    if account.uid == 0 && (domain == b"*" || domain.starts_with(b"@")) {
        return Match::No;
    }
    if let Some(group) = domain.strip_prefix(b"@") {
        let is_in = match parse_range(group) {
            None => account.is_in_group(group),
            Some(Range::One(gid)) => account.is_in_gid(gid),
            // A range is about the primary group alone.
            Some(range) => account.gid.map(|gid| range.contains(gid)),
        };
        return is_in.map_or(Match::Unknown, |is_in| when(is_in, Specific::Group));
    }
    match parse_range(domain) {
        Some(range) => when(range.contains(account.uid), Specific::User),
        None => when(domain == b"*", Specific::Everybody),
    }
}

/// `:5` is one, `5:` from there on, `5:9` both included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Range {
    One(u32),
    From(u32, u32),
}

impl Range {
    fn contains(self, id: u32) -> bool {
        match self {
            Self::One(one) => one == id,
            Self::From(first, last) => (first..=last).contains(&id),
        }
    }
}

fn parse_range(text: &[u8]) -> Option<Range> {
    let (first, last) = std::str::from_utf8(text).ok()?.split_once(':')?;
    match (first.is_empty(), last.is_empty()) {
        (true, false) => last.parse().ok().map(Range::One),
        (false, true) => first.parse().ok().map(|first| Range::From(first, u32::MAX)),
        (false, false) => Some(Range::From(first.parse().ok()?, last.parse().ok()?)),
        (true, true) => None,
    }
}

#[cfg(test)]
mod tests;
