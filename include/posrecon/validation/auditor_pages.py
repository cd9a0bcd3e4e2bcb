"""Pages for auditors beside Data Docs: every night, suite and rule with counts and money, and each rule's trend.

`auditors.html` lists the nights, `nights/<night>.html` every rule of one night with links to its evidence page and to
the candidates that it marked, `candidates/<night>.html` those candidates with file and line, `trends.html` each rule
over the nights. Plain HTML with pictures drawn in it: nothing is fetched, nothing is run. The pages of a night stay as
they were; what they are made from is kept as one small file per night.
"""

import html
import json
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb

from posrecon.files import write_json, write_text
from posrecon.money import format_money
from posrecon.settings import Settings
from posrecon.validation.data_docs import forget_pages, without_dead_rows

if TYPE_CHECKING:
    from posrecon.validation.run import RuleResult

INDEX = "auditors.html"
TRENDS = "trends.html"
QUALITY = ("error", "warning")
NIGHTS_DRAWN_MAX = 400
"""Nights of a trend: a year and a month."""

BAR_WIDTH_MAX = 12
"""Pixels; a home of two nights draws two bars, not two walls."""

CANDIDATES_LISTED_MAX = 1_000
"""Candidates of one rule on a page, the most money first; the published table holds every one."""

_STYLE = """
body { font: 14px/1.5 system-ui, "Noto Sans SC", sans-serif; margin: 2rem auto; padding: 0 1.5rem; max-width: 80rem;
  color: #1c2228 }
table { border-collapse: collapse; width: 100%; margin: .5rem 0 1.5rem }
th, td { text-align: left; padding: .25rem .6rem; border-bottom: 1px solid #dde1e5; vertical-align: top }
th { color: #6e767e; font-weight: 500; background: #f3f5f7 }
td { overflow-wrap: anywhere } td:first-child > a, td:first-child > code, time { white-space: nowrap }
td.n, th.n { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap }
.bad { color: #a4262c } .good { color: #2b7a3d } small { color: #6e767e }
svg { background: #f3f5f7 } code { font-size: 12px }
"""


@dataclass(frozen=True)
class JudgedRule:
    """What one rule said in one night, as it is kept.

    Attributes:
        rule_id: Its id in the catalogue.
        suite: Its suite.
        severity: error or warning for data quality; high, medium or low for disputes.
        description: What should hold.
        success: Whether it held.
        count: Rows that broke it; of a rule about numbers of rows that number; None when not stated.
        money: Amount at stake in minor units by currency.
    """

    rule_id: str
    suite: str
    severity: str
    description: str
    success: bool
    count: int | None
    money: tuple[tuple[str, int], ...]


def keep(settings: Settings, run_date: date, rules: Sequence["RuleResult"]) -> None:
    """Keep what the rules said tonight; the same night again writes the same bytes."""
    write_json(_kept_path(settings, run_date), {"rules": [asdict(rule) for rule in rules]})


def kept(settings: Settings) -> dict[date, list[JudgedRule]]:
    """What the rules said, by night, ascending."""
    found: dict[date, list[JudgedRule]] = {}
    for path in sorted(_kept_path(settings, date.min).parent.glob("????-??-??.json")):
        rows = json.loads(path.read_text(encoding="utf-8"))["rules"]
        found[date.fromisoformat(path.stem)] = [
            JudgedRule(**{**row, "money": tuple((currency, amount) for currency, amount in row["money"])})
            for row in rows
        ]
    return found


