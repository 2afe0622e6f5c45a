# SPDX-License-Identifier: Apache-2.0
"""Each seal: made, opened, rotated, exchanged for each other, recovered; on a real token, and under a key of another
keyquorum."""

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from seals import KINDS, Places, Shown, Token, changed, opening, standing

from keyquorum.admin import seals
from keyquorum.app import open_data
from keyquorum.config import Settings
from keyquorum.custody.seal import SealError
from keyquorum.errors import IntegrityError

pytestmark = [pytest.mark.long, pytest.mark.xdist_group("seals")]


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Places]:
    with standing(tmp_path_factory) as places:
        yield places


def known(settings: Settings) -> bytes:
    """What only the root key gives."""
    opened = open_data(settings, create=False)
    opened.database.close()
    return opened.root.derive("test")


@pytest.mark.parametrize("to", KINDS)
@pytest.mark.parametrize("of", KINDS)
def test_a_seal_is_exchanged_for_each_other_and_for_another_of_its_kind(
    of: str, to: str, places: Places, tmp_path: Path
) -> None:
    data, shown = tmp_path / "data", Shown()
    seals.init(places.wanted(data, of), shown)
    old = opening(places, data, of, shown)
    root = known(old)
    shown = Shown()
    seals.reseal(old, places.wanted(data, to, second=True), shown)
    new = opening(places, data, to, shown, second=True)
    assert known(new) == root
    if of != to:
        with pytest.raises(SealError, match="the configuration has --seal"):
            known(changed(places.settings(data, of), seal_shares=old.seal_shares))
    elif of in ("passphrase", "environment", "kms"):
        with pytest.raises(SealError):
            known(places.settings(data, of))
    assert seals.status(new) is not None


@pytest.mark.parametrize("kind", KINDS)
def test_recovery_shares_open_what_any_seal_has_lost(kind: str, places: Places, tmp_path: Path) -> None:
    data, shown = tmp_path / "data", Shown()
    seals.init(places.wanted(data, kind, recovery=(3, 5)), shown)
    root = known(opening(places, data, kind, shown))
    recovery = shown.shares["recovery"]
    assert len(recovery) == 5
    settings = places.settings(data, "environment", shares=recovery[2:])
    (data / "seal.key").unlink(missing_ok=True)
    seals.recover(settings, places.wanted(data, "environment"), shown)
    assert known(settings) == root
    # The shares are good for the next loss as well, until others are made.
    again = places.settings(data, "file", shares=recovery[:3])
    later = Shown()
    seals.recover(again, places.wanted(data, "file", recovery=(2, 2)), later)
    assert known(again) == root
    with pytest.raises(SealError, match="share 1 is of another split"):
        seals.recover(again, places.wanted(data, "file"), later)


def test_a_token_that_is_destroyed_is_not_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The drill: the HSM is lost, with the only key that opened the root key."""
    token = Token(tmp_path / "hsm")
    for name, value in token.variables.items():
        monkeypatch.setenv(name, value)
    data, shown = tmp_path / "data", Shown()
    place = Places(tmp_path, token)
    hsm = place.settings(data, "pkcs11")
    seals.init(seals.Wanted(hsm, "pkcs11", None, (2, 3)), shown)
    root = known(hsm)
    token.destroy()
    with pytest.raises(SealError, match="cannot be reached"):
        known(hsm)
    token.initialize()
    with pytest.raises(SealError, match="has no key 'keyquorum'"):
        known(hsm)
    settings = place.settings(data, "pkcs11", shares=shown.shares["recovery"][1:])
    seals.recover(settings, seals.Wanted(settings, "pkcs11"), shown)
    assert known(hsm) == root


@pytest.mark.parametrize("kind", KINDS)
def test_a_row_of_another_data_directory_under_the_same_seal_is_refused(
    kind: str, places: Places, tmp_path: Path
) -> None:
    shown = {name: Shown() for name in "ab"}
    for name, its in shown.items():
        seals.init(places.wanted(tmp_path / name, kind), its)
    with sqlite3.connect(tmp_path / "a/keyquorum.db") as database:
        database.execute(f"ATTACH '{tmp_path / 'b/keyquorum.db'}' AS b")
        database.execute("DELETE FROM root_keys")
        database.execute("INSERT INTO root_keys SELECT * FROM b.root_keys")
    database.close()
    # Shares, token and key are those that the row wants; a file's, only if it was copied along.
    with pytest.raises((SealError, IntegrityError), match=r"does not open|keyring key 1 does not open"):
        known(opening(places, tmp_path / "a", kind, shown["b"]))
