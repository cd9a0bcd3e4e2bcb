"""How a source YAML describes a delimited or fixed-width file: which column means what, signs, units, totals."""

import re
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

# How a customer pays, in terminal logs and settlement files alike.
CHANNELS = ("card", "wechat", "alipay")

# An adjustment is money of the payout that no sale or refund explains: fees taken for a whole day, corrections.
LINE_KINDS = ("transaction", "dispute", "adjustment")

# Canonical columns by dataset; those that end up as money, dates and times are typed, the others are text.
COLUMNS: dict[str, tuple[str, ...]] = {
    "settlement_lines": (
        "acquirer_merchant_id", "terminal_id", "stan", "rrn", "auth_code", "acquirer_txn_no", "orig_acquirer_txn_no",
        "merchant_order_no", "txn_type", "txn_code", "txn_local", "card_masked", "card_type", "currency", "gross",
        "fee", "net", "settlement_date", "orig_stan", "orig_txn_local", "line_kind", "channel",
    ),
    "bank_entries": (
        "account", "statement_no", "value_date", "entry_date", "amount", "currency", "reference", "narrative",
        "balance",
    ),
}  # fmt: skip
MONEY = frozenset({"gross", "fee", "net", "amount", "balance"})
REQUIRED = {"settlement_lines": ("gross", "fee", "net"), "bank_entries": ("amount",)}
# Names of persons and documents: such a column is never mapped, whatever the YAML says.
PERSONAL = re.compile(
    r"姓名|身份证|证件|card ?holder|id ?(?:card|number)|passport|customer_?(?:name|email|phone|description)",
    re.IGNORECASE,
)


class Column(BaseModel):
    """Where one canonical column comes from.

    A bare text in the YAML is the name of a column of the file; a list is several of them, joined by a blank.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    names: tuple[str, ...] = Field(default=(), alias="from", description="Columns of the file.")
    value: str | None = Field(default=None, description="The same for every record.")
    values: dict[str, str] = Field(default_factory=dict, description="What the file says → what it means.")
    other: str | None = Field(default=None, description="What anything else means; none = empty.")
    credit: str | None = Field(default=None, description="Money: the column of money in …")
    debit: str | None = Field(default=None, description="… and the one of money out.")
    plus: tuple[str, ...] = Field(default=(), description="Money: columns that add up …")
    minus: tuple[str, ...] = Field(default=(), description="… less these; a blank one is nothing.")

    @model_validator(mode="before")
    @classmethod
    def _short_forms(cls, given: Any) -> Any:
        if isinstance(given, str):
            return {"from": (given,)}
        if isinstance(given, list):
            return {"from": given}
        if isinstance(given, dict) and isinstance(given.get("from"), str):
            return {**given, "from": (given["from"],)}
        return given

    @model_validator(mode="after")
    def _one_origin(self) -> "Column":
        pair = self.credit is not None and self.debit is not None
        if (self.credit is None) != (self.debit is None):
            raise ValueError("credit and debit come together")
        if sum((bool(self.names), self.value is not None, pair, self.is_sum)) != 1:
            raise ValueError(
                "expected one of: column names (from), a constant (value), credit and debit, plus and minus"
            )
        if (self.values or self.other is not None) and not self.names:
            raise ValueError("values and other need a column (from)")
        return self

    @property
    def sources(self) -> tuple[str, ...]:
        """Every column of the file that is read."""
        pair = (name for name in (self.credit, self.debit) if name is not None)
        return (*self.names, *pair, *self.plus, *self.minus)

    @property
    def is_sum(self) -> bool:
        """Money that is stated in parts."""
        return bool(self.plus or self.minus)


class Signs(BaseModel):
    """How the direction of money is told, when the amounts do not carry it themselves."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    by: Literal["written", "type", "indicator"] = Field(
        default="written",
        description="written = a minus, or columns of their own; type = a refund is money back; indicator = a column.",
    )
    column: str | None = Field(default=None, description="The indicator.")
    credit: tuple[str, ...] = ()
    debit: tuple[str, ...] = ()
    fee: Literal["charged", "returned"] = Field(
        default="charged", description="What a fee without a minus is, when signs are as written."
    )

    @model_validator(mode="after")
    def _indicator_is_whole(self) -> "Signs":
        if (self.by == "indicator") != bool(self.column and self.credit and self.debit):
            raise ValueError("by: indicator needs column, credit and debit, and nothing else does")
        return self


