"""The rule catalogue: one reviewed file, from which the Great Expectations suites are generated and checked.

`expectations/rules.yml` is what people read and change. `python -m posrecon.validation.catalogue` writes the suites,
validation definitions and the checkpoint from it; a night refuses to run when what Great Expectations loaded is not
what the catalogue says. Nothing here imports Great Expectations.
"""

import json
import re
import sys
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from posrecon.errors import NightError
from posrecon.files import write_text
from posrecon.settings import Settings
from posrecon.warehouse.sql import literal

CHECKPOINT = "night"
DISPUTES = "disputes"

# Identifiers are made from names, so that the generated files never change without a reason.
_NAMESPACE = uuid.UUID("6f0e2a52-6a55-5d0c-9f43-0d5f5e2f2f11")

_DISPUTE_ROWS = """\
select b.break_id, b.currency, abs(b.amount_at_risk_minor) as amount_minor
from {{batch}} as b
left join policy.materiality as m on m.rule_id = {rule_id} and m.currency = b.currency
left join policy.materiality as d on d.rule_id = {rule_id} and d.currency = '*'
where b.break_type = {break_type}
    and b.status = 'open'
    and not coalesce(b.file_missing, false)
    and abs(coalesce(b.amount_at_risk_minor, 0)) >= coalesce(m.min_amount_minor, d.min_amount_minor, 0)
    and coalesce(b.age_days, 0) >= coalesce(m.min_age_days, d.min_age_days, 0)
order by b.break_id"""

_DISPUTE_MONEY = """\
select rows.currency, count(*) as row_count, cast(sum(rows.amount_minor) as bigint) as amount_minor
from (
{rows}
) as rows
group by rows.currency
order by rows.currency"""

# In a rule that suites share, <<name>> is what each of them fills in.
_FILL = re.compile(r"<<(\w+)>>")
# What a suite may say once for all of its rules.
_SHARED = ("owner", "remedy_en", "remedy_zh")

OWNERS = ("data", "finance", "stores")
"""Who a finding goes to: the data team, the finance team, the people who run the tills."""

_GX_SEVERITY = {"error": "critical", "warning": "warning"}


@dataclass(frozen=True)
class Rule:
    """One rule of the catalogue.

    Attributes:
        rule_id: Unique over all suites.
        suite: Name of its suite.
        severity: Data quality: error or warning. Disputes: high, medium or low.
        expectation: Name of the Great Expectations type that judges it.
        kwargs: Its arguments.
        description: What holds when the rule is kept, in one plain sentence.
        explanation_zh: The rule in plain Chinese.
        owner: Who looks at a finding first; see OWNERS.
        remedy_en: What to do, in English.
        remedy_zh: The same in Chinese.
        notes: Why, or how to read it; may be empty.
        break_type: The break that a dispute rule marks; empty for data-quality rules.
        route: First door of a dispute; empty for data-quality rules.
        escalation: The next doors, in order.
    """

    rule_id: str
    suite: str
    severity: str
    expectation: str
    kwargs: dict[str, Any]
    description: str
    explanation_zh: str
    owner: str
    remedy_en: str
    remedy_zh: str
    notes: str = ""
    break_type: str = ""
    route: str = ""
    escalation: tuple[str, ...] = ()

    @property
    def is_dispute(self) -> bool:
        """Whether what it marks becomes a dispute candidate."""
        return bool(self.break_type)

    @property
    def materiality(self) -> str:
        """From when on a finding counts: a dated table for disputes, nothing for data quality."""
        return "reference/materiality.csv" if self.is_dispute else "every row counts"


@dataclass(frozen=True)
class Suite:
    """The rules over one relation.

    Attributes:
        name: Also the name of the data asset.
        datasource: Name of the data source in great_expectations.yml (the schema of the relation).
        title: For people.
        notes: What the relation holds.
        rules: In the order in which they are shown.
    """

    name: str
    datasource: str
    title: str
    notes: str
    rules: tuple[Rule, ...] = field(default=())


@dataclass(frozen=True)
class Catalogue:
    """Every suite of the catalogue, in the order in which a night runs them."""

    suites: tuple[Suite, ...]

    @property
    def rules(self) -> dict[str, Rule]:
        """Every rule by its id."""
        return {rule.rule_id: rule for suite in self.suites for rule in suite.rules}

    @property
    def dispute_rules(self) -> tuple[Rule, ...]:
        """The rules that mark dispute candidates."""
        return tuple(rule for rule in self.rules.values() if rule.is_dispute)


