"""Opening the warehouse, and the lock that lets one night work at a time."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb

from posrecon.errors import UsageError
from posrecon.settings import Settings
from posrecon.warehouse.sql import literal

# BI tools ship old DuckDB drivers; 1.2 is the oldest storage that they are promised.
READER_STORAGE_VERSION = "v1.2.0"


@contextmanager
def connect(
    settings: Settings, path: Path | None = None, *, read_only: bool = False
) -> Iterator[duckdb.DuckDBPyConnection]:
    """Open a DuckDB file (or memory, when `path` is None) with the limits of the settings.

    Beyond the memory limit DuckDB spills under `settings.tmp`, so nothing is written outside the home.
    """
    settings.tmp.mkdir(parents=True, exist_ok=True)
    connection = duckdb.connect(
        str(path) if path is not None else ":memory:",
        read_only=read_only,
        config={
            "threads": settings.threads,
            "memory_limit": settings.memory_limit,
            "temp_directory": str(settings.tmp / "duckdb"),
            # All that is needed is built in; a night never fetches code from the network.
            "autoinstall_known_extensions": False,
        },
    )
    try:
        connection.execute(f"set TimeZone = {literal(settings.zone)}")
        yield connection
    finally:
        connection.close()


@contextmanager
def night_lock(settings: Settings) -> Iterator[int]:
    """Hold the home for one night; a second one stops at once.

    The lock belongs to the open file, so it ends with the process that holds it, however that process ends.

    Yields:
        The descriptor; child processes that write for the night inherit it, so that the home is free only
        when the last of them is gone.

    Raises:
        UsageError: Another process holds it.
    """
    settings.home.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(settings.home / "night.lock", os.O_RDWR | os.O_CREAT, 0o644)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.read(descriptor, 64).decode("ascii", "replace").strip() or "unknown"
            raise UsageError(
                f"{settings.home}: another night is at work (process {holder}).",
                next_step="Wait until it has ended, then run this command again.",
            ) from None
        os.ftruncate(descriptor, 0)
        os.write(descriptor, f"{os.getpid()}\n".encode("ascii"))
        yield descriptor
    finally:
        os.close(descriptor)
