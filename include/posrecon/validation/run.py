"""One checkpoint per night: judge the night, keep the verdict, show it, and write down what can be disputed."""

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from posrecon.errors import NightError
from posrecon.files import write_json
from posrecon.settings import Settings
from posrecon.validation import auditor_pages, candidates, catalogue, data_docs, policy
from posrecon.warehouse.connection import connect

if TYPE_CHECKING:
    from great_expectations.checkpoint.checkpoint import CheckpointResult
    from great_expectations.core import ExpectationValidationResult
    from great_expectations.data_context.data_context.file_data_context import FileDataContext


@dataclass(frozen=True)
class RuleResult:
    """What one rule said tonight.

    Attributes:
        rule_id: Its id in the catalogue.
        suite: Its suite.
        severity: error or warning for data quality; high, medium or low for disputes.
        description: What should hold, in plain words.
        success: Whether it holds.
        count: Rows that break it; for row-count rules the number of rows, None when not stated.
        money: Amount at stake in minor units by currency (dispute rules only).
    """

    rule_id: str
    suite: str
    severity: str
    description: str
    success: bool
    count: int | None
    money: tuple[tuple[str | None, int], ...] = ()


@dataclass(frozen=True)
class Validation:
    """The verdict of a night.

    Attributes:
        run_date: The night.
        rules: Every rule of the catalogue, in its order.
        candidates: What became of the dispute candidates.
        data_docs: Index page of Data Docs.
    """

    run_date: date
    rules: tuple[RuleResult, ...]
    candidates: candidates.CandidateCounts
    data_docs: Path

    @property
    def warnings(self) -> tuple[RuleResult, ...]:
        """Data-quality rules that are broken without stopping the night."""
        return tuple(rule for rule in self.rules if rule.severity == "warning" and not rule.success)


def validate(settings: Settings, run_date: date) -> Validation:
    """Hold the night against the rule catalogue and write marts.dispute_candidates.

    Data Docs shows a night even when it fails here, because then people need it most. The same night again gives
    the same ids, paths and candidates.

    Args:
        settings: Where state lives; this process is the only one that writes the warehouse.
        run_date: The night.

    Raises:
        NightError: A rule is missing or could not be judged, data quality is broken (severity error), or the
            candidates differ from what was reported.
    """
    rules = catalogue.load_for(settings)
    with connect(settings, settings.warehouse) as connection:
        policy.build(connection, run_date, rules, settings.expectations_dir / "reference")
        parameters = _volume_parameters(
            rules,
            run_date,
            results_dir(settings),
            {suite.name: policy.volume_bounds(connection, suite.name) for suite in rules.suites},
        )

    site = data_docs.begin_site(settings, run_date.isoformat())
    context = _context(settings, site)
    try:
        result = _run_checkpoint(settings, context, run_date, rules, parameters)
    finally:
        _close(context)
    outcomes = dict(_outcomes(result))
    _normalise_results(settings, run_date)
    results = tuple(
        _rule_result(rule, outcomes[rule_id]) for rule_id, rule in rules.rules.items() if rule_id in outcomes
    )
    auditor_pages.keep(settings, run_date, results)
    index = _build_data_docs(settings, context, run_date, result, site)
    _check_all_judged(rules, outcomes)
    _check_data_quality(results, run_date, index)

    marked = {rule.rule_id: _marked(outcomes[rule.rule_id]) for rule in rules.dispute_rules}
    with connect(settings, settings.warehouse) as connection:
        counts = candidates.write(connection, run_date, marked)
        auditor_pages.write_candidates(settings, connection, run_date)
    return Validation(run_date, results, counts, index)


def results_dir(settings: Settings) -> Path:
    """Where the validation results of all nights are kept: <suite>/<run date>/<run time>/<batch>.json."""
    return settings.state / "gx" / "results"


# ------------------------------------------------------------------------------------------- Great Expectations
def _context(settings: Settings, site: Path) -> "FileDataContext":
    """Load the file context from a copy, because the library writes marker files beside its configuration."""
    import great_expectations

    # Importing registers the data source and the expectation; without it the file context cannot be loaded whole.
    from posrecon.validation import datasource, row_rules

    del datasource, row_rules
    root = settings.state / "gx" / "context"
    shutil.rmtree(root, ignore_errors=True)
    shutil.copytree(settings.expectations_dir, root, ignore=shutil.ignore_patterns("uncommitted", ".*"))
    return great_expectations.get_context(
        mode="file",
        context_root_dir=root,
        runtime_environment={
            "POSRECON_GX_WAREHOUSE": _warehouse_url(settings),
            "POSRECON_GX_ZONE": settings.zone,
            "POSRECON_GX_RESULTS": str(results_dir(settings)),
            "POSRECON_GX_SITE": str(site),
        },
    )


