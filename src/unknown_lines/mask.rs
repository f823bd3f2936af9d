//! A message with its obviously variable parts taken out, in one pass over its first bytes.
//!
//! What is left is the words with a marker byte for each hole. The holes: numbers and all that is made
//! of them (times, addresses, versions, UUIDs), hexadecimal, the values of `key=value`, what stands in
//! quotes. A word that merely ends in digits (`ssh2`, `sda1`) stays: the tree sees whether it varies.

/// Only so much of a message makes its shape: long enough for what a programmer wrote, and with a
/// syslog header it fits in an example.
pub(super) const MAX_BYTES: usize = 400;
/// A Drain leaf compares word by word.
pub(super) const MAX_TOKENS: usize = 64;

/// Markers; the greater one matches all that the lesser does.
pub(super) const DIGITS: u8 = 1;
/// Anything without white space.
pub(super) const WORD: u8 = 2;
/// Anything, perhaps with white space.
pub(super) const TEXT: u8 = 3;

const DIGIT: u8 = 1;
const HEX: u8 = 2;
const LETTER: u8 = 4;
const PUNCTUATION: u8 = 8;
const SPACE: u8 = 16;
const CONTROL: u8 = 32;
/// What words are made of.
const IN_WORD: u8 = DIGIT | HEX | LETTER;

/// As the expressions see it: white space is `\s` without Unicode, a byte from 128 a letter.
const CLASS: [u8; 256] = {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        #[expect(clippy::cast_possible_truncation, reason = "below 256")]
        let class = match byte as u8 {
            b'0'..=b'9' => DIGIT,
            b'a'..=b'f' | b'A'..=b'F' => HEX,
            b'g'..=b'z' | b'G'..=b'Z' | b'_' | 128.. => LETTER,
            b' ' | b'\t'..=b'\r' => SPACE,
            b'!'..=b'~' => PUNCTUATION,
            _ => CONTROL,
        };
        table[byte] = class;
        byte += 1;
    }
    table
};

/// What the words do not tell.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Gaps {
    /// White space other than one space between two words.
    pub wide: bool,
    /// There is more of the message.
    pub cut: bool,
}

/// A masked message is no longer than the message; a power of two.
const BUFFER: usize = 512;

/// Reused from line to line.
#[derive(Debug)]
pub(super) struct Mask {
    out: Box<[u8; BUFFER]>,
    length: usize,
    clean: Vec<u8>,
}

impl Default for Mask {
    fn default() -> Self {
        Self { out: Box::new([0; BUFFER]), length: 0, clean: Vec::new() }
    }
}

impl Mask {
    /// Words and markers, one space between two; nothing for a blank message.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.out[..self.length]
    }

    /// Masks one message.
    pub(super) fn fill(&mut self, message: &[u8]) -> Gaps {
        let text = beginning(message);
        let mut pass = Pass { text, out: &mut self.out, length: 0, at: 0, start: 0, tokens: 1 };
        let mut gaps = if text.is_ascii() {
            pass.run()
        } else {
            clean(text, &mut self.clean);
            pass.text = &self.clean;
            pass.run()
        };
        self.length = pass.length;
        gaps.cut |= text.len() < message.len();
        gaps
    }
}

/// The first bytes, up to the end of a word if there is one.
fn beginning(message: &[u8]) -> &[u8] {
    if message.len() <= MAX_BYTES {
        return message;
    }
    let text = &message[..=MAX_BYTES];
    match text.iter().rposition(|&byte| class(byte) == SPACE) {
        Some(space) if space > 0 => &text[..space],
        _ => {
            let inside = |&end: &usize| message[end] & 0xC0 == 0x80;
            let end = (MAX_BYTES - 3..=MAX_BYTES).rev().find(|end| !inside(end));
            &message[..end.unwrap_or(MAX_BYTES)]
        }
    }
}

/// Puts a control character where an example does not show what is there.
fn clean(text: &[u8], out: &mut Vec<u8>) {
    out.clear();
    for chunk in text.utf8_chunks() {
        for character in chunk.valid().chars() {
            if character.is_ascii() || shown(character) {
                out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
            } else {
                out.push(0x7F);
            }
        }
        if !chunk.invalid().is_empty() {
            out.push(0x7F);
        }
    }
}

/// Whether it can be printed anywhere as it is: nothing that is unseen, turns the direction of writing
/// or is not allowed in YAML.
pub(super) fn shown(character: char) -> bool {
    matches!(character, ' '..='~' | '¡'..='¬' | '®'..='ÿ' | '‐'..='‧' | '‰'..='⁞' | '₠'..='⿿'
        | '、'..='〿' | '！'..='｠' | '\u{1F300}'..='\u{1FAFF}')
        || character.is_alphanumeric()
}

