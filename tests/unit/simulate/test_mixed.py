"""The same simulated transactions in other layouts, and labels that follow them."""

import csv
from datetime import date
from pathlib import Path

import pytest

from posrecon.landing.outcomes import read_files_before
from posrecon.settings import Settings
from posrecon.simulate.generator import DEFAULT_START, simulate
from posrecon.simulate.mixed import mix_feeds
from tests.unit.landing.files import land, raw, settings_of


def labels(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def homes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Settings]:
    """The same seed twice: as it always is, and mixed; both landed on every night."""
    found = {}
    for name in ("plain", "mixed"):
        settings = settings_of(tmp_path_factory.mktemp(name))
        written = simulate(settings.inbox, seed=3, nights=2, rows=300, start=DEFAULT_START)
        if name == "mixed":
            mix_feeds(written.out, written.truth)
        outcomes = land(settings, written.last_run_date)
        assert {outcome.state for outcome in outcomes} <= {"loaded", "duplicate"}, [
            outcome.reason for outcome in outcomes if outcome.state == "rejected"
        ]
        found[name] = settings
    return found


# Without what an acquirer changes that knows some sales by their authorisation alone.
EVENT = (
    "merchant_id", "terminal_id", "batch_no", "stan", "rrn", "txn_type", "channel", "card_masked",
    "card_token", "amount_minor", "currency", "txn_at", "business_date", "response_code", "orig_stan", "orig_batch_no",
    "orig_rrn", "merchant_order_no",
)  # fmt: skip
ENTRY = ("account", "value_date", "entry_date", "amount_minor", "currency", "acquirer", "narrative")
LINE = (
    "line_kind", "acquirer_merchant_id", "terminal_id", "txn_type", "card_masked", "card_type", "currency",
    "gross_minor", "fee_minor", "net_minor", "settlement_date",
)  # fmt: skip


@pytest.mark.parametrize(
    ("dataset", "columns"), [("terminal_events", EVENT), ("bank_entries", ENTRY), ("settlement_lines", LINE)]
)
def test_mixed_inbox__says_what_the_plain_one_says(
    homes: dict[str, Settings], dataset: str, columns: tuple[str, ...]
) -> None:
    said = {
        name: sorted(
            str([row[column] for column in columns])
            .replace("'allinpay'", "'unionpay'")
            .replace("'harbour'", "'unionpay'")
            .replace("ALLINPAY", "UNIONPAY")
            .replace("HARBOUR", "UNIONPAY")
            for row in raw(settings, dataset)
        )
        for name, settings in homes.items()
    }
    assert len(said["plain"]) > 10
    assert said["mixed"] == said["plain"]


@pytest.mark.parametrize(
    ("side", "dataset"), [("terminal", "terminal_events"), ("settlement", "settlement_lines")]
)
def test_labels__name_the_records_where_they_are_now(
    homes: dict[str, Settings], side: str, dataset: str
) -> None:
    found = {}
    for name, settings in homes.items():
        names = {outcome.file_no: outcome.file_name for _, outcome in read_files_before(settings, date.max)}
        records = {
            (names[row["file_no"]], str(row["line_no"])): (
                row["terminal_id"],
                row["card_masked"],
                row["txn_type"],
            )
            for row in raw(settings, dataset)
        }
        found[name] = sorted(
            (label["record_type"], label["break_type"], str(records[place]))
            for label in labels(settings.inbox / "truth.csv")
            if (place := (label[f"{side}_file"], label[f"{side}_line"])) in records
        )
    assert len(found["plain"]) > 100
    assert found["mixed"] == found["plain"]


def test_sales_known_by_their_authorisation_alone__share_a_code_and_nothing_else_with_the_terminal(
    homes: dict[str, Settings],
) -> None:
    names = {outcome.file_no: outcome.file_name for _, outcome in read_files_before(homes["mixed"], date.max)}
    found = {
        dataset: {(names[row["file_no"]], str(row["line_no"])): row for row in raw(homes["mixed"], dataset)}
        for dataset in ("terminal_events", "settlement_lines")
    }
    codes = []
    for label in labels(homes["mixed"].inbox / "truth.csv"):
        if label["record_type"] != "pair":
            continue
        event = found["terminal_events"][label["terminal_file"], label["terminal_line"]]
        line = found["settlement_lines"][label["settlement_file"], label["settlement_line"]]
        if line["acquirer"] == "harbour" and line["rrn"] is None and line["stan"] is None:
            assert line["auth_code"] == event["auth_code"]
            assert line["txn_local"].date() == event["business_date"]
            codes.append(
                (
                    line["acquirer_merchant_id"],
                    line["terminal_id"],
                    line["txn_local"].date(),
                    line["auth_code"],
                )
            )
    assert max(codes.count(code) for code in codes) == 2


def test_mixed_inbox__has_every_layout(homes: dict[str, Settings]) -> None:
    outcomes = [outcome for _, outcome in read_files_before(homes["mixed"], date.max)]
    sources = {
        "iso8583_log",
        "terminal_log",
        "bank_camt",
        "bank_mt940",
        "allinpay_pos",
        "harbour_pos",
        "unionpay_zm",
    }
    assert sources <= {one.source for one in outcomes}
    endings = {Path(one.file_name).suffix for one in outcomes if one.feed == "terminal_log"}
    assert endings >= {".csv", ".jsonl", ".parquet", ".log"}
