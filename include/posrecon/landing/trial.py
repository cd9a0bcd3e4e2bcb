"""How a file would be read, without a trace: nothing under the home is read but the sources, nothing is written."""

import tempfile
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from posrecon.errors import LayoutError, PosreconError, UsageError
from posrecon.landing.containers import open_unpacked, pattern_name
from posrecon.landing.inbox import business_date_of
from posrecon.landing.opening import contents
from posrecon.landing.sources import FEEDS, NameParts, Source, load_source, load_sources
from posrecon.settings import Settings

ROWS_SHOWN = 5
# The trial's own keys: what it tokenises is thrown away.
_KEY = "00" * 32


@dataclass(frozen=True, kw_only=True)
class Trial:
    """What would become of one file, or of one member of a zip.

    Attributes:
        candidates: Sources whose pattern fits the name.
        rows: First rows by dataset, card tokens left out.
        refused: First records that would go to quarantine.
        reason: Why the whole file would be refused; None when it would be loaded.
    """

    file_name: str
    candidates: tuple[str, ...]
    source: str | None = None
    feed: str | None = None
    layout: str | None = None
    encoding: str | None = None
    business_date: str | None = None
    logical_name: str | None = None
    records: int = 0
    loaded: int = 0
    quarantined: int = 0
    declared_minor: int | None = None
    computed_minor: int | None = None
    rows: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    refused: list[dict[str, Any]] = field(default_factory=list)
    reason: str | None = None
    bad_lines: list[dict[str, Any]] = field(default_factory=list)
    next_step: str = ""


def check_sources(directory: Path) -> tuple[list[Source], list[str]]:
    """Every source of a folder, and everything that is wrong with the others.

    Returns:
        (sources by name, one sentence per problem: file, key, what is expected).
    """
    paths = sorted(directory.glob("*.yml"))
    problems = [] if paths else [f"{directory}: no source YAML found."]
    problems += [
        f"{path}: named .yaml, expected .yml: it is not read." for path in sorted(directory.glob("*.yaml"))
    ]
    found: dict[str, Source] = {}
    for path in paths:
        try:
            source = load_source(path)
        except PosreconError as error:
            problems.append(error.what)
            continue
        if source.name in found:
            problems.append(f'{path}: name "{source.name}" is used by another source.')
        found[source.name] = source
    return [found[name] for name in sorted(found)], problems


def try_file(settings: Settings, path: Path, source_name: str | None = None) -> list[Trial]:
    """Read a file as the night would.

    Args:
        settings: Says where the sources are.
        path: Any file, anywhere; a zip is opened.
        source_name: Read it as this source, whatever its name; None = as the source whose pattern fits.

    Returns:
        One trial; of a zip one per member, by name; one per source when neither name nor content says which.

    Raises:
        UsageError: No such file or source.
    """
    if not path.is_file():
        raise UsageError(f"{path}: no such file.", next_step="Give the path of a received file.")
    sources = load_sources(settings.sources_dir)
    if source_name is not None and source_name not in {source.name for source in sources}:
        known = ", ".join(source.name for source in sources)
        raise UsageError(f"--source {source_name}: no such source.", next_step=f"Choose one of: {known}.")
    with tempfile.TemporaryDirectory(prefix="posrecon-try-") as scratch:
        own = Settings.model_validate(
            settings.model_dump()
            | {
                "home": Path(scratch),
                "token_key": _KEY,
                "archive_key": _KEY,
                "gnupg_home": settings.gnupg,  # the keys are not the trial's own
            }
        )
        own.tmp.mkdir(parents=True)
        folder = path.parent.name
        feed = folder if source_name is None and folder in FEEDS else None
        trials: list[Trial] = []
        try:
            for content in contents(own, path, path.name, feed=feed, sources=sources):
                if content.refusal is not None:
                    trials.append(_sealed(content.file_name, content.matches, content.refusal))
                    continue
                with open_unpacked(own, content.path, content.file_name) as clear:
                    trials += _try_all(own, clear, content.file_name, folder, sources, source_name)
        except LayoutError as error:  # the zip or gzip cannot be opened
            return [Trial(file_name=path.name, candidates=(), **_refusal(error))]
        return trials


