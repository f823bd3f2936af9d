"""Rules about each query, on its syntax tree. promtool remains the authority on syntax."""

import re

import promql_parser
from lint_board import ONE_HOST, variables
from queries import panels, series_of, walk

# Stand for Grafana's windows while the query is parsed; nobody writes such numbers.
WINDOWS = {"$__rate_interval": "277s", "$__range": "279s", "$__interval": "281s"}
RATES = {"rate", "irate", "increase"}
COUNTED = RATES | {"changes", "resets", "absent", "absent_over_time"}
MOST_LINES, MOST_ROWS = 20, 100
WIDE_BARS = {"5m", "10m"}
# Recorded once for all hosts of a job.
OF_JOB = {"signature:telltale_log_signature_info:max"}
# Labels with few values, so that no topk is needed.
FEW = {"state", "severity", "verdict", "collector", "ceiling", "method"}
# Which series have the label that the third variable chooses.
EXTRA = {
    "user": re.compile(r"(telltale_user_(?!s)|user:)"),
    "source": re.compile(r"telltale_log_(lines|bytes|unmatched|rotations|lost|lag|last_line|source_)"),
}


def parsed(expr):
    """The tree of a query in which windows have numbers; $job and such are plain strings."""
    for name, number in WINDOWS.items():
        expr = expr.replace(name, number)
    return promql_parser.parse(expr)


def kind(node):
    return type(node).__name__


def window(node):
    """The window of a range selector as it was written, or in seconds."""
    number = f"{int(node.range.total_seconds())}s"
    return {value: name for name, value in WINDOWS.items()}.get(number, number)


def above(parents):
    """The nearest parent that is no parenthesis."""
    return next((each for each in reversed(parents) if kind(each) != "ParenExpr"), None)


def bare(node):
    return bare(node.expr) if kind(node) == "ParenExpr" else node


def target_rate_interval(tree, context):
    """Rates follow the zoom; an increase may also span the whole time, a bar of 5 minutes or more, or stand in a
    subquery."""
    bars = context.query.get("interval") in WIDE_BARS
    for node, parents in walk(tree):
        if kind(node) == "Call" and node.func.name in RATES:
            span = window(node.args[0])
            in_subquery = any(kind(each) == "SubqueryExpr" for each in parents)
            whole = node.func.name == "increase" and (
                span == "$__range" or in_subquery or (bars and span == "$__interval"))
            if span != "$__rate_interval" and not whole:
                yield f"{node.func.name} over {span} instead of $__rate_interval"


def target_least_step(tree, context):
    """Grafana takes the least step for the scrape interval; its own 15 s are too short for scrapes each minute."""
    if not context.query.get("instant") and context.query.get("interval") not in {"1m", *WIDE_BARS}:
        yield "no least step: rates of targets that are scraped each minute are empty"


def target_counter_agg(tree, _):
    """Counters are never shown raw, and nothing else is taken for one.

    One raw use is meant: a counter that was not there a window ago counts in full (query.gained).
    """
    for node, parents in walk(tree):
        if kind(node) != "VectorSelector":
            continue
        if any(kind(each) == "AggregateExpr" and str(each.op) in ("count", "group") for each in parents):
            continue  # how many, not how much
        # A sum of counters that is recorded, `instance:…_total:sum`, is one too.
        counter = (node.name or "").removesuffix(":sum").endswith("_total")
        call = next((each.func.name for each in reversed(parents) if kind(each) == "Call"), None)
        near = above(parents)
        born = kind(near) == "BinaryExpr" and str(near.op) == "unless" and \
            getattr(bare(near.lhs), "name", None) == getattr(bare(near.rhs), "name", "")
        if counter and call not in COUNTED and not born:
            yield f"{node.name} is a counter and shown raw"
        if not counter and call in RATES:
            yield f"{node.name} is no counter, but {call} is taken of it"


def target_job_instance(tree, _):
    """Every selector follows the choice of job and instance."""
    for node, _ in walk(tree):
        if kind(node) == "VectorSelector":
            found = {(each.name, str(each.op), each.value) for each in node.matchers.matchers}
            for name in ("job",) if node.name in OF_JOB else ("job", "instance"):
                if (name, "MatchOp.Re", f"${name}") not in found:
                    yield f'{node.name} has no {name}=~"${name}"'


