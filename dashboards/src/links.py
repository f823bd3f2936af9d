"""Ways from a panel to the dashboard that knows more, with the host and the time that were looked at."""

BASE = "datasource=${datasource}"
ON = {
    "users": "Users and processes", "audit": "Audit", "logs": "Logs", "exporter": "Exporter health",
    "fleet": "Fleet", "host": "Host",
}
# Where the pages of the alerts can be read without a host.
RUNBOOKS = "https://github.com/telltale-exporter/telltale_exporter/blob/main/deploy/runbooks"
OWN_PAGE = {"title": "The host's own page", "url": "${__field.labels.url}", "targetBlank": True}
RUNBOOK = {"title": "What to do: the runbook", "url": RUNBOOKS + "/${__data.fields.alertname}.md", "targetBlank": True}


def url(board: str, job: str, instance: str, more: str = "") -> str:
    """The address of a dashboard for one host."""
    return (f"/d/telltale-{board}?var-{BASE}&var-job={job}&var-instance={instance}{more}"
            "&${__url_time_range}")


def from_row(board: str, title: str | None = None, **more: str) -> dict:
    """Of a table's row, whose columns have the labels."""
    extra = "".join(f"&var-{name}=${{__data.fields.{field}}}" for name, field in more.items())
    address = url(board, "${__data.fields.job}", "${__data.fields.instance}", extra)
    return {"title": title or f"{ON[board]} of ${{__data.fields.host}}", "url": address}


def from_series(board: str, title: str | None = None, **more: str) -> dict:
    """Of a line or bar, whose series has the labels."""
    extra = "".join(f"&var-{name}=${{__field.labels.{label}}}" for name, label in more.items())
    address = url(board, "${__field.labels.job}", "${__field.labels.instance}", extra)
    return {"title": title or f"{ON[board]} of ${{__field.labels.instance}}", "url": address}


def whole(board: str) -> dict:
    """With the selection as it stands."""
    chosen = "${job:queryparam}&${instance:queryparam}"
    return {"title": ON[board], "url": f"/d/telltale-{board}?var-{BASE}&{chosen}&${{__url_time_range}}"}
