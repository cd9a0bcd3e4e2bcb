"""Expectations that are one query: every row that it returns breaks the rule.

They add to the library's rows expectation what an auditor wants to read on the page: the number of rows with a
few examples and, for disputes, the money at stake. Importing this module imports Great Expectations and registers
both; a file context loaded without it silently drops such rules, which is why a night compares what was loaded
with the catalogue.
"""

from typing import Any, ClassVar

from great_expectations.core import ExpectationValidationResult
from great_expectations.execution_engine.execution_engine import ExecutionEngine
from great_expectations.expectations.core.unexpected_rows_expectation import UnexpectedRowsExpectation
from great_expectations.expectations.expectation_configuration import ExpectationConfiguration
from great_expectations.expectations.metrics.query_metrics.query_table.query_table import QueryTable
from great_expectations.render.components import LegacyDiagnosticRendererType
from great_expectations.render.renderer.renderer import renderer

from posrecon.money import format_minor

EXAMPLES_MAX = 20
_EXAMPLES_SHOWN = 3


class DisputableMoney(QueryTable):
    """Count and money of what a rule marks, one row per currency."""

    metric_name = "disputable_breaks.money"
    value_keys = ("money_query",)
    query_param_name: ClassVar[str] = "money_query"


class ExpectNoRows(UnexpectedRowsExpectation):
    """No row breaks the rule.

    Attributes:
        unexpected_rows_query: Selects the rows that do, keys first; never card data.
    """

    def _validate(
        self,
        metrics: dict[str, Any],
        runtime_configuration: dict[str, Any] | None = None,
        execution_engine: ExecutionEngine[Any] | None = None,
    ) -> ExpectationValidationResult | dict[str, Any]:
        """Judge one night; the library's own hook for custom expectations."""
        del runtime_configuration, execution_engine
        count = int(metrics["unexpected_rows_query.row_count"])
        return {
            "success": count == 0,
            "result": {"observed_value": count, "details": self._details(metrics)},
        }

    def _details(self, metrics: dict[str, Any]) -> dict[str, Any]:
        """The first rows that break the rule, as text."""
        rows = metrics["unexpected_rows_query.table"][:EXAMPLES_MAX]
        return {"examples": [", ".join(f"{name} {value}" for name, value in row.items()) for row in rows]}

    @classmethod
    def _text(cls, result: dict[str, Any]) -> str:
        return rows_text(result)

    @classmethod
    @renderer(renderer_type=LegacyDiagnosticRendererType.OBSERVED_VALUE)
    def _diagnostic_observed_value_renderer(
        cls,
        configuration: ExpectationConfiguration | None = None,
        result: ExpectationValidationResult | None = None,
        runtime_configuration: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> str:
        """Count and more for people, e.g. `1 row: missing_date 2026-11-11` or `3 breaks · 1,234.56 CNY`."""
        del configuration, runtime_configuration, kwargs
        return cls._text(dict(result.result)) if result is not None and result.result else "--"


class ExpectNoDisputableBreaks(ExpectNoRows):
    """No open break of one type is material enough to dispute.

    Attributes:
        unexpected_rows_query: The breaks that the rule marks: break_id, currency, amount_minor.
        money_query: The same, summed by currency: currency, row_count, amount_minor.
    """

    money_query: str

    metric_dependencies: ClassVar[tuple[str, ...]] = (
        "unexpected_rows_query.table",
        "unexpected_rows_query.row_count",
        "disputable_breaks.money",
    )
    success_keys: ClassVar[tuple[str, ...]] = ("unexpected_rows_query", "money_query")

    def _details(self, metrics: dict[str, Any]) -> dict[str, Any]:
        """The money at stake by currency, and the first breaks."""
        money = [
            {
                "currency": row["currency"],
                "row_count": int(row["row_count"]),
                "amount_minor": int(row["amount_minor"] or 0),
            }
            for row in metrics["disputable_breaks.money"]
        ]
        examples = [row["break_id"] for row in metrics["unexpected_rows_query.table"][:EXAMPLES_MAX]]
        return {"money": money, "examples": examples}

    @classmethod
    def _text(cls, result: dict[str, Any]) -> str:
        return breaks_text(result)


def rows_text(result: dict[str, Any]) -> str:
    """Render count and first examples of one rows rule."""
    count = result.get("observed_value")
    if count is None:
        return "--"
    text = f"{count:,} {'row' if count == 1 else 'rows'}"
    examples = result.get("details", {}).get("examples", [])[:_EXAMPLES_SHOWN]
    more = " …" if count > len(examples) else ""
    return f"{text}: {'; '.join(examples)}{more}" if examples else text


def breaks_text(result: dict[str, Any]) -> str:
    """Render count and money of one dispute rule."""
    count = result.get("observed_value")
    if count is None:
        return "--"
    parts = [f"{count:,} {'break' if count == 1 else 'breaks'}"]
    for row in result.get("details", {}).get("money", []):
        currency = row["currency"] or "without currency"
        parts.append(f"{format_minor(row['amount_minor'], row['currency'] or 'CNY')} {currency}")
    return " · ".join(parts)
