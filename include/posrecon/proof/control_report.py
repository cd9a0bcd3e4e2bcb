"""The control report of a month: what a controller signs and an auditor reads first. PDF, Chinese and English.

Nights run, files expected and received, the roll-forward of every channel, breaks opened, closed and aged, and every
time a person overrode the system, with name and reason. The figures come from the published tables and the audit log
alone; each can be followed with `posrecon audit trace report:…`.
"""

from dataclasses import asdict, dataclass
from datetime import date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import duckdb

from posrecon.audit.anchor import anchor_files, read_anchors
from posrecon.audit.log import Record, read_records, record
from posrecon.files import sha256_of, write_json, written_aside
from posrecon.money import format_minor
from posrecon.pdf import Column, Pages
from posrecon.proof.trace import BREAK_COLUMNS, MEASURES, Month, breaks_relation, month_of
from posrecon.reporting.lookup import Row, open_published, rows_of
from posrecon.settings import Settings
from posrecon.warehouse.manifests import held_nights, read_manifest
from posrecon.warehouse.sql import read_parquet

FILE_STATES = ("loaded", "rejected", "duplicate", "conflict", "superseded", "missing")


@dataclass(frozen=True)
class Override:
    """One time a person decided against, or in place of, the rules.

    Attributes:
        at: Local time.
        who: Who decided.
        what: What was decided, about what.
        reason: As the person gave it.
        record: Number of the audit record.
    """

    at: str
    who: str
    what: str
    reason: str
    record: int


@dataclass(frozen=True)
class ControlReport:
    """The figures of a month.

    Attributes:
        month: YYYY-MM.
        nights: Figures of each published night.
        days_without_night: Calendar days between the first and the last night on which none was published.
        unfinished: Nights that were begun and are not published.
        runs: Times that a night was published: in its own right, and in replays.
        files: Per source: files expected and what came, by state.
        totals: Per acquirer, channel, currency and side: the roll-forward of the month.
        breaks: Per type and currency: opened, closed, open and aged, and the money that is open.
        overrides: Decisions of people.
        retention: Files shredded or removed, and holds placed and released.
        records: Audit records of the month by kind.
        anchor: The last anchor line of the month; empty when there is none.
        last_night: Whose state the month ends with.
    """

    month: str
    nights: list[Row]
    days_without_night: list[str]
    unfinished: list[str]
    runs: dict[str, int]
    files: list[Row]
    totals: list[Row]
    breaks: list[Row]
    overrides: list[Override]
    retention: list[Override]
    records: dict[str, int]
    anchor: str
    last_night: date


def write(settings: Settings, report: ControlReport) -> Path:
    """Write the report as PDF and JSON under published/reports, and record that it was made.

    Args:
        settings: Where state lives.
        report: The figures of a month, as `collect` gathers them.

    Returns:
        The PDF.

    Raises:
        PosreconError: The font of printed pages is missing.
    """
    content = as_pdf(settings, report)
    path = settings.published / "reports" / f"control-{report.month}.pdf"
    with written_aside(path) as aside:
        aside.write_bytes(content)
    write_json(path.with_suffix(".json"), asdict(report))
    facts = {"what": "control report", "month": report.month, "file": path.name, "sha256": sha256_of(path)}
    record(settings, "export", facts)
    return path


def collect(settings: Settings, text: str) -> ControlReport:
    """Gather the figures of a month.

    Raises:
        UsageError: No night of the month is published.
    """
    month = month_of(settings, text)
    days = [month.nights[0] + timedelta(days=n) for n in range((month.nights[-1] - month.nights[0]).days + 1)]
    known = _records_of(settings, text)
    with open_published(settings) as published:
        return ControlReport(
            month=text,
            nights=_nights(settings, month),
            days_without_night=[str(day) for day in days if day not in month.nights],
            unfinished=[
                str(night)
                for night in held_nights(settings)
                if month.first <= night <= month.last and night not in month.nights
            ],
            runs=_runs(settings, month),
            files=_files(settings, published, month),
            totals=_totals(published, month),
            breaks=_breaks(settings, published, month),
            overrides=[made for one in known if (made := _override(settings, one)) is not None],
            retention=[made for one in known if (made := _retention(settings, one)) is not None],
            records=_by_kind(known),
            anchor=_anchor(settings, month),
            last_night=month.nights[-1],
        )


# ------------------------------------------------------------------------------------------------ figures


