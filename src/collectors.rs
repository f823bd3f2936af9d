//! The table of collectors, and the flags that switch each of them.

use std::collections::BTreeSet;

use clap::{Arg, ArgAction, ArgMatches, Args, Command, FromArgMatches};

macro_rules! collectors {
    ($($variant:ident, $name:literal, $about:literal;)*) => {
        /// Every collector: one that is not among them cannot be asked for.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub(crate) enum CollectorName {
            $(#[doc = $about] $variant,)*
        }

        impl CollectorName {
            /// All of them, in the order of their names.
            pub(crate) const ALL: &[Self] = &[$(Self::$variant,)*];

            /// The name that flags, `collect[]` and the `collector` label have.
            pub(crate) const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }

            /// The flags that switch it on and off.
            const fn flags(self) -> [&'static str; 2] {
                match self {
                    $(Self::$variant => {
                        [concat!("collector.", $name), concat!("no-collector.", $name)]
                    })*
                }
            }

            /// What it shows, in a few words.
            const fn about(self) -> &'static str {
                match self {
                    $(Self::$variant => $about,)*
                }
            }
        }
    };
}

// A new one is a line here, and what starts it in `exporter`.
collectors! {
    Audit, "audit", "the kernel's audit queue and who empties it";
    AuditEvents, "audit_events", "what audit records tell: kills, failed forks, auditing weakened";
    Cgroups, "cgroups", "pids cgroups against their limits";
    Host, "host", "all tasks against `pid_max` and threads-max";
    Logrotate, "logrotate", "when it last ran, and last rotated each log";
    Logs, "logs", "log lines whose meaning is known";
    Process, "process", "what the exporter itself uses";
    Users, "users", "tasks of each user against its limits";
}

/// Which collectors the command line switches off: all are on by default, and of several flags the last holds.
#[derive(Debug, Clone, Default)]
pub(crate) struct Switches {
    off: BTreeSet<CollectorName>,
}

impl Switches {
    /// Whether this collector is on.
    pub(crate) fn is_on(&self, collector: CollectorName) -> bool {
        !self.off.contains(&collector)
    }
}

impl Args for Switches {
    fn augment_args(mut command: Command) -> Command {
        for &name in CollectorName::ALL {
            let [on, off] = name.flags();
            let (id, about) = (name.as_str(), name.about());
            let enable = format!("Enable the {id} collector: {about} (default)");
            let disable = format!("Disable the {id} collector");
            let flag = |own: &'static str, other: &'static str, help: String| {
                Arg::new(own).long(own).overrides_with(other).action(ArgAction::SetTrue).help(help)
            };
            command = command.arg(flag(on, off, enable)).arg(flag(off, on, disable));
        }
        command
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for Switches {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let mut switches = Self::default();
        switches.update_from_arg_matches(matches)?;
        Ok(switches)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        let is_off = |name: &CollectorName| matches.get_flag(name.flags()[1]);
        self.off = CollectorName::ALL.iter().copied().filter(is_off).collect();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_in_order_and_of_several_flags_the_last_holds() {
        assert!(CollectorName::ALL.is_sorted_by_key(|name| name.as_str()));
        let parse = |words: &[&str]| {
            let words = std::iter::once(&"test").chain(words);
            let matches = Switches::augment_args(Command::new("test")).try_get_matches_from(words);
            Switches::from_arg_matches(&matches.unwrap()).unwrap()
        };
        assert!(CollectorName::ALL.iter().all(|name| parse(&[]).is_on(*name)));
        let off =
            parse(&["--no-collector.audit_events", "--no-collector.logs", "--collector.logs"]);
        assert!(off.is_on(CollectorName::Logs) && off.is_on(CollectorName::Audit));
        assert!(!off.is_on(CollectorName::AuditEvents));
    }
}
