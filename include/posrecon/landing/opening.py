"""What is in a received file: itself, or the members of a zip, out of the PGP around or inside it."""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from posrecon.errors import LayoutError
from posrecon.landing.containers import is_sealed, is_zip, members_of, open_member, pattern_name
from posrecon.landing.pgp import ARMOUR, Seal, open_sealed
from posrecon.landing.sources import NameParts, Source
from posrecon.settings import Settings


@dataclass(frozen=True, kw_only=True)
class Content:
    """One file as a layout gets it, still in its gzip if it came in one.

    Attributes:
        file_name: The name that evidence has: as received, of a member `outer.zip!member`.
        path: Where it can be read until the next one is asked for; of a refused file what was received.
        matches: Sources whose pattern fits the name, with what the name says.
        refusal: Why its PGP does not open or does not suffice; None when it may be read.
    """

    file_name: str
    path: Path
    matches: tuple[tuple[Source, NameParts], ...]
    refusal: LayoutError | None = None


def recognise(
    sources: tuple[Source, ...], feed: str | None, file_name: str
) -> tuple[tuple[Source, NameParts], ...]:
    """Sources of a feed (None = of any) whose pattern fits a file name, with what the name says."""
    plain = pattern_name(file_name)
    pairs = ((source, source.match(plain)) for source in sources if feed in (None, source.feed))
    return tuple((source, name) for source, name in pairs if name is not None)


def arrives_as_itself(path: Path, file_name: str, *, feed: str, sources: tuple[Source, ...]) -> bool:
    """True for a file that nothing has to be opened for: no zip, no PGP, and no source that asks for PGP."""
    if is_zip(file_name):
        return False
    matches = recognise(sources, feed, file_name)
    asks = any(source.pgp is not None for source, _ in matches)
    return not asks and not _is_pgp(path, file_name, matches)


def contents(
    settings: Settings, path: Path, file_name: str, *, feed: str | None, sources: tuple[Source, ...]
) -> Iterator[Content]:
    """What is in a received file, members by name. Each path lasts until the next one is asked for.

    Raises:
        LayoutError: A zip cannot be opened, or one of its members cannot: it is refused whole.
        NightError: GnuPG is missing or cannot work here.
    """
    if not is_zip(file_name):
        yield from _opened(settings, path, file_name, feed, sources, around=None)
        return
    with ExitStack() as stack:
        seal = None
        if _is_pgp(path, file_name, ()):
            try:
                path, seal = stack.enter_context(open_sealed(settings, path, file_name))
            except LayoutError as error:
                yield Content(file_name=file_name, path=path, matches=(), refusal=error)
                return
        for member in members_of(path, file_name):
            with open_member(settings, path, file_name, member) as content:
                name = f"{file_name}!{member.name}"
                yield from _opened(settings, content, name, feed, sources, around=seal)


def _opened(
    settings: Settings,
    path: Path,
    file_name: str,
    feed: str | None,
    sources: tuple[Source, ...],
    *,
    around: Seal | None,
) -> Iterator[Content]:
    """A file that is no zip, out of its PGP; `around` is what protected the zip that held it."""
    matches = recognise(sources, feed, file_name)
    seal, clear, refusal = around, path, None
    with ExitStack() as stack:
        if _is_pgp(path, file_name, matches if around is None else ()):
            try:
                clear, seal = stack.enter_context(open_sealed(settings, path, file_name))
            except LayoutError as error:
                refusal = error
        if refusal is None and len(matches) == 1:
            refusal = _fault(matches[0][0], file_name, seal)
        yield Content(
            file_name=file_name,
            path=path if refusal is not None else clear,
            matches=matches,
            refusal=refusal,
        )


def _is_pgp(path: Path, file_name: str, matches: tuple[tuple[Source, NameParts], ...]) -> bool:
    """True when the name, the content or the one source that reads it says so; text in GBK may look like a packet."""
    if is_sealed(file_name.rsplit("!", 1)[-1]):
        return True
    if len(matches) == 1 and matches[0][0].pgp is not None and matches[0][0].pgp.required:
        return True
    with path.open("rb") as file:
        return file.read(len(ARMOUR)) == ARMOUR


def _fault(source: Source, file_name: str, seal: Seal | None) -> LayoutError | None:
    """What a source asks for and a file does not have."""
    if source.pgp is None:
        return None
    if seal is None and source.pgp.required:
        return LayoutError(
            f"{file_name}: came in the clear, expected it encrypted with PGP.",
            next_step="Ask the sender to encrypt it, and why it did not.",
        )
    wanted = source.pgp.signed_by
    if wanted and not (seal is not None and seal.signers & set(wanted)):
        if seal is None or not (seal.signers or seal.fault):
            what = "is not signed"
        elif seal.fault:
            what = seal.fault
        else:
            what = f"is signed by {min(seal.signers)}"
        return LayoutError(
            f"{file_name}: {what}, expected a signature of {' or '.join(wanted)}.",
            next_step="Ask the sender; never take the file on another way of trust.",
        )
    return None
