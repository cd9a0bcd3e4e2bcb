"""The labels: which pairs and breaks a night can know, and from which night on."""

from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa

from posrecon.simulate.events import Events, Fault
from posrecon.simulate.numbers import Bools, Ints
from posrecon.simulate.payouts import PayoutFault, Payouts
from posrecon.simulate.population import Population
from posrecon.simulate.settlement import Lines
from posrecon.simulate.terminal_log import LogRecords

BREAK_TYPES = (
    "missing_in_settlement",
    "missing_in_terminal_log",
    "amount_mismatch",
    "fee_mismatch",
    "late_settlement",
    "duplicate_in_terminal_log",
    "duplicate_in_settlement",
    "declined_but_settled",
    "reversed_but_settled",
    "payout_not_received",
    "payout_short",
    "payout_over",
)

_COLUMNS = (
    "break_no", "detected_day", "terminal_day", "terminal_part", "terminal_line", "clearing_day", "merchant",
    "settlement_line", "payout_day", "delta_minor", "closed_day", "note_no",
)  # fmt: skip
_NOTES = (
    "", "the line came late", "the copy is in the same file", "the copy is in another file",
    "paid one banking day late",
)  # fmt: skip
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
    lines: Lines,
    payouts: Payouts,
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
        return {"clearing_day": lines.clearing_day[line], "settlement_line": lines.line_no[line]}

    # ---------------------------------------------------------------- pairs and what is wrong with them
    line = np.flatnonzero(~lines.is_copy & (record_of_event[lines.event] >= 0))
    event = lines.event[line]
    night = np.maximum(events.day[event], lines.clearing_day[line]) + 1
    pair = {"merchant": events.merchant[event], **terminal(event), **settled(line)}
    labels.add(len(line), detected_day=night, **pair)
    for fault, name, delta in (
        (Fault.AMOUNT_MISMATCH, "amount_mismatch", lines.delta_minor),
        (Fault.FEE_MISMATCH, "fee_mismatch", lines.fee_delta_minor),
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

    # ---------------------------------------------------------------- no counterpart
    never = np.flatnonzero(events.fault == Fault.MISSING_IN_SETTLEMENT)
    late = np.flatnonzero(events.fault == Fault.LATE_SETTLEMENT)
    for missing, is_late in ((never, 0), (late, 1)):
        arrives = line_of_event[missing]
        labels.add(
            len(missing),
            break_no=break_no("missing_in_settlement"),
            detected_day=due_day[events.day[missing]] + 1,
            merchant=events.merchant[missing],
            closed_day=np.where(arrives >= 0, lines.clearing_day[arrives] + 1, _NULL) if is_late else _NULL,
            note_no=is_late,
            **terminal(missing),
        )
    unlogged = np.flatnonzero(~lines.is_copy & (record_of_event[lines.event] < 0))
    labels.add(
        len(unlogged),
        break_no=break_no("missing_in_terminal_log"),
        detected_day=lines.clearing_day[unlogged] + 1,
        merchant=lines.merchant[unlogged],
        **settled(unlogged),
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
            merchant=payouts.merchant[rows],
            payout_day=payouts.settlement_day[rows],
            delta_minor=delta,
            closed_day=np.where(was_late, payouts.paid_day[rows] + 1, _NULL),
            note_no=np.where(was_late, 4, 0),
        )
    return _write(labels.table(), path, population, start=start)


def _first_position(keys: Ints, wanted: Bools, size: int) -> Ints:
    """Position of the wanted row of every key; -1 where there is none. A key has at most one wanted row."""
    positions = np.full(size, -1, dtype=np.int64)
    rows = np.flatnonzero(wanted)
    positions[keys[rows]] = rows
    return positions


def _write(table: pa.Table, path: Path, population: Population, *, start: date) -> dict[str, int]:
    types = pa.table({"n": np.arange(len(BREAK_TYPES)), "name": list(BREAK_TYPES)})
    notes = pa.table({"n": np.arange(len(_NOTES)), "note": list(_NOTES)})
    merchants = pa.table(
        {
            "n": np.arange(len(population.merchant_ids)),
            "merchant_id": population.merchant_ids,
            "mer_id": population.mer_ids,
        }
    )
    with duckdb.connect() as connection:
        for name, relation in (
            ("labels", table),
            ("types", types),
            ("notes", notes),
            ("merchants", merchants),
        ):
            connection.register(name, relation)
        connection.execute(
            f"""
            create table truth as
            select
                case when break_no is null then 'pair' else 'break' end as record_type,
                types.name as break_type,
                date '{start}' + detected_day::integer as detected_on,
                'terminal_log_' || strftime(date '{start}' + terminal_day::integer, '%Y%m%d')
                    || case when terminal_part = 1 then '_b' else '' end || '.csv' as terminal_file,
                terminal_line,
                'INN' || strftime(date '{start}' + clearing_day::integer, '%y%m%d') || '88ZM_' || mer_id
                    as settlement_file,
                settlement_line,
                merchant_id,
                'unionpay:' || merchant_id || ':' || (date '{start}' + payout_day::integer)::varchar
                    as payout_id,
                delta_minor,
                date '{start}' + closed_day::integer as closed_on,
                nullif(note, '') as note
            from labels
            join merchants on merchants.n = labels.merchant
            left join types on types.n = labels.break_no
            left join notes on notes.n = labels.note_no
            """
        )
        target = str(path).replace("'", "''")
        connection.execute(
            f"""
            copy (
                select * from truth
                order by detected_on, record_type, break_type, terminal_file, terminal_line, settlement_file,
                    settlement_line, payout_id
            ) to '{target}' (format csv, header)
            """
        )
        counts = connection.execute(
            "select coalesce(break_type, 'pair'), count(*) from truth group by 1 order by 1"
        ).fetchall()
    return {str(name): int(count) for name, count in counts}
