//! What audit events tell: who signalled whom, whose forks failed, what happened to auditing.

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::{Line, Mark, Page, Table, links};
use crate::audit::events::event::Id;
use crate::audit::events::recent::Recent;
use crate::audit::events::signals::Kill;
use crate::audit::events::story::{Reader, Teller};
use crate::exporter::Exporter;

/// Stories of each kind on the page at `/`; `/kills` has all.
const FEW: usize = 10;

/// Why command lines, programs, sessions and terminals are not shown.
pub const WITHHELD_BECAUSE: &str = "command lines, executables, sessions and terminals are not for everybody \
    who reaches this port; on the host, `telltale_exporter kills` tells them from the audit log";

const SIGKILL: i32 = 9;

/// The page at `/kills`.
pub fn page(exporter: &Exporter) -> Page {
    let recent = exporter.logs.as_ref().and_then(crate::logs::View::recent);
    let notes = match (&recent, &exporter.logs) {
        (Some(_), _) => vec![format!(
            "since the start of the exporter, the last 200 of each; {WITHHELD_BECAUSE}"
        )],
        (None, Some(logs)) => vec![nothing_followed(&logs.choice)],
        (None, None) => vec!["audit events are not followed: the collector logs is off".to_owned()],
    };
    Page {
        title: format!("Signals, failed forks and auditing on {}", super::host()),
        subtitle: "from audit events, the latest first".to_owned(),
        tables: recent.map_or_else(Vec::new, |recent| tables(&recent, usize::MAX)),
        notes,
        links: links(exporter),
    }
}

/// What is said where no source brings audit events.
pub fn nothing_followed(choice: &str) -> String {
    format!("no source brings audit events ({choice})")
}

/// The last few, for the page at `/`; nothing where nothing happened.
pub(super) fn few(recent: &Recent) -> Vec<Table> {
    tables(recent, FEW).into_iter().filter(|table| !table.rows.is_empty()).collect()
}

fn tables(recent: &Recent, most: usize) -> Vec<Table> {
    let kills = recent.kills.iter().rev().take(most).map(|kill| {
        let mark = if is_deadly(kill) { Mark::Watch } else { Mark::Plain };
        line(mark, &kill.id, |teller| teller.kill(kill))
    });
    let forks = recent.forks.iter().rev().take(most);
    let forks = forks.map(|fork| line(Mark::Act, &fork.id, |teller| teller.fork(fork)));
    let incidents = recent.incidents.iter().rev().take(most);
    let incidents = incidents.map(|one| line(Mark::Watch, one.id(), |teller| one.told(teller)));
    let table =
        |title, rows| Table { title, heads: vec!["day", "what"], rows, empty: "none since start" };
    vec![
        table("Who signalled whom", kills.collect()),
        table("Whose forks failed", forks.collect()),
        table("Auditing weakened, audit daemons, crashes", incidents.collect()),
    ]
}

fn is_deadly(kill: &Kill) -> bool {
    kill.signal == SIGKILL && kill.success != Some(false)
}

/// A story with the day it is of, both in the zone of this host.
fn line(mark: Mark, id: &Id, told: impl FnOnce(Teller) -> String) -> Line {
    let millis = i64::try_from(id.stamp.millis).unwrap_or(i64::MAX);
    let time = Timestamp::from_millisecond(millis).unwrap_or(Timestamp::MAX);
    let zoned = time.to_zoned(TimeZone::system());
    let teller = Teller { reader: Reader::Public, offset: zoned.offset().seconds() };
    Line { mark, cells: vec![zoned.date().to_string(), told(teller)] }
}

/// The answer of `/api/v1/kills`, the latest last.
pub fn kills_json(recent: Option<&Recent>, choice: &str) -> String {
    json("kills", recent, choice, |recent, teller| {
        recent.kills.iter().map(|kill| teller.kill_json(kill)).collect()
    })
}

/// The answer of `/api/v1/forks`, the latest last.
pub fn forks_json(recent: Option<&Recent>, choice: &str) -> String {
    json("forks", recent, choice, |recent, teller| {
        recent.forks.iter().map(|fork| teller.fork_json(fork)).collect()
    })
}

fn json(
    name: &str,
    recent: Option<&Recent>,
    choice: &str,
    list: impl FnOnce(&Recent, Teller) -> Vec<String>,
) -> String {
    let teller = Teller { reader: Reader::Public, offset: 0 };
    let stories = recent.map_or_else(Vec::new, |recent| list(recent, teller));
    let note = match recent {
        Some(_) => WITHHELD_BECAUSE.to_owned(),
        None => nothing_followed(choice),
    };
    let note = crate::audit::events::json::string(&note);
    format!("{{\"{name}\":[{}],\"note\":{note}}}\n", stories.join(","))
}
