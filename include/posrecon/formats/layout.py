"""What every layout offers: look at the date of a file, and turn the whole file into Parquet."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

import pyarrow as pa

from posrecon.errors import NightError
from posrecon.landing.sources import NameParts, Source
from posrecon.settings import Settings


def arrow_schema(**columns: pa.DataType) -> pa.Schema:
    """A schema with these columns in this order."""
    return pa.schema(columns)


QUARANTINE_SCHEMA = arrow_schema(
    file_no=pa.int64(),
    line_no=pa.int64(),
    reason=pa.string(),
    record_masked=pa.string(),
)


@dataclass(frozen=True, kw_only=True)
class Job:
    """One file to parse.

    Attributes:
        path: Clear content; read, never moved, gone after the parse.
        file_name: As received, for messages.
        file_no: Goes into every row.
        scratch: Folder for the results, on the same file system as their final place.
    """

    path: Path
    file_name: str
    file_no: int
    source: Source
    name: NameParts
    scratch: Path
    settings: Settings


@dataclass(frozen=True, kw_only=True)
class Parsed:
    """A file that was read: every record is loaded or quarantined.

    Attributes:
        datasets: Finished Parquet files by raw dataset.
        quarantine: Parquet of the refused records; None when there are none.
        logical_part: What tells complementary files of one key and day apart, when the name does not.
        declared_minor, computed_minor: The total that the file states and the one of its loaded records.
    """

    records: int
    loaded: int
    quarantined: int
    business_date: date | None
    logical_key: str
    encoding: str
    datasets: dict[str, Path] = field(default_factory=dict)
    quarantine: Path | None = None
    declared_minor: int | None = None
    computed_minor: int | None = None
    logical_part: str = ""

    def __post_init__(self) -> None:
        if self.records != self.loaded + self.quarantined:
            raise NightError(
                f"A file has {self.records} records, but {self.loaded} were loaded and {self.quarantined} "
                "quarantined: records would be lost.",
                next_step="Report this as a fault of the parser; nothing is published.",
            )


@dataclass(frozen=True)
class Layout:
    """A layout family.

    Attributes:
        peek: Business date of a file from its head; None when it cannot be read. Never raises.
        parse: The whole file. Raises LayoutError with every bad line when the file is refused.
        looks: Whether the first bytes are of this layout; asked only when a name fits several sources.
    """

    peek: Callable[[Path, Source], date | None]
    parse: Callable[[Job], Parsed]
    looks: Callable[[bytes], bool] | None = None
