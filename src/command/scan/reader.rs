//! Bytes of a file to lines, in whichever form they stand there: told by how they begin.

use jiff::tz::TimeZone;

use super::tally::Tally;
use crate::command::input::Input;

use crate::journal::Entry;
use crate::journal::export::{self, Export};
use crate::log_line::json;
use crate::log_line::kernel_clock::When;
use crate::log_line::times::Clock;
use crate::log_line::year;
use crate::sources::file::foreign::Foreign;
use crate::sources::kernel_ring::dump::{self, Dump};
use crate::sources::kernel_ring::record::Record;
use crate::sources::lines::Lines;

/// Bytes that are read at once.
const PIECE: usize = 256 * 1024;

/// The form is told by so many bytes, or by the first line.
const HEAD: usize = 512;

/// What the lines stand in.
enum Form {
    /// A line each.
    Text,
    /// `journalctl -o export`.
    Journal(Box<Export>),
    /// A copy of `/dev/kmsg`.
    Kernel(Dump),
}

impl Form {
    fn of(head: &[u8]) -> Self {
        if export::is_export(head) {
            Self::Journal(Box::default())
        } else if dump::is_dump(head) {
            Self::Kernel(Dump::default())
        } else {
            Self::Text
        }
    }
}

/// What to do with a file that is no text, told by how it begins.
fn no_log(head: &[u8]) -> Option<&'static str> {
    Some(match Foreign::of(head)? {
        Foreign::Journal => {
            "this is a file of the journal; scan its export: journalctl --file FILE -o export | \
             telltale_exporter scan -"
        }
        Foreign::Utf16 => {
            "this is UTF-16; iconv -f UTF-16 -t UTF-8 FILE | telltale_exporter scan - (UTF-16LE or UTF-16BE where \
             it has no mark at its start)"
        }
        Foreign::Compressed => {
            "this is bzip2 or lz4, which are not read, or compressed twice; unpack it: bzcat, lz4cat or zcat FILE | \
             telltale_exporter scan -"
        }
    })
}

/// Counts all lines; what could not be read comes back, one line each.
pub(super) fn read(
    input: &mut Input,
    (modified, zone): (i64, &TimeZone),
    tally: &mut Tally<'_>,
    mut draw: impl FnMut(),
) -> Vec<String> {
    let file_name = input.file_name().to_vec();
    let mut errors = Vec::new();
    let mut buffer = vec![0; PIECE];
    let mut piece = |buffer: &mut [u8]| {
        input.read(buffer).unwrap_or_else(|error| {
            errors.push(error.to_string());
            0
        })
    };
    let mut length = 0;
    while length < HEAD && !buffer[..length].contains(&b'\n') {
        match piece(&mut buffer[length..]) {
            0 => break,
            count => length += count,
        }
    }
    if let Some(cure) = no_log(&buffer[..length]) {
        return vec![format!("{}: {cure}", input.name())];
    }
    let head = &buffer[..length];
    let latest = year::latest(&file_name, head, modified, zone);
    let clock = &mut Clock::new(zone.clone(), latest);
    let mut form = Form::of(head);
    let (mut lines, mut cut) = (Lines::default(), 0);
    while length > 0 {
        let bytes = &buffer[..length];
        match &mut form {
            Form::Journal(export) => export.take(bytes, |entry| journal(entry, tally)),
            form => {
                cut += lines.take(bytes, |line| one(form, line, clock, tally));
            }
        }
        draw();
        length = piece(&mut buffer);
    }
    let damaged = match form {
        Form::Journal(mut export) => {
            export.end(|entry| journal(entry, tally));
            export.damaged()
        }
        mut form => {
            // The last line of a file need not have an end.
            lines.hand_out(|line| one(&mut form, line, clock, tally));
            match form {
                Form::Kernel(dump) => dump.end(|record| kernel(record, tally)),
                _ => 0,
            }
        }
    };
    if cut > 0 {
        errors.push(format!(
            "{}: {cut} bytes of lines longer than 64 KiB are passed over",
            input.name()
        ));
    }
    if damaged > 0 {
        let what = if damaged == 1 { "entry is" } else { "entries are" };
        errors.push(format!("{}: {damaged} {what} damaged and passed over", input.name()));
    }
    errors
}

/// A line of a text or of a copy of `/dev/kmsg`.
fn one(form: &mut Form, line: &[u8], clock: &mut Clock, tally: &mut Tally<'_>) {
    match form {
        Form::Kernel(dump) => dump.take(line, |record| kernel(record, tally)),
        _ => text(line, clock, tally),
    }
}

fn kernel(record: &Record<'_>, tally: &mut Tally<'_>) {
    let when = When { header: None, uptime: i64::try_from(record.micros).ok() };
    of_record(record, when, tally);
}

fn of_record(record: &Record<'_>, when: When, tally: &mut Tally<'_>) {
    for line in record.lines() {
        tally.line(&line, when, None);
    }
}

fn journal(entry: &Entry<'_>, tally: &mut Tally<'_>) {
    for line in entry.lines() {
        tally.line(&line, entry.when(), entry.audit);
    }
}

fn text(line: &[u8], clock: &mut Clock, tally: &mut Tally<'_>) {
    match json::lines(line) {
        Some(lines) => lines.iter().for_each(|line| plain_text(line, clock, tally)),
        None => plain_text(line, clock, tally),
    }
}

fn plain_text(line: &[u8], clock: &mut Clock, tally: &mut Tally<'_>) {
    if !tally.is_asked_for(line, clock) {
        return;
    }
    if tally.passes(line) && !tally.looks_at_unknown() {
        tally.pass(line);
        return;
    }
    tally.text(line, clock);
}