def write_pages(settings: Settings, site: Path, run_date: date) -> None:
    """Write the index, the trends and the page of tonight into a site that is built aside.

    Args:
        settings: Where the verdicts of all nights are kept.
        site: The site; pages of earlier nights are in it.
        run_date: Tonight.
    """
    nights = kept(settings)
    # The candidates of tonight are listed after these pages.
    _write_overview(nights, site, there=lambda page: page.exists() or page.stem == str(run_date))
    write_text(site / "nights" / f"{run_date}.html", _night(site, run_date, nights[run_date]))
    first = site / "index.html"
    page = first.read_text(encoding="utf-8")
    link = (
        f'<p style="margin: 1rem"><a href="{INDEX}">Nights, rules and trends for auditors · 审计索引</a></p>'
    )
    if INDEX not in page:
        write_text(first, page.replace("<body>", f"<body>\n    {link}", 1))


def forget(settings: Settings, gone: Collection[Path]) -> None:
    """Remove pages whose time is over; the overviews stop linking to them first, so no link is ever dead.

    Args:
        settings: Where the site is shown, and the verdicts that are kept.
        gone: Pages, as `data_docs.pages_of_nights` gives them.
    """
    site = settings.published / "data_docs"
    _write_overview(kept(settings), site, there=lambda page: page.exists() and page not in gone)
    without_dead_rows(site, gone)
    forget_pages(settings, gone)


def _write_overview(
    nights: dict[date, list[JudgedRule]], site: Path, *, there: Callable[[Path], bool]
) -> None:
    """The pages that speak of every night, linking to what is there."""
    write_text(site / INDEX, _index(nights, lambda name: there(site / name)))
    write_text(site / TRENDS, _trends(nights))


def write_candidates(settings: Settings, connection: duckdb.DuckDBPyConnection, run_date: date) -> None:
    """Write tonight's list of open candidates beside the page of the night that links to it.

    Args:
        settings: Where the site is shown.
        connection: The warehouse; marts.dispute_candidates is written.
        run_date: Tonight.
    """
    rows = connection.execute(
        "select rule_id, candidate_id, break_id, break_type, amount_at_risk_minor, currency, merchant_id, terminal_id, "
        "complaint_route, respond_by, terminal_file, terminal_line, settlement_file, settlement_line, bank_file, "
        "bank_line from marts.dispute_candidates where status = 'open' "
        "order by rule_id, abs(amount_at_risk_minor) desc nulls last, candidate_id"
    ).fetchall()
    live = settings.published / "data_docs"
    write_text(live.resolve() / "candidates" / f"{run_date}.html", _candidates(run_date, rows))


# ------------------------------------------------------------------------------------------------ pages


def _index(nights: dict[date, list[JudgedRule]], there: Callable[[str], bool]) -> str:
    rows = []
    for night, rules in sorted(nights.items(), reverse=True):
        quality, disputes = _split(rules)
        broken = [rule for rule in quality if not rule.success]
        page, listed = f"nights/{night}.html", f"candidates/{night}.html"
        fired = sum(rule.count or 0 for rule in disputes)
        rows.append(
            [
                f'<a href="{page}">{night}</a>' if there(page) else str(night),
                _number(len(quality)),
                _verdict(len(broken)),
                _number(len(disputes)),
                _number(sum(1 for rule in disputes if rule.count)),
                _to_candidates(rules, listed, fired) if there(listed) else _number(fired),
                _money(_summed(disputes)),
            ]
        )
    heads = ("夜批 Night", "质量规则 Quality rules", "未通过 Broken", "争议规则 Dispute rules", "触发 Fired",
             "候选 Candidates", "金额 Money")  # fmt: skip
    body = f'<p><a href="{TRENDS}">每条规则的趋势 Trend of every rule</a> · <a href="index.html">Data Docs</a></p>'
    return _page("审计索引 Nights", body + _table(heads, rows, numbers=range(1, 7)))


