//! What a line must contain to be worth a regular expression: literals that every match has.
//!
//! Looking for a hundred literals at once is as fast as looking for one; trying a hundred regular
//! expressions is a hundred times slower than trying one.

use regex_syntax::hir::{Class, Hir, HirKind};

/// A set of more anchors than that is not worth its strength.
const MOST: usize = 32;

/// A class of more bytes than both cases of a letter, say, is not spelled out.
const MOST_BYTES: usize = 4;

/// An anchor any longer finds nothing better.
const LONGEST: usize = 16;

/// Literals of which every match of the expression contains at least one: those whose shortest is
/// longest. `None` where there is no such set.
pub fn of(pattern: &str) -> Option<Vec<Vec<u8>>> {
    let mut parser = regex_syntax::ParserBuilder::new().unicode(false).utf8(false).build();
    required(&parser.parse(pattern).ok()?)
}

/// How much the anchors of an expression tell: the weakest has so many bytes; 0 where there are none.
pub fn strength(pattern: &str) -> usize {
    of(pattern).map_or(0, |set| weakest(&set))
}

fn weakest(set: &[Vec<u8>]) -> usize {
    set.iter().map(Vec::len).min().unwrap_or(0)
}

fn required(hir: &Hir) -> Option<Vec<Vec<u8>>> {
    let set = match hir.kind() {
        HirKind::Capture(capture) => required(&capture.sub),
        HirKind::Repetition(repetition) if repetition.min > 0 => required(&repetition.sub),
        HirKind::Concat(_) => best(hir),
        HirKind::Alternation(branches) => {
            let sets: Option<Vec<_>> = branches.iter().map(required).collect();
            sets.map(|sets| sets.concat())
        }
        _ => exact(hir),
    };
    set.filter(|set| weakest(set) > 0)
}

/// The run of neighbours that tells most.
fn best(concat: &Hir) -> Option<Vec<Vec<u8>>> {
    let (mut parts, mut sets) = (Vec::new(), Vec::new());
    flatten(concat, &mut parts);
    let mut run = vec![Vec::new()];
    for part in parts {
        let texts = exact(part);
        if let Some(longer) = texts.as_deref().and_then(|texts| product(&run, texts)) {
            run = longer;
        } else {
            sets.push(run);
            sets.extend(required(part));
            run = texts.unwrap_or_else(|| vec![Vec::new()]);
        }
    }
    sets.push(run);
    // The first of equals: it is met soonest.
    sets.into_iter().rev().max_by_key(|set| weakest(set).min(LONGEST))
}

/// The parts of a sequence, those of groups within it too.
fn flatten<'h>(hir: &'h Hir, parts: &mut Vec<&'h Hir>) {
    match hir.kind() {
        HirKind::Concat(inner) => inner.iter().for_each(|part| flatten(part, parts)),
        HirKind::Capture(capture) => flatten(&capture.sub, parts),
        _ => parts.push(hir),
    }
}

/// Everything that a part can be, where that is little.
fn exact(hir: &Hir) -> Option<Vec<Vec<u8>>> {
    match hir.kind() {
        // A place in the line, which has no bytes.
        HirKind::Empty | HirKind::Look(_) => Some(vec![Vec::new()]),
        HirKind::Literal(literal) => Some(vec![literal.0.to_vec()]),
        HirKind::Class(Class::Bytes(class)) => {
            let bytes = class.ranges().iter().flat_map(|range| range.start()..=range.end());
            let bytes: Vec<_> = bytes.take(MOST_BYTES + 1).map(|byte| vec![byte]).collect();
            (bytes.len() <= MOST_BYTES).then_some(bytes)
        }
        HirKind::Capture(capture) => exact(&capture.sub),
        HirKind::Repetition(repetition) if (repetition.min, repetition.max) == (0, Some(1)) => {
            let mut texts = exact(&repetition.sub)?;
            texts.push(Vec::new());
            Some(texts)
        }
        HirKind::Class(Class::Unicode(_)) | HirKind::Repetition(_) => None,
        HirKind::Concat(parts) => {
            parts.iter().try_fold(vec![Vec::new()], |texts, part| product(&texts, &exact(part)?))
        }
        HirKind::Alternation(branches) => {
            let texts: Option<Vec<_>> = branches.iter().map(exact).collect();
            texts.map(|texts| texts.concat()).filter(|texts| texts.len() <= MOST)
        }
    }
}

/// Each of the one before each of the other, unless that is too many.
fn product(before: &[Vec<u8>], after: &[Vec<u8>]) -> Option<Vec<Vec<u8>>> {
    (before.len() * after.len() <= MOST).then(|| {
        let with = |text: &Vec<u8>| after.iter().map(|more| [&text[..], more].concat()).collect();
        before.iter().flat_map(|text| -> Vec<_> { with(text) }).collect()
    })
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
            ["fatal: setresuid "]
        );
        assert_eq!(found(r"^out of (?:memory|space): \d+"), ["out of memory: ", "out of space: "]);
        assert_eq!(
            found(r"\d+ (?:callbacks|messages) lost"),
            [" callbacks lost", " messages lost"]
        );
        assert_eq!(found(r"x(?P<a>yz)\b!"), ["xyz!"]);
        assert_eq!(found(r"(?:ab)+\s"), ["ab"]);
        assert_eq!(found(r"EDAC (?P<mc>MC\d+): x"), ["EDAC MC"]);
        assert_eq!(found(r"[Ll]ink is(?: [Dd]own)?$").len(), 6);
        assert_eq!(found(r"lost (?P<n>\d+)"), ["lost "]);
        assert_eq!(found(r"a?b*"), Vec::<String>::new());
        assert_eq!(found(r"(?:lost|\d+)"), Vec::<String>::new());
    }
}
