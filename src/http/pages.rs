//! The page at `/`: what runs, what fails and why, who is nearest to a limit. As HTML, and as plain
//! text for a terminal.

mod logs;
pub(crate) mod stories;
mod users;

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use super::routes::{ROUTES, Route};
use crate::VERSION;
use crate::audit::queue;
use crate::collector::Shown;
use crate::collectors::CollectorName;
use crate::exporter::Exporter;
use crate::supervised;
use crate::text;

/// A page as data: both forms are written from it.
pub(crate) struct Page {
    title: String,
    subtitle: String,
    tables: Vec<Table>,
    notes: Vec<String>,
    links: Vec<(String, &'static str)>,
}

struct Table {
    title: &'static str,
    heads: Vec<&'static str>,
    rows: Vec<Line>,
    /// Shown in place of no rows.
    empty: &'static str,
}

struct Line {
    mark: Mark,
    cells: Vec<String>,
}

/// How a line stands out; its text says the same, so colour is not needed to read it.
#[derive(Clone, Copy, PartialEq)]
enum Mark {
    Plain,
    Watch,
    Act,
    Off,
}

/// The page at `/`.
pub(crate) fn start(exporter: &Exporter, shown: &[Shown]) -> Page {
    let up = exporter.started.elapsed().unwrap_or_default();
    let mut tables = vec![collectors(shown)];
    if let Some(collector) = shown.iter().find(|collector| collector.name == "users") {
        // What it saw before it failed is not what is.
        let report =
            if collector.error().is_none() { exporter.users.get() } else { Arc::default() };
        tables.push(users::table(&report));
        tables.push(users::logins(&report));
        if !report.namespaces.is_empty() {
            tables.push(users::namespaces(&report));
        }
    }
    if shown.iter().any(|collector| collector.name == "audit") {
        tables.push(audit(&exporter.audit));
    }
    if let Some(view) = &exporter.pipeline {
        tables.extend(stories::few(&view.recent()));
        tables.extend(logs::tables(view));
    }
    let mut notes: Vec<_> = shown
        .iter()
        .flat_map(|collector| {
            collector.warnings().iter().map(|text| format!("{}: {text}", collector.name))
        })
        .collect();
    notes.extend(exporter.reload.notes().iter().map(|note| format!("configuration: {note}")));
    notes.extend(supervised::notes());
    if let Some(view) = &exporter.pipeline {
        notes.extend(view.state_warnings().iter().map(|warning| format!("state: {warning}")));
        if view.has_sources() {
            notes.push(format!("logs: {}", view.choice));
        }
    }
    Page {
        title: format!("telltale_exporter on {}", host()),
        subtitle: format!("version {VERSION}, up {}", duration(up)),
        tables,
        notes,
        links: links(exporter),
    }
}

/// The name of this host.
fn host() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// Every path that is answered, and what it is for.
fn links(exporter: &Exporter) -> Vec<(String, &'static str)> {
    let link = |route: &Route| (route.path(&exporter.telemetry_path).to_owned(), route.purpose);
    ROUTES.iter().map(link).collect()
}

fn collectors(shown: &[Shown]) -> Table {
    let rows = CollectorName::ALL.iter().map(|name| name.as_str()).map(|name| {
        let Some(collector) = shown.iter().find(|collector| collector.name == name) else {
            let cells = vec![name.to_owned(), "off".to_owned(), String::new(), String::new()];
            return Line { mark: Mark::Off, cells };
        };
        let took = format!("{:.1} ms", collector.duration.as_secs_f64() * 1e3);
        let (mark, state, why) = match (collector.error(), collector.warnings()) {
            (Some(error), _) => (Mark::Act, "failing", error),
            (None, []) => (Mark::Plain, "ok", String::new()),
            (None, _) => (Mark::Watch, "partial", "see the notes".to_owned()),
        };
        Line { mark, cells: vec![name.to_owned(), state.to_owned(), took, why] }
    });
    Table {
        title: "Collectors",
        heads: vec!["collector", "state", "took", "why"],
        rows: rows.collect(),
        empty: "every collector is switched off",
    }
}

fn audit(view: &queue::View) -> Table {
    let facts = view.facts().into_iter();
    Table {
        title: "Audit",
        heads: vec!["what", "now"],
        rows: facts
            .map(|(what, now)| Line { mark: Mark::Plain, cells: vec![what.to_owned(), now] })
            .collect(),
        empty: "the kernel has told nothing; why stands above",
    }
}

fn duration(time: Duration) -> String {
    let minutes = time.as_secs() / 60;
    match minutes {
        0 => format!("{} s", time.as_secs()),
        1..60 => format!("{minutes} min"),
        60..1440 => format!("{} h {} min", minutes / 60, minutes % 60),
        _ => format!("{} d {} h", minutes / 1440, minutes / 60 % 24),
    }
}

impl Page {
    /// For a browser; one document without script or anything to load.
    pub(crate) fn html(&self) -> String {
        let mut out = format!(
            "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
             <title>{0}</title><style>{STYLE}</style></head><body>\n<h1>{0}</h1><p>{1}</p>\n",
            text::html(&self.title),
            text::html(&self.subtitle)
        );
        for note in &self.notes {
            push(&mut out, format_args!("<p class=\"watch note\">{}</p>\n", text::html(note)));
        }
        for table in &self.tables {
            push(&mut out, format_args!("<h2>{}</h2>\n", table.title));
            if table.rows.is_empty() {
                push(&mut out, format_args!("<p>{}</p>\n", table.empty));
                continue;
            }
            out.push_str("<div class=\"wide\"><table><thead><tr>");
            for head in &table.heads {
                push(&mut out, format_args!("<th>{head}</th>"));
            }
            out.push_str("</tr></thead><tbody>\n");
            for line in &table.rows {
                push(&mut out, format_args!("<tr class=\"{}\">", line.mark.class()));
                for cell in &line.cells {
                    let class = if is_number(cell) { " class=\"number\"" } else { "" };
                    push(&mut out, format_args!("<td{class}>{}</td>", text::html(cell)));
                }
                out.push_str("</tr>\n");
            }
            out.push_str("</tbody></table></div>\n");
        }
        out.push_str("<h2>Pages</h2>\n<ul>");
        for (path, what) in &self.links {
            let path = text::html(path);
            push(&mut out, format_args!("<li><a href=\"{path}\">{path}</a> {what}</li>"));
        }
        out.push_str("</ul>\n</body></html>\n");
        out
    }

