//! The sub-commands: what can be asked without serving.

use std::io::Write as _;
use std::path::Path;

use clap::{Subcommand, ValueEnum};

use crate::config::Config;
use crate::signatures::catalog;
use crate::signatures::signature::Signature;
use crate::text;

pub(crate) mod check;
mod input;
pub(crate) mod kills;
pub(crate) mod scan;
pub(crate) mod signatures;
mod times;

/// Nothing was found that asks to act.
const FINE: u8 = 0;
/// Something was found.
const FOUND: u8 = 1;
/// Bad usage or configuration, or a file that could not be read.
const WRONG: u8 = 2;

/// A sub-command with its own arguments.
#[derive(Debug, Clone, Subcommand)]
pub(crate) enum Command {
    /// Validate configuration, flags and signature files: every mistake with its line and its cure
    #[command(after_help = "Exit codes: 0 fine, perhaps with warnings; 2 mistakes.")]
    Check,
    /// List the signatures: the built-in ones and those of the configuration
    Signatures(signatures::Options),
    /// Look for all signatures in existing logs and report what was found
    Scan(scan::Options),
    /// Tell who signalled whom, from the audit log
    Kills(kills::Options),
}

/// The form of what is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For a terminal.
    Text,
    /// For a program.
    Json,
    /// For a ticket.
    Markdown,
}

/// The signatures that the configuration leaves on; what is probably not meant is said on standard error.
fn catalogue(config_file: Option<&Path>) -> Result<Vec<Signature>, String> {
    let logs = Config::read(config_file).map_err(|error| error.to_string())?.logs;
    let catalog = catalog::load(&logs).map_err(|error| error.to_string())?;
    for warning in &catalog.warnings {
        // Nothing can be done about a standard error that is closed.
        let _ =
            writeln!(std::io::stderr(), "telltale_exporter: warning: {}", text::escape(warning));
    }
    Ok(catalog.signatures)
}

/// Prints; a reader that has gone, as of `| head`, wants no more.
fn print(text: &str) -> Result<(), String> {
    let mut out = std::io::stdout();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(format!("cannot write to standard output: {error}"))
        }
        _ => Ok(()),
    }
}
