"""What people do with cases, on both databases."""

import json
import multiprocessing
import os
from collections.abc import Callable
from datetime import date
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import text
from sqlalchemy.orm import Session

from posrecon.audit.log import AuditError, log_files, read_records
from posrecon.disputes import database
from posrecon.disputes.database import ConflictError, open_engine, upgrade, writing
from posrecon.disputes.desk import Desk, case_number, desk
from posrecon.disputes.intake import take_in
from posrecon.disputes.models import Base, Case
from posrecon.disputes.states import TRANSITIONS, State, after, legal_actions
from posrecon.disputes.views import CaseFilter
from posrecon.errors import UsageError
from posrecon.landing.archive import attachments_vault, blob_path
from posrecon.proof.verify import verify
from posrecon.settings import Settings
from tests.unit.disputes import race
from tests.unit.disputes.conftest import home_on
from tests.unit.disputes.nights import FIRST, SECOND, THIRD, Break, actor, publish

SALE = Break("sale")
FEES = tuple(
    Break(
        f"fee-{n}", "fee_mismatch", amount_minor=n, terminal_id=f"T{n}", currency="JPY" if n == 3 else "CNY"
    )
    for n in (1, 2, 3)
)
LI, WANG = actor("Li"), actor("Wang")


def opened(settings: Settings, *breaks: Break) -> None:
    publish(settings, FIRST, *breaks)
    take_in(settings)


def state_of(cases: Desk, case_no: int) -> str:
    return str(cases.show(case_no, as_of=FIRST)["state"])


def test_case__walks_from_new_to_won__every_step_says_who_when_and_why(settings: Settings) -> None:
    opened(settings, SALE)
    with desk(settings) as cases:
        cases.assign([1], "Li", actor=WANG, why="she knows the acquirer")
        cases.start_evidence([1], actor=LI)
        cases.submit([1], actor=LI, why="sent by mail", on=date(2026, 11, 13))
        cases.resolve([1], "won", actor=LI, why="credited on 2026-11-20")
        found = cases.show(1, as_of=SECOND)
    assert found["state"] == "won"
    assert found["version"] == 5
    cause = "unsettled unionpay · M1 · T1 · 2026-11-11"
    steps = [
        (
            event["event_no"],
            event["who"],
            event["action"],
            event["state_before"],
            event["state_after"],
            event["why"],
        )
        for event in found["events"]
    ]
    assert steps == [
        (1, "posrecon", "open", None, "new", f"night {FIRST}: 1 break of one cause, {cause}"),
        (2, "Wang", "assign", "new", "assigned", "she knows the acquirer"),
        (3, "Li", "evidence", "assigned", "evidence", "collecting evidence"),
        (4, "Li", "submit", "evidence", "submitted", "sent by mail"),
        (5, "Li", "won", "submitted", "won", "credited on 2026-11-20"),
    ]  # fmt: skip
    assert [event["at"] for event in found["events"]] == [
        "2026-11-12T14:30:00+00:00",
        *["2026-11-13T01:00:00+00:00"] * 4,
    ]
    assert found["events"][3]["details"] == {
        "route": "acquirer", "route_before": None, "submitted_on": "2026-11-13",
    }  # fmt: skip


def test_every_action_in_every_state__is_legal_or_refused_with_the_legal_ones() -> None:
    for action, steps in TRANSITIONS.items():
        for state in State:
            if state in steps:
                assert after("C-1", state, action) == steps[state]
                continue
            with pytest.raises(UsageError) as caught:
                after("C-1", state, action)
            assert caught.value.what.startswith(f"C-1 is {state}: {action} is only possible from ")
            assert caught.value.next_step == f"Possible now: {', '.join(legal_actions(state))}."


def test_illegal_transition__changes_nothing(settings: Settings) -> None:
    opened(settings, SALE)
    with desk(settings) as cases:
        before = cases.show(1, as_of=FIRST)
        with pytest.raises(
            UsageError, match="C-1 is new: submit is only possible from evidence, submitted"
        ) as caught:
            cases.submit([1], actor=LI, why="too early")
        assert caught.value.next_step == "Possible now: assign, written_off, hold, release, note, attach."
        assert cases.show(1, as_of=FIRST) == before


