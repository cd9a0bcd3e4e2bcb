"""The database of the cases: SQLite under the home by default, any server by POSRECON_CASES_URL.

A reading transaction and a writing one are opened apart: SQLite takes its write lock at the start of a writing one, so
that what was read in it is still so when it is written. PostgreSQL relies on the version of each case instead; both end
in the same error when two people change one case.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, Engine, create_engine, event, inspect, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError, OperationalError
from sqlalchemy.orm import Session
from sqlalchemy.orm.exc import StaleDataError

from posrecon.errors import UsageError
from posrecon.settings import Settings

SCHEMA_REVISION = "0001"
"""The newest migration; a test compares it with the folder."""

_MIGRATIONS = Path(__file__).resolve().parent / "migrations"
_BUSY_TIMEOUT_S = 30
# One number for all: whoever migrates a PostgreSQL database holds this lock until the migration is committed.
_MIGRATION_LOCK = 7_203_115_411
_VERSION_TABLE = "case_schema"
_WRITES = "posrecon_writes"


class ConflictError(UsageError):
    """Somebody else changed the same case first; nothing of this change was written."""


def url_of(settings: Settings) -> URL:
    """Where the cases are kept.

    Raises:
        UsageError: POSRECON_CASES_URL is no SQLAlchemy URL.
    """
    given = settings.cases_url.get_secret_value() if settings.cases_url else ""
    if not given:
        return URL.create("sqlite", database=str(settings.home / "cases.sqlite"))
    try:
        url = make_url(given)
    except ArgumentError:
        # The text itself is no part of the message: it may hold a password.
        raise UsageError(
            "POSRECON_CASES_URL is no database URL.",
            next_step="Write it as postgresql://user:password@host/database.",
        ) from None
    # The driver that posrecon brings along.
    return url.set(drivername="postgresql+psycopg") if url.drivername == "postgresql" else url


@contextmanager
def open_engine(settings: Settings) -> Iterator[Engine]:
    """Connect to the cases; an empty database gets its tables.

    Raises:
        UsageError: The database cannot be reached, or its tables are of another release.
    """
    engine = _engine(settings)
    try:
        with translated(engine.url):
            _require_schema(settings, engine)
            yield engine
    finally:
        engine.dispose()


@contextmanager
def writing(engine: Engine) -> Iterator[Session]:
    """One transaction that changes cases: all of it is written, or nothing.

    Raises:
        ConflictError: Somebody else changed the same case first.
    """
    # One flush at the end: one change is one new version.
    writer = engine.execution_options(**{_WRITES: True})
    with Session(writer, autoflush=False) as session, translated(engine.url):
        try:
            with session.begin():
                yield session
        except StaleDataError:
            raise ConflictError(
                "Somebody else changed the same case at the same moment; nothing of your change was written.",
                next_step="Look at the case again, then decide: posrecon cases show CASE.",
            ) from None


def upgrade(settings: Settings) -> tuple[str | None, str]:
    """Bring the tables to this release.

    Returns:
        The revision before (None = there were no tables) and after.
    """
    engine = _engine(settings)
    try:
        with translated(engine.url), engine.execution_options(**{_WRITES: True}).begin() as connection:
            return _migrate(connection)
    finally:
        engine.dispose()


def revision(connection: Connection) -> str | None:
    """The revision of the tables; None when there are none."""
    if not inspect(connection).has_table(_VERSION_TABLE):
        return None
    return connection.execute(text(f"select version_num from {_VERSION_TABLE}")).scalar()


@contextmanager
def translated(url: URL) -> Iterator[None]:
    """Say in words what the database's driver says in codes; the password is never shown."""
    shown = url.render_as_string(hide_password=True)
    try:
        yield
    except OperationalError as error:
        first = str(error.orig).strip().splitlines()[0]
        raise UsageError(
            f"{shown}: the cases cannot be reached: {first}",
            next_step="Check that the database runs and that POSRECON_CASES_URL names it.",
        ) from error
    except DBAPIError as error:
        first = str(error.orig).strip().splitlines()[0]
        raise UsageError(
            f"{shown}: the database refused the change: {first}", next_step="Nothing was written; try again."
        ) from error


def _engine(settings: Settings) -> Engine:
    url = url_of(settings)
    arguments: dict[str, Any] = {}
    if url.get_backend_name() == "sqlite":
        if url.database:
            Path(url.database).parent.mkdir(parents=True, exist_ok=True)
        arguments["connect_args"] = {"timeout": _BUSY_TIMEOUT_S}
    try:
        engine = create_engine(url, **arguments)
    except (NoSuchModuleError, ModuleNotFoundError) as error:
        raise UsageError(
            f"POSRECON_CASES_URL: there is no driver for {url.drivername}: {error}.",
            next_step="Use sqlite or postgresql.",
        ) from None
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _prepare_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
    return engine


def _prepare_sqlite(connection: sqlite3.Connection, _record: object) -> None:
    # The driver's own transactions begin too late for what is read before a change; we begin them ourselves.
    connection.isolation_level = None
    connection.execute("pragma foreign_keys = on")


def _begin_sqlite(connection: Connection) -> None:
    writes = connection.get_execution_options().get(_WRITES, False)
    connection.exec_driver_sql("begin immediate" if writes else "begin")


def _require_schema(settings: Settings, engine: Engine) -> None:
    """Make the tables of an empty database; refuse those of another release."""
    with engine.connect() as connection:
        found = revision(connection)
    if found == SCHEMA_REVISION:
        return
    if found is None:
        upgrade(settings)
        return
    raise UsageError(
        f"{engine.url.render_as_string(hide_password=True)}: the tables of the cases are at {found}, this "
        f"release needs {SCHEMA_REVISION}.",
        next_step="Back the database up, then run: posrecon cases upgrade.",
    )


def _migrate(connection: Connection) -> tuple[str | None, str]:
    if connection.dialect.name == "postgresql":
        connection.execute(text("select pg_advisory_xact_lock(:lock)"), {"lock": _MIGRATION_LOCK})
    before = revision(connection)
    if before is not None and before > SCHEMA_REVISION:
        raise UsageError(
            f"The tables of the cases are at {before}, newer than this release ({SCHEMA_REVISION}).",
            next_step="Install the release that made them.",
        )
    if before != SCHEMA_REVISION:
        config = Config()
        config.set_main_option("script_location", str(_MIGRATIONS))
        config.attributes["connection"] = connection
        config.attributes["version_table"] = _VERSION_TABLE
        command.upgrade(config, "head")
    return before, SCHEMA_REVISION
