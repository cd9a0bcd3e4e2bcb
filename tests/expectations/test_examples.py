"""Every rule over its two examples: the query that a night runs marks the one and not the other."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
import pytest
import yaml

from posrecon.settings import PROJECT_ROOT
from posrecon.validation import catalogue, policy

if TYPE_CHECKING:
    from great_expectations.core import ExpectationValidationResult

EXPECTATIONS = PROJECT_ROOT / "expectations"
RULES = catalogue.load(EXPECTATIONS / "rules.yml")
EXAMPLES: dict[str, Any] = yaml.safe_load((EXPECTATIONS / "examples.yml").read_text(encoding="utf-8"))
SIDES = {
    "files": (
        "raw.files",
        {
            "file_no": "bigint", "file_name": "varchar", "source": "varchar", "feed": "varchar",
            "logical_name": "varchar", "logical_key": "varchar", "business_date": "date", "state": "varchar",
            "loaded": "bigint", "declared_minor": "bigint", "computed_minor": "bigint",
        },
    ),
    "ledger_entries": ("raw.ledger_entries", {"file_no": "bigint"}),
    "merchants": ("raw.merchants", {"merchant_id": "varchar", "currency": "varchar"}),
    "expected_files": ("raw.expected_files", {"source": "varchar", "feed": "varchar", "logical_name": "varchar"}),
    "bank_statements": (
        "raw.bank_statements",
        {
            "file_no": "bigint", "line_no": "bigint", "account": "varchar", "statement_no": "varchar",
            "currency": "varchar", "opening_minor": "bigint", "closing_minor": "bigint",
            "closing_date": "date",
        },
    ),
    "statement_gaps": (
        "marts.fct_statement_gaps",
        {
            "gap_id": "varchar", "account": "varchar", "currency": "varchar", "previous_date": "date",
            "statement_date": "date", "difference_minor": "bigint", "missing_numbers": "bigint",
            "missing_pages": "bigint",
        },
    ),
    "withdrawals": (
        "marts.fct_withdrawals",
        {
            "withdrawal_id": "varchar", "acquirer": "varchar", "acquirer_merchant_id": "varchar", "booked_on": "date",
            "due_date": "date", "state": "varchar", "currency": "varchar", "amount_minor": "bigint",
            "delta_minor": "bigint", "file_missing": "boolean",
        },
    ),
}  # fmt: skip
STATEMENT = {
    "file_no": 3,
    "line_no": 1,
    "account": "6222000100010001",
    "statement_no": "315",
    "currency": "CNY",
}


class Judge:
    """Great Expectations over a small DuckDB, as a night has it."""

    def __init__(self, folder: Path) -> None:
        import great_expectations

        from posrecon.validation import datasource, row_rules

        del datasource, row_rules
        self._context = great_expectations.get_context(mode="ephemeral")
        self._folder = folder
        self._count = 0

    def run(self, rule: catalogue.Rule, example: dict[str, Any]) -> "ExpectationValidationResult":
        """Judge one example by one rule."""
        from great_expectations.expectations.registry import get_expectation_impl

        self._count += 1
        warehouse = self._folder / f"{self._count}.duckdb"
        fill(warehouse, rule, example)
        schema, table = EXAMPLES["relations"][rule.suite]["table"].split(".")
        source = self._context.data_sources.add_duckdb(
            warehouse.stem,
            connection_string=f"duckdb:///{warehouse}",
            schema_name=schema,
            zone="Asia/Shanghai",
        )
        asset = source.add_table_asset(rule.suite, table_name=table)
        batch = asset.add_batch_definition_whole_table("tonight").get_batch()
        expectation = get_expectation_impl(rule.expectation)(**rule.kwargs)
        try:
            return batch.validate(expectation, expectation_parameters=example.get("parameters"))
        finally:
            source.get_execution_engine().close()
            source.get_engine().dispose()


def fill(warehouse: Path, rule: catalogue.Rule, example: dict[str, Any]) -> None:
    """Make the tables that a rule may read, with the rows of one example."""
    with duckdb.connect(str(warehouse)) as connection:
        connection.execute("set TimeZone = 'Asia/Shanghai'")
        for schema in ("raw", "staging", "marts", "policy"):
            connection.execute(f"create schema {schema}")
        connection.execute(
            "create table policy.night as select cast($1 as date) as run_date, cast($1 as date) - 1 as business_date",
            [EXAMPLES["run_date"]],
        )
        relation = EXAMPLES["relations"][rule.suite]
        types = relation["columns"] | example.get("types", {})
        like = relation["like"] | ({"break_type": rule.break_type} if rule.is_dispute else {})
        table_of(connection, relation["table"], types, [like | row for row in example["rows"]])
        for name, (table, columns) in SIDES.items():
            alike = STATEMENT if name == "bank_statements" else {}
            table_of(connection, table, columns, [alike | row for row in example.get(name, [])])
        kinds = {
            column.name: "varchar" if column.kind == "text" else "bigint"
            for column in policy.MATERIALITY.columns
        }
        every = {"rule_id": rule.rule_id, "currency": "*", "min_amount_minor": 0, "min_age_days": 0}
        table_of(connection, "policy.materiality", kinds, example.get("materiality", [every]))


def table_of(
    connection: duckdb.DuckDBPyConnection, table: str, columns: dict[str, str], rows: list[dict[str, Any]]
) -> None:
    """One table; a column that a row does not name is null."""
    connection.execute(
        f"create table {table} ({', '.join(f'{name} {kind}' for name, kind in columns.items())})"
    )
    for row in rows:
        assert row.keys() <= columns.keys(), table
        marks = ", ".join("?" for _ in row)
        connection.execute(f"insert into {table} ({', '.join(row)}) values ({marks})", list(row.values()))


@pytest.fixture(scope="module")
def judge(tmp_path_factory: pytest.TempPathFactory) -> Judge:
    return Judge(tmp_path_factory.mktemp("examples"))


def test_examples__are_there_for_every_rule_and_for_no_other() -> None:
    assert EXAMPLES["rules"].keys() == RULES.rules.keys()
    for rule_id, both in EXAMPLES["rules"].items():
        assert both.keys() == {"fires", "quiet"}, rule_id
        assert both["fires"]["says"] != both["quiet"]["says"], rule_id


@pytest.mark.parametrize("rule", RULES.rules.values(), ids=lambda rule: rule.rule_id)
def test_rule__marks_the_example_that_it_should__and_not_the_other(
    judge: Judge, rule: catalogue.Rule
) -> None:
    both = EXAMPLES["rules"][rule.rule_id]
    fired, quiet = judge.run(rule, both["fires"]), judge.run(rule, both["quiet"])
    for verdict in (fired, quiet):
        infos = verdict.exception_info or {}
        parts = [infos] if "raised_exception" in infos else list(infos.values())
        assert not any(part["raised_exception"] for part in parts), parts
    assert (fired.success, quiet.success) == (False, True)
    if rule.is_dispute:
        rows = EXAMPLES["relations"]["disputes"]["like"]
        marked = [rows | row for row in both["fires"]["rows"]]
        assert fired.result["observed_value"] == len(marked)
        assert [(one["currency"], one["amount_minor"]) for one in fired.result["details"]["money"]] == [
            (marked[0]["currency"], sum(row["amount_at_risk_minor"] for row in marked))
        ]
        assert quiet.result["observed_value"] == 0
