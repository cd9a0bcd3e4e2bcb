"""Evidence is the record as received: found again by the number that its row has, whatever the layout."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from posrecon.landing.received import received_text
from posrecon.landing.sources import Source
from posrecon.settings import Settings
from tests.unit.formats.generic_sources import ALLINPAY, ALLINPAY_HEADER
from tests.unit.formats.test_bai2 import CREDIT as BAI_CREDIT
from tests.unit.formats.test_bai2 import DEBIT as BAI_DEBIT
from tests.unit.formats.test_bai2 import bai
from tests.unit.formats.test_camt import detail, document, entry
from tests.unit.landing.files import PAN, job_of, parse_as, statement


def received(settings: Settings, content: bytes, layout: str, line: int, **keys: Any) -> str | None:
    path = settings.home / "received"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return received_text(path, job_of(settings, path, layout, **keys).source, line, "utf-8")


def test_mt940__the_lines_of_the_entry__with_its_narrative(settings: Settings) -> None:
    credit = ":61:2611111111C50,25NTRFREF1//BANK1"
    content = statement(
        credit, ":86:UNIONPAY SETTLEMENT", "898110000000037", ":61:2611111111D0,25NCHGNONREF",
        closing="C261111CNY150,00",
    ).encode()  # fmt: skip
    first = received(settings, content, "mt940", 1)
    assert first == f"{credit}\r\n:86:UNIONPAY SETTLEMENT\r\n898110000000037"
    assert received(settings, content, "mt940", 2) == ":61:2611111111D0,25NCHGNONREF"
    assert received(settings, content, "mt940", 3) is None


def test_bai2__the_detail_and_its_continuations(settings: Settings) -> None:
    content = bai(BAI_CREDIT, "88,FURTHER/", BAI_DEBIT)
    assert received(settings, content, "bai2", 1) == f"{BAI_CREDIT}\r\n88,FURTHER/"
    assert received(settings, content, "bai2", 2) == BAI_DEBIT
    assert received(settings, content, "bai2", 3) is None


def test_camt__the_entry_byte_for_byte__and_the_rows_of_a_batch_share_theirs(settings: Settings) -> None:
    batch = entry("50.25", details=detail("one", "20.00") + detail("two", "30.25"))
    pending = entry("7.00", status="<Cd>PDNG</Cd>")
    last = entry("9.75", details=detail("three"))
    content = document(batch, pending, last, closing="160.00")

    _, found = parse_as(settings, content, "camt")
    texts = {row["line_no"]: row["narrative"] for row in found["bank_entries"]}
    assert texts == {1: "one", 2: "two", 4: "three"}
    assert received(settings, content, "camt", 1) == batch
    assert received(settings, content, "camt", 2) == batch
    assert received(settings, content, "camt", 3) == pending
    assert received(settings, content, "camt", 4) == last
    assert received(settings, content, "camt", 5) is None


def test_camt__in_the_encoding_that_it_declares(settings: Settings) -> None:
    told = entry(details=detail("银联商务"))
    path = settings.home / "received"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(
        document(told).decode().replace("UTF-8", "ISO-8859-1").encode("latin-1", "xmlcharrefreplace")
    )
    source = job_of(settings, path, "camt").source
    assert received_text(path, source, 1, "xml") == told.encode("latin-1", "xmlcharrefreplace").decode(
        "latin-1"
    )


def test_a_physical_line__card_number_masked_and_nothing_else(settings: Settings) -> None:
    line = f"M000001,10000001,{PAN},898110000000037,12.34"
    content = f"header\n{line}\n".encode()
    shown = received(settings, content, "terminal_log", 2)
    assert shown == line.replace(PAN, "621234******1232")
    assert received(settings, content, "terminal_log", 3) is None


def test_columns_about_persons__are_blanked(tmp_path: Path) -> None:
    names = ALLINPAY_HEADER.split(",")
    cells = ["x"] * len(names)
    cells[names.index("持卡人姓名")] = "张三"
    cells[names.index("持卡人身份证")] = "110101199001011237"
    path = tmp_path / "bill.csv"
    path.write_bytes(f"标题\n{ALLINPAY_HEADER}\n{','.join(cells)}\n张三,残缺\n".encode("gb18030"))
    source = Source.model_validate(yaml.safe_load(ALLINPAY))

    shown = received_text(path, source, 3, "gb18030")
    assert shown is not None
    assert "张三" not in shown
    assert "110101199001011237" not in shown
    assert shown.count("***") == 3
    assert shown.count("x") == len(names) - 3
    # What cannot be cut into its columns may hold a name anywhere.
    assert received_text(path, source, 4, "gb18030") == "***"


@pytest.mark.parametrize("row", [1, 3])
def test_parquet__the_row_as_json(tmp_path: Path, row: int) -> None:
    path = tmp_path / "log.parquet"
    table = pa.table({"stan": ["000001", "000002", "000003"], "card_no": [PAN] * 3})
    pq.write_table(table, path, row_group_size=2)
    assert received_text(path, None, row, None) == f'{{"stan": "00000{row}", "card_no": "621234******1232"}}'
    assert received_text(path, None, 4, None) is None
