"""The complaint pack: what is sent to the other side, and what proves it.

A zip of `complaint.pdf` (Chinese and English), `breaks.csv`, `evidence/` (each record as received, card numbers
masked) and `manifest.json` with the SHA-256 of every part. The same case on the same night gives the same bytes.
"""

import hashlib
import json
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import duckdb

from posrecon.audit import record
from posrecon.disputes.complaint import Complaint, Story, breaks_of, stories_of
from posrecon.errors import UsageError
from posrecon.exports import csv_text
from posrecon.files import sha256_of, written_aside
from posrecon.money import format_money
from posrecon.pdf import Column, Pages
from posrecon.reporting.evidence import Evidence
from posrecon.reporting.lookup import Row, open_published, rows_of
from posrecon.settings import Settings

# Breaks that are told one by one; the rest of a large case stands in the table and in breaks.csv.
TOLD = 40

_CSV_COLUMNS = (
    "break_id", "break_type", "label_zh", "label_en", "status", "opened_on", "closed_on", "closed_by", "age_days",
    "amount_at_risk_minor", "currency", "merchant_id", "terminal_id", "txn_at", "acquirer", "channel", "payout_id",
    "terminal_file", "terminal_line", "settlement_file", "settlement_line", "bank_file", "bank_line", "file_missing",
    "detail",
)  # fmt: skip
_SIDES = {
    "terminal log": "终端流水 Terminal log",
    "settlement": "清算文件 Settlement file",
    "bank": "银行对账单 Bank statement",
}


@dataclass(frozen=True, kw_only=True)
class Pack:
    """A finished pack.

    Attributes:
        path: The zip.
        facts: What the audit log keeps of it, ready for JSON.
        sha256: Of the zip.
        run_date: Night whose tables it was made from.
        breaks, told: Breaks of the case, and those of them that are told one by one.
        lacking: Characters that the font of the pages does not have.
    """

    path: Path
    facts: dict[str, Any]
    sha256: str
    run_date: date
    breaks: int
    told: int
    lacking: str


def build_pack(settings: Settings, complaint: Complaint, folder: Path, *, by: str | None = None) -> Pack:
    """Write the pack of a case into a folder and record that; a pack of the same name is replaced.

    Args:
        settings: Where state lives.
        complaint: The case.
        folder: Made when it is not there.
        by: Who makes it; by default the user of this process.

    Raises:
        UsageError: The case has no breaks, or one of them is not published.
        PosreconError: The font of the pages is missing.
    """
    if not complaint.break_ids:
        raise UsageError(
            f"{complaint.reference}: the case has no breaks, so there is nothing to complain about.",
            next_step="Add its breaks first: posrecon cases show says what it holds.",
        )
    # The other side must know the account; whoever builds a pack is authorised to see it whole.
    with open_published(settings, is_whole=True) as published:
        rows = breaks_of(published, complaint.break_ids)
        stories = stories_of(settings, published, rows[:TOLD])
        received = _received_files(published, rows, stories)
    run_date: date = max(row["run_date"] for row in rows)
    pages = _pages(settings, complaint, run_date, rows, stories, received)
    parts = {
        "complaint.pdf": pages.content(),
        "breaks.csv": csv_text(rows, _CSV_COLUMNS).encode("utf-8-sig"),
        **_evidence_parts(stories),
    }
    manifest = {
        "case": complaint.reference,
        "run_date": run_date.isoformat(),
        "parts": [
            {"name": name, "bytes": len(data), "sha256": _sha256(data)} for name, data in parts.items()
        ],
        "received_files": received,
    }
    parts["manifest.json"] = json.dumps(manifest, ensure_ascii=False, indent=2).encode() + b"\n"
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / f"complaint_{complaint.reference}.zip"
    with written_aside(target) as aside:
        _write_zip(aside, parts, run_date)
    sha256 = sha256_of(target)
    facts = {
        "what": "complaint_pack", "case": complaint.reference, "file": target.name, "sha256": sha256,
        "run_date": run_date.isoformat(), "breaks": len(rows), "break_ids": list(complaint.break_ids),
    }  # fmt: skip
    record(settings, "export", facts, by=by)
    return Pack(
        path=target,
        facts=facts,
        sha256=sha256,
        run_date=run_date,
        breaks=len(rows),
        told=len(stories),
        lacking="".join(sorted(pages.lacking)),
    )


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _write_zip(target: Path, parts: dict[str, bytes], dated: date) -> None:
    with zipfile.ZipFile(target, "w", compression=zipfile.ZIP_DEFLATED) as archive:
        for name, data in parts.items():
            info = zipfile.ZipInfo(name, date_time=(dated.year, dated.month, dated.day, 0, 0, 0))
            info.compress_type = zipfile.ZIP_DEFLATED
            info.external_attr = 0o644 << 16
            archive.writestr(info, data)


