//! All mistakes of a YAML document, not its first alone.
//!
//! The parser gives up at a mistake. So what it refused is taken out (a key or an item of a list, with what
//! belongs to it) and the rest is read again, until it is understood. What only follows from that is no
//! mistake of its own: a source whose `files` is misspelt has none.

use serde::de::{DeserializeOwned, IgnoredAny};
use serde_saphyr::DuplicateKeyPolicy::LastWins;

use super::Error;

/// More are not told at once.
const MOST: usize = 100;

/// What can be understood of the document, and what is wrong with the rest; `name` is what messages call it.
pub fn read_all<T: DeserializeOwned + Default>(yaml: &str, name: &str) -> (T, Vec<Error>) {
    let mut rest = Rest::of(yaml);
    let mut mistakes = Vec::new();
    loop {
        let text = rest.lines.join("\n");
        let options = serde_saphyr::options! { with_snippet: false };
        // `Option`: a file of comments alone is the null document.
        let error = match serde_saphyr::from_str_with_options::<Option<T>>(&text, options) {
            Ok(value) => return (value.unwrap_or_default(), mistakes),
            Err(error) => error,
        };
        let told = Error::all_of_yaml(name, &error);
        let options = serde_saphyr::options! { with_snippet: false, duplicate_keys: LastWins };
        let is_yaml = serde_saphyr::from_str_with_options::<IgnoredAny>(&text, options).is_ok();
        // What is no YAML without what was taken out of it is no mistake of the user's.
        if !mistakes.is_empty() && (!is_yaml || mistakes.len() >= MOST) {
            let more = "more may be wrong after these; correct them and check again";
            mistakes.push(Error::new(format!("{name}: {more}")));
            return (T::default(), mistakes);
        }
        let mut taken = false;
        let follows = told.iter().map(|(place, _)| place.is_some_and(|place| rest.follows(place)));
        let follows: Vec<_> = follows.collect();
        for (nth, (place, mistake)) in told.into_iter().enumerate() {
            // One of several of the same item.
            let again = nth > 0 && place.is_some_and(|place| rest.is_out(place));
            let took = place.filter(|_| !again).map(|place| rest.take_out(place));
            let took = took.unwrap_or_default();
            taken |= took.taken;
            if took.unseen {
                mistakes.push(Error::new(format!("{mistake} ({UNSEEN})")));
            } else if !follows[nth] {
                mistakes.push(mistake);
            }
        }
        if !is_yaml || !taken {
            return (T::default(), mistakes);
        }
    }
}

/// What is said of a mistake within braces or brackets: they are taken out as a whole.
const UNSEEN: &str = "what stands beside it on the line is looked at when it is corrected";

/// What was taken out.
#[derive(Debug, Clone, Copy, Default)]
struct Took {
    /// Anything at all.
    taken: bool,
    /// Something else was taken out with it that nobody has looked at.
    unseen: bool,
}

/// Where a mistake is.
#[derive(Debug, Clone, Copy)]
pub struct Place {
    /// The line, counted from 0.
    pub line: usize,
    /// The whole item of a list that begins there is refused.
    pub item: bool,
}

/// The document without what was refused; what is left stands on the lines that it had.
struct Rest<'a> {
    lines: Vec<&'a str>,
    /// Lines of which something was taken out, or of what they contain.
    touched: Vec<bool>,
}

impl<'a> Rest<'a> {
    fn of(yaml: &'a str) -> Self {
        let lines: Vec<_> = yaml.lines().collect();
        Self { touched: vec![false; lines.len()], lines }
    }

    /// Whether a mistake at this place follows from what was taken out before.
    fn follows(&self, place: Place) -> bool {
        self.nearest_line(place.line).is_some_and(|at| self.touched[at])
    }

    /// Whether nothing is left at this place.
    fn is_out(&self, place: Place) -> bool {
        self.lines.get(place.line).is_none_or(|line| is_blank(line))
    }

    /// Takes out the key or the item at this place.
    fn take_out(&mut self, place: Place) -> Took {
        let Some(mut at) = self.nearest_line(place.line) else { return Took::default() };
        let follows = self.touched[at];
        // Less did not do.
        let whole = place.item || follows;
        if follows && is_bare(self.lines[at]) {
            match self.parent(at) {
                Some(parent) => at = parent,
                None => return Took::default(),
            }
        }
        let line = self.lines[at];
        let key = key_column(line);
        let (from, keep) = match key {
            Some(column) if !whole => (column, column),
            _ => (indent(line), 0),
        };
        let mut out = line[keep..].to_owned();
        for below in at + 1..self.lines.len() {
            let line = self.lines[below];
            // A list may stand at the margin of its key.
            let is_part = indent(line) > from
                || (indent(line) == from
                    && keep == from
                    && key == Some(from)
                    && is_item(line)
                    && !is_item(self.lines[at]));
            if !is_blank(line) && !is_part {
                break;
            }
            out.push_str(line);
            self.lines[below] = "";
            self.touched[below] = true;
        }
        self.lines[at] = &line[..keep];
        let mut touched = Some(at);
        while let Some(line) = touched {
            self.touched[line] = true;
            touched = self.parent(line);
        }
        let unseen = !place.item && !follows && out.contains(['{', '[']) && out.contains(',');
        Took { taken: true, unseen }
    }

