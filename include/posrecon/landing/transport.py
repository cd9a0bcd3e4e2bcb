"""Where the files of a source lie until they are fetched, and how a finished upload is told from a running one.

Part of the source YAML. Credentials are never part of it: `connection` names a connection of Airflow.
"""

import re
from datetime import date, timedelta
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator


class Stable(BaseModel):
    """Finished when two looks, some time apart, saw the same size and time of change."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    rule: Literal["stable"]
    seconds: int = Field(default=60, ge=1, le=86_400, description="Between the two looks.")


class Marker(BaseModel):
    """Finished when the sender has put a marker beside it, not older than the file."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    rule: Literal["marker"]
    name: str = Field(
        default="{name}.done",
        description="Name of the marker: {name} is the file's, {stem} the same without what follows its last dot.",
    )

    @field_validator("name")
    @classmethod
    def _names_the_file(cls, value: str) -> str:
        rest = value.replace("{name}", "", 1) if "{name}" in value else value.replace("{stem}", "", 1)
        if rest == value or not rest or re.search(r"[{}/\\]", rest):
            raise ValueError(
                f"{value!r}: expected {{name}} or {{stem}} once, and more, such as {{name}}.done"
            )
        return value

    def of(self, file_name: str) -> str:
        """Name of the marker of a file."""
        return self.name.replace("{name}", file_name).replace(
            "{stem}", file_name.rpartition(".")[0] or file_name
        )


class AtOnce(BaseModel):
    """Finished when it can be seen: the sender renames when it is done, or the store shows whole objects only."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    rule: Literal["at_once"]


Ready = Annotated[Stable | Marker | AtOnce, Field(discriminator="rule")]


class Transport(BaseModel):
    """From where the files of a source are fetched into the inbox. Unknown keys are an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["folder", "sftp", "s3"]
    connection: str | None = Field(
        default=None,
        pattern=r"^[\w.-]+$",
        description="Id of an Airflow connection; a folder may do without one.",
    )
    path: str = Field(
        min_length=1,
        description="Folder on the server, or bucket/prefix. May hold %Y, %m, %d of the business date.",
    )
    pattern: str | None = Field(
        default=None, description="Regular expression over the whole remote name; none = the source's own."
    )
    ready: Ready | None = Field(
        default=None, description="None = stable for 60 s; in an object store at once."
    )
    after: Literal["leave", "delete"] = Field(
        default="leave",
        description="delete: removed from the server by a later look, once the archive holds it.",
    )
    days: int = Field(
        default=7, ge=1, le=400, description="How many business dates back a dated path is looked into."
    )
    look_every_s: int = Field(
        default=120, ge=1, le=3_600, description="Seconds between two looks while a file is waited for."
    )

    @field_validator("pattern")
    @classmethod
    def _valid_pattern(cls, value: str | None) -> str | None:
        try:
            re.compile(value or "")
        except re.error as error:
            raise ValueError(f"not a regular expression: {error}") from None
        return value

    @field_validator("path")
    @classmethod
    def _plain_path(cls, value: str) -> str:
        if ".." in value.split("/") or "://" in value or any(ord(letter) < 32 for letter in value):
            raise ValueError(f"{value!r}: expected a path without .., without a scheme such as s3://")
        if re.search(r"%(?![Ymd])", value):
            raise ValueError(f"{value!r}: expected after % one of Y, m, d")
        return value.rstrip("/") or "/"

    @model_validator(mode="after")
    def _fits_its_kind(self) -> "Transport":
        if self.kind != "folder" and self.connection is None:
            raise ValueError(f"connection: expected with {self.kind}")
        if self.kind == "s3" and self.path.startswith("/"):
            raise ValueError(f"path: {self.path!r}: expected bucket/prefix")
        if self.kind == "folder" and self.connection is None and not self.path.startswith("/"):
            raise ValueError(f"path: {self.path!r}: expected an absolute path, or a connection that has one")
        return self

    @property
    def ready_rule(self) -> Stable | Marker | AtOnce:
        """The rule that tells a finished upload."""
        if self.ready is not None:
            return self.ready
        return AtOnce(rule="at_once") if self.kind == "s3" else Stable(rule="stable")

    @property
    def is_dated(self) -> bool:
        """True when each business date has a folder of its own, which may be missing."""
        return "%" in self.path

    def folders(self, run_date: date) -> tuple[str, ...]:
        """The folders that a night looks into, oldest first."""
        if not self.is_dated:
            return (self.path,)
        days = (run_date - timedelta(days=back) for back in range(self.days, 0, -1))
        return tuple(dict.fromkeys(day.strftime(self.path) for day in days))
