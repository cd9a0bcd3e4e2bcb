"""The summary that UnionPay adds to a merchant's settlement file, made to be printed (RD…, GBK text).

It has no records of its own. Its net total is what the settlement lines of that merchant and day must add up to; the
comparison is made on the night's registry, when all files are in. How the text words its totals differs from one
acquirer to the next, so the source YAML says it.
"""

import re

from posrecon.errors import LayoutError
from posrecon.formats.bills import refuse
from posrecon.formats.layout import Job, Parsed

_BYTES_MAX = 16 * 1024 * 1024


def parse(job: Job) -> Parsed:
    """Read the totals of one summary.

    Raises:
        LayoutError: Empty, too large, not in its encoding, a total that stands twice with different values or is no
            amount, or totals that contradict each other.
    """
    size = job.path.stat().st_size
    if not 0 < size <= _BYTES_MAX:
        raise LayoutError(
            f"{job.file_name}: the file has {size} bytes, expected a summary of 1 to {_BYTES_MAX}.",
            next_step="Ask the sender for it again.",
        )
    try:
        text = job.path.read_bytes().decode(job.source.codec)
    except UnicodeDecodeError as error:
        raise LayoutError(
            f"{job.file_name}: the file is not {job.source.encoding}: byte {error.start} does not fit.",
            next_step="Ask the sender for it again.",
        ) from None
    totals = {name: _total(job, text, name, pattern) for name, pattern in job.source.summary.items()}
    gross, fee, net = totals.get("gross"), totals.get("fee"), totals.get("net")
    if gross is not None and fee is not None and net is not None and gross - fee != net:
        raise LayoutError(
            f"{job.file_name}: the totals contradict each other: gross {gross} less fee {fee} is not net {net} (fen).",
            next_step="Ask the sender for it again.",
        )
    return Parsed(
        records=0,
        loaded=0,
        quarantined=0,
        business_date=job.name.business_date,
        logical_key=job.name.key,
        encoding=job.source.encoding,
        declared_minor=net,
    )


def _total(job: Job, text: str, name: str, pattern: str) -> int | None:
    """A total in fen (a count as it is); None when the text does not state it."""
    found = {match[1].replace(",", "") for match in re.finditer(pattern, text, re.MULTILINE)}
    if not found:
        return None
    if len(found) > 1:
        raise refuse(job, 1, f"{name} stands {len(found)} times with different values")
    (value,) = found
    digits = re.fullmatch(r"(-?)(\d{1,13})(?:\.(\d{1,2}))?", value)
    if digits is None or (name == "count" and digits[3]):
        raise refuse(job, 1, f'{name} "{value}" is no number')
    if name == "count":
        return int(value)
    minor = int(digits[2] + (digits[3] or "").ljust(2, "0"))
    return -minor if digits[1] else minor