@pytest.mark.parametrize("text", ["C-99", "99"])
def test_unknown_case__is_named_with_the_newest_one(sqlite: Settings, text: str) -> None:
    opened(sqlite, SALE)
    with (
        desk(sqlite) as cases,
        pytest.raises(UsageError, match=r"There is no case C-99; the newest is C-1\."),
    ):
        cases.show(case_number(text), as_of=FIRST)


@pytest.mark.parametrize("text", ["", "C-", "-1", "one", "C-1x", "1" * 30, "²"])
def test_case_number__that_is_none__is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="is no case"):
        case_number(text)


def test_a_step_without_a_reason_or_person__is_refused(sqlite: Settings) -> None:
    opened(sqlite, SALE)
    with desk(sqlite) as cases:
        refused: list[Callable[[], object]] = [
            lambda: cases.resolve([1], "written_off", actor=LI, why="  "),
            lambda: cases.hold([1], actor=LI, why=""),
            lambda: cases.assign([1], " ", actor=LI),
            lambda: cases.note([1], "", actor=LI),
        ]
        for step in refused:
            with pytest.raises(UsageError, match="is needed"):
                step()
        assert len(cases.show(1, as_of=FIRST)["events"]) == 1


def test_words__too_long_or_with_nul__are_refused_or_cleaned_alike_on_both_databases(
    settings: Settings,
) -> None:
    opened(settings, SALE)
    with desk(settings) as cases:
        with pytest.raises(UsageError, match=r"A person \(--to\) has 201 characters, expected at most 200"):
            cases.assign([1], "L" * 201, actor=LI)
        with pytest.raises(UsageError, match="A text has 20,001 characters"):
            cases.note([1], "x" * 20_001, actor=LI)
        cases.note([1], "a\0b", actor=LI)
        assert cases.show(1, as_of=FIRST)["events"][-1]["why"] == "ab"


def test_reopen__puts_a_case_back_before_it_was_submitted(settings: Settings) -> None:
    opened(settings, SALE)
    with desk(settings) as cases:
        cases.assign([1], "Li", actor=LI)
        cases.start_evidence([1], actor=LI)
        cases.submit([1], actor=LI, why="sent")
        cases.resolve([1], "lost", actor=LI, why="refused by the acquirer")
        ended = cases.show(1, as_of=SECOND)
        cases.reopen([1], actor=WANG, why="the slip was found")
        found = cases.show(1, as_of=SECOND)
    assert (ended["ended_on"], ended["next_step"], ended["respond_by"]) == ("2026-11-13", None, None)
    assert (found["state"], found["route"], found["submitted_on"], found["ended_on"]) == (
        "assigned",
        None,
        None,
        None,
    )
    assert found["respond_by"] == "2026-12-11"


def test_assigned_case__is_taken_over_only_when_that_is_said(settings: Settings) -> None:
    opened(settings, SALE)
    with desk(settings) as cases:
        cases.assign([1], "Li", actor=LI)
        with pytest.raises(ConflictError, match="C-1 is already assigned to Li; nothing was changed"):
            cases.assign([1], "Wang", actor=WANG)
        cases.assign([1], "Wang", actor=WANG, take_over=True, why="Li is on leave")
        found = cases.show(1, as_of=FIRST)
    assert (found["assignee"], found["events"][-1]["details"]) == (
        "Wang",
        {"assignee": "Wang", "assignee_before": "Li"},
    )


def test_bulk__one_case_that_cannot__changes_none_and_says_which(settings: Settings) -> None:
    opened(settings, SALE, *FEES, Break("other", "amount_mismatch"))
    with desk(settings) as cases:
        cases.assign([2], "Li", actor=LI)
        with pytest.raises(
            UsageError, match=r"2 of 3 cases cannot be changed, so none was: C-1 is new: .* C-3 is new"
        ):
            cases.start_evidence([3, 1, 2], actor=LI)
        assert [state_of(cases, number) for number in (1, 2, 3)] == ["new", "assigned", "new"]
        numbers = cases.case_nos(CaseFilter(states=(State.NEW,)))
        cases.assign(numbers, "Wang", actor=WANG)
        assert [cases.show(number, as_of=FIRST)["assignee"] for number in (1, 2, 3)] == ["Wang", "Li", "Wang"]


