"""DuckDB as a data source of Great Expectations.

Great Expectations reads the rows of a query after the connection went back to the pool. DuckDB's cursor ends
with its connection, so with the stock SQL engine every metric fails or comes back empty. The engine here keeps one
connection open for as long as it lives; nothing of the library is patched.

Importing this module imports Great Expectations (three to ten seconds) and registers the type `duckdb`, so that a
file context which names it can be loaded and `context.data_sources.add_duckdb(...)` exists.
"""

import builtins
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, ClassVar, Literal

import sqlalchemy
from great_expectations.datasource.fluent.config_str import ConfigStr
from great_expectations.datasource.fluent.interfaces import DataAsset
from great_expectations.datasource.fluent.sql_datasource import QueryAsset, SQLDatasource, TableAsset
from great_expectations.execution_engine.sqlalchemy_execution_engine import SqlAlchemyExecutionEngine


class DuckDBExecutionEngine(SqlAlchemyExecutionEngine):
    """A SQL engine whose every query runs on one connection that stays open until `close`.

    Args:
        schema_name: Accepted because every field of the data source is handed over; its tables use it, the
            engine does not.
        zone: Time zone of the connection; None = the machine's.
        arguments: As for the stock engine.
    """

    def __init__(self, *, schema_name: str | None = None, zone: str | None = None, **arguments: Any) -> None:
        del schema_name
        self._zone = zone
        self._kept: sqlalchemy.Connection | None = None
        super().__init__(**arguments)

    @contextmanager
    def get_connection(self) -> Iterator[sqlalchemy.Connection]:
        """Lend the one connection; the caller may read its results after giving it back."""
        if self._kept is None or self._kept.closed:
            self._kept = self.engine.connect()
            if self._zone is not None:
                self._kept.execute(sqlalchemy.text("set TimeZone = :zone"), {"zone": self._zone})
        yield self._kept

    def close(self) -> None:
        """Give the DuckDB file free, so that another connection may open it with other settings."""
        if self._kept is not None:
            self._kept.close()
            self._kept = None
        super().close()


class DuckDBDatasource(SQLDatasource):
    """One schema of a DuckDB file.

    Attributes:
        connection_string: SQLAlchemy URL, e.g. `duckdb:////srv/posrecon/warehouse.duckdb`.
        schema_name: The schema that holds the tables of its assets.
        zone: Time zone in which instants become dates.
    """

    asset_types: ClassVar[list[builtins.type[DataAsset[Any, Any]]]] = [TableAsset, QueryAsset]

    # The right side gives the type its name in great_expectations.yml.
    type: Literal["duckdb"] = "duckdb"  # type: ignore[assignment]
    connection_string: ConfigStr | str
    schema_name: str | None = None
    zone: ConfigStr | str | None = None

    @property
    def schema_(self) -> str | None:
        """The schema of every table asset of this data source."""
        return self.schema_name

    @property
    def execution_engine_type(self) -> builtins.type[SqlAlchemyExecutionEngine]:
        """The engine that keeps its connection open."""
        return DuckDBExecutionEngine
