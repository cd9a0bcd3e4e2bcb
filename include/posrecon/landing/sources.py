"""What a feed looks like: one YAML per source under `include/sources`, checked when it is read."""

import codecs
import re
from datetime import date, datetime, time
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Literal
from zoneinfo import ZoneInfo

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from posrecon.banking_calendar import is_banking_day
from posrecon.errors import PosreconError
from posrecon.landing.tables import Table
from posrecon.landing.transport import Transport

FEEDS = ("terminal_log", "unionpay", "wechat", "alipay", "bank", "generic", "reference")

TerminalType = Literal["sale", "refund", "void", "reversal", "preauth", "preauth_completion", "preauth_void"]

# A statement is booked for good; a report (camt.052, MT942, interim BAI2) and a notification (camt.054) tell of the
# same entries before it.
BankDocument = Literal["statement", "report", "notification"]

# Keys of `posrecon.formats.LAYOUTS`; a test holds the two together.
LayoutName = Literal[
    "terminal_log",
    "iso8583_log",
    "batch_close_csv",
    "unionpay_zm",
    "unionpay_zme",
    "wechat_bill",
    "alipay_bill",
    "wechat_fund_flow",
    "alipay_account_bill",
    "unionpay_acomn",
    "unionpay_rd",
    "evidence",
    "mt940",
    "camt",
    "bai2",
    "generic_delimited",
    "generic_fixed",
    "merchants_csv",
    "acquirer_merchants_csv",
    "terminals_csv",
    "fee_schedule_csv",
]


