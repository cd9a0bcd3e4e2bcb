"""PGP files as a bank's gpg writes them: opened on landing, or refused with the reason."""

import gzip
import logging
import shutil
import tempfile
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pytest
import yaml

from posrecon.errors import NightError
from posrecon.landing import containers, parse_file, pgp, receive
from posrecon.landing.archive import open_plain
from posrecon.landing.outcomes import read_outcome
from posrecon.landing.receipts import read_receipts
from posrecon.landing.steps import read_note
from posrecon.landing.trial import try_file
from posrecon.settings import PROJECT_ROOT, Settings
from tests.unit.landing.files import (
    MER_ID,
    NIGHT,
    ZM_NAME,
    event,
    land,
    log_of,
    parse_one,
    put,
    raw,
    registry,
    zm_record,
)
from tests.unit.landing.key_rings import PASSPHRASE, KeyRing
from tests.unit.landing.test_containers import zip_of

pytestmark = pytest.mark.skipif(
    shutil.which("gpg") is None,
    reason="GnuPG is not installed here (apt-get install gnupg): PGP is not tested",
)
US = "posrecon test <us@example.invalid>"
# The same, behind a passphrase: deriving its key takes GnuPG most of a second.
US_LOCKED = "posrecon test <locked@example.invalid>"
BANK = "a bank <bank@example.invalid>"
STRANGER = "a stranger <stranger@example.invalid>"


class Keys:
    """Our ring with its secret key, and the sender's ring."""

    def __init__(self, folder: Path) -> None:
        self.ours, self.bank = KeyRing(folder / "o"), KeyRing(folder / "b")
        self.ours.make_key(US)
        self.ours.make_key(US_LOCKED, passphrase=PASSPHRASE)
        self.bank_fingerprint = self.bank.make_key(BANK)
        self.bank.make_key(STRANGER)
        self.ours.give(self.bank, US)
        self.ours.give(self.bank, US_LOCKED)
        self.bank.give(self.ours, BANK)


@pytest.fixture(scope="module")
def keys() -> Iterator[Keys]:
    # Not under pytest's own folder: the path of a socket has an end.
    with tempfile.TemporaryDirectory(prefix="pgp") as folder:
        made = Keys(Path(folder))
        yield made
        made.ours.close()
        made.bank.close()


@pytest.fixture
def settings(tmp_path: Path, keys: Keys) -> Settings:
    return Settings(
        home=tmp_path / "home",
        token_key="11" * 32,  # type: ignore[arg-type]
        archive_key="22" * 32,  # type: ignore[arg-type]
        gnupg_home=keys.ours.folder,
        pgp_passphrase=PASSPHRASE,  # type: ignore[arg-type]
        threads=1,
    )


def asking(settings: Settings, tmp_path: Path, **pgp_keys: object) -> Settings:
    """The same home, with a UnionPay source that asks for PGP."""
    folder = tmp_path / "project" / "include" / "sources"
    shutil.copytree(PROJECT_ROOT / "include" / "sources", folder)
    path = folder / "unionpay_zm.yml"
    path.write_text(path.read_text(encoding="utf-8") + yaml.safe_dump({"pgp": pgp_keys}), encoding="utf-8")
    return settings.model_copy(update={"project_dir": tmp_path / "project"})


@pytest.mark.parametrize(("suffix", "armour"), [(".pgp", False), (".GPG", False), (".asc", True), ("", True)])
def test_an_encrypted_file__is_read__and_the_archive_keeps_what_was_received(
    settings: Settings, keys: Keys, suffix: str, armour: bool
) -> None:
    message = keys.bank.encrypt(zm_record(), to=US, armour=armour)
    outcome = parse_one(settings, "unionpay", ZM_NAME + suffix, message)

    assert (outcome.state, outcome.source, outcome.loaded) == ("loaded", "unionpay_zm", 1)
    assert outcome.file_name == ZM_NAME + suffix
    assert outcome.logical_name == f"unionpay_zm/{MER_ID}/2026-11-11"
    (receipt,) = read_receipts(settings, NIGHT)
    assert receipt.container is not None
    with open_plain(settings, receipt.container) as received:
        assert received.read_bytes() == message
    with open_plain(settings, receipt.sha256) as clear:
        assert clear.read_bytes() == zm_record()
    assert outcome.bytes == len(zm_record())