def _nights(settings: Settings, month: Month) -> list[Row]:
    rows = []
    for night in month.nights:
        figures = read_manifest(settings, night).summary
        rows.append(
            {
                "run_date": night,
                "files": sum(figures["files"].values()),
                "file_problems": len(figures["file_problems"]),
                "events": figures["events"],
                "lines": figures["lines"],
                "quarantined": figures["quarantined_records"],
                "opened": sum(row["opened_tonight"] for row in figures["breaks"]),
                "closed": sum(row["closed_tonight"] for row in figures["breaks"]),
                "open": sum(row["open"] for row in figures["breaks"]),
                "explained_pct": figures["explained"]["pct"],
                # A night of an older release did not explain its payouts.
                "payouts_pct": figures["explained"].get("payouts", {}).get("pct", "-"),
            }
        )
    return rows


def _runs(settings: Settings, month: Month) -> dict[str, int]:
    """How often nights of the month were published, whenever that was."""
    runs = {"night": 0, "replay": 0}
    nights = {str(night) for night in month.nights}
    for one in read_records(settings, frozenset({"night_published"})):
        if one.payload["run_date"] in nights and one.payload["mode"] in runs:
            runs[one.payload["mode"]] += 1
    return runs


def _files(settings: Settings, published: duckdb.DuckDBPyConnection, month: Month) -> list[Row]:
    parts = [
        settings.published / read_manifest(settings, night).tables["fct_files"].file for night in month.nights
    ]
    counted = ", ".join(f"count(*) filter (where state = '{state}') as {state}" for state in FILE_STATES)
    # A missing file is listed by every night until it comes; what is missing at the end is the last night's.
    came = rows_of(
        published,
        f"select source, {counted} from {read_parquet(parts, union_by_name=True)} "
        "where state is distinct from 'missing' or run_date = ? group by source order by source",
        [month.nights[-1]],
    )
    partitions = [settings.raw / "expected_files" / f"run_date={night}.parquet" for night in month.nights]
    there = [path for path in partitions if path.exists()]
    expected: dict[str, int] = {}
    if there:
        query = f"select source, count(*) from {read_parquet(there)} group by source"
        expected = {source: int(count) for source, count in published.execute(query).fetchall()}
    by_source = {row["source"]: row for row in came}
    return [
        {
            "source": source,
            "expected": expected.get(source, 0),
            **{state: by_source.get(source, {}).get(state, 0) for state in FILE_STATES},
        }
        for source in sorted({*by_source, *expected}, key=str)
    ]


def _totals(published: duckdb.DuckDBPyConnection, month: Month) -> list[Row]:
    def carried(name: str, pick: str) -> str:
        return f"cast({pick}({name}, run_date) as bigint) as {name}"

    columns = []
    for measure in MEASURES:
        for unit in ("items", "minor"):
            name = f"{measure}_{unit}"
            if measure in ("opening", "closing"):
                columns.append(carried(name, "arg_min" if measure == "opening" else "arg_max"))
            else:
                columns.append(f"cast(sum({name}) as bigint) as {name}")
    return rows_of(
        published,
        f"select acquirer, channel, currency, side, {', '.join(columns)} from rpt_daily_control "
        "where run_date between ? and ? group by all order by acquirer, channel, currency, side",
        [month.first, month.last],
    )


def _breaks(settings: Settings, published: duckdb.DuckDBPyConnection, month: Month) -> list[Row]:
    counted = ", ".join(f"count(*) filter (where {held}) as {name}" for name, held in BREAK_COLUMNS.items())
    return rows_of(
        published,
        f"select break_type, labels.label_en, labels.label_zh, breaks.currency, {counted}, "
        "cast(coalesce(sum(amount_at_risk_minor) filter (where status = 'open'), 0) as bigint) as open_minor "
        f"from {breaks_relation(settings, month)} as breaks left join dim_break_types as labels using (break_type) "
        "group by all order by break_type, breaks.currency",
        {"first": month.first, "last": month.last},
    )


def _records_of(settings: Settings, text: str) -> list[Record]:
    """Records written in a month of the configured zone."""
    return [one for one in read_records(settings) if str(_local(settings, one))[:7] == text]


def _local(settings: Settings, one: Record) -> datetime:
    return datetime.fromisoformat(one.at).astimezone(ZoneInfo(settings.zone))


