"""The doors of a dispute and the clocks that run: what to do next, where, with what, and until when.

Both are dated reference tables (expectations/reference); the rule catalogue says which doors a rule knows. A limit is
judged by the rows in force on the night that marked the break, so a later change of the law does not move it.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from posrecon.banking_calendar import add_banking_days
from posrecon.disputes.models import Case, CaseBreak
from posrecon.disputes.states import OPEN_STATES, State
from posrecon.errors import UsageError
from posrecon.reference_tables import ReferenceRow, in_force, read_table
from posrecon.settings import Settings
from posrecon.validation.catalogue import Catalogue, Rule, load_for
from posrecon.validation.policy import CLOCKS, ROUTES

OWN_RECORDS = "merchant_records"
"""The merchant's own records come before every other door."""


@dataclass(frozen=True)
class Door:
    """Where a dispute can be taken.

    Attributes:
        route: Its name in the tables.
        topic: any, money or data_leak.
        step_no: Its place in the order.
        name_en: For people; likewise name_zh.
        contact: How to reach it; may be empty.
        needs_en: What it wants to see; likewise needs_zh.
    """

    route: str
    topic: str
    step_no: int
    name_en: str
    name_zh: str
    contact: str
    needs_en: str
    needs_zh: str


@dataclass(frozen=True)
class Limit:
    """A day by which something must have happened.

    Attributes:
        due: The last day.
        clock: Which clock says so.
        route: At which door.
        duty: act = ours to speak up; answer = theirs to answer.
        confidence: sourced, secondary or unverified.
        source: Where the clock is from.
    """

    due: date
    clock: str
    route: str
    duty: str
    confidence: str
    source: str


@dataclass(frozen=True)
class NextStep:
    """What to do next with a case.

    Attributes:
        action: The command: assign, evidence, submit or resolve; wait while an answer may still come.
        door: Where it leads; None when it leads nowhere else.
        by: Until when; None when no clock runs.
        overdue: Whether that day is over.
        text: The same in one sentence.
    """

    action: str
    door: Door | None
    by: date | None
    overdue: bool
    text: str


