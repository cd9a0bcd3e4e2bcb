"""Merchants of a simulated inbox whose cards other acquirers settle: those that only a source YAML describes.

UnionPay's files of these merchants become the bills that `allinpay_pos.yml` (delimited) and `harbour_pos.yml` (fixed
width) read: the same transactions in the same order, with their faults, the disputes of the day behind them; bank texts
name the acquirer. The merchants keep their numbers of 15 digits: such acquirers number shops in UnionPay's way.

The bill of Harbour also says the authorisation, and of some sales nothing else that the terminal knows.
"""

import csv
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from pathlib import Path

from posrecon.simulate import disputes, settlement
from posrecon.simulate.bills import yuan

Row = dict[str, str]
# Where a record stands: file and line, as a label names it.
Place = tuple[str, str]
# Where a record went: before → after.
Moves = dict[Place, Place]

_FILE = re.compile(r"INN(?P<day>\d{6})\d\dZM_\w{15}")
# The time of a line with nothing but the authorisation is off by more than any rule on amounts allows.
_OFF = timedelta(hours=2)
_SALE, _REFUND, _DISPUTE = "S", "R", "B"


@dataclass(frozen=True, kw_only=True)
class _Line:
    """One settled transaction or dispute; money in fen without a sign.

    Attributes:
        kind: Sale, refund or dispute.
        auth_code: Empty where nothing is known of the terminal's.
    """

    place: Place
    kind: str
    shop: str
    terminal: str = ""
    at: datetime
    stan: str
    rrn: str = ""
    auth_code: str = ""
    card: str
    card_type: str
    gross: int
    fee: int
    net: int
    number: str
    original: str

    @property
    def sign(self) -> int:
        """-1 when money goes back."""
        return 1 if self.kind == _SALE else -1


@dataclass(frozen=True)
class _Acquirer:
    """Who settles, how its bills are named, and what they look like."""

    name: str
    reference: str
    bill: Callable[[str, date], str]
    write: Callable[[list[_Line], date], bytes]
    states_authorisation: bool


@dataclass(frozen=True)
class _Shop:
    """A merchant of ours, its number, and who settles its cards from now on."""

    merchant_id: str
    number: str
    account: str
    acquirer: _Acquirer


def settle_elsewhere(out: Path, truth: Path, moves: Moves) -> dict[str, str]:
    """Let other acquirers settle the cards of some merchants that have a bank account of their own.

    Args:
        out: The inbox; files of UnionPay, logs, bank statements and reference data are rewritten.
        truth: Its labels; read for which record of a log belongs to which settlement line.
        moves: Gets where each settlement record went.

    Returns:
        Beginnings of payout ids: before → after.
    """
    shops = _leave_unionpay(out / "reference")
    (out / "generic").mkdir(exist_ok=True)
    logs = _Logs(out / "terminal_log", truth)
    for shop in shops:
        for day, lines in _settled(out / "unionpay", shop.number):
            if shop.acquirer.states_authorisation:
                lines = logs.authorise(lines)
            name = shop.acquirer.bill(shop.number, day)
            for at, line in enumerate(lines, start=2):  # line 1 is the header of either bill
                moves[line.place] = (name, str(at))
            (out / "generic" / name).write_bytes(shop.acquirer.write(lines, day))
        for path in sorted((out / "bank").glob(f"MT940_{shop.account}_*.sta")):
            text = path.read_bytes().replace(b"UNIONPAY", shop.acquirer.name.upper().encode())
            path.write_bytes(text.replace(b"NTRFUP", b"NTRF" + shop.acquirer.reference.encode()))
    logs.save()
    return {f"unionpay:{shop.merchant_id}:": f"{shop.acquirer.name}:{shop.merchant_id}:" for shop in shops}


def _leave_unionpay(reference: Path) -> list[_Shop]:
    """Choose the merchants, take their numbers out of merchants.csv and list them under their acquirers."""
    path = reference / "merchants.csv"
    rows = _read(path)
    accounts = Counter(row["settlement_account"] for row in rows)
    # One credit may pay several merchants of one account; it would have to pay for two acquirers.
    alone = [row for row in rows if accounts[row["settlement_account"]] == 1]
    shops = []
    for at, row in enumerate(alone):
        if at % 3:
            acquirer = _ALLINPAY if at % 3 == 1 else _HARBOUR
            shops.append(
                _Shop(row["merchant_id"], row["unionpay_mer_id"], row["settlement_account"], acquirer)
            )
            row["unionpay_mer_id"] = ""
    if not shops:
        return []
    _write(path, rows)
    names = ("merchant_id", "channel", "card_prefix", "acquirer", "acquirer_merchant_id")
    listed = ((shop.merchant_id, "card", "", shop.acquirer.name, shop.number) for shop in shops)
    _write(reference / "acquirer_merchants.csv", [dict(zip(names, row, strict=True)) for row in listed])
    return shops


