"""Proof for auditors: what happened is written once, in a chain of hashes that any change breaks.

`record` is the one door for writers. `posrecon.audit.verify` holds everything recorded against what is on disk.
"""

from posrecon.audit.log import AuditError, Entry, Record, record, record_all

__all__ = ["AuditError", "Entry", "Record", "record", "record_all"]
