//! The command line: flags in the habit of the Prometheus exporters, with dots in long names.

mod configuration;

use std::path::PathBuf;

use clap::Parser;
use clap::error::{ContextKind, ContextValue, ErrorKind};

use crate::VERSION;
use crate::collectors::Switches;
use crate::command::{self, Command};
use crate::http::Listen;
use crate::logging::{LogFormat, LogLevel};

/// What the user asked for on the command line.
#[derive(Debug, Clone, Parser)]
#[command(
    name = "telltale_exporter",
    version = VERSION,
    about = "Prometheus exporter: who is running out of processes on this host, and at which limit.",
    after_help = "Without a command it serves; without flags http://localhost:10121/metrics with every collector on.\n\
                  Stop it with SIGTERM or SIGINT. Exit codes: 0 fine, 1 a command found problems, 2 bad usage or \
                  configuration.",
    disable_help_subcommand = true
)]
pub(crate) struct Args {
    /// What to do instead of serving.
    #[command(subcommand)]
    pub command: Option<Command>,

    /// Address to listen on; a port alone (:10121) means every address, IPv4 and IPv6. Repeatable
    #[arg(long = "web.listen-address", value_name = "ADDRESS", default_value = ":10121",
          value_parser = Listen::resolve)]
    pub listen: Vec<Listen>,

    /// Path of the metrics
    #[arg(long = "web.telemetry-path", value_name = "PATH", default_value = "/metrics",
          value_parser = telemetry_path)]
    pub telemetry_path: String,

    /// Configuration file (YAML); without it the built-in defaults hold
    #[arg(long = "config.file", value_name = "FILE", global = true)]
    pub config_file: Option<PathBuf>,

    /// Mount point of procfs
    #[arg(long = "path.procfs", value_name = "DIR", default_value = "/proc")]
    pub procfs: PathBuf,

    /// Mount point of sysfs
    #[arg(long = "path.sysfs", value_name = "DIR", default_value = "/sys")]
    pub sysfs: PathBuf,

    /// Root of the host's files; names come from its etc/passwd, and from NSS only where it is /
    #[arg(long = "path.rootfs", value_name = "DIR", default_value = "/")]
    pub rootfs: PathBuf,

    /// Directory for what survives a restart: log positions and counters [default: `STATE_DIRECTORY`,
    /// else `telltale_exporter` in `XDG_STATE_HOME` or ~/.local/state]
    #[arg(long = "path.state", value_name = "DIR")]
    pub state: Option<PathBuf>,

    /// Show only users whose name matches this regular expression
    #[arg(long = "collector.users.include", value_name = "REGEX")]
    pub users_include: Option<String>,

    /// Leave out users whose name matches this regular expression
    #[arg(long = "collector.users.exclude", value_name = "REGEX")]
    pub users_exclude: Option<String>,

    /// Which collectors are on.
    #[command(flatten)]
    pub collectors: Switches,

    /// Lowest level that is logged
    #[arg(long = "log.level", value_enum, value_name = "LEVEL", default_value = "info")]
    pub log_level: LogLevel,

    /// Form of the log lines, on standard error
    #[arg(long = "log.format", value_enum, value_name = "FORMAT", default_value = "logfmt")]
    pub log_format: LogFormat,
}

impl Args {
    /// Parses the command line.
    ///
    /// # Errors
    /// A wrong flag as one line that says what to do. `--help` and `--version` come as
    /// [`Stop::Print`].
    pub(crate) fn parse_from(
        words: impl IntoIterator<Item = std::ffi::OsString>,
    ) -> Result<Self, Stop> {
        Self::try_parse_from(words).map_err(|error| match error.kind() {
            ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => Stop::Print(error.to_string()),
            _ => Stop::Usage(one_line(&error)),
        })
    }

    /// Does what the sub-command asks for, if there is one; the exit code.
    ///
    /// # Errors
    /// Bad usage or configuration: one line that says what to do.
    pub(crate) fn run_command(&self) -> Option<Result<u8, String>> {
        let file = self.config_file.as_deref();
        Some(match self.command.as_ref()? {
            Command::Check => command::check::run(self.examine_config(), &self.rootfs),
            Command::Signatures(options) => command::signatures::run(options, file),
            Command::Scan(options) => command::scan::run(options, file),
            Command::Kills(options) => command::kills::run(options),
        })
    }
}

