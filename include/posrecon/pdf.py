"""Pages that are printed and sent: A4, Chinese and English, the font embedded, the same bytes for the same content."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import lru_cache
from pathlib import Path
from typing import cast

from fontTools.ttLib import TTFont, TTLibError
from fpdf import FPDF
from fpdf.enums import MethodReturnValue, WrapMode, XPos, YPos
from fpdf.fonts import FontFace

from posrecon.errors import PosreconError
from posrecon.settings import Settings

# Noto Sans SC (SIL Open Font License, beside it), cut down to GB 2312, Latin and punctuation.
OWN_FONT = Path(__file__).parent / "fonts" / "NotoSansSC-GB2312.ttf"
# Stands for a character that the font lacks, as Chinese typesetters do.
LACKING = "〓"

_FAMILY = "page"
_MARGIN = 18.0
_RECORD_SIZE = 8.0
_RECORD_HEIGHT = 4.3
_INK = (28, 34, 40)
_FAINT = (110, 118, 126)
_LINE = (205, 210, 215)
_SHADE = (243, 245, 247)


@dataclass(frozen=True)
class Column:
    """A column of a table.

    Attributes:
        title: Head of the column.
        share: Part of the width, relative to the others.
        is_money: Right-aligned.
    """

    title: str
    share: float
    is_money: bool = False


class Pages:
    """A document that grows from the top of the first page to the end of the last.

    Args:
        settings: Names another font, when one is wanted (POSRECON_PDF_FONT).
        title: Of the document, also at the foot of each page.
        dated: Goes into the file as its date, so that the same content gives the same bytes.

    Raises:
        PosreconError: The font is missing, cannot be read, or has no Chinese characters.
    """

    def __init__(self, settings: Settings, *, title: str, dated: date) -> None:
        font = settings.pdf_font or OWN_FONT
        self._known = _characters(font)
        self.lacking: set[str] = set()
        self._pdf = _Paper(self._held(title))
        self._pdf.set_creation_date(datetime(dated.year, dated.month, dated.day, tzinfo=UTC))
        self._pdf.set_title(title)
        self._pdf.set_producer("posrecon")
        self._pdf.set_margins(_MARGIN, _MARGIN)
        self._pdf.set_auto_page_break(True, margin=_MARGIN + 4)
        self._pdf.add_font(_FAMILY, fname=font)
        self._pdf.add_page()

    def title(self, text: str, below: str = "") -> None:
        """The name of the document, and a line under it."""
        self._text(text, size=17, height=8.5)
        if below:
            self._text(below, size=9.5, height=5, colour=_FAINT)
        self._pdf.ln(3)

    def heading(self, text: str) -> None:
        """Starts a part; never left alone at the foot of a page."""
        if self._pdf.will_page_break(24):
            self._pdf.add_page()
        self._pdf.ln(3)
        self._text(text, size=12, height=6.5)
        self._pdf.set_draw_color(*_LINE)
        self._pdf.line(_MARGIN, self._pdf.y + 0.6, self._pdf.w - _MARGIN, self._pdf.y + 0.6)
        self._pdf.ln(2.4)

    def paragraph(self, text: str) -> None:
        """Running text; Chinese may break after any character, English between words."""
        self._text(text, size=10, height=5.2)
        self._pdf.ln(1.2)

    def note(self, text: str) -> None:
        """Small print."""
        self._text(text, size=8, height=4.2, colour=_FAINT)

    def facts(self, rows: Sequence[tuple[str, str]]) -> None:
        """Labels and values, one pair a line."""
        self.table([Column("", 1.0), Column("", 2.6)], rows, has_head=False)

    def table(
        self, columns: Sequence[Column], rows: Sequence[Sequence[str]], *, has_head: bool = True
    ) -> None:
        """A table whose head is repeated on every page."""
        self._pdf.set_font(_FAMILY, size=9)
        self._pdf.set_text_color(*_INK)
        self._pdf.set_draw_color(*_LINE)
        with self._pdf.table(
            col_widths=tuple(column.share for column in columns),
            text_align=tuple("RIGHT" if column.is_money else "LEFT" for column in columns),
            borders_layout="HORIZONTAL_LINES" if has_head else "NONE",
            headings_style=FontFace(color=_FAINT, fill_color=_SHADE),
            first_row_as_headings=has_head,
            line_height=5,
            padding=(0.7, 1),
            v_align="TOP",
        ) as table:
            if has_head:
                table.row([self._held(column.title) for column in columns])
            for cells in rows:
                row = table.row()
                for place, cell in enumerate(cells):
                    label = FontFace(color=_FAINT) if not has_head and place == 0 else None
                    row.cell(self._held(cell), style=label)
        self._pdf.ln(2)

    def received(self, label: str, text: str) -> None:
        """A record as it was received, on a shaded ground under its label.

        Long lines are broken and nothing is left out; a record is not cut by the end of a page when it fits on one.
        """
        self._pdf.set_font(_FAMILY, size=_RECORD_SIZE)
        height = cast(
            float,
            self._pdf.multi_cell(
                0,
                _RECORD_HEIGHT,
                self._held(text),
                wrapmode=WrapMode.CHAR,
                dry_run=True,
                output=MethodReturnValue.HEIGHT,
            ),
        )
        if self._pdf.will_page_break(height + 12) and height < self._pdf.eph / 2:
            self._pdf.add_page()
        self.note(label)
        self._pdf.set_fill_color(*_SHADE)
        self._text(text, size=_RECORD_SIZE, height=_RECORD_HEIGHT, is_shaded=True)
        # A table would take over the ground.
        self._pdf.set_fill_color(255)
        self._pdf.ln(1.5)

    def content(self) -> bytes:
        """The finished document."""
        return bytes(self._pdf.output())

    def _text(
        self,
        text: str,
        *,
        size: float,
        height: float,
        colour: tuple[int, int, int] = _INK,
        is_shaded: bool = False,
    ) -> None:
        self._pdf.set_font(_FAMILY, size=size)
        self._pdf.set_text_color(*colour)
        chinese = sum(ord(letter) > 0x2E80 for letter in text)
        by_character = is_shaded or chinese > len(text) // 2
        self._pdf.multi_cell(
            0,
            height,
            self._held(text),
            align="L",
            fill=is_shaded,
            wrapmode=WrapMode.CHAR if by_character else WrapMode.WORD,
            new_x=XPos.LMARGIN,
            new_y=YPos.NEXT,
        )

    def _held(self, text: str) -> str:
        """The text with what the font can show; what it cannot is counted in `lacking`."""
        text = text.replace("\t", " ").replace("\r\n", "\n")
        absent = {letter for letter in text if letter != "\n" and ord(letter) not in self._known}
        self.lacking |= absent
        return "".join(LACKING if letter in absent else letter for letter in text)


class _Paper(FPDF):
    def __init__(self, foot: str) -> None:
        super().__init__(format="A4")
        self._foot = foot

    def footer(self) -> None:
        self.set_y(-_MARGIN + 4)
        self.set_font(_FAMILY, size=8)
        self.set_text_color(*_FAINT)
        self.cell(0, 5, self._foot)
        self.set_x(_MARGIN)
        self.cell(0, 5, f"{self.page_no()} / {{nb}}", align="R")


@lru_cache(maxsize=2)
def _characters(font: Path) -> frozenset[int]:
    """Code points that a font has.

    Raises:
        PosreconError: Missing, no font, or without Chinese.
    """
    next_step = "Set POSRECON_PDF_FONT to a TrueType font with Chinese characters, such as Noto Sans SC."
    if not font.is_file():
        raise PosreconError(f"{font}: the font of printed pages is missing.", next_step=next_step)
    try:
        with TTFont(font, fontNumber=0, lazy=True) as opened:
            known = frozenset(opened.getBestCmap() or {})
    except TTLibError as error:
        raise PosreconError(f"{font}: not a font that can be read: {error}.", next_step=next_step) from None
    if not {ord(letter) for letter in "银商户金额"} <= known:
        raise PosreconError(f"{font}: the font has no Chinese characters.", next_step=next_step)
    return known
