"""Write docs/tables.md from what is enforced: the models' YAML, the break types, the published views.

Run by `make docs`; a test fails when the page and its sources differ.
"""

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from posrecon.validation.candidates import CANDIDATE_COLUMNS
from posrecon.warehouse.publish import VIEWS, View

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "tables.md"

MODES = {
    "append": "every night, one partition each",
    "snapshot": "the latest night",
    "latest": "the last word on every row: what is final of any night, and all of the latest",
}

HEAD = """\
# Published tables

Made by `make docs` from the models' YAML; do not edit.

Open `published/posrecon.duckdb` (schema `marts`) read-only with any DuckDB from version 1.2 on, or the
Parquet under `published/tables` with anything. The file is replaced whole after each good night: connect again to see
the new one. Money is an integer in minor units of `currency`; times are instants.

Evidence columns (`…_file`, `…_line`) name the file as received and its physical line, counted from 1; in a
bank statement, the ordinal of the entry.
"""

# The one table that Great Expectations fills, not dbt: its types are in posrecon.validation.candidates.
CANDIDATES_GRAIN = "Grain: one row per dispute rule and break that the rule marked; kept, never deleted."
CANDIDATES_MEAN = {
    "candidate_id": "Identifier of the candidate, the same on every night.",
    "break_id": "The break that was marked.",
    "rule_id": "The rule of the catalogue (expectations/rules.yml) that marked it.",
    "break_type": "See dim_break_types.",
    "severity": "high, medium or low: the order of work.",
    "run_date": "Night that marked it first.",
    "amount_at_risk_minor": "Money that the break puts at risk, not negative.",
    "currency": "ISO 4217.",
    "merchant_id": "Our id of the merchant.",
    "terminal_id": "Terminal.",
    "location": "Place of the terminal on the day of the transaction.",
    "txn_time": "Instant of the transaction; null when no record tells it.",
    "complaint_route": "First door to knock on.",
    "respond_by": "Earliest date that a clock of the route sets.",
    "validation_id": "Run of Great Expectations that marked it.",
    "terminal_file": "Received file of the terminal record.",
    "terminal_line": "Its 1-based physical line.",
    "settlement_file": "Received file of the settlement line.",
    "settlement_line": "Its 1-based physical line.",
    "bank_file": "Received bank statement.",
    "bank_line": "Ordinal of the entry in it.",
    "payout_id": "Payout that carries the money.",
    "acquirer": "unionpay, wechat or alipay.",
    "channel": "card, wechat or alipay.",
    "status": "open, or withdrawn once the break has closed.",
    "withdrawn_on": "Night on which the break had closed.",
    "withdrawn_reason": "What closed the break.",
}


def candidates() -> dict[str, Any]:
    """The table of dispute candidates, in the form of a model's YAML."""
    columns = [
        {"name": name, "data_type": data_type, "description": CANDIDATES_MEAN[name]}
        for name, data_type in CANDIDATE_COLUMNS
    ]
    return {"description": CANDIDATES_GRAIN, "columns": columns}


def models() -> dict[str, dict[str, Any]]:
    """Every mart's YAML by name."""
    found: dict[str, dict[str, Any]] = {}
    for path in sorted((ROOT / "dbt_project" / "models").rglob("*.yml")):
        for model in (yaml.safe_load(path.read_text(encoding="utf-8")) or {}).get("models", []):
            found[model["name"]] = model
    return found


def one_line(text: str) -> str:
    """Text as one table cell."""
    return " ".join(text.split()).replace("|", "\\|")


def section(view: View, model: dict[str, Any]) -> Iterator[str]:
    """One table: grain, what readers see of it, columns."""
    yield f"\n## {view.name}\n"
    yield f"{one_line(model['description'])}\n"
    yield f"Holds {MODES[view.mode]}.\n"
    yield "| column | type | meaning |"
    yield "|---|---|---|"
    for column in model["columns"]:
        yield f"| `{column['name']}` | {column['data_type']} | {one_line(column['description'])} |"


def break_types() -> Iterator[str]:
    """The words for breaks, as seeded."""
    yield "\n## Break types\n"
    yield "| break_type | family | what is wrong | 问题 | what to do first |"
    yield "|---|---|---|---|---|"
    with (ROOT / "dbt_project" / "seeds" / "break_types.csv").open(encoding="utf-8", newline="") as lines:
        for row in csv.DictReader(lines):
            cells = (row["family"], row["label_en"], row["label_zh"], row["remedy_en"])
            yield f"| `{row['break_type']}` | " + " | ".join(one_line(cell) for cell in cells) + " |"


def page() -> str:
    """The whole page."""
    known = models() | {"dispute_candidates": candidates()}
    lines = [HEAD]
    for view in VIEWS:
        lines += section(view, known.get(view.name) or known[view.partitions_of])
    lines += break_types()
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    print(f"wrote {PAGE.relative_to(ROOT)}")
