//! Which signatures a line is counted for: its program first, then anchors, then the expression.

use std::collections::HashMap;

use aho_corasick::{AhoCorasick, AhoCorasickKind, MatchKind};
use regex::bytes::Captures;

use super::anchors;
use super::header::{self, Line};
use super::signature::Signature;

/// Most events that one line may stand for: the kernel counts in an int, and anybody can write a line.
const MAX_COUNT: u64 = i32::MAX as u64;

/// The signatures that are on, found by program.
pub struct Matcher {
    signatures: Vec<Signature>,
    /// The signatures that a program meets: its own and the unscoped.
    by_program: HashMap<Vec<u8>, Group>,
    unscoped: Group,
    all: Group,
}

/// Signatures that are looked for together.
struct Group {
    /// Says fast that no anchor is there, which is so for most lines.
    filter: Option<AhoCorasick>,
    /// Finds every anchor that is there, one within another too.
    finder: Option<AhoCorasick>,
    /// By anchor: the positions of the signatures that it stands for.
    candidates: Vec<Vec<usize>>,
    /// Signatures without an anchor are always tried.
    always: Vec<usize>,
}

impl Group {
    fn new(signatures: &[Signature], members: &[usize]) -> Self {
        let mut by_anchor: HashMap<Vec<u8>, Vec<usize>> = HashMap::new();
        let mut always = Vec::new();
        for &nth in members {
            let wordings = signatures[nth].pattern.0.iter();
            let sets: Option<Vec<_>> =
                wordings.map(|wording| anchors::of(wording.text())).collect();
            let Some(sets) = sets else {
                always.push(nth);
                continue;
            };
            for anchor in sets.into_iter().flatten() {
                let positions = by_anchor.entry(anchor).or_default();
                if positions.last() != Some(&nth) {
                    positions.push(nth);
                }
            }
        }
        let (anchors, candidates): (Vec<_>, Vec<_>) = by_anchor.into_iter().unzip();
        let build = |kind| {
            let mut builder = AhoCorasick::builder();
            // There is a group for each of a hundred programs: as DFAs they take 38 MB.
            let builder = builder.match_kind(kind).kind(Some(AhoCorasickKind::ContiguousNFA));
            // Too large to be built: then every signature is tried.
            builder.build(&anchors).ok().filter(|_| !anchors.is_empty())
        };
        let (filter, finder) = (build(MatchKind::LeftmostFirst), build(MatchKind::Standard));
        if filter.is_none() || finder.is_none() {
            return Self {
                filter: None,
                finder: None,
                candidates: Vec::new(),
                always: members.to_vec(),
            };
        }
        Self { filter, finder, candidates, always }
    }

    /// Positions of the signatures that may match, in the order of the catalogue.
    fn candidates(&self, message: &[u8]) -> Vec<usize> {
        let mut found = self.always.clone();
        if let (Some(filter), Some(finder)) = (&self.filter, &self.finder)
            && filter.is_match(message)
        {
            for hit in finder.find_overlapping_iter(message) {
                found.extend(&self.candidates[hit.pattern().as_usize()]);
            }
            found.sort_unstable();
            found.dedup();
        }
        found
    }
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
        let mut by_program: HashMap<&str, Vec<usize>> = HashMap::new();
        for program in signatures.iter().flat_map(|signature| &signature.programs) {
            by_program.entry(program).or_default();
        }
        let mut unscoped = Vec::new();
        for (nth, signature) in signatures.iter().enumerate() {
            if signature.programs.is_empty() {
                unscoped.push(nth);
                for list in by_program.values_mut() {
                    list.push(nth);
                }
            }
            for program in &signature.programs {
                if let Some(list) = by_program.get_mut(&**program)
                    && list.last() != Some(&nth)
                {
                    list.push(nth);
                }
            }
        }
        let all: Vec<_> = (0..signatures.len()).collect();
        let group = |members: &[usize]| Group::new(&signatures, members);
        let of_program =
            |(program, members): (&str, Vec<usize>)| (program.as_bytes().to_vec(), group(&members));
        Self {
            by_program: by_program.into_iter().map(of_program).collect(),
            unscoped: group(&unscoped),
            all: group(&all),
            signatures,
        }
    }

    /// The signatures, in the order of the catalogue.
    pub fn signatures(&self) -> &[Signature] {
        &self.signatures
    }

    /// Everything that a line is counted for. A line without a header meets every signature; one whose
    /// header names no program meets those that ask for none.
    pub fn matches<'l>(&self, line: &Line<'l>) -> Vec<Match<'_, 'l>> {
        let group = match line.program {
            None if line.host.is_empty() => &self.all,
            None => &self.unscoped,
            Some(program) => self.by_program.get(program).unwrap_or(&self.unscoped),
        };
        let candidates = group.candidates(line.message).into_iter();
        candidates
            .filter_map(|nth| {
                let signature = &self.signatures[nth];
                let captures = captures(signature, line.message)?;
                Some(Match {
                    signature: nth,
                    count: count(signature, &captures).saturating_mul(line.times).min(MAX_COUNT),
                    captures: named(signature, &captures),
                })
            })
            .collect()
    }
}

/// Whether this signature alone would count the line.
pub fn hit(signature: &Signature, line: &[u8]) -> bool {
    let line = header::parse(line);
    let scoped = match line.program {
        _ if signature.programs.is_empty() => true,
        None => line.host.is_empty(),
        Some(program) => signature.programs.iter().any(|own| own.as_bytes() == program),
    };
    scoped && captures(signature, line.message).is_some()
}

/// The first wording that matches.
fn captures<'l>(signature: &Signature, message: &'l [u8]) -> Option<Captures<'l>> {
    signature.pattern.0.iter().find_map(|wording| wording.captures(message))
}

/// What the `count` group says; a line whose number is none, or too large, counts once.
fn count(signature: &Signature, captures: &Captures<'_>) -> u64 {
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
    use super::*;
    use proptest::prelude::*;

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
