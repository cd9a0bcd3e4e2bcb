"""The simulated inbox in other layouts: the same transactions as JSON lines, Parquet, ISO 8583 messages and camt.053.

The files are written first as they always are; here some are rewritten, and the labels follow: a label names file and
line, so each line keeps track of where it went. What a layout cannot say (a wallet's payment in ISO 8583) stays CSV.
Some merchants get other acquirers, with files of their own.
"""

import csv
import io
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from xml.sax.saxutils import escape

import iso8583
import pyarrow as pa
import pyarrow.parquet as pq
from iso8583.specs import default_ascii

from posrecon.money import currency_exponent, numeric_codes
from posrecon.simulate.elsewhere import Moves, Row, settle_elsewhere, whole_rows

_LOG = re.compile(r"terminal_log_(?P<rest>20\d{6}.*)\.csv")
_STATEMENT = re.compile(r"MT940_(?P<account>\d+)_(?P<date>20\d{6})\.sta")
_CODES = {letters: digits for digits, letters in numeric_codes().items()}
# Type → message type, processing code, condition code.
_MESSAGES = {
    "sale": ("0200", "000000", "00"),
    "refund": ("0220", "200000", "00"),
    "void": ("0200", "200000", "00"),
    "reversal": ("0400", "000000", "00"),
    "preauth": ("0100", "030000", "06"),
    "preauth_completion": ("0200", "000000", "06"),
    "preauth_void": ("0100", "200000", "06"),
}


def mix_feeds(out: Path, truth: Path) -> int:
    """Rewrite some files of a simulated inbox in other layouts, and the labels that name them.

    Args:
        out: The inbox.
        truth: Its labels.

    Returns:
        How many files there are more than before.
    """
    moves: Moves = {}
    before = sum(path.is_file() for path in out.rglob("*"))
    renamed = settle_elsewhere(out, truth, moves)
    logs = sorted(path for path in (out / "terminal_log").iterdir() if _LOG.fullmatch(path.name))
    forms: tuple[Callable[[Path, list[Row], Moves], None] | None, ...] = (
        _messages,
        _json_lines,
        None,
        _parquet,
    )
    for number, path in enumerate(logs):
        rewrite = forms[number % len(forms)]
        if rewrite is not None and (rows := whole_rows(path)):
            rewrite(path, rows, moves)
    for number, path in enumerate(sorted((out / "bank").iterdir())):
        if number % 2 == 0 and _STATEMENT.fullmatch(path.name):
            _camt(path, moves)
    _relabel(truth, moves, renamed)
    return sum(path.is_file() for path in out.rglob("*")) - before


# -------------------------------------------------------------------------------- terminal logs
def _json_lines(path: Path, rows: list[Row], moves: Moves) -> None:
    name = path.with_suffix(".jsonl").name
    for at, _ in enumerate(rows):
        moves[path.name, str(at + 2)] = (name, str(at + 1))
    given = ({key: value for key, value in row.items() if value} for row in rows)
    text = "\n".join(json.dumps(one, ensure_ascii=False) for one in given)
    path.with_name(name).write_text(text + "\n", encoding="utf-8")
    path.unlink()


def _parquet(path: Path, rows: list[Row], moves: Moves) -> None:
    name = path.with_suffix(".parquet").name
    for at, _ in enumerate(rows):
        moves[path.name, str(at + 2)] = (name, str(at + 1))
    columns = {key: pa.array([row[key] or None for row in rows], pa.string()) for key in rows[0]}
    pq.write_table(pa.table(columns), path.with_name(name), compression="zstd")
    path.unlink()


def _messages(path: Path, rows: list[Row], moves: Moves) -> None:
    """What ISO 8583 can say goes into a message log; the rest stays in a CSV of the same name."""
    found = _LOG.fullmatch(path.name)
    name = f"iso8583_{found['rest'] if found else ''}.log"
    lines: list[bytes] = []
    kept = io.StringIO()
    writer = csv.DictWriter(kept, rows[0].keys(), lineterminator="\n")
    writer.writeheader()
    stays = 1
    for at, row in enumerate(rows):
        messages = list(_said(row))
        if messages:
            moves[path.name, str(at + 2)] = (name, str(len(lines) + 1))
            lines += messages
        else:
            stays += 1
            moves[path.name, str(at + 2)] = (path.name, str(stays))
            writer.writerow(row)
    path.with_name(name).write_bytes(b"\n".join(lines) + b"\n")
    if stays > 1:
        path.write_text(kept.getvalue(), encoding="utf-8")
    else:
        path.unlink()


