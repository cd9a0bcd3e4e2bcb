"""The report of a night: JSON for machines, Markdown for people. The same figures give the same bytes."""

from datetime import date
from pathlib import Path
from typing import Any

from posrecon.files import write_json, write_text
from posrecon.money import format_minor, format_money
from posrecon.settings import Settings
from posrecon.warehouse.manifests import read_manifest

STATE_WORDS = {
    "matched": "matched",
    "pending": "pending (not yet due)",
    "unmatched": "unmatched",
    "ambiguous": "ambiguous",
    "excluded": "excluded",
}


def report_paths(settings: Settings, run_date: date) -> tuple[Path, Path]:
    """Where the JSON and the Markdown report of a night lie."""
    folder = settings.published / "reports"
    return folder / f"{run_date}.json", folder / f"{run_date}.md"


def write_report(settings: Settings, run_date: date, figures: dict[str, Any], digest: str) -> None:
    """Write both forms of the report."""
    as_json, as_markdown = report_paths(settings, run_date)
    write_json(as_json, {**figures, "digest": digest})
    write_text(as_markdown, markdown(figures, digest))


def markdown(figures: dict[str, Any], digest: str) -> str:
    """The readable report."""
    lines = [f"# Night of {figures['run_date']}", ""]
    lines += [headline(figures), ""]
    lines += ["## Files", ""]
    lines += _table(["state", "files"], [[state, str(count)] for state, count in figures["files"].items()])
    if figures["file_problems"]:
        lines += ["", "Files that need a look:", ""]
        lines += [f"- {problem_text(problem)}" for problem in figures["file_problems"]]
    if figures["statement_gaps"]:
        lines += ["", "Statements that do not follow one another:", ""]
        lines += [f"- {text}" for gap in figures["statement_gaps"] for text in gap_texts(gap)]
    if figures["withdrawals"]:
        lines += ["", "Withdrawals from wallets that the bank does not show as they were sent:", ""]
        lines += [f"- {text}" for row in figures["withdrawals"] for text in withdrawal_texts(row)]
    lines += ["", "## Items", ""]
    lines += _table(
        ["what", "count"],
        [
            ["terminal events read", f"{figures['events']:,}"],
            ["settlement lines read", f"{figures['lines']:,}"],
            ["bank entries read", f"{figures['bank_entries']:,}"],
            ["records in quarantine", f"{figures['quarantined_records']:,}"],
            *[[STATE_WORDS[state], f"{count:,}"] for state, count in figures["states"].items()],
        ],
    )
    lines += ["", "## Breaks", ""]
    lines += _table(
        ["break", "opened tonight", "closed tonight", "open", "open amount"],
        [
            [
                row["break_type"],
                f"{row['opened_tonight']:,}",
                f"{row['closed_tonight']:,}",
                f"{row['open']:,}",
                format_money(row["open_minor"], row["currency"]),
            ]
            for row in figures["breaks"]
        ],
    )
    lines += ["", "## Dispute candidates", ""]
    lines += _table(
        ["break", "candidates", "amount"],
        [
            [row["break_type"], f"{row['candidates']:,}", format_money(row["amount_minor"], row["currency"])]
            for row in figures["candidates"]
        ],
    )
    lines += ["", "## Explained", ""]
    explained = figures["explained"]
    lines += _table(
        ["side", "% of money", "% of items"],
        [
            *[[side, pct, explained["items_by_side"][side]] for side, pct in explained["by_side"].items()],
            ["payouts", explained["payouts"]["pct"], explained["payouts"]["items_pct"]],
        ],
    )
    lines += ["", f"Digest of the night: `{digest}`", ""]
    return "\n".join(lines)


def headline(figures: dict[str, Any]) -> str:
    """The night in one sentence."""
    states = figures["states"]
    opened = sum(row["opened_tonight"] for row in figures["breaks"])
    still = sum(row["open"] for row in figures["breaks"])
    candidates = sum(row["candidates"] for row in figures["candidates"])
    return (
        f"{states['matched']:,} items matched, {states['pending']:,} pending, "
        f"{states['unmatched']:,} unmatched, {states['ambiguous']:,} ambiguous; "
        f"{opened:,} breaks opened tonight, {still:,} open; "
        f"{candidates:,} dispute candidates; {figures['explained']['pct']} % explained, "
        f"of payouts {figures['explained']['payouts']['pct']} %."
    )


def notification(figures: dict[str, Any], *, report: Path | None = None) -> str:
    """Plain text for a chat or mail: the headline, files and statements that need a look, the largest open breaks."""
    lines = [f"posrecon, night of {figures['run_date']}: {headline(figures)}"]
    lines += look_lines(figures)
    largest = sorted(figures["breaks"], key=lambda row: (-row["open_minor"], row["break_type"]))
    lines += [
        f"OPEN {row['break_type']}: {row['open']:,} ({format_money(row['open_minor'], row['currency'])})"
        for row in largest[:5]
        if row["open"]
    ]
    if report is not None:
        lines.append(f"Report: {report}")
    return "\n".join(lines)