    /// The line, or the last before it on which anything is left.
    fn nearest_line(&self, line: usize) -> Option<usize> {
        let line = line.min(self.lines.len().checked_sub(1)?);
        (0..=line).rev().find(|&at| !is_blank(self.lines[at]))
    }

    /// The key or the item of a list that this line belongs to.
    fn parent(&self, at: usize) -> Option<usize> {
        let from = indent(self.lines[at]);
        let is_above = |line: &str| {
            !is_blank(line)
                && (indent(line) < from
                    || (indent(line) == from && is_item(self.lines[at]) && !is_item(line)))
        };
        (0..at).rev().find(|&above| is_above(self.lines[above]))
    }
}

fn indent(line: &str) -> usize {
    line.len() - line.trim_start_matches(' ').len()
}

/// Nothing, or only a comment.
fn is_blank(line: &str) -> bool {
    let text = line.trim_start();
    text.is_empty() || text.starts_with('#')
}

fn is_item(line: &str) -> bool {
    let text = line.trim_start();
    text == "-" || text.starts_with("- ")
}

/// Only the dash of an item.
fn is_bare(line: &str) -> bool {
    line.trim() == "-"
}

/// Where the key of a line begins, behind the dashes of lists.
fn key_column(line: &str) -> Option<usize> {
    let mut column = indent(line);
    while let Some(rest) = line[column..].strip_prefix("- ") {
        column += 2 + indent(rest);
    }
    let text = &line[column..];
    let is_key = !text.starts_with(['[', '{', '\'', '"'])
        && (text.contains(": ") || text.trim_end().ends_with(':'));
    is_key.then_some(column)
}

#[cfg(test)]
mod tests {
    use crate::config::Config;

    fn said(yaml: &str) -> Vec<String> {
        let (_, mistakes) = super::read_all::<Config>(yaml, "t.yml");
        mistakes.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn every_mistake_is_told_once_in_its_line() {
        let yaml = "\
users:
  excluded: x
  include: '('
audit:
  required: maybe
  expected_keys:
    - one
    - [two]
logs:
  sources:
    - name: a
      fils: [/a]
    - name: b
      files: /b
      format: sylog
    - {name: c, kmsg: perhaps}
    - name: d
      files: [d]
      journal: true
    - name: d
      files: [/d, /d]
  disable:
  - x
  - [y]
  examples: 7
log: {}
";
        let said = said(yaml);
        let expected = [
            ("2:", "excluded"),
            ("3:", "unclosed group"),
            ("5:", "true or false"),
            ("8:", ""),
            ("12:", "fils"),
            ("14:", "a list is wanted"),
            ("15:", "sylog"),
            ("16:", "true or false"),
            ("17:", "either files"),
            ("17:", "absolute"),
            ("20:", "a name of its own"),
            ("20:", "twice"),
            ("24:", ""),
            ("25:", "true or false"),
            ("26:", "log"),
        ];
        for (line, word) in expected {
            let place = format!("t.yml:{line}");
            let is_told = |one: &&String| one.starts_with(&place) && one.contains(word);
            assert_eq!(said.iter().filter(is_told).count(), 1, "{line} {word}: {said:#?}");
        }
        assert_eq!(said.len(), expected.len(), "{said:#?}");
    }

    #[test]
    fn what_is_no_yaml_is_one_mistake() {
        for yaml in
            ["users:\n\texclude: x\nlog: 1\n", "logs: [\n", "a: b: c\n", "\u{0}", "users: *x\n"]
        {
            assert_eq!(said(yaml).len(), 1, "{yaml:?}: {:?}", said(yaml));
        }
        assert!(said("").is_empty());
    }

    #[test]
    fn lists_on_one_line_are_told_of_as_far_as_they_go() {
        let yaml = "users: {exclud: x}\nlogs: {sources: [{name: a, fils: [/a]},\n  \
            {name: b}]}\naudit: {required: 3}\n";
        let said = said(yaml);
        assert_eq!(said.len(), 3, "{said:#?}");
        assert!(said[0].starts_with("t.yml:1:") && !said[0].ends_with(')'), "{said:#?}");
        assert!(
            said[1].starts_with("t.yml:2:") && said[1].ends_with("it is corrected)"),
            "{said:#?}"
        );
    }

    proptest::proptest! {
        /// Whatever is written, it comes to an end and says something where the parser refuses.
        #[test]
        fn it_ends(lines in proptest::collection::vec("( {0,6})(- )?(users|logs|sources|name|files|kmsg|x)?(: ?)?(\\[|\\{|\\]|'|true|/a|#)?", 0..15)) {
            let yaml = lines.join("\n");
            let (_, mistakes) = super::read_all::<Config>(&yaml, "t.yml");
            let parsed = serde_saphyr::from_str::<Option<Config>>(&yaml);
            proptest::prop_assert_eq!(parsed.is_ok(), mistakes.is_empty());
        }
    }
}