# -------------------------------------------------------------------------------- what UnionPay had settled
def _settled(folder: Path, number: str) -> Iterator[tuple[date, list[_Line]]]:
    """The lines of a merchant by clearing day, transactions before disputes; the files are gone afterwards."""
    known: dict[tuple[str, str], str] = {}
    for path in sorted(folder.glob(f"INN*ZM_{number}")):
        found = _FILE.fullmatch(path.name)
        if found is None:
            continue
        day = datetime.strptime(found["day"], "%y%m%d").date()  # noqa: DTZ007 - a date, no instant
        lines: list[_Line] = []
        for source, read in (
            (path, _transaction),
            (path.with_name(path.name.replace("ZM_", "ZME_")), _dispute),
        ):
            for line_no, record in enumerate(source.read_bytes().splitlines() if source.exists() else (), 1):
                lines.append(read(record, (source.name, str(line_no)), day, known))
            source.unlink(missing_ok=True)
        yield day, lines


def _transaction(record: bytes, place: Place, day: date, known: dict[tuple[str, str], str]) -> _Line:
    """A ZM record; `known` gets the acquirer's number by trace number and time, for disputes."""

    def text(field_no: int) -> str:
        return record[settlement.field_slice(field_no)].decode("gbk").strip()

    known[text(4), text(5)] = text(10)
    return _Line(
        place=place,
        kind=_SALE if text(1) == "S22" else _REFUND,
        shop=text(28),
        terminal=text(34),
        at=_clock(text(5), day),
        stan=text(4),
        rrn=text(45),
        card=text(6),
        card_type=text(13),
        gross=int(text(7)),
        fee=int(text(16)[1:]),
        net=int(text(17)[1:]),
        number=text(10),
        original=text(27),
    )


def _dispute(record: bytes, place: Place, day: date, known: dict[tuple[str, str], str]) -> _Line:
    """A ZME record."""

    def text(field_no: int) -> str:
        return record[disputes.field_slice(field_no)].decode("gbk").strip()

    return _Line(
        place=place,
        kind=_DISPUTE,
        shop=text(18),
        at=_clock(text(5), day),
        stan=text(4),
        card=text(6),
        card_type=text(10),
        gross=int(text(7)),
        fee=int(text(15)[1:]),
        net=int(text(16)[1:]),
        number=f"{day:%Y%m%d}9{text(4)}",
        original=known.get((text(11), text(12)), ""),
    )


def _clock(text: str, day: date) -> datetime:
    """MMDDhhmmss has no year: it is that of the clearing day, or the one before."""
    year = day.year - (int(text[:2]) > day.month)
    return datetime.strptime(f"{year}{text}", "%Y%m%d%H%M%S")  # noqa: DTZ007 - a wall clock


# -------------------------------------------------------------------------------- authorisations
class _Logs:
    """The terminal logs whose lines are all whole, and which of their records belongs to which settlement line."""

    def __init__(self, folder: Path, truth: Path) -> None:
        self._rows: dict[Path, list[Row]] = {}
        self._changed: set[Path] = set()
        records: dict[Place, tuple[Path, Row]] = {}
        for path in sorted(folder.glob("terminal_log_*.csv")):
            rows = whole_rows(path)
            if rows:
                self._rows[path] = rows
                records |= {(path.name, str(at)): (path, row) for at, row in enumerate(rows, start=2)}
        self._references = Counter(row["rrn"] for _, row in records.values())
        labels = _read(truth)
        wrong = {
            (label[f"{side}_file"], label[f"{side}_line"])
            for label in labels
            if label["record_type"] == "break"
            for side in ("terminal", "settlement")
        }
        self._pairs: dict[Place, tuple[Path, Row]] = {}
        self._plain: set[Place] = set()
        for label in labels:
            record = records.get((label["terminal_file"], label["terminal_line"]))
            if label["record_type"] != "pair" or record is None or label["note"]:
                continue
            place = (label["settlement_file"], label["settlement_line"])
            self._pairs[place] = record
            if not {place, (label["terminal_file"], label["terminal_line"])} & wrong:
                self._plain.add(place)

    def authorise(self, lines: list[_Line]) -> list[_Line]:
        """The lines with the authorisation of their sale.

        Of the first two plain sales of a terminal nothing else of the terminal is left, and the time is off. Both get
        one code, as terminals may: only with card and amount it tells which is which.
        """
        found = list(lines)
        first: dict[str, list[int]] = defaultdict(list)
        for at, line in enumerate(lines):
            if line.place not in self._pairs:
                continue
            path, row = self._pairs[line.place]
            found[at] = replace(line, auth_code=row["auth_code"])
            others = first[line.terminal]
            is_like_another = any(
                (lines[n].card[-4:], lines[n].gross) == (line.card[-4:], line.gross) for n in others
            )
            if len(others) < 2 and self._is_plain(line, row) and not is_like_another:
                if others:
                    row["auth_code"] = found[others[0]].auth_code
                    self._changed.add(path)
                off = _OFF if (line.at + _OFF).date() == line.at.date() else -_OFF
                found[at] = replace(line, auth_code=row["auth_code"], rrn="", stan="", at=line.at + off)
                others.append(at)
        return found

    def _is_plain(self, line: _Line, row: Row) -> bool:
        return (
            line.kind == _SALE
            and line.place in self._plain
            and row["auth_code"] != ""
            and bool(row["rrn"])
            and self._references[row["rrn"]] == 1
        )

    def save(self) -> None:
        for path in self._changed:
            _write(path, self._rows[path])


