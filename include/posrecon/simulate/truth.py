"""The labels: which pairs and breaks a night can know, and from which night on."""

from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa

from posrecon.simulate.disputes import Disputes
from posrecon.simulate.events import Events
from posrecon.simulate.kinds import ACQUIRERS, IN_GROUP, Channel, Fault, Kind
from posrecon.simulate.numbers import Bools, Ints
from posrecon.simulate.payouts import PayoutFault, Payouts, Stray, StrayEntries, accounts_of
from posrecon.simulate.population import Population
from posrecon.simulate.settlement import Lines
from posrecon.simulate.terminal_log import BatchTotals, LogRecords
from posrecon.simulate.wallets import evidence_name

BREAK_TYPES = (
    "missing_in_settlement",
    "missing_in_terminal_log",
    "amount_mismatch",
    "currency_mismatch",
    "fee_mismatch",
    "net_mismatch",
    "late_settlement",
    "duplicate_in_terminal_log",
    "duplicate_in_settlement",
    "declined_but_settled",
    "reversed_but_settled",
    "refund_not_settled",
    "refund_exceeds_original",
    "orphan_reference",
    "ambiguous_match",
    "batch_out_of_balance",
    "stan_gap",
    "payout_not_received",
    "payout_short",
    "payout_over",
    "unidentified_credit",
    "unexplained_deduction",
    "chargeback",
)

# `batch_file` and `dispute_file` are 1 where the evidence is in a file of batch totals or of disputes.
_COLUMNS = (
    "break_no", "detected_day", "terminal_day", "terminal_part", "terminal_line", "batch_file", "clearing_day",
    "acquirer", "merchant", "settlement_line", "dispute_file", "payout_day", "delta_minor", "closed_day", "note_no",
    "bank_day", "bank_account", "bank_line", "group", "gap_first", "gap_last", "gap_count",
)  # fmt: skip
_NOTES = (
    "", "the line came late", "the copy is in the same file", "the copy is in another file",
    "paid one banking day late", "interchangeable", "void", "reversal", "refund", "voided after it was settled",
)  # fmt: skip
_INTERCHANGEABLE = 5
_VOIDED_LATER = 9
_ORPHAN_NOTES = {Kind.VOID: 6, Kind.REVERSAL: 7, Kind.REFUND: 8}
_NULL = -(2**62)


@dataclass
class _Labels:
    """Collects labels column by column; a column that a label leaves out is null."""

    columns: dict[str, list[Ints]] = field(default_factory=lambda: {name: [] for name in _COLUMNS})

    def add(self, count: int, **values: Ints | int) -> None:
        for name in _COLUMNS:
            value = values.get(name, _NULL)
            self.columns[name].append(np.broadcast_to(np.asarray(value, dtype=np.int64), (count,)))

    def table(self) -> pa.Table:
        columns = {name: np.concatenate(parts) for name, parts in self.columns.items()}
        return pa.table({name: pa.array(column, mask=column == _NULL) for name, column in columns.items()})