def _warehouse_url(settings: Settings) -> str:
    """SQLAlchemy URL of the warehouse, with the same limits as every other connection of the night."""
    limits = urlencode(
        {
            "threads": settings.threads,
            "memory_limit": settings.memory_limit,
            "temp_directory": settings.tmp / "duckdb",
        }
    )
    return f"duckdb:///{settings.warehouse}?{limits}"


def _run_checkpoint(
    settings: Settings,
    context: "FileDataContext",
    run_date: date,
    rules: catalogue.Catalogue,
    parameters: Mapping[str, int | None],
) -> "CheckpointResult":
    from great_expectations.core.run_identifier import RunIdentifier

    checkpoint = context.checkpoints.get(catalogue.CHECKPOINT)
    loaded = {
        expectation.meta["rule_id"]
        for definition in checkpoint.validation_definitions
        for expectation in definition.suite.expectations
        if expectation.meta
    }
    missing = sorted(set(rules.rules) - loaded)
    if missing:
        raise NightError(
            f"Great Expectations loaded {len(loaded)} of {len(rules.rules)} rules; missing: {', '.join(missing)}.",
            next_step="Run `python -m posrecon.validation.catalogue` and check the imports of custom expectations.",
        )
    for suite in rules.suites:
        shutil.rmtree(results_dir(settings) / suite.name / run_date.isoformat(), ignore_errors=True)
    return checkpoint.run(
        expectation_parameters=dict(parameters),
        run_id=RunIdentifier(run_name=run_date.isoformat(), run_time=settings.night_instant(run_date)),
    )


def _close(context: "FileDataContext") -> None:
    """Give the warehouse free for the next step."""
    for source in context.data_sources.all().values():
        source.get_execution_engine().close()
        source.get_engine().dispose()


def _outcomes(result: "CheckpointResult") -> list[tuple[str, "ExpectationValidationResult"]]:
    return [
        (str(outcome.expectation_config.meta["rule_id"]), outcome)
        for suite_result in result.run_results.values()
        for outcome in suite_result.results
        if outcome.expectation_config is not None and outcome.expectation_config.meta
    ]


def _marked(outcome: "ExpectationValidationResult") -> candidates.Marked:
    """The rows query as Great Expectations ran it, with the count and the money that it reported."""
    if outcome.expectation_config is None:
        raise NightError("Great Expectations returned a verdict without its rule.")
    query = str(outcome.expectation_config.kwargs["unexpected_rows_query"])
    return candidates.Marked(query, int(outcome.result["observed_value"]), _money(outcome))


def _money(outcome: "ExpectationValidationResult") -> tuple[tuple[str | None, int], ...]:
    """Minor units at stake by currency, as Great Expectations reported them."""
    rows = outcome.result.get("details", {}).get("money", [])
    return tuple((row["currency"], row["amount_minor"]) for row in rows)


def _raised(outcome: "ExpectationValidationResult") -> str | None:
    """The message of the exception that an expectation raised; such a result also reads as failed."""
    info = outcome.exception_info or {}
    found = (
        [info] if "raised_exception" in info else [part for part in info.values() if isinstance(part, dict)]
    )
    for part in found:
        if part.get("raised_exception"):
            return str(part.get("exception_message") or "no message")
    return None


def _check_all_judged(
    rules: catalogue.Catalogue, outcomes: Mapping[str, "ExpectationValidationResult"]
) -> None:
    raised = {rule_id: message for rule_id, outcome in outcomes.items() if (message := _raised(outcome))}
    if raised:
        rule_id, message = next(iter(sorted(raised.items())))
        raise NightError(
            f"{len(raised)} of {len(rules.rules)} rules could not be judged: {', '.join(sorted(raised))}. "
            f"{rule_id}: {message.strip().splitlines()[0]}",
            next_step="A rule that raised says nothing about the data; correct the rule or the relation.",
        )
    missing = sorted(set(rules.rules) - set(outcomes))
    if missing:
        raise NightError(
            f"No verdict for {len(missing)} of {len(rules.rules)} rules: {', '.join(missing)}.",
            next_step="Run `python -m posrecon.validation.catalogue` and run the night again.",
        )


