"""Files that repeat others as a summary: registered and archived as evidence, without records of their own."""

from posrecon.errors import LayoutError
from posrecon.formats.layout import Job, Parsed


def parse(job: Job) -> Parsed:
    """Keep a file; its records stand in another one of the same delivery.

    Raises:
        LayoutError: The file is empty.
    """
    if job.path.stat().st_size == 0:
        raise LayoutError(
            f"{job.file_name}: the file is empty (0 bytes), expected a summary.",
            next_step="Ask the sender for it again.",
        )
    return Parsed(
        records=0,
        loaded=0,
        quarantined=0,
        business_date=job.name.business_date,
        logical_key=job.name.key,
        encoding=job.source.encoding,
    )
