"""A dashboard's frame: variables, annotations, links, and panels packed into a grid of 24 columns."""

from grafana_foundation_sdk.builders import dashboard, text
from grafana_foundation_sdk.models import dashboard as m
from grafana_foundation_sdk.models.text import TextMode

from query import DATASOURCE, promql

TAG = "telltale"


class Board:
    """Collects sections of panels and gives them ids and places in order of appearance."""

    def __init__(self, uid: str, title: str, description: str, extra: str | None = None,
                 one_host: bool = False):
        """`extra` is the third level of the variables: user or source. On a board of one host one is chosen, never
        all. Nothing is painted over the graphs: when which alert fired has a panel of its own.
        """
        self.extra = extra
        self.tiles = []
        self.ids = 0
        self.y = 0
        self.board = (
            dashboard.Dashboard(title).uid(uid).description(description).tags([TAG])
            .readonly().tooltip(m.DashboardCursorSync.CROSSHAIR).timezone("browser")
            .refresh("1m").time("now-6h", "now"))
        self.board._internal.schema_version = 39  # what Grafana 10 knows; later ones bring it up
        for variable in variables(extra, one_host):
            self.board = self.board.with_variable(variable)
        self.board = self.board.link(
            dashboard.DashboardLink("Telltale").type(m.DashboardLinkType.DASHBOARDS).tags([TAG])
            .as_dropdown(True).include_vars(True).keep_time(True).target_blank(False)
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

    def tile_row(self, tiles):
        """The first row. Its titles have no room for a description's sign where the window is narrow, so what the
        numbers mean stands at the end of the board."""
        tiles = list(tiles)
        for tile in tiles:
            self.tiles.append(f"* **{tile._internal.title}**: {tile._internal.description}")
            tile._internal.description = None
        self.place([(3, *((tile, 24 // len(tiles)) for tile in tiles))], self.board.with_panel)

    def top(self, *lines):
        """What is seen first, without a heading: each line is its height and then (panel, width)."""
        self.place(lines, self.board.with_panel)
        return self

    def section(self, title: str, *lines, collapsed: bool = False):
        """A row with its lines."""
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
        words = (text.Panel().title("What do the numbers at the top mean?").mode(TextMode.MARKDOWN)
                 .description("What each number of the first row is, from which metric, and which alert goes with it.")
                 .datasource(DATASOURCE).content("\n".join(self.tiles)))
        self.section("What do the numbers at the top mean?", (7, (words, 24)), collapsed=True)
        return self.board.build()


def variables(extra: str | None, one_host: bool):
    """Data source, then from wide to narrow; a wider choice narrows the next list."""
    yield dashboard.DatasourceVariable("datasource").label("Data source").type("prometheus").hide(
        m.VariableHide.HIDE_LABEL)
    yield query_variable("job", "Job", "telltale_exporter_build_info", "", several=not one_host)
    yield query_variable("instance", "Instance", "telltale_exporter_build_info", 'job=~"$job"', several=not one_host)
    if extra == "user":
        yield query_variable("user", "User", "telltale_user_tasks", "@host")
    elif extra == "source":
        yield query_variable("source", "Source", "telltale_log_lines_total", "@host")


def query_variable(name: str, label: str, metric: str, matchers: str, several: bool = True):
    """All values of a label; several may be chosen, or all, or just one."""
    series = f"{metric}{{{promql(matchers)}}}" if matchers else metric
    query = f"label_values({series}, {name})"
    variable = (
        dashboard.QueryVariable(name).label(label).datasource(DATASOURCE)
        .query({"query": query, "refId": f"variable-{name}"}).definition(query)
        .multi(several).include_all(several).sort(m.VariableSort.ALPHABETICAL_ASC)
        .refresh(m.VariableRefresh.ON_TIME_RANGE_CHANGED))
    if several:
        variable = variable.all_value(".+").current(
            m.VariableOption(text=["All"], value=["$__all"], selected=True))
    return variable