def test_money_of_a_case__is_counted_by_currency(settings: Settings) -> None:
    opened(settings, *FEES)
    with desk(settings) as cases:
        rows, total = cases.find(CaseFilter(), as_of=FIRST)
    assert total == 1
    assert rows[0]["money"] == [
        {"currency": "CNY", "breaks": 2, "amount_minor": 3, "open_breaks": 2, "open_minor": 3},
        {"currency": "JPY", "breaks": 1, "amount_minor": 3, "open_breaks": 1, "open_minor": 3},
    ]


@pytest.mark.parametrize(
    ("wanted", "kinds"),
    [
        (CaseFilter(merchant_id="M2"), {"transaction"}),
        (CaseFilter(terminal_id="T2"), {"fees"}),
        (CaseFilter(break_type="fee_mismatch"), {"fees"}),
        (CaseFilter(rule_id="DISP-AMOUNT-MISMATCH"), {"transaction"}),
        (CaseFilter(cause_kind="fees"), {"fees"}),
        (CaseFilter(severity="high"), {"unsettled", "transaction"}),
        (CaseFilter(assignee="Li"), {"transaction"}),
        (CaseFilter(unassigned=True), {"unsettled", "fees"}),
        (CaseFilter(held=True), {"transaction"}),
        (CaseFilter(states=(State.ASSIGNED,)), {"transaction"}),
        (CaseFilter(ended=True), set()),
        (CaseFilter(overdue_on=date(2026, 12, 12)), {"unsettled", "transaction", "fees"}),
        (CaseFilter(overdue_on=date(2026, 12, 11)), set()),
        (CaseFilter(acquirer="wechat"), set()),
        (CaseFilter(route="acquirer"), set()),
    ],
)
def test_filter__finds_what_it_says(sqlite: Settings, wanted: CaseFilter, kinds: set[str]) -> None:
    opened(sqlite, SALE, Break("other", "amount_mismatch", merchant_id="M2"), *FEES)
    with desk(sqlite) as cases:
        amount = cases.case_nos(CaseFilter(cause_kind="transaction"))
        cases.assign(amount, "Li", actor=LI)
        cases.hold(amount, actor=LI, why="asking")
        rows, total = cases.find(wanted, as_of=FIRST)
    assert {row["cause_kind"] for row in rows} == kinds
    assert total == len(kinds)


# ------------------------------------------------------------------------------------------------ two people


def test_processes_race_for_one_case__one_wins__the_others_get_a_clear_error(settings: Settings) -> None:
    opened(settings, SALE)
    context = multiprocessing.get_context("spawn")
    gate, told = context.Barrier(3), context.Queue()
    url = settings.cases_url.get_secret_value() if settings.cases_url else ""
    racers = [
        context.Process(target=race.assign, args=(url, str(settings.home), name, gate, told))
        for name in ("Li", "Wang", "Zhao")
    ]
    for racer in racers:
        racer.start()
    said = dict(told.get(timeout=120) for _ in racers)
    for racer in racers:
        racer.join(timeout=60)
        assert racer.exitcode == 0
    winners = [name for name, what in said.items() if what == "won"]
    assert len(winners) == 1
    for name in said.keys() - set(winners):
        assert said[name].startswith(
            f"C-1 is at version 2, you looked at 1: {winners[0]} did assign at 2026-11-13"
        )
        assert said[name].endswith("Nothing of your change was written.")
    with desk(settings) as cases:
        found = cases.show(1, as_of=FIRST)
    assert (found["assignee"], len(found["events"])) == (winners[0], 2)


