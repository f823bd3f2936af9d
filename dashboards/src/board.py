"""A dashboard's frame: variables, annotations, links, and panels packed into a grid of 24 columns."""

from grafana_foundation_sdk.builders import dashboard
from grafana_foundation_sdk.models import dashboard as m

from query import ALERTS, DATASOURCE, OURS, promql

TAG = "telltale"


class Board:
    """Collects sections of panels and gives them ids and places in order of appearance."""

    def __init__(self, uid: str, title: str, description: str, extra: str | None = None):
        """`extra` is the third level of the variables: user or source."""
        self.extra = extra
        self.ids = 0
        self.y = 0
        self.board = (
            dashboard.Dashboard(title).uid(uid).description(description).tags([TAG])
            .readonly().tooltip(m.DashboardCursorSync.CROSSHAIR).timezone("browser")
            .refresh("1m").time("now-6h", "now"))
        self.board._internal.schema_version = 39  # what Grafana 10 knows; later ones bring it up
        for variable in variables(extra):
            self.board = self.board.with_variable(variable)
        for annotation in annotations():
            self.board = self.board.annotation(annotation)
        self.board = self.board.link(
            dashboard.DashboardLink("Telltale").type(m.DashboardLinkType.DASHBOARDS).tags([TAG])
            .as_dropdown(False).include_vars(True).keep_time(True).target_blank(False)
            .icon("external link").tooltip("The other dashboards, with this selection and time"))

    def next_id(self) -> int:
        self.ids += 1
        return self.ids

    def place(self, lines, add):
        """Lines of (panel, width), all panels of a line with the same height."""
        for height, *line in lines:
            if sum(width for _, width in line) != 24:
                raise ValueError(f"a line of {[p._internal.title for p, _ in line]} is not 24 wide")
            x = 0
            for panel, width in line:
                panel = panel.id(self.next_id()).grid_pos(m.GridPos(h=height, w=width, x=x, y=self.y))
                add(panel)
                x += width
            self.y += height

    def section(self, title: str, *lines, collapsed: bool = False):
        """A row with its lines; each line is its height and then (panel, width)."""
        row = dashboard.Row(title).id(self.next_id()).collapsed(collapsed)
        row = row.grid_pos(m.GridPos(h=1, w=24, x=0, y=self.y))
        self.y += 1
        if collapsed:
            below = self.y
            self.place(lines, row.with_panel)
            self.board = self.board.with_row(row)
            self.y = below  # a closed row takes one line; its panels are placed as if it were open
        else:
            self.board = self.board.with_row(row)
            self.place(lines, self.board.with_panel)
        return self

    def build(self) -> m.Dashboard:
        return self.board.build()


def variables(extra: str | None):
    """Data source, then from wide to narrow; a wider choice narrows the next list."""
    yield dashboard.DatasourceVariable("datasource").label("Data source").type("prometheus")
    yield query_variable("job", "Job", "telltale_exporter_build_info", "")
    yield query_variable("instance", "Instance", "telltale_exporter_build_info", 'job=~"$job"')
    if extra == "user":
        yield query_variable("user", "User", "telltale_user_tasks", "@host")
    elif extra == "source":
        yield query_variable("source", "Source", "telltale_log_lines_total", "@host")


def query_variable(name: str, label: str, metric: str, matchers: str):
    """All values of a label; several may be chosen, or all."""
    series = f"{metric}{{{promql(matchers)}}}" if matchers else metric
    query = f"label_values({series}, {name})"
    return (
        dashboard.QueryVariable(name).label(label).datasource(DATASOURCE)
        .query({"query": query, "refId": f"variable-{name}"}).definition(query)
        .multi(True).include_all(True).all_value(".+").sort(m.VariableSort.ALPHABETICAL_ASC)
        .refresh(m.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .current(m.VariableOption(text=["All"], value=["$__all"], selected=True)))


def annotations():
    """What happened meanwhile."""
    alerts = f'ALERTS{{{ALERTS}, alertstate="firing", @host}}'
    yield annotation("Firing alerts", alerts, "red", "{{alertname}}",
                     "{{severity}}: {{instance}} {{user}}{{source}}{{signature}}")
    yield annotation("Exporter restarts", f"process_start_time_seconds{{@host}} * 1000 {OURS}", "blue",
                     "Exporter started", "{{instance}}", value_is_time=True)
    info = "telltale_exporter_build_info{@host}"
    yield annotation(
        "Exporter version changes",
        f"({info} unless on (job, instance, version, revision) {info} offset 5m)"
        f" and on (job, instance) {info} offset 5m",
        "purple", "Exporter is now {{version}}", "{{instance}}")


def annotation(name, expr, colour, title, text, value_is_time=False):
    """A query whose results mark the time axis; it has a switch at the top."""
    query = (dashboard.AnnotationQuery().name(name).datasource(DATASOURCE).enable(True).hide(False)
             .icon_color(colour).expr(promql(expr)).step("60s").title_format(title).text_format(text)
             .tag_keys("severity,job,instance"))
    return query.use_value_for_time(True) if value_is_time else query
