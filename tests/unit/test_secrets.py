import stat
from pathlib import Path

import pytest

from posrecon.errors import PosreconError
from posrecon.secrets import archive_key, token_key
from posrecon.settings import Settings


def test_a_missing_key__is_made_once__readable_by_its_owner_alone__with_a_warning(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    settings = Settings(home=tmp_path / "home")
    with caplog.at_level("DEBUG"):
        key = token_key(settings)
        again = token_key(settings)

    path = settings.secrets / "token.key"
    printed = capsys.readouterr().err
    assert key == again == bytes.fromhex(path.read_text().strip())
    assert len(key) == 32
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert printed.count("WARNING: A new token key was made") == 1
    assert key.hex() not in printed + caplog.text


def test_the_two_keys__are_different(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path / "home")
    assert token_key(settings) != archive_key(settings)


def test_a_key_of_the_environment__makes_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POSRECON_TOKEN_KEY", "ab" * 32)
    settings = Settings(home=tmp_path / "home")
    assert token_key(settings) == bytes.fromhex("ab" * 32)
    assert not settings.secrets.exists()
    assert "abab" not in repr(settings)


@pytest.mark.parametrize(
    ("text", "said"), [("ab" * 31, "31 bytes, expected 32"), ("zz" * 32, "not hex"), ("", "0 bytes")]
)
def test_a_wrong_key__is_said_without_showing_it(tmp_path: Path, text: str, said: str) -> None:
    settings = Settings(home=tmp_path / "home", archive_key=text)  # type: ignore[arg-type]
    with pytest.raises(PosreconError, match=said) as error:
        archive_key(settings)
    assert not text or text not in str(error.value)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o666])
def test_a_key_that_others_can_read__is_refused(tmp_path: Path, mode: int) -> None:
    settings = Settings(home=tmp_path / "home")
    token_key(settings)
    (settings.secrets / "token.key").chmod(mode)
    with pytest.raises(PosreconError, match=f"mode is {mode:04o}, expected 0600"):
        token_key(settings)
