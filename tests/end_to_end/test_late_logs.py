"""Logs that come a night or two late: gaps split and close, a batch adds up, originals are found, each on its night."""

from datetime import date

import pytest

from tests.end_to_end.homes import Home
from tests.unit.landing.files import MER_ID, ZM_NAME, event, log_of, zm_record

FIRST, SECOND, THIRD = date(2026, 11, 12), date(2026, 11, 13), date(2026, 11, 14)
MERCHANTS = (
    "merchant_id,name,city,settlement_account,unionpay_mer_id,wechat_mch_id,alipay_pid,currency\n"
    f"M1,面馆,上海,310500161836,{MER_ID},,,CNY\n"
)
# Five sales of 10.00 and a refund of 20.00, as the terminal printed them.
BATCH_CLOSE = (
    "merchant_id,terminal_id,batch_no,business_date,sale_count,sale_amount,refund_count,refund_amount,currency\n"
    "M1,10000001,000001,2026-11-11,5,50.00,1,20.00,CNY\n"
)


def put(home: Home, feed: str, name: str, content: bytes) -> None:
    path = home.path / "inbox" / feed / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def sale(stan: int, **fields: str) -> str:
    """A sale of 10.00 of the eleventh, at the minute of its trace number."""
    values = {"stan": f"{stan:06}", "rrn": f"63150000000{stan}", "txn_time": f"2026-11-11T10:{stan:02}:00"}
    return event(**{"merchant_id": "M1", "amount": "10.00"} | values | fields)


def settled(stan: int) -> bytes:
    return zm_record(
        stan=f"{stan:06}", rrn=f"63150000000{stan}", txn_time=f"111110{stan:02}00", amount="000000001000",
        fee="D000000000006", settled="C000000000994", query_id=f"20261111100000000000{stan}",
    )  # fmt: skip


def another_day(day: int) -> bytes:
    """The log of a day on which nothing was sold."""
    declined = {"batch_no": f"{day:06}", "response_code": "51", "txn_time": f"2026-11-{day}T10:00:00"}
    return log_of(event(merchant_id="M1", **declined))


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """Of eight records of the first day, 4 and 5 come with the second night, 3, 6 and 7 with the third."""
    home = Home(tmp_path_factory.mktemp("late_logs") / "home")
    put(home, "reference", "merchants.csv", MERCHANTS.encode())
    refund = sale(2, txn_type="refund", amount="20.00", orig_rrn="631500000006", rrn="631500000002")
    put(home, "terminal_log", "terminal_log_20261111.csv", log_of(sale(1), refund, sale(8)))
    put(home, "terminal_log", "batch_close_20261111.csv", BATCH_CLOSE.encode())
    put(home, "unionpay", ZM_NAME, b"".join(settled(stan) for stan in (1, 3, 4, 6, 8)))
    # Files of later days are missing, which no test here is about.
    home.run("night", "--date", str(FIRST), expect=3)
    put(home, "terminal_log", "terminal_log_20261112.csv", another_day(12))
    put(
        home, "terminal_log", "terminal_log_20261111_second.csv", log_of(sale(4), sale(5, response_code="51"))
    )
    home.run("night", "--date", str(SECOND), expect=3)
    put(home, "terminal_log", "terminal_log_20261113.csv", another_day(13))
    late = log_of(sale(3), sale(6), sale(7, response_code="51"))
    put(home, "terminal_log", "terminal_log_20261111_third.csv", late)
    home.run("night", "--date", str(THIRD), expect=3)
    return home


def breaks(home: Home, break_type: str, *more: str) -> list[tuple[object, ...]]:
    columns = ", ".join((*more, "opened_on", "closed_on"))
    return home.ask(
        f"select {columns} from marts.fct_breaks where break_type = '{break_type}' order by opened_on, {columns}"
    )


def test_gap__splits_with_the_first_late_log_and_closes_with_the_second(home: Home) -> None:
    run = "json_extract_string(detail, '$.first_missing')", "json_extract_string(detail, '$.last_missing')"
    assert breaks(home, "stan_gap", *run) == [
        ("000003", "000007", FIRST, SECOND),
        ("000003", "000003", SECOND, THIRD),
        ("000006", "000007", SECOND, THIRD),
    ]
    reasons = home.ask("select closed_by from marts.fct_breaks where break_type = 'stan_gap' order by 1")
    assert [reason.split(",")[0].split(" with")[0] for (reason,) in reasons] == [
        "2 of 5 numbers came",
        "all numbers came",
        "all numbers came",
    ]


def test_batch_total__is_another_break_after_each_late_log_until_it_adds_up(home: Home) -> None:
    logged = "json_extract_string(detail, '$.logged_sale_count')"
    assert breaks(home, "batch_out_of_balance", logged, "amount_at_risk_minor") == [
        ("2", 3000, FIRST, SECOND),
        ("3", 2000, SECOND, THIRD),
    ]


def test_settled_sale__is_no_longer_missing_on_the_night_that_logs_it(home: Home) -> None:
    assert breaks(home, "missing_in_terminal_log", "settlement_line") == [
        (2, FIRST, THIRD),
        (3, FIRST, SECOND),
        (4, FIRST, THIRD),
    ]
    paired = home.ask(
        "select stan, run_date from marts.fct_reconciliation where match_state = 'matched' order by stan"
    )
    assert paired == [
        ("000001", FIRST),
        ("000003", THIRD),
        ("000004", SECOND),
        ("000006", THIRD),
        ("000008", FIRST),
    ]


def test_refund__finds_its_late_original_and_is_held_against_it_on_that_night(home: Home) -> None:
    assert breaks(home, "orphan_reference", "terminal_line") == [(3, FIRST, THIRD)]
    found = breaks(
        home, "refund_exceeds_original", "terminal_line", "merchant_id", "acquirer", "amount_at_risk_minor"
    )
    assert found == [(3, "M1", "unionpay", 1000, THIRD, None)]


def test_payout__moves_late_sales_into_the_book(home: Home) -> None:
    parts = home.ask(
        "select run_date, part, line_count, amount_minor from marts.fct_payout_parts where step_no < 3 order by part"
    )
    assert parts == [(THIRD, "book", 5, 4970)]
