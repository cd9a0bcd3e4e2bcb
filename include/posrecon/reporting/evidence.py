"""The records behind a published figure, as they were received: from the archive, masked."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import duckdb

from posrecon.audit.log import Entry, record_all
from posrecon.errors import PosreconError
from posrecon.landing.containers import open_content
from posrecon.landing.received import received_text
from posrecon.landing.sources import load_sources
from posrecon.settings import Settings


@dataclass(frozen=True)
class Place:
    """Where a record stands.

    Attributes:
        side: `terminal log`, `settlement` or `bank`.
        file: Base name as received; a zip member is `outer.zip!member`.
        line: Physical line or ordinal, from 1.
        file_id: Which of the files of that name; None when only the name is known.
    """

    side: str
    file: str
    line: int
    file_id: str | None = None


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """One record of a received file.

    Attributes:
        side, file, line: Where it stands, see `Place`.
        sha256: Of the received file, in hex; None when no such file was loaded.
        text: The record as received, masked; None when it cannot be shown.
        problem: Why it cannot be shown.
    """

    side: str
    file: str
    line: int
    sha256: str | None = None
    text: str | None = None
    problem: str | None = None

    def as_row(self) -> dict[str, str | int | None]:
        """For JSON."""
        return asdict(self)


@dataclass(frozen=True)
class _File:
    """A loaded file: what it takes to read it again."""

    sha256: str
    encoding: str | None
    source: str


def place_of(side: str, row: Mapping[str, Any], prefix: str) -> Place | None:
    """The record that a row names on one side (`terminal_file`, `terminal_line`, …); None when it names none."""
    file, line = row.get(f"{prefix}_file"), row.get(f"{prefix}_line")
    return None if file is None or line is None else Place(side, file, line, row.get(f"{prefix}_file_id"))


def evidence_of(
    settings: Settings, published: duckdb.DuckDBPyConnection, places: Iterable[Place | None]
) -> list[Evidence]:
    """The records that published figures name, in the order of the places; what is None is left out.

    A file is told by its id: a sender may use one name every day. Each is taken out of the archive once, whatever is
    asked of it. Looking at an original is an access that the audit log records, first; one that cannot be recorded is
    not shown.

    Args:
        settings: Where the archive lies.
        published: Open on the published views.
        places: Where the records stand.
    """
    wanted = [one for one in places if one is not None]
    found: dict[Place, Evidence] = {}
    of_file: dict[_File, list[Place]] = {}
    for place in dict.fromkeys(wanted):
        file = _file_of(published, place)
        if isinstance(file, str):
            found[place] = Evidence(side=place.side, file=place.file, line=place.line, problem=file)
        else:
            of_file.setdefault(file, []).append(place)
    for file, asked in of_file.items():
        found |= _read(settings, file, asked)
    return [found[one] for one in wanted]


def _file_of(published: duckdb.DuckDBPyConnection, place: Place) -> _File | str:
    """The file in which a place lies, or why it cannot be told."""
    column, value = ("file_name", place.file) if place.file_id is None else ("file_id", place.file_id)
    # A file that another took the place of is asked for only where no loaded one has the name.
    rows = published.execute(
        f"select distinct sha256, encoding, source from fct_files where {column} = ? "
        "and state in ('loaded', 'superseded') qualify state = min(state) over () order by all",
        [value],
    ).fetchall()
    if len(rows) > 1:
        return f"{len(rows)} received files have this name; the id of the right one is not known"
    return _File(*rows[0]) if rows else "the file is not among the loaded files"


def _read(settings: Settings, file: _File, places: list[Place]) -> dict[Place, Evidence]:
    """Records of one file."""
    bare = {one: Evidence(side=one.side, file=one.file, line=one.line, sha256=file.sha256) for one in places}
    accesses = [
        Entry(
            "archive_read",
            {"file": one.file, "sha256": file.sha256, "line": one.line, "side": one.side},
        )
        for one in places
    ]
    try:
        record_all(settings, accesses)
    except OSError as error:
        unrecorded = f"the access cannot be recorded in the audit log: {error.strerror}"
        return {one: replace(empty, problem=unrecorded) for one, empty in bare.items()}
    source = next((one for one in load_sources(settings.sources_dir) if one.name == file.source), None)
    try:
        with open_content(settings, file.sha256, places[0].file) as path:
            texts = {one: received_text(path, source, one.line, file.encoding) for one in places}
    except PosreconError as error:
        return {one: replace(empty, problem=error.what) for one, empty in bare.items()}
    lacking = "the archived file has no such line"
    return {
        one: replace(empty, text=texts[one], problem=lacking if texts[one] is None else None)
        for one, empty in bare.items()
    }