def _said(row: Row) -> Iterator[bytes]:
    """Request and response of one event; nothing when ISO 8583 cannot say it."""
    time = re.fullmatch(r"\d{4}-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)", row["txn_time"])
    exponent = currency_exponent(row["currency"])
    whole, _, fraction = row["amount"].partition(".")
    takes_back = row["txn_type"] in ("void", "reversal", "preauth_void")
    if (
        row["channel"] != "card" or row["txn_type"] not in _MESSAGES or time is None or row["currency"] not in _CODES
        or not re.fullmatch(r"\d{6}", row["stan"]) or not re.fullmatch(r"\d{6}", row["batch_no"])
        or len(fraction) > exponent or not (whole + fraction).isdigit() or (takes_back and not row["orig_stan"])
        or row["merchant_order_no"] or row["channel_txn_no"] or (row["rrn"] and row["orig_rrn"] == row["rrn"])
        or (row["rrn"] and not row["response_code"] and row["txn_type"] != "sale")
    ):  # fmt: skip
        return
    kind, processing, condition = _MESSAGES[row["txn_type"]]
    shared = {
        "3": processing,
        "4": f"{whole}{fraction.ljust(exponent, '0')}".rjust(12, "0"),
        "11": row["stan"],
        "12": "".join(time.group(3, 4, 5)),
        "13": "".join(time.group(1, 2)),
        "25": condition,
        "41": row["terminal_id"].ljust(8),
        "42": row["merchant_id"].ljust(15),
        "49": _CODES[row["currency"]],
        "60": f"22{row['batch_no']}",
    }
    request = shared | {"t": kind, "2": row["card_no"]}
    if row["orig_stan"] and row["orig_batch_no"]:
        request["61"] = f"{row['orig_batch_no']}{row['orig_stan']}0000"
    elif row["orig_stan"]:
        request["90"] = f"0200{row['orig_stan']}".ljust(42, "0")
    asked = row["orig_rrn"] or (row["rrn"] if not row["response_code"] else "")
    yield _line(request | {"37": asked})
    if row["response_code"]:
        answer = {"37": row["rrn"], "38": row["auth_code"], "39": row["response_code"]}
        yield _line(shared | {"t": f"{kind[:2]}{int(kind[2]) + 1}0"} | answer)


def _line(message: Row) -> bytes:
    raw, _ = iso8583.encode({name: text for name, text in message.items() if text}, default_ascii)
    return bytes(raw)


# -------------------------------------------------------------------------------- bank statements
_ENTRY = re.compile(r":61:(\d{6})\d{4}(R?[CD])(\d+),(\d*)N\w{3}([^/]*)//(.*)")
_BALANCE = re.compile(r":6([02])F:([CD])(\d{6})([A-Z]{3})(\d+),(\d*)")


def _camt(path: Path, moves: Moves) -> None:
    """One MT940 statement of ours as camt.053: entries keep their order, so they keep their ordinals."""
    found = _STATEMENT.fullmatch(path.name)
    account = found["account"] if found else ""
    name = f"camt053_{account}_{found['date'] if found else ''}.xml"
    balances: list[str] = []
    entries: list[list[str]] = []
    texts: list[str] = []
    currency = ""
    for line in path.read_text(encoding="utf-8").splitlines():
        if balance := _BALANCE.fullmatch(line):
            currency = balance[4]
            code = "OPBD" if balance[1] == "0" else "CLBD"
            balances.append(
                f"<Bal><Tp><CdOrPrtry><Cd>{code}</Cd></CdOrPrtry></Tp>{_money(balance[5], balance[6], currency)}"
                f"{_side(balance[2])}<Dt><Dt>{_date(balance[3])}</Dt></Dt></Bal>"
            )
        elif entry := _ENTRY.fullmatch(line):
            entries.append(list(entry.groups()))
            texts.append("")
        elif line.startswith(":86:") and texts:
            texts[-1] = line.removeprefix(":86:")
    booked = "".join(
        f"<Ntry>{_money(whole, part, currency)}{_side(mark)}<Sts><Cd>BOOK</Cd></Sts>"
        f"<BookgDt><Dt>{_date(day)}</Dt></BookgDt><ValDt><Dt>{_date(day)}</Dt></ValDt>"
        f"<AcctSvcrRef>{escape(own)}</AcctSvcrRef><NtryDtls><TxDtls><Refs><EndToEndId>{escape(reference)}</EndToEndId>"
        f"</Refs><RmtInf><Ustrd>{escape(text)}</Ustrd></RmtInf></TxDtls></NtryDtls></Ntry>"
        for (day, mark, whole, part, reference, own), text in zip(entries, texts, strict=True)
    )
    path.with_name(name).write_text(
        '<?xml version="1.0" encoding="UTF-8"?>'
        '<Document xmlns="urn:iso:std:iso:20022:tech:xsd:camt.053.001.08"><BkToCstmrStmt>'
        f"<Stmt><Id>{path.stem}</Id><Acct><Id><Othr><Id>{account}</Id></Othr></Id></Acct>{''.join(balances)}{booked}</Stmt>"
        "</BkToCstmrStmt></Document>\n",
        encoding="utf-8",
    )
    for at in range(1, len(entries) + 1):
        moves[path.name, str(at)] = (name, str(at))
    path.unlink()


def _money(whole: str, part: str, currency: str) -> str:
    return f'<Amt Ccy="{currency}">{whole}{"." if part else ""}{part}</Amt>'


def _side(mark: str) -> str:
    """CRDT is money in; the reversal of a credit takes it out."""
    is_credit = mark in ("C", "RD")
    return f"<CdtDbtInd>{'CRDT' if is_credit else 'DBIT'}</CdtDbtInd>"


def _date(digits: str) -> str:
    return f"20{digits[:2]}-{digits[2:4]}-{digits[4:]}"


# -------------------------------------------------------------------------------- labels
def _relabel(truth: Path, moves: Moves, renamed: dict[str, str]) -> None:
    """Point the labels at the files, lines and payouts of now."""
    with truth.open(encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file)
        names = list(reader.fieldnames or ())
        rows = list(reader)
    for row in rows:
        for side in ("terminal", "settlement", "bank"):
            place = (row[f"{side}_file"], row[f"{side}_line"])
            row[f"{side}_file"], row[f"{side}_line"] = moves.get(place, place)
        payee, separator, day = row["payout_id"].rpartition(":")
        row["payout_id"] = renamed.get(payee + separator, payee + separator) + day
    with truth.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, names, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
