"""Whatever is logged, and by whom: no card number, no identity number, no name behind a label."""

import io
import itertools
import logging
import subprocess
import sys
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posrecon.redaction import Redaction, install, is_luhn, redacted, without_cards

# Test numbers of the card schemes: Luhn-valid, nobody's.
PAN = "6212345678901232"
PAN_19 = "6222021234567890128"


def luhn(body: str) -> str:
    """The number with the check digit that fits."""
    return next(
        f"{body}{digit}" for digit in range(10) if redacted(f"x {body}{digit} x") != f"x {body}{digit} x"
    )


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        (f"could not read {PAN}.", "could not read 621234****1232."),
        (f'"{PAN}" is no number', '"621234****1232" is no number'),
        ("card 6212 3456 7890 1232 declined", "card 621234****1232 declined"),
        ("card 6212-3456-7890-1232", "card 621234****1232"),
        ("4111111111111111,12.00", "411111****1111,12.00"),
        ("3782 822463 10005 and 3782-822463-10005", "378282****0005 and 378282****0005"),
        ("3056 930902 5904", "305693****5904"),
        ("卡号6222021234567894。", "卡号622202****7894。"),
        ("6222\u00a00212\u00a03456\u00a07894", "622202****7894"),
        ("6222\u30000212\u30003456\u30007894", "622202****7894"),
        ("持卡人姓名: 王小明, 金额 12.00", "持卡人姓名: ***, 金额 12.00"),
        ('{"cardholder_name": "Wang Xiaoming", "amount": 1}', '{"cardholder_name": "***", "amount": 1}'),
        ("card holder=WANG XIAOMING;x=1", "card holder=***;x=1"),
        ("证件号:11010519491231002X", "证件号:***"),
        ("id 11010519491231002X", "id ***"),
    ],
)
def test_text__what_names_a_card_or_a_person__is_hidden(text: str, clean: str) -> None:
    assert redacted(text) == clean


@pytest.mark.parametrize(
    "text",
    [
        "6212345678901233",  # the check digit is wrong
        "INN26111188ZM_898110000000037: line 812",
        "order 420000123420261111123456789012, RRN 631500000001, alipay 2088123412341234",
        "archive/blobs/9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08.enc",
        "621234******1232",
        f"a{PAN}b{'c' * 20}",
        "id 110105194912310021",
        # What people write into a case, with a right check digit by chance.
        "RRN 631522914714, STAN 000038, batch 000001",
        "call 138 0013 8000, +86 138 0013 8000 or 0755-8888 8888",
        "order 4200 0012 3420 2611 1112 3456 7890 12",
        "amounts 4000.50 5000.00 6000.25 7000.00",
        "CNY 4,111,111.11 of CNY 4,111,111,111.11",
        "from 2026-11-12 10:00:00 to 2026-11-12 23:59:59",
        "merchant 898440353110001, terminal 40000001, case C-12",
    ],
)
def test_text__other_references__stay_readable(text: str) -> None:
    assert redacted(text) == text


@pytest.mark.parametrize("cuts", [(4, 8, 12, 16), (6,)])
def test_card__of_nineteen_digits_in_groups__is_hidden(cuts: tuple[int, ...]) -> None:
    number = luhn("622202123456789012")
    places = [0, *cuts, len(number)]
    for gap in " -":
        written = gap.join(number[one:other] for one, other in itertools.pairwise(places))
        assert redacted(f"card {written}, twice") == f"card 622202****{number[-4:]}, twice"


@given(
    st.from_regex(r"[3-6][0-9]{12,18}", fullmatch=True).filter(is_luhn),
    st.sampled_from(["", " ", "-"]),
    st.text(alphabet="ab ,;:()/持卡", max_size=5),
)
def test_card__in_groups_of_four__never_survives(number: str, gap: str, around: str) -> None:
    written = gap.join(number[place : place + 4] for place in range(0, len(number), 4))
    clean = without_cards(f"{around}{written}{around}")
    assert clean == f"{around}{number[:6]}****{number[-4:]}{around}"


def test_card__of_nineteen_digits__is_hidden() -> None:
    body = "622202123456789012"
    number = luhn(body)
    assert redacted(f"pan={number}") == f"pan=622202****{number[-4:]}"


@pytest.fixture
def heard() -> Iterator[tuple[logging.Logger, io.StringIO]]:
    """A library's logger with its own handler, that does not know of us."""
    factory, hook = logging.getLogRecordFactory(), sys.excepthook
    install()
    install()
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    logger = logging.getLogger("another.package")
    logger.addHandler(handler)
    logger.propagate = False
    yield logger, stream
    logger.removeHandler(handler)
    logging.setLogRecordFactory(factory)
    sys.excepthook = hook


def test_log__message_arguments_and_traceback__are_redacted(
    heard: tuple[logging.Logger, io.StringIO],
) -> None:
    logger, stream = heard
    logger.warning("row %s of %s: %r", 3, "a.csv", {"card_no": PAN})
    logger.warning(f"already formatted {PAN}")  # noqa: G004 - as a careless library does
    try:
        int(f"{PAN}x")
    except ValueError:
        logger.exception("cannot convert")

    said = stream.getvalue()
    assert PAN not in said
    assert "621234****1232" not in said.splitlines()[0] or "row 3 of a.csv" in said
    assert said.count("621234****1232") >= 2
    assert "Traceback" in said


def test_log__nothing_to_hide__keeps_its_arguments() -> None:
    record = logging.LogRecord("x", logging.INFO, "f", 1, "task %s [%d]", ("parse", 3), None)

    assert Redaction().filter(record)
    assert record.args == ("parse", 3)


def test_log__arguments_that_do_not_fit__are_not_our_fault() -> None:
    record = logging.LogRecord("x", logging.INFO, "f", 1, "%d", ("text",), None)

    assert Redaction().filter(record)


def test_uncaught_exception__is_redacted() -> None:
    code = f"from posrecon.redaction import install; install(); raise ValueError('line: {PAN}')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)

    assert done.returncode == 1
    assert PAN not in done.stderr.split("raise ValueError")[0]
    assert "ValueError: line: 621234****1232" in done.stderr


@pytest.mark.parametrize("module", ["posrecon.cli", "posrecon.airflow_adapter"])
def test_process__that_starts_at_the_command_line_or_in_airflow__redacts(module: str) -> None:
    start = "posrecon.cli.run(['status', '--json'])" if module == "posrecon.cli" else ""
    code = (
        f"import logging, sys, {module}\n{start}\n"
        "handler = logging.StreamHandler(sys.stderr)\n"
        "logger = logging.getLogger('anything'); logger.addHandler(handler); logger.propagate = False\n"
        f"logger.warning('card %s', '{PAN}')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)

    assert "card 621234****1232" in done.stderr
    assert PAN not in done.stderr
