"""What of the published tables only the authorised role may read.

A published table holds these columns masked: whoever reads `published/tables` or `published/posrecon.duckdb` cannot
get at the whole values, because they are not there. The whole values lie under `published/restricted` in Parquet of
their own, by the key of the row, and a second DuckDB file there shows the tables whole. Its folder belongs to its
owner alone; the operating system decides who is let in.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from posrecon.settings import Settings
from posrecon.warehouse.sql import identifier

FOLDER = "restricted"
FOLDER_MODE = 0o700


@dataclass(frozen=True)
class Confidential:
    """The columns of one table that are masked.

    Attributes:
        key: Columns that name a row within the table.
        masks: Column → SQL of what everybody reads in its place. A mask of a masked value is the same again.
    """

    key: tuple[str, ...]
    masks: Mapping[str, str]


_LAST_FOUR = "'****' || right({0}, 4)"
_ACCOUNT_IN_JSON = r"""regexp_replace({0}, '("account":")[^"]*([^"]{{4}}")', '\1****\2')"""

# `card_token` is not among them: it stands in the place of a card number already, and says nothing without the key.
CONFIDENTIAL = {
    "fct_payouts": Confidential(
        ("run_date", "payout_id"), {"settlement_account": _LAST_FOUR.format("settlement_account")}
    ),
    "fct_statement_gaps": Confidential(("run_date", "gap_id"), {"account": _LAST_FOUR.format("account")}),
    "fct_breaks": Confidential(("run_date", "break_id"), {"detail": _ACCOUNT_IN_JSON.format("detail")}),
    "dim_merchants": Confidential(
        ("run_date", "merchant_id"), {"settlement_account": _LAST_FOUR.format("settlement_account")}
    ),
}


def partition_name(table: str) -> str:
    """Name in manifests of the whole values of a table."""
    return f"{FOLDER}/{table}"


def restricted_database(settings: Settings) -> Path:
    """The DuckDB file of views that the authorised role opens."""
    return settings.published / FOLDER / "posrecon.duckdb"


def make_folder(settings: Settings) -> Path:
    """The folder of whole values; its owner alone may enter it."""
    folder = settings.published / FOLDER
    if not folder.exists():
        folder.mkdir(parents=True)
        folder.chmod(FOLDER_MODE)
    return folder


def masks_of(table: str, columns: tuple[str, ...]) -> dict[str, str]:
    """Masks of those of its columns that a table has, when it has its key."""
    confidential = CONFIDENTIAL.get(table)
    if confidential is None or not set(confidential.key) <= set(columns):
        return {}
    return {name: mask for name, mask in confidential.masks.items() if name in columns}


def masked(relation: str, masks: Mapping[str, str]) -> str:
    """A query for everything of a relation, confidential columns masked."""
    if not masks:
        return f"select * from {relation}"
    replaced = ", ".join(f"{mask} as {identifier(name)}" for name, mask in masks.items())
    return f"select * replace ({replaced}) from {relation}"


def whole_values(table: str, relation: str, masks: Mapping[str, str]) -> str:
    """A query for key and whole values of the rows in which a mask hides something."""
    columns = ", ".join(identifier(name) for name in (*CONFIDENTIAL[table].key, *masks))
    hidden = " or ".join(f"{identifier(name)} is distinct from {mask}" for name, mask in masks.items())
    return f"select {columns} from {relation} where {hidden}"


def unmasked(table: str, relation: str, values: str, masks: Mapping[str, str]) -> str:
    """A query for everything of a masked relation with the whole values put back.

    Args:
        table: The table.
        relation: A query or relation of its masked rows.
        values: A relation of key and whole values.
        masks: Of the table.
    """
    back = ", ".join(
        f"coalesce(restricted.{identifier(name)}, shown.{identifier(name)}) as {identifier(name)}"
        for name in masks
    )
    same = " and ".join(
        f"shown.{identifier(name)} = restricted.{identifier(name)}" for name in CONFIDENTIAL[table].key
    )
    return f"select shown.* replace ({back}) from ({relation}) as shown left join {values} as restricted on {same}"