def _override(settings: Settings, one: Record) -> Override | None:
    """The record as an override; None when it is none."""
    facts = one.payload
    if one.kind == "file_decided":
        what = f"{facts['action']} {facts['file_name']} ({facts['logical_name']})"
    elif one.kind.startswith("case") and facts.get("action") == "written_off":
        what = f"written off: case {facts.get('case')}"
    else:
        return None
    reason = facts.get("reason") or facts.get("why") or ""
    return Override(f"{_local(settings, one):%Y-%m-%d %H:%M}", one.by, what, str(reason), one.seq)


def _retention(settings: Settings, one: Record) -> Override | None:
    facts = one.payload
    if one.kind in ("archive_shredded", "retention_removed"):
        verb = "shredded" if one.kind == "archive_shredded" else "removed"
        what = f"{len(facts['files']):,} files {verb}: {facts['subject']}"
    elif one.kind in ("hold_placed", "hold_released"):
        what = f"{one.kind.replace('_', ' ')}: {facts['what']}"
    else:
        return None
    reason = str(facts.get("reason") or "")
    return Override(f"{_local(settings, one):%Y-%m-%d %H:%M}", one.by, what, reason, one.seq)


def _by_kind(known: list[Record]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for one in known:
        counts[one.kind] = counts.get(one.kind, 0) + 1
    return dict(sorted(counts.items()))


def _anchor(settings: Settings, month: Month) -> str:
    path = anchor_files(settings)[0]
    lines = read_anchors(path) if path.exists() else []
    held = [line for line in lines if month.first <= line.run_date <= month.last]
    last = max(held, key=lambda line: line.seq, default=None)
    return f"{last.run_date}  {last.seq}  {last.hash}" if last else ""


# ------------------------------------------------------------------------------------------------ pages


def as_pdf(settings: Settings, report: ControlReport) -> bytes:
    """The report as pages.

    Raises:
        PosreconError: The font of printed pages is missing.
    """
    title = f"对账控制月报 Control report {report.month}"
    pages = Pages(settings, title=title, dated=report.last_night)
    pages.title(title, f"截至夜批 As of the night of {report.last_night}")
    _nights_page(pages, report)
    _files_page(pages, report)
    _totals_page(pages, report)
    _breaks_page(pages, report)
    _decisions_page(pages, report)
    _proof_page(pages, report)
    return pages.content()


def _nights_page(pages: Pages, report: ControlReport) -> None:
    pages.heading("一、夜批 Nights")
    repeated = report.runs["night"] - len(report.nights)
    pages.facts(
        [
            ("已发布 Published", f"{len(report.nights)}"),
            ("未完成 Unfinished", ", ".join(report.unfinished) or "0"),
            ("无夜批之日 Days without", ", ".join(report.days_without_night) or "0"),
            ("重跑 / 重放 Rerun / replayed", f"{max(repeated, 0)} / {report.runs['replay']}"),
        ]
    )
    pages.table(
        [
            Column("夜批\nNight", 1.45),
            Column("文件\nFiles", 0.75, is_money=True),
            Column("异常\nProblems", 1.2, is_money=True),
            Column("终端\nEvents", 1.1, is_money=True),
            Column("清算\nLines", 1.1, is_money=True),
            Column("隔离\nQuarantine", 1.43, is_money=True),
            Column("新增\nOpened", 1.05, is_money=True),
            Column("关闭\nClosed", 0.95, is_money=True),
            Column("未结\nOpen", 0.8, is_money=True),
            Column("已解释 %\nExplained", 1.3, is_money=True),
            Column("划款 %\nPayouts", 1.1, is_money=True),
        ],
        [
            [
                str(row["run_date"]),
                *(
                    f"{row[name]:,}"
                    for name in (
                        "files",
                        "file_problems",
                        "events",
                        "lines",
                        "quarantined",
                        "opened",
                        "closed",
                        "open",
                    )
                ),
                row["explained_pct"],
                row["payouts_pct"],
            ]
            for row in report.nights
        ],
    )


def _files_page(pages: Pages, report: ControlReport) -> None:
    pages.heading("二、文件 Files expected and received")
    labels = (
        "已载入\nLoaded",
        "拒收\nRejected",
        "重复\nDuplicate",
        "冲突\nConflict",
        "被替代\nSuperseded",
        "缺失\nMissing",
    )
    pages.table(
        [
            Column("来源\nSource", 2.0),
            Column("应到\nExpected", 1.1, is_money=True),
            *(Column(label, 1.1, is_money=True) for label in labels),
        ],
        [
            [str(row["source"] or "-"), f"{row['expected']:,}", *(f"{row[state]:,}" for state in FILE_STATES)]
            for row in report.files
        ],
    )
    pages.note(
        "应到仅指日历规定必到的文件;缺失为期末仍缺。 "
        "Expected: files that the calendars ask for. Missing: still missing at the end."
    )


def _totals_page(pages: Pages, report: ControlReport) -> None:
    pages.heading("三、余额滚动 Roll-forward")
    pages.paragraph("期初 + 新增 - 已匹配 - 已排除 - 其他关闭 = 期末")
    pages.paragraph("opening + new - matched - excluded - closed = closing")
    heads = (
        "期初\nOpening",
        "新增\nNew",
        "已匹配\nMatched",
        "已排除\nExcluded",
        "其他关闭\nClosed",
        "期末\nClosing",
    )
    for unit, name in (("items", "笔数\nItems"), ("minor", "金额\nMoney")):
        pages.table(
            [
                Column(name, 2.0),
                *(Column(head, 1.25, is_money=True) for head in heads),
                Column("相符\nTies", 0.7),
            ],
            [_total_cells(row, unit) for row in report.totals],
        )


def _total_cells(row: Row, unit: str) -> list[str]:
    values = {measure: row[f"{measure}_{unit}"] for measure in MEASURES}
    moved = values["opening"] + values["new"]
    ties = moved - values["matched"] - values["excluded"] - values["closed"] == values["closing"]
    shown = [
        format_minor(values[measure], row["currency"]) if unit == "minor" else f"{values[measure]:,}"
        for measure in MEASURES
    ]
    side = {"terminal": "终端 terminal", "settlement": "清算 settlement"}[row["side"]]
    label = f"{row['acquirer']} {row['channel']} {row['currency']}\n{side}"
    return [label, *shown, "是 yes" if ties else "否 NO"]


def _breaks_page(pages: Pages, report: ControlReport) -> None:
    pages.heading("四、差异 Breaks")
    heads = ("月初\nBefore", "新增\nOpened", "关闭\nClosed", "未结\nOpen", ">7 天\ndays", ">30 天\ndays")
    pages.table(
        [
            Column("类型\nType", 2.6),
            Column("币种\nCcy", 0.9),
            *(Column(head, 0.95, is_money=True) for head in heads),
            Column("未结金额\nOpen money", 1.4, is_money=True),
        ],
        [
            [
                f"{row['label_zh'] or ''}\n{row['break_type']}".strip(),
                row["currency"] or "-",
                *(f"{row[name]:,}" for name in BREAK_COLUMNS),
                format_minor(row["open_minor"], row["currency"] or "CNY"),
            ]
            for row in report.breaks
        ],
    )


def _decisions_page(pages: Pages, report: ControlReport) -> None:
    heads = [
        Column("时间\nWhen", 1.3),
        Column("经办\nWho", 1.0),
        Column("事项\nWhat", 3.0),
        Column("理由\nReason", 3.0),
        Column("记录\nRecord", 0.8, is_money=True),
    ]
    for title, rows in (
        ("五、人工决定 Overrides", report.overrides),
        ("六、留存与冻结 Retention and legal holds", report.retention),
    ):
        pages.heading(title)
        if rows:
            pages.table(heads, [[row.at, row.who, row.what, row.reason, f"{row.record}"] for row in rows])
        else:
            pages.paragraph("无。 None.")


def _proof_page(pages: Pages, report: ControlReport) -> None:
    pages.heading("七、审计日志 Audit log")
    counts = "\n".join(f"{kind} {count:,}" for kind, count in report.records.items())
    pages.facts(
        [
            ("本月记录 Records of the month", counts or "0"),
            ("月末锚点 Last anchor", report.anchor or "无 none"),
        ]
    )
    pages.note(
        "核对:posrecon audit verify;追溯:posrecon audit trace report:<月>/totals/… 或 breaks/…。 "
        "Prove it with posrecon audit verify; follow a figure with posrecon audit trace."
    )
    pages.heading("签署 Signed")
    pages.table(
        [Column("编制 Prepared by", 1.0), Column("复核 Reviewed by", 1.0), Column("日期 Date", 0.7)],
        [["\n" + "_" * 28, "\n" + "_" * 28, "\n" + "_" * 18]],
    )
