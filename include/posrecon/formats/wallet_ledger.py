"""What moved on the balance of a wallet account: WeChat Pay's fund flow (资金账单), Alipay's account bill (账务明细).

A trade bill says what was sold; these say what was booked: trades, refunds, fees, withdrawals to the bank, each with
the balance after it. They prove payouts and fees, and are evidence: nothing is matched against them. The balance must
follow from line to line and the totals must tie, else the bill is refused whole.

Columns about persons (who asked for a change of funds, the account of the counterparty, the goods) are not written.

Source: WeChat Pay merchant documentation, 申请资金账单; Alipay open platform, 对账单, 账务明细.
"""

import csv
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import pyarrow as pa

from posrecon.errors import BadLine, LayoutError
from posrecon.formats.bills import (
    PID_DIGITS,
    Desk,
    Total,
    fields_sql,
    first_day,
    peek_first_record,
    peek_text,
    read_bill,
    refuse,
    require_day,
    require_owner,
    require_totals,
    show_units,
    units_of,
)
from posrecon.formats.layout import Job, Parsed, arrow_schema
from posrecon.landing.sources import Source

LEDGER_SCHEMA = arrow_schema(
    file_no=pa.int64(),
    line_no=pa.int64(),
    acquirer=pa.string(),
    account=pa.string(),
    booked_local=pa.timestamp("us"),
    entry_no=pa.string(),
    acquirer_txn_no=pa.string(),
    merchant_order_no=pa.string(),
    entry_kind=pa.string(),
    entry_text=pa.string(),
    currency=pa.string(),
    amount_minor=pa.int64(),
    balance_minor=pa.int64(),
)
_SQL_TYPES = {"string": "varchar", "int64": "bigint", "timestamp[us]": "timestamp"}
_MARK = r'[\x{FEFF}"`\s]*'


@dataclass(frozen=True, kw_only=True)
class _Kind:
    """One of the two bills.

    Attributes:
        title: For messages.
        header: First name of its header.
        columns: Name in the code → header, with half-width brackets.
        optional: Columns that not every bill has.
        start: Pattern of the beginning of a record.
        amount_sql: Hundred-thousandths of the major unit, positive = into the account; null when it is none.
    """

    title: str
    header: str
    columns: dict[str, str]
    optional: tuple[str, ...]
    start: str
    amount_sql: str


_FUND_FLOW = _Kind(
    title="fund flow bill (资金账单)",
    header="记账时间",
    columns={
        "booked": "记账时间",
        "acquirer_txn_no": "微信支付业务单号",
        "entry_no": "资金流水单号",
        "entry_text": "业务类型",
        "side": "收支类型",
        "amount": "收支金额(元)",
        "balance": "账户结余(元)",
        "merchant_order_no": "业务凭证号",
    },
    optional=("merchant_order_no",),
    start=r'^"?`?\d',
    amount_sql="case side when '收入' then to_units(amount) when '支出' then -to_units(amount) end",
)
_ACCOUNT_BILL = _Kind(
    title="account bill (账务明细)",
    header="账务流水号",
    columns={
        "entry_no": "账务流水号",
        "acquirer_txn_no": "业务流水号",
        "merchant_order_no": "商户订单号",
        "booked": "发生时间",
        "paid_in": "收入金额(+元)",
        "paid_out": "支出金额(-元)",
        "balance": "账户余额(元)",
        "entry_text": "业务类型",
    },
    optional=(),
    start=r'^"?\s*\d',
    # One of the two columns is blank or zero; money out may have its minus or not.
    amount_sql="""case
        when coalesce(to_units(paid_in), 0) <> 0 and coalesce(to_units(paid_out), 0) <> 0 then null
        when (paid_in is null or to_units(paid_in) is not null) and (paid_out is null or to_units(paid_out) is not null)
            and coalesce(paid_in, paid_out) is not null
            then coalesce(to_units(paid_in), 0) - abs(coalesce(to_units(paid_out), 0))
    end""",
)

