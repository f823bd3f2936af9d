//! Which signatures a line is counted for: anchors, then the program, then the expression.
//!
//! Anchors come first because all of them are looked for at once, at a fraction of what finding out the
//! program costs: of a hundred lines, ninety-nine have none.

use memchr::{memchr_iter, memmem};
use regex::bytes::Captures;

use super::anchors;
use super::finder::Finder;
use super::signature::{Signature, Wording};
use crate::log_line::header::{self, Line};
use crate::log_line::kernel_clock;

/// Most events that one line may stand for: the kernel counts in an int, and anybody can write a line.
const MAX_COUNT: u64 = i32::MAX as u64;

/// The signatures that are on, found by their anchors.
pub struct Matcher {
    signatures: Vec<Signature>,
    finder: Finder,
}

/// One match of a line.
#[derive(Debug, PartialEq, Eq)]
pub struct Match<'m, 'l> {
    /// Position of the signature among [`Matcher::signatures`].
    pub signature: usize,
    /// How many events the line stands for.
    pub count: u64,
    /// Values of the named captures.
    pub captures: Vec<(&'m str, &'l [u8])>,
}

impl Matcher {
    /// Indexes the signatures.
    pub fn new(signatures: Vec<Signature>) -> Self {
        let others = kernel_clock::TELLING.into_iter().chain([header::REPEATED]);
        let mut anchored: Vec<_> =
            others.map(|anchor| (anchor.to_vec(), signatures.len())).collect();
        for (nth, signature) in signatures.iter().enumerate() {
            for wording in &signature.pattern.0 {
                // One without an anchor is refused where it is read.
                let anchors = anchors::of(wording.text()).unwrap_or_default();
                anchored.extend(anchors.into_iter().map(|anchor| (anchor, nth)));
            }
        }
        Self { finder: Finder::new(anchored), signatures }
    }

    /// The signatures, in the order of the catalogue.
    pub fn signatures(&self) -> &[Signature] {
        &self.signatures
    }

    /// Whether a line, with its header or without, is worth being taken apart: else nothing matches it,
    /// it does not repeat the line before, and does not tell when the kernel started.
    pub fn concerns(&self, line: &[u8]) -> bool {
        self.finder.any(line)
    }

    /// Signatures one of whose anchors stands in a message, by position; beyond the last, what else is looked for.
    pub(super) fn candidates(&self, message: &[u8]) -> Vec<usize> {
        let mut candidates = Vec::new();
        self.finder.find(message, |nth| candidates.push(nth));
        candidates.sort_unstable();
        candidates.dedup();
        candidates
    }

    /// Everything that a line is counted for. A line without a header meets every signature; one whose
    /// header names no program meets those that ask for none.
    pub fn matches<'l>(&self, line: &Line<'l>) -> Vec<Match<'_, 'l>> {
        let candidates = self.candidates(line.message);
        let signatures =
            candidates.into_iter().filter_map(|nth| Some((nth, self.signatures.get(nth)?)));
        let scoped = signatures.filter(|(_, signature)| may_be(signature, line));
        scoped.filter_map(|(nth, signature)| found(nth, signature, line)).collect()
    }
}

/// Whether a line may be one of the signature's, by its program.
pub(super) fn may_be(signature: &Signature, line: &Line<'_>) -> bool {
    match line.program {
        _ if signature.programs.is_empty() => true,
        None => line.host.is_empty(),
        Some(program) => signature.programs.iter().any(|own| own.as_bytes() == program),
    }
}

/// Programs that write down what strangers say: user names, requests, command lines. What somebody types
/// as a name must not count as what it quotes.
const QUOTING: [&[u8]; 19] = [
    b"sshd",
    b"sshd-session",
    b"sudo",
    b"su",
    b"CRON",
    b"CROND",
    b"cron",
    b"crond",
    b"named",
    b"nginx",
    b"httpd",
    b"apache2",
    b"dovecot",
    b"vsftpd",
    b"proftpd",
    b"systemd",
    b"audisp-syslog",
    b"logger",
    b"telltale_exporter",
];