def test_an_encrypted_file__leaves_its_content_nowhere_in_the_clear(settings: Settings, keys: Keys) -> None:
    parse_one(settings, "unionpay", f"{ZM_NAME}.pgp", keys.bank.encrypt(zm_record(), to=US))
    content = zm_record()[:400]
    assert [
        path for path in settings.home.rglob("*") if path.is_file() and content in path.read_bytes()
    ] == []


def test_a_replay__without_the_secret_key__gives_the_same_rows(settings: Settings, keys: Keys) -> None:
    parse_one(settings, "unionpay", f"{ZM_NAME}.pgp", keys.bank.encrypt(zm_record(), to=US))
    before = raw(settings, "settlement_lines")
    later = settings.model_copy(update={"gnupg_home": settings.home / "no-ring", "pgp_passphrase": None})
    (file_id,) = receive(later, NIGHT, from_archive=True)
    parse_file(later, NIGHT, file_id)
    assert raw(later, "settlement_lines") == before


def test_the_same_content_encrypted_twice__is_a_duplicate(settings: Settings, keys: Keys) -> None:
    put(settings, "unionpay", f"{ZM_NAME}.pgp", keys.bank.encrypt(zm_record(), to=US))
    put(settings, "unionpay", f"{ZM_NAME}.gpg", keys.bank.encrypt(zm_record(), to=US))
    land(settings)
    assert sorted(file["state"] for file in registry(settings)) == ["duplicate", "loaded"]


def test_a_zip_in_pgp__a_pgp_in_a_zip__and_gzip_in_pgp__are_read(settings: Settings, keys: Keys) -> None:
    second = ZM_NAME.replace(MER_ID, "898110000000038")
    third = ZM_NAME.replace(MER_ID, "898110000000039")
    put(settings, "unionpay", "a.zip.pgp", keys.bank.encrypt(zip_of({ZM_NAME: zm_record()}), to=US))
    inner = keys.bank.encrypt(zm_record(mer_id="898110000000038"), to=US)
    put(settings, "unionpay", "b.zip", zip_of({f"{second}.pgp": inner}))
    packed = gzip.compress(zm_record(mer_id="898110000000039"))
    put(settings, "unionpay", f"{third}.gz.pgp", keys.bank.encrypt(packed, to=US))

    outcomes = {outcome.file_name: (outcome.state, outcome.loaded) for outcome in land(settings)}

    assert outcomes == {
        f"a.zip.pgp!{ZM_NAME}": ("loaded", 1),
        f"b.zip!{second}.pgp": ("loaded", 1),
        f"{third}.gz.pgp": ("loaded", 1),
    }


def test_a_zip_bomb_in_pgp__is_refused_like_a_bare_one(settings: Settings, keys: Keys) -> None:
    bomb = zip_of({ZM_NAME: b" " * (64 << 20)})
    outcome = parse_one(settings, "unionpay", "a.zip.pgp", keys.bank.encrypt(bomb, to=US))
    assert outcome.state == "rejected"
    assert "grows more than 200 times" in str(outcome.reason)


def test_a_hostile_path_in_a_zip_in_pgp__is_refused(settings: Settings, keys: Keys) -> None:
    climbing = zip_of({f"../{ZM_NAME}": zm_record()})
    outcome = parse_one(settings, "unionpay", "a.zip.pgp", keys.bank.encrypt(climbing, to=US))
    assert "has a path that leaves its folder" in str(outcome.reason)


