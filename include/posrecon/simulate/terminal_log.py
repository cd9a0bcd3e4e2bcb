"""The native terminal log and the batch totals that terminals print."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa

from posrecon.simulate import wallets
from posrecon.simulate.draft import BIN_LENGTHS, BINS
from posrecon.simulate.events import Events
from posrecon.simulate.kinds import APPROVED, CURRENCIES, RESPONSES, TIMED_OUT, UNLOGGED, Channel, Fault, Kind
from posrecon.simulate.numbers import Bools, Ints, rank_within, stream
from posrecon.simulate.population import Population
from posrecon.simulate.settlement import made_up_rrns, rrn_numbers


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
    first = np.flatnonzero(~np.isin(events.fault, UNLOGGED))
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


@dataclass(frozen=True)
class BatchTotals:
    """Printed totals, one element per terminal, batch and currency, in the order of the files.

    Attributes:
        day: Business day; each has one file.
        line_no: 1-based physical line; the header is line 1.
        in_balance: The printed totals are those of what reached the log.
    """

    day: Ints
    terminal: Ints
    batch: Ints
    currency: Ints
    line_no: Ints
    sale_count: Ints
    sale_minor: Ints
    refund_count: Ints
    refund_minor: Ints
    in_balance: Bools


def batch_close_name(business_date: date) -> str:
    """Name of a day's file of batch totals."""
    return f"batch_close_{business_date:%Y%m%d}.csv"


def batch_totals(events: Events, records: LogRecords, *, seed: int, wrong_per_day: int) -> BatchTotals:
    """Totals as the terminals printed them: they also count what the upload lost, and each event once.

    Sales and completions are net of voids and reversals; refunds stand apart. A few batches are printed wrong.
    """
    rng = stream(seed, 9)
    counts = (events.response == APPROVED) & ~events.cancelled
    is_sale = counts & np.isin(events.kind, (Kind.SALE, Kind.PREAUTH_COMPLETION))
    is_refund = counts & (events.kind == Kind.REFUND)
    is_logged = np.zeros(len(events), dtype=np.bool_)
    is_logged[records.event] = True

    terminals, batches = int(events.terminal.max()) + 1, int(events.batch.max()) + 1
    key = ((events.day * terminals + events.terminal) * batches + events.batch) * len(CURRENCIES)
    keys, place = np.unique(key + events.currency, return_inverse=True)

    def total(condition: Bools, values: Ints | None = None) -> Ints:
        sums = np.zeros(len(keys), dtype=np.int64)
        np.add.at(sums, place[condition], 1 if values is None else values[condition])
        return sums

    printed, logged = (
        [
            total(is_sale & among),
            total(is_sale & among, events.amount_minor),
            total(is_refund & among),
            total(is_refund & among, events.amount_minor),
        ]
        for among in (np.ones(len(events), dtype=np.bool_), is_logged)
    )
    rest, currency = np.divmod(keys, len(CURRENCIES))
    rest, batch = np.divmod(rest, batches)
    day, terminal = np.divmod(rest, terminals)

    wrong = np.zeros(len(keys), dtype=np.bool_)
    shuffled = rng.permutation(len(keys))
    for on_day in range(int(day.max()) + 1):
        wrong[shuffled[(day[shuffled] == on_day) & (currency[shuffled] == 0)][:wrong_per_day]] = True
    # Wrong in turn: a sale too many, money alone, a refund that was not counted or was made up.
    way = np.where(wrong, rng.integers(0, 3, len(keys)), -1)
    step = rng.integers(1, 50_000, len(keys))
    printed[0] += way == 0
    printed[1] += np.where((way == 0) | (way == 1), step, 0)
    printed[2] += way == 2
    printed[3] += np.where(way == 2, step, 0)
    in_balance = np.logical_and.reduce([a == b for a, b in zip(printed, logged, strict=True)])
    return BatchTotals(
        day=day,
        terminal=terminal,
        batch=batch,
        currency=currency,
        line_no=rank_within(day) + 2,
        sale_count=printed[0],
        sale_minor=printed[1],
        refund_count=printed[2],
        refund_minor=printed[3],
        in_balance=in_balance,
    )


