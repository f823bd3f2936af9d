//! The runbooks from the binary: a closed network has no other place to read them.

/// Name and text of each.
macro_rules! runbooks {
    ($($name:literal,)*) => {
        [$(($name, include_str!(concat!("../../deploy/runbooks/", $name, ".md")))),*]
    };
}

const RUNBOOKS: [(&str, &str); 42] = runbooks![
    "TelltaleAuditBacklogHigh",
    "TelltaleAuditBlind",
    "TelltaleAuditDaemonGone",
    "TelltaleAuditLosingRecords",
    "TelltaleAuditNobodyListening",
    "TelltaleAuditOff",
    "TelltaleAuditRuleMissing",
    "TelltaleAuditStallingCallers",
    "TelltaleAuditTurnedOff",
    "TelltaleCgroupForksRejected",
    "TelltaleCgroupNearLimit",
    "TelltaleCgroupsPressed",
    "TelltaleCollectorFailing",
    "TelltaleConfigNotReloaded",
    "TelltaleExporterAbsent",
    "TelltaleExporterDown",
    "TelltaleExporterOutdated",
    "TelltaleExporterRestarting",
    "TelltaleForksFailing",
    "TelltaleHostNearTaskLimit",
    "TelltaleLeakPredicted",
    "TelltaleLogBytesLost",
    "TelltaleLogMessagesLost",
    "TelltaleLogSignatureBulk",
    "TelltaleLogSignatureCritical",
    "TelltaleLogSourceDown",
    "TelltaleLogSourceSilent",
    "TelltaleLogSourceStalled",
    "TelltaleLogSourcesNone",
    "TelltaleLogUnknownErrorsSurging",
    "TelltaleLoginFails",
    "TelltaleLogrotateFailing",
    "TelltaleLogrotateStale",
    "TelltaleNamespaceNearLimit",
    "TelltaleOomKill",
    "TelltaleProcessKilled",
    "TelltaleStateNotWritten",
    "TelltaleThreadPanicked",
    "TelltaleUserCannotFork",
    "TelltaleUserExhaustionPredicted",
    "TelltaleUserNearLimit",
    "TelltaleZombiesPilingUp",
];

/// The page of an alert; `.md` at its end is the same one, for so they link to each other.
pub(crate) fn find(name: &str) -> Option<&'static str> {
    let name = name.strip_suffix(".md").unwrap_or(name);
    RUNBOOKS.iter().find(|(known, _)| *known == name).map(|(_, text)| *text)
}

/// Their names, one a line.
pub(crate) fn list() -> String {
    let lines: Vec<_> = RUNBOOKS.iter().map(|(name, _)| format!("/runbooks/{name}")).collect();
    lines.join("\n") + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_there_by_its_name_and_no_other() {
        let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/runbooks");
        let files = std::fs::read_dir(directory).unwrap().flatten();
        let mut names: Vec<_> = files.map(|file| file.file_name().into_string().unwrap()).collect();
        names.sort();
        let ours: Vec<_> = RUNBOOKS.iter().map(|(name, _)| format!("{name}.md")).collect();
        assert_eq!(ours, names);
        assert!(find("TelltaleOomKill").unwrap().starts_with("# TelltaleOomKill\n"));
        assert_eq!(find("TelltaleOomKill.md"), find("TelltaleOomKill"));
        for strange in ["", "../README", "TelltaleOomKill/", "telltaleoomkill"] {
            assert_eq!(find(strange), None, "{strange}");
        }
    }
}
