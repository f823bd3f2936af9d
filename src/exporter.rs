//! The exporter: the collectors that are on, and what one scrape gathers from them.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use crate::audit::queue::{self, Audit};
use crate::collector::{self, BOUND, Collector, Runner, Shown};
use crate::collectors::{CollectorName, Switches};
use crate::config::Config;
use crate::exporter_process::OwnProcess;
use crate::host::Host;
use crate::live::Live;
use crate::logrotate::Logrotate;
use crate::metrics::{Desc, Metrics};
use crate::page_url;
use crate::pipeline;
use crate::reload::{Load, Parts, Reload};
use crate::signatures::signature::Signature;
use crate::snapshot::store::{Loaded, State};
use crate::supervised;
use crate::user_names::Names;
use crate::users::cgroups::Cgroups;
use crate::users::{Latest, Users};

const BUILD_INFO: Desc = Desc::gauge(
    "telltale_exporter_build_info",
    "1, with the version and the source revision that the exporter was built from.",
);

/// Everything that answers a request.
pub(crate) struct Exporter {
    runners: Vec<Runner>,
    /// The users of the last collection; empty while that collector is off.
    pub users: Latest,
    /// The audit status; empty while that collector is off.
    pub audit: queue::View,
    /// What log lines and audit records add up to; `None` while both collectors are off.
    pub pipeline: Option<pipeline::View>,
    /// Reads the configuration anew.
    pub reload: Reload,
    /// Where the metrics are served.
    pub telemetry_path: String,
    /// Where people reach the pages.
    page_urls: Vec<String>,
    /// When the exporter was started.
    pub started: SystemTime,
}

/// The audit helper, started before everything else, and our end of the pair.
pub(crate) type Helper = (std::process::Child, std::os::unix::net::UnixStream);

/// Which collectors a scrape asks for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) enum Selection {
    /// All that are on.
    #[default]
    All,
    /// `collect[]`: these.
    Only(Vec<String>),
    /// `exclude[]`: all but these.
    Except(Vec<String>),
}

impl Selection {
    fn takes(&self, collector: &str) -> bool {
        match self {
            Self::All => true,
            Self::Only(names) => names.iter().any(|name| name == collector),
            Self::Except(names) => !names.iter().any(|name| name == collector),
        }
    }

    fn names(&self) -> &[String] {
        match self {
            Self::All => &[],
            Self::Only(names) | Self::Except(names) => names,
        }
    }
}

/// What the command line says of it.
pub(crate) struct Setup {
    /// Which collectors are on.
    pub collectors: Switches,
    /// Mount point of procfs.
    pub procfs: PathBuf,
    /// Mount point of sysfs.
    pub sysfs: PathBuf,
    /// Root of the host's files.
    pub rootfs: PathBuf,
    /// Path of the metrics.
    pub telemetry_path: String,
    /// Where people reach the pages.
    pub page_urls: Vec<String>,
    /// Reads the configuration again.
    pub load: Load,
}