def test_a_message_that_grows_without_end__is_refused(
    settings: Settings, keys: Keys, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(containers, "RATIO_FREE_BYTES", 100_000)
    monkeypatch.setattr(containers, "RATIO_MAX", 2)
    message = keys.bank.encrypt(b" " * 5_000_000, to=US)
    outcome = parse_one(settings, "unionpay", f"{ZM_NAME}.pgp", message)
    assert "grows to more than 100000 bytes" in str(outcome.reason)


def test_a_file_of_tonight_by_its_content__waits_encrypted_for_its_night(
    settings: Settings, keys: Keys
) -> None:
    tonight = log_of(event(txn_time="2026-11-12 10:00:00"))
    put(settings, "terminal_log", "log.csv.pgp", keys.bank.encrypt(tonight, to=US))
    assert receive(settings, NIGHT) == []
    assert len(receive(settings, date(2026, 11, 13))) == 1


# -------------------------------------------------------------------------------- refused
def half(message: bytes) -> bytes:
    return message[: len(message) // 2]


def flipped(message: bytes) -> bytes:
    changed = bytearray(message)
    changed[-40] ^= 0xFF
    return bytes(changed)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda keys: keys.bank.encrypt(zm_record(), to=STRANGER), "which is not in the key ring"),
        (lambda keys: flipped(keys.bank.encrypt(zm_record(), to=US)), "was changed on its way or is damaged"),
        (lambda keys: half(keys.bank.encrypt(zm_record(), to=US)), "was changed on its way or is damaged"),
        (lambda keys: zm_record(), "is not encrypted with PGP"),
        (lambda keys: b"", "is not encrypted with PGP"),
        (lambda keys: keys.bank.run("--sign", data=zm_record()), "is not encrypted with PGP"),
    ],
    ids=["wrong key", "tampered", "truncated", "clear", "empty", "signed only"],
)
def test_a_message_that_does_not_open__is_refused_with_its_reason_and_kept_as_received(
    settings: Settings, keys: Keys, make: object, said: str
) -> None:
    message = make(keys)  # type: ignore[operator]
    outcome = parse_one(settings, "unionpay", f"{ZM_NAME}.pgp", message)

    assert (outcome.state, outcome.source) == ("rejected", "unionpay_zm")
    assert said in str(outcome.reason)
    assert read_note(settings, NIGHT, outcome.file_id)["next_step"]
    (receipt,) = read_receipts(settings, NIGHT)
    with open_plain(settings, receipt.sha256) as received:
        assert received.read_bytes() == message
    assert raw(settings, "settlement_lines") == []


@pytest.mark.parametrize("passphrase", [None, "wrong"])
def test_a_wrong_passphrase__is_refused__and_the_file_loads_when_it_comes_again(
    settings: Settings, keys: Keys, passphrase: str | None
) -> None:
    keys.ours.close()  # the agent may still know the right one
    message = keys.bank.encrypt(zm_record(), to=US_LOCKED)
    locked = Settings.model_validate(settings.model_dump() | {"pgp_passphrase": passphrase})
    outcome = parse_one(locked, "unionpay", f"{ZM_NAME}.pgp", message)
    assert "whose passphrase is missing or wrong" in str(outcome.reason)

    put(settings, "unionpay", f"{ZM_NAME}.pgp", message)
    land(settings)
    assert sorted(file["state"] for file in registry(settings)) == ["loaded", "rejected"]


def test_a_refused_message__replayed_when_the_key_is_there__stays_refused(
    settings: Settings, keys: Keys
) -> None:
    without = settings.model_copy(update={"gnupg_home": settings.home / "r"})
    outcome = parse_one(without, "unionpay", f"{ZM_NAME}.pgp", keys.bank.encrypt(zm_record(), to=US))
    assert (outcome.state, outcome.reason) == (
        "rejected",
        f"{ZM_NAME}.pgp: is encrypted with PGP, and there is no key ring.",
    )
    assert not without.gnupg.exists()
    (file_id,) = receive(settings, NIGHT, from_archive=True)
    assert parse_file(settings, NIGHT, file_id) == outcome


def test_one_bad_message_in_a_zip__is_refused__the_others_load(settings: Settings, keys: Keys) -> None:
    second = ZM_NAME.replace(MER_ID, "898110000000038")
    members = {ZM_NAME: zm_record(), f"{second}.pgp": keys.bank.encrypt(zm_record(), to=STRANGER)}
    put(settings, "unionpay", "a.zip", zip_of(members))
    states = {outcome.file_name: outcome.state for outcome in land(settings)}
    assert states == {f"a.zip!{ZM_NAME}": "loaded", f"a.zip!{second}.pgp": "rejected"}


