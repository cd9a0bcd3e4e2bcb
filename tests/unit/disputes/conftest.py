"""Homes with cases on both databases."""

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from posrecon.settings import Settings
from tests.unit.disputes.postgres import binaries, server

DATABASES = ("sqlite", "postgresql")
ABSENT = (
    "PostgreSQL is not installed, so this ran on SQLite only; install it with: apt-get install postgresql"
)


@pytest.fixture(scope="session")
def postgres_socket() -> Iterator[str]:
    """Folder of the socket of a running server."""
    folder = binaries()
    if folder is None:
        pytest.skip(ABSENT)
    with server(folder) as socket:
        yield socket


@pytest.fixture(scope="session")
def fresh_database(postgres_socket: str) -> Iterator[Callable[[], str]]:
    """Makes empty databases on the server; gives their URLs."""
    numbers = itertools.count(1)
    engine = create_engine(
        f"postgresql+psycopg://postgres@/postgres?host={postgres_socket}", isolation_level="AUTOCOMMIT"
    )

    def make() -> str:
        name = f"cases_{next(numbers)}"
        with engine.connect() as connection:
            connection.execute(text(f"create database {name}"))
        return f"postgresql://postgres@/{name}?host={postgres_socket}"

    yield make
    engine.dispose()


@pytest.fixture(params=DATABASES)
def settings(request: pytest.FixtureRequest, tmp_path: Path) -> Settings:
    """A home whose cases are on SQLite, then one whose cases are on PostgreSQL."""
    return home_on(str(request.param), request, tmp_path / "home")


@pytest.fixture
def sqlite(tmp_path: Path) -> Settings:
    """A home whose cases are on SQLite."""
    return Settings(home=tmp_path / "home")


def home_on(database: str, request: pytest.FixtureRequest, home: Path) -> Settings:
    """A home whose cases are on one of the databases."""
    if database == "sqlite":
        return Settings(home=home)
    make = request.getfixturevalue("fresh_database")
    return Settings(home=home, cases_url=make())
