"""Compare what the nights published with the labels of a simulation: pairs, breaks by type, money."""

from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path

import duckdb
from rich.console import Group
from rich.table import Table
from rich.text import Text

from posrecon.errors import UsageError
from posrecon.money import format_minor
from posrecon.settings import Settings

LISTED_MAX = 20

# Which evidence identifies a break of a type; both sides unless the break is about one of them.
_BY_TERMINAL = (
    "missing_in_settlement", "refund_not_settled", "duplicate_in_terminal_log", "refund_exceeds_original",
    "orphan_reference", "batch_out_of_balance", "stan_gap",
)  # fmt: skip
_BY_SETTLEMENT = ("missing_in_terminal_log", "duplicate_in_settlement", "net_mismatch", "chargeback")
_BY_PAYOUT = ("payout_not_received", "payout_short", "payout_over")
_BY_BANK = ("unidentified_credit", "unexplained_deduction")
_WITH_DELTA = ("amount_mismatch", "net_mismatch", *_BY_PAYOUT, *_BY_BANK)


@dataclass(frozen=True)
class TypeScore:
    """Findings of one break type (or of pairs) against their labels.

    Attributes:
        true_positives: Labelled and found.
        false_positives: Found, not labelled (or found twice).
        false_negatives: Labelled, not found.
        delta_wrong: Labelled and found, but with another money difference.
        found_minor: Money at risk of everything found; 0 for pairs.
        wrong_minor: Money at risk of the false positives.
        wrong, missing: The first false positives and false negatives, as evidence.
    """

    name: str
    true_positives: int
    false_positives: int
    false_negatives: int
    delta_wrong: int
    found_minor: int
    wrong_minor: int
    wrong: tuple[str, ...]
    missing: tuple[str, ...]

    @property
    def precision_text(self) -> str:
        """Precision for people; never rounded up to 1."""
        return _ratio(self.true_positives, self.true_positives + self.false_positives)

    @property
    def recall_text(self) -> str:
        """Recall for people; never rounded up to 1."""
        return _ratio(self.true_positives, self.true_positives + self.false_negatives)

    @property
    def precision(self) -> float:
        """1.0 when nothing was found."""
        found = self.true_positives + self.false_positives
        return self.true_positives / found if found else 1.0

    @property
    def recall(self) -> float:
        """1.0 when nothing was labelled."""
        labelled = self.true_positives + self.false_negatives
        return self.true_positives / labelled if labelled else 1.0

    @property
    def perfect(self) -> bool:
        """Nothing wrong, nothing missed, every money difference right."""
        return self.false_positives == 0 and self.false_negatives == 0 and self.delta_wrong == 0


@dataclass(frozen=True)
class TierScore:
    """Published pairs of one rung of the match ladder.

    Attributes:
        tier: 1 is the strongest evidence.
        rule: Name of the rung.
        right, wrong: Pairs that are labelled, and that are not.
        right_minor, wrong_minor: Their settled money, as the sum of amounts without sign.
    """

    tier: int
    rule: str
    right: int
    wrong: int
    right_minor: int
    wrong_minor: int


@dataclass(frozen=True)
class Score:
    """The whole comparison as of the latest published night.

    Attributes:
        run_date: Labels that only a later night can know are left out.
        labels_later: How many labels that were.
        matched_minor: Settled money of all published pairs, as the sum of amounts without sign.
        wrong_minor: Settled money of published pairs that no label names.
        missed_minor: Settled money of labelled pairs that were not published.
        tiers: Published pairs by rung of the match ladder.
        groups_wrong: Groups of equal candidates whose members were not found as one group of their own; what a
            group is called does not matter.
        timing_wrong: Breaks found, but opened or closed on another night than their label says.
        timing: The first of them, as evidence.
    """

    run_date: date
    labels_later: int
    pairs: TypeScore
    breaks: tuple[TypeScore, ...]
    matched_minor: int
    wrong_minor: int
    missed_minor: int
    tiers: tuple[TierScore, ...]
    groups_wrong: int
    timing_wrong: int
    timing: tuple[str, ...]

    @property
    def precision_minor_text(self) -> str:
        """Share of the published pairs' settled money that is right; never rounded up to 1."""
        return _ratio(self.matched_minor - self.wrong_minor, self.matched_minor)

    @property
    def recall_minor_text(self) -> str:
        """Share of the labelled pairs' settled money that was found; never rounded up to 1."""
        right_minor = self.matched_minor - self.wrong_minor
        return _ratio(right_minor, right_minor + self.missed_minor)

    def recall_after(self, tier: "TierScore") -> str:
        """Share of the labelled pairs that the ladder has found after a rung; never rounded up to 1."""
        found = sum(one.right for one in self.tiers[: self.tiers.index(tier) + 1])
        return _ratio(found, self.pairs.true_positives + self.pairs.false_negatives)

    @property
    def perfect(self) -> bool:
        """Precision and recall are 1.0 throughout, with the right money on the right night."""
        exact = self.pairs.perfect and all(scored.perfect for scored in self.breaks)
        return exact and self.timing_wrong == 0 and self.groups_wrong == 0