def load(path: Path) -> Catalogue:
    """Read and check the catalogue.

    Args:
        path: rules.yml.

    Raises:
        NightError: A rule id occurs twice, or a rule lacks a part.
    """
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    suites = []
    seen: set[str] = set()
    for entry in content["suites"]:
        rules = []
        shared = content.get("shared_rules", []) if "fills" in entry else []
        for raw in (*(_filled(path, rule, entry["fills"]) for rule in shared), *entry["rules"]):
            rule_id = raw.get("rule_id", "?")
            if rule_id in seen:
                raise NightError(
                    f"{path}: rule {rule_id} occurs twice.", next_step="Give each rule its own id."
                )
            seen.add(rule_id)
            try:
                rules.append(
                    _rule(entry["name"], {name: entry[name] for name in _SHARED if name in entry} | raw)
                )
            except KeyError as missing:
                raise NightError(
                    f"{path}: rule {rule_id} has no {missing.args[0]}.", next_step="Add it to the rule."
                ) from None
            if rules[-1].owner not in OWNERS:
                raise NightError(
                    f"{path}: rule {rule_id}: the owner is {rules[-1].owner}, expected {' or '.join(OWNERS)}.",
                    next_step="Choose one of them.",
                )
        suites.append(
            Suite(entry["name"], entry["datasource"], entry["title"], entry["notes"].strip(), tuple(rules))
        )
    return Catalogue(tuple(suites))


def _filled(path: Path, value: Any, fills: dict[str, str]) -> Any:
    """A shared rule, or a part of it, as one suite means it."""
    if isinstance(value, dict):
        return {name: _filled(path, part, fills) for name, part in value.items()}
    if not isinstance(value, str):
        return value
    unfilled = sorted(set(_FILL.findall(value)) - fills.keys())
    if unfilled:
        raise NightError(
            f"{path}: a shared rule asks for {', '.join(unfilled)}, which a suite does not fill in.",
            next_step="Add it to the fills of the suite.",
        )
    return _FILL.sub(lambda found: fills[found[1]], value)


def load_for(settings: Settings) -> Catalogue:
    """The catalogue of the project."""
    return load(settings.expectations_dir / "rules.yml")


def _rule(suite: str, raw: dict[str, Any]) -> Rule:
    common = {
        "rule_id": raw["rule_id"],
        "suite": suite,
        "severity": raw["severity"],
        "description": raw["description"],
        "explanation_zh": raw["zh"],
        "owner": raw["owner"],
        "remedy_en": raw["remedy_en"],
        "remedy_zh": raw["remedy_zh"],
        "notes": raw.get("notes", ""),
    }
    if suite != DISPUTES:
        kwargs = {
            name: value.strip() if isinstance(value, str) else value for name, value in raw["kwargs"].items()
        }
        return Rule(**common, expectation=raw["expectation"], kwargs=kwargs)
    rows = _DISPUTE_ROWS.format(rule_id=literal(raw["rule_id"]), break_type=literal(raw["break_type"]))
    return Rule(
        **common,
        expectation="expect_no_disputable_breaks",
        kwargs={
            "unexpected_rows_query": rows,
            "money_query": _DISPUTE_MONEY.format(rows=rows),
        },
        break_type=raw["break_type"],
        route=raw["route"],
        escalation=tuple(raw["escalation"]),
    )


# ---------------------------------------------------------------------------------------------- generated files
def generated_files(catalogue: Catalogue, context_yml: Path) -> dict[str, str]:
    """What Great Expectations reads, as path relative to the context → text.

    Args:
        catalogue: The rules.
        context_yml: great_expectations.yml; it names and numbers the data sources and assets.
    """
    ids = _context_ids(context_yml)
    files: dict[str, str] = {}
    definitions = []
    for suite in catalogue.suites:
        files[f"suites/{suite.name}.json"] = _json(_suite_json(suite))
        bundle = {"name": suite.name, "id": _id(f"validation:{suite.name}")}
        definitions.append(bundle)
        files[f"validation_definitions/{suite.name}.json"] = _json(_definition_json(suite, ids))
    files[f"checkpoints/{CHECKPOINT}.json"] = _json(
        {
            "name": CHECKPOINT,
            "id": _id(f"checkpoint:{CHECKPOINT}"),
            "actions": [],
            "result_format": {"result_format": "SUMMARY", "partial_unexpected_count": 20},
            "validation_definitions": definitions,
        }
    )
    return files


