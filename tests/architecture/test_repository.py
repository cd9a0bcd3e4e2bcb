"""The top level is fixed; what the repository says about itself is there."""

import re
import tomllib
from pathlib import Path

from tests.architecture.repository import ROOT, tracked_files

TOP_LEVEL = {
    "dags",
    "dbt_project",
    "expectations",
    "include",
    "tests",
    "docs",
    "requirements.in",
    "requirements.txt",
    "requirements-dev.in",
    "requirements-dev.txt",
    "README.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "DECISIONS.md",
    "LICENSE",
    "Makefile",
    "pyproject.toml",
    ".airflowignore",
    ".ci",
    ".dockerignore",
    ".editorconfig",
    ".env.example",
    ".gitattributes",
    ".gitignore",
    ".pre-commit-config.yaml",
    ".sqlfluff",
    ".sqlfluffignore",
}
TEXT = {".py", ".sql", ".yml", ".yaml", ".md", ".toml", ".sh", ".in", ".cfg", ".csv", ""}


def texts() -> list[tuple[str, str]]:
    """Tracked text files that people wrote."""
    return [
        (name, (ROOT / name).read_text(encoding="utf-8"))
        for name in tracked_files()
        if Path(name).suffix in TEXT
        and "/data/" not in name
        and "/files/" not in name
        and "_assets/" not in name
    ]


def test_top_level__holds_only_what_the_layout_names() -> None:
    assert {name.split("/")[0] for name in tracked_files()} - TOP_LEVEL == set()


def test_text__names_no_place_on_the_machine_of_whoever_wrote_it() -> None:
    personal = re.compile(r"(?<![\w.$}~])/(?:home|root|Users|work|mnt)/\w")
    faults = [
        f"{name}:{number}"
        for name, text in texts()
        for number, line in enumerate(text.splitlines(), start=1)
        if personal.search(line)
    ]
    assert faults == []


def test_text__mentions_only_documents_that_exist() -> None:
    """A page that nobody else has is no explanation."""
    known = {Path(name).name for name in tracked_files() if name.endswith(".md")}
    faults = [
        f"{name}: {mention}"
        for name, text in texts()
        for mention in re.findall(r"\b[A-Z][A-Z_]+\.md\b", text)
        if mention not in known
    ]
    assert faults == []


def test_state__is_never_tracked() -> None:
    state = re.compile(r"\.(duckdb|wal|sqlite|db|key|pem|log|pyc)$|(^|/)(target|__pycache__|uncommitted)/")
    assert [name for name in tracked_files() if state.search(name)] == []


def test_package__takes_every_file_of_its_own_with_it__licences_too() -> None:
    package = ROOT / "include" / "posrecon"
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    taken = {
        path
        for name, patterns in project["tool"]["setuptools"]["package-data"].items()
        for pattern in patterns
        for path in package.joinpath(*name.split(".")[1:]).glob(pattern)
    }
    own = {ROOT / name for name in tracked_files() if (ROOT / name).is_relative_to(package)}
    assert sorted(path for path in own - taken if path.suffix != ".py") == []


def test_locks__pin_every_requirement_with_hashes() -> None:
    for lock in ("requirements.txt", "requirements-dev.txt"):
        blocks = re.split(r"\n(?=[a-z0-9])", (ROOT / lock).read_text(encoding="utf-8"))
        pins = [block for block in blocks if re.match(r"[a-z0-9][\w.\-\[\]]*==", block)]
        assert len(pins) > 100
        assert [pin.splitlines()[0] for pin in pins if "--hash=sha256:" not in pin] == []


def test_run_time_lock__agrees_with_the_development_lock() -> None:
    def pinned(lock: str) -> set[str]:
        text = (ROOT / lock).read_text(encoding="utf-8")
        return set(
            re.findall(r"^([a-z0-9][\w.\-]*(?:\[[\w,\-]+\])?==\S+(?: ; [^\\]+)?)", text, flags=re.MULTILINE)
        )

    assert pinned("requirements.txt") - pinned("requirements-dev.txt") == set()
