//! What audit events tell: who signalled whom, whose forks failed, what happened to auditing.

use jiff::tz::TimeZone;

use super::{Line, Mark, Page, Table, links};
use crate::audit::events::recent::Recent;
use crate::audit::events::signals::Kill;
use crate::audit::events::story::{Reader, Teller};
use crate::exporter::Exporter;
use crate::pipeline::View;
use crate::text::json_string;

/// Stories of each kind on the page at `/`; `/kills` has all.
const FEW: usize = 10;

/// Why command lines, programs, sessions and terminals are not shown.
const WITHHELD_BECAUSE: &str = "command lines, executables, sessions and terminals are not for everybody \
    who reaches this port; on the host, `telltale_exporter kills` tells them from the audit log";

const SIGKILL: i32 = 9;

/// The page at `/kills`.
pub(crate) fn page(exporter: &Exporter) -> Page {
    let view = exporter.pipeline.as_ref();
    let tables = view.map_or_else(Vec::new, |view| tables(&view.recent(), usize::MAX));
    Page {
        title: format!("Signals, failed forks and auditing on {}", super::host()),
        subtitle: "since the start of the exporter, at most 200 of each, the latest first"
            .to_owned(),
        tables,
        notes: vec![note(view)],
        links: links(exporter),
    }
}

/// What is to be known of what is shown.
fn note(view: Option<&View>) -> String {
    let Some(view) = view.filter(|view| view.follows_events()) else {
        return "the collector audit_events is off".to_owned();
    };
    match view.audit_source() {
        Some(wrong) if wrong.is_empty() => WITHHELD_BECAUSE.to_owned(),
        Some(wrong) => format!("audit events cannot be read now: {}", wrong.join("; ")),
        None => format!("no source brings audit events ({})", view.choice),
    }
}

/// The last few, for the page at `/`; nothing where nothing happened.
pub(super) fn few(recent: &Recent) -> Vec<Table> {
    tables(recent, FEW).into_iter().filter(|table| !table.rows.is_empty()).collect()
}

fn tables(recent: &Recent, most: usize) -> Vec<Table> {
    let kills = recent.kills.iter().rev().take(most).map(|kill| {
        let mark = if is_deadly(kill) { Mark::Watch } else { Mark::Plain };
        line(mark, kill.id.stamp.millis, |teller| teller.kill(kill))
    });
    let forks = recent.forks.iter().rev().take(most);
    let forks = forks.map(|fork| line(Mark::Act, fork.id.stamp.millis, |teller| teller.fork(fork)));
    // A line may be read long after it was written.
    let mut incidents: Vec<_> = recent.incidents.iter().rev().collect();
    incidents.sort_by_key(|one| std::cmp::Reverse(one.millis()));
    let incidents = incidents.into_iter().take(most);
    let incidents = incidents.map(|one| line(Mark::Watch, one.millis(), |teller| one.told(teller)));
    let table =
        |title, rows| Table { title, heads: vec!["day", "what"], rows, empty: "none since start" };
    vec![
        table("Who signalled whom", kills.collect()),
        table("Whose forks failed", forks.collect()),
        table("Ended by the kernel or systemd, crashes, auditing weakened", incidents.collect()),
    ]
}

fn is_deadly(kill: &Kill) -> bool {
    kill.signal == SIGKILL && kill.success != Some(false)
}

/// A story with the day it is of, both in the zone of this host.
fn line(mark: Mark, millis: u64, told: impl FnOnce(Teller) -> String) -> Line {
    let (teller, day) = Teller::local(Reader::Public, millis, &TimeZone::system());
    Line { mark, cells: vec![day.to_string(), told(teller)] }
}

/// The answer of `/api/v1/kills`, the latest last.
pub(crate) fn kills_json(view: Option<&View>) -> String {
    json("kills", view, |recent, teller| {
        recent.kills.iter().map(|kill| teller.kill_json(kill)).collect()
    })
}

/// The answer of `/api/v1/forks`, the latest last.
pub(crate) fn forks_json(view: Option<&View>) -> String {
    json("forks", view, |recent, teller| {
        recent.forks.iter().map(|fork| teller.fork_json(fork)).collect()
    })
}

fn json(
    name: &str,
    view: Option<&View>,
    list: impl FnOnce(&Recent, Teller) -> Vec<String>,
) -> String {
    let teller = Teller { reader: Reader::Public, offset: 0 };
    let stories = view.map_or_else(Vec::new, |view| list(&view.recent(), teller));
    format!("{{\"{name}\":[{}],\"note\":{}}}\n", stories.join(","), json_string(&note(view)))
}