/// Whether the wording is what the program itself says, not what it quotes.
pub(super) fn is_said(wording: &Wording, signature: &Signature, line: &Line<'_>) -> bool {
    let quoting = match line.program {
        // Nobody knows whose line it is: it may be an access log's.
        None => line.host.is_empty(),
        Some(program) => {
            QUOTING.contains(&program)
                || program.starts_with(b"postfix/")
                || program.starts_with(b"ansible")
                // Command lines that a shell was told to log.
                || line.message.starts_with(b"HISTORY")
        }
    };
    if !quoting {
        return true;
    }
    let Some(at) = wording.find(line.message) else { return false };
    // Of an access log, what stands in quotes is a stranger's.
    let open = memchr_iter(b'"', &line.message[..at]).count() % 2 == 1
        && memmem::find(line.message, b" HTTP/").is_some();
    // What is meant for every program must be all that this one says.
    !open && (at == 0 || line.program.is_none() || !signature.programs.is_empty())
}

/// What the line is counted for, if the signature matches it.
pub(super) fn found<'m, 'l>(
    nth: usize,
    signature: &'m Signature,
    line: &Line<'l>,
) -> Option<Match<'m, 'l>> {
    let mut wordings =
        signature.pattern.0.iter().filter(|wording| is_said(wording, signature, line));
    let (mut count, mut captures) = (1, Vec::new());
    if signature.count.is_none() && signature.captures.is_empty() {
        wordings.find(|wording| wording.matches(line.message))?;
    } else {
        let groups = wordings.find_map(|wording| wording.captures(line.message))?;
        count = said(signature, &groups);
        captures = named(signature, &groups);
    }
    let count = count.saturating_mul(line.times).min(MAX_COUNT);
    Some(Match { signature: nth, count, captures })
}

/// Whether this signature alone would count the line.
pub(crate) fn hit(signature: &Signature, line: &[u8]) -> bool {
    let line = header::parse(line);
    may_be(signature, &line) && found(0, signature, &line).is_some()
}

/// What the `count` group says; a line whose number is none, or too large, counts once.
fn said(signature: &Signature, captures: &Captures<'_>) -> u64 {
    let said = signature.count.as_ref().and_then(|group| captures.name(group));
    said.and_then(|number| std::str::from_utf8(number.as_bytes()).ok()?.parse().ok())
        .filter(|&number| number <= MAX_COUNT)
        .unwrap_or(1)
}

