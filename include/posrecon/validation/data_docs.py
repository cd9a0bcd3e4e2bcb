"""Data Docs that open without a network, and that readers never see half-built.

Great Expectations links about nineteen scripts, styles, fonts and pictures from public servers. Here every page is
rewritten after it was rendered: what it needs comes from `static/` of the site itself, what it does not need
(graphs of profiling, dark theme, newsletter) is taken out. The site is built aside, starting from the last one, so that
a night renders its own pages only, and is shown by renaming one symbolic link.
"""

import html
import os
import re
import shutil
from collections.abc import Callable, Collection, Iterator
from datetime import date
from pathlib import Path

from posrecon.errors import NightError
from posrecon.files import write_text
from posrecon.settings import Settings

ASSETS = Path(__file__).parent / "data_docs_assets"

# Reference in the page as rendered → file in static/assets; an empty name takes the tag out.
_LOCAL = (
    (
        "unpkg.com/bootstrap-table@1.19.1/dist/bootstrap-table.min.css",
        "bootstrap-table/bootstrap-table.min.css",
    ),
    ("maxcdn.bootstrapcdn.com/bootstrap/4.3.1/css/bootstrap.min.css", "bootstrap/bootstrap.min.css"),
    (
        "unpkg.com/bootstrap-table@1.19.0/dist/extensions/filter-control/bootstrap-table-filter-control",
        "bootstrap-table/bootstrap-table-filter-control.min.css",
    ),
    ("bootstrap-datepicker.min.css", "bootstrap-datepicker/bootstrap-datepicker.min.css"),
    ("bootstrap-prefers-dark.css", ""),
    ("npm/vega", ""),
    ("font-awesome/6.6.0/css/all.min.css", "fontawesome/css/fontawesome.min.css"),
    ("code.jquery.com/jquery-3.7.1.min.js", "jquery/jquery.min.js"),
    ("popper.min.js", "popper/popper.min.js"),
    ("stackpath.bootstrapcdn.com/bootstrap/4.3.1/js/bootstrap.min.js", "bootstrap/bootstrap.min.js"),
    ("bootstrap-table@1.19.1/dist/bootstrap-table.min.js", "bootstrap-table/bootstrap-table.min.js"),
    ("bootstrap-table-filter-control.min.js", "bootstrap-table/bootstrap-table-filter-control.min.js"),
    ("bootstrap-datepicker.min.js", "bootstrap-datepicker/bootstrap-datepicker.min.js"),
)

_TAG = re.compile(r"<link\b[^>]*>|<script\b[^>]*\bsrc=[^>]*>\s*</script>|<img\b[^>]*>", re.IGNORECASE)
_REFERENCE = re.compile(r"""\b(?:src|href)\s*=\s*["']\s*((?:https?:)?//[^"']+)["']""", re.IGNORECASE)
_FOOTER = re.compile(r"<footer>.*?newsletter.*?</footer>", re.DOTALL | re.IGNORECASE)
_CSS_REFERENCE = re.compile(r"""url\(\s*["']?((?:https?:)?//[^"')]+)["']?\s*\)""", re.IGNORECASE)
_STATIC = re.compile(r"""(\b(?:src|href)\s*=\s*["'])(?:\.\.?/)+static/(?!assets/)""", re.IGNORECASE)
_LOGO = "great-expectations-web-assets"
# Folders with pages of every night; all else at the top is made anew each night.
KEPT = frozenset({"validations", "nights", "candidates"})
# One validation in the list of the first page: a literal of its script.
_ROW = re.compile(
    r"\{'validation_success':(?:(?!'_table_row_link_path').)*"
    r"'_table_row_link_path': '(?P<page>[^']+)'[^{}]*\}(?:, )?",
    re.DOTALL,
)
_DONE = '<meta name="generator" content="posrecon data docs">'


def external_references(page: str) -> list[str]:
    """Every script, style, picture or font that a page would fetch from a server."""
    found = [
        reference.group(1) for tag in _TAG.finditer(page) if (reference := _REFERENCE.search(tag.group(0)))
    ]
    return found + _CSS_REFERENCE.findall(page) + re.findall(r"@import\s+[\"'](https?://[^\"']+)", page)


def local_references(page: str) -> list[str]:
    """Every script, style or picture that a page loads from the site itself, relative to the page."""
    tags = (
        re.search(r"""\b(?:src|href)\s*=\s*["']([^"']+)["']""", tag.group(0)) for tag in _TAG.finditer(page)
    )
    return [tag.group(1) for tag in tags if tag and not re.match(r"(?:https?:)?//|data:", tag.group(1))]


def localised(page: str, static: str) -> str:
    """A rendered page with every outside reference made local or taken out.

    Args:
        page: HTML as Great Expectations rendered it.
        static: Relative path from the page to the folder static/ of the site, ending with a slash.

    Raises:
        NightError: A reference remains that is not known here (the library changed its templates).
    """
    if _DONE in page:
        return page

    def replaced(tag: re.Match[str]) -> str:
        reference = _REFERENCE.search(tag.group(0))
        if reference is None:
            return tag.group(0)
        return _local_tag(html.unescape(reference.group(1)), static)

    page = _TAG.sub(replaced, page)
    page = _FOOTER.sub("", page)
    # The library's own path to the icon is one folder off on validation pages.
    page = _STATIC.sub(lambda match: match.group(1) + static, page)
    page = _CSS_REFERENCE.sub(
        lambda match: f"url({static}images/logo-long.png)" if _LOGO in match.group(1) else match.group(0),
        page,
    )
    page = page.replace("<head>", f"<head>\n    {_DONE}", 1)
    left = external_references(page)
    if left:
        raise NightError(
            f"Data Docs would load from a server: {', '.join(sorted(set(left)))}.",
            next_step="Great Expectations changed its pages; add the reference to posrecon.validation.data_docs.",
        )
    return page