class Expected(BaseModel):
    """Which files of a source should be here for a business date."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    calendar: Literal["daily", "banking_days"]
    per: (
        Literal[
            "unionpay_mer_id", "wechat_mch_id", "alipay_pid", "settlement_account", "acquirer_merchant_id"
        ]
        | None
    ) = Field(
        default=None, description="Merchant field with one file per distinct value; none = one file for all."
    )
    deadline: time | None = Field(
        default=None,
        description="Wall clock of the source's zone on the run date. Until then the night waits for the file; "
        "none = it does not wait.",
    )

    @field_validator("deadline", mode="before")
    @classmethod
    def _quoted_clock(cls, value: object) -> object:
        # Without quotes YAML reads 10:30 as the number 630, which would be taken for ten minutes past midnight.
        if value is not None and not (isinstance(value, str) and re.fullmatch(r"\d\d:\d\d(:\d\d)?", value)):
            raise ValueError("expected a time of day in quotes, such as '10:30'; its zone is the source's")
        return value

    def falls_on(self, day: date) -> bool:
        """True when a file is expected for this business date."""
        return self.calendar == "daily" or is_banking_day(day)


class Pgp(BaseModel):
    """How the files of a source are protected with PGP. An encrypted file is opened without this section too."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    required: bool = Field(default=True, description="Refuse a file that comes in the clear.")
    signed_by: tuple[str, ...] = Field(
        default=(),
        description="Fingerprints of keys; a file without a valid signature of one of them is refused.",
    )

    @field_validator("signed_by")
    @classmethod
    def _whole_fingerprints(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        found = tuple(one.replace(" ", "").upper() for one in value)
        for one in found:
            if not re.fullmatch(r"[0-9A-F]{40}|[0-9A-F]{64}", one):
                raise ValueError(
                    f"{one!r}: expected a whole fingerprint (40 hex digits), as gpg --fingerprint shows"
                )
        return found


class Source(BaseModel):
    """Settings of one feed. Unknown keys are an error: a misspelt key must not be silently ignored."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    feed: Literal["terminal_log", "unionpay", "wechat", "alipay", "bank", "generic", "reference"]
    layout: LayoutName
    logical_prefix: str = Field(
        default="",
        description="Start of logical names; empty = the name. Sources of one prefix deliver the same files.",
    )
    pattern: str = Field(
        description="Regular expression over the whole file name. Groups: date (YYYYMMDD), date6 (YYMMDD), "
        "key (whom the file is about), part… (what tells several files of one day apart)."
    )
    date_from: Literal["name", "content", "name_or_content", "none"] = Field(
        description="Where the business date stands; name_or_content = in the name when it has one; "
        "none = the file is in force when it arrives."
    )
    zone: str
    cut_off: time | None = None
    encoding: str = "utf-8"
    acquirer: str | None = Field(
        default=None,
        pattern=r"^[a-z][a-z0-9_]*$",
        description="Whose settlement it is: unionpay, wechat, alipay, or any name that acquirer_merchants.csv uses.",
    )
    currency: str | None = None
    txn_codes: dict[str, Literal["sale", "refund"]] = Field(default_factory=dict)
    message_types: dict[str, TerminalType] = Field(
        default_factory=dict,
        description="iso8583_log: regular expression over `<message type> <element 3> <element 25> [original]`, "
        "matched from its beginning, → type of the event; the first that fits counts.",
    )
    entry_kinds: dict[str, Literal["trade", "refund", "fee", "payout"]] = Field(
        default_factory=dict,
        description="Account bills of wallets: what the bill calls a movement → what it is; others are `other`.",
    )
    summary: dict[Literal["count", "gross", "fee", "net"], str] = Field(
        default_factory=dict,
        description="unionpay_rd: regular expressions whose first group is a total of the settlement file.",
    )
    acquirer_patterns: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    payout_patterns: tuple[str, ...] = Field(
        default=(),
        description="How bank texts name this acquirer; every bank source knows them, before its own patterns.",
    )
    takes: tuple[BankDocument, ...] = Field(
        default=("statement",),
        min_length=1,
        description="Bank documents whose entries are loaded; the others are refused, lest money counts twice.",
    )
    table: Table | None = Field(default=None, description="generic layouts: what the columns mean.")
    reversal_turns_sign: bool = Field(
        default=False,
        description="camt: the bank states the direction of the original of a reversal, not of the booking.",
    )
    expected: Expected | None = None
    transport: Transport | None = Field(
        default=None, description="From where files are fetched; none = they are put into the inbox."
    )
    pgp: Pgp | None = Field(default=None, description="What encryption and signature are asked for.")

    @field_validator("zone")
    @classmethod
    def _known_zone(cls, value: str) -> str:
        try:
            ZoneInfo(value)
        except (KeyError, ValueError, OSError):
            raise ValueError(f"{value!r} is not a time zone such as Asia/Shanghai") from None
        return value

    @field_validator("pattern")
    @classmethod
    def _valid_pattern(cls, value: str) -> str:
        try:
            re.compile(value)
        except re.error as error:
            raise ValueError(f"not a regular expression: {error}") from None
        return value

    @field_validator("summary")
    @classmethod
    def _valid_summary(cls, value: dict[str, str]) -> dict[str, str]:
        for pattern in value.values():
            if re.compile(cls._valid_pattern(pattern)).groups < 1:
                raise ValueError(f"{pattern!r} has no group for the total")
        return value

    @field_validator("message_types")
    @classmethod
    def _valid_message_types(cls, value: dict[str, str]) -> dict[str, str]:
        for pattern in value:
            cls._valid_pattern(pattern)
        return value

    @field_validator("acquirer_patterns")
    @classmethod
    def _valid_patterns(cls, value: dict[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
        for patterns in value.values():
            for pattern in patterns:
                cls._valid_pattern(pattern)
        return value

    @field_validator("payout_patterns")
    @classmethod
    def _valid_payout_patterns(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(cls._valid_pattern(pattern) for pattern in value)

    @field_validator("encoding")
    @classmethod
    def _known_encoding(cls, value: str) -> str:
        try:
            codecs.lookup(value)
        except LookupError:
            raise ValueError(f"{value!r} is not an encoding such as utf-8 or gb18030") from None
        return value

    @model_validator(mode="after")
    def _table_fits(self) -> "Source":
        if (self.layout == "iso8583_log") != bool(self.message_types):
            raise ValueError("message_types: expected with the layout iso8583_log, and only there")
        if self.acquirer == "other":
            raise ValueError("acquirer: other is every acquirer that the match ladder does not name")
        if self.payout_patterns and not self.acquirer:
            raise ValueError("payout_patterns: expected with an acquirer, and only there")
        is_generic = self.layout.startswith("generic_")
        if is_generic != (self.table is not None):
            raise ValueError(
                "table: expected with the layouts generic_delimited and generic_fixed, and only there"
            )
        if self.table is None:
            return self
        if (self.layout == "generic_fixed") != bool(self.table.positions and self.table.record_bytes):
            raise ValueError("table: positions and record_bytes belong to generic_fixed, and only there")
        if self.layout == "generic_delimited" and self.table.has_header == bool(
            self.table.fields or self.table.records
        ):
            raise ValueError(
                "table: fields (or records) belong to files without a header (has_header: false), and only there"
            )
        if not self.currency and "currency" not in self.table.columns:
            raise ValueError("currency: expected here or in table.columns")
        if self.table.dataset == "settlement_lines":
            if not self.acquirer:
                raise ValueError("acquirer: expected for settlement_lines")
            if self.date_from != "name" and "settlement_date" not in self.table.columns:
                raise ValueError("table.columns.settlement_date: expected when the date is not in the name")
        return self

    @cached_property
    def codec(self) -> str:
        """What Python calls the encoding: UTF-8 with or without its mark; GBK as the set that contains it."""
        plain = self.encoding.lower().replace("_", "-")
        if plain in ("utf-8", "utf8"):
            return "utf-8-sig"
        return "gb18030" if plain in ("gbk", "gb2312", "cp936") else self.encoding

    @cached_property
    def is_snapshot(self) -> bool:
        """True for reference data: each file is a whole list and replaces the one before."""
        return self.date_from == "none"

    @property
    def is_awaited(self) -> bool:
        """True when a night has something to fetch or to wait for."""
        return self.transport is not None or (
            self.expected is not None and self.expected.deadline is not None
        )

    def deadline_of(self, run_date: date) -> datetime | None:
        """The instant until which the night of `run_date` waits; of a repeated hour (change of clocks) the first."""
        if self.expected is None or self.expected.deadline is None:
            return None
        return datetime.combine(run_date, self.expected.deadline, tzinfo=ZoneInfo(self.zone))

    def logical_name(self, key: str, day: date | None, part: str = "") -> str:
        """Name of the same file whatever its content: `unionpay_zm/<merchant>/<date>`, `terminal_log/<date>`."""
        pieces = (self.logical_prefix or self.name, key, day.isoformat() if day else "", part)
        return "/".join(piece for piece in pieces if piece)

    def match(self, file_name: str) -> "NameParts | None":
        """What the file name says, or None when the name is not one of this source's."""
        found = re.fullmatch(self.pattern, file_name)
        if found is None:
            return None
        groups = {name: text for name, text in found.groupdict().items() if text}
        digits = groups.get("date") or ("20" + groups["date6"] if "date6" in groups else "")
        day: date | None = None
        if digits:
            try:
                day = date.fromisoformat(digits)
            except ValueError:
                if self.date_from.startswith("name"):
                    return None  # 31 November is no date: the name is not one that this source sends
        part = "-".join(text for name, text in sorted(groups.items()) if name.startswith("part"))
        return NameParts(business_date=day, key=groups.get("key", ""), part=part)


class NameParts(BaseModel):
    """What a file name says about its file."""

    model_config = ConfigDict(frozen=True)

    business_date: date | None
    key: str
    part: str


def load_sources(directory: Path) -> tuple[Source, ...]:
    """Every source of a folder, ordered by name.

    Raises:
        PosreconError: A file is not YAML, a key is unknown, missing or wrong; names file and key.
    """
    stamp = tuple(sorted((path, path.stat().st_mtime_ns) for path in directory.glob("*.yml")))
    if not stamp:
        raise PosreconError(f"{directory}: no source YAML found.", next_step="Check POSRECON_PROJECT_DIR.")
    return _load(stamp)


@lru_cache(maxsize=8)
def _load(stamp: tuple[tuple[Path, int], ...]) -> tuple[Source, ...]:
    sources: dict[str, Source] = {}
    for path, _ in stamp:
        source = load_source(path)
        if source.name in sources:
            raise PosreconError(f'{path}: name "{source.name}" is used by another source.')
        sources[source.name] = source
    return with_payout_patterns(tuple(sources[name] for name in sorted(sources)))


def with_payout_patterns(sources: tuple[Source, ...]) -> tuple[Source, ...]:
    """The sources, with every bank source knowing how bank texts name each acquirer.

    An acquirer described by a YAML of its own comes first: its name may contain that of another one.
    """
    named: dict[str, tuple[str, ...]] = {}
    for source in sources:
        if source.acquirer and source.payout_patterns:
            named[source.acquirer] = (*named.get(source.acquirer, ()), *source.payout_patterns)
    if not named:
        return sources
    return tuple(
        source.model_copy(
            update={
                "acquirer_patterns": {
                    name: (*named.get(name, ()), *source.acquirer_patterns.get(name, ()))
                    for name in (*named, *(name for name in source.acquirer_patterns if name not in named))
                }
            }
        )
        if source.feed == "bank"
        else source
        for source in sources
    )


def load_source(path: Path) -> Source:
    """One source.

    Raises:
        PosreconError: Not YAML, or a key is unknown, missing or wrong; names file and key.
    """
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
        return Source.model_validate(document)
    except yaml.YAMLError as error:
        raise PosreconError(f"{path}: not valid YAML: {error}") from None
    except ValidationError as error:
        details = "; ".join(
            f"{'.'.join(str(part) for part in problem['loc']) or 'document'}: {problem['msg']}"
            for problem in error.errors()
        )
        raise PosreconError(f"{path}: {details}.", next_step="Correct the key and run again.") from None
