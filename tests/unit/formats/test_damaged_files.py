"""Whatever happens to a file on its way: no crash, no hang, and no record that is neither loaded nor refused."""

import gzip
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.unit.formats import test_unionpay_zme as zme
from tests.unit.formats import test_wechat_bill as wechat
from tests.unit.formats.every_layout import GOOD, project_of, settings_in
from tests.unit.landing.files import ZM_NAME, land, put, quarantined, raw, zm_record
from tests.unit.landing.test_containers import ZIP, zip_of

# Every layout, and what comes packed.
WHOLE = {kind: (good.feed, good.name, good.content) for kind, good in GOOD.items()} | {
    "wechat_gzip": ("wechat", wechat.NAME + ".gz", gzip.compress(wechat.a_bill().encode(), mtime=0)),
    "zip": ("unionpay", ZIP, zip_of({ZM_NAME: zm_record() * 2, zme.NAME: zme.zme_record()})),
}
_DATASETS = ("settlement_lines", "terminal_events", "batch_closes", "bank_entries", "ledger_entries")
_PIECES = [
    b"",
    b"\0",
    b"\n",
    b"\r\n",
    b'"',
    b"`",
    b",",
    b"#",
    b"-",
    b"9",
    b"\xff",
    "：".encode(),
    b"{",
    b" " * 40,
]

edits = st.lists(
    st.tuples(
        st.floats(0, 1, exclude_max=True),
        st.sampled_from([0, 1, 2, 30, 400]),
        st.sampled_from(_PIECES),
        st.booleans(),
    ),
    min_size=1,
    max_size=4,
)


def damaged(content: bytes, changes: list[tuple[float, int, bytes, bool]]) -> bytes:
    """Cut pieces out, put others in, and repeat what was cut."""
    for where, length, piece, is_doubled in changes:
        at = int(where * len(content))
        cut = content[at : at + length]
        content = content[:at] + (cut + cut if is_doubled else piece) + content[at + length :]
    return content


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return project_of(tmp_path_factory.mktemp("project"))


@pytest.mark.parametrize("kind", sorted(WHOLE))
@settings(
    max_examples=10,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow],
    database=None,
)
@given(changes=edits)
def test_a_damaged_file__is_refused__or_every_record_is_accounted_for(
    kind: str, project: Path, changes: list[tuple[float, int, bytes, bool]]
) -> None:
    feed, name, content = WHOLE[kind]
    with tempfile.TemporaryDirectory() as folder:
        home = settings_in(Path(folder), project)
        put(home, feed, name, damaged(content, changes))
        outcomes = land(home)

        loaded = sum(outcome.loaded for outcome in outcomes)
        assert all(outcome.records == outcome.loaded + outcome.quarantined for outcome in outcomes)
        assert all(outcome.reason for outcome in outcomes if outcome.state == "rejected")
        if feed != "reference":
            assert sum(len(raw(home, dataset)) for dataset in _DATASETS) == loaded
        assert len(quarantined(home)) == sum(outcome.quarantined for outcome in outcomes)
        assert not list(home.raw.rglob("*.tmp"))
