//! Why a signature counts a line, or does not.

use super::matcher::{Matcher, found, is_said, may_be};
use super::signature::Signature;
use crate::log_line::header::Line;

/// What came of trying a signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The line counts so many times.
    Counts(u64),
    /// It is of a program that the signature is not for.
    OtherProgram,
    /// Its program repeats there what a stranger said.
    Quoted,
    /// It has words of the pattern, and not all of it.
    OtherText,
}

/// The signatures that have a word of this line, in the order of the catalogue, and what came of each.
pub(crate) fn explain<'m>(matcher: &'m Matcher, line: &Line<'_>) -> Vec<(&'m Signature, Outcome)> {
    let candidates = matcher.candidates(line.message);
    let tried = candidates.into_iter().filter_map(|nth| {
        let signature = matcher.signatures().get(nth)?;
        Some((signature, outcome(nth, signature, line)))
    });
    tried.collect()
}

fn outcome(nth: usize, signature: &Signature, line: &Line<'_>) -> Outcome {
    let mut wordings = signature.pattern.0.iter();
    if !wordings.any(|wording| wording.matches(line.message)) {
        return Outcome::OtherText;
    }
    if !may_be(signature, line) {
        return Outcome::OtherProgram;
    }
    if let Some(found) = found(nth, signature, line) {
        return Outcome::Counts(found.count);
    }
    let is_quoted = signature.pattern.0.iter().any(|wording| !is_said(wording, signature, line));
    if is_quoted { Outcome::Quoted } else { Outcome::OtherText }
}
