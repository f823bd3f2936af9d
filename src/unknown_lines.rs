//! The most frequent shapes of the log lines that no signature knows.
//!
//! What a line is about stays and what varies becomes `<*>`, so that a million lines read as the few
//! dozen statements that wrote them. After Drain (P. He, J. Zhu, Z. Zheng, M. R. Lyu: "Drain: An Online
//! Log Parsing Approach with Fixed Depth Tree", ICWS 2017): a message is masked, led by its program,
//! its number of words and its first word to a leaf, and there compared with a bounded number of
//! templates. The most similar one takes it up and opens a hole where they differ.
//!
//! The number of shapes is bounded as in Space-Saving (A. Metwally, D. Agrawal, A. El Abbadi:
//! "Efficient Computation of Frequent and Top-k Elements in Data Streams", ICDT 2005): a new shape takes
//! the place of the rarest one and its count, which is thereby known as the most that its own may be
//! over. A shape with more than one in [`Shapes::new`]'s `max` of all lines is never lost, whatever the
//! others are; where a leaf is full, with more than one in 64 of the leaf's lines.
//!
//! A line whose masked words were seen lately is counted without an allocation: its hash leads to the
//! shape. The hashes are keyed at random, as lines are written by strangers.

mod mask;
mod stub;
mod tree;

use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher as _, Hasher as _};

use mask::{Gaps, Mask};
use tree::{Tree, Words};

/// So many shapes unless told otherwise; they take less than 2 MiB whatever comes.
pub(crate) const DEFAULT_SHAPES: usize = 1_000;
/// Bytes kept of an example.
pub(crate) const MAX_EXAMPLE: usize = 500;
/// Bytes kept of a program's name.
const MAX_PROGRAM: usize = 64;
/// Masked messages whose shape is known without looking; a power of two.
const RECENT: usize = 4_096;

/// Lines that have the same words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Shape {
    pub program: Option<String>,
    /// The words, with `<*>` for what varies.
    pub text: String,
    /// How many lines, at most [`over`](Self::over) too many.
    pub count: u64,
    /// What the count may hold that other shapes had before; 0: it is exact.
    pub over: u64,
    /// The first line seen, on one line, perhaps cut.
    pub example: String,
    /// The most severe syslog level of its lines; 0 is an emergency.
    pub level: Option<u8>,
    /// The program is all there, as it was written.
    exactly: bool,
    mask: Vec<u8>,
    gaps: Gaps,
}

impl Shape {
    /// A catalogue entry to be filled in, as an item of a YAML list: it finds the lines of this shape.
    pub(crate) fn stub(&self) -> String {
        let program = self.program.as_deref();
        stub::signature(program, self.exactly, &self.mask, self.gaps, &self.example)
    }
}

/// The most frequent shapes of a stream of lines, in bounded memory.
#[derive(Debug)]
pub(crate) struct Shapes {
    max: usize,
    seed: RandomState,
    tree: Tree,
    /// Of each slot, apart from the rest because the rarest is looked for.
    counts: Vec<u64>,
    entries: Vec<Entry>,
    recent: Box<[Recent]>,
    /// The rarest shape has so many or more.
    floor: u64,
    /// Where the search for the rarest goes on.
    cursor: usize,
    mask: Mask,
    words: Words,
}

#[derive(Debug)]
struct Entry {
    program: Option<Box<[u8]>>,
    example: Box<[u8]>,
    over: u64,
    level: Option<u8>,
    gaps: Gaps,
    /// How many shapes the slot had before.
    birth: u32,
}

/// Where a masked message went.
#[derive(Debug, Clone, Copy)]
struct Recent {
    hash: u64,
    slot: u32,
    birth: u32,
}

impl Default for Shapes {
    fn default() -> Self {
        Self::new(DEFAULT_SHAPES)
    }
}