def _night(site: Path, run_date: date, rules: Sequence[JudgedRule]) -> str:
    parts = [f'<p><a href="../{INDEX}">审计索引 Nights</a> · <a href="../{TRENDS}">趋势 Trends</a></p>']
    for suite in dict.fromkeys(rule.suite for rule in rules):
        pages = sorted((site / "validations" / suite / str(run_date)).glob("*/*.html"))
        evidence = "".join(
            f' <small><a href="../{page.relative_to(site).as_posix()}">Great Expectations</a></small>'
            for page in pages
        )
        rows = []
        for rule in rules:
            if rule.suite != suite:
                continue
            link = f'<a href="../{TRENDS}#{html.escape(rule.rule_id)}">{html.escape(rule.rule_id)}</a>'
            count = "" if rule.count is None else f"{rule.count:,}"
            if rule.severity not in QUALITY and rule.count:
                count = _to_candidates(rules, f"../candidates/{run_date}.html#{rule.rule_id}", rule.count)
            held = '<span class="good">✓</span>' if rule.success else '<span class="bad">✗</span>'
            rows.append(
                [link, html.escape(rule.severity), held, count, _money(dict(rule.money)), html.escape(rule.description)]
            )  # fmt: skip
        heads = (
            "规则 Rule",
            "级别 Severity",
            "通过 Holds",
            "笔数 Count",
            "金额 Money",
            "应当 What should hold",
        )
        parts.append(f"<h2>{html.escape(suite)}{evidence}</h2>" + _table(heads, rows, numbers=(3, 4)))
    return _page(f"夜批 Night {run_date}", "".join(parts))


def _candidates(run_date: date, rows: Iterable[tuple[Any, ...]]) -> str:
    parts = [
        f'<p><a href="../{INDEX}">审计索引 Nights</a> · <a href="../nights/{run_date}.html">{run_date}</a></p>'
    ]
    by_rule: dict[str, list[list[str]]] = {}
    for rule_id, candidate_id, break_id, break_type, amount, currency, merchant, terminal, *more in rows:
        route, respond_by, *evidence = more
        lines = [
            f"{html.escape(str(name))}:{line}"
            for name, line in zip(evidence[::2], evidence[1::2], strict=True)
            if name is not None
        ]
        by_rule.setdefault(rule_id, []).append(
            [
                f'<code id="{candidate_id}">{candidate_id}</code>',
                html.escape(str(break_type)),
                "" if amount is None else format_money(amount, currency),
                html.escape(f"{merchant or '-'} {terminal or ''}"),
                html.escape(route or "") + (f"<br><time>{respond_by}</time>" if respond_by else ""),
                "<br>".join(lines) + f"<br><small>break {break_id}</small>",
            ]
        )
    heads = (
        "候选 Candidate",
        "类型 Type",
        "金额 Money",
        "商户 Merchant",
        "渠道与期限 Route",
        "凭证 Evidence",
    )
    for rule_id, cells in by_rule.items():
        title = f'<h2 id="{html.escape(rule_id)}">{html.escape(rule_id)} <small>{len(cells):,}</small></h2>'
        parts.append(title + _table(heads, cells[:CANDIDATES_LISTED_MAX], numbers=(2,)))
        hidden = len(cells) - CANDIDATES_LISTED_MAX
        if hidden > 0:
            parts.append(f"<p>其余见 And {hidden:,} more of less money: table dispute_candidates.</p>")
    if not by_rule:
        parts.append("<p>无。 None.</p>")
    return _page(f"争议候选 Candidates {run_date}", "".join(parts))


def _trends(nights: dict[date, list[JudgedRule]]) -> str:
    dates = sorted(nights)[-NIGHTS_DRAWN_MAX:]
    series: dict[str, dict[date, JudgedRule]] = {}
    for night in dates:
        for rule in nights[night]:
            series.setdefault(rule.rule_id, {})[night] = rule
    rows = []
    for rule_id, judged in sorted(series.items()):
        last = judged[max(judged)]
        counts = [rule.count for rule in judged.values() if rule.count is not None]
        rows.append(
            [
                f'<span id="{html.escape(rule_id)}">{html.escape(rule_id)}</span>'
                f"<br><small>{html.escape(last.description)}</small>",
                _number(sum(1 for rule in judged.values() if not rule.success)),
                _number(len(judged)),
                f"{min(counts):,} – {max(counts):,}" if counts else "",
                "" if last.count is None else f"{last.count:,}",
                _drawn(dates, judged),
            ]
        )
    heads = (
        "规则 Rule",
        "未通过夜数 Nights broken",
        "夜数 Nights",
        "笔数范围 Range",
        "最近 Last",
        "趋势 Trend",
    )
    span = f"{dates[0]} – {dates[-1]}" if dates else ""
    body = f'<p><a href="{INDEX}">审计索引 Nights</a> · {span}</p>' + _table(
        heads, rows, numbers=(1, 2, 3, 4)
    )
    return _page("趋势 Trends", body)


