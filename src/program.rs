//! What the program does from its first line on: the entry of the audit helper, then the command line, then a
//! command, or configuration, exporter and server.

use std::io::Write as _;
use std::process::ExitCode;
use std::sync::Arc;

use tokio::signal::unix::{SignalKind, signal};

use crate::audit::multicast::listener;
use crate::audit::queue::helper;
use crate::cli::{Args, Stop};
use crate::collectors::CollectorName;
use crate::exporter::{Exporter, Setup};
use crate::signatures::catalog;
use crate::snapshot::store::State;
use crate::{http, logging, text};

/// Nothing to complain about.
const FINE: u8 = 0;

/// Bad usage or configuration.
const USAGE: u8 = 2;

/// Runs the program; its exit code.
pub fn run() -> ExitCode {
    match run_or_explain() {
        Ok(code) => ExitCode::from(code),
        Err(line) => {
            // Nothing can be done about a standard error that is closed.
            let _ = writeln!(std::io::stderr(), "telltale_exporter: {}", text::escape(&line));
            ExitCode::from(USAGE)
        }
    }
}

/// Does what was asked for and says the exit code; an error is one line that says what to do.
fn run_or_explain() -> Result<u8, String> {
    if std::env::args_os().nth(1).is_some_and(|word| word == helper::WORD) {
        return helper::run().map(|()| FINE).map_err(str::to_owned);
    }
    if std::env::args_os().nth(1).is_some_and(|word| word == listener::WORD) {
        return listener::run().map(|()| FINE).map_err(str::to_owned);
    }
    let args = match Args::parse_from(std::env::args_os()) {
        Ok(args) => args,
        Err(Stop::Print(text)) => {
            // As when the reader of `--help | head` is gone.
            let _ = write!(std::io::stdout(), "{text}");
            return Ok(FINE);
        }
        Err(Stop::Usage(line)) => return Err(line),
    };
    if let Some(done) = args.run_command() {
        return done;
    }
    serve(&args).map(|()| FINE)
}

/// Serves until told to stop.
fn serve(args: &Args) -> Result<(), String> {
    // First, for a SIGHUP that comes before we serve is a reload too, and no end.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| format!("cannot start: {error}"))?;
    let hangup = {
        let _within = runtime.enter();
        signal(SignalKind::hangup()).map_err(|error| format!("cannot start: {error}"))?
    };
    let config = args.load_config().map_err(|error| error.to_string())?;
    let on = |name| args.collectors.is_on(name);
    let catalog = on(CollectorName::Logs).then(|| catalog::load(&config.logs));
    let catalog = catalog.transpose().map_err(|error| error.to_string())?;
    // Before there is a socket or a thread that it could inherit.
    let helper = on(CollectorName::Audit).then(helper::spawn).transpose();
    let helper = helper.map_err(|error| format!("cannot start the audit helper: {error}"))?;
    let listeners = http::bind(&args.listen)?;
    raise_descriptor_limit();
    // From here on everything is logged, and every thread is made before the first request.
    let cannot_start = |error: std::io::Error| format!("cannot start: {error}");
    let log = logging::start(args.log_level, args.log_format).map_err(cannot_start)?;
    let signatures = catalog.map(|catalog| {
        catalog.announce();
        catalog.signatures
    });
    let follows = on(CollectorName::Logs) || on(CollectorName::AuditEvents);
    let state = follows.then(|| State::open(args.state.as_deref())).transpose()?;
    let exporter =
        Exporter::start(setup(args), config, helper, signatures, state).map_err(cannot_start)?;
    runtime.block_on(async {
        let mut terminate = signal(SignalKind::terminate()).map_err(cannot_start)?;
        let mut interrupt = signal(SignalKind::interrupt()).map_err(cannot_start)?;
        let stop = async move {
            tokio::select! {
                _ = terminate.recv() => "SIGTERM",
                _ = interrupt.recv() => "SIGINT",
            }
        };
        let mut hangup = hangup;
        let exporter = Arc::new(exporter);
        let reloaded = Arc::clone(&exporter);
        tokio::spawn(async move {
            while hangup.recv().await.is_some() {
                reloaded.reload.ask();
            }
        });
        http::serve(listeners, exporter, stop).await.map_err(cannot_start)
    })?;
    drop(log);
    Ok(())
}

/// What the command line says of the exporter.
fn setup(args: &Args) -> Setup {
    let again = args.clone();
    Setup {
        collectors: args.collectors.clone(),
        procfs: args.procfs.clone(),
        sysfs: args.sysfs.clone(),
        rootfs: args.rootfs.clone(),
        telemetry_path: args.telemetry_path.clone(),
        load: Box::new(move || again.load_config()),
    }
}

/// A log source may have thousands of files; the soft limit is 1024 for programs that use select(2).
fn raise_descriptor_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    // Without it, files are closed and opened again.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
}