/// Why there are no [`Args`].
#[derive(Debug)]
pub(crate) enum Stop {
    /// Asked-for text: print it and exit with 0.
    Print(String),
    /// A mistake, in one line: print it and exit with 2.
    Usage(String),
}

/// clap's message and its hint on one line, with where to read on.
fn one_line(error: &clap::Error) -> String {
    let text = error.to_string();
    let message = text.lines().next().unwrap_or("wrong usage").trim_start_matches("error: ");
    let suggested = error.get(ContextKind::SuggestedArg);
    let hint = match suggested.or_else(|| error.get(ContextKind::SuggestedSubcommand)) {
        Some(ContextValue::String(word)) => format!("did you mean {word}? "),
        Some(ContextValue::Strings(words)) => format!("did you mean {}? ", words.join(" or ")),
        _ => String::new(),
    };
    // What is missing stands on lines of its own.
    let message = match (error.kind(), error.get(ContextKind::InvalidArg)) {
        (ErrorKind::MissingRequiredArgument, Some(ContextValue::Strings(missing))) => {
            format!("{} is missing", missing.join(", "))
        }
        _ => message.to_owned(),
    };
    let possible = match (error.kind(), error.get(ContextKind::ValidValue)) {
        (ErrorKind::InvalidValue, Some(ContextValue::Strings(values))) => {
            format!("one of {}; ", values.join(", "))
        }
        _ => String::new(),
    };
    format!("{message}; {hint}{possible}see telltale_exporter --help")
}

fn telemetry_path(text: &str) -> Result<String, String> {
    match text {
        "/" | "/-/healthy" | "/-/ready" => Err("that path is taken by another page".to_owned()),
        _ if text.starts_with('/')
            && text.bytes().all(|byte| byte.is_ascii_graphic() && !b"?#%".contains(&byte)) =>
        {
            Ok(text.to_owned())
        }
        _ => Err("give a path like /metrics".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collectors::CollectorName;

    fn parse(words: &[&str]) -> Result<Args, Stop> {
        let words = std::iter::once("telltale_exporter").chain(words.iter().copied());
        Args::parse_from(words.map(Into::into))
    }

    fn usage(words: &[&str]) -> String {
        match parse(words) {
            Err(Stop::Usage(line)) => line,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn defaults() {
        let args = parse(&[]).unwrap();
        assert_eq!(args.listen[0].candidates[0].to_string(), "[::]:10121");
        assert_eq!(args.listen[0].candidates[1].to_string(), "0.0.0.0:10121");
        assert_eq!(args.telemetry_path, "/metrics");
        assert!(CollectorName::ALL.iter().all(|name| args.collectors.is_on(*name)));
    }

    #[test]
    fn collectors_are_switched_and_the_last_word_wins() {
        for &collector in CollectorName::ALL {
            let off = format!("--no-collector.{}", collector.as_str());
            let on = format!("--collector.{}", collector.as_str());
            let is_on = |words: &[&str]| parse(words).unwrap().collectors.is_on(collector);
            assert!(!is_on(&[&off]) && is_on(&[&on]), "{on}");
            assert!(is_on(&[&off, &on]) && !is_on(&[&on, &off]), "{on}");
        }
    }

    #[test]
    fn mistakes_are_one_line_with_the_cure() {
        let line = usage(&["--web.listen-adress=:1"]);
        assert!(line.contains("--web.listen-address"), "{line}");
        for words in [
            &["--web.listen-address=:99999"][..],
            &["--web.listen-address=nonsense"],
            &["--web.telemetry-path=metrics"],
            &["--web.telemetry-path=/"],
            &["--log.level=loud"],
            &["stray"],
            &["--config.file"],
        ] {
            let line = usage(words);
            assert!(!line.contains('\n') && line.ends_with("--help"), "{line}");
        }
        assert!(usage(&["chek"]).contains("did you mean check?"));
        assert!(usage(&["scan"]).contains("<FILE>... is missing"));
        assert!(usage(&["--log.level=loud"]).contains("debug, info, warn, error"));
    }

    #[test]
    fn several_addresses() {
        let args =
            parse(&["--web.listen-address=127.0.0.1:1", "--web.listen-address=[::1]:2"]).unwrap();
        let texts: Vec<_> = args.listen.iter().map(|l| l.candidates[0].to_string()).collect();
        assert_eq!(texts, ["127.0.0.1:1", "[::1]:2"]);
    }
}