def target_extra(tree, context):
    """... and of user or source, where the dashboard has it and the series too."""
    for name, pattern in EXTRA.items():
        if name not in variables(context.board):
            continue
        for node, _ in walk(tree):
            if kind(node) == "VectorSelector" and pattern.match(node.name or "") and not any(
                    each.name == name for each in node.matchers.matchers):
                yield f'{node.name} has no {name}=~"${name}"'


def target_division(tree, _):
    """Nothing is divided by what may be 0."""
    for node, _ in walk(tree):
        if kind(node) == "BinaryExpr" and str(node.op) == "/":
            by = bare(node.rhs)
            guarded = kind(by) == "BinaryExpr" and str(by.op) == ">"
            if not guarded and kind(by) != "NumberLiteral":
                yield "a division by what may be 0: write / (… > 0)"


def target_variables(context):
    """Queries, titles and legends use variables that exist."""
    known = set(variables(context.board)) | {name.strip("$") for name in WINDOWS}
    for panel, _, _ in panels(context.board):
        for each in panel.get("targets") or []:
            for name in re.findall(r"\$\{?([A-Za-z_]\w*)", each.get("expr", "")):
                if name not in known:
                    yield f"{panel.get('title')!r} {each.get('refId')}: no variable ${name}"


def target_bounded(tree, context):
    """At most 20 lines in a graph and 100 rows of a topk, whatever the number of hosts."""
    most = MOST_ROWS if context.panel["type"] == "table" else MOST_LINES
    bounds = [node.param.val for node, _ in walk(tree)
              if kind(node) == "AggregateExpr" and str(node.op) in ("topk", "bottomk")]
    for bound in bounds:
        if bound > most:
            yield f"topk of {bound:g}, more than {most}"
    if context.panel["type"] not in ("timeseries", "bargauge", "state-timeline") or bounds:
        return
    top = bare(tree)
    if kind(top) == "BinaryExpr" and kind(bare(top.rhs)) == "NumberLiteral":
        top = bare(top.lhs)  # sum by (…) (…) > 0
    by = set()
    if context.board["uid"] == ONE_HOST and (getattr(top, "name", None) or "").startswith("instance:"):
        return  # of one host, one series or a few
    if kind(top) == "AggregateExpr" and top.modifier is not None:
        by = set(top.modifier.labels)
    elif kind(top) != "AggregateExpr":
        by = {"everything"}
    if not by <= FEW:
        yield f"a line for each {', '.join(sorted(by - FEW))}: use topk"


RULES = [target_rate_interval, target_least_step, target_counter_agg, target_job_instance, target_extra, target_division,
         target_bounded]


def target_promql(context):
    """Every query of panels, annotations and variables can be parsed."""
    for panel, _, _ in panels(context.board):
        for each in panel.get("targets") or []:
            yield from syntax(f"{panel.get('title')!r} {each.get('refId')}", each.get("expr", ""))
    for each in context.board["annotations"].get("list", []):
        yield from syntax(f"annotation {each['name']}", each.get("expr", ""))
    for name, each in variables(context.board, "query").items():
        query = each["query"]["query"] if isinstance(each["query"], dict) else each["query"]
        if not query.startswith("label_values("):
            yield f"variable {name}: not label_values()"
        yield from syntax(f"variable {name}", series_of(query))


def syntax(where, expr):
    try:
        parsed(expr)
    except ValueError as error:
        yield f"{where}: {error}: {expr}"


def all_of(rule, context):
    """A rule over every query of a dashboard that can be parsed."""
    for context.panel, _, _ in panels(context.board):
        for each in context.panel.get("targets") or []:
            context.query = each
            try:
                tree = parsed(each.get("expr", ""))
            except ValueError:
                continue  # target_promql says so
            for message in rule(tree, context):
                yield f"{context.panel.get('title')!r} {each.get('refId')}: {message}"
