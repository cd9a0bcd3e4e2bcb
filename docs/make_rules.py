"""Write docs/rules.md from the rule catalogue, its examples and the dated reference tables (`make docs`)."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from posrecon.reference_tables import FOREVER, ReferenceRow, read_table
from posrecon.validation.catalogue import Catalogue, Rule, load
from posrecon.validation.policy import MATERIALITY, ROUTES

ROOT = Path(__file__).resolve().parents[1]
EXPECTATIONS = ROOT / "expectations"
PAGE = ROOT / "docs" / "rules.md"

HEAD = """\
# Rules

Made by `make docs` from `expectations/rules.yml` and `expectations/examples.yml`; do not edit. A test runs every rule
over both of its examples.

A data-quality rule of severity *error* stops the night and nothing is published; a *warning* is reported. A dispute
rule never stops a night: what it marks becomes a dispute candidate, and its severity orders the work. Owners: *data* =
the data team, *finance* = the finance team, *stores* = the people who run the tills. Money is in minor units.
"""
SIDE_TABLES = {
    "files": "raw.files",
    "expected_files": "raw.expected_files",
    "ledger_entries": "raw.ledger_entries",
    "merchants": "raw.merchants",
    "bank_statements": "raw.bank_statements",
    "statement_gaps": "marts.fct_statement_gaps",
    "withdrawals": "marts.fct_withdrawals",
    "materiality": "policy.materiality",
}


def examples() -> dict[str, Any]:
    """The examples and the relations that they are rows of."""
    content: dict[str, Any] = yaml.safe_load((EXPECTATIONS / "examples.yml").read_text(encoding="utf-8"))
    return content


def cell(value: Any) -> str:
    """A value as a cell of a table."""
    if value is None:
        return "–"
    text = str(value).lower() if isinstance(value, bool) else str(value)
    return f"`{text}`".replace("|", "\\|")


def rows_table(relation: str, rows: list[dict[str, Any]]) -> Iterator[str]:
    """Some rows as a table; a column is shown when a row speaks of it."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    if names:
        yield ""
        yield f"| {relation}: " + " | ".join(names) + " |"
        yield "|" + "---|" * len(names)
        yield from ("| " + " | ".join(cell(row.get(name)) for name in names) + " |" for row in rows)


def example(title: str, rule: Rule, one: dict[str, Any], relation: dict[str, Any]) -> Iterator[str]:
    """One example: what it says, then the rows that say it."""
    yield ""
    yield f"**{title}** {one['says']}"
    table = relation["table"].rpartition(".")[2]
    rows = one["rows"]
    if rule.is_dispute:
        shown = ("amount_at_risk_minor", "currency", "status", "age_days", "file_missing")
        rows = [{name: ({**relation["like"], **row})[name] for name in shown} for row in rows]
    yield from rows_table(table, rows)
    for name, side in SIDE_TABLES.items():
        if one.get(name):
            yield from rows_table(side.rpartition(".")[2], one[name])
    for name, data_type in one.get("types", {}).items():
        yield f"\nThe type of `{name}` is {data_type}."
    bounds = list(one.get("parameters", {}).values())
    if bounds:
        high = "any number" if bounds[1] is None else bounds[1]
        yield f"\n{len(one['rows'])} row{'s' if len(one['rows']) > 1 else ''}; allowed are {bounds[0]} to {high}."


def span(row: ReferenceRow) -> str:
    """From when to when a reference row holds."""
    until = f" to {row.last_day}" if row.last_day < FOREVER else ""
    return f"from {row.first_day}{until}"


def materiality(rule: Rule, rows: tuple[ReferenceRow, ...]) -> str:
    """From when on a finding of a rule counts: its own rows, else those of all rules."""
    if not rule.is_dispute:
        return rule.materiality
    own = [row for row in rows if row.values["rule_id"] == rule.rule_id]
    parts = []
    for row in own or [row for row in rows if row.values["rule_id"] == "*"]:
        money = "any currency" if row.values["currency"] == "*" else row.values["currency"]
        parts.append(
            f"{row.values['min_amount_minor']} minor units of {money} and {row.values['min_age_days']} days "
            f"({span(row)}: {row.values['reason']})"
        )
    return "; ".join(parts)


def section(rule: Rule, content: dict[str, Any], rows: tuple[ReferenceRow, ...]) -> Iterator[str]:
    """One rule."""
    yield f"\n### {rule.rule_id}\n"
    yield " ".join(part for part in (rule.description, rule.notes) if part)
    yield ""
    yield rule.explanation_zh
    yield ""
    yield "| | |"
    yield "|---|---|"
    facts = {
        "severity": rule.severity,
        "owner": rule.owner,
        "break type": f"`{rule.break_type}`" if rule.break_type else "",
        "materiality": materiality(rule, rows),
        "route": " → ".join((rule.route, *rule.escalation)) if rule.route else "",
        "what to do": rule.remedy_en,
        "处理办法": rule.remedy_zh,
    }
    yield from (f"| {name} | {value} |" for name, value in facts.items() if value)
    relation = content["relations"][rule.suite]
    both = content["rules"][rule.rule_id]
    yield from example("Fires:", rule, both["fires"], relation)
    yield from example("Does not:", rule, both["quiet"], relation)


def routes() -> Iterator[str]:
    """The doors and what each needs."""
    yield "\n## Routes\n"
    yield "| route | door | 机构 | contact | needs | 所需材料 |"
    yield "|---|---|---|---|---|---|"
    rows = sorted(
        read_table(EXPECTATIONS / "reference", ROUTES),
        key=lambda row: (row.values["step_no"], row.values["route"], row.first_day),
    )
    for row in rows:
        if row.last_day == FOREVER:
            names = ("name_en", "name_zh", "contact", "needs_en", "needs_zh")
            yield (
                f"| `{row.values['route']}` | " + " | ".join(row.values[name] or "" for name in names) + " |"
            )


def page() -> str:
    """The whole page."""
    catalogue: Catalogue = load(EXPECTATIONS / "rules.yml")
    rows = read_table(EXPECTATIONS / "reference", MATERIALITY)
    content = examples()
    lines = [HEAD]
    for suite in catalogue.suites:
        lines += [f"\n## {suite.title}\n", suite.notes]
        for rule in suite.rules:
            lines += section(rule, content, rows)
    lines += routes()
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    print(f"wrote {PAGE.relative_to(ROOT)}")
