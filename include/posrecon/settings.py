"""One typed settings object. Every value can be set as POSRECON_<NAME>; all state lives under `home`."""

from datetime import date, datetime, time
from functools import cached_property
from pathlib import Path
from zoneinfo import ZoneInfo

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

PACKAGE_ROOT = Path(__file__).resolve().parent
PROJECT_ROOT = PACKAGE_ROOT.parents[1]


class Settings(BaseSettings):
    """Where state lives, and the few choices that differ between installations.

    Relative paths are taken from the working directory and made absolute at once, so that a task
    with another working directory sees the same home.
    """

    model_config = SettingsConfigDict(env_prefix="POSRECON_", frozen=True, extra="forbid")

    home: Path = Field(default=Path("var"), description="Holds all state; nothing is written outside it.")
    project_dir: Path = Field(
        default=PROJECT_ROOT, description="Folder that holds dbt_project/, expectations/ and include/."
    )
    zone: str = Field(default="Asia/Shanghai", description="Zone of sources that name no other.")
    cases_url: SecretStr | None = Field(
        default=None,
        description="SQLAlchemy URL of the cases; empty = SQLite under home. It may hold a password.",
    )
    user: str = Field(default="", description="Who acts on cases; empty = the user of the system.")
    attachment_bytes_max: int = Field(
        default=100 * 1024 * 1024, ge=1, description="Largest file that can be attached to a case."
    )
    token_key: SecretStr | None = Field(
        default=None, description="Hex key (32 bytes) of the card token HMAC; else secrets/token.key."
    )
    archive_key: SecretStr | None = Field(
        default=None, description="Hex key (32 bytes) of the archive; else secrets/archive.key."
    )
    gnupg_home: Path | None = Field(
        default=None, description="GnuPG key ring that opens PGP files; else secrets/gnupg."
    )
    pgp_passphrase: SecretStr | None = Field(default=None, description="Passphrase of the key in that ring.")
    threads: int = Field(default=2, ge=1, description="DuckDB threads of one task.")
    memory_limit: str = Field(
        default="1500MB", description="DuckDB memory limit of one task; beyond it spills."
    )
    lookback_days: int = Field(
        default=45, ge=1, description="How far back duplicates and originals are looked for."
    )

    pdf_font: Path | None = Field(
        default=None, description="TrueType font with Chinese characters for printed pages; empty = our own."
    )

    audit_anchor: Path | None = Field(
        default=None,
        description="A file kept elsewhere that gets the head of the audit log after each night.",
    )

    @field_validator("home", "project_dir", "audit_anchor")
    @classmethod
    def _absolute(cls, value: Path | None) -> Path | None:
        return value.expanduser().absolute() if value is not None else None

    @field_validator("gnupg_home")
    @classmethod
    def _absolute_ring(cls, value: Path | None) -> Path | None:
        return value.expanduser().absolute() if value else None

    @field_validator("zone")
    @classmethod
    def _known_zone(cls, value: str) -> str:
        ZoneInfo(value)
        return value

    # ---------------------------------------------------------------- layout of home
    @cached_property
    def inbox(self) -> Path:
        return self.home / "inbox"

    @cached_property
    def arrival(self) -> Path:
        return self.home / "arrival"

    @cached_property
    def archive(self) -> Path:
        return self.home / "archive"

    @cached_property
    def quarantine(self) -> Path:
        return self.home / "quarantine"

    @cached_property
    def raw(self) -> Path:
        return self.home / "raw"

    @cached_property
    def state(self) -> Path:
        return self.home / "state"

    @cached_property
    def warehouse(self) -> Path:
        return self.home / "warehouse.duckdb"

    @cached_property
    def published(self) -> Path:
        return self.home / "published"

    @cached_property
    def audit(self) -> Path:
        return self.home / "audit"

    @cached_property
    def secrets(self) -> Path:
        return self.home / "secrets"

    @cached_property
    def gnupg(self) -> Path:
        return self.gnupg_home or self.secrets / "gnupg"

    @cached_property
    def tmp(self) -> Path:
        return self.home / "tmp"

    # ---------------------------------------------------------------- layout of the project
    @cached_property
    def sources_dir(self) -> Path:
        return self.project_dir / "include" / "sources"

    @cached_property
    def dbt_dir(self) -> Path:
        return self.project_dir / "dbt_project"

    @cached_property
    def expectations_dir(self) -> Path:
        return self.project_dir / "expectations"

    def night_instant(self, run_date: date) -> datetime:
        """The instant at which the night of `run_date` runs: 22:30 in the configured zone."""
        return datetime.combine(run_date, time(22, 30), tzinfo=ZoneInfo(self.zone))