_TYPED_SQL = r"""
create or replace temp table typed as
with named as (
    select line_no, line, f, is_well_quoted, {fields}
    from records
)
, read as (
    select *, {amount} as amount_units, to_units(balance) as balance_units, bill_time(booked) as booked_local
    from named
)
select
    line_no, line, booked_local, entry_no, acquirer_txn_no, merchant_order_no, entry_text, amount_units, balance_units,
    case
        when not is_well_quoted then 'a quote is not closed or stands inside a field, expected "field"'
        when len(f) <> $field_count then 'has ' || len(f) || ' fields, expected ' || $field_count
        when booked_local is null
            then '{booked} "' || coalesce(booked, '') || '" is not a possible time such as 2026-11-11 10:00:00'
        when entry_no is null then '{entry_no} is empty'
        when regexp_matches(entry_no, '\d[eE]\+\d')
            then '{entry_no} "' || entry_no || '" was rounded by a spreadsheet, expected all its digits'
        when entry_text is null then '{entry_text} is empty'
        when amount_units is null then 'the amount is none such as 12.34, or stands on both sides'
        when balance_units is null
            then '{balance} "' || coalesce(balance, '') || '" is not an amount such as 12.34'
        when amount_units % 1000 <> 0 or balance_units % 1000 <> 0
            then 'an amount has more than 2 decimals, expected whole fen'
    end as reason
from read
"""

# Oldest first or newest first: whichever holds from line to line.
_CHAIN_SQL = """
with placed as (
    select
        line_no, amount_units, balance_units,
        lag(balance_units) over (order by line_no) as above,
        lead(balance_units) over (order by line_no) as below
    from typed
)
select
    min(line_no) filter (where above + amount_units <> balance_units),
    min(line_no) filter (where below + amount_units <> balance_units),
    arg_min(balance_units - above - amount_units, line_no) filter (where above + amount_units <> balance_units)
from placed
"""


def peek_fund_flow(path: Path, source: Source) -> date | None:
    """The day of the first record as it is written; None when there is none to read."""
    return peek_first_record(path)


def peek_account_bill(path: Path, source: Source) -> date | None:
    """The first day that the preamble names; None when there is none to read."""
    return first_day(peek_text(path))


def parse_fund_flow(job: Job) -> Parsed:
    """Parse one WeChat Pay fund flow bill into `ledger_entries`; signed, positive = into the account.

    Raises:
        LayoutError: No such bill, totals or balances that do not tie (with the difference), an unreadable line, or rows
            of several days.
    """
    return _parse(job, _FUND_FLOW, _fund_flow_end)


def parse_account_bill(job: Job) -> Parsed:
    """Parse one Alipay account bill into `ledger_entries`; signed, positive = into the account.

    Raises:
        LayoutError: As of a fund flow bill.
    """
    return _parse(job, _ACCOUNT_BILL, _account_bill_end)


# (desk, line of the header) → (line after the records, line of the totals, totals)
_End = Callable[[Desk, int], "tuple[int, int, list[_Stated]]"]


@dataclass(frozen=True)
class _Stated:
    """One total as the bill states it, and the query that gives its counterpart."""

    name: str
    value: int
    sql: str
    is_count: bool = False


def _parse(job: Job, kind: _Kind, end_of: _End) -> Parsed:
    with Desk(job, read_bill(job.path, job.file_name)) as desk:
        header_line, separator, header = _header(desk, kind)
        last_line, totals_line, stated = end_of(desk, header_line)
        names = _named(job, kind, header_line, header)
        records = desk.cut(
            first=header_line, last=last_line, separator=separator, field_count=len(header), start=kind.start
        )
        sql = _TYPED_SQL.replace("{fields}", fields_sql(kind.columns, names)).replace(
            "{amount}", kind.amount_sql
        )
        for name in ("booked", "entry_no", "entry_text", "balance"):
            sql = sql.replace("{" + name + "}", kind.columns[name])
        desk.connection.execute(sql, {"field_count": len(header)})
        _require_readable(desk)
        totals = [
            Total(name=one.name, stated=one.value, found=desk.number(one.sql), is_count=one.is_count)
            for one in stated
        ]
        require_totals(desk, totals, totals_line, "typed")
        _require_chain(desk)
        key, day = _owner_and_day(desk, job, kind, header_line)
        return _written(desk, job, records=records, key=key, day=day)


