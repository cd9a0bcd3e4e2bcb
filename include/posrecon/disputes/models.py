"""The tables of the cases, for SQLite and PostgreSQL alike."""

from datetime import UTC, date, datetime
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Date,
    DateTime,
    Dialect,
    ForeignKey,
    Index,
    Integer,
    String,
    Text,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship
from sqlalchemy.types import TypeDecorator


class Instant(TypeDecorator[datetime]):
    """An aware datetime: PostgreSQL keeps the zone, SQLite keeps UTC; both give back UTC."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Refuse a naive datetime: nobody could say which instant it is."""
        del dialect
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("an instant needs its zone")
        return value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Give SQLite's naive text its zone back."""
        del dialect
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class Base(DeclarativeBase):
    """Base of the tables."""


class Register(Base):
    """One row that numbers the cases; whoever opens cases changes it first, so two never get one number.

    Attributes:
        register_id: Always 1.
        last_case_no: The newest case.
    """

    __tablename__ = "case_register"

    register_id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    last_case_no: Mapped[int] = mapped_column(Integer)


class Case(Base):
    """One dispute: one or more breaks of one cause.

    Attributes:
        case_no: Its number, from 1.
        version: Changes with every change; two people who start from one version cannot both win.
        state: See states.State.
        cause_kind: What kind of cause its breaks share; see causes.CAUSES.
        cause_key: The cause, in words that never change.
        topic: money, or data_leak.
        severity: The highest of its breaks.
        assignee: Who works on it.
        held_by: Who keeps it open though its breaks are explained.
        route: The door at which it lies; None before it was submitted.
        submitted_on: Day on which it was laid at that door.
        respond_by: The earliest limit that applies now.
        respond_clock: Which limit that is.
        opened_on: Run date of the night that opened it.
        ended_on: Day on which it ended.
        merchant_id: Common to all its breaks, or None; likewise terminal_id, payout_id and acquirer.
    """

    __tablename__ = "cases"
    __table_args__ = (
        Index("ix_cases_state", "state", "respond_by"),
        Index("ix_cases_cause", "cause_key"),
    )

    case_no: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    version: Mapped[int] = mapped_column(Integer)
    state: Mapped[str] = mapped_column(String(16))
    cause_kind: Mapped[str] = mapped_column(String(16))
    cause_key: Mapped[str] = mapped_column(String(400))
    topic: Mapped[str] = mapped_column(String(16))
    severity: Mapped[str] = mapped_column(String(16))
    assignee: Mapped[str | None] = mapped_column(String(200))
    held_by: Mapped[str | None] = mapped_column(String(200))
    route: Mapped[str | None] = mapped_column(String(40))
    submitted_on: Mapped[date | None] = mapped_column(Date)
    respond_by: Mapped[date | None] = mapped_column(Date)
    respond_clock: Mapped[str | None] = mapped_column(String(80))
    opened_on: Mapped[date] = mapped_column(Date)
    ended_on: Mapped[date | None] = mapped_column(Date)
    merchant_id: Mapped[str | None] = mapped_column(String(80))
    terminal_id: Mapped[str | None] = mapped_column(String(80))
    payout_id: Mapped[str | None] = mapped_column(String(200))
    acquirer: Mapped[str | None] = mapped_column(String(40))
    event_count: Mapped[int] = mapped_column(Integer)
    attachment_count: Mapped[int] = mapped_column(Integer)

    breaks: Mapped[list["CaseBreak"]] = relationship(back_populates="case", order_by="CaseBreak.break_id")
    events: Mapped[list["CaseEvent"]] = relationship(back_populates="case", order_by="CaseEvent.event_no")
    attachments: Mapped[list["Attachment"]] = relationship(
        back_populates="case", order_by="Attachment.attachment_no"
    )

    __mapper_args__ = {"version_id_col": version}  # noqa: RUF012 (SQLAlchemy's own form)

    @property
    def label(self) -> str:
        """What people call it: C-17."""
        return f"C-{self.case_no}"