class RecordType(BaseModel):
    """Records of one type, in a file whose first field says the type."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    fields: tuple[str, ...] = Field(
        min_length=1, description="Names in order; a record may have more behind them."
    )
    columns: dict[str, Column] = Field(description="Beside and instead of those of the table.")


class Table(BaseModel):
    """A file of records, one a line, and what its columns mean."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    dataset: Literal["settlement_lines", "bank_entries"]
    columns: dict[str, Column]
    delimiter: str = Field(default=",", min_length=1, max_length=1)
    has_header: bool = Field(
        default=True,
        description="The first line with all mapped names is the header; lines above it are not read.",
    )
    fields: tuple[str, ...] = Field(default=(), description="Delimited without a header: names in order.")
    positions: dict[str, tuple[int, int]] = Field(
        default_factory=dict, description="Fixed width: name → first byte (from 1) and length."
    )
    record_bytes: int | None = Field(
        default=None, ge=1, description="Fixed width: length without the line end."
    )
    skip_lines: int = Field(default=0, ge=0, description="Lines above the first record, without a header.")
    may_end_with_delimiter: bool = False
    records: dict[str, RecordType] = Field(
        default_factory=dict,
        description="Delimited, several types of records: first field → what is loaded of it.",
    )
    record_totals: dict[str, RecordType] = Field(
        default_factory=dict, description="Types of records that state sums of the loaded ones."
    )
    passed_over: tuple[str, ...] = Field(
        default=(), description="Types of records that hold nothing to load; any other type refuses the file."
    )
    totals: str | None = Field(
        default=None,
        description="Regular expression of the line of totals, above the header or at the end; it must be there once. "
        "Groups: count (records), lines (all lines, this one included), gross, fee, net, amount.",
    )
    footer: str | None = Field(default=None, description="Regular expression of other lines at the end.")
    units: Literal["major", "minor"] = "major"
    signs: Signs = Signs()
    date_format: tuple[str, ...] = ("%Y-%m-%d",)
    time_format: tuple[str, ...] = ("%Y-%m-%d %H:%M:%S",)
    empty: tuple[str, ...] = Field(default=(), description="Texts that mean nothing, beside blank ones.")
    never_kept: tuple[str, ...] = Field(
        default=(), description="Columns about persons: not written anywhere, quarantine included."
    )

    @field_validator("date_format", "time_format", "empty", mode="before")
    @classmethod
    def _one_or_several(cls, given: Any) -> Any:
        return (given,) if isinstance(given, str) else given

    @field_validator("delimiter")
    @classmethod
    def _can_part(cls, given: str) -> str:
        if given in "\r\n\"'" or given.isalnum():
            raise ValueError(f"{given!r} cannot part fields")
        return given

    @field_validator("totals", "footer")
    @classmethod
    def _valid_pattern(cls, given: str | None) -> str | None:
        try:
            groups = re.compile(given or "").groupindex
        except re.error as error:
            raise ValueError(f"not a regular expression: {error}") from None
        unknown = set(groups) - {"count", "lines", "gross", "fee", "net", "amount"}
        if unknown:
            raise ValueError(
                f"group {', '.join(sorted(unknown))}: expected count, lines, gross, fee, net or amount"
            )
        return given

    @model_validator(mode="after")
    def _fits_together(self) -> "Table":
        if self.records:
            return self._types_fit()
        if self.record_totals or self.passed_over:
            raise ValueError("record_totals and passed_over belong to records")
        known = COLUMNS[self.dataset]
        unknown = [name for name in self.columns if name not in known]
        if unknown:
            raise ValueError(
                f"columns.{unknown[0]}: not a column of {self.dataset}; expected {', '.join(known)}"
            )
        missing = [name for name in REQUIRED[self.dataset] if name not in self.columns]
        if missing:
            raise ValueError(f"columns: {', '.join(missing)} missing")
        if self.dataset == "bank_entries" and not {"value_date", "entry_date"} & self.columns.keys():
            raise ValueError("columns: value_date or entry_date is missing")
        if self.signs.by == "type" and "txn_type" not in self.columns:
            raise ValueError("signs.by: type needs the column txn_type")
        for name, column in self.columns.items():
            if (column.credit is not None or column.is_sum) and name not in MONEY:
                raise ValueError(f"columns.{name}: credit and debit, plus and minus are for money")
            kept = [
                source for source in column.sources if source in self.never_kept or PERSONAL.search(source)
            ]
            if kept:
                raise ValueError(f"columns.{name}: {kept[0]} is about a person and never kept")
        given = self.fields or tuple(self.positions)
        if not self.has_header or self.positions:
            absent = [name for name in self.mapped if name not in given]
            if absent:
                raise ValueError(f"columns: {', '.join(absent)} not among fields or positions")
        types = self.columns.get("txn_type")
        meanings = {*types.values.values(), *filter(None, (types.other, types.value))} if types else set()
        if meanings - {"sale", "refund"}:
            raise ValueError("columns.txn_type: expected sale or refund")
        kinds = self.columns.get("line_kind")
        stated = {*kinds.values.values(), kinds.other, kinds.value} if kinds else set()
        if kinds and ((not kinds.other and not kinds.value) or stated - {*LINE_KINDS, None}):
            raise ValueError(
                f"columns.line_kind: expected {' or '.join(LINE_KINDS)}, and other (or value) for the rest"
            )
        channels = self.columns.get("channel")
        said = {*channels.values.values(), channels.other, channels.value} if channels else set()
        if said - {*CHANNELS, None}:
            raise ValueError(f"columns.channel: expected {', '.join(CHANNELS)}")
        for name, (first, length) in self.positions.items():
            if first < 1 or length < 1 or (self.record_bytes and first - 1 + length > self.record_bytes):
                raise ValueError(f"positions.{name}: [{first}, {length}] is outside the record")
        return self

    def _types_fit(self) -> "Table":
        """Every type of record is a table of its own."""
        if self.has_header or self.fields or self.positions or self.dataset != "settlement_lines":
            raise ValueError("records: expected in delimited settlement files without a header")
        if self.never_kept:
            raise ValueError("never_kept: not with records, whose columns differ by type")
        named = [*self.records, *self.record_totals, *self.passed_over]
        twice = sorted({name for name in named if named.count(name) > 1})
        if twice:
            raise ValueError(f"records: {twice[0]} stands twice")
        for name in self.records:
            self.of_type(name)
        for name, kind in self.record_totals.items():
            absent = [
                source
                for column in kind.columns.values()
                for source in column.sources
                if source not in kind.fields
            ]
            if not kind.columns or kind.columns.keys() - {"gross", "fee", "net"} or absent:
                raise ValueError(f"record_totals.{name}: expected gross, fee or net of its own fields")
        return self

    def of_type(self, name: str) -> "Table":
        """The table that the loaded records of one type are."""
        kind = self.records[name]
        given = self.model_dump(
            by_alias=True, exclude={"records", "record_totals", "passed_over", "totals", "footer"}
        )
        columns = {**self.columns, **kind.columns}
        given |= {
            "fields": kind.fields,
            "columns": {key: column.model_dump(by_alias=True) for key, column in columns.items()},
        }
        try:
            return Table.model_validate(given)
        except ValueError as error:
            raise ValueError(f"records.{name}: {error}") from None

    @property
    def mapped(self) -> tuple[str, ...]:
        """Every column of the file that is read, once."""
        used = [name for column in self.columns.values() for name in column.sources]
        used += [self.signs.column] if self.signs.column else []
        return tuple(dict.fromkeys(used))