def _header(desk: Desk, kind: _Kind) -> tuple[int, str, list[str]]:
    found = desk.lines_like(_MARK + kind.header)
    if not found:
        raise LayoutError(
            f"{desk.job.file_name}: no header begins with {kind.header}: this is no {kind.title}.",
            next_step="Put the file into the folder of its feed under the name it was downloaded under.",
        )
    line_no, text = found[0]
    if len(found) > 1:
        raise refuse(
            desk.job, found[1][0], f"the header of line {line_no} is repeated, expected one bill in a file"
        )
    text = text.lstrip("\ufeff").replace("，", ",")
    separator = "\t" if "\t" in text and "," not in text else ","
    cells = next(csv.reader([text], delimiter=separator))
    names = [cell.strip(' `"\t\u3000').replace("（", "(").replace("）", ")") for cell in cells]
    return line_no, separator, names[:-1] if names[-1] == "" else names


def _named(job: Job, kind: _Kind, line_no: int, header: list[str]) -> dict[str, int]:
    names = {name: header.index(spelling) for name, spelling in kind.columns.items() if spelling in header}
    missing = [
        spelling for name, spelling in kind.columns.items() if name not in names and name not in kind.optional
    ]
    twice = sorted({name for name in header if name and header.count(name) > 1})
    if missing or twice:
        what = f"lacks {', '.join(missing)}" if missing else f"names {', '.join(twice)} twice"
        raise refuse(job, line_no, f"the header {what}; expected the columns of a {kind.title}")
    return names


def _fund_flow_end(desk: Desk, header_line: int) -> tuple[int, int, list[_Stated]]:
    """The line of names of the totals, and their values on the next one."""
    count = "资金流水总笔数"
    wanted = {
        count: "select count(*) from typed",
        "收入笔数": "select count(*) from typed where amount_units > 0",
        "收入金额": "select sum(amount_units) from typed where amount_units > 0",
        "支出笔数": "select count(*) from typed where amount_units < 0",
        "支出金额": "select -sum(amount_units) from typed where amount_units < 0",
    }
    found = desk.lines_like(_MARK + count)
    if len(found) != 1:
        raise _not_once(desk, f"the totals ({count} …)", found)
    line_no, text = found[0]
    after = desk.connection.execute(
        "select line_no, clean(line) from lines where line_no > $line and clean(line) is not null order by 1 limit 2",
        {"line": line_no},
    ).fetchall()
    if line_no < header_line or len(after) != 1:
        raise refuse(desk.job, line_no, "the totals stand elsewhere than at the end, with one line of values")
    split = re.compile(r"[,，\t]")
    names = [name.strip(' `"') for name in split.split(text.rstrip(",\t "))]
    values = [value.strip(' `"') for value in split.split(after[0][1].rstrip(",\t "))]
    if len(names) != len(values) or set(wanted) - {re.sub(r"[(（]元[)）]", "", name) for name in names}:
        raise refuse(
            desk.job, after[0][0], f"{len(values)} totals stand under {len(names)} names, or some are missing"
        )
    stated = []
    for name, value in zip(names, values, strict=True):
        plain = re.sub(r"[(（]元[)）]", "", name)
        if plain not in wanted:
            continue
        is_count = plain.endswith("笔数")
        number = (
            (int(value) if value.isascii() and value.isdigit() else None) if is_count else units_of(value)
        )
        if number is None:
            raise refuse(desk.job, after[0][0], f'{plain} "{value}" is no number')
        stated.append(_Stated(plain, number, wanted[plain], is_count))
    return line_no, after[0][0], stated


_SUM = re.compile(
    r"^#+\s*(?P<side>收入|支出)合计\s*[:：]\s*(?P<count>\d+)\s*笔\s*[,，]\s*共\s*(?P<sum>-?[\d.]+)\s*元"
)


def _account_bill_end(desk: Desk, header_line: int) -> tuple[int, int, list[_Stated]]:
    """The `#` lines after the records, two of which are totals."""
    marks = [(number, text) for number, text in desk.lines_like(r"[\x{FEFF}\s\"]*#") if number > header_line]
    if not marks:
        raise LayoutError(
            f"{desk.job.file_name}: the lines after the records (# … 合计) are missing: the bill is truncated.",
            next_step="Download the bill again.",
        )
    desk.require_end(marks[0][0])
    stated: list[_Stated] = []
    for side, sign in (("收入", ">"), ("支出", "<")):
        found = [
            (number, match) for number, text in marks if (match := _SUM.match(text)) and match["side"] == side
        ]
        if len(found) != 1:
            raise _not_once(desk, f"the total #{side}合计", [(number, "") for number, _ in found])
        line_no, match = found[0]
        units = units_of(match["sum"])
        if units is None:
            raise refuse(desk.job, line_no, f'the total "{match["sum"]}" of #{side}合计 is not an amount')
        where = f"from typed where amount_units {sign} 0"
        stated.append(_Stated(f"{side}笔数", int(match["count"]), f"select count(*) {where}", is_count=True))
        stated.append(_Stated(f"{side}合计", abs(units), f"select abs(sum(amount_units)) {where}"))
    return marks[0][0], marks[0][0], stated