def _sealed(file_name: str, matches: tuple[tuple[Source, NameParts], ...], error: LayoutError) -> Trial:
    """A file whose PGP does not open, or does not suffice."""
    names = tuple(source.name for source, _ in matches)
    return Trial(file_name=file_name, candidates=names, **_refusal(error))


def _refusal(error: LayoutError) -> dict[str, Any]:
    return {
        "reason": error.what,
        "bad_lines": [asdict(line) for line in error.bad_lines],
        "next_step": error.next_step,
    }


def _try_all(
    settings: Settings,
    content: Path,
    file_name: str,
    folder: str,
    sources: tuple[Source, ...],
    source_name: str | None,
) -> list[Trial]:
    """The trial of the one source that reads a file; of every one that fits its name when that does not decide.

    A night looks only in the folder of a feed. Elsewhere a name may fit sources of several feeds; the content decides.
    """
    plain = pattern_name(file_name)
    fitting = [(source, name) for source in sources if (name := source.match(plain)) is not None]
    if source_name is not None:
        chosen = next(source for source in sources if source.name == source_name)
        name = next((name for source, name in fitting if source is chosen), None)
        fitting = [(chosen, name or NameParts(business_date=None, key="", part=""))]
    elif folder in FEEDS:
        fitting = [(source, name) for source, name in fitting if source.feed == folder]
    candidates = tuple(source.name for source, _ in fitting)
    if not fitting:
        return [
            Trial(
                file_name=file_name,
                candidates=(),
                reason=f"{file_name}: no source has a pattern that fits this name.",
                next_step="Name the source with --source, or correct the patterns.",
            )
        ]
    trials = [_try_one(settings, content, file_name, source, name, candidates) for source, name in fitting]
    read = [trial for trial in trials if trial.reason is None and trial.loaded]
    return read if len(read) == 1 else trials


def _try_one(
    settings: Settings,
    content: Path,
    file_name: str,
    source: Source,
    name: NameParts,
    candidates: tuple[str, ...],
) -> Trial:
    from posrecon.formats import LAYOUTS, Job

    known = Trial(
        file_name=file_name,
        candidates=candidates,
        source=source.name,
        feed=source.feed,
        layout=source.layout,
    )
    with tempfile.TemporaryDirectory(dir=settings.tmp) as scratch:
        job = Job(
            path=content,
            file_name=file_name,
            file_no=1,
            source=source,
            name=name,
            scratch=Path(scratch),
            settings=settings,
        )
        try:
            parsed = LAYOUTS[source.layout].parse(job)
        except LayoutError as error:
            day = business_date_of(content, source, name)
            return replace(known, business_date=day.isoformat() if day else None, **_refusal(error))
        day = parsed.business_date
        return replace(
            known,
            encoding=parsed.encoding,
            business_date=day.isoformat() if day else None,
            logical_name=source.logical_name(parsed.logical_key, day, name.part or parsed.logical_part),
            records=parsed.records,
            loaded=parsed.loaded,
            quarantined=parsed.quarantined,
            declared_minor=parsed.declared_minor,
            computed_minor=parsed.computed_minor,
            rows={dataset: _first_rows(file) for dataset, file in parsed.datasets.items()},
            refused=_first_rows(parsed.quarantine) if parsed.quarantine else [],
        )


def _first_rows(path: Path) -> list[dict[str, Any]]:
    """First rows, without the file number and the token that only this trial has, and without empty columns."""
    batch = next(pq.ParquetFile(path).iter_batches(batch_size=ROWS_SHOWN), None)
    rows: list[dict[str, Any]] = batch.to_pylist() if batch is not None else []
    return [
        {
            name: value
            for name, value in row.items()
            if value is not None and name not in ("file_no", "card_token")
        }
        for row in rows
    ]