def score(settings: Settings, truth: Path) -> Score:
    """Compare `published/posrecon.duckdb` (opened read-only) with `truth`.

    A break that was opened is a finding, whatever its status is now. A type that the labels never name counts
    as false positives, one by one.

    Raises:
        UsageError: There is no published night, or `truth` is not a truth.csv.
    """
    published = settings.published / "posrecon.duckdb"
    if not published.is_file():
        raise UsageError(
            f"{published} does not exist.", next_step="Run a night first: posrecon night --date D."
        )
    if not truth.is_file():
        raise UsageError(
            f"{truth} does not exist.", next_step="Give the truth.csv that posrecon simulate wrote."
        )
    with duckdb.connect() as connection:
        connection.execute(f"set threads = {settings.threads}")
        connection.execute(f"attach '{_quoted(published)}' as published (read_only)")
        try:
            _prepare(connection, truth)
        except (duckdb.BinderException, duckdb.ConversionException, duckdb.InvalidInputException) as error:
            raise UsageError(
                f"{truth} cannot be compared with {published}: {error}",
                next_step="Give the truth.csv that posrecon simulate wrote for these files.",
            ) from error
        return _score(connection)


def _quoted(path: Path) -> str:
    return str(path).replace("'", "''")


def _names(values: tuple[str, ...]) -> str:
    return ", ".join(f"'{value}'" for value in values)


