"""Printed pages: the font is there or the error says what to do; what is written can be read from the page."""

from datetime import date
from pathlib import Path

import pypdfium2
import pytest

from posrecon.errors import PosreconError
from posrecon.pdf import LACKING, OWN_FONT, Column, Pages
from posrecon.settings import Settings

DAY = date(2026, 11, 14)


def texts(content: bytes) -> list[str]:
    """The text of each page, without blanks, since PDF places words and keeps no spaces."""
    return [
        "".join(page.get_textpage().get_text_bounded().split()) for page in pypdfium2.PdfDocument(content)
    ]


def sample(settings: Settings) -> bytes:
    pages = Pages(settings, title="投诉材料 Complaint", dated=DAY)
    pages.heading("事实 Facts")
    pages.facts([("商户 Merchant", "北京面馆")])
    pages.table([Column("文件 File", 2), Column("金额 Amount", 1, is_money=True)], [("ZM", "12.34")] * 60)
    return pages.content()


def test_chinese_and_english__can_be_read_from_the_page(tmp_path: Path) -> None:
    first, second = texts(sample(Settings(home=tmp_path)))
    assert "事实Facts" in first
    assert "商户Merchant北京面馆" in first
    # The head of a table stands on each of its pages.
    assert "金额Amount" in second
    assert "2/2" in second


def test_same_content__same_bytes(tmp_path: Path) -> None:
    assert sample(Settings(home=tmp_path)) == sample(Settings(home=tmp_path))


def test_a_long_word__is_broken__and_nothing_is_lost(tmp_path: Path) -> None:
    pages = Pages(Settings(home=tmp_path), title="t", dated=DAY)
    line = "S22" + "0123456789" * 40
    pages.received("ZM, line 1", line)
    assert line in texts(pages.content())[0]


def test_a_record__is_not_cut_by_the_end_of_a_page(tmp_path: Path) -> None:
    pages = Pages(Settings(home=tmp_path), title="t", dated=DAY)
    records = [f"record{number:03}" + "x" * 150 + "end" for number in range(60)]
    for record in records:
        pages.received("ZM", record)
    read = texts(pages.content())
    assert len(read) > 1
    assert all(any(record in page for page in read) for record in records)


def test_a_character_that_the_font_lacks__is_marked_and_counted(tmp_path: Path) -> None:
    pages = Pages(Settings(home=tmp_path), title="t", dated=DAY)
    pages.paragraph("商户䶮记")
    assert pages.lacking == {"䶮"}
    assert f"商户{LACKING}记" in texts(pages.content())[0]


def test_font__missing__says_what_to_set(tmp_path: Path) -> None:
    with pytest.raises(PosreconError, match="font of printed pages is missing") as error:
        Pages(Settings(home=tmp_path, pdf_font=tmp_path / "none.ttf"), title="t", dated=DAY)
    assert "POSRECON_PDF_FONT" in (error.value.next_step or "")


def test_font__no_font__is_refused(tmp_path: Path) -> None:
    path = tmp_path / "text.ttf"
    path.write_text("no font")
    with pytest.raises(PosreconError, match="not a font"):
        Pages(Settings(home=tmp_path, pdf_font=path), title="t", dated=DAY)


def test_font__without_chinese__is_refused(tmp_path: Path) -> None:
    from fontTools import subset
    from fontTools.ttLib import TTFont

    path = tmp_path / "latin.ttf"
    with TTFont(OWN_FONT) as font:
        cutter = subset.Subsetter()
        cutter.populate(text="abc")
        cutter.subset(font)
        font.save(path)
    with pytest.raises(PosreconError, match="no Chinese characters"):
        Pages(Settings(home=tmp_path, pdf_font=path), title="t", dated=DAY)