def write_files(
    records: LogRecords,
    totals: BatchTotals,
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
        connection.execute(wallets.ORDER_SQL)
        for day in range(nights):
            business_date = start + timedelta(days=day)
            of_day = np.flatnonzero(events.day[records.event] == day)
            for part in (0, 1):
                rows = of_day[records.part[of_day] == part]
                if len(rows):
                    connection.register("records", _table(records.event[rows], events, start))
                    _copy(connection, _LOG_SQL, folder / log_name(business_date, part))
                    written += 1
            connection.register("totals", _totals_table(totals, np.flatnonzero(totals.day == day)))
            _copy(
                connection,
                _BATCH_SQL.format(business_date=business_date),
                folder / batch_close_name(business_date),
            )
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
    case when response = 0 and channel = 0 then printf('%06d', auth_code) end as auth_code,
    kinds.name as txn_type,
    channels.name as channel,
    case when channel = 0 then bins.digits
        || case when in_log_whole
            then lpad(account_no::varchar, (bins.length - 7)::integer, '0') || check_digit::varchar
            else '****' || printf('%04d', last_four) end end as card_no,
    case when channel = 0 then case when card_credit = 1 then 'credit' else 'debit' end end as card_type,
    (amount_minor // 100)::varchar || '.' || printf('%02d', amount_minor % 100) as amount,
    currencies.code as currency,
    strftime(make_timestamp(at_us), '%Y-%m-%dT%H:%M:%S') as txn_time,
    nullif(responses.code, '') as response_code,
    case when orig_stan >= 0 then printf('%06d', orig_stan) end as orig_stan,
    case when orig_batch >= 0 then printf('%06d', orig_batch) end as orig_batch_no,
    case
        when channel > 0 and kind = 1 then order_text(orig_order_no, false)
        when orig_rrn >= 0 then printf('%012d', orig_rrn)
    end as orig_rrn,
    case when channel > 0 then order_text(order_no, kind = 1) end as merchant_order_no,
    case
        when channel > 0 and response = 0
            then wallet_txn_no(
                channel, case when channel = 2 and kind = 1 then orig_order_no else order_no end, kind = 1
            )
    end as channel_txn_no
from records
join merchants on merchants.n = records.merchant
join terminals on terminals.n = records.terminal
join channels on channels.n = records.channel
join kinds on kinds.n = records.kind
join bins on bins.n = records.bin
join responses on responses.n = records.response
join currencies on currencies.n = records.currency
order by records.n
"""

_BATCH_SQL = """
select
    merchants.merchant_id,
    terminals.terminal_id,
    printf('%06d', batch) as batch_no,
    '{business_date}' as business_date,
    sale_count,
    (sale_minor // 100)::varchar || '.' || printf('%02d', sale_minor % 100) as sale_amount,
    refund_count,
    (refund_minor // 100)::varchar || '.' || printf('%02d', refund_minor % 100) as refund_amount,
    currencies.code as currency
from totals
join terminals on terminals.n = totals.terminal
join merchants on merchants.n = terminals.merchant
join currencies on currencies.n = totals.currency
order by totals.line_no
"""


def _register_names(connection: duckdb.DuckDBPyConnection, population: Population) -> None:
    tables: dict[str, dict[str, list[str] | list[int]]] = {
        "merchants": {"merchant_id": population.merchant_ids},
        "terminals": {
            "terminal_id": population.terminal_ids,
            "merchant": population.terminal_merchant.tolist(),
        },
        "currencies": {"code": list(CURRENCIES)},
        "channels": {"name": [channel.name.lower() for channel in Channel]},
        "kinds": {"name": [kind.name.lower() for kind in Kind]},
        "bins": {"digits": [str(number) for number in BINS], "length": list(BIN_LENGTHS)},
        "responses": {"code": list(RESPONSES)},
    }
    for name, columns in tables.items():
        length = len(next(iter(columns.values())))
        connection.register(name, pa.table({"n": np.arange(length), **columns}))


def _totals_table(totals: BatchTotals, rows: Ints) -> pa.Table:
    names = (
        "terminal", "batch", "currency", "line_no", "sale_count", "sale_minor", "refund_count", "refund_minor",
    )  # fmt: skip
    return pa.table({name: getattr(totals, name)[rows] for name in names})


def _table(event: Ints, events: Events, start: date) -> pa.Table:
    original = events.original[event]
    kind = events.kind[event]
    by_stan = np.isin(kind, (Kind.VOID, Kind.REVERSAL))
    by_rrn = np.isin(kind, (Kind.REFUND, Kind.PREAUTH_COMPLETION))
    response = events.response[event]
    is_orphan = original < 0
    is_wallet = events.channel[event] != Channel.CARD
    # Half the circle away from every number that the terminal uses in these days.
    nobodys_stan = (events.counter[event] + 500_000) % 999_999 + 1
    midnight_us = (start - date(1970, 1, 1)).days * 86_400_000_000
    # Some devices leave the batch of the original out: it is then their own batch.
    names_batch = by_stan & ((events.terminal[event] % 2 == 0) | events.is_late_void[event])
    return pa.table(
        {
            "n": np.arange(len(event)),
            "merchant": events.merchant[event],
            "terminal": events.terminal[event],
            "batch": events.batch[event],
            "stan": events.stan[event],
            "channel": events.channel[event],
            # Wallets have order numbers instead.
            "rrn": np.where((response == TIMED_OUT) | is_wallet, -1, rrn_numbers(events, event, start)),
            "order_no": wallets.order_numbers(events, event, start),
            "orig_order_no": wallets.order_numbers(
                events, np.where(is_orphan, event, original), start, is_made_up=is_orphan
            ),
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
            "currency": events.currency[event],
            "orig_stan": np.where(by_stan, np.where(is_orphan, nobodys_stan, events.stan[original]), -1),
            "orig_batch": np.where(names_batch & ~is_orphan, events.batch[original], -1),
            "orig_rrn": np.where(
                by_rrn,
                np.where(is_orphan, made_up_rrns(events, event, start), rrn_numbers(events, original, start)),
                -1,
            ),
        }
    )


def _copy(connection: duckdb.DuckDBPyConnection, query: str, path: Path) -> None:
    connection.execute(f"copy ({query}) to '{str(path).replace(chr(39), chr(39) * 2)}' (format csv, header)")