fn named<'m, 'l>(signature: &'m Signature, captures: &Captures<'l>) -> Vec<(&'m str, &'l [u8])> {
    let value = |name: &'m String| captures.name(name).map(|group| (&**name, group.as_bytes()));
    signature.captures.iter().filter_map(value).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::LazyLock;

    use super::*;
    use crate::signatures::catalog;
    use crate::signatures::signature::Sample;
    use proptest::prelude::*;
    use regex::bytes::{RegexSet, RegexSetBuilder};

    /// The catalogue, its wordings as one set, and whose each is.
    static ORACLE: LazyLock<(Matcher, RegexSet, Vec<usize>)> = LazyLock::new(|| {
        let matcher = Matcher::new(catalog::built_in());
        let wordings =
            matcher.signatures().iter().enumerate().flat_map(|(nth, one)| {
                one.pattern.0.iter().map(move |wording| (nth, wording.text()))
            });
        let (owners, texts): (Vec<_>, Vec<_>) = wordings.unzip();
        let mut set = RegexSetBuilder::new(texts);
        let set = set.unicode(false).size_limit(1 << 28).dfa_size_limit(1 << 26).build().unwrap();
        (matcher, set, owners)
    });

    fn signatures() -> Vec<Signature> {
        let yaml = "
- {id: own, title: t, programs: [app], pattern: 'lost (?P<n>\\d+) (?P<who>\\S+)', severity: info,
   verdict: watch, count: n, captures: [who]}
- {id: any, title: t, pattern: ['lost', 'gone'], severity: info, verdict: watch}
- {id: other, title: t, programs: [db, app, app], pattern: 'gone', severity: info, verdict: watch}
";
        serde_saphyr::from_str(yaml).unwrap()
    }

    fn found(line: &str) -> Vec<(usize, u64)> {
        let matcher = Matcher::new(signatures());
        let found = matcher.matches(&header::parse(line.as_bytes()));
        found.iter().map(|found| (found.signature, found.count)).collect()
    }

    #[test]
    fn program_first_then_pattern() {
        let line = |rest: &str| format!("Nov 20 05:08:31 h {rest}");
        assert_eq!(found(&line("app[1]: lost 153 x")), [(0, 153), (1, 1)]);
        assert_eq!(found(&line("db: lost 153 x")), [(1, 1)]);
        assert_eq!(found(&line("app: gone")), [(1, 1), (2, 1)]);
        assert_eq!(found(&line("stranger: gone")), [(1, 1)]);
        assert_eq!(found("lost 7 x, gone"), [(0, 7), (1, 1), (2, 1)], "nobody knows whose it is");
        assert_eq!(found(&line("app: fine")), []);
        assert_eq!(found(&line("no tag: gone")), [(1, 1)], "a header that names no program");
    }

    #[test]
    fn repeats_and_counts_multiply_and_nonsense_counts_once() {
        let line = "Nov 20 05:08:31 h app: message repeated 3 times: [ lost 10 x]";
        assert_eq!(found(line), [(0, 30), (1, 3)]);
        for huge in ["99999999999999999999", "18446744073709551615", "2147483648"] {
            let line = format!("Nov 20 05:08:31 h app: lost {huge} x");
            assert_eq!(found(&line), [(0, 1), (1, 1)]);
            let line = format!("Nov 20 05:08:31 h app: message repeated {huge} times: [ lost 9 x]");
            assert!(found(&line).iter().all(|&(_, count)| count <= MAX_COUNT));
        }
    }

    proptest! {
        /// Against a plain `RegexSet` of the built-in catalogue, on lines made of what its samples say.
        #[test]
        fn the_catalogue_against_a_regex_set(pieces in proptest::collection::vec(any::<u32>(), 1..6)) {
            let (matcher, set, owners) = &*ORACLE;
            let texts: Vec<&str> = matcher.signatures().iter()
                .flat_map(|one| one.samples.matching.iter().map(Sample::line)
                    .chain(one.samples.no_match.iter().map(String::as_str)))
                .collect();
            let mut line = String::new();
            for piece in pieces {
                let text = texts[piece as usize % texts.len()];
                let middle = text.floor_char_boundary(piece as usize / texts.len() % text.len().max(1));
                line += if piece % 2 == 0 { text } else { &text[middle..] };
            }
            let line = header::parse(line.as_bytes());
            let expected: std::collections::BTreeSet<_> =
                set.matches(line.message).iter().map(|wording| (owners[wording], wording))
                .filter(|&(nth, wording)| {
                    let one = &matcher.signatures()[nth];
                    let first = owners.iter().position(|&owner| owner == nth).unwrap();
                    may_be(one, &line) && is_said(&one.pattern.0[wording - first], one, &line)
                })
                .map(|(nth, _)| nth).collect();
            let found: Vec<_> = matcher.matches(&line).iter().map(|found| found.signature).collect();
            prop_assert_eq!(found, expected.into_iter().collect::<Vec<_>>());
        }

        /// Against every signature asked by itself.
        #[test]
        fn the_index_loses_nothing(
            program in prop_oneof![Just("app"), Just("db"), Just("x")],
            message in "(lost|gone|ok| |[0-9]|[a-z]){0,8}",
        ) {
            let line = format!("Nov 20 05:08:31 h {program}: {message}");
            let alone: Vec<_> = signatures().iter().enumerate()
                .filter(|(_, signature)| hit(signature, line.as_bytes())).map(|(nth, _)| nth).collect();
            let indexed: Vec<_> = found(&line).iter().map(|found| found.0).collect();
            prop_assert_eq!(indexed, alone);
        }
    }
}