def test_a_change_that_starts_from_an_old_version__is_refused_by_the_database_too(settings: Settings) -> None:
    opened(settings, SALE)
    with open_engine(settings) as engine:
        with Session(engine, expire_on_commit=False) as session:
            stale = session.get(Case, 1)
            assert stale is not None
            session.expunge(stale)
        with desk(settings) as cases:
            cases.note([1], "somebody was faster", actor=LI)
        stale.assignee = "Wang"
        with (
            pytest.raises(ConflictError, match="Somebody else changed the same case"),
            writing(engine) as session,
        ):
            session.add(stale)
        with desk(settings) as cases:
            assert cases.show(1, as_of=FIRST)["assignee"] is None


# ------------------------------------------------------------------------------------------------ attachments


def test_attachment__comes_back_byte_for_byte__and_lies_encrypted(settings: Settings, tmp_path: Path) -> None:
    opened(settings, SALE)
    content = os.urandom(1000) + b"a scanned slip"
    slip = tmp_path / "slip 6222021234567894.pdf"
    slip.write_bytes(content)
    with desk(settings) as cases:
        cases.attach(1, slip, actor=LI, note="the signed slip")
        (one,) = cases.show(1, as_of=FIRST)["attachments"]
        out = tmp_path / "out.pdf"
        cases.fetch(1, 1, out, actor=WANG)
    assert out.read_bytes() == content
    assert (one["size_bytes"], one["file_name"]) == (len(content), "slip 622202****7894.pdf")
    kept = [path for path in (settings.home / "attachments").rglob("*") if path.is_file()]
    assert any(one["sha256"] in path.name for path in kept)
    assert all(b"a scanned slip" not in path.read_bytes() for path in kept)


def test_attachment__empty__two_gigabytes__or_no_file__is_refused_before_it_is_read(
    sqlite: Settings, tmp_path: Path
) -> None:
    opened(sqlite, SALE)
    empty, huge = tmp_path / "empty.pdf", tmp_path / "huge.bin"
    empty.touch()
    with huge.open("wb") as stream:
        stream.truncate(2 * 1024**3)
    with desk(sqlite) as cases:
        for path, message in (
            (empty, "has 0 bytes"),
            (huge, "has 2,147,483,648 bytes, expected at most 104,857,600; it was not read"),
            (tmp_path, "is no plain file"),
            (tmp_path / "none.pdf", "No such file"),
        ):
            with pytest.raises(UsageError, match=message):
                cases.attach(1, path, actor=LI)
        with pytest.raises(UsageError, match="There is no case C-7"):
            cases.attach(7, huge, actor=LI)
        assert cases.show(1, as_of=FIRST)["attachments"] == []
    assert not (sqlite.home / "attachments").exists()


def test_attachment__refused_by_the_case__leaves_no_bytes_behind(sqlite: Settings, tmp_path: Path) -> None:
    opened(sqlite, SALE)
    slip = tmp_path / "slip.pdf"
    slip.write_bytes(b"slip")
    with desk(sqlite) as cases:
        with pytest.raises(ConflictError):
            cases.attach(1, slip, actor=LI, if_version=9)
        assert list((sqlite.home / "attachments").rglob("*.enc")) == []
        cases.attach(1, slip, actor=LI)
        with pytest.raises(UsageError, match=r"same content already: attachment 1, slip\.pdf"):
            cases.attach(1, slip, actor=LI)
        cases.fetch(1, 1, tmp_path / "again.pdf", actor=LI)
    assert (tmp_path / "again.pdf").read_bytes() == b"slip"


@pytest.mark.parametrize("at", [0, 15, 40, -1])
def test_attachment__one_bit_of_one_byte_or_the_whole_file_gone__is_found_and_named(
    sqlite: Settings, tmp_path: Path, at: int
) -> None:
    opened(sqlite, SALE)
    slip = tmp_path / "slip.pdf"
    slip.write_bytes(b"a scanned slip")
    with desk(sqlite) as cases:
        cases.attach(1, slip, actor=LI)
        (one,) = cases.show(1, as_of=FIRST)["attachments"]
    assert verify(sqlite, all_faults=True).attachments == 1
    kept = blob_path(attachments_vault(sqlite), one["sha256"])
    place = f"attachments/archive/blobs/{one['sha256']}.enc (slip.pdf, C-1)"
    content = bytearray(kept.read_bytes())

    content[at] ^= 1
    kept.write_bytes(content)
    (changed,) = [one for one in verify(sqlite, all_faults=True).faults if one.file == place]
    kept.unlink()
    (missing,) = [one for one in verify(sqlite, all_faults=True).faults if one.file == place]

    assert (changed.what, missing.what) == ("the attachment was changed", "the attachment is missing")
    assert changed.record == missing.record is not None