def _suite_json(suite: Suite) -> dict[str, Any]:
    return {
        "name": suite.name,
        "id": _id(f"suite:{suite.name}"),
        "meta": {"title": suite.title},
        "notes": suite.notes,
        "expectations": [_expectation_json(rule) for rule in suite.rules],
    }


def _expectation_json(rule: Rule) -> dict[str, Any]:
    meta: dict[str, Any] = {
        "rule_id": rule.rule_id,
        "severity": rule.severity,
        "owner": rule.owner,
        "materiality": rule.materiality,
        "explanation_zh": rule.explanation_zh,
        "remedy_en": rule.remedy_en,
        "remedy_zh": rule.remedy_zh,
    }
    if rule.is_dispute:
        meta |= {"break_type": rule.break_type, "route": rule.route, "escalation": list(rule.escalation)}
    # Data Docs shows the description of a rule and nothing else of it, so it holds all that a reader needs.
    parts = [rule.description, rule.notes, rule.explanation_zh]
    parts += [f"What to do: {rule.remedy_en}", f"处理办法:{rule.remedy_zh}"]
    shown = " ".join(part for part in parts if part) + f" ({rule.rule_id}, {rule.severity})"
    return {
        "id": _id(f"rule:{rule.rule_id}"),
        "type": rule.expectation,
        "kwargs": rule.kwargs,
        "meta": meta,
        "notes": rule.notes or None,
        "description": shown,
        "severity": _GX_SEVERITY.get(rule.severity, "warning"),
    }


def _definition_json(suite: Suite, ids: dict[str, str]) -> dict[str, Any]:
    return {
        "name": suite.name,
        "id": _id(f"validation:{suite.name}"),
        "suite": {"name": suite.name, "id": _id(f"suite:{suite.name}")},
        "data": {
            "datasource": {"name": suite.datasource, "id": ids[suite.datasource]},
            "asset": {"name": suite.name, "id": ids[f"{suite.datasource}.{suite.name}"]},
            "batch_definition": {"name": "tonight", "id": ids[f"{suite.datasource}.{suite.name}.tonight"]},
        },
    }


def _id(name: str) -> str:
    return str(uuid.uuid5(_NAMESPACE, name))


def _json(content: dict[str, Any]) -> str:
    return json.dumps(content, ensure_ascii=False, indent=2) + "\n"


def _context_ids(context_yml: Path) -> dict[str, str]:
    """Ids of data sources, assets and batch definitions by dotted name."""
    ids: dict[str, str] = {}
    content = yaml.safe_load(context_yml.read_text(encoding="utf-8"))
    for source, source_entry in content["fluent_datasources"].items():
        ids[source] = source_entry["id"]
        for asset, asset_entry in source_entry["assets"].items():
            ids[f"{source}.{asset}"] = asset_entry["id"]
            for batch, batch_entry in asset_entry["batch_definitions"].items():
                ids[f"{source}.{asset}.{batch}"] = batch_entry["id"]
    return ids


def write_generated(expectations_dir: Path) -> list[Path]:
    """Write the generated files where they differ from the catalogue; remove those of dropped suites.

    Returns:
        What was written or removed.
    """
    wanted = generated_files(
        load(expectations_dir / "rules.yml"), expectations_dir / "great_expectations.yml"
    )
    changed = []
    for folder in ("suites", "validation_definitions", "checkpoints"):
        for path in sorted((expectations_dir / folder).glob("*.json")):
            if path.relative_to(expectations_dir).as_posix() not in wanted:
                path.unlink()
                changed.append(path)
    for name, text in wanted.items():
        path = expectations_dir / name
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            write_text(path, text)
            changed.append(path)
    return changed


if __name__ == "__main__":
    for changed_path in write_generated(Settings().expectations_dir):
        sys.stdout.write(f"{changed_path}\n")