def test_without_gnupg__the_night_stops_and_the_file_stays(
    settings: Settings, keys: Keys, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = put(settings, "unionpay", f"{ZM_NAME}.pgp", keys.bank.encrypt(zm_record(), to=US))
    monkeypatch.setattr(pgp, "_has_gnupg", lambda: False)
    with pytest.raises(NightError, match="gpg: not found"):
        receive(settings, NIGHT)
    assert path.exists()


def test_no_key_and_no_passphrase__in_any_log(
    settings: Settings, keys: Keys, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        parse_one(settings, "unionpay", f"{ZM_NAME}.pgp", keys.bank.encrypt(zm_record(), to=US_LOCKED))
    assert caplog.records
    assert PASSPHRASE not in caplog.text
    assert PASSPHRASE.encode().decode("latin-1") not in caplog.text


# -------------------------------------------------------------------------------- what a source asks for
def test_a_source_that_asks_for_a_signature__takes_the_bank_s(
    settings: Settings, tmp_path: Path, keys: Keys
) -> None:
    asks = asking(settings, tmp_path, signed_by=[keys.bank_fingerprint.lower()])
    message = keys.bank.encrypt(zm_record(), to=US, signed_by=BANK)
    assert parse_one(asks, "unionpay", f"{ZM_NAME}.pgp", message).state == "loaded"


def test_a_signature_around_the_zip__counts_for_its_members(
    settings: Settings, tmp_path: Path, keys: Keys
) -> None:
    asks = asking(settings, tmp_path, signed_by=[keys.bank_fingerprint])
    message = keys.bank.encrypt(zip_of({ZM_NAME: zm_record()}), to=US, signed_by=BANK)
    assert parse_one(asks, "unionpay", "a.zip.pgp", message).state == "loaded"


def test_binary_pgp_without_a_suffix__is_opened_for_a_source_that_asks_for_it(
    settings: Settings, tmp_path: Path, keys: Keys
) -> None:
    asks = asking(settings, tmp_path, required=True)
    assert parse_one(asks, "unionpay", ZM_NAME, keys.bank.encrypt(zm_record(), to=US)).state == "loaded"


@pytest.mark.parametrize(
    ("name", "make", "said"),
    [
        (f"{ZM_NAME}.pgp", lambda keys: keys.bank.encrypt(zm_record(), to=US), "is not signed, expected"),
        (
            f"{ZM_NAME}.pgp",
            lambda keys: keys.bank.encrypt(zm_record(), to=US, signed_by=STRANGER),
            "the public key of its signer is not in the key ring",
        ),
        ("a.zip", lambda keys: zip_of({ZM_NAME: zm_record()}), "is not encrypted with PGP"),
        ("a.zip.pgp", lambda keys: keys.bank.encrypt(zip_of({ZM_NAME: zm_record()}), to=US), "is not signed"),
    ],
    ids=["unsigned", "stranger", "zip in the clear", "zip unsigned"],
)
def test_a_source_that_asks_for_a_signature__refuses_the_rest(
    settings: Settings, tmp_path: Path, keys: Keys, name: str, make: object, said: str
) -> None:
    asks = asking(settings, tmp_path, signed_by=[keys.bank_fingerprint])
    outcome = parse_one(asks, "unionpay", name, make(keys))  # type: ignore[operator]
    assert outcome.state == "rejected"
    assert said in str(outcome.reason)
    assert raw(asks, "settlement_lines") == []


def test_a_signature_of_another_known_key__is_not_enough(
    settings: Settings, tmp_path: Path, keys: Keys
) -> None:
    asks = asking(settings, tmp_path, signed_by=["0" * 40])
    message = keys.bank.encrypt(zm_record(), to=US, signed_by=BANK)
    outcome = parse_one(asks, "unionpay", f"{ZM_NAME}.pgp", message)
    assert f"is signed by {keys.bank_fingerprint}" in str(outcome.reason)


def test_a_signature_of_a_key_that_has_expired__does_not_count(
    settings: Settings, tmp_path: Path, keys: Keys
) -> None:
    user = "an old bank <old@example.invalid>"
    fingerprint = keys.bank.make_key(user, expires="1d", at="20200201T000000")
    keys.bank.give(keys.ours, user)
    message = keys.bank.encrypt(zm_record(), to=US, signed_by=user, at="20200201T010000")
    outcome = parse_one(
        asking(settings, tmp_path, signed_by=[fingerprint]), "unionpay", f"{ZM_NAME}.pgp", message
    )
    assert "its signing key has expired" in str(outcome.reason)


def test_try__opens_pgp_too__and_says_why_when_it_cannot(
    settings: Settings, tmp_path: Path, keys: Keys
) -> None:
    good, bad = tmp_path / f"{ZM_NAME}.pgp", tmp_path / f"{ZM_NAME}.gpg"
    good.write_bytes(keys.bank.encrypt(zm_record(), to=US))
    bad.write_bytes(keys.bank.encrypt(zm_record(), to=STRANGER))
    (read,) = try_file(settings, good)
    assert (read.source, read.loaded, read.reason) == ("unionpay_zm", 1, None)
    (refused,) = try_file(settings, bad)
    assert "not in the key ring" in str(refused.reason)
    assert not settings.home.exists()


def test_an_outcome__of_a_replay__says_what_the_night_said(settings: Settings, keys: Keys) -> None:
    outcome = parse_one(settings, "unionpay", f"{ZM_NAME}.pgp", keys.bank.encrypt(zm_record(), to=US))
    assert read_outcome(settings, NIGHT, outcome.file_id) == outcome