def night_text(settings: Settings, run_date: date) -> str:
    """The notification of a published night, from its manifest."""
    figures = read_manifest(settings, run_date).summary
    return notification(figures, report=report_paths(settings, run_date)[1])


def problem_text(problem: dict[str, Any]) -> str:
    """One file that is missing or refused, with the reason."""
    name = problem["file_name"] or problem["logical_name"]
    reason = f": {problem['reason']}" if problem["reason"] else ""
    return f"{problem['state']} {name} ({problem['source']}){reason}"


def look_lines(figures: dict[str, Any]) -> list[str]:
    """What of the night needs a look beside the breaks: files, bank statements, withdrawals; one line each."""
    lines = [f"FILE {problem_text(problem)}" for problem in figures["file_problems"]]
    # The manifest of a night from before these were looked for has none.
    lines += [f"GAP {gap_texts(gap)[0]}" for gap in figures.get("statement_gaps", [])]
    lines += [
        f"WITHDRAWAL {withdrawal_texts(row)[0]}"
        for row in figures.get("withdrawals", [])
        if not row["file_missing"]
    ]
    return lines


def gap_texts(gap: dict[str, Any]) -> tuple[str, str]:
    """What is missing between two statements of an account and what to do, in English and in Chinese."""
    currency = gap["currency"]
    opening, closing, difference = (
        format_minor(gap[name], currency)
        for name in ("opening_minor", "previous_closing_minor", "difference_minor")
    )
    numbers, pages = gap["missing_numbers"], gap["missing_pages"]
    is_awaited = bool(gap["file_missing"])
    one, other = (f" {gap[name]}" if gap[name] else "" for name in ("statement_no", "previous_statement_no"))
    english = (
        f"account {gap['account']}: statement{one} of {gap['statement_date']} ({gap['bank_file']}) opens with "
        f"{opening}, statement{other} of {gap['previous_date']} ({gap['previous_bank_file']}) closed with {closing}: "
        f"difference {difference} {currency}"
        + (f", {numbers} statement numbers between them" if numbers else "")
        + (f", {pages} pages between them" if pages else "")
        + (", a statement expected between them has not come" if is_awaited else "")
        + f"; open since {gap['opened_on']}. Ask the bank of the account for what lies between them and put it into "
        "the inbox."
    )
    chinese = (
        f"账户{gap['account']}:{gap['statement_date']}对账单{one}({gap['bank_file']})期初余额{opening},"
        f"{gap['previous_date']}对账单{other}({gap['previous_bank_file']})期末余额{closing},"
        f"相差{difference} {currency}"
        + (f",其间缺{numbers}个对账单号" if numbers else "")
        + (f",其间缺{pages}页" if pages else "")
        + (",其间应到的对账单未到" if is_awaited else "")
        + f";自{gap['opened_on']}起未解决。请向开户银行索取其间的对账单并放入收件目录。"
    )
    return english, chinese


def withdrawal_texts(row: dict[str, Any]) -> tuple[str, str]:
    """A withdrawal that did not arrive as it was sent, and what to do, in English and in Chinese."""
    sent, received, delta = (
        format_minor(row[name], row["currency"]) for name in ("amount_minor", "received_minor", "delta_minor")
    )
    english = (
        f"{row['acquirer']} {row['acquirer_merchant_id']}: withdrawal {row['entry_no']} of {row['booked_on']} "
        f"({row['wallet_file']} line {row['wallet_line']}), {sent} {row['currency']}, due {row['due_date']}: "
    )
    chinese = (
        f"{row['acquirer']} {row['acquirer_merchant_id']}:{row['booked_on']}提现{row['entry_no']}"
        f"({row['wallet_file']}第{row['wallet_line']}行),{sent} {row['currency']},应于{row['due_date']}到账,"
    )
    if row["state"] == "differs":
        english += f"the only credit for it is {received} ({row['bank_file']} entry {row['bank_line']}), {delta} apart"
        chinese += f"唯一可能的入账为{received}({row['bank_file']}第{row['bank_line']}笔),相差{delta}"
    else:
        english += "no credit at the bank"
        chinese += "银行无入账"
    if row["file_missing"]:
        english += "; a statement of the account has not come"
        chinese += ";该账户尚有对账单未到"
    return (
        english + ". Ask the wallet for the transfer reference and the bank to trace it.",
        chinese + "。请向支付机构索取划款凭证,并请开户银行查询。",
    )


def _table(header: list[str], rows: list[list[str]]) -> list[str]:
    if not rows:
        return ["None."]
    lines = ["| " + " | ".join(header) + " |", "|" + "---|" * len(header)]
    return lines + ["| " + " | ".join(row) + " |" for row in rows]
