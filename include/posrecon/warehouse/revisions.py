"""What was published before each decision about a file, so that it stays known what was believed then.

A decision rebuilds past nights. Their manifests from before it are kept, and with them the Parquet that they name:
readers compare the two in one query.
"""

import shutil
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from posrecon.files import put_in_place
from posrecon.settings import Settings
from posrecon.warehouse.manifests import (
    Manifest,
    manifest_path,
    published_nights,
    read_manifest,
    read_manifest_file,
)


@dataclass(frozen=True)
class NightChange:
    """One night before and after a decision.

    Attributes:
        digest_before, digest_after: Over tables and states of the night; equal = not a byte has changed.
        states: Items by match state, as (before, after).
        breaks_open: Open breaks after the night, as (before, after).
        open_minor: Their money at risk by currency, as (before, after).
    """

    run_date: date
    digest_before: str
    digest_after: str
    states: dict[str, tuple[int, int]]
    breaks_open: tuple[int, int]
    open_minor: dict[str, tuple[int, int]]


def keep_manifests(settings: Settings, decision_no: int) -> None:
    """Keep the manifests of all published nights as they are before a decision."""
    folder = _folder(settings, decision_no)
    shutil.rmtree(folder, ignore_errors=True)  # left by a decision that was killed before it was written
    folder.mkdir(parents=True)
    for night in published_nights(settings):
        aside = folder / f".{night}.json.tmp"
        shutil.copyfile(manifest_path(settings, night), aside)
        put_in_place(aside, folder / f"{night}.json")


def kept_manifests(settings: Settings, decision_no: int) -> tuple[Manifest, ...]:
    """Manifests from before a decision, by night; none where only the archive came along."""
    return tuple(
        read_manifest_file(path) for path in sorted(_folder(settings, decision_no).glob("????-*.json"))
    )


def kept_decisions(settings: Settings) -> list[int]:
    """Numbers of the decisions whose manifests are kept, ascending."""
    folders = (settings.published / "revisions").glob("[0-9]*")
    return sorted(int(folder.name) for folder in folders)


def changes(settings: Settings, decision_no: int, first_night: date) -> tuple[NightChange, ...]:
    """What a decision changed, night by night, from the first night that it touches.

    What stands after it are the manifests from before the next decision, or those of today.
    """
    before = [one for one in kept_manifests(settings, decision_no) if one.run_date >= first_night]
    following = {one.run_date: one for one in kept_manifests(settings, decision_no + 1)}
    return tuple(
        _change(was, following.get(was.run_date) or read_manifest(settings, was.run_date)) for was in before
    )


def _change(was: Manifest, now: Manifest) -> NightChange:
    states = sorted({*was.summary["states"], *now.summary["states"]})
    money = [_open_minor(one) for one in (was, now)]
    return NightChange(
        run_date=was.run_date,
        digest_before=was.digest(),
        digest_after=now.digest(),
        states={
            name: (was.summary["states"].get(name, 0), now.summary["states"].get(name, 0)) for name in states
        },
        breaks_open=(
            sum(row["open"] for row in was.summary["breaks"]),
            sum(row["open"] for row in now.summary["breaks"]),
        ),
        open_minor={
            currency: (money[0].get(currency, 0), money[1].get(currency, 0))
            for currency in sorted({*money[0], *money[1]})
        },
    )


def _open_minor(manifest: Manifest) -> dict[str, int]:
    totals: dict[str, int] = {}
    for row in manifest.summary["breaks"]:
        currency = row["currency"] or "CNY"
        totals[currency] = totals.get(currency, 0) + int(row["open_minor"])
    return totals


def _folder(settings: Settings, decision_no: int) -> Path:
    return settings.published / "revisions" / f"{decision_no:08d}"
