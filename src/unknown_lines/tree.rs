//! Templates and the leaves they hang in: which of the known shapes a new message belongs to.

use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher as _, Hasher as _};

use super::mask::{TEXT, WORD};

/// So many templates are compared with a message at most.
pub(super) const LEAF: usize = 64;

/// Three of five words must be the same, holes included.
const SIMILAR: (usize, usize) = (3, 5);
/// Bit of a word's hash: it names what its hole is, as `pid=<*>`. A message with another key is
/// another shape.
const NAMED: u32 = 1;

/// Words with holes.
#[derive(Debug)]
pub(super) struct Template {
    /// As [`super::mask::Mask`] writes them.
    pub mask: Box<[u8]>,
    /// A hash of each word, whatever the kinds of its holes.
    words: Box<[u32]>,
}

/// A message on its way to a template; reused.
#[derive(Debug, Default)]
pub(super) struct Words {
    hashes: Vec<u32>,
    plain: Vec<u8>,
}

impl Words {
    /// Takes masked words up.
    pub(super) fn fill(&mut self, seed: &RandomState, mask: &[u8]) {
        plain(mask, &mut self.plain);
        self.hashes.clear();
        self.hashes.extend(self.plain.split(|&byte| byte == b' ').map(|word| hash(seed, word)));
    }

    /// The template of this message alone.
    pub(super) fn template(&self, mask: &[u8]) -> Template {
        Template { mask: mask.into(), words: self.hashes.as_slice().into() }
    }

    /// The leaf for messages of the program that have as many words and begin alike.
    pub(super) fn leaf(&self, seed: &RandomState, program: Option<&[u8]>) -> u64 {
        let first = self.plain.split(|&byte| byte == b' ').next().unwrap_or_default();
        let mut hasher = seed.build_hasher();
        hash_program(&mut hasher, program);
        hasher.write_usize(self.hashes.len());
        if is_constant(first) {
            hasher.write(first);
        }
        hasher.finish()
    }
}

/// Feeds a program's name so that no other input can look the same.
pub(super) fn hash_program(hasher: &mut impl std::hash::Hasher, program: Option<&[u8]>) {
    hasher.write_usize(program.map_or(usize::MAX, <[u8]>::len));
    hasher.write(program.unwrap_or_default());
}

/// A plain word in front was written by the programmer; a name with dots or brackets may be anything.
fn is_constant(first: &[u8]) -> bool {
    let word = first.strip_suffix(b":").unwrap_or(first);
    let fits = |&byte: &u8| byte.is_ascii_alphabetic() || matches!(byte, b'_' | b'-' | 128..);
    !word.is_empty() && word.iter().all(fits)
}

/// The words with one kind of hole.
pub(super) fn plain(mask: &[u8], out: &mut Vec<u8>) {
    out.clear();
    out.extend(mask.iter().map(|&byte| if byte <= TEXT { WORD } else { byte }));
}

fn hash(seed: &RandomState, word: &[u8]) -> u32 {
    let mut hasher = seed.build_hasher();
    hasher.write(word);
    #[expect(clippy::cast_possible_truncation, reason = "half of it will do")]
    let hash = hasher.finish() as u32;
    let is_key = |pair: &[u8]| pair[0] == b'=' && matches!(pair[1], WORD | b'"' | b'\'');
    if word.windows(2).any(is_key) { hash | NAMED } else { hash & !NAMED }
}

impl Template {
    /// How many words are the same, if they are enough. A different name rules it out.
    fn similarity(&self, words: &[u32]) -> Option<usize> {
        if self.words.len() != words.len() {
            return None;
        }
        let (mut same, mut clash) = (0, 0);
        for (own, other) in self.words.iter().zip(words) {
            let equal = own == other;
            same += usize::from(equal);
            clash |= (own | other) & u32::from(!equal);
        }
        let enough = same * SIMILAR.1 >= words.len() * SIMILAR.0;
        (enough && clash & NAMED == 0).then_some(same)
    }

