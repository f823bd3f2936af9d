//! `signatures`: what is looked for.

use std::fmt::Write as _;
use std::path::Path;

use serde::Serialize;

use super::{FINE, Format};
use crate::signatures::signature::{Sample, Signature, Wording};
use crate::text::{escape, json_document, markdown as escape_markdown};

/// The arguments.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Options {
    /// Form of the list
    #[arg(long, value_enum, value_name = "FORMAT", default_value = "text")]
    format: Format,
}

/// A signature with all its fields, as in a catalogue file.
#[derive(Serialize)]
struct Listed<'a> {
    id: &'a str,
    title: &'a str,
    programs: &'a [String],
    pattern: Vec<&'a str>,
    severity: &'static str,
    verdict: &'static str,
    captures: &'a [String],
    count: Option<&'a str>,
    advice: &'a str,
    reference: &'a str,
    samples: Samples<'a>,
}

#[derive(Serialize)]
struct Samples<'a> {
    r#match: Vec<Seen<'a>>,
    no_match: &'a [String],
}

#[derive(Serialize)]
struct Seen<'a> {
    line: &'a str,
    /// Where it was seen.
    from: Option<&'a str>,
}

impl<'a> Listed<'a> {
    fn of(signature: &'a Signature) -> Self {
        let seen = |sample: &'a Sample| match sample {
            Sample::Line(line) => Seen { line, from: None },
            Sample::Seen { line, from } => Seen { line, from: Some(from) },
        };
        Self {
            id: &signature.id.value,
            title: &signature.title,
            programs: &signature.programs,
            pattern: signature.pattern.0.iter().map(Wording::text).collect(),
            severity: signature.severity.label(),
            verdict: signature.verdict.label(),
            captures: &signature.captures,
            count: signature.count.as_deref(),
            advice: &signature.advice,
            reference: &signature.reference,
            samples: Samples {
                r#match: signature.samples.matching.iter().map(seen).collect(),
                no_match: &signature.samples.no_match,
            },
        }
    }
}

pub(crate) fn run(options: &Options, config_file: Option<&Path>) -> Result<u8, String> {
    let signatures = super::catalogue(config_file)?;
    super::print(&match options.format {
        Format::Text => text(&signatures),
        Format::Json => {
            let listed: Vec<_> = signatures.iter().map(Listed::of).collect();
            let json = serde_json::to_string_pretty(&listed).map_err(|error| error.to_string())?;
            json_document(&json) + "\n"
        }
        Format::Markdown => markdown(&signatures),
    })?;
    Ok(FINE)
}

fn text(signatures: &[Signature]) -> String {
    let width = signatures.iter().map(|one| one.id.value.len()).max().unwrap_or(0);
    let mut out = String::new();
    for one in signatures {
        let (id, severity, verdict) = (&one.id.value, one.severity.label(), one.verdict.label());
        let title = escape(&one.title);
        let _ = writeln!(out, "{id:width$}  {severity:8}  {verdict:8}  {title}");
    }
    out
}

fn markdown(signatures: &[Signature]) -> String {
    let mut out =
        "| id | severity | verdict | programs | title |\n|---|---|---|---|---|\n".to_owned();
    for one in signatures {
        let _ = writeln!(
            out,
            "| {} | {} | {} | {} | {} |",
            one.id.value,
            one.severity.label(),
            one.verdict.label(),
            escape_markdown(&one.programs.join(", ")),
            escape_markdown(&one.title)
        );
    }
    out
}