class RouteBook:
    """Doors and clocks, read once."""

    def __init__(
        self, doors: Sequence[ReferenceRow], clocks: Sequence[ReferenceRow], catalogue: Catalogue
    ) -> None:
        self._doors = tuple(doors)
        self._clocks = tuple(clocks)
        self._rules = {rule.rule_id: rule for rule in catalogue.dispute_rules}
        self._by_type = {rule.break_type: rule for rule in catalogue.dispute_rules}
        self._doors_on: dict[date, tuple[Door, ...]] = {}
        self._clocks_on: dict[date, tuple[ReferenceRow, ...]] = {}

    @classmethod
    def load(cls, settings: Settings) -> "RouteBook":
        """Read the tables and the catalogue of the project.

        Raises:
            UsageError: A table contradicts itself; names file and line.
        """
        folder = settings.expectations_dir / "reference"
        return cls(read_table(folder, ROUTES), read_table(folder, CLOCKS), load_for(settings))

    @property
    def rules(self) -> tuple[Rule, ...]:
        """The dispute rules of the catalogue."""
        return tuple(self._rules.values())

    def rule_of(self, break_type: str) -> tuple[str, str]:
        """Rule and severity of a type of break that is no candidate.

        Raises:
            UsageError: No rule speaks of the type.
        """
        rule = self._by_type.get(break_type)
        if rule is None:
            raise UsageError(
                f"No rule of the catalogue speaks of {break_type}.",
                next_step="Add it to expectations/rules.yml.",
            )
        return rule.rule_id, rule.severity

    def remedies(self, rule_ids: Iterable[str]) -> list[dict[str, str]]:
        """What the catalogue says to do, rule by rule."""
        return [
            {"rule_id": rule_id, "remedy_en": rule.remedy_en, "remedy_zh": rule.remedy_zh}
            for rule_id in sorted(set(rule_ids))
            if (rule := self._rules.get(rule_id)) is not None
        ]

    def door(self, route: str, day: date) -> Door | None:
        """One door as it is on a day."""
        return next((door for door in self.doors(day) if door.route == route), None)

    def doors(self, day: date) -> tuple[Door, ...]:
        """Every door on a day, in order."""
        if day not in self._doors_on:
            self._doors_on[day] = self._read_doors(day)
        return self._doors_on[day]

    def _clocks_in_force(self, day: date) -> tuple[ReferenceRow, ...]:
        if day not in self._clocks_on:
            self._clocks_on[day] = in_force(self._clocks, day)
        return self._clocks_on[day]

    def _read_doors(self, day: date) -> tuple[Door, ...]:
        found = [
            Door(**{name: row.values[name] or "" for name in ROUTES_SHOWN if name != "step_no"}, step_no=step)
            for row in in_force(self._doors, day)
            if (step := row.values["step_no"]) is not None
        ]
        return tuple(sorted(found, key=lambda door: (door.step_no, door.route)))

    def chain(self, case: Case, breaks: Iterable[CaseBreak], day: date) -> list[Door]:
        """The doors that a case may knock on, in order."""
        if case.topic != "money":
            return [door for door in self.doors(day) if door.topic in ("any", case.topic)]
        named: set[str] = set()
        for rule_id in {found.rule_id for found in breaks}:
            rule = self._rules.get(rule_id)
            named.update((rule.route, *rule.escalation) if rule is not None else ())
        return [door for door in self.doors(day) if door.route in named]

    def limit(self, case: Case, breaks: Sequence[CaseBreak]) -> Limit | None:
        """The earliest limit that applies to a case now; None when no clock runs.

        Before it is submitted, every door's clock counts; afterwards the answer of the door where it lies, and the
        clocks of the doors beyond.
        """
        if case.state not in OPEN_STATES:
            return None
        counted = [found for found in breaks if found.status == "open"] or list(breaks)
        # Thousands of breaks of one cause share a few rules and days.
        facts = {(one.rule_id, one.happened_on, one.opened_on, one.marked_on) for one in counted}
        limits = [limit for fact in sorted(facts) for limit in self._acts(case, *fact)]
        if case.topic != "money":
            limits += self._acts_of(case, case.opened_on, case.opened_on, case.opened_on, "*", None)
        if case.route is not None and case.submitted_on is not None:
            limits += [
                self._limit(row, case.submitted_on)
                for row in self._clocks_in_force(case.submitted_on)
                if row.values["duty"] == "answer" and row.values["route"] == case.route
            ]
        return min(limits, key=lambda limit: (limit.due, limit.clock), default=None)

    def next_step(self, case: Case, breaks: Sequence[CaseBreak], as_of: date) -> NextStep | None:
        """What to do next, judged on a day; None for a case that has ended."""
        if case.state not in OPEN_STATES:
            return None
        chain = self.chain(case, breaks, as_of)
        limit = self.limit(case, breaks)
        by = limit.due if limit else None
        overdue = by is not None and by < as_of
        if case.state in (State.NEW, State.ASSIGNED):
            own = self.door(OWN_RECORDS, as_of)
            if case.state == State.NEW:
                return NextStep("assign", None, by, overdue, "Give it to somebody.")
            needs = f" Needs: {own.needs_en}" if own else ""
            return NextStep(
                "evidence", own, by, overdue, f"Look at the own records and collect evidence.{needs}"
            )
        if case.state == State.EVIDENCE:
            return self._step_to(chain[:1], by, overdue, "Submit it to")
        beyond = self._beyond(case, chain)
        answer = self._answer(case)
        if answer is not None and answer.due >= as_of:
            return NextStep(
                "wait",
                self.door(answer.route, as_of),
                answer.due,
                False,
                f"Wait for the answer until {answer.due}.",
            )
        since = f"No answer by {answer.due}: escalate to" if answer else "Escalate to"
        return self._step_to(beyond[:1], answer.due if answer else by, True, since)

    def clocks(self, day: date) -> list[dict[str, object]]:
        """The limits in force on a day, for people."""
        names = [column.name for column in CLOCKS.all_columns]
        rows = sorted(
            self._clocks_in_force(day),
            key=lambda row: (self._place(row.values["route"], day), row.values["clock"]),
        )
        return [{name: row.values[name] for name in names} for row in rows]

    def _step_to(self, doors: Sequence[Door], by: date | None, overdue: bool, text: str) -> NextStep:
        if not doors:
            return NextStep(
                "resolve", None, by, overdue, "There is no further door: resolve it (won, lost, written_off)."
            )
        door = doors[0]
        contact = f" ({door.contact})" if door.contact else ""
        return NextStep(
            "submit", door, by, overdue, f"{text} {door.name_en}{contact}. Needs: {door.needs_en}"
        )

    def _answer(self, case: Case) -> Limit | None:
        if case.route is None or case.submitted_on is None:
            return None
        found = [
            self._limit(row, case.submitted_on)
            for row in self._clocks_in_force(case.submitted_on)
            if row.values["duty"] == "answer" and row.values["route"] == case.route
        ]
        return min(found, key=lambda limit: (limit.due, limit.clock), default=None)

    def _beyond(self, case: Case, chain: Sequence[Door]) -> list[Door]:
        """The doors after the one where the case lies."""
        routes = [door.route for door in chain]
        if case.route is None or case.route not in routes:
            return list(chain)
        return list(chain[routes.index(case.route) + 1 :])

    def _acts(
        self, case: Case, rule_id: str, happened_on: date, opened_on: date, judged_on: date
    ) -> list[Limit]:
        rule = self._rules.get(rule_id)
        if rule is None:
            return []
        routes = frozenset((rule.route, *rule.escalation))
        return self._acts_of(case, happened_on, opened_on, judged_on, rule_id, routes)

    def _acts_of(
        self,
        case: Case,
        happened_on: date,
        opened_on: date,
        judged_on: date,
        rule_id: str,
        routes: frozenset[str] | None,
    ) -> list[Limit]:
        if routes is None:
            routes = frozenset(
                door.route for door in self.doors(judged_on) if door.topic in ("any", case.topic)
            )
        limits = []
        for row in self._clocks_in_force(judged_on):
            values = row.values
            if (
                values["duty"] != "act"
                or values["route"] not in routes
                or values["rule_id"] not in ("*", rule_id)
            ):
                continue
            if case.route is not None and self._place(values["route"], judged_on) <= self._place(
                case.route, judged_on
            ):
                continue
            start = happened_on if values["starts_at"] == "transaction" else opened_on
            limits.append(self._limit(row, start))
        return limits

    def _place(self, route: str, day: date) -> tuple[int, str]:
        """Place of a door in the order, as `doors` has it."""
        found = self.door(route, day)
        return (found.step_no if found else 0, route)

    def _limit(self, row: ReferenceRow, start: date) -> Limit:
        values = row.values
        if values["day_kind"] == "banking":
            due = add_banking_days(start, values["days"])
        else:
            due = start + timedelta(days=values["days"])
        return Limit(
            due, values["clock"], values["route"], values["duty"], values["confidence"], values["source"]
        )


ROUTES_SHOWN = tuple(column.name for column in ROUTES.columns)