def _prepare(connection: duckdb.DuckDBPyConnection, truth: Path) -> None:
    """Build `as_of`, and `labels` and `findings` alike: name, key columns, ordinal among equal keys."""
    connection.execute(
        "create table as_of as select max(run_date) as run_date from published.marts.fct_reconciliation"
    )
    connection.execute(
        f"""
        create table truth as
        select * from read_csv('{_quoted(truth)}', header = true, columns = {{
            'record_type': 'varchar', 'break_type': 'varchar', 'detected_on': 'date',
            'terminal_file': 'varchar', 'terminal_line': 'bigint',
            'settlement_file': 'varchar', 'settlement_line': 'bigint', 'merchant_id': 'varchar',
            'payout_id': 'varchar', 'delta_minor': 'bigint', 'closed_on': 'date', 'note': 'varchar',
            'bank_file': 'varchar', 'bank_line': 'bigint', 'group_id': 'varchar'}})
        """
    )
    # Key columns that do not identify a type are emptied on both sides, so that a break closed by a late line
    # may carry that line as well.
    no_terminal = _names(_BY_SETTLEMENT + _BY_PAYOUT + _BY_BANK)
    no_settlement = _names(_BY_TERMINAL + _BY_PAYOUT + _BY_BANK)
    key = f"""
        case when name not in ({no_terminal}) then terminal_file end as terminal_file,
        case when name not in ({no_terminal}) then terminal_line end as terminal_line,
        case when name not in ({no_settlement}) then settlement_file end as settlement_file,
        case when name not in ({no_settlement}) then settlement_line end as settlement_line,
        case when name in ({_names(_BY_PAYOUT)}) then payout_id end as payout_id,
        case when name in ({_names(_BY_BANK)}) then bank_file end as bank_file,
        case when name in ({_names(_BY_BANK)}) then bank_line end as bank_line
    """
    ordinal = """
        row_number() over (
            partition by name, terminal_file, terminal_line, settlement_file, settlement_line, payout_id,
                bank_file, bank_line
            order by opened_on, closed_on, delta_minor, amount_minor
        ) as ordinal
    """
    connection.execute(
        f"""
        create table labels as
        with known as (
            select
                case when record_type = 'pair' then 'pair' else break_type end as name,
                detected_on as opened_on,
                case when closed_on <= (select run_date from as_of) then closed_on end as closed_on,
                0::bigint as amount_minor,
                * exclude (record_type, break_type, closed_on)
            from truth
            where detected_on <= (select run_date from as_of)
        ), keyed as (
            select name, {key}, opened_on, closed_on, delta_minor, amount_minor, group_id from known
        )
        select *, {ordinal} from keyed
        """
    )
    connection.execute(
        f"""
        create table findings as
        with found as (
            select
                'pair' as name, terminal_file, terminal_line::bigint as terminal_line, settlement_file,
                settlement_line::bigint as settlement_line, null::varchar as payout_id,
                null::varchar as bank_file, null::bigint as bank_line,
                null::date as opened_on, null::date as closed_on, null::bigint as delta_minor,
                0::bigint as amount_minor, null::varchar as group_id, match_tier::integer as match_tier,
                match_rule, abs(settled_amount_minor)::bigint as settled_minor
            from published.marts.fct_reconciliation
            where match_state = 'matched' and terminal_line is not null and settlement_line is not null
            union all
            select
                break_type, terminal_file, terminal_line::bigint, settlement_file, settlement_line::bigint,
                payout_id, bank_file, bank_line::bigint, opened_on, case when status = 'closed' then closed_on end,
                try_cast(detail ->> '$.delta_minor' as bigint), coalesce(amount_at_risk_minor, 0)::bigint,
                detail ->> '$.group_id', null, null, null
            from published.marts.fct_breaks
        ), keyed as (
            select
                name, {key}, opened_on, closed_on, delta_minor, amount_minor, group_id, match_tier, match_rule,
                settled_minor
            from found
        )
        select *, {ordinal} from keyed
        """
    )
    connection.execute(
        f"""
        create table compared as
        select
            coalesce(labels.name, findings.name) as name,
            labels.name is not null as is_labelled,
            findings.name is not null as is_found,
            coalesce(labels.terminal_file, findings.terminal_file) as terminal_file,
            coalesce(labels.terminal_line, findings.terminal_line) as terminal_line,
            coalesce(labels.settlement_file, findings.settlement_file) as settlement_file,
            coalesce(labels.settlement_line, findings.settlement_line) as settlement_line,
            coalesce(labels.payout_id, findings.payout_id) as payout_id,
            coalesce(labels.bank_file, findings.bank_file) as bank_file,
            coalesce(labels.bank_line, findings.bank_line) as bank_line,
            findings.amount_minor,
            findings.match_tier,
            findings.match_rule,
            findings.settled_minor,
            labels.group_id as label_group_id,
            findings.group_id as found_group_id,
            is_labelled and is_found and coalesce(labels.name, '') in ({_names(_WITH_DELTA)})
                and case
                    when findings.delta_minor is not null then findings.delta_minor <> labels.delta_minor
                    else findings.amount_minor <> abs(labels.delta_minor)
                end as is_delta_wrong,
            is_labelled and is_found and labels.name <> 'pair' and (
                labels.opened_on is distinct from findings.opened_on
                or labels.closed_on is distinct from findings.closed_on
            ) as is_timing_wrong,
            labels.opened_on as label_opened_on,
            labels.closed_on as label_closed_on,
            findings.opened_on as found_opened_on,
            findings.closed_on as found_closed_on
        from labels
        full outer join findings
            on labels.name = findings.name
            and labels.terminal_file is not distinct from findings.terminal_file
            and labels.terminal_line is not distinct from findings.terminal_line
            and labels.settlement_file is not distinct from findings.settlement_file
            and labels.settlement_line is not distinct from findings.settlement_line
            and labels.payout_id is not distinct from findings.payout_id
            and labels.bank_file is not distinct from findings.bank_file
            and labels.bank_line is not distinct from findings.bank_line
            and labels.ordinal = findings.ordinal
        """
    )


_EVIDENCE = """
    concat_ws(' <-> ', payout_id, terminal_file || ' line ' || terminal_line,
        settlement_file || ' line ' || settlement_line, bank_file || ' entry ' || bank_line)
"""
_ORDER = (
    "name, terminal_file, terminal_line, settlement_file, settlement_line, payout_id, bank_file, bank_line"
)

# One labelled group is one found group, and no member of another labelled group is in it.
_GROUPS_WRONG = """
with members as (
    select label_group_id, found_group_id from compared
    where name = 'ambiguous_match' and is_labelled and is_found and label_group_id is not null
), found as (
    select found_group_id, count(distinct label_group_id) as groups from members group by found_group_id
)
select count(distinct label_group_id)
from (
    select
        members.label_group_id,
        count(distinct members.found_group_id) = 1
            and count(*) = count(members.found_group_id)
            and max(found.groups) = 1 as is_right
    from members
    left join found on found.found_group_id = members.found_group_id
    group by members.label_group_id
) as judged
where not coalesce(is_right, false)
"""