def write_truth(
    path: Path,
    *,
    events: Events,
    records: LogRecords,
    totals: BatchTotals,
    lines: Lines,
    disputes: Disputes,
    payouts: Payouts,
    strays: StrayEntries,
    population: Population,
    due_day: Ints,
    start: date,
) -> dict[str, int]:
    """Write truth.csv; returns the number of labels: pairs under "pair", breaks under their type.

    Every label has the run date of the first night that can know it. The night of run date day + 1 reads the
    terminal log of `day`, the settlement files of clearing day `day` and the statements booked on `day`.
    """
    labels = _Labels()
    line_of_event = _first_position(lines.event, ~lines.is_copy, len(events))
    record_of_event = _first_position(records.event, ~records.is_copy, len(events))

    def break_no(name: str) -> int:
        return BREAK_TYPES.index(name)

    def terminal(event: Ints) -> dict[str, Ints]:
        record = record_of_event[event]
        return {
            "terminal_day": events.day[event],
            "terminal_part": records.part[record],
            "terminal_line": records.line_no[record],
        }

    def settled(line: Ints) -> dict[str, Ints]:
        return {
            "acquirer": lines.channel[line],
            "clearing_day": lines.clearing_day[line],
            "settlement_line": lines.line_no[line],
        }

    # ---------------------------------------------------------------- pairs and what is wrong with them
    no_pair = np.isin(events.fault, (*IN_GROUP, Fault.OUT_OF_REACH))[lines.event]
    line = np.flatnonzero(~lines.is_copy & (record_of_event[lines.event] >= 0) & ~no_pair)
    event = lines.event[line]
    night = np.maximum(events.day[event], lines.clearing_day[line]) + 1
    pair = {"merchant": events.merchant[event], **terminal(event), **settled(line)}
    labels.add(
        len(line),
        detected_day=night,
        note_no=np.where(events.fault[event] == Fault.INTERCHANGEABLE, _INTERCHANGEABLE, 0),
        **pair,
    )
    for fault, name, delta in (
        (Fault.AMOUNT_MISMATCH, "amount_mismatch", lines.delta_minor),
        (Fault.FEE_MISMATCH, "fee_mismatch", lines.fee_delta_minor),
        (Fault.NET_MISMATCH, "net_mismatch", lines.net_delta_minor),
        (Fault.CURRENCY_MISMATCH, "currency_mismatch", None),
        (Fault.LATE_SETTLEMENT, "late_settlement", None),
        (Fault.DECLINED_BUT_SETTLED, "declined_but_settled", None),
        (Fault.REVERSED_BUT_SETTLED, "reversed_but_settled", None),
    ):
        rows = np.flatnonzero(events.fault[event] == fault)
        labels.add(
            len(rows),
            break_no=break_no(name),
            detected_day=night[rows],
            delta_minor=_NULL if delta is None else delta[line[rows]],
            **{column: values[rows] for column, values in pair.items()},
        )

    late_voids = np.flatnonzero(events.is_late_void)
    row_of_event = _first_position(event, np.ones(len(event), dtype=np.bool_), len(events))
    rows = row_of_event[events.original[late_voids]]
    labels.add(
        len(rows),
        break_no=break_no("reversed_but_settled"),
        detected_day=np.maximum(night[rows], events.day[late_voids] + 1),
        note_no=_VOIDED_LATER,
        **{column: values[rows] for column, values in pair.items()},
    )

    # ---------------------------------------------------------------- no counterpart
    never = np.isin(events.fault, (Fault.MISSING_IN_SETTLEMENT, Fault.OUT_OF_REACH))
    late = events.fault == Fault.LATE_SETTLEMENT
    is_refund = events.kind == Kind.REFUND
    for name, of_kind in (("missing_in_settlement", ~is_refund), ("refund_not_settled", is_refund)):
        for missing, is_late in ((np.flatnonzero(never & of_kind), 0), (np.flatnonzero(late & of_kind), 1)):
            arrives = line_of_event[missing]
            labels.add(
                len(missing),
                break_no=break_no(name),
                detected_day=due_day[events.day[missing]] + 1,
                merchant=events.merchant[missing],
                closed_day=np.where(arrives >= 0, lines.clearing_day[arrives] + 1, _NULL)
                if is_late
                else _NULL,
                note_no=is_late,
                **terminal(missing),
            )
    is_unlogged = (record_of_event[lines.event] < 0) & (events.fault[lines.event] != Fault.AMBIGUOUS_UNLOGGED)
    is_unlogged |= events.fault[lines.event] == Fault.OUT_OF_REACH
    unlogged = np.flatnonzero(~lines.is_copy & is_unlogged)
    labels.add(
        len(unlogged),
        break_no=break_no("missing_in_terminal_log"),
        detected_day=lines.clearing_day[unlogged] + 1,
        merchant=lines.merchant[unlogged],
        **settled(unlogged),
    )

    # ---------------------------------------------------------------- several equal candidates
    # All members of a group are of one day, well before the cut-off, so the same night knows them all.
    member = np.flatnonzero((events.group >= 0) & (record_of_event >= 0))
    labels.add(
        len(member),
        break_no=break_no("ambiguous_match"),
        detected_day=events.day[member] + 1,
        merchant=events.merchant[member],
        group=events.group[member],
        **terminal(member),
    )
    member = np.flatnonzero((events.group >= 0)[lines.event])
    labels.add(
        len(member),
        break_no=break_no("ambiguous_match"),
        detected_day=lines.clearing_day[member] + 1,
        merchant=lines.merchant[member],
        group=events.group[lines.event[member]],
        **settled(member),
    )

    # ---------------------------------------------------------------- references to earlier events
    for fault, name in (
        (Fault.REFUND_EXCEEDS, "refund_exceeds_original"),
        (Fault.ORPHAN_REFERENCE, "orphan_reference"),
    ):
        rows = np.flatnonzero(events.fault == fault)
        notes = np.zeros(len(rows), dtype=np.int64)
        for kind, note in _ORPHAN_NOTES.items():
            if fault is Fault.ORPHAN_REFERENCE:
                notes = np.where(events.kind[rows] == kind, note, notes)
        labels.add(
            len(rows),
            break_no=break_no(name),
            detected_day=events.day[rows] + 1,
            merchant=events.merchant[rows],
            note_no=notes,
            **terminal(rows),
        )

    # ---------------------------------------------------------------- what terminals count themselves
    # A void after the close leaves the printed totals with a sale too many: a batch that was wrong before is wrong in
    # another way from then on.
    changed_day = _changed_later(events, totals, late_voids)
    for wrong, opened, closed, note in (
        (np.flatnonzero(~totals.in_balance), totals.day, changed_day, 0),
        (np.flatnonzero(changed_day >= 0), changed_day, np.full_like(changed_day, -1), _VOIDED_LATER),
    ):
        labels.add(
            len(wrong),
            break_no=break_no("batch_out_of_balance"),
            detected_day=opened[wrong] + 1,
            merchant=population.terminal_merchant[totals.terminal[wrong]],
            terminal_day=totals.day[wrong],
            terminal_line=totals.line_no[wrong],
            batch_file=1,
            closed_day=np.where(closed[wrong] >= 0, closed[wrong] + 1, _NULL),
            note_no=note,
        )
    after, first_missing, count = _holes(events, record_of_event >= 0)
    labels.add(
        len(after),
        break_no=break_no("stan_gap"),
        detected_day=events.day[after] + 1,
        merchant=events.merchant[after],
        gap_first=first_missing % 999_999 + 1,
        gap_last=(first_missing + count - 1) % 999_999 + 1,
        gap_count=count,
        **terminal(after),
    )

    # ---------------------------------------------------------------- copies
    copy = np.flatnonzero(lines.is_copy)
    other_file = events.fault[lines.event[copy]] == Fault.SETTLED_TWICE_NEXT_FILE
    labels.add(
        len(copy),
        break_no=break_no("duplicate_in_settlement"),
        detected_day=lines.clearing_day[copy] + 1,
        merchant=lines.merchant[copy],
        note_no=2 + other_file,
        **settled(copy),
    )
    again = np.flatnonzero(records.is_copy)
    event = records.event[again]
    labels.add(
        len(again),
        break_no=break_no("duplicate_in_terminal_log"),
        detected_day=events.day[event] + 1,
        merchant=events.merchant[event],
        terminal_day=events.day[event],
        terminal_part=records.part[again],
        terminal_line=records.line_no[again],
        note_no=2 + (records.part[again] != records.part[record_of_event[event]]),
    )

    # ---------------------------------------------------------------- payouts
    missed = np.isin(payouts.fault, (PayoutFault.NOT_RECEIVED, PayoutFault.PAID_LATE))
    for rows, name, night in (
        (np.flatnonzero(missed), "payout_not_received", payouts.due_day + 1),
        (np.flatnonzero(payouts.fault == PayoutFault.SHORT), "payout_short", payouts.paid_day + 1),
        (np.flatnonzero(payouts.fault == PayoutFault.OVER), "payout_over", payouts.paid_day + 1),
    ):
        was_late = payouts.fault[rows] == PayoutFault.PAID_LATE
        delta = np.where(missed[rows], 0, payouts.paid_minor[rows]) - payouts.expected_minor[rows]
        labels.add(
            len(rows),
            break_no=break_no(name),
            detected_day=night[rows],
            acquirer=payouts.channel[rows],
            merchant=payouts.merchant[rows],
            payout_day=payouts.settlement_day[rows],
            delta_minor=delta,
            closed_day=np.where(was_late, payouts.paid_day[rows] + 1, _NULL),
            note_no=np.where(was_late, 4, 0),
        )

    # ---------------------------------------------------------------- money that nothing explains, and disputes
    for stray, name, sign in (
        (Stray.CREDIT, "unidentified_credit", 1),
        (Stray.DEBIT, "unexplained_deduction", -1),
    ):
        rows = np.flatnonzero(strays.kind == stray)
        labels.add(
            len(rows),
            break_no=break_no(name),
            detected_day=strays.day[rows] + 1,
            merchant=strays.merchant[rows],
            bank_day=strays.day[rows],
            bank_account=strays.account[rows],
            bank_line=strays.line_no[rows],
            delta_minor=sign * strays.amount_minor[rows],
        )
    labels.add(
        len(disputes),
        break_no=break_no("chargeback"),
        detected_day=disputes.day + 1,
        acquirer=Channel.CARD,
        merchant=disputes.merchant,
        clearing_day=disputes.day,
        settlement_line=disputes.line_no,
        dispute_file=1,
        delta_minor=disputes.net_minor,
    )
    nights = int(due_day.size)
    return _write(labels.table(), path, population, start=start, nights=nights)


