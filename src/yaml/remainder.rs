//! A document without the parts that were refused, on the lines that it had.

/// What was taken out.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Removal {
    /// Anything at all.
    pub(super) removed: bool,
    /// Something else was taken out with it that nobody has looked at.
    pub(super) unseen: bool,
}

/// The document without what was refused; what is left stands on the lines that it had.
pub(super) struct Remainder<'a> {
    lines: Vec<&'a str>,
    /// Lines of which something was taken out, or of what they contain.
    pub(super) touched: Vec<bool>,
}

impl<'a> Remainder<'a> {
    pub(super) fn of(yaml: &'a str) -> Self {
        let lines: Vec<_> = yaml.lines().collect();
        Self { touched: vec![false; lines.len()], lines }
    }

    pub(super) fn text(&self) -> String {
        self.lines.join("\n")
    }

    /// Whether a mistake in this line follows from what was taken out before.
    pub(super) fn is_touched(&self, line: usize) -> bool {
        self.nearest_line(line).is_some_and(|at| self.touched[at])
    }

    /// Takes out the key in this line, and the whole item of a list where that was done before and did not
    /// help.
    pub(super) fn remove_at(&mut self, line: usize) -> Removal {
        let Some(at) = self.nearest_line(line) else { return Removal::default() };
        let follows = self.touched[at];
        let line = self.lines[at];
        let key = key_column(line);
        let (from, keep) = match key {
            Some(column) if !follows => (column, column),
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
        let unseen = !follows && out.contains(['{', '[']) && out.contains(',');
        Removal { removed: true, unseen }
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
