"""Small files of every feed, and one way to land them."""

from datetime import date
from pathlib import Path
from typing import Any

import duckdb

from posrecon.errors import LayoutError
from posrecon.formats import LAYOUTS, Job, Parsed
from posrecon.formats.unionpay_zm import offsets
from posrecon.landing import Outcome, parse_file, receive, register
from posrecon.landing.outcomes import files_path
from posrecon.landing.sources import NameParts, Source
from posrecon.settings import Settings

NIGHT = date(2026, 11, 12)
HEADER = (
    "merchant_id,terminal_id,batch_no,stan,rrn,auth_code,txn_type,channel,card_no,card_type,amount,currency,"
    "txn_time,response_code,orig_stan,orig_batch_no,orig_rrn,merchant_order_no,channel_txn_no"
)
MER_ID = "898110000000037"
ZM_NAME = f"INN26111188ZM_{MER_ID}"
# Test numbers of the card schemes: Luhn-valid, nobody's.
PAN = "6212345678901232"


def settings_of(home: Path) -> Settings:
    return Settings(home=home, token_key="11" * 32, archive_key="22" * 32, threads=1)  # type: ignore[arg-type]


def event(**fields: str) -> str:
    """One line of a terminal log, without its end."""
    values = {
        "merchant_id": "M000001", "terminal_id": "10000001", "batch_no": "000001", "stan": "000001",
        "rrn": "631500000001", "auth_code": "123456", "txn_type": "sale", "channel": "card",
        "card_no": "621234******1232", "card_type": "debit", "amount": "12.34", "currency": "CNY",
        "txn_time": "2026-11-11T10:00:00", "response_code": "00",
    }  # fmt: skip
    values.update(fields)
    return ",".join(values.get(name, "") for name in HEADER.split(","))


def log_of(*lines: str, header: str = HEADER, end: str = "\n") -> bytes:
    return (end.join((header, *lines)) + end).encode()


def zm_record(**fields: str | bytes) -> bytes:
    """One ZM record with its CR LF: a sale of 12.34 with a fee of 0.07."""
    record = bytearray(b" " * 607)
    values: dict[str, str | bytes] = {
        "txn_code": "S22", "acq_ins_code": "00012345678", "fwd_ins_code": "00012345678", "stan": "000001",
        "txn_time": "1111100000", "card": "621234******1232", "amount": "000000001234", "mcc": "5411",
        "query_id": "202611111000000000001", "card_type": "01", "fee": "D000000000007",
        "settled": "C000000001227", "mer_id": MER_ID, "term_id": "10000001", "rrn": "631500000001",
    }  # fmt: skip
    values.update(fields)
    for name, value in values.items():
        start, stop = offsets()[name]
        data = value.encode() if isinstance(value, str) else value
        record[start:stop] = data.ljust(stop - start)[: stop - start]
    return bytes(record) + b"\r\n"


def statement(
    *entries: str,
    opening: str = "C261110CNY100,00",
    closing: str,
    account: str = "310500161836",
    number: str = "1",
) -> str:
    lines = [
        ":20:REF",
        f":25:{account}",
        f":28C:{number}",
        f":60F:{opening}",
        *entries,
        f":62F:{closing}",
        "-",
    ]
    return "\r\n".join(lines) + "\r\n"


MERCHANTS = (
    "merchant_id,name,city,settlement_account,unionpay_mer_id,wechat_mch_id,alipay_pid,currency\n"
    f"M000001,面馆,北京,310500161836,{MER_ID},,,CNY\n"
    "M000002,书店,上海,310500161836,898110000000038,,,CNY\n"
).encode()


def put(settings: Settings, feed: str, name: str, content: bytes) -> Path:
    path = settings.inbox / feed / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def land(settings: Settings, night: date = NIGHT) -> list[Outcome]:
    """Receive, parse and register a night; the outcomes of the parse by file number."""
    outcomes = [parse_file(settings, night, file_id) for file_id in receive(settings, night)]
    register(settings, night)
    return outcomes


def parse_one(settings: Settings, feed: str, name: str, content: bytes) -> Outcome:
    put(settings, feed, name, content)
    (outcome,) = land(settings)
    return outcome


def rows(path: str | Path) -> list[dict[str, Any]]:
    """Rows of Parquet files (a glob), in stored order; none when no file is there."""
    with duckdb.connect() as connection:
        try:
            cursor = connection.execute(
                "from read_parquet($path, hive_partitioning = false)", {"path": str(path)}
            )
        except duckdb.IOException:
            return []
        names = [column[0] for column in cursor.description or ()]
        return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]


def raw(settings: Settings, dataset: str) -> list[dict[str, Any]]:
    return rows(settings.raw / dataset / "*" / "*.parquet")


def quarantined(settings: Settings) -> list[dict[str, Any]]:
    return rows(settings.quarantine / "*" / "*.parquet")


def registry(settings: Settings, night: date = NIGHT) -> list[dict[str, Any]]:
    return rows(files_path(settings, night))


def job_of(settings: Settings, path: Path, layout: str, **keys: Any) -> Job:
    """A file as a parser gets it, with a source of this layout."""
    named = NameParts(business_date=keys.pop("named_date", None), key=keys.pop("named_key", ""), part="")
    scratch = settings.tmp / "scratch"
    scratch.mkdir(parents=True, exist_ok=True)
    values = {
        "name": "sample", "feed": "bank", "layout": layout, "pattern": ".*", "date_from": "content",
        "zone": "Asia/Shanghai", "acquirer_patterns": {"unionpay": [r"UNION\s*PAY", "银联"]},
    } | keys  # fmt: skip
    return Job(
        path=path,
        file_name=path.name,
        file_no=1,
        source=Source.model_validate(values),
        name=named,
        scratch=scratch,
        settings=settings,
    )


def parse_as(
    settings: Settings, content: bytes, layout: str, **keys: Any
) -> tuple[Parsed, dict[str, list[dict[str, Any]]]]:
    """Parse a content on its own: what the parser says, and the rows of each dataset (and of quarantine)."""
    path = settings.home / "received"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    parsed = LAYOUTS[layout].parse(job_of(settings, path, layout, **keys))
    found = {name: rows(file) for name, file in parsed.datasets.items()}
    found["quarantine"] = rows(parsed.quarantine) if parsed.quarantine else []
    return parsed, found


def parse_or_refuse(
    settings: Settings, content: bytes, layout: str, **keys: Any
) -> tuple[Parsed, dict[str, list[dict[str, Any]]]] | None:
    """As `parse_as`; None when the file was refused, which a damaged file may be. Any other error is a fault."""
    try:
        return parse_as(settings, content, layout, **keys)
    except LayoutError:
        return None