def _changed_later(events: Events, totals: BatchTotals, late_voids: Ints) -> Ints:
    """Per printed total, the day on which a void of the day after takes a sale out of its batch; -1 for none."""
    batches = int(events.batch.max(initial=0)) + 1
    voided = events.original[late_voids]
    key = events.terminal[voided] * batches + events.batch[voided]
    keys = totals.terminal * batches + totals.batch
    # Such sales are in CNY, which has a total of its own; all voids of a batch come on one day.
    rows = np.flatnonzero((totals.currency == 0) & np.isin(keys, key))
    changed = np.full(len(keys), -1, dtype=np.int64)
    changed[rows] = totals.day[rows] + 1
    return changed


def _holes(events: Events, is_logged: Bools) -> tuple[Ints, Ints, Ints]:
    """Runs of numbers that a terminal counted within one batch and that are not in the log.

    Returns:
        (first logged event after each hole, first missing counter, how many are missing).
    """
    logged = np.flatnonzero(is_logged)
    order = logged[np.lexsort((events.counter[logged], events.batch[logged], events.terminal[logged]))]
    terminal, batch, counter = events.terminal[order], events.batch[order], events.counter[order]
    same = (terminal[1:] == terminal[:-1]) & (batch[1:] == batch[:-1])
    missing = counter[1:] - counter[:-1] - 1
    rows = np.flatnonzero(same & (missing > 0))
    return order[rows + 1], counter[rows] + 1, missing[rows]


