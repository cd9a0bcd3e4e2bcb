"""From inbox to raw Parquet: discover, archive, verify, quarantine, register."""

from posrecon.landing.outcomes import Outcome
from posrecon.landing.sources import Source, load_sources
from posrecon.landing.steps import parse_file, receive, register

__all__ = ["Outcome", "Source", "load_sources", "parse_file", "receive", "register"]
