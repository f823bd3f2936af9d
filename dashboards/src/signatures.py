"""Lines of known meaning: what they mean, how often they came, and what is to be done."""

from alerts import SEVERITY
from query import matched, of_lines
from tables import column, lettered, table

INFO = "signature:telltale_log_signature_info:max{job=~\"$job\"}"
# Versions may say it in different words: one of them.
TITLED = f"on (signature) group_left (title, advice) topk by (signature) (1, max by (signature, title, advice) ({INFO}))"


def what_to_do(title: str, one_host: bool = False):
    by = "signature, severity, verdict"
    wanted = 'verdict=~"act|watch"'
    seen = f"last_over_time({of_lines(wanted)}[$__range])"
    times = f"sum by ({by}) ({matched(wanted)})"
    rows = [
        ("Lines", f"topk(50, {times} * {TITLED} or on (signature) {times})", column("locale", 0, width=75)),
        ("Hosts", f"count by ({by}) (count by ({by}, job, instance) ({seen}))", column("none", 0, width=65)),
        ("Last", f"1000 * max by (signature) (telltale_log_signature_last_match_timestamp_seconds{{@host}}"
         f" and on (job, instance, signature) ({seen}))", column(unit="dateTimeFromNow", width=140, left=True)),
    ]
    if one_host:
        rows.pop(1)
    columns = {
        "severity": ("Severity", column(mappings=[SEVERITY], width=110)),
        "title": ("Meaning", column(width=250, wrap=True)),
        "advice": ("What to do", column(wrap=True)),
    } | lettered(rows) | {"verdict": ("Verdict", column(width=80))}
    return table(
        title, "Lines of the selected time that ask to act or to be watched, one row a signature, critical ones first"
        " (telltale_log_signature_matches_total, telltale_log_signature_info). The advice is cut to its first"
        " sentences; `telltale_exporter signatures` and the exporter's page have all of it.",
        [expr for _, expr, _ in rows], columns, sort=[("Severity", False), ("Last", True)], host=False, tall=True, hide=("signature",),
        no_value="no line of the selected time asks for anything")
