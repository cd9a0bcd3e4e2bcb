"""The life of a case: which action leads from which state to which."""

from enum import StrEnum

from posrecon.errors import UsageError


class State(StrEnum):
    """Where a case stands."""

    NEW = "new"
    ASSIGNED = "assigned"
    EVIDENCE = "evidence"
    SUBMITTED = "submitted"
    WON = "won"
    LOST = "lost"
    WRITTEN_OFF = "written_off"
    CLOSED = "closed"
    """It closed itself: every break of it is explained or withdrawn. Nobody won or lost anything."""


class Action(StrEnum):
    """What changes a case."""

    OPEN = "open"
    ADD_BREAKS = "add_breaks"
    SETTLE_BREAKS = "settle_breaks"
    ASSIGN = "assign"
    EVIDENCE = "evidence"
    SUBMIT = "submit"
    WON = "won"
    LOST = "lost"
    WRITE_OFF = "written_off"
    CLOSE = "close"
    REOPEN = "reopen"
    NOTE = "note"
    ATTACH = "attach"
    HOLD = "hold"
    RELEASE = "release"


OPEN_STATES = (State.NEW, State.ASSIGNED, State.EVIDENCE, State.SUBMITTED)
ENDED_STATES = (State.WON, State.LOST, State.WRITTEN_OFF, State.CLOSED)

# Action → state before → state after. What is not here is refused.
TRANSITIONS: dict[Action, dict[State, State]] = {
    Action.ASSIGN: {
        State.NEW: State.ASSIGNED,
        # Somebody else takes it on; it stays where it is.
        State.ASSIGNED: State.ASSIGNED,
        State.EVIDENCE: State.EVIDENCE,
        State.SUBMITTED: State.SUBMITTED,
    },
    Action.EVIDENCE: {State.ASSIGNED: State.EVIDENCE},
    # From submitted: on to the next door.
    Action.SUBMIT: {State.EVIDENCE: State.SUBMITTED, State.SUBMITTED: State.SUBMITTED},
    Action.WON: {State.SUBMITTED: State.WON},
    Action.LOST: {State.SUBMITTED: State.LOST},
    Action.WRITE_OFF: dict.fromkeys(OPEN_STATES, State.WRITTEN_OFF),
    Action.CLOSE: dict.fromkeys(OPEN_STATES, State.CLOSED),
    Action.REOPEN: dict.fromkeys(ENDED_STATES, State.ASSIGNED),
    Action.HOLD: {state: state for state in OPEN_STATES},
    Action.RELEASE: {state: state for state in OPEN_STATES},
    Action.ADD_BREAKS: {state: state for state in OPEN_STATES},
    Action.SETTLE_BREAKS: {state: state for state in State},
    Action.NOTE: {state: state for state in State},
    Action.ATTACH: {state: state for state in State},
}
RESOLUTIONS = (Action.WON, Action.LOST, Action.WRITE_OFF)
# What only the intake does; never offered to a person.
_OWN = frozenset({Action.OPEN, Action.ADD_BREAKS, Action.SETTLE_BREAKS, Action.CLOSE})


def legal_actions(state: State) -> tuple[Action, ...]:
    """What a person may do in a state, in the order of a case's life."""
    return tuple(action for action, steps in TRANSITIONS.items() if state in steps and action not in _OWN)


def after(label: str, state: State, action: Action) -> State:
    """The state to which an action leads.

    Args:
        label: Names the case in the message.
        state: Where it stands.
        action: What somebody wants to do.

    Raises:
        UsageError: The action is not legal there; names those that are.
    """
    following = TRANSITIONS[action].get(state)
    if following is None:
        legal = ", ".join(legal_actions(state))
        allowed = ", ".join(before for before in TRANSITIONS[action])
        raise UsageError(
            f"{label} is {state}: {action} is only possible from {allowed}.",
            next_step=f"Possible now: {legal}.",
        )
    return following
