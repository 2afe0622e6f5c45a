# SPDX-License-Identifier: Apache-2.0
"""Where secrets come from; passphrases and keys made of them; and what a database may not ask for."""

import base64
import json
import os
import resource
from pathlib import Path

import pytest

from keyquorum.config import Settings
from keyquorum.custody import kinds, secrets
from keyquorum.custody.environment import environment_seal
from keyquorum.custody.passphrase import PassphraseSeal
from keyquorum.custody.root import RootKey
from keyquorum.custody.seal import SealError, SealWaits
from keyquorum.model import SealedRoot

SECRET = b"correct horse battery"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "secret"
    path.write_bytes(SECRET + b"\n")
    path.chmod(0o600)
    return path


def test_each_source(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("A_SECRET", SECRET.decode())
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(file.parent))
    reading, writing = os.pipe()
    os.write(writing, SECRET + b"\r\n")
    os.close(writing)
    for source in (f"file:{file}", "env:A_SECRET", "credential:secret", f"fd:{reading}"):
        assert secrets.read(source, "secret") == SECRET


@pytest.mark.parametrize(
    "source",
    [
        "file:/nowhere/at/all",
        "file:",
        "env:NOT_SET_ANYWHERE",
        "credential:absent",
        "credential:../secret",
        "credential:..",
        "fd:999",
        "fd:x",
        "fd:-1",
        "prompt",
        "hunter2",
        "",
        "http://attacker.example/",
    ],
)
def test_what_is_no_source(source: str, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(file.parent / "sub"))
    with pytest.raises(SealError) as caught:
        secrets.read(source, "secret")
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("mode", [0o604, 0o620, 0o644, 0o660, 0o666, 0o602])
def test_a_file_that_others_can_have_is_refused(mode: int, file: Path) -> None:
    file.chmod(mode)
    with pytest.raises(SealError, match="open to others"):
        secrets.read(f"file:{file}", "secret")


@pytest.mark.parametrize("content", [b"", b"\n", b"\r\n", b"x" * 5000])
def test_a_secret_that_is_empty_or_endless_is_refused(content: bytes, file: Path) -> None:
    file.write_bytes(content)
    with pytest.raises(SealError, match=r"is empty|is longer"):
        secrets.read(f"file:{file}", "secret")


def test_an_endless_file_is_not_read_to_its_end() -> None:
    fd = os.open("/dev/zero", os.O_RDONLY)
    with pytest.raises(SealError, match="is longer"):
        secrets.read(f"fd:{fd}", "secret")


def test_a_passphrase_opens_what_it_sealed_however_it_is_typed() -> None:
    root = RootKey.generate()
    composed, decomposed = "na\u00efve passphrase", "nai\u0308ve passphrase"
    row = PassphraseSeal(composed.encode()).seal(root)
    assert PassphraseSeal(decomposed.encode()).open(row) == root
    assert row.sealed != PassphraseSeal(composed.encode()).seal(root).sealed
    with pytest.raises(SealError, match="the passphrase does not open"):
        PassphraseSeal(b"na\xc3\xafve passphrasf").open(row)


def test_a_new_passphrase_must_not_be_short() -> None:
    with pytest.raises(SealError, match="at least 12"):
        PassphraseSeal("\u00e4".encode() * 11).seal(RootKey.generate())
    with pytest.raises(SealError, match="not UTF-8"):
        PassphraseSeal(b"\xff" * 20)


@pytest.mark.parametrize(
    "costs",
    [
        {"memory": 2**32},
        {"memory": 2**32 - 1},
        {"memory": 2**70},
        {"memory": 8},
        {"memory": -1},
        {"iterations": 2**31},
        {"iterations": 1},
        {"lanes": 2**24},
        {"lanes": 0},
        {"salt": ""},
        {"salt": "00" * 8},
        {"salt": "zz" * 16},
        {"salt": "00" * 10**6},
        {"extra": 1},
        {"memory": "65536"},
        {"memory": 65536.5},
    ],
)
def test_the_database_does_not_set_the_costs(costs: dict[str, object]) -> None:
    seal = PassphraseSeal(SECRET)
    row = seal.seal(RootKey.generate())
    parameters = json.dumps({**json.loads(row.parameters or ""), **costs})
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(SealError, match=r"beyond all bounds|damaged"):
        seal.open(row._replace(parameters=parameters))
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss < before + 32 * 1024


def test_costs_within_the_bounds_that_are_not_those_it_was_sealed_with() -> None:
    """Also cheaper ones, in the way that JSON may be written otherwise: the very text is authenticated."""
    seal = PassphraseSeal(SECRET)
    row = seal.seal(RootKey.generate())
    for parameters in (
        (row.parameters or "").replace('"iterations":3', '"iterations":4'),
        json.dumps(json.loads(row.parameters or "")),
    ):
        assert parameters != row.parameters
        with pytest.raises(SealError, match="does not open"):
            seal.open(row._replace(parameters=parameters))


@pytest.mark.parametrize("text", ["", "x", "A" * 43 + "=" + "A", "A" * 42 + "==", "\u00e4" * 44, "A" * 43 + "=\n="])
def test_what_is_no_environment_key(text: str) -> None:
    with pytest.raises(SealError) as caught:
        environment_seal(text.encode())
    assert not text or text not in str(caught.value)


def test_an_environment_key() -> None:
    root = RootKey.generate()
    text = base64.b64encode(bytes(range(32)))
    assert environment_seal(text).open(environment_seal(text).seal(root)) == root


@pytest.mark.parametrize("kind", sorted(kinds.KINDS))
def test_a_row_of_a_kind_that_is_not_configured_leads_nowhere(kind: str, tmp_path: Path) -> None:
    """No module is loaded, no host is called and no secret is read because of what a database says."""
    other = "passphrase" if kind == "environment" else "environment"
    settings = Settings(
        data=tmp_path,
        seal=frozenset({other}),
        seal_passphrase="file:/nowhere",
        seal_pkcs11_module=Path("/nowhere.so"),
        seal_pkcs11_token="t",
        seal_kms_key="arn:aws:kms:us-east-1:111122223333:key/k",
        seal_kms_endpoint="http://127.0.0.1:9",
    )
    parameters = '{"key":"arn:aws:kms:us-east-1:444455556666:key/theirs","endpoint":"http://attacker.example"}'
    with pytest.raises(SealError, match="the configuration has --seal"):
        kinds.opener(settings, SealedRoot(b"", kind, parameters))


def test_a_kind_that_is_none(tmp_path: Path) -> None:
    for kind in ("", "FILE", "file ", "../../x", "x" * 10_000):
        with pytest.raises(SealError) as caught:
            kinds.opener(Settings(data=tmp_path), SealedRoot(b"", kind, "{}"))
        assert len(str(caught.value)) < 400


def test_shares_and_a_passphrase_for_the_running_server_are_waited_for(tmp_path: Path) -> None:
    row = kinds.divided(2, 3).seal.seal(RootKey.generate())
    with pytest.raises(SealWaits, match="2 of 3 shares"):
        kinds.opener(Settings(data=tmp_path, seal=frozenset({"shamir"})), row)
    settings = Settings(data=tmp_path, seal=frozenset({"passphrase"}), seal_passphrase="api")
    with pytest.raises(SealWaits, match="its passphrase"):
        kinds.opener(settings, PassphraseSeal(SECRET).seal(RootKey.generate()))
