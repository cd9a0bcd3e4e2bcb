"""What a night ran with: the code, the packages, the settings. No secret is among them."""

import hashlib
import platform
import re
import subprocess
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from posrecon.settings import PACKAGE_ROOT, Settings

PACKAGES = (
    "apache-airflow",
    "cryptography",
    "dbt-core",
    "dbt-duckdb",
    "duckdb",
    "great-expectations",
    "posrecon",
    "pyarrow",
    "sqlalchemy",
)
"""Packages that have a part in results; the lock pins all others beside them."""

_USER_INFO = re.compile(r"(?<=://)[^/@]*@")
_SECRET_NAME = re.compile(r"key|secret|password|token|credential", re.IGNORECASE)
_GENERATED = frozenset({"__pycache__", "target", "logs", "dbt_packages", "uncommitted"})


def environment(settings: Settings) -> dict[str, Any]:
    """Facts for the record of a night.

    Returns:
        `git_commit` and `git_changed` (None where the project is no git checkout), `project_sha256` over every
        file of the project that has a part in results, `python`, `packages`, `settings`.
    """
    commit = _git(settings.project_dir, "rev-parse", "HEAD")
    changed = _git(settings.project_dir, "status", "--porcelain", "--untracked-files=no") if commit else None
    return {
        "git_commit": commit,
        "git_changed": bool(changed) if commit else None,
        "project_sha256": project_sha256(settings),
        "python": platform.python_version(),
        "packages": {name: _version(name) for name in PACKAGES},
        "settings": plain_settings(settings),
    }


def plain_settings(settings: Settings) -> dict[str, str]:
    """Every setting as text; of secrets only whether they are set, of addresses no user and password."""
    found = {}
    for name in sorted(type(settings).model_fields):
        value = getattr(settings, name)
        if isinstance(value, SecretStr) or (value and _SECRET_NAME.search(name)):
            found[name] = "set"
        else:
            found[name] = "" if value is None else _USER_INFO.sub("***@", str(value))
    return found


def project_sha256(settings: Settings) -> str:
    """One SHA-256 over the package, the sources, the dbt project and the expectations: relative name and content."""
    whole = hashlib.sha256()
    for name, path in sorted(_project_files(settings)):
        whole.update(f"{name}\0{hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode())
    return whole.hexdigest()


def _project_files(settings: Settings) -> Iterator[tuple[str, Path]]:
    roots = {
        "posrecon": PACKAGE_ROOT,
        "sources": settings.sources_dir,
        "dbt_project": settings.dbt_dir,
        "expectations": settings.expectations_dir,
    }
    for name, root in roots.items():
        for path in root.rglob("*"):
            relative = path.relative_to(root)
            parts = relative.parts
            if path.is_file() and not _GENERATED.intersection(parts) and not any(p[0] == "." for p in parts):
                yield f"{name}/{relative.as_posix()}", path


def _git(folder: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *arguments], capture_output=True, text=True, check=False
        )
    except FileNotFoundError:
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
