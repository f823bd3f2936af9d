"""What to do about a log line, from the built-in catalogue: a column of the table of matches.

Advice is no label of a metric (it is long, and changes). The catalogue is read when the dashboards are
generated, so a changed catalogue asks for `generate.py` to be run again.
"""

import os
from pathlib import Path

import yaml
from grafana_foundation_sdk.models import dashboard as m

HERE = Path(__file__).resolve().parent
CATALOG = Path(os.environ.get("TELLTALE_CATALOG", HERE.parent.parent / "src" / "signatures" / "catalog"))


def advice() -> list:
    """Signature ids to advice; harmless ones share a sentence, unknown ones point to the page."""
    texts, harmless = {}, []
    for path in sorted(CATALOG.rglob("*.yml")):
        for each in yaml.safe_load(path.read_text()):
            if each["verdict"] == "harmless":
                harmless.append(each["id"])
            else:
                texts[each["id"]] = " ".join(each["advice"].split())
    if not texts:
        raise SystemExit(f"no signatures in {CATALOG}: set TELLTALE_CATALOG to the catalogue")
    for name in sorted(harmless):
        texts[name] = "Nothing to do."
    options = {name: m.ValueMappingResult(text=text, index=index)
               for index, (name, text) in enumerate(sorted(texts.items()))}
    rest = m.ValueMappingResult(text="See the exporter's page.", index=len(options))
    return [m.ValueMap(options=options),
            m.RegexMap(options=m.DashboardRegexMapOptions(pattern="/.*/", result=rest))]
