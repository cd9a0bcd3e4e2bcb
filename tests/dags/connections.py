"""Opens transports through Airflow connections in a process of its own, and says how each ended."""

import json
import sys
from pathlib import Path


def main(cases: Path, result: Path) -> None:
    """Try every case: a transport by name; write what was listed, or the error by type and text."""
    from posrecon.airflow_adapter import connected
    from posrecon.errors import UsageError
    from posrecon.landing.transport import Transport

    said = {}
    for name, keys in json.loads(cases.read_text(encoding="utf-8")).items():
        transport = Transport.model_validate(keys)
        try:
            with connected(transport) as remote:
                said[name] = ["listed", [file.name for file in remote.files(transport.path)]]
        except OSError as error:
            said[name] = ["OSError", str(error)]
        except UsageError as error:
            said[name] = ["UsageError", str(error)]
    result.write_text(json.dumps(said, ensure_ascii=False), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