def _first_position(keys: Ints, wanted: Bools, size: int) -> Ints:
    """Position of the wanted row of every key; -1 where there is none. A key has at most one wanted row."""
    positions = np.full(size, -1, dtype=np.int64)
    rows = np.flatnonzero(wanted)
    positions[keys[rows]] = rows
    return positions


def _bills(population: Population, *, start: date, nights: int) -> pa.Table:
    """What evidence calls every bill."""
    bills = [
        (merchant, channel, day) for merchant, channel in population.wallet_desks for day in range(nights)
    ]
    return pa.table(
        {
            "merchant": pa.array([merchant for merchant, _, _ in bills], pa.int64()),
            "acquirer": pa.array([int(channel) for _, channel, _ in bills], pa.int64()),
            "day": pa.array([day for _, _, day in bills], pa.int64()),
            "file": pa.array([evidence_name(population, *bill, start) for bill in bills], pa.string()),
        }
    )


def _write(
    table: pa.Table, path: Path, population: Population, *, start: date, nights: int
) -> dict[str, int]:
    types = pa.table({"n": np.arange(len(BREAK_TYPES)), "name": list(BREAK_TYPES)})
    notes = pa.table({"n": np.arange(len(_NOTES)), "note": list(_NOTES)})
    merchants = pa.table(
        {
            "n": np.arange(len(population.merchant_ids)),
            "merchant_id": population.merchant_ids,
            "mer_id": population.mer_ids,
        }
    )
    accounts = accounts_of(population)
    account_table = pa.table({"n": np.arange(len(accounts)), "account": accounts})
    with duckdb.connect() as connection:
        for name, relation in (
            ("labels", table),
            ("types", types),
            ("notes", notes),
            ("merchants", merchants),
            ("accounts", account_table),
            ("acquirers", pa.table({"n": np.arange(len(ACQUIRERS)), "acquirer": list(ACQUIRERS)})),
            ("bills", _bills(population, start=start, nights=nights)),
        ):
            connection.register(name, relation)
        connection.execute(
            f"""
            create table truth as
            select
                case when break_no is null then 'pair' else 'break' end as record_type,
                types.name as break_type,
                date '{start}' + detected_day::integer as detected_on,
                case when batch_file = 1 then 'batch_close_' else 'terminal_log_' end
                    || strftime(date '{start}' + terminal_day::integer, '%Y%m%d')
                    || case when terminal_part = 1 then '_b' else '' end || '.csv' as terminal_file,
                terminal_line,
                case
                    when labels.acquirer > 0 then bills.file
                    else 'INN' || strftime(date '{start}' + clearing_day::integer, '%y%m%d')
                        || case when dispute_file = 1 then '88ZME_' else '88ZM_' end || mer_id
                end as settlement_file,
                settlement_line,
                merchant_id,
                acquirers.acquirer || ':' || merchant_id || ':' || (date '{start}' + payout_day::integer)::varchar
                    as payout_id,
                delta_minor,
                date '{start}' + closed_day::integer as closed_on,
                case
                    when gap_count is not null then printf(
                        'first %06d, last %06d, count %d', gap_first, gap_last, gap_count
                    )
                    else nullif(note, '')
                end as note,
                'MT940_' || account || '_' || strftime(date '{start}' + bank_day::integer, '%Y%m%d') || '.sta'
                    as bank_file,
                bank_line,
                'group-' || labels."group" as group_id
            from labels
            join merchants on merchants.n = labels.merchant
            left join types on types.n = labels.break_no
            left join notes on notes.n = labels.note_no
            left join accounts on accounts.n = labels.bank_account
            left join acquirers on acquirers.n = labels.acquirer
            left join bills on bills.merchant = labels.merchant and bills.acquirer = labels.acquirer
                and bills.day = labels.clearing_day
            """
        )
        target = str(path).replace("'", "''")
        connection.execute(
            f"""
            copy (
                select * from truth
                order by detected_on, record_type, break_type, terminal_file, terminal_line, settlement_file,
                    settlement_line, payout_id, bank_file, bank_line
            ) to '{target}' (format csv, header)
            """
        )
        counts = connection.execute(
            "select coalesce(break_type, 'pair'), count(*) from truth group by 1 order by 1"
        ).fetchall()
    return {str(name): int(count) for name, count in counts}