class CaseBreak(Base):
    """One break in a case, as it was when the case took it in; a break may stand in several cases over time.

    Attributes:
        case_no: Its case.
        break_id: As published.
        status: open, closed (the break), withdrawn (the candidate), or moved (to the case of its new cause).
        status_on: Night on which it stopped being open.
        status_reason: Why.
        added_on: Night that put it into the case.
        candidate_id: Its candidate; None for a break that only waits for a missing file.
        happened_on: Day of the transaction, or on which the break was found when it has none.
        amount_minor: Money at risk.
    """

    __tablename__ = "case_breaks"
    __table_args__ = (Index("ix_case_breaks_break", "break_id"), Index("ix_case_breaks_status", "status"))

    case_no: Mapped[int] = mapped_column(ForeignKey("cases.case_no"), primary_key=True)
    break_id: Mapped[str] = mapped_column(String(64), primary_key=True)
    status: Mapped[str] = mapped_column(String(16))
    status_on: Mapped[date | None] = mapped_column(Date)
    status_reason: Mapped[str | None] = mapped_column(Text)
    added_on: Mapped[date] = mapped_column(Date)
    candidate_id: Mapped[str | None] = mapped_column(String(64))
    validation_id: Mapped[str | None] = mapped_column(String(200))
    rule_id: Mapped[str] = mapped_column(String(80))
    break_type: Mapped[str] = mapped_column(String(40))
    severity: Mapped[str] = mapped_column(String(16))
    file_missing: Mapped[bool] = mapped_column(Boolean)
    item_id: Mapped[str | None] = mapped_column(String(200))
    opened_on: Mapped[date] = mapped_column(Date)
    happened_on: Mapped[date] = mapped_column(Date)
    marked_on: Mapped[date] = mapped_column(Date)
    amount_minor: Mapped[int | None] = mapped_column(BigInteger)
    currency: Mapped[str | None] = mapped_column(String(3))
    merchant_id: Mapped[str | None] = mapped_column(String(80))
    terminal_id: Mapped[str | None] = mapped_column(String(80))
    location: Mapped[str | None] = mapped_column(Text)
    txn_at: Mapped[datetime | None] = mapped_column(Instant)
    acquirer: Mapped[str | None] = mapped_column(String(40))
    channel: Mapped[str | None] = mapped_column(String(40))
    payout_id: Mapped[str | None] = mapped_column(String(200))
    terminal_file: Mapped[str | None] = mapped_column(Text)
    terminal_line: Mapped[int | None] = mapped_column(BigInteger)
    settlement_file: Mapped[str | None] = mapped_column(Text)
    settlement_line: Mapped[int | None] = mapped_column(BigInteger)
    bank_file: Mapped[str | None] = mapped_column(Text)
    bank_line: Mapped[int | None] = mapped_column(BigInteger)
    detail: Mapped[str | None] = mapped_column(Text)

    case: Mapped[Case] = relationship(back_populates="breaks")


class CaseEvent(Base):
    """One thing that happened to a case; written once, never changed.

    Attributes:
        case_no: Its case.
        event_no: From 1, without gaps.
        at: When; the instant of the night for what the intake did.
        who: Who did it.
        action: See states.Action.
        state_before: Where the case stood; None when it was opened.
        state_after: Where it stands since.
        why: The reason or the text of a note.
        details: What changed besides the state.
    """

    __tablename__ = "case_events"

    case_no: Mapped[int] = mapped_column(ForeignKey("cases.case_no"), primary_key=True)
    event_no: Mapped[int] = mapped_column(Integer, primary_key=True)
    at: Mapped[datetime] = mapped_column(Instant)
    who: Mapped[str] = mapped_column(String(200))
    action: Mapped[str] = mapped_column(String(16))
    state_before: Mapped[str | None] = mapped_column(String(16))
    state_after: Mapped[str] = mapped_column(String(16))
    why: Mapped[str] = mapped_column(Text)
    details: Mapped[dict[str, Any]] = mapped_column(JSON)

    case: Mapped[Case] = relationship(back_populates="events")


class Attachment(Base):
    """One file that somebody attached; its bytes lie encrypted in the archive, named by their SHA-256.

    Attributes:
        case_no: Its case.
        attachment_no: From 1.
        event_no: The event that attached it.
        file_name: As given, whole card numbers masked.
        sha256: Of the clear bytes.
        size_bytes: Of the clear bytes.
    """

    __tablename__ = "case_attachments"

    case_no: Mapped[int] = mapped_column(ForeignKey("cases.case_no"), primary_key=True)
    attachment_no: Mapped[int] = mapped_column(Integer, primary_key=True)
    event_no: Mapped[int] = mapped_column(Integer)
    file_name: Mapped[str] = mapped_column(Text)
    sha256: Mapped[str] = mapped_column(String(64))
    size_bytes: Mapped[int] = mapped_column(BigInteger)

    case: Mapped[Case] = relationship(back_populates="attachments")