# What a labelled pair that was not published would have settled: its line is there as an item of its own.
_MISSED_MINOR = """
select sum(abs(lines.settled_amount_minor))::bigint
from compared
join published.marts.fct_reconciliation as lines
    on lines.settlement_file = compared.settlement_file and lines.settlement_line = compared.settlement_line
where compared.name = 'pair' and compared.is_labelled and not compared.is_found
"""


def _score(connection: duckdb.DuckDBPyConnection) -> Score:
    def listed(condition: str, text: str = _EVIDENCE) -> tuple[str, ...]:
        rows = connection.execute(
            f"select {text} from compared where {condition} order by {_ORDER} limit {LISTED_MAX}"
        ).fetchall()
        return tuple(str(row[0]) for row in rows)

    def count(query: str) -> int:
        row = connection.execute(query).fetchone()
        return int(row[0]) if row and row[0] is not None else 0

    counts = connection.execute(
        """
        with names as (
            select distinct case when record_type = 'pair' then 'pair' else break_type end as name from truth
            union
            select distinct name from findings
            union
            select 'pair'
        )
        select
            names.name,
            count(*) filter (is_labelled and is_found),
            count(*) filter (is_found and not is_labelled),
            count(*) filter (is_labelled and not is_found),
            count(*) filter (is_delta_wrong),
            coalesce(sum(amount_minor) filter (is_found), 0)::bigint,
            coalesce(sum(amount_minor) filter (is_found and not is_labelled), 0)::bigint
        from names
        left join compared on compared.name = names.name
        group by names.name
        order by names.name
        """
    ).fetchall()
    scores = [
        TypeScore(
            name=str(name),
            true_positives=int(right),
            false_positives=int(wrong),
            false_negatives=int(missing),
            delta_wrong=int(delta_wrong),
            found_minor=int(found_minor),
            wrong_minor=int(wrong_minor),
            wrong=listed(f"name = '{name}' and is_found and not is_labelled") if wrong else (),
            missing=listed(f"name = '{name}' and is_labelled and not is_found") if missing else (),
        )
        for name, right, wrong, missing, delta_wrong, found_minor, wrong_minor in counts
    ]
    as_of = connection.execute("select run_date from as_of").fetchone()
    if as_of is None or as_of[0] is None:
        raise UsageError(
            "No night is published yet.", next_step="Run a night first: posrecon night --date D."
        )
    return Score(
        run_date=as_of[0],
        labels_later=count("select count(*) from truth where detected_on > (select run_date from as_of)"),
        pairs=next(scored for scored in scores if scored.name == "pair"),
        breaks=tuple(scored for scored in scores if scored.name != "pair"),
        matched_minor=count(
            """
            select sum(abs(settled_amount_minor))::bigint from published.marts.fct_reconciliation
            where match_state = 'matched' and terminal_line is not null and settlement_line is not null
            """
        ),
        wrong_minor=count(
            "select sum(settled_minor)::bigint from compared where name = 'pair' and is_found and not is_labelled"
        ),
        missed_minor=count(_MISSED_MINOR),
        tiers=tuple(
            TierScore(
                tier=int(tier),
                rule=str(rule),
                right=int(right),
                wrong=int(wrong),
                right_minor=int(right_minor),
                wrong_minor=int(wrong_minor),
            )
            for tier, rule, right, wrong, right_minor, wrong_minor in connection.execute(
                """
                select
                    match_tier, match_rule,
                    count(*) filter (is_labelled),
                    count(*) filter (not is_labelled),
                    coalesce(sum(settled_minor) filter (is_labelled), 0)::bigint,
                    coalesce(sum(settled_minor) filter (not is_labelled), 0)::bigint
                from compared
                where name = 'pair' and is_found and match_tier is not null
                group by match_tier, match_rule
                order by match_tier, match_rule
                """
            ).fetchall()
        ),
        groups_wrong=count(_GROUPS_WRONG),
        timing_wrong=count("select count(*) from compared where is_timing_wrong"),
        timing=listed(
            "is_timing_wrong",
            f"""name || ': ' || {_EVIDENCE} || ': expected open ' || label_opened_on || ' to '
                || coalesce(label_closed_on::varchar, 'now') || ', found ' || found_opened_on || ' to '
                || coalesce(found_closed_on::varchar, 'now')""",
        ),
    )


