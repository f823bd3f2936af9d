//! What a line must contain to be worth a regular expression: literals that every match has.
//!
//! Looking for a hundred literals at once is as fast as looking for one; trying a hundred regular
//! expressions is a hundred times slower than trying one.

use regex_syntax::hir::{Hir, HirKind};

/// An anchor any longer finds nothing better.
const LONGEST: usize = 16;

/// Literals of which every match of the expression contains at least one; `None` where there is no
/// such set, or only a weak one.
pub fn of(pattern: &str) -> Option<Vec<Vec<u8>>> {
    let mut parser = regex_syntax::ParserBuilder::new().unicode(false).utf8(false).build();
    let hir = parser.parse(pattern).ok()?;
    let mut set = required(&hir)?;
    for anchor in &mut set {
        // The end of a literal tells more than its start: "error: unable to …" begins like many.
        let surplus = anchor.len().saturating_sub(LONGEST);
        anchor.drain(..surplus);
    }
    Some(set)
}

/// How much a set of anchors tells: its weakest has so many bytes.
pub fn strength(set: &[Vec<u8>]) -> usize {
    set.iter().map(Vec::len).min().unwrap_or(0)
}

fn required(hir: &Hir) -> Option<Vec<Vec<u8>>> {
    match hir.kind() {
        HirKind::Literal(literal) => Some(vec![literal.0.to_vec()]),
        HirKind::Capture(capture) => required(&capture.sub),
        HirKind::Repetition(repetition) if repetition.min > 0 => required(&repetition.sub),
        HirKind::Concat(parts) => best(parts),
        HirKind::Alternation(branches) => {
            let sets: Option<Vec<_>> = branches.iter().map(required).collect();
            sets.map(|sets| sets.concat())
        }
        _ => None,
    }
}

/// The set of the part that tells most; literals side by side are one.
fn best(parts: &[Hir]) -> Option<Vec<Vec<u8>>> {
    let mut sets: Vec<Vec<Vec<u8>>> = Vec::new();
    let mut run: Vec<u8> = Vec::new();
    for part in parts {
        match literal(part) {
            Some(more) => run.extend(more),
            // A place in the line, which has no bytes.
            None if matches!(part.kind(), HirKind::Look(_)) => {}
            None => {
                sets.push(vec![std::mem::take(&mut run)]);
                sets.extend(required(part));
            }
        }
    }
    sets.push(vec![run]);
    sets.into_iter().filter(|set| strength(set) > 0).max_by_key(|set| strength(set).min(LONGEST))
}

/// The bytes of a part that is nothing else.
fn literal(hir: &Hir) -> Option<&[u8]> {
    match hir.kind() {
        HirKind::Literal(literal) => Some(&literal.0),
        HirKind::Capture(capture) => literal(&capture.sub),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(pattern: &str) -> Vec<String> {
        let set = of(pattern).unwrap_or_default();
        set.into_iter().map(|anchor| String::from_utf8(anchor).unwrap()).collect()
    }

    #[test]
    fn the_longest_literal_that_must_be_there() {
        assert_eq!(
            found(r"fatal: setresuid (?P<uid>\d+): Resource unavailable"),
            ["urce unavailable"]
        );
        assert_eq!(found(r"^out of (?:memory|space): \d+"), ["out of "]);
        assert_eq!(found(r"\d+ (?:callbacks|messages) lost"), ["callbacks", "messages"]);
        assert_eq!(found(r"x(?P<a>yz)\b!"), ["xyz!"]);
        assert_eq!(found(r"(?:ab)+\d"), ["ab"]);
        assert_eq!(found(r"a?b*"), Vec::<String>::new());
        assert_eq!(found(r"(?:lost|\d+)"), Vec::<String>::new());
    }
}