def _local_tag(reference: str, static: str) -> str:
    if _LOGO in reference:
        name = Path(reference.split("?")[0]).name
        return f'<img src="{static}images/{name}" alt="Great Expectations" style="width: auto; height: 50px">'
    for part, name in _LOCAL:
        if part not in reference:
            continue
        if not name:
            return ""
        address = f"{static}assets/{name}"
        if name.endswith(".js"):
            return f'<script src="{address}"></script>'
        if name.endswith("fontawesome.min.css"):
            folder = address.removesuffix("fontawesome.min.css")
            return "".join(
                f'<link rel="stylesheet" href="{folder}{style}.min.css">'
                for style in ("fontawesome", "solid", "regular")
            )
        return f'<link rel="stylesheet" href="{address}">'
    raise NightError(
        f"Data Docs would load {reference} from a server.",
        next_step="Great Expectations changed its pages; add the reference to posrecon.validation.data_docs.",
    )


def begin_site(settings: Settings, run_date: str) -> Path:
    """A folder aside that holds the last site without the pages of `run_date`; build into it, then `show_site`."""
    live = settings.published / "data_docs"
    folder = settings.published / ".data_docs"
    folder.mkdir(parents=True, exist_ok=True)
    aside = folder / f"{run_date}.{os.getpid()}"
    shutil.rmtree(aside, ignore_errors=True)
    if live.exists():
        # Pages of other nights never change, so a second name for the same bytes is enough; what is written
        # tonight must be new files, or readers of the live site would see it half-written.
        shutil.copytree(live, aside, copy_function=os.link, ignore=_written_tonight(live.resolve(), run_date))
    else:
        aside.mkdir()
    return aside


def _written_tonight(root: Path, run_date: str) -> Callable[[str, list[str]], set[str]]:
    def ignored(folder: str, names: list[str]) -> set[str]:
        relative = Path(folder).resolve().relative_to(root)
        if relative == Path():
            return {name for name in names if name not in KEPT}
        if relative.parts[0] in ("nights", "candidates"):
            return {name for name in names if name == f"{run_date}.html"}
        return {name for name in names if len(relative.parts) > 1 and name == run_date}

    return ignored


def pages_of_nights(settings: Settings) -> Iterator[tuple[date, Path]]:
    """Every page of the site that is of one night, with that night; paths go through the link that readers use."""
    site = settings.published / "data_docs"
    for path in _pages(site) if site.exists() else ():
        kind, *parts = path.relative_to(site).parts
        if kind in KEPT:
            yield date.fromisoformat(parts[1] if kind == "validations" else path.stem), path


def forget_pages(settings: Settings, gone: Collection[Path]) -> None:
    """Remove pages of nights from the site and from the one before it, which readers may still be in.

    What links to them must be written anew first.
    """
    site, folder = settings.published / "data_docs", settings.published / ".data_docs"
    builds = {site.resolve(), *(folder.iterdir() if folder.exists() else ())}
    for path in gone:
        for build in builds:
            page = build / path.relative_to(site)
            page.unlink(missing_ok=True)
            for parent in page.parents:
                if parent == build or not parent.exists() or any(parent.iterdir()):
                    break
                parent.rmdir()


def without_dead_rows(site: Path, gone: Collection[Path] = ()) -> None:
    """Take validations out of the first page whose own page is not there, or goes."""

    def linked(row: re.Match[str]) -> str:
        page = site / row["page"]
        return row[0] if page.exists() and page not in gone else ""

    first = site / "index.html"
    page = first.read_text(encoding="utf-8")
    changed = _ROW.sub(linked, page)
    if changed != page:
        write_text(first, changed)


def finish_site(aside: Path) -> None:
    """Make every page of the site independent of the network, and leave no link to a page that retention removed."""
    without_dead_rows(aside)
    shutil.copytree(ASSETS, aside / "static" / "assets", dirs_exist_ok=True)
    for path in _pages(aside):
        page = path.read_text(encoding="utf-8")
        depth = len(path.relative_to(aside).parts) - 1
        changed = localised(page, "../" * depth + "static/")
        if changed is not page:
            path.write_text(changed, encoding="utf-8")


def show_site(settings: Settings, aside: Path) -> Path:
    """Swap the finished site in; the one before stays for readers that are in it, older ones go.

    Returns:
        The index page that readers open.
    """
    live = settings.published / "data_docs"
    before = live.resolve() if live.is_symlink() else None
    link = aside.parent / f".link.{os.getpid()}"
    link.unlink(missing_ok=True)
    link.symlink_to(Path(aside.parent.name) / aside.name)
    if live.is_dir() and not live.is_symlink():
        shutil.rmtree(live)
    link.replace(live)
    for other in aside.parent.iterdir():
        if other.resolve() not in {aside.resolve(), before}:
            shutil.rmtree(other, ignore_errors=True)
    return live / "index.html"


def _pages(site: Path) -> Iterator[Path]:
    yield from sorted(site.rglob("*.html"))