def whole_rows(path: Path) -> list[Row]:
    """The records of a log whose lines are all whole; none when one is not, for then it says something as it is."""
    rows = _read(path)
    lines = path.read_text(encoding="utf-8").splitlines()
    is_whole = len(rows) + 1 == len(lines) and all(
        None not in row and None not in row.values() for row in rows
    )
    return rows if is_whole else []


# -------------------------------------------------------------------------------- bills
_ALLINPAY_HEADER = (
    "商户号,门店名称,终端号,交易时间,交易类型,交易批次号,凭证号,参考号,卡号,卡类别,发卡行机构代码,发卡行名称,交易金额,"
    "手续费,交易日期,交易单号,订单号,商户备注,对接应用号,原始金额,结算金额,产品类型,分期贴息,交易完成时间,持卡人姓名,"
    "持卡人身份证,分期数,优惠金额,实付金额,原交易单,渠道交易类型,出金方账户名称,门店编号,交易完成日期"
)
_ALLINPAY_COLUMNS = tuple(_ALLINPAY_HEADER.split(","))
_ALLINPAY_TYPES = {_SALE: "消费", _REFUND: "退货", _DISPUTE: "拒付"}
_ALLINPAY_CARDS = {"01": "借记卡", "02": "贷记卡", "03": "准贷记卡"}


def _allinpay(lines: list[_Line], _: date) -> bytes:
    """34 columns in GB 18030, amounts in yuan without a sign, a line of totals."""
    records = (
        {
            "商户号": line.shop,
            "终端号": line.terminal,
            "交易日期": f"{line.at:%Y-%m-%d}",
            "交易时间": f"{line.at:%H:%M:%S}",
            "交易类型": _ALLINPAY_TYPES[line.kind],
            "凭证号": line.stan,
            "参考号": line.rrn,
            "卡号": line.card,
            "卡类别": _ALLINPAY_CARDS[line.card_type],
            "交易金额": yuan(line.gross),
            "手续费": yuan(line.fee),
            "结算金额": yuan(line.net),
            "交易单号": line.number,
            "原交易单": line.original,
        }
        for line in lines
    )
    totals = ("合计", str(len(lines)), *(yuan(total) for total in _totals(lines)))
    text = (
        _ALLINPAY_HEADER,
        *(",".join(record.get(column, "") for column in _ALLINPAY_COLUMNS) for record in records),
        ",".join(totals),
        "",
    )
    return "\r\n".join(text).encode("gb18030")


def _harbour(lines: list[_Line], day: date) -> bytes:
    """Records of 154 bytes between a header and a trailer with number and sums, amounts in fen."""
    records = (
        f"{line.shop:15}{line.terminal:8}{line.at:%Y%m%d%H%M%S}{line.kind}{line.rrn:12}{line.stan:6}{line.auth_code:6}"
        f"{line.card:19}{'D' if line.card_type == '01' else 'C'}{line.gross:010}{line.fee:010}{line.net:010}"
        f"{line.number:21}{line.original:21}"
        for line in lines
    )
    totals = "".join(f"{total:+016}" for total in _totals(lines))
    return "\r\n".join((f"H{day:%Y%m%d}", *records, f"T{len(lines):08}{totals}", "")).encode("ascii")


_ALLINPAY = _Acquirer(
    name="allinpay",
    reference="TL",
    bill=lambda shop, day: f"allinpay_{shop}_{day:%Y%m%d}.csv",
    write=_allinpay,
    states_authorisation=False,
)
_HARBOUR = _Acquirer(
    name="harbour",
    reference="HB",
    bill=lambda shop, day: f"HARBOUR_{shop}_{day:%Y%m%d}.dat",
    write=_harbour,
    states_authorisation=True,
)


def _totals(lines: list[_Line]) -> tuple[int, int, int]:
    """Gross, fee and net of a bill, money that goes back subtracted."""
    return (
        sum(line.sign * line.gross for line in lines),
        sum(line.sign * line.fee for line in lines),
        sum(line.sign * line.net for line in lines),
    )


# -------------------------------------------------------------------------------- CSV
def _read(path: Path) -> list[Row]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def _write(path: Path, rows: Iterable[Row]) -> None:
    rows = list(rows)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
