"""Merchants of a simulated inbox whose cards another acquirer settles: one that only a source YAML describes.

UnionPay's files of these merchants become the bills that `allinpay_pos.yml` reads: the same transactions in the same
order, with their faults, the disputes of the day behind them; bank texts name the acquirer. The merchants keep their
numbers of 15 digits: such acquirers number shops in UnionPay's way.
"""

import csv
import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from posrecon.simulate import disputes, settlement

Row = dict[str, str]
# Where a line went: (file, line) before → (file, line) after.
Moves = dict[tuple[str, str], tuple[str, str]]

ACQUIRER = "allinpay"
_EVERY = 3
_HEADER = (
    "商户号,门店名称,终端号,交易时间,交易类型,交易批次号,凭证号,参考号,卡号,卡类别,发卡行机构代码,发卡行名称,交易金额,"
    "手续费,交易日期,交易单号,订单号,商户备注,对接应用号,原始金额,结算金额,产品类型,分期贴息,交易完成时间,持卡人姓名,"
    "持卡人身份证,分期数,优惠金额,实付金额,原交易单,渠道交易类型,出金方账户名称,门店编号,交易完成日期"
)
_COLUMNS = tuple(_HEADER.split(","))
_CARD_TYPES = {"01": "借记卡", "02": "贷记卡", "03": "准贷记卡"}
_TYPES = {"S22": "消费", "S30": "退货"}
_FILE = re.compile(r"INN(?P<day>\d{6})\d\d(?P<kind>ZME?)_(?P<shop>\w{15})")


@dataclass(frozen=True)
class _Shop:
    """A merchant of ours, and its number at UnionPay until now."""

    merchant_id: str
    number: str
    account: str


def settle_elsewhere(out: Path, moves: Moves) -> dict[str, str]:
    """Let another acquirer settle the cards of some merchants that have a bank account of their own.

    Args:
        out: The inbox; files of UnionPay, bank statements and reference data are rewritten.
        moves: Gets where each settlement record went.

    Returns:
        Beginnings of payout ids: before → after.
    """
    shops = _leave_unionpay(out / "reference")
    (out / "generic").mkdir(exist_ok=True)
    for shop in shops:
        _bills(out, shop, moves)
        for path in sorted((out / "bank").glob(f"MT940_{shop.account}_*.sta")):
            text = path.read_bytes().replace(b"UNIONPAY", ACQUIRER.upper().encode())
            path.write_bytes(text.replace(b"NTRFUP", b"NTRFTL"))
    return {f"unionpay:{shop.merchant_id}:": f"{ACQUIRER}:{shop.merchant_id}:" for shop in shops}


def _leave_unionpay(reference: Path) -> list[_Shop]:
    """Choose the merchants, take their numbers out of merchants.csv and list them under the other acquirer."""
    path = reference / "merchants.csv"
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    accounts = [row["settlement_account"] for row in rows]
    # One credit may pay several merchants of one account; it would have to pay for two acquirers.
    alone = [row for row in rows if accounts.count(row["settlement_account"]) == 1]
    shops = []
    for row in alone[1::_EVERY]:
        shops.append(_Shop(row["merchant_id"], row["unionpay_mer_id"], row["settlement_account"]))
        row["unionpay_mer_id"] = ""
    _write(path, list(rows[0]), rows)
    names = ["merchant_id", "channel", "card_prefix", "acquirer", "acquirer_merchant_id"]
    listed = ((shop.merchant_id, "card", "", ACQUIRER, shop.number) for shop in shops)
    _write(
        reference / "acquirer_merchants.csv", names, (dict(zip(names, row, strict=True)) for row in listed)
    )
    return shops


def _bills(out: Path, shop: _Shop, moves: Moves) -> None:
    """One bill per clearing day, of the day's settlement file and of its dispute file where there is one."""
    numbers: dict[tuple[str, str], str] = {}
    for path in sorted((out / "unionpay").glob(f"INN*ZM_{shop.number}")):
        found = _FILE.fullmatch(path.name)
        if found is None:
            continue
        day = date(2000 + int(found["day"][:2]), int(found["day"][2:4]), int(found["day"][4:]))
        name = f"{ACQUIRER}_{shop.number}_{day:%Y%m%d}.csv"
        rows: list[Row] = []
        others = path.with_name(path.name.replace("ZM_", "ZME_"))
        for source, read in ((path, _transaction), (others, _dispute)):
            for line_no, record in enumerate(
                source.read_bytes().splitlines() if source.exists() else (), start=1
            ):
                rows.append(read(record, day, numbers))
                moves[source.name, str(line_no)] = (name, str(len(rows) + 1))
            source.unlink(missing_ok=True)
        sums = (sum(_fen(row, column) for row in rows) for column in ("交易金额", "手续费", "结算金额"))
        lines = (
            _HEADER,
            *(
                ",".join({"商户号": shop.number, **row}.get(column, "") for column in _COLUMNS)
                for row in rows
            ),
            ",".join(("合计", str(len(rows)), *(_yuan(total) for total in sums))),
            "",
        )
        (out / "generic" / name).write_bytes("\r\n".join(lines).encode("gb18030"))


def _transaction(record: bytes, day: date, numbers: dict[tuple[str, str], str]) -> Row:
    """A ZM record; `numbers` gets the acquirer's number by trace number and time, for disputes."""

    def text(field_no: int) -> str:
        return record[settlement.field_slice(field_no)].decode("gbk").strip()

    numbers[text(4), text(5)] = text(10)
    return {
        **_shared(text(5), day),
        "门店名称": text(31),
        "终端号": text(34),
        "交易类型": _TYPES[text(1)],
        "凭证号": text(4),
        "参考号": text(45),
        "卡号": text(6),
        "卡类别": _CARD_TYPES[text(13)],
        "交易金额": _yuan(int(text(7))),
        "手续费": _yuan(int(text(16)[1:])),
        "结算金额": _yuan(int(text(17)[1:])),
        "交易单号": text(10),
        "原交易单": text(27),
    }


def _dispute(record: bytes, day: date, numbers: dict[tuple[str, str], str]) -> Row:
    """A ZME record; money is taken back from the merchant."""

    def text(field_no: int) -> str:
        return record[disputes.field_slice(field_no)].decode("gbk").strip()

    return {
        **_shared(text(5), day),
        "交易类型": "拒付",
        "凭证号": text(4),
        "卡号": text(6),
        "卡类别": _CARD_TYPES[text(10)],
        "交易金额": _yuan(int(text(7))),
        "手续费": _yuan(int(text(15)[1:])),
        "结算金额": _yuan(int(text(16)[1:])),
        "交易单号": f"{day:%Y%m%d}9{text(4)}",
        "原交易单": numbers.get((text(11), text(12)), ""),
    }


def _shared(clock: str, day: date) -> Row:
    """Date and time of MMDDhhmmss: the year is that of the clearing day, or the one before."""
    year = day.year - (int(clock[:2]) > day.month)
    return {
        "交易日期": f"{year}-{clock[:2]}-{clock[2:4]}",
        "交易时间": f"{clock[4:6]}:{clock[6:8]}:{clock[8:]}",
    }


def _fen(row: Row, column: str) -> int:
    """An amount of a record, negative where the type says that money goes back."""
    fen = int(row[column].replace(".", ""))
    return fen if row["交易类型"] == "消费" else -fen


def _yuan(fen: int) -> str:
    return f"{'-' if fen < 0 else ''}{abs(fen) // 100}.{abs(fen) % 100:02d}"


def _write(path: Path, names: list[str], rows: Iterable[Row]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, names, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