fn class(byte: u8) -> u8 {
    CLASS[usize::from(byte)]
}

/// Whether a comma ends a value: white space or another key comes after it.
fn ends_list(rest: &[u8]) -> bool {
    let stops =
        |byte: &&u8| matches!(**byte, b',' | b'=') || class(**byte) & (SPACE | CONTROL) != 0;
    let next = rest.iter().position(|byte| stops(&byte));
    next.is_none_or(|next| next == 0 || rest[next] == b'=')
}

fn is_hole(byte: u8) -> bool {
    byte <= TEXT
}

struct Pass<'a> {
    text: &'a [u8],
    out: &'a mut [u8; BUFFER],
    length: usize,
    at: usize,
    /// Where the current word began in `out`.
    start: usize,
    tokens: usize,
}

impl Pass<'_> {
    /// The mask keeps the index within the buffer where the compiler sees it.
    fn push(&mut self, byte: u8) {
        self.out[self.length % BUFFER] = byte;
        self.length += 1;
    }

    /// The last byte but so many; a space in front of all.
    fn last(&self, but: usize) -> u8 {
        if but < self.length { self.out[(self.length - 1 - but) % BUFFER] } else { b' ' }
    }

    fn set_last(&mut self, kind: u8) {
        self.out[(self.length - 1) % BUFFER] = kind;
    }

    fn run(&mut self) -> Gaps {
        let mut gaps = Gaps::default();
        while let Some(&byte) = self.text.get(self.at) {
            match class(byte) {
                SPACE => {
                    let count = self.count(self.at, |class| class == SPACE);
                    self.at += count;
                    let outside = self.length == 0 || self.at == self.text.len();
                    gaps.wide |= outside || count > 1 || byte != b' ';
                    if outside {
                        continue;
                    }
                    if self.tokens == MAX_TOKENS {
                        gaps.cut = true;
                        break;
                    }
                    self.tokens += 1;
                    self.push(b' ');
                    self.start = self.length;
                }
                PUNCTUATION => self.punctuation(byte),
                CONTROL => self.hole(1, WORD),
                _ => self.word(),
            }
        }
        gaps
    }

    fn count(&self, from: usize, wanted: impl Fn(u8) -> bool) -> usize {
        self.text[from..].iter().take_while(|&&byte| wanted(class(byte))).count()
    }

    /// Takes so many bytes out. Holes that only a joint parts are one: `10.0.0.7`, `12:00:01`.
    fn hole(&mut self, bytes: usize, kind: u8) {
        self.at += bytes;
        let last = self.last(0);
        if is_hole(last) {
            self.set_last(last.max(kind).max(WORD));
        } else if matches!(last, b'.' | b':' | b'-' | b'/' | b'+' | b',') && is_hole(self.last(1)) {
            self.length -= 1;
            self.set_last(self.last(0).max(kind).max(WORD));
        } else if last == b'-' && self.start + 1 == self.length {
            self.set_last(kind.max(WORD));
        } else {
            self.push(kind);
        }
    }

    /// Letters and digits.
    fn word(&mut self) {
        let (text, from, before) = (self.text, self.at, self.length);
        let mut classes = 0;
        let mut end = from;
        while let Some(&byte) = text.get(end)
            && class(byte) & IN_WORD != 0
        {
            classes |= class(byte);
            self.push(byte);
            end += 1;
        }
        let length = end - from;
        let hexadecimal = classes & LETTER == 0;
        let digits = classes & DIGIT != 0;
        if hexadecimal
            && matches!(text.get(end), Some(b':' | b'-'))
            && let Some(length) = self.address(length)
        {
            self.length = before;
            self.hole(length, WORD);
        } else if classes == DIGIT {
            self.length = before;
            self.hole(length, DIGITS);
        } else if digits && length >= 20 {
            // Perhaps base64: it goes on.
            let more = |byte: &&u8| class(**byte) & IN_WORD != 0 || b"+/=".contains(byte);
            let rest = text[end..].iter().take_while(more).count();
            self.length = before;
            self.hole(length + rest, WORD);
        } else if digits && class(text[from]) == DIGIT
            || hexadecimal && length >= 8
            || length == 3 && self.is_month(end)
        {
            self.length = before;
            self.hole(length, WORD);
        } else {
            self.at = end;
        }
    }

    /// The length of an IPv6 or MAC address or a UUID, whose first group has so many digits.
    fn address(&self, first: usize) -> Option<usize> {
        let rest = &self.text[self.at..];
        let hexadecimal = |byte: u8| class(byte) & (DIGIT | HEX) != 0;
        if rest[first] == b'-' {
            let uuid = rest.get(..36).filter(|_| first == 8)?;
            let fits = uuid.iter().enumerate().all(|(at, &byte)| match at {
                8 | 13 | 18 | 23 => byte == b'-',
                _ => hexadecimal(byte),
            });
            return fits.then_some(36);
        }
        if first > 4 {
            return None;
        }
        let longest = &rest[..rest.len().min(46)];
        let within = |byte: &u8| hexadecimal(*byte) || matches!(byte, b':' | b'.');
        let mut end = longest.iter().take_while(|byte| within(byte)).count();
        while matches!(rest[end - 1], b':' | b'.') && !rest[..end].ends_with(b"::") {
            end -= 1;
        }
        let address = &rest[..end];
        let colons = address.split(|&byte| byte == b':').count() - 1;
        let short = address.windows(2).any(|pair| pair == b"::");
        let groups = address.split(|&byte| byte == b':').all(|group| group.len() <= 4);
        let words_end = rest.get(end).is_none_or(|&byte| class(byte) & IN_WORD == 0);
        let fits = colons == 5 || colons == 7 || short && address.iter().any(u8::is_ascii_digit);
        (fits && words_end && (groups || address.contains(&b'.'))).then_some(end)
    }

    /// Whether the three letters are a month with a number after it.
    fn is_month(&self, end: usize) -> bool {
        let name = &self.text[self.at..end];
        name[0].is_ascii_uppercase()
            && matches!(
                name,
                b"Jan"
                    | b"Feb"
                    | b"Mar"
                    | b"Apr"
                    | b"May"
                    | b"Jun"
                    | b"Jul"
                    | b"Aug"
                    | b"Sep"
                    | b"Oct"
                    | b"Nov"
                    | b"Dec"
            )
            && match &self.text[end..] {
                [b' ', b' ', next, ..] | [b'/' | b'-' | b' ', next, ..] => next.is_ascii_digit(),
                _ => false,
            }
    }

    fn punctuation(&mut self, byte: u8) {
        let before = self.last(0);
        self.push(byte);
        self.at += 1;
        let after_word = class(before) & IN_WORD != 0;
        match byte {
            b'=' if after_word || is_hole(before) => self.value(),
            b'"' => self.quoted(byte),
            b'\'' if !after_word => self.quoted(byte),
            _ => {}
        }
    }

    /// What follows `key=`: up to white space, a comma and the like, or the end of the brackets
    /// around it.
    fn value(&mut self) {
        let rest = &self.text[self.at..];
        let mut depth = 0_u32;
        let mut length = 0;
        while let Some(&byte) = rest.get(length) {
            let ends = match byte {
                b'=' | b'>' if length == 0 => return,
                b'"' | b'\'' => true,
                b',' => depth == 0 && ends_list(&rest[length + 1..]),
                b';' | b'&' | b')' | b']' | b'}' => depth == 0,
                _ => class(byte) == SPACE,
            };
            if ends {
                break;
            }
            match byte {
                b'(' | b'[' | b'{' => depth += 1,
                b')' | b']' | b'}' => depth -= 1,
                _ => {}
            }
            length += 1;
        }
        while length > 1 && matches!(rest[length - 1], b':' | b'.') {
            length -= 1;
        }
        if length > 0 {
            let digits = rest[..length].iter().all(u8::is_ascii_digit);
            self.hole(length, if digits { DIGITS } else { WORD });
        }
    }

    /// What stands in quotes, unless it has `key=value` of its own. An apostrophe is no quote: `can't`.
    fn quoted(&mut self, quote: u8) {
        let rest = &self.text[self.at..];
        let stops = |byte: &u8| *byte == quote || *byte == b'=' || class(*byte) == CONTROL;
        let Some(length) = rest.iter().position(stops) else { return };
        let next = rest.get(length + 1).map_or(SPACE, |&byte| class(byte));
        if length == 0 || rest[length] != quote || next & IN_WORD != 0 {
            return;
        }
        let spaces = rest[..length].iter().any(|&byte| class(byte) == SPACE);
        self.push(if spaces { TEXT } else { WORD });
        self.push(quote);
        self.at += length + 1;
    }
}

#[cfg(test)]
mod tests;