impl Exporter {
    /// Builds and starts the collectors that are on; `helper` is there when `audit` is, `signatures` when `logs` is,
    /// and `state` when that or `audit_events` is.
    ///
    /// # Errors
    /// When a thread cannot be created.
    pub(crate) fn start(
        setup: Setup,
        config: Config,
        helper: Option<Helper>,
        signatures: Option<Vec<Signature>>,
        state: Option<(State, Loaded)>,
    ) -> std::io::Result<Self> {
        let mut collectors: Vec<Box<dyn Collector>> = Vec::new();
        let (mut latest, mut audit_view, mut pipeline_view) =
            (Latest::default(), queue::View::default(), None);
        let on = |name| setup.collectors.is_on(name);
        let (users, audit) = (Live::new(config.users), Live::new(config.audit));
        let names = Names::new(&setup.rootfs)?;
        let names = Arc::new(Mutex::new(names));
        let mut parts = Parts { users, audit, matcher: None };
        if let Some(helper) = helper {
            let audit = Audit::start(helper, setup.procfs.clone(), parts.audit.clone())?;
            audit_view = audit.view();
            collectors.push(Box::new(audit));
        }
        if on(CollectorName::Cgroups) {
            collectors.push(Box::new(Cgroups::new(&setup.sysfs)));
        }
        if on(CollectorName::Host) {
            collectors.push(Box::new(Host::new(&setup.procfs)));
        }
        if on(CollectorName::Logrotate) {
            collectors.push(Box::new(Logrotate::new(&setup.rootfs)));
        }
        if let Some(state) = state {
            let started = pipeline::start(pipeline::Setup {
                signatures,
                events: on(CollectorName::AuditEvents),
                config: &config.logs,
                rootfs: &setup.rootfs,
                procfs: &setup.procfs,
                state,
                names: Arc::clone(&names),
            })?;
            parts.matcher = started.view.matcher().cloned();
            pipeline_view = Some(started.view);
            collectors.extend(started.collectors);
        }
        if on(CollectorName::Process) {
            collectors.push(Box::new(OwnProcess));
        }
        if on(CollectorName::Users) {
            let shows = parts.users.clone();
            let users = Users::new(&setup.procfs, &setup.sysfs, &setup.rootfs, names, shows);
            latest = users.latest();
            collectors.push(Box::new(users));
        }
        Ok(Self {
            runners: collectors.into_iter().map(Runner::start).collect::<Result<_, _>>()?,
            users: latest,
            audit: audit_view,
            pipeline: pipeline_view,
            reload: Reload::start(setup.load, parts, config.logs)?,
            telemetry_path: setup.telemetry_path,
            page_urls: setup.page_urls,
            started: SystemTime::now(),
        })
    }

    /// Keeps what a start after a reboot needs, as far as the disk answers soon.
    pub(crate) fn flush(&self) {
        if let Some(pipeline) = &self.pipeline {
            pipeline.flush_state();
        }
    }

    /// Names of the collectors that are on.
    pub(crate) fn collectors(&self) -> impl Iterator<Item = &'static str> {
        self.runners.iter().map(Runner::name)
    }

    /// Runs the selected collectors side by side, each for at most its bound and `patience`.
    ///
    /// # Errors
    /// A name that is no collector, or one that is off: what to say to who asked.
    pub(crate) async fn gather(
        &self,
        selection: &Selection,
        patience: Duration,
    ) -> Result<Vec<Shown>, String> {
        if let Some(name) =
            selection.names().iter().find(|name| !self.collectors().any(|on| on == *name))
        {
            let on: Vec<_> = self.collectors().collect();
            return Err(format!("no collector '{name}' is on; there are: {}", on.join(", ")));
        }
        let deadline = tokio::time::Instant::now() + patience.min(BOUND);
        let selected: Vec<_> =
            self.runners.iter().filter(|runner| selection.takes(runner.name())).collect();
        // All are asked before the first is waited for, so that they run at the same time.
        let waits: Vec<_> = selected.iter().map(|runner| runner.ask()).collect();
        let mut shown = Vec::with_capacity(waits.len());
        for wait in waits {
            shown.push(wait.until(deadline).await);
        }
        Ok(shown)
    }

    /// The metrics of what was gathered, of the configuration and of the build.
    pub(crate) fn metrics(&self, shown: &[Shown]) -> Metrics {
        let mut metrics = collector::assemble(shown);
        self.reload.export(&mut metrics);
        if let Some(pipeline) = &self.pipeline {
            pipeline.export_state(&mut metrics);
        }
        supervised::export(&mut metrics);
        let labels =
            [("version", env!("CARGO_PKG_VERSION")), ("revision", env!("TELLTALE_REVISION"))];
        metrics.add(&BUILD_INFO, &labels, 1.0);
        page_url::export(&self.page_urls, &mut metrics);
        metrics
    }
}
