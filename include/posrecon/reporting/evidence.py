"""The records behind a published figure, as they were received: from the archive, masked."""

from dataclasses import asdict, dataclass

import duckdb

from posrecon.audit.log import record
from posrecon.errors import PosreconError
from posrecon.landing.containers import open_content
from posrecon.landing.received import received_text
from posrecon.landing.sources import load_sources
from posrecon.settings import Settings


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """One record of a received file.

    Attributes:
        side: `terminal log`, `settlement` or `bank`.
        file: Base name as received; a zip member is `outer.zip!member`.
        line: Physical line or ordinal, from 1.
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


def evidence_of(
    settings: Settings,
    published: duckdb.DuckDBPyConnection,
    side: str,
    file_name: str | None,
    line: int | None,
) -> Evidence | None:
    """The record that a published figure names; None when it names none on this side.

    Looking at an original is an access that the audit log records, first; one that cannot be recorded is not shown.

    Args:
        settings: Where the archive lies.
        published: Open on the published views.
        side: What the record is, for people.
        file_name: Base name as published.
        line: Its number there.
    """
    if file_name is None or line is None:
        return None
    found = published.execute(
        "select sha256, encoding, source from fct_files where file_name = ? and state in ('loaded', 'superseded') "
        "order by state, run_date desc limit 1",
        [file_name],
    ).fetchone()
    if found is None:
        return Evidence(
            side=side, file=file_name, line=line, problem="the file is not among the loaded files"
        )
    sha256, encoding, source_name = found
    source = next((one for one in load_sources(settings.sources_dir) if one.name == source_name), None)
    try:
        record(settings, "archive_read", {"file": file_name, "sha256": sha256, "line": line, "side": side})
    except OSError as error:
        unrecorded = f"the access cannot be recorded in the audit log: {error.strerror}"
        return Evidence(side=side, file=file_name, line=line, sha256=sha256, problem=unrecorded)
    try:
        with open_content(settings, sha256, file_name) as path:
            text = received_text(path, source, line, encoding)
    except PosreconError as error:
        return Evidence(side=side, file=file_name, line=line, sha256=sha256, problem=error.what)
    problem = None if text is not None else "the archived file has no such line"
    return Evidence(side=side, file=file_name, line=line, sha256=sha256, text=text, problem=problem)