def test_attachment__that_the_log_knows_and_the_database_refused__is_not_said_to_be_missing(
    sqlite: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened(sqlite, SALE)
    slip = tmp_path / "slip.pdf"
    slip.write_bytes(b"a scanned slip")

    def lost(_: Session) -> None:
        raise OSError("the connection was lost")

    with desk(sqlite) as cases, monkeypatch.context() as patched:
        patched.setattr(Session, "commit", lost)
        patched.setattr("sqlalchemy.orm.session.SessionTransaction.commit", lambda *_, **__: lost(_))
        with pytest.raises(OSError, match="the connection was lost"):
            cases.attach(1, slip, actor=LI)
    assert not [one for one in verify(sqlite, all_faults=True).faults if "attachment" in one.what]


def test_note__with_a_whole_card_number__keeps_its_mask_only(sqlite: Settings) -> None:
    opened(sqlite, SALE)
    with desk(sqlite) as cases:
        cases.note([1], "card 6222021234567894 of merchant 898440353110001", actor=LI)
        assert (
            cases.show(1, as_of=FIRST)["events"][-1]["why"]
            == "card 622202****7894 of merchant 898440353110001"
        )
        cases.note(
            [1], "he reads 6222 0212 3456 7894 from the slip; call 138 0013 8000, RRN 631522914714", actor=LI
        )
        assert (
            cases.show(1, as_of=FIRST)["events"][-1]["why"]
            == "he reads 622202****7894 from the slip; call 138 0013 8000, RRN 631522914714"
        )
    kept = (sqlite.home / "cases.sqlite").read_bytes()
    assert b"6222021234567894" not in kept
    assert b"6222 0212 3456 7894" not in kept


# ------------------------------------------------------------------------------------------------ audit


def test_every_step__is_a_record_of_the_audit_log__a_refused_one_is_none(
    sqlite: Settings, tmp_path: Path
) -> None:
    opened(sqlite, SALE)
    slip = tmp_path / "slip.pdf"
    slip.write_bytes(b"slip")
    with desk(sqlite) as cases:
        cases.assign([1], "Li", actor=WANG)
        with pytest.raises(UsageError):
            cases.submit([1], actor=WANG, why="too early")
        cases.attach(1, slip, actor=LI)
        cases.fetch(1, 1, tmp_path / "out.pdf", actor=WANG)
    take_in(sqlite)
    found = [(one.kind, one.by, one.payload.get("action")) for one in read_records(sqlite)]
    assert found == [
        ("cases_taken_in", "posrecon", None), ("case_changed", "Wang", "assign"), ("case_changed", "Li", "attach"),
        ("case_changed", "Wang", "fetch"),
    ]  # fmt: skip


def test_a_step_that_the_audit_log_refuses__is_not_taken(sqlite: Settings) -> None:
    opened(sqlite, SALE)
    (log,) = log_files(sqlite)
    log.write_bytes(log.read_bytes()[:-30] + b'"broken"}\n')
    with desk(sqlite) as cases:
        with pytest.raises(AuditError):
            cases.assign([1], "Li", actor=LI)
        assert cases.show(1, as_of=FIRST)["state"] == "new"


# ------------------------------------------------------------------------------------------------ both databases


def a_history(settings: Settings, slip: Path) -> str:
    """Three nights and what people did between them, as JSON."""
    payout = Break(
        "payout", "payout_short", terminal_id=None, payout_id="unionpay:M1:2026-11-11", txn_at=None
    )
    gap, lost = Break("gap", "stan_gap"), Break("lost", "missing_in_terminal_log")
    waiting = Break("waiting", file_missing=True, detail='{"clearing_date": "2026-11-11"}')
    publish(settings, FIRST, SALE, *FEES, payout, gap, lost, waiting)
    take_in(settings)
    with desk(settings) as cases:
        numbers = {row["cause_kind"]: row["case_no"] for row in cases.find(CaseFilter(), as_of=FIRST)[0]}
        cases.assign(sorted(numbers.values()), "Li", actor=WANG)
        cases.attach(numbers["payout"], slip, actor=LI)
        cases.start_evidence([numbers["payout"], numbers["fees"]], actor=LI)
        cases.submit([numbers["payout"]], actor=LI, why="sent")
        cases.hold([numbers["terminal"]], actor=LI, why="a technician is coming")
    done = {"closed_by": "payout is funded"}
    publish(
        settings, SECOND, SALE, *FEES[:2], Break(**vars(FEES[2]) | {"withdrawn": "below materiality"}),
        Break(**vars(payout) | done), Break(**vars(gap) | {"closed_by": "uploaded"}),
        Break(**vars(lost) | {"closed_by": "matched"}), Break(**vars(waiting) | {"file_missing": False}),
        Break("late", "late_settlement", opened_on=SECOND),
    )  # fmt: skip
    take_in(settings)
    with desk(settings) as cases:
        cases.release([numbers["terminal"]], actor=LI, why="repaired")
        cases.reopen([numbers["payout"]], actor=WANG, why="the fee of the transfer is missing")
        cases.resolve([numbers["fees"]], "written_off", actor=WANG, why="three fen")
        cases.open_case("data_leak", "a list of cards was sent by mail", actor=WANG, why="found by Li")
        rows, _ = cases.find(CaseFilter(), as_of=THIRD)
        shown = [cases.show(row["case_no"], as_of=THIRD) for row in rows]
    return json.dumps({"list": rows, "cases": shown}, ensure_ascii=False, indent=1)


def test_the_same_history__on_sqlite_and_postgresql__is_the_same_json(
    request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    slip = tmp_path / "slip.pdf"
    slip.write_bytes(b"slip")
    first = a_history(home_on("sqlite", request, tmp_path / "one"), slip)
    second = a_history(home_on("postgresql", request, tmp_path / "two"), slip)
    assert first == second
    assert first.count('"action"') > 25


# ------------------------------------------------------------------------------------------------ tables


def test_migrations__make_exactly_the_tables_of_the_models(settings: Settings) -> None:
    with open_engine(settings) as engine, engine.connect() as connection:
        options = {"version_table": "case_schema", "compare_type": True}
        assert compare_metadata(MigrationContext.configure(connection, opts=options), Base.metadata) == []
    scripts = ScriptDirectory(str(Path(database.__file__).parent / "migrations"))
    assert scripts.get_current_head() == database.SCHEMA_REVISION


def test_upgrade__of_an_empty_database__and_again(settings: Settings) -> None:
    assert upgrade(settings) == (None, database.SCHEMA_REVISION)
    assert upgrade(settings) == (database.SCHEMA_REVISION, database.SCHEMA_REVISION)


@pytest.mark.parametrize(
    ("revision", "message"), [("0000", "posrecon cases upgrade"), ("9999", "Back the database up")]
)
def test_tables_of_another_release__are_not_touched(settings: Settings, revision: str, message: str) -> None:
    upgrade(settings)
    with open_engine(settings) as engine, writing(engine) as session:
        session.execute(text("update case_schema set version_num = :revision"), {"revision": revision})
    with (
        pytest.raises(UsageError, match=f"are at {revision}, this release needs 0001.*{message}"),
        desk(settings),
    ):
        pass
    if revision == "9999":
        with pytest.raises(UsageError, match="newer than this release"):
            upgrade(settings)


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("not a url", "POSRECON_CASES_URL is no database URL"),
        ("oracle://posrecon:geheim@nowhere/x", "there is no driver for oracle"),
        ("postgresql://posrecon:geheim@127.0.0.1:1/x", "the cases cannot be reached"),
    ],
)
def test_database_that_cannot_be_used__is_named_without_its_password(
    tmp_path: Path, url: str, message: str
) -> None:
    with pytest.raises(UsageError, match=message) as caught, desk(Settings(home=tmp_path, cases_url=url)):
        pass
    assert "geheim" not in str(caught.value)