def _drawn(dates: Sequence[date], judged: dict[date, JudgedRule]) -> str:
    """One bar per night, as high as its count; red where the rule did not hold."""
    width, height = 400, 36
    most = max((rule.count or 0 for rule in judged.values()), default=0)
    step = min(BAR_WIDTH_MAX, max(1, width // max(len(dates), 1)))
    bars = []
    for place, night in enumerate(dates):
        rule = judged.get(night)
        if rule is None:
            continue
        tall = max(1, (rule.count or 0) * (height - 2) // most) if most else 1
        colour = "#2b7a3d" if rule.success else "#a4262c"
        said = "" if rule.count is None else f"{rule.count:,}"
        bars.append(
            f'<rect x="{place * step}" y="{height - tall}" width="{max(1, step - 1)}" height="{tall}" '
            f'fill="{colour}"><title>{night}: {said}</title></rect>'
        )
    return f'<svg width="{width}" height="{height}" role="img">{"".join(bars)}</svg>'


def _to_candidates(rules: Sequence[JudgedRule], address: str, count: int) -> str:
    """The count as a link; a night that its data stopped has no candidates to link to."""
    if any(rule.severity == "error" and not rule.success for rule in rules):
        return f"{count:,}"
    return f'<a href="{html.escape(address)}">{count:,}</a>'


def _split(rules: Sequence[JudgedRule]) -> tuple[list[JudgedRule], list[JudgedRule]]:
    quality = [rule for rule in rules if rule.severity in QUALITY]
    return quality, [rule for rule in rules if rule.severity not in QUALITY]


def _summed(rules: Iterable[JudgedRule]) -> dict[str, int]:
    totals: dict[str, int] = {}
    for rule in rules:
        for currency, amount in rule.money:
            totals[currency] = totals.get(currency, 0) + amount
    return totals


def _money(totals: dict[str, int]) -> str:
    return "<br>".join(
        html.escape(format_money(amount, currency)) for currency, amount in sorted(totals.items())
    )


def _number(count: int) -> str:
    return f"{count:,}"


def _verdict(broken: int) -> str:
    return f'<span class="{"bad" if broken else "good"}">{broken:,}</span>'


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]], *, numbers: Iterable[int]) -> str:
    right = set(numbers)

    def cells(tag: str, values: Sequence[str]) -> str:
        return "".join(
            f'<{tag} class="n">{value}</{tag}>' if place in right else f"<{tag}>{value}</{tag}>"
            for place, value in enumerate(values)
        )

    body = "\n".join(f"<tr>{cells('td', row)}</tr>" for row in rows)
    return f"<table>\n<thead><tr>{cells('th', heads)}</tr></thead>\n<tbody>\n{body}\n</tbody></table>\n"


def _page(title: str, body: str) -> str:
    return (
        '<!doctype html>\n<html lang="zh"><head><meta charset="utf-8">'
        f"<title>{html.escape(title)}</title><style>{_STYLE}</style></head>\n"
        f"<body><h1>{html.escape(title)}</h1>\n{body}\n</body></html>\n"
    )


def _kept_path(settings: Settings, run_date: date) -> Path:
    return settings.state / "gx" / "rules" / f"{run_date}.json"