    /// Opens holes where a message differs.
    fn widen(&mut self, seed: &RandomState, mask: &[u8]) {
        if *self.mask == *mask {
            return;
        }
        let mut merged = Vec::with_capacity(self.mask.len());
        let words = self.mask.split(|&byte| byte == b' ').zip(mask.split(|&byte| byte == b' '));
        let mut changed = false;
        for (own, other) in words {
            let start = merged.len();
            if same_but_kinds(own, other) {
                merged.extend(own.iter().zip(other).map(|(own, other)| own.max(other)));
            } else {
                let (prefix, suffix) = common(own, other);
                let text = own.contains(&TEXT) || other.contains(&TEXT);
                merged.extend_from_slice(&own[..prefix]);
                merged.push(if text { TEXT } else { WORD });
                merged.extend_from_slice(&own[own.len() - suffix..]);
                changed |= merged[start..] != *own;
            }
            debug_assert!(merged.len() > start, "no word is empty");
            merged.push(b' ');
        }
        merged.pop();
        self.mask = merged.into();
        if changed {
            let mut words = Words::default();
            words.fill(seed, &self.mask);
            self.words = words.hashes.into();
        }
    }
}

/// Markers compare as equal, and the greater kind is right for both.
fn same_but_kinds(own: &[u8], other: &[u8]) -> bool {
    let same = |(own, other): (&u8, &u8)| own == other || *own <= TEXT && *other <= TEXT;
    own.len() == other.len() && own.iter().zip(other).all(same)
}

/// How many bytes two words have in common in front and at the end, up to a punctuation mark: what
/// differs, a hole for it, is between the two. `su.service:` and `cron.service:` have `.service:`.
fn common(own: &[u8], other: &[u8]) -> (usize, usize) {
    let most = own.len().min(other.len()) - 1;
    let joint = |&at: &usize| own[at].is_ascii_punctuation() && own[at] != b'_';
    let prefix = own.iter().zip(other).take(most).take_while(|(own, other)| own == other).count();
    let prefix = (0..prefix).rev().find(joint).map_or(0, |at| at + 1);
    let ends = own.iter().rev().zip(other.iter().rev());
    let suffix = ends.take(most - prefix).take_while(|(own, other)| own == other).count();
    let suffix = (own.len() - suffix..own.len()).find(joint).map_or(0, |at| own.len() - at);
    (prefix, suffix)
}

/// Templates by slot, and the slots of each leaf.
///
/// The inner nodes of Drain's tree have nothing but the way to the leaves, so a map from the whole way
/// does for them. A leaf without templates is gone: there are never more leaves than templates.
#[derive(Debug, Default)]
pub(super) struct Tree {
    leaves: HashMap<u64, Vec<u32>>,
    pub templates: Vec<Template>,
    /// Of each slot.
    leaf: Vec<u64>,
}

impl Tree {
    /// The slot of the most similar template, which then covers the message too.
    pub(super) fn find(
        &mut self,
        seed: &RandomState,
        leaf: u64,
        words: &Words,
        mask: &[u8],
    ) -> Option<usize> {
        let slots = self.leaves.get(&leaf)?;
        let of = |&slot: &u32| {
            let same = self.templates[slot as usize].similarity(&words.hashes)?;
            Some((same, std::cmp::Reverse(slot)))
        };
        let (_, std::cmp::Reverse(slot)) = slots.iter().filter_map(of).max()?;
        self.templates[slot as usize].widen(seed, mask);
        Some(slot as usize)
    }

    /// The slots of a leaf that can take no more.
    pub(super) fn full(&self, leaf: u64) -> Option<&[u32]> {
        self.leaves.get(&leaf).map(Vec::as_slice).filter(|slots| slots.len() >= LEAF)
    }

    /// Hangs a template in a slot: the next one, or one whose template goes.
    pub(super) fn put(&mut self, slot: usize, leaf: u64, template: Template) {
        #[expect(clippy::cast_possible_truncation, reason = "as many as there are shapes")]
        let name = slot as u32;
        if slot == self.templates.len() {
            self.templates.push(template);
            self.leaf.push(leaf);
        } else {
            let old = std::mem::replace(&mut self.leaf[slot], leaf);
            self.templates[slot] = template;
            if let Some(slots) = self.leaves.get_mut(&old) {
                slots.retain(|&other| other != name);
                if slots.is_empty() {
                    self.leaves.remove(&old);
                }
            }
        }
        self.leaves.entry(leaf).or_default().push(name);
    }

    /// About how many bytes it takes.
    #[cfg(test)]
    pub(super) fn bytes(&self) -> usize {
        let own = |template: &Template| {
            size_of::<Template>() + 8 + template.mask.len() + 4 * template.words.len()
        };
        let slots = |slots: &Vec<u32>| 4 * slots.capacity();
        self.templates.iter().map(own).sum::<usize>()
            + self.leaves.capacity() * (size_of::<(u64, Vec<u32>)>() + 1)
            + self.leaves.values().map(slots).sum::<usize>()
    }
}
