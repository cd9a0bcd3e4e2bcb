"""Whatever happens to a file on its way: no crash, no hang, and no record that is neither loaded nor refused."""

import gzip
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.unit.formats import test_alipay_bill as alipay
from tests.unit.formats import test_terminal_log as terminal
from tests.unit.formats import test_unionpay_zme as zme
from tests.unit.formats import test_wechat_bill as wechat
from tests.unit.landing.files import ZM_NAME, land, put, quarantined, raw, settings_of, zm_record
from tests.unit.landing.test_containers import ZIP, zip_of

WHOLE = {
    "wechat": ("wechat", wechat.NAME, wechat.a_bill().encode()),
    "wechat_gzip": ("wechat", wechat.NAME + ".gz", gzip.compress(wechat.a_bill().encode(), mtime=0)),
    "alipay": ("alipay", alipay.NAME, alipay.a_bill().encode("gbk")),
    "zme": ("unionpay", zme.NAME, zme.zme_record() * 3),
    "zip": ("unionpay", ZIP, zip_of({ZM_NAME: zm_record() * 2, zme.NAME: zme.zme_record()})),
    "json_lines": (
        "terminal_log",
        "a.jsonl",
        terminal.json_lines(terminal.fields(), terminal.fields(stan="2")),
    ),
    "parquet": ("terminal_log", "a.parquet", terminal.parquet(terminal.fields(), terminal.fields(stan="2"))),
}
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


@pytest.mark.parametrize("kind", sorted(WHOLE))
@settings(
    max_examples=20,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow],
    database=None,
)
@given(changes=edits)
def test_a_damaged_file__is_refused__or_every_record_is_accounted_for(
    kind: str, changes: list[tuple[float, int, bytes, bool]]
) -> None:
    feed, name, content = WHOLE[kind]
    with tempfile.TemporaryDirectory() as folder:
        home = settings_of(Path(folder))
        put(home, feed, name, damaged(content, changes))
        outcomes = land(home)

        loaded = sum(outcome.loaded for outcome in outcomes)
        assert all(outcome.records == outcome.loaded + outcome.quarantined for outcome in outcomes)
        assert all(outcome.reason for outcome in outcomes if outcome.state == "rejected")
        assert len(raw(home, "settlement_lines") + raw(home, "terminal_events")) == loaded
        assert len(quarantined(home)) == sum(outcome.quarantined for outcome in outcomes)
        assert not list(home.raw.rglob("*.tmp"))
