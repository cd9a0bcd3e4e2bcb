"""One record of a received file as text: found again by the number that its rows carry.

A number is a physical line; of MT940, camt and BAI2 the ordinal of the entry; of Parquet the ordinal of the row.
Whole card numbers are masked, and columns about persons are blanked; nothing else is changed.
"""

import csv
import io
import json
import re
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq

from posrecon.formats import bai2, camt, mt940
from posrecon.landing.sources import Source
from posrecon.landing.tables import PERSONAL, Table
from posrecon.redaction import is_luhn, without_cards

HIDDEN = "***"
_DIGIT_RUN = re.compile(r"(?<!\d)\d{13,19}(?!\d)")
_HEADER_SEARCH_LINES = 100
_XML_HEAD_BYTES = 200
_XML_ENCODING = re.compile(rb"""^[^>]*\bencoding=["']([A-Za-z0-9._-]+)["']""")

# Layouts whose numbers count entries, not lines: how one entry is found in a file.
_ENTRIES: dict[str, Callable[[Path, Source, int], bytes | None]] = {
    "mt940": mt940.received_entry,
    "camt": camt.received_entry,
    "bai2": bai2.received_entry,
}


def received_text(path: Path, source: Source | None, line: int, encoding: str | None) -> str | None:
    """One record of a clear file, masked; None when the file is shorter.

    Args:
        path: Clear content.
        source: How the file was read; None when the source is no longer described: then its physical line.
        line: Number of the record.
        encoding: That the file was read with.

    Raises:
        LayoutError: The file cannot be read again; it was read once, so it is damaged.
    """
    with path.open("rb") as file:
        is_parquet = file.read(4) == b"PAR1"
    if is_parquet:
        return _parquet_row(path, line)
    find = _ENTRIES.get(source.layout) if source is not None else None
    raw = find(path, source, line) if find is not None and source is not None else _physical_line(path, line)
    if raw is None:
        return None
    codec = _declared(path) if encoding == "xml" else encoding or "utf-8"
    text = raw.decode(codec, errors="replace").rstrip("\r\n")
    if source is not None and source.table is not None:
        text = _without_persons(text, path, source.table, codec)
    return masked(text)


def masked(text: str) -> str:
    """What can be a card number keeps first six and last four; other references stay readable."""
    return without_cards(_DIGIT_RUN.sub(lambda run: _masked_run(run.group()), text))


def _masked_run(digits: str) -> str:
    return f"{digits[:6]}{'*' * (len(digits) - 10)}{digits[-4:]}" if is_luhn(digits) else digits


def _declared(path: Path) -> str:
    """Encoding that an XML file declares."""
    with path.open("rb") as file:
        found = _XML_ENCODING.search(file.read(_XML_HEAD_BYTES))
    return found[1].decode("ascii") if found else "utf-8"


def _physical_line(path: Path, line: int) -> bytes | None:
    with path.open("rb") as stream:
        return next((raw for number, raw in enumerate(stream, start=1) if number == line), None)


def _parquet_row(path: Path, ordinal: int) -> str | None:
    """A row has no text of its own: as JSON, values as they stand."""
    with pq.ParquetFile(path) as file:
        before = 0
        for group in range(file.num_row_groups):
            rows = file.metadata.row_group(group).num_rows
            if before < ordinal <= before + rows:
                row = file.read_row_group(group).slice(ordinal - before - 1, 1).to_pylist()[0]
                return masked(json.dumps(row, ensure_ascii=False, default=str))
            before += rows
    return None


def _without_persons(text: str, path: Path, table: Table, codec: str) -> str:
    """Blank the columns about persons; a line that cannot be cut into its columns is withheld when it has some."""
    if table.positions:
        raw = bytearray(text.encode(codec, errors="replace"))
        for name, (first, length) in table.positions.items():
            if _is_personal(name, table):
                raw[first - 1 : first - 1 + length] = b"*" * len(raw[first - 1 : first - 1 + length])
        return raw.decode(codec, errors="replace")
    names = list(table.fields) or _header(path, table, codec)
    hidden = {place for place, name in enumerate(names) if _is_personal(name, table)}
    if not hidden:
        return text
    cells = next(csv.reader([text], delimiter=table.delimiter), [])
    if len(cells) < len(names):
        return HIDDEN
    out = io.StringIO()
    writer = csv.writer(out, delimiter=table.delimiter, lineterminator="")
    writer.writerow([HIDDEN if place in hidden else cell for place, cell in enumerate(cells)])
    return out.getvalue()


def _is_personal(name: str, table: Table) -> bool:
    return name in table.never_kept or PERSONAL.search(name) is not None


def _header(path: Path, table: Table, codec: str) -> list[str]:
    with path.open("rb") as stream:
        for _, raw in zip(range(_HEADER_SEARCH_LINES), stream, strict=False):
            text = raw.decode(codec, errors="replace").lstrip("\ufeff").rstrip("\r\n")
            cells = [cell.strip() for cell in next(csv.reader([text], delimiter=table.delimiter), [])]
            if set(table.mapped) <= set(cells):
                return cells
    return []