impl Shapes {
    /// No lines yet, and room for so many shapes, at least one.
    pub(crate) fn new(max: usize) -> Self {
        let nothing = Recent { hash: 0, slot: u32::MAX, birth: 0 };
        Self {
            max: max.clamp(1, 1 << 24),
            seed: RandomState::new(),
            tree: Tree::default(),
            counts: Vec::new(),
            entries: Vec::new(),
            recent: vec![nothing; RECENT].into(),
            floor: 0,
            cursor: 0,
            mask: Mask::default(),
            words: Words::default(),
        }
    }

    /// Counts a line, for `weight` lines if the caller looks at one in so many.
    ///
    /// `message` is what the line says without its header; `level` the severity that its priority has.
    pub(crate) fn add(
        &mut self,
        program: Option<&[u8]>,
        message: &[u8],
        line: &[u8],
        level: Option<u8>,
        weight: u64,
    ) {
        let gaps = self.mask.fill(message);
        if self.mask.bytes().is_empty() {
            return;
        }
        let mut hasher = self.seed.build_hasher();
        tree::hash_program(&mut hasher, program);
        hasher.write_u8(u8::from(gaps.wide) | u8::from(gaps.cut) << 1);
        hasher.write(self.mask.bytes());
        let hash = hasher.finish();
        #[expect(clippy::cast_possible_truncation, reason = "the low bits choose")]
        let pair = (hash as usize % RECENT) & !1;
        let slot = self.known(hash, pair).unwrap_or_else(|| {
            let slot = self.look(program, message, line, gaps);
            #[expect(clippy::cast_possible_truncation, reason = "as many as there are shapes")]
            let name = slot as u32;
            self.recent[pair + 1] = self.recent[pair];
            self.recent[pair] = Recent { hash, slot: name, birth: self.entries[slot].birth };
            slot
        });
        self.counts[slot] = self.counts[slot].saturating_add(weight);
        let entry = &mut self.entries[slot];
        entry.level = entry.level.into_iter().chain(level).min();
    }

    /// The slot of a masked message that was seen lately, unless another shape has it now. Each hash
    /// has two places.
    fn known(&self, hash: u64, pair: usize) -> Option<usize> {
        let fits = |recent: &&Recent| {
            let entry = self.entries.get(recent.slot as usize);
            recent.hash == hash && entry.is_some_and(|entry| entry.birth == recent.birth)
        };
        self.recent[pair..=pair + 1].iter().find(fits).map(|recent| recent.slot as usize)
    }

    /// The slot of a message that was not seen lately.
    fn look(&mut self, program: Option<&[u8]>, message: &[u8], line: &[u8], gaps: Gaps) -> usize {
        self.words.fill(&self.seed, self.mask.bytes());
        let leaf = self.words.leaf(&self.seed, program);
        if let Some(slot) = self.tree.find(&self.seed, leaf, &self.words, self.mask.bytes()) {
            let entry = &mut self.entries[slot];
            entry.gaps.wide |= gaps.wide;
            entry.gaps.cut |= gaps.cut;
            return slot;
        }
        let slot = match self.tree.full(leaf) {
            // Space-Saving within the leaf: what is not there any more had no more lines than this.
            Some(slots) => {
                let rarest = slots.iter().min_by_key(|&&slot| self.counts[slot as usize]);
                rarest.map_or(0, |&slot| slot as usize)
            }
            None if self.entries.len() < self.max => self.entries.len(),
            None => self.rarest(),
        };
        let entry = Entry {
            program: program.map(|name| name[..name.len().min(MAX_PROGRAM)].into()),
            example: example(message, line).into(),
            over: self.counts.get(slot).copied().unwrap_or(0),
            level: None,
            gaps,
            birth: self.entries.get(slot).map_or(0, |entry| entry.birth.wrapping_add(1)),
        };
        self.tree.put(slot, leaf, self.words.template(self.mask.bytes()));
        if slot == self.entries.len() {
            self.entries.push(entry);
            self.counts.push(0);
        } else {
            self.entries[slot] = entry;
        }
        slot
    }

