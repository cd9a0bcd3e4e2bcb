"""The native terminal log and the batch totals that terminals print."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa

from posrecon.simulate.events import APPROVED, BIN_LENGTHS, BINS, RESPONSES, TIMED_OUT, Events, Fault, Kind
from posrecon.simulate.numbers import Bools, Ints, rank_within, stream
from posrecon.simulate.population import Population
from posrecon.simulate.settlement import rrn_numbers


@dataclass(frozen=True)
class LogRecords:
    """Records of the terminal logs in file order: by business day, file and line.

    Attributes:
        event: Index of the event.
        is_copy: A later copy of a record logged before.
        part: 0 the main log of the day, 1 the second one (suffix _b).
        line_no: 1-based physical line; the header is line 1.
    """

    event: Ints
    is_copy: Bools
    part: Ints
    line_no: Ints


def log_name(business_date: date, part: int) -> str:
    """Name of a terminal log; part b holds the second region and what was sent again."""
    return f"terminal_log_{business_date:%Y%m%d}{'_b' if part else ''}.csv"


def log_records(events: Events, population: Population, *, seed: int) -> LogRecords:
    """Lay out every day in time order: lost records left out, repeated ones again further down."""
    rng = stream(seed, 4)
    first = np.flatnonzero(events.fault != Fault.MISSING_IN_TERMINAL_LOG)
    copies = np.flatnonzero(
        np.isin(events.fault, (Fault.LOGGED_TWICE_SAME_FILE, Fault.LOGGED_TWICE_OTHER_FILE))
    )
    event = np.concatenate([first, copies])
    is_copy = np.concatenate([np.zeros(len(first), dtype=np.bool_), np.ones(len(copies), dtype=np.bool_)])
    moved = is_copy & (events.fault[event] == Fault.LOGGED_TWICE_OTHER_FILE)
    part = np.where(moved, 1, population.region_b[events.merchant[event]])
    place = events.second[event] + np.where(is_copy, rng.integers(1, 3600, len(event)), 0)
    order = np.lexsort((is_copy, event, place, part, events.day[event]))
    event, is_copy, part = event[order], is_copy[order], part[order]
    return LogRecords(
        event=event, is_copy=is_copy, part=part, line_no=rank_within(events.day[event] * 2 + part) + 2
    )


def write_files(
    records: LogRecords,
    events: Events,
    population: Population,
    folder: Path,
    *,
    start: date,
    nights: int,
    progress: Callable[[int, int], None],
) -> int:
    """Write terminal logs and batch totals of every business day; returns how many files."""
    folder.mkdir(parents=True, exist_ok=True)
    written = 0
    with duckdb.connect() as connection:
        _register_names(connection, population)
        for day in range(nights):
            business_date = start + timedelta(days=day)
            of_day = np.flatnonzero(events.day[records.event] == day)
            for part in (0, 1):
                rows = of_day[records.part[of_day] == part]
                if len(rows):
                    connection.register("records", _table(records.event[rows], events, start))
                    _copy(connection, _LOG_SQL, folder / log_name(business_date, part))
                    written += 1
            connection.register("totals", _table(np.flatnonzero(events.day == day), events, start))
            _copy(connection, _BATCH_SQL, folder / f"batch_close_{business_date:%Y%m%d}.csv")
            written += 1
            progress(day + 1, nights)
    return written


_LOG_SQL = """
select
    merchants.merchant_id,
    terminals.terminal_id,
    printf('%06d', batch) as batch_no,
    printf('%06d', stan) as stan,
    case when rrn >= 0 then printf('%012d', rrn) end as rrn,
    case when response = 0 then printf('%06d', auth_code) end as auth_code,
    kinds.name as txn_type,
    'card' as channel,
    bins.digits
        || case when in_log_whole
            then lpad(account_no::varchar, (bins.length - 7)::integer, '0') || check_digit::varchar
            else '****' || printf('%04d', last_four) end as card_no,
    case when card_credit = 1 then 'credit' else 'debit' end as card_type,
    (amount_minor // 100)::varchar || '.' || printf('%02d', amount_minor % 100) as amount,
    'CNY' as currency,
    strftime(make_timestamp(at_us), '%Y-%m-%dT%H:%M:%S') as txn_time,
    nullif(responses.code, '') as response_code,
    case when orig_stan >= 0 then printf('%06d', orig_stan) end as orig_stan,
    case when orig_batch >= 0 then printf('%06d', orig_batch) end as orig_batch_no,
    case when orig_rrn >= 0 then printf('%012d', orig_rrn) end as orig_rrn,
    null as merchant_order_no,
    null as channel_txn_no
from records
join merchants on merchants.n = records.merchant
join terminals on terminals.n = records.terminal
join kinds on kinds.n = records.kind
join bins on bins.n = records.bin
join responses on responses.n = records.response
order by records.n
"""

# As the terminal printed them: it also counts what its upload lost, and each event once.
_BATCH_SQL = """
with counted as (
    select merchant, terminal, batch, business_date, amount_minor,
        counts and kind in (0, 5) as is_sale, counts and kind = 1 as is_refund
    from totals
), summed as (
    select merchant, terminal, batch, business_date,
        count(*) filter (is_sale) as sale_count,
        coalesce(sum(amount_minor) filter (is_sale), 0)::bigint as sale_minor,
        count(*) filter (is_refund) as refund_count,
        coalesce(sum(amount_minor) filter (is_refund), 0)::bigint as refund_minor
    from counted
    group by all
)
select
    merchants.merchant_id,
    terminals.terminal_id,
    printf('%06d', batch) as batch_no,
    business_date,
    sale_count,
    (sale_minor // 100)::varchar || '.' || printf('%02d', sale_minor % 100) as sale_amount,
    refund_count,
    (refund_minor // 100)::varchar || '.' || printf('%02d', refund_minor % 100) as refund_amount,
    'CNY' as currency
from summed
join merchants on merchants.n = summed.merchant
join terminals on terminals.n = summed.terminal
order by terminal, batch
"""


def _register_names(connection: duckdb.DuckDBPyConnection, population: Population) -> None:
    tables: dict[str, dict[str, list[str] | list[int]]] = {
        "merchants": {"merchant_id": population.merchant_ids},
        "terminals": {"terminal_id": population.terminal_ids},
        "kinds": {"name": [kind.name.lower() for kind in Kind]},
        "bins": {"digits": [str(number) for number in BINS], "length": list(BIN_LENGTHS)},
        "responses": {"code": list(RESPONSES)},
    }
    for name, columns in tables.items():
        length = len(next(iter(columns.values())))
        connection.register(name, pa.table({"n": np.arange(length), **columns}))


def batch_numbers(events: Events, event: Ints) -> Ints:
    """One batch per terminal and day: every terminal's own counter goes up by one a day."""
    return (events.terminal[event] * 37 % 900) + 1 + events.day[event]


def _table(event: Ints, events: Events, start: date) -> pa.Table:
    original = events.original[event]
    kind = events.kind[event]
    by_stan = np.isin(kind, (Kind.VOID, Kind.REVERSAL))
    by_rrn = np.isin(kind, (Kind.REFUND, Kind.PREAUTH_COMPLETION))
    response = events.response[event]
    midnight_us = (start - date(1970, 1, 1)).days * 86_400_000_000
    # Some devices leave the batch of the original out: it is then their own batch.
    names_batch = by_stan & (events.terminal[event] % 2 == 0)
    return pa.table(
        {
            "n": np.arange(len(event)),
            "merchant": events.merchant[event],
            "terminal": events.terminal[event],
            "batch": batch_numbers(events, event),
            "business_date": pa.array(events.day[event] + (start - date(1970, 1, 1)).days, pa.int64())
            .cast(pa.int32())
            .cast(pa.date32()),
            "stan": events.stan[event],
            "rrn": np.where(response == TIMED_OUT, -1, rrn_numbers(events, event, start)),
            "auth_code": events.auth_code[event],
            "kind": kind,
            "bin": events.bin[event],
            "account_no": events.account_no[event],
            "check_digit": events.check_digit[event],
            "last_four": events.last_four[event],
            "in_log_whole": events.in_log_whole[event],
            "card_credit": events.card_credit[event],
            "amount_minor": events.amount_minor[event],
            "at_us": midnight_us + events.at_s[event] * 1_000_000,
            "response": response,
            "orig_stan": np.where(by_stan, events.stan[original], -1),
            "orig_batch": np.where(names_batch, batch_numbers(events, original), -1),
            "orig_rrn": np.where(by_rrn, rrn_numbers(events, original, start), -1),
            "counts": (response == APPROVED) & ~events.cancelled[event],
        }
    )


def _copy(connection: duckdb.DuckDBPyConnection, query: str, path: Path) -> None:
    connection.execute(f"copy ({query}) to '{str(path).replace(chr(39), chr(39) * 2)}' (format csv, header)")
