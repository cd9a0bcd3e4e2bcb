"""The child process that runs dbt and reports it as JSON lines on its standard output.

It parses the project once, then runs one command per line of its standard input: a JSON list of arguments.
dbt keeps state for the life of a process, so the child lives as long as one night, or one task, and no
longer. It also ends when its parent does: the end of its standard input means that the parent is gone.
"""

import json
import os
import queue
import sys
import threading
from typing import Any

from posrecon import redaction


def main() -> int:
    """Serve dbt commands until standard input ends.

    The command line holds the arguments that every command shares; they follow the command's own.
    """
    redaction.install()
    commands: queue.Queue[list[str]] = queue.Queue()
    threading.Thread(target=_listen, args=(commands,), daemon=True).start()
    # Whatever libraries print goes to standard error, so that each line of the report is JSON.
    report = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8", buffering=1)
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())

    def tell(**content: Any) -> None:
        report.write(json.dumps(content, ensure_ascii=False) + "\n")

    from dbt.adapters.duckdb.connections import DuckDBConnectionManager
    from dbt.cli.main import dbtRunner
    from dbt.contracts.graph.manifest import Manifest

    def on_event(event: Any) -> None:
        if event.info.name == "ConcurrencyLine":
            tell(event="start", nodes=event.data.node_count)
        elif event.info.name == "NodeFinished":
            tell(event="node", node=event.data.node_info.unique_id, status=event.data.node_info.node_status)

    shared = sys.argv[1:]
    parsed = dbtRunner().invoke(["parse", *shared])
    if not parsed.success or not isinstance(parsed.result, Manifest):
        tell(event="end", success=False, exception=str(parsed.exception or "dbt parse failed"), failures=[])
        return 1
    while True:
        outcome = dbtRunner(manifest=parsed.result, callbacks=[on_event]).invoke([*commands.get(), *shared])
        # The adapter would keep the file open, and locked, until the next command.
        DuckDBConnectionManager.close_all_connections()  # type: ignore[no-untyped-call]
        tell(
            event="end",
            success=bool(outcome.success),
            exception=str(outcome.exception) if outcome.exception else "",
            failures=_failures(outcome.result),
        )


def _failures(result: Any) -> list[dict[str, str]]:
    return [
        {
            "name": each.node.name,
            "kind": str(each.node.resource_type),
            "path": each.node.original_file_path,
            "status": str(each.status),
            "message": each.message or "",
            "sql": getattr(each.node, "compiled_code", None) or "",
        }
        for each in getattr(result, "results", None) or []
        if str(each.status) in ("error", "fail", "runtime error")
    ]


def _listen(commands: "queue.Queue[list[str]]") -> None:
    for line in sys.stdin.buffer:
        commands.put(json.loads(line))
    # Also in the middle of a query: without its parent, nothing that this process does is wanted any more.
    os._exit(0)


if __name__ == "__main__":
    sys.exit(main())
