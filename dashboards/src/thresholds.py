"""The numbers at which something is bad: the same as in the alerts.

check.py compares each with the rules: every step of a panel's thresholds must be a number in the
expression of an alert that the panel's description names.
"""

from dataclasses import dataclass

from grafana_foundation_sdk.builders import dashboard
from grafana_foundation_sdk.models import dashboard as model

ORANGE, RED, BLUE, PURPLE = "orange", "red", "blue", "purple"
GREY = "#8e8e8e"  # neither good nor bad; readable on light and dark
# A wall is dark when nothing is wrong: what is well has no colour.
CALM = "transparent"  # behind a number
TEXT = "text"  # of a number
FAINT = "rgba(142, 142, 142, 0.25)"  # of an area

# An alert says «more than n», Grafana's steps «n or more»: of what is counted in wholes, just over n.
JUST = 0.001


@dataclass(frozen=True)
class Level:
    """From where on it is a warning and from where on critical, and the alerts that say so."""

    warning: float | None = None
    critical: float | None = None
    alerts: tuple[str, ...] = ()
    below: bool = False  # bad is *under* the number

    def bounds(self) -> list[tuple[float, str]]:
        """Number and colour, upwards."""
        found = [(self.warning, ORANGE), (self.critical, RED)]
        return sorted((value, colour) for value, colour in found if value is not None)

    def drawn(self) -> bool:
        """Whether a line in a graph says something: one at «more than none» does not."""
        return any(value > JUST for value, _ in self.bounds())

    def steps(self, calm: str = CALM) -> dashboard.ThresholdsConfig:
        """As Grafana wants it: colours from minus infinity upwards; `calm` is that of what is well."""
        bounds = self.bounds()
        values = [None] + [value for value, _ in bounds]
        colours = [colour for _, colour in bounds]
        colours = colours + [calm] if self.below else [calm] + colours
        steps = [model.Threshold(value=v, color=c) for v, c in zip(values, colours)]
        return dashboard.ThresholdsConfig().mode(model.ThresholdsMode.ABSOLUTE).steps(steps)

    def sentence(self) -> str:
        """What the description says about it."""
        if not self.alerts:
            return ""
        return f" {'Alert' if len(self.alerts) == 1 else 'Alerts'}: {', '.join(self.alerts)}."


def some(*alerts: str, critical: bool = False) -> Level:
    """Anything at all is bad."""
    return Level(critical=JUST, alerts=alerts) if critical else Level(warning=JUST, alerts=alerts)


NONE = Level()
ANY_CRITICAL, ANY_WARNING = Level(critical=JUST), Level(warning=JUST)  # of alerts themselves

# Users and processes. USER_PRESSED: only past this share do trends and commands matter.
USER_PRESSED = 0.5
USER_USE = Level(0.80, 0.95, ("TelltaleUserNearLimit",))
USERS_NEAR = some("TelltaleUserNearLimit")
USER_TIME_LEFT = Level(warning=3600, alerts=("TelltaleUserExhaustionPredicted",), below=True)
USER_BLOCKED = some("TelltaleUserCannotFork", critical=True)
FORKS_LEFT = Level(critical=JUST, alerts=("TelltaleUserCannotFork",), below=True)
FAILED_FORKS = some("TelltaleForksFailing")
CGROUP_USE = Level(0.80, 0.95, ("TelltaleCgroupNearLimit",))
# Where people log in the first one is critical.
CGROUP_REJECTED = Level(JUST, 10 + JUST, ("TelltaleCgroupForksRejected",))
HOST_USE = Level(0.80, 0.95, ("TelltaleHostNearTaskLimit",))
ANY_USE = Level(0.80, 0.95, USER_USE.alerts + CGROUP_USE.alerts + HOST_USE.alerts)
ZOMBIES = Level(warning=20, alerts=("TelltaleZombiesPilingUp",))

# Audit
BACKLOG = Level(0.5, 0.9, ("TelltaleAuditBacklogHigh",))
AUDIT_LOST = some("TelltaleAuditLosingRecords", critical=True)
AUDIT_BLIND = some("TelltaleAuditOff", "TelltaleAuditNobodyListening", "TelltaleAuditBlind",
                   critical=True)
AUDIT_OFF = some("TelltaleAuditOff", "TelltaleAuditTurnedOff", critical=True)
AUDIT_UNHEARD = some("TelltaleAuditNobodyListening", "TelltaleAuditDaemonGone", critical=True)
AUDIT_STALLS = Level(critical=250, alerts=("TelltaleAuditStallingCallers",))
AUDIT_AGE = Level(warning=300, alerts=("TelltaleAuditBlind",))
AUDIT_CHANGED = Level(alerts=("TelltaleAuditTurnedOff", "TelltaleAuditDaemonGone"))
RULE_GONE = some("TelltaleAuditRuleMissing")
KILLED = some("TelltaleProcessKilled")
SIGKILL = Level(alerts=("TelltaleProcessKilled",))

# Logs
ACT = some("TelltaleLogSignatureCritical", "TelltaleLogSignatureBulk")
CRITICAL_SIGNATURE = some("TelltaleLogSignatureCritical", "TelltaleOomKill", critical=True)
OOM_OF_CGROUP = "kernel-memcg-oom-kill|systemd-oomd-kill"  # warnings, unless it goes on
UNKNOWN = Level(alerts=("TelltaleLogUnknownErrorsSurging",))
SOURCE_DOWN = some("TelltaleLogSourceDown")
NO_SOURCE = Level(alerts=("TelltaleLogSourcesNone",))
NOT_READ = some("TelltaleLogSourceDown", "TelltaleLogSourcesNone")
SOURCE_SILENT = Level(alerts=("TelltaleLogSourceSilent",))
LAG = Level(warning=65536, alerts=("TelltaleLogSourceStalled",))
BYTES_LOST, MESSAGES_LOST = some("TelltaleLogBytesLost"), some("TelltaleLogMessagesLost")
LOG_LOST = some(*BYTES_LOST.alerts, *MESSAGES_LOST.alerts)
LOGROTATE_STALE = Level(warning=50 * 3600, alerts=("TelltaleLogrotateStale",))

# The exporter itself
EXPORTER_DOWN = some("TelltaleExporterDown", critical=True)
EXPORTER_DOWN_OF_ONE = Level(critical=JUST, alerts=EXPORTER_DOWN.alerts, below=True)
RESTARTING = Level(warning=2 + JUST, alerts=("TelltaleExporterRestarting",))
COLLECTOR_FAILING = some("TelltaleCollectorFailing")
PANICS = Level(alerts=("TelltaleThreadPanicked",))
STATE_WRITES = some("TelltaleStateNotWritten")
CONFIG_REFUSED = some("TelltaleConfigNotReloaded")
PARTIAL = NONE