def _received_files(
    published: duckdb.DuckDBPyConnection, rows: Sequence[Row], stories: Sequence[Story]
) -> list[dict[str, str]]:
    """Name and SHA-256 of every received file that the breaks rest on, and of those whose lines are shown with them."""
    ids = {row[f"{side}_file_id"] for row in rows for side in ("terminal", "settlement", "bank")} - {None}
    found = rows_of(
        published,
        "select distinct file_name as file, sha256 from fct_files where file_id in (select unnest(?)) "
        "and sha256 is not null order by all",
        [sorted(ids)],
    )
    files = {(str(row["file"]), str(row["sha256"])) for row in found}
    # The bank entry of a payout stands beside the break, not in it.
    files |= {(one.file, one.sha256) for story in stories for one in story.evidence if one.sha256 is not None}
    return [{"file": file, "sha256": sha256} for file, sha256 in sorted(files)]


def _evidence_parts(stories: Sequence[Story]) -> dict[str, bytes]:
    parts = {}
    for number, story in enumerate(stories, start=1):
        for place, one in enumerate(story.evidence, start=1):
            head = f"{one.file}\nline {one.line}\nSHA-256 of the received file {one.sha256 or 'unknown'}\n\n"
            body = one.text if one.text is not None else f"({one.problem})"
            parts[f"evidence/{number:03}_{place}_{one.side.replace(' ', '_')}.txt"] = (
                f"{head}{body}\n".encode()
            )
    return parts


# ------------------------------------------------------------------------------------------------ pages


def _pages(
    settings: Settings,
    complaint: Complaint,
    run_date: date,
    rows: Sequence[Row],
    stories: Sequence[Story],
    received: Sequence[dict[str, str]],
) -> Pages:
    pages = Pages(settings, title=f"争议申诉 Complaint {complaint.reference}", dated=run_date)
    pages.title(f"争议申诉 Complaint {complaint.reference}", complaint.title)
    answer = complaint.respond_by.isoformat() if complaint.respond_by else "-"
    pages.facts(
        [
            ("致 To", " ".join(part for part in (complaint.addressee_zh, complaint.addressee_en) if part)),
            ("联系方式 Contact", complaint.contact or "-"),
            ("请于此日前答复 Please answer by", answer),
            ("依据对账日 State of the night of", run_date.isoformat()),
            *_sums(rows),
        ]
    )
    pages.heading("争议清单 What is disputed")
    pages.table(
        [Column("#", 0.35), Column("类型 Kind", 3), Column("发现日 Found", 1.1), Column("商户 Merchant", 1.1),
         Column("状态 Status", 0.9), Column("涉及金额 At risk", 1.5, is_money=True)],
        [
            (
                str(number),
                f"{row['label_zh']} {row['label_en']}",
                row["opened_on"].isoformat(),
                row["merchant_id"] or "-",
                "未结 open" if row["status"] == "open" else "已结 closed",
                format_money(row["amount_at_risk_minor"], row["currency"]),
            )
            for number, row in enumerate(rows[:TOLD], start=1)
        ],
    )  # fmt: skip
    if len(rows) > len(stories):
        rest = len(rows) - len(stories)
        pages.note(f"其余 {rest} 笔见 breaks.csv。 {rest} more stand in breaks.csv.")
    for number, story in enumerate(stories, start=1):
        _tell(pages, number, story)
    pages.heading("所依据的文件 Received files")
    pages.table(
        [Column("文件 File", 2), Column("SHA-256", 3)], [(one["file"], one["sha256"]) for one in received]
    )
    pages.note(
        "卡号已屏蔽,不含持卡人姓名。原始文件加密存档,可按 SHA-256 核对。 Card numbers are masked and no cardholder is "
        "named. The received files are kept encrypted and can be checked against their SHA-256."
    )
    return pages


def _sums(rows: Sequence[Row]) -> list[tuple[str, str]]:
    """Count and money at risk, by currency."""
    totals: dict[str, int] = {}
    for row in rows:
        currency = row["currency"] or "-"
        totals[currency] = totals.get(currency, 0) + int(row["amount_at_risk_minor"] or 0)
    return [
        ("笔数 Count", f"{len(rows):,}"),
        *(
            ("涉及金额 Amount at risk", format_money(total, currency))
            for currency, total in sorted(totals.items())
        ),
    ]


def _tell(pages: Pages, number: int, story: Story) -> None:
    pages.heading(f"{number}. {story.label['zh']} {story.label['en']}")
    pages.facts(story.facts)
    for part, label in (("expected", "约定 Agreed"), ("found", "事实 Found"), ("request", "请求 Request")):
        pages.facts([(label, f"{story.said['zh'][part]}\n{story.said['en'][part]}")])
    pages.table(
        [Column("日期 Date", 1), Column("经过 Timeline", 4)],
        [(day.isoformat(), f"{zh} {en}") for day, zh, en in story.timeline],
    )
    if not story.evidence:
        pages.note(
            "无原始记录:记录缺失即为本项争议。 No record as received: that it is missing is the dispute."
        )
    for one in story.evidence:
        _show(pages, one)


def _show(pages: Pages, one: Evidence) -> None:
    label = f"{_SIDES[one.side]} · {one.file} · 行 line {one.line} · SHA-256 {one.sha256 or '-'}"
    pages.received(label, one.text if one.text is not None else f"({one.problem})")
