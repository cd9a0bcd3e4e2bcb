"""Errors that a person can act on: what, where, expected and got, and the next step."""

from dataclasses import dataclass

BAD_LINES_SHOWN_MAX = 20
"""Bad lines in one message; the quarantine lists every one."""


class PosreconError(Exception):
    """Base of every error that posrecon raises on purpose; shown without a traceback.

    Args:
        what: One sentence: what is wrong, where (file and line), what was expected and what was found.
        next_step: What the reader can do about it; empty when there is nothing to do.
    """

    def __init__(self, what: str, *, next_step: str = "") -> None:
        super().__init__(f"{what} {next_step}".strip())
        self.what = what
        self.next_step = next_step


class UsageError(PosreconError):
    """The command or its arguments cannot be carried out as asked (exit code 2)."""


class NightError(PosreconError):
    """The night cannot go on; nothing is published (exit code 1)."""


@dataclass(frozen=True)
class BadLine:
    """One line of a received file that does not fit its layout.

    Attributes:
        line_no: 1-based physical line, or the ordinal of the entry (XML, MT940).
        reason: Expected and got, with card numbers already masked.
    """

    line_no: int
    reason: str


class LayoutError(PosreconError):
    """A received file is refused whole: its structure, totals or encoding do not fit its layout.

    Args:
        what: The summary, starting with the file name.
        bad_lines: Every bad line, not only the first.
        next_step: Usually: ask the sender for the file again.
    """

    def __init__(self, what: str, *, bad_lines: tuple[BadLine, ...] = (), next_step: str = "") -> None:
        super().__init__(what, next_step=next_step)
        self.bad_lines = bad_lines

    def listing(self) -> list[str]:
        """The first bad lines for people, one each, and how many more there are."""
        lines = [f"  line {bad.line_no}: {bad.reason}" for bad in self.bad_lines[:BAD_LINES_SHOWN_MAX]]
        hidden = len(self.bad_lines) - BAD_LINES_SHOWN_MAX
        if hidden > 0:
            lines.append(f"  … and {hidden:,} more; the quarantine lists every line.")
        return lines