    /// For a terminal.
    pub(crate) fn text(&self) -> String {
        let mut out = format!("{}\n{}\n", text::escape(&self.title), text::escape(&self.subtitle));
        for note in &self.notes {
            push(&mut out, format_args!("\n! {}\n", text::escape(note)));
        }
        for table in &self.tables {
            push(&mut out, format_args!("\n{}\n", table.title));
            if table.rows.is_empty() {
                push(&mut out, format_args!("  {}\n", table.empty));
                continue;
            }
            let mut rows = vec![table.heads.iter().map(|&head| head.to_owned()).collect()];
            rows.extend(
                table
                    .rows
                    .iter()
                    .map(|row| row.cells.iter().map(|cell| text::escape(cell)).collect()),
            );
            push_columns(&mut out, &rows);
        }
        out.push('\n');
        for (path, what) in &self.links {
            push(&mut out, format_args!("{path}  {what}\n"));
        }
        out
    }
}

impl Mark {
    fn class(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Watch => "watch",
            Self::Act => "act",
            Self::Off => "off",
        }
    }
}

fn push(out: &mut String, text: std::fmt::Arguments<'_>) {
    // Writing to a String cannot fail.
    let _ = out.write_fmt(text);
}

/// Rows in columns as wide as their widest cell; numbers to the right.
fn push_columns(out: &mut String, rows: &[Vec<String>]) {
    let width =
        |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..rows[0].len()).map(width).collect();
    for row in rows {
        let mut line = String::new();
        for (cell, &width) in row.iter().zip(&widths) {
            if is_number(cell) {
                push(&mut line, format_args!("  {cell:>width$}"));
            } else {
                push(&mut line, format_args!("  {cell:<width$}"));
            }
        }
        out.push_str(line.trim_end());
        out.push('\n');
    }
}

fn is_number(cell: &str) -> bool {
    !cell.is_empty() && cell.bytes().all(|byte| byte.is_ascii_digit())
}

const STYLE: &str = "
:root{color-scheme:light dark;--line:#8884;--act:#c62828;--watch:#b26a00}
@media (prefers-color-scheme:dark){:root{--act:#ff8a80;--watch:#ffcc80}}
body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:75rem;padding:0 1rem}
h1{font-size:1.4rem;margin:0}h2{font-size:1.1rem;margin:2rem 0 .5rem}p{margin:.2rem 0}
.wide{overflow-x:auto}table{border-collapse:collapse}
th,td{text-align:left;padding:.25rem .9rem .25rem 0;border-bottom:1px solid var(--line)}
td{vertical-align:top;white-space:pre-line}td:first-child{white-space:nowrap}th{font-weight:600;vertical-align:bottom}
.number{text-align:right;font-variant-numeric:tabular-nums}
.act td{color:var(--act);font-weight:600}.watch td{color:var(--watch)}.off td{opacity:.6}
.note{color:var(--watch);border-left:3px solid;padding-left:.7rem;margin:1rem 0}
ul{padding-left:1.2rem}
";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::users::limits::Limit;
    use crate::users::report::{Report, Row};
    use crate::users::table::Usage;

    fn page(user: &str) -> Page {
        let limits = Some((Limit::Tasks(64), Limit::Tasks(64)));
        let usage = Usage { tasks: 64, limits, blocked: 2, ..Usage::default() };
        let commands = vec![("\x1b[2J<b>".to_owned(), 800)];
        let row = Row { uid: 7, user: user.to_owned(), usage, peak: 70, commands, login: None };
        let report = Report { rows: vec![row], ..Report::default() };
        Page {
            title: "t".to_owned(),
            subtitle: "s".to_owned(),
            tables: vec![users::table(&report)],
            notes: vec!["users: <hidepid>".to_owned()],
            links: vec![("/metrics".to_owned(), "metrics")],
        }
    }

    #[test]
    fn html_escapes_what_users_can_choose() {
        let html = page("<script>alert('x')</script>").html();
        assert!(!html.contains("<script>") && !html.contains("<b>"));
        assert!(html.contains("&lt;script&gt;alert(&#39;x&#39;)"));
        assert!(html.contains("<tr class=\"act\">") && html.contains("2 processes cannot fork"));
    }

    #[test]
    fn text_keeps_escape_sequences_from_the_terminal() {
        let text = page("bob").text();
        assert!(!text.contains('\x1b') && text.contains("\\u{1b}[2J<b> ×800"));
        assert!(text.contains("! users: <hidepid>\n"));
    }

    #[test]
    fn durations() {
        let of = |seconds| duration(Duration::from_secs(seconds));
        assert_eq!(
            [of(5), of(300), of(3720), of(90_000)],
            ["5 s", "5 min", "1 h 2 min", "1 d 1 h"]
        );
    }
}
