//! Which anchors a line has: all of them looked for at once, most bytes never looked at.
//!
//! Each anchor is represented by a window of its bytes, all windows of one length. Wherever a window
//! lies, one of its blocks of four bytes starts at a multiple of the stride; so only every `stride`th
//! block of a line is looked up in a set of all blocks of all windows. Unlike the steps of an automaton
//! the look-ups do not wait for one another. Sampling of q-grams is an old idea of indexes; see E. Sutinen
//! and J. Tarhio, "On using q-gram locations in approximate string matching" (1995).

use std::collections::HashMap;

/// Bytes that are looked up together.
const BLOCK: usize = 4;

/// An anchor needs so many bytes; one shorter than [`LONGEST_WINDOW`] slows the search for all.
pub(crate) const SHORTEST: usize = BLOCK;

/// A longer one would make the stride wider, but some anchors have no more.
const LONGEST_WINDOW: usize = 8;

/// Bits of the set: 32 KiB stay in the first-level cache, and few strange blocks share a bit.
const SET_BITS: u32 = 18;
const WORDS: usize = 1 << (SET_BITS - 6);

/// The anchors of all signatures.
pub(crate) struct Finder {
    stride: usize,
    /// A bit for each hash of a block.
    set: Vec<u64>,
    /// The blocks, ordered by their word of the set, and where those of each word end.
    blocks: Vec<Block>,
    ends: Vec<usize>,
    anchors: Vec<(Vec<u8>, usize)>,
}

/// A block of an anchor's window.
struct Block {
    value: u32,
    anchor: usize,
    offset: usize,
}

impl Finder {
    /// Indexes anchors of at least [`SHORTEST`] bytes, each with the number to be given back.
    pub(crate) fn new(anchors: Vec<(Vec<u8>, usize)>) -> Self {
        let shortest = anchors.iter().map(|(anchor, _)| anchor.len()).min();
        let length = shortest.unwrap_or(LONGEST_WINDOW).clamp(SHORTEST, LONGEST_WINDOW);
        let mut common: HashMap<&[u8], usize> = HashMap::new();
        for block in anchors.iter().flat_map(|(anchor, _)| anchor.windows(BLOCK)) {
            *common.entry(block).or_default() += 1;
        }
        let mut blocks = Vec::new();
        for (nth, (bytes, _)) in anchors.iter().enumerate() {
            let cost = |start: &usize| -> usize {
                let blocks = bytes[*start..*start + length].windows(BLOCK);
                blocks.map(|block| common[block] + commonness(block)).sum()
            };
            let window = (0..=bytes.len() - length).min_by_key(cost).unwrap_or(0);
            for offset in window..=window + length - BLOCK {
                if let Some(&block) = bytes[offset..].first_chunk() {
                    blocks.push(Block { value: u32::from_le_bytes(block), anchor: nth, offset });
                }
            }
        }
        blocks.sort_unstable_by_key(|block| place(block.value));
        let (mut set, mut ends) = (vec![0_u64; WORDS], vec![0; WORDS]);
        for (nth, block) in blocks.iter().enumerate() {
            let (word, bit) = place(block.value);
            set[word] |= 1 << bit;
            ends[word] = nth + 1;
        }
        for word in 1..WORDS {
            ends[word] = ends[word].max(ends[word - 1]);
        }
        Self { stride: length - BLOCK + 1, set, blocks, ends, anchors }
    }

    /// Calls `found` with the number of each anchor that is in these bytes, for each place once or more.
    pub(crate) fn find(&self, bytes: &[u8], mut found: impl FnMut(usize)) {
        self.search(bytes, |number| {
            found(number);
            false
        });
    }

    /// Whether these bytes have any.
    pub(crate) fn any(&self, bytes: &[u8]) -> bool {
        self.search(bytes, |_| true)
    }

    /// Calls `hit` for every anchor until it says that this is enough; whether it did.
    #[inline]
    fn search(&self, bytes: &[u8], mut hit: impl FnMut(usize) -> bool) -> bool {
        let mut at = 0;
        while let Some(&[a, b, c, d]) = bytes.get(at..at + BLOCK) {
            let block = u32::from_le_bytes([a, b, c, d]);
            let (word, bit) = place(block);
            if self.set[word] >> bit & 1 == 1 && self.at(bytes, at, (word, block), &mut hit) {
                return true;
            }
            at += self.stride;
        }
        false
    }

    /// Calls `hit` for every anchor that has its block here.
    #[inline(never)]
    fn at(
        &self,
        bytes: &[u8],
        at: usize,
        (word, value): (usize, u32),
        hit: &mut impl FnMut(usize) -> bool,
    ) -> bool {
        let first = word.checked_sub(1).map_or(0, |before| self.ends[before]);
        let same = self.blocks[first..self.ends[word]].iter().filter(|block| block.value == value);
        same.into_iter().any(|block| {
            let (anchor, number) = &self.anchors[block.anchor];
            let start = at.checked_sub(block.offset);
            start.is_some_and(|start| bytes[start..].starts_with(anchor)) && hit(*number)
        })
    }
}

/// How common four bytes are, roughly, beside how many anchors have them: the inside of a word stands in
/// other words too, the end of one and the beginning of the next seldom anywhere.
fn commonness(block: &[u8]) -> usize {
    let letter = |byte: &u8| byte.is_ascii_lowercase();
    match block {
        block if block.iter().all(letter) => 16,
        [b' ', word @ ..] | [word @ .., b' '] if word.iter().all(letter) => 8,
        _ => 0,
    }
}

/// Word and bit of a block in the set.
#[inline]
fn place(block: u32) -> (usize, u32) {
    // Fibonacci hashing: the upper bits of a product with 2^32 over the golden ratio.
    let hash = block.wrapping_mul(0x9E37_79B1) >> (32 - SET_BITS);
    ((hash >> 6) as usize, hash & 63)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Whatever the anchors and the bytes: exactly the anchors that are there are found.
        #[test]
        fn no_anchor_is_passed_over(
            anchors in proptest::collection::vec("[abc]{4,12}", 0..12),
            text in "[abcd]{0,60}",
        ) {
            let numbered: Vec<_> = anchors.iter().enumerate()
                .map(|(nth, anchor)| (anchor.clone().into_bytes(), nth)).collect();
            let finder = Finder::new(numbered);
            let mut found = std::collections::BTreeSet::new();
            finder.find(text.as_bytes(), |nth| { found.insert(nth); });
            prop_assert_eq!(finder.any(text.as_bytes()), !found.is_empty());
            for (nth, anchor) in anchors.iter().enumerate() {
                prop_assert_eq!(text.contains(anchor), found.contains(&nth), "{}", anchor);
            }
        }
    }
}