    /// The slot with the smallest count. Counts only grow: the slots that have the last minimum are
    /// used up, one after the other, before all are looked at again.
    fn rarest(&mut self) -> usize {
        let (before, after) = self.counts.split_at(self.cursor);
        let is_floor = |count: &u64| *count <= self.floor;
        let slot = after.iter().position(is_floor).map(|at| at + self.cursor);
        self.cursor = slot.or_else(|| before.iter().position(is_floor)).unwrap_or_else(|| {
            let (slot, &floor) =
                self.counts.iter().enumerate().min_by_key(|&(_, count)| count).unwrap_or((0, &0));
            self.floor = floor;
            slot
        });
        self.cursor
    }

    /// The most frequent shapes, the same order for the same counts.
    pub(crate) fn top(&self, n: usize) -> Vec<Shape> {
        top_of(&[self], n)
    }

    /// About how many bytes of memory it takes.
    #[cfg(test)]
    fn bytes(&self) -> usize {
        let own = |entry: &Entry| {
            size_of::<Entry>()
                + 8
                + entry.example.len()
                + entry.program.as_ref().map_or(0, |program| program.len())
        };
        self.entries.iter().map(own).sum::<usize>()
            + self.tree.bytes()
            + self.recent.len() * size_of::<Recent>()
    }
}

/// What is kept of a line: its beginning, or that of the message if the header would push it out.
fn example<'l>(message: &'l [u8], line: &'l [u8]) -> &'l [u8] {
    let header = line.len().saturating_sub(message.len());
    let within = header + message.len().min(mask::MAX_BYTES) <= MAX_EXAMPLE;
    if line.len() <= MAX_EXAMPLE || within && line.ends_with(message) {
        &line[..line.len().min(MAX_EXAMPLE)]
    } else {
        &message[..message.len().min(MAX_EXAMPLE)]
    }
}

/// The most frequent shapes of several streams together.
///
/// A count is at most `over` too large. It may lack what a stream had counted of the shape before it
/// forgot it, if it did.
pub(crate) fn top_of(all: &[&Shapes], n: usize) -> Vec<Shape> {
    struct Sum<'a> {
        entry: &'a Entry,
        count: u64,
        over: u64,
        level: Option<u8>,
        mask: Vec<u8>,
        gaps: Gaps,
    }

    let mut sums: HashMap<(Option<&[u8]>, Vec<u8>), Sum<'_>> = HashMap::new();
    for shapes in all {
        let parts = shapes.entries.iter().zip(&shapes.counts).zip(&shapes.tree.templates);
        for ((entry, &count), template) in parts {
            let mut key = Vec::new();
            tree::plain(&template.mask, &mut key);
            let sum = sums.entry((entry.program.as_deref(), key)).or_insert_with(|| Sum {
                entry,
                count: 0,
                over: 0,
                level: None,
                mask: template.mask.to_vec(),
                gaps: entry.gaps,
            });
            sum.count = sum.count.saturating_add(count);
            sum.over = sum.over.saturating_add(entry.over);
            sum.level = sum.level.into_iter().chain(entry.level).min();
            sum.gaps.wide |= entry.gaps.wide;
            sum.gaps.cut |= entry.gaps.cut;
            for (own, other) in sum.mask.iter_mut().zip(&template.mask) {
                *own = (*own).max(*other);
            }
        }
    }
    let mut sums: Vec<_> = sums.into_iter().collect();
    sums.sort_unstable_by(|(key, sum), (other_key, other)| {
        other.count.cmp(&sum.count).then_with(|| key.cmp(other_key))
    });
    let shape = |((program, _), sum): ((Option<&[u8]>, Vec<u8>), Sum<'_>)| {
        let name = program.map(stub::printable);
        let exactly = program.is_some_and(|program| {
            program.len() < MAX_PROGRAM && name.as_ref().is_some_and(|n| n.as_bytes() == program)
        });
        Shape {
            text: stub::text(&sum.mask, sum.gaps),
            program: name,
            count: sum.count,
            over: sum.over,
            example: stub::printable(&sum.entry.example),
            level: sum.level,
            exactly,
            mask: sum.mask,
            gaps: sum.gaps,
        }
    };
    sums.into_iter().take(n).map(shape).collect()
}

#[cfg(test)]
mod tests;
