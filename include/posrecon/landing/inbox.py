"""What lies in the inbox, and which of it is due tonight."""

import logging
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Literal

from posrecon.errors import LayoutError
from posrecon.landing.containers import Member, is_zip, members_of, open_member, open_unpacked, pattern_name
from posrecon.landing.sources import FEEDS, NameParts, Source, load_sources
from posrecon.settings import Settings

log = logging.getLogger(__name__)

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


def recognise(sources: tuple[Source, ...], feed: str, file_name: str) -> tuple[tuple[Source, NameParts], ...]:
    """Sources of a feed whose pattern fits a file name, with what the name says."""
    plain = pattern_name(file_name)
    pairs = ((source, source.match(plain)) for source in sources if source.feed == feed)
    return tuple((source, name) for source, name in pairs if name is not None)


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
            elif path.name.startswith(".") or path.name.lower().endswith(UNFINISHED):
                found.append(InboxFile(path=path, feed=feed, state="unfinished"))
            else:
                found.append(_judge(settings, path, feed, sources, run_date))
    return tuple(found)


def _judge(
    settings: Settings, path: Path, feed: str, sources: tuple[Source, ...], run_date: date
) -> InboxFile:
    try:
        if is_zip(path.name):
            days = [
                _member_day(settings, path, member, feed, sources) for member in members_of(path, path.name)
            ]
            # A zip is read as one: when its newest file is.
            day = max((day for day in days if day is not None), default=None)
        else:
            day = _day(settings, path, path.name, feed, sources)
    except LayoutError:
        day = None  # read tonight, and refused with its reason
    early = day is not None and day >= run_date
    return InboxFile(path=path, feed=feed, state="early" if early else "due", business_date=day)


def _day(
    settings: Settings, path: Path, file_name: str, feed: str, sources: tuple[Source, ...]
) -> date | None:
    matches = recognise(sources, feed, file_name)
    if len(matches) != 1:
        return None
    with open_unpacked(settings, path, file_name) as content:
        return business_date_of(content, *matches[0])


def _member_day(
    settings: Settings, path: Path, member: Member, feed: str, sources: tuple[Source, ...]
) -> date | None:
    file_name = f"{path.name}!{member.name}"
    if not recognise(sources, feed, file_name):
        return None
    with open_member(settings, path, path.name, member) as content:
        return _day(settings, content, file_name, feed, sources)