def _not_once(desk: Desk, what: str, found: list[tuple[int, str]]) -> LayoutError:
    said = "is missing: the bill is truncated" if not found else f"stands {len(found)} times, expected once"
    return LayoutError(
        f"{desk.job.file_name}: {what} {said}.",
        bad_lines=tuple(BadLine(number, what) for number, _ in found),
        next_step="Download the bill again.",
    )


def _require_readable(desk: Desk) -> None:
    """A line that cannot be read breaks the chain of balances: nothing could be proved without it."""
    bad = desk.connection.execute(
        "select line_no, mask_text(reason) from typed where reason is not null order by line_no limit 10000"
    ).fetchall()
    if bad:
        raise LayoutError(
            f"{desk.job.file_name}: {len(bad)} entries cannot be read, so balances cannot tie; line {bad[0][0]}: "
            f"{bad[0][1]}.",
            bad_lines=tuple(BadLine(number, reason) for number, reason in bad),
            next_step="Download the bill again.",
        )


def _require_chain(desk: Desk) -> None:
    row = desk.connection.execute(_CHAIN_SQL).fetchone()
    down, up, off = row or (None, None, None)
    if down is not None and up is not None:
        raise refuse(
            desk.job,
            down,
            f"the balance does not follow from the line before: difference {show_units(int(off))}",
            "Lines are missing, doubled or changed. Download the bill again.",
        )


def _owner_and_day(desk: Desk, job: Job, kind: _Kind, header_line: int) -> tuple[str, date]:
    """Whose bill it is and of which day: by its name, its preamble, its rows; they must agree."""
    before = "\n".join(text for number, text in desk.lines_like(r"[\x{FEFF}\s\"]*#") if number < header_line)
    key = require_owner(job, before, PID_DIGITS if kind is _ACCOUNT_BILL else None)
    days = [
        row[0]
        for row in desk.connection.execute(
            "select distinct booked_local::date from typed order by 1 limit 3"
        ).fetchall()
    ]
    begun = first_day(before)
    day = require_day(job, begun or (days[0] if days else None), "a row")
    if (begun and begun != day) or any(one != day for one in days):
        raise LayoutError(
            f"{job.file_name}: the bill covers {begun or days[0]} to {days[-1] if days else begun}, expected the one "
            f"day {day}.",
            next_step="Put the daily bill into the inbox, under the name it was downloaded under.",
        )
    return key, day


def _written(desk: Desk, job: Job, *, records: int, key: str, day: date) -> Parsed:
    kinds = job.source.entry_kinds
    desk.connection.register(
        "kinds",
        pa.table(
            {
                "text": pa.array(list(kinds), pa.string()),
                "entry_kind": pa.array(list(kinds.values()), pa.string()),
            }
        ),
    )
    given = {
        "file_no": str(job.file_no),
        "acquirer": f"'{job.source.acquirer}'",
        "account": f"'{key}'",
        "currency": f"'{job.source.currency}'",
        "entry_kind": "coalesce(kinds.entry_kind, 'other')",
        "amount_minor": "amount_units // 1000",
        "balance_minor": "balance_units // 1000",
    }
    columns = ", ".join(
        f"({given.get(field.name, field.name)})::{_SQL_TYPES[str(field.type)]} as {field.name}"
        for field in LEDGER_SCHEMA
    )
    out = job.scratch / "ledger_entries.parquet"
    target = str(out).replace("'", "''")
    loaded = desk.number(
        f"copy (select {columns} from typed left join kinds on typed.entry_text = kinds.text order by line_no)"
        f" to '{target}' (format parquet, compression zstd)"
    )
    return Parsed(
        records=records,
        loaded=loaded,
        quarantined=0,
        business_date=day,
        logical_key=key,
        encoding=desk.bill.encoding,
        datasets={"ledger_entries": out},
        computed_minor=desk.number("select sum(amount_units) // 1000 from typed"),
    )
