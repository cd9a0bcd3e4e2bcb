"""What lies in the inbox, and which of it is due tonight."""

import logging
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Literal

from posrecon.errors import LayoutError
from posrecon.landing.containers import open_unpacked
from posrecon.landing.opening import contents
from posrecon.landing.sources import FEEDS, NameParts, Source, load_sources
from posrecon.settings import Settings

log = logging.getLogger(__name__)

_HEAD_BYTES = 64 * 1024
# Names under which SFTP clients write before they rename.
UNFINISHED = (".part", ".tmp", ".filepart")


@dataclass(frozen=True, kw_only=True)
class InboxFile:
    """One file in a feed folder.

    Attributes:
        state: due (read tonight), early (dated on or after the run date: left for its night), or unfinished.
    """

    path: Path
    feed: str
    state: Literal["due", "early", "unfinished"]
    business_date: date | None = None


@dataclass(frozen=True, kw_only=True)
class Recognised:
    """A file of the inbox, or a member of a zip there, that exactly one source reads."""

    source: Source
    name: NameParts
    business_date: date | None


def is_unfinished(file_name: str) -> bool:
    """True for a name under which somebody is still writing."""
    return file_name.startswith(".") or file_name.lower().endswith(UNFINISHED)


def fitting(
    matches: tuple[tuple[Source, NameParts], ...], path: Path
) -> tuple[tuple[Source, NameParts], ...]:
    """Of the sources that a name fits, those that the content fits too; a name that fits one source is enough."""
    from posrecon.formats import LAYOUTS

    if len(matches) < 2:
        return matches
    with path.open("rb") as file:
        head = file.read(_HEAD_BYTES)
    looks = [(match, LAYOUTS[match[0].layout].looks) for match in matches]
    return tuple(match for match, look in looks if look is None or look(head))


def business_date_of(path: Path, source: Source, name: NameParts) -> date | None:
    """Business date from the place that the source names; the file name helps when the content cannot be read."""
    from posrecon.formats import LAYOUTS

    if source.date_from == "none":
        return None
    if source.date_from == "name" or (source.date_from == "name_or_content" and name.business_date):
        return name.business_date
    return LAYOUTS[source.layout].peek(path, source) or name.business_date


def scan_inbox(settings: Settings, run_date: date) -> tuple[InboxFile, ...]:
    """Every file of the feed folders, ordered by feed and name. Nothing is moved."""
    sources = load_sources(settings.sources_dir)
    found: list[InboxFile] = []
    for feed in sorted(FEEDS):
        folder = settings.inbox / feed
        if not folder.is_dir():
            continue
        for path in sorted(folder.iterdir()):
            if not path.is_file():
                log.warning("%s: not a file; it is not read", path)
            elif is_unfinished(path.name):
                found.append(InboxFile(path=path, feed=feed, state="unfinished"))
            else:
                found.append(_judge(settings, path, feed, sources, run_date))
    return tuple(found)


def _judge(
    settings: Settings, path: Path, feed: str, sources: tuple[Source, ...], run_date: date
) -> InboxFile:
    days = [known.business_date for known in recognised_in(settings, path, feed, sources)]
    # A zip is read as one: when its newest file is.
    day = max((day for day in days if day is not None), default=None)
    early = day is not None and day >= run_date
    return InboxFile(path=path, feed=feed, state="early" if early else "due", business_date=day)


def recognised_in(settings: Settings, path: Path, feed: str, sources: tuple[Source, ...]) -> list[Recognised]:
    """What a file of the inbox is, or of a zip what its members are; nothing when it cannot be opened."""
    found: list[Recognised] = []
    try:
        for content in contents(settings, path, path.name, feed=feed, sources=sources):
            if content.refusal is not None:
                for source, name in content.matches if len(content.matches) == 1 else ():
                    found.append(Recognised(source=source, name=name, business_date=name.business_date))
                continue
            with open_unpacked(settings, content.path, content.file_name) as clear:
                matches = fitting(content.matches, clear)
                for source, name in matches if len(matches) == 1 else ():
                    day = business_date_of(clear, source, name)
                    found.append(Recognised(source=source, name=name, business_date=day))
    except LayoutError:
        return []  # read tonight, and refused with its reason
    return found
