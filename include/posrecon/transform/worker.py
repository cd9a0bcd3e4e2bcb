"""The child process that runs one dbt command and reports it as JSON lines on its standard output.

dbt keeps state for the life of a process (adapters, flags, the open DuckDB file), so each layer gets a
process of its own: when it ends, the lock on the warehouse and all memory are free for certain. The child
also ends when its parent
does: its standard input is a pipe that the parent never writes to, and its end means that the parent is
gone.
"""

import json
import os
import sys
import threading
from typing import Any


def main() -> int:
    """Run `dbt` with the arguments of the command line; 0 when every node succeeded."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    # Everything that libraries print goes to standard error, so that each line of the report is JSON.
    report = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8", buffering=1)
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())

    def tell(**content: Any) -> None:
        report.write(json.dumps(content, ensure_ascii=False) + "\n")

    from dbt.cli.main import dbtRunner

    def on_event(event: Any) -> None:
        if event.info.name == "ConcurrencyLine":
            tell(event="start", nodes=event.data.node_count)
        elif event.info.name == "NodeFinished":
            node = event.data.node_info
            tell(event="node", node=node.unique_id, status=node.node_status)

    outcome = dbtRunner(callbacks=[on_event]).invoke(sys.argv[1:])
    failures = [
        {
            "name": result.node.name,
            "kind": str(result.node.resource_type),
            "path": result.node.original_file_path,
            "status": str(result.status),
            "message": result.message or "",
            "sql": getattr(result.node, "compiled_code", None) or "",
        }
        for result in getattr(outcome.result, "results", None) or []
        if str(result.status) in ("error", "fail", "runtime error")
    ]
    tell(
        event="end",
        success=bool(outcome.success),
        exception=str(outcome.exception) if outcome.exception else "",
        failures=failures,
    )
    report.flush()
    return 0 if outcome.success else 1


def _end_with_parent() -> None:
    sys.stdin.buffer.read()
    os._exit(1)


if __name__ == "__main__":
    sys.exit(main())
