//! The collectors of what the sources have counted: `logs` and `audit_events`.

use super::View;
use crate::collector::{Collector, Error, Found};
use crate::collectors::CollectorName;
use crate::live::lock;
use crate::metrics::Desc;
use crate::signatures::metrics::export_signature;
use crate::sources::metrics::export_source;
use crate::sources::status::Status;
use crate::user_names::Shown;

/// Shown also where there is none.
const SOURCES: Desc = Desc::gauge(
    "telltale_log_sources",
    "Log sources of which something can be read now; 0: nothing is known of the logs.",
);

/// Collector `logs`: log lines whose meaning is known.
pub(super) struct LogLines(pub View);

/// Collector `audit_events`: what the records of the audit subsystem tell.
pub(super) struct AuditEvents {
    pub view: View,
    pub names: Shown,
}

/// What is shown of sources whatever their lines mean.
fn export_sources(statuses: &[Status], found: &mut Found) {
    for status in statuses {
        export_source(status, &mut found.metrics);
        found.warnings.extend(status.warnings());
    }
}

impl Collector for LogLines {
    fn name(&self) -> &'static str {
        CollectorName::Logs.as_str()
    }

    fn collect(&mut self, found: &mut Found) -> Result<(), Error> {
        let Self(view) = self;
        let counted = view.save();
        let sources = counted.line_sources();
        if sources.is_empty() {
            found.warnings.push(view.choice.clone());
        }
        found.warnings.extend(view.doubles.iter().cloned());
        export_sources(&sources, found);
        let all =
            sources.iter().chain(&counted.event_sources()).filter(|one| one.is_readable()).count();
        found.metrics.add(&SOURCES, &[], all as f64);
        if !counted.any_line_was_read() {
            // At 0 they would say that nothing happened.
            return Ok(());
        }
        let matcher = view.meanings.matcher.get();
        for (signature, matched) in counted.signatures(&matcher) {
            export_signature(signature, matched.as_ref(), &mut found.metrics);
        }
        Ok(())
    }
}

impl Collector for AuditEvents {
    fn name(&self) -> &'static str {
        CollectorName::AuditEvents.as_str()
    }

    fn collect(&mut self, found: &mut Found) -> Result<(), Error> {
        let Self { view, names } = self;
        let counted = view.save();
        let sources = counted.event_sources();
        export_sources(&sources, found);
        let Some((_, source)) = counted.events.first() else {
            found.warnings.push(format!("no source brings audit events ({})", view.choice));
            return Ok(());
        };
        let mut uids = lock(&view.recent).uids();
        uids.extend(source.counts.sink.uids());
        if !uids.is_empty() {
            view.names.set(lock(names).resolve(&uids).clone());
        }
        source.counts.sink.export(&view.names.get(), &mut found.metrics);
        Ok(())
    }
}