def _rule_result(rule: catalogue.Rule, outcome: "ExpectationValidationResult") -> RuleResult:
    result = dict(outcome.result)
    count = result.get("unexpected_count", result.get("observed_value"))
    return RuleResult(
        rule_id=rule.rule_id,
        suite=rule.suite,
        severity=rule.severity,
        description=rule.description,
        success=bool(outcome.success),
        count=count if isinstance(count, int) else None,
        money=_money(outcome) if rule.is_dispute else (),
    )


def _check_data_quality(results: tuple[RuleResult, ...], run_date: date, index: Path) -> None:
    broken = [rule for rule in results if rule.severity == "error" and not rule.success]
    if broken:
        details = "; ".join(f"{rule.rule_id} ({rule.count} rows): {rule.description}" for rule in broken)
        raise NightError(
            f"The data of the night {run_date} breaks {len(broken)} rules: {details}",
            next_step=f"See {index}; correct the source or its parser, then run the night again.",
        )


# ----------------------------------------------------------------------------------------------------- results
def _normalise_results(settings: Settings, run_date: date) -> None:
    """Take the wall clock and the machine's zone out of tonight's results: the night is data, not the hour it ran."""
    instant = settings.night_instant(run_date).astimezone(UTC)
    for path in sorted(results_dir(settings).glob(f"*/{run_date}/*/*.json")):
        content = json.loads(path.read_text(encoding="utf-8"))
        meta = content["meta"]
        meta["run_id"]["run_time"] = instant.isoformat()
        meta["validation_time"] = instant.isoformat()
        if "batch_markers" in meta:
            meta["batch_markers"]["ge_load_time"] = instant.strftime("%Y%m%dT%H%M%S.%fZ")
        write_json(path, content)


def _volume_parameters(
    rules: catalogue.Catalogue,
    run_date: date,
    results: Path,
    bounds: Mapping[str, policy.VolumeBounds | None],
) -> dict[str, int | None]:
    """Bounds of the row count of each suite, from the verdicts of earlier nights of the same weekday."""
    parameters: dict[str, int | None] = {}
    for suite in rules.suites:
        limits = bounds[suite.name]
        rule = next((rule for rule in suite.rules if rule.rule_id.endswith("-VOLUME")), None)
        if rule is None:
            continue
        low, high = 0, None
        if limits is not None:
            nights = [run_date - timedelta(weeks=week) for week in range(1, limits.trailing_weeks + 1)]
            seen = [
                count
                for night in nights
                if (count := _stored_count(results, suite.name, night, rule.rule_id)) is not None
            ]
            if len(seen) >= limits.min_nights:
                low, high = min(seen) * limits.low_pct // 100, max(seen) * limits.high_pct // 100
        parameters[f"{suite.name}_volume_min"] = low
        parameters[f"{suite.name}_volume_max"] = high
    return parameters


def _stored_count(results: Path, suite: str, night: date, rule_id: str) -> int | None:
    for path in sorted((results / suite / night.isoformat()).glob("*/*.json")):
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        for outcome in content["results"]:
            if outcome["expectation_config"]["meta"].get("rule_id") == rule_id:
                count = outcome["result"].get("observed_value")
                return int(count) if count is not None else None
    return None


# --------------------------------------------------------------------------------------------------- Data Docs
def _build_data_docs(
    settings: Settings, context: "FileDataContext", run_date: date, result: "CheckpointResult", site: Path
) -> Path:
    """Render tonight's pages and the index aside, make them independent of the network, and show them."""
    pages: list[Any] = list(result.run_results)
    pages += [page.expectation_suite_identifier for page in result.run_results]
    context.build_data_docs(resource_identifiers=pages)
    # The library only logs what it could not render.
    stored = results_dir(settings)
    results = sorted(stored.glob(f"*/{run_date}/*/*.json"))
    expected = [Path("validations", path.relative_to(stored).with_suffix(".html")) for path in results]
    expected.append(Path("index.html"))
    unrendered = [str(page) for page in expected if not (site / page).is_file()]
    if len(expected) != len(result.run_results) + 1 or unrendered:
        raise NightError(
            f"Great Expectations stored {len(expected) - 1} results of {len(result.run_results)}; "
            f"not rendered: {', '.join(unrendered) or 'none'}.",
            next_step="Its log says why; run the night again.",
        )
    auditor_pages.write_pages(settings, site, run_date)
    data_docs.finish_site(site)
    return data_docs.show_site(settings, site)