def _ratio(part: int, whole: int) -> str:
    """A ratio with four decimals that never rounds up to 1; a dash when there is nothing to divide."""
    if whole == 0:
        return "-"
    if part == whole:
        return "1.0"
    return f"0.{part * 10_000 // whole:04d}"


def to_dict(result: Score) -> dict[str, object]:
    """The score as plain values for JSON; money in minor units."""

    def plain(scored: TypeScore) -> dict[str, object]:
        return {
            "name": scored.name,
            "true_positives": scored.true_positives,
            "false_positives": scored.false_positives,
            "false_negatives": scored.false_negatives,
            "delta_wrong": scored.delta_wrong,
            "precision": scored.precision,
            "recall": scored.recall,
            "found_minor": scored.found_minor,
            "wrong_minor": scored.wrong_minor,
            "wrong": list(scored.wrong),
            "missing": list(scored.missing),
        }

    return {
        "run_date": result.run_date.isoformat(),
        "perfect": result.perfect,
        "labels_later": result.labels_later,
        "matched_minor": result.matched_minor,
        "wrong_minor": result.wrong_minor,
        "missed_minor": result.missed_minor,
        "precision_by_money": result.precision_minor_text,
        "recall_by_money": result.recall_minor_text,
        "tiers": [asdict(tier) | {"recall_so_far": result.recall_after(tier)} for tier in result.tiers],
        "groups_wrong": result.groups_wrong,
        "pairs": plain(result.pairs),
        "breaks": [plain(scored) for scored in result.breaks],
        "timing_wrong": result.timing_wrong,
        "timing": list(result.timing),
    }


def render(result: Score) -> Group:
    """The score as a table for people, followed by what is wrong, if anything.

    `so far` of a rung is the share of the labelled pairs that it and the rungs before it have found.
    """
    table = Table(
        title=f"Score as of {result.run_date}", box=None, padding=(0, 1, 0, 0), title_justify="left"
    )
    table.add_column("", no_wrap=True)
    for heading in ("labels", "wrong", "missed", "precision", "recall", "money found"):
        table.add_column(heading, justify="right", no_wrap=True)
    for scored in (result.pairs, *result.breaks):
        money = result.matched_minor if scored is result.pairs else scored.found_minor
        table.add_row(
            "pairs" if scored is result.pairs else scored.name,
            f"{scored.true_positives + scored.false_negatives:,}",
            f"{scored.false_positives:,}",
            f"{scored.false_negatives:,}",
            scored.precision_text,
            scored.recall_text,
            format_minor(money),
            style="" if scored.perfect else "bold red",
        )
    rungs = Table(box=None, padding=(0, 1, 0, 0))
    for heading in ("pairs by rung", "right", "wrong", "precision", "so far", "money"):
        rungs.add_column(heading, justify="left" if heading == "pairs by rung" else "right", no_wrap=True)
    for tier in result.tiers:
        rungs.add_row(
            f"{tier.tier} {tier.rule}",
            f"{tier.right:,}",
            f"{tier.wrong:,}",
            _ratio(tier.right, tier.right + tier.wrong),
            result.recall_after(tier),
            format_minor(tier.right_minor + tier.wrong_minor),
            style="bold red" if tier.wrong else "",
        )
    notes = [
        f"Pairs by money: {format_minor(result.wrong_minor)} wrong, {format_minor(result.missed_minor)} missed; "
        f"precision {result.precision_minor_text}, recall {result.recall_minor_text}."
    ]
    if result.groups_wrong:
        notes.append(f"{result.groups_wrong} groups of equal candidates were not found as one group each.")
    if result.labels_later:
        notes.append(
            f"{result.labels_later} labels can only be known after {result.run_date} and were left out."
        )
    for scored in (result.pairs, *result.breaks):
        if scored.delta_wrong:
            notes.append(
                f"{scored.name}: {scored.delta_wrong} found with another money difference than labelled."
            )
        notes += [f"{scored.name}: wrong: {evidence}" for evidence in scored.wrong]
        notes += [f"{scored.name}: missed: {evidence}" for evidence in scored.missing]
    if result.timing_wrong:
        notes.append(f"{result.timing_wrong} breaks were opened or closed on another night than labelled:")
        notes += list(result.timing)
    return Group(table, Text(), rungs, *(Text(note) for note in notes))
