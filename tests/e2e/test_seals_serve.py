# SPDX-License-Identifier: Apache-2.0
"""Servers that start sealed: what they answer, what opens them, and what does not."""

import http.client
import json
import os
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from processes import complaints, processes
from seals import MODULE, SHARE, TOKEN, Token, secret_file, shares_file
from servers import Access, Production, Program, RefusedToStart, client, environment, refused, run

pytestmark = pytest.mark.slow

THREE_OF_FIVE = ("--seal", "shamir", "--shares", "5", "--threshold", "3")


class Sealable(Program):
    """A server on ``directory / "data"``, sealed or not."""

    def __init__(self, directory: Path, *options: str) -> None:
        self.data, self.options = directory / "data", options
        super().__init__(directory, "--data", str(self.data), *options)

    def ask(self, method: str, path: str, body: bytes | None = None, kind: str = "application/json") -> tuple[int, Any]:
        connection = http.client.HTTPConnection(self.host, self.port, timeout=30)
        try:
            connection.request(method, path, body, {"Content-Type": kind})
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read())
        finally:
            connection.close()

    def status(self) -> Any:
        status, told = self.ask("GET", "/v1/seal")
        assert status == 200
        return told

    def bring(self, **what: str) -> tuple[int, Any]:
        return self.ask("POST", "/v1/unseal", json.dumps(what).encode())

    def wait_until_open(self) -> None:
        while True:
            try:
                if self.status() == {"sealed": False}:
                    return
            except (OSError, http.client.HTTPException):
                pass  # between the sealed server and the open one
            time.sleep(0.05)

    def access(self, *options: str) -> Access:
        """The root's, taken from the data with the seal that the options open."""
        found = json.loads(run("env", "--json", "--data", str(self.data), *options).stdout)
        return Access(found["AWS_ACCESS_KEY_ID"], found["AWS_SECRET_ACCESS_KEY"], found["AWS_REGION"])

    def kms(self, *options: str) -> Any:
        return client(self.url, "kms", self.access(*options))


@pytest.fixture
def begin(tmp_path: Path) -> Iterator[Callable[..., Sealable]]:
    started: list[Sealable] = []

    def start(*options: str) -> Sealable:
        started.append(Sealable(tmp_path, *options))
        return started[-1]

    yield start
    for server in started:
        server.stop()


@pytest.fixture
def shares(tmp_path: Path) -> list[str]:
    """Of a data directory that three of five open."""
    printed = run("seal", "init", "--data", str(tmp_path / "data"), *THREE_OF_FIVE).stdout
    found = SHARE.findall(printed)
    assert len(found) == 5
    return found


def by_hand(tmp_path: Path, shares: list[str]) -> tuple[str, ...]:
    return ("--seal", "shamir", "--seal-shares", shares_file(tmp_path / "three", tuple(shares[:3])))


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_server_of_shares(workers: str, begin: Callable[..., Sealable], shares: list[str], tmp_path: Path) -> None:
    server = begin("--seal", "shamir", "--workers", workers)
    assert server.ask("GET", "/readyz")[0] == 503
    told = server.status()
    assert (told["kind"], told["threshold"], told["shares"], told["given"]) == ("shamir", 3, 5, [])
    with refused(
        "DependencyTimeoutException",
        "The server is sealed: its root key has to be opened first. You can retry the request.",
        500,
    ):
        client(server.url, "kms", Access("AKIAIOSFODNN7EXAMPLE", "x")).list_keys()
    assert server.bring(share=shares[4])[1]["given"] == [5]
    status, answer = server.bring(share=shares[4])
    assert (status, answer["message"]) == (400, "share 5 was given already")
    assert server.bring(share=shares[1])[1]["given"] == [2, 5]
    assert server.bring(share=shares[2]) == (200, {"sealed": False, "starting": True})
    server.wait_until_open()
    access = server.access(*by_hand(tmp_path, shares))
    kms = client(server.url, "kms", access)
    blob = kms.encrypt(KeyId=kms.create_key()["KeyMetadata"]["KeyId"], Plaintext=b"x")["CiphertextBlob"]
    for _ in range(10):  # whichever worker has it
        assert client(server.url, "kms", access).decrypt(CiphertextBlob=blob)["Plaintext"] == b"x"
    assert server.bring(share=shares[0])[1]["message"] == "The server is not sealed."
    assert complaints(server) == []
    told = server.stderr.read_text() + server.stdout.read_text()
    assert not any(" ".join(share.split()[4:7]) in told for share in shares)
    server.stop()
    again = begin("--seal", "shamir")
    assert again.status()["given"] == []
    for share in shares[:3]:
        again.bring(share=share)
    again.wait_until_open()
    assert client(again.url, "kms", access).decrypt(CiphertextBlob=blob)["Plaintext"] == b"x"


def test_a_worker_that_dies_is_replaced_without_the_shares(
    begin: Callable[..., Sealable], shares: list[str], tmp_path: Path
) -> None:
    server = begin("--seal", "shamir", "--workers", "2")
    for share in shares[1:4]:
        server.bring(share=share)
    server.wait_until_open()
    access = server.access(*by_hand(tmp_path, shares))
    kms = client(server.url, "kms", access)
    blob = kms.encrypt(KeyId=kms.create_key()["KeyMetadata"]["KeyId"], Plaintext=b"x")["CiphertextBlob"]
    before = processes(server)
    for pid in before[1:]:
        if b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes():
            os.kill(pid, signal.SIGKILL)
    while len(set(processes(server)) - set(before)) < 2:
        time.sleep(0.05)
    server.wait_until_open()
    for _ in range(10):
        assert client(server.url, "kms", access).decrypt(CiphertextBlob=blob)["Plaintext"] == b"x"


def test_what_is_sent_to_a_sealed_server_by_anybody(begin: Callable[..., Sealable], shares: list[str]) -> None:
    server = begin("--seal", "shamir")
    server.bring(share=shares[0])
    foreign = shares[1].split()
    foreign[7] = "zero" if foreign[7] != "zero" else "academic"
    for body, said in (
        (b"", "must be a JSON object"),
        (b"[]", "must be a JSON object"),
        (b"{}", "must be a JSON object"),
        (b'{"share":1}', "must be a JSON object"),
        (b'{"share":"a","more":1}', "must be a JSON object"),
        (b'{"passphrase":"open sesame"}', "must be a JSON object"),
        (b'{"share":"' + b"a " * 5_000 + b'"}', "must be a JSON object"),
        (b'{"share":"open sesame"}', "has 33 words"),
        (json.dumps({"share": " ".join(foreign)}).encode(), "number 2 is damaged"),
        (b"\xff" * 100, "must be a JSON object"),
    ):
        status, answer = server.ask("POST", "/v1/unseal", body)
        assert (status, answer["__type"]) == (400, "ValidationException")
        assert said in answer["message"]
    form = server.ask("POST", "/v1/unseal", json.dumps({"share": shares[1]}).encode(), "text/plain")
    assert form[1]["__type"] == "MalformedHttpRequestException"
    assert server.ask("GET", "/v1/unseal")[0] == 405
    assert server.ask("POST", "/v1/unseal", b"x" * 300_000)[0] == 413
    assert server.status()["given"] == [1]
    answers = {server.bring(share="x")[1]["__type"] for _ in range(100)}
    assert answers == {"ValidationException", "ThrottlingException"}
    assert server.status()["given"] == [1]


def test_the_command_brings_shares(begin: Callable[..., Sealable], shares: list[str], tmp_path: Path) -> None:
    server = begin("--seal", "shamir")

    def unseal(*lines: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [sys.executable, "-m", "keyquorum", "unseal", "--data", str(server.data)],
            input="\n".join(lines),
            env=environment(),
            capture_output=True,
            text=True,
            timeout=60,
        )

    one = unseal(shares[0], "nonsense")
    assert one.returncode == 1
    assert "1 of the 3 shares that are needed are there (numbers 1)" in one.stdout
    assert "keyquorum: a share has 33 words" in one.stderr
    done = unseal("", shares[3], shares[4])
    assert (done.returncode, done.stdout.splitlines()[-1]) == (0, "The server is unsealed.")
    server.wait_until_open()
    assert unseal(shares[0]).stdout.endswith("is not sealed.\n")


def test_sigterm_ends_a_sealed_server(begin: Callable[..., Sealable], shares: list[str]) -> None:
    server = begin("--seal", "shamir")
    server.bring(share=shares[0])
    server.stop()
    assert "Traceback" not in server.stderr.read_text()


def test_a_passphrase_that_is_brought(begin: Callable[..., Sealable], tmp_path: Path) -> None:
    source = secret_file(tmp_path / "passphrase", "correct horse battery")
    run("seal", "init", "--data", str(tmp_path / "data"), "--seal", "passphrase", "--seal-passphrase", source)
    server = begin("--seal", "passphrase", "--seal-passphrase", "api")
    assert server.status()["kind"] == "passphrase"
    status, answer = server.bring(passphrase="wrong horse battery")
    assert (status, answer["message"]) == (400, "the passphrase does not open the root key of this data directory")
    assert server.bring(passphrase="correct horse battery") == (200, {"sealed": False, "starting": True})
    server.wait_until_open()
    assert server.kms("--seal", "passphrase", "--seal-passphrase", source).list_keys()["Keys"] == []


def test_a_token_that_is_away_at_the_start_is_waited_for(
    begin: Callable[..., Sealable], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = Token(tmp_path / "hsm")
    monkeypatch.setenv("SOFTHSM2_CONF", token.variables["SOFTHSM2_CONF"])
    module = ("--seal-pkcs11-module", str(MODULE), "--seal-pkcs11-token", TOKEN)
    options = ("--seal", "pkcs11", *module, "--seal-pkcs11-pin", token.pin)
    run("seal", "init", "--data", str(tmp_path / "data"), *options)
    with token.away():
        server = begin(*options)
        assert "cannot be reached" in server.status()["reason"]
        status, answer = server.bring(share="x")
        assert (status, answer["message"]) == (400, "The server waits for what holds its seal, and for nobody.")
    server.wait_until_open()
    kms = server.kms(*options)
    key = kms.create_key()["KeyMetadata"]["KeyId"]
    token.destroy()  # a server that runs has the root key
    kms.encrypt(KeyId=key, Plaintext=b"x")


def test_a_wrong_pin_is_not_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    token = Token(tmp_path / "hsm")
    monkeypatch.setenv("SOFTHSM2_CONF", token.variables["SOFTHSM2_CONF"])
    options = ("--seal", "pkcs11", "--seal-pkcs11-module", str(MODULE), "--seal-pkcs11-token", TOKEN)
    run("seal", "init", "--data", str(tmp_path / "data"), *options, "--seal-pkcs11-pin", token.pin)
    wrong = secret_file(tmp_path / "wrong", "999999")
    with pytest.raises(RefusedToStart, match="does not take the PIN") as caught:
        Sealable(tmp_path, *options, "--seal-pkcs11-pin", wrong)
    assert "999999" not in str(caught.value)


def test_another_keyquorum_that_is_away_or_sealed_is_waited_for(
    begin: Callable[..., Sealable], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "other").mkdir()
    other = Production(tmp_path / "other")
    try:
        arn = other.client().create_key()["KeyMetadata"]["Arn"]
        (tmp_path / ".aws").mkdir()
        (tmp_path / ".aws" / "credentials").write_text(
            f"[default]\naws_access_key_id={other.root.key_id}\naws_secret_access_key={other.root.secret}\n"
        )
        monkeypatch.setenv("HOME", str(tmp_path))
        options = ("--seal", "kms", "--seal-kms-key", arn, "--seal-kms-endpoint", other.url)
        run("seal", "init", "--data", str(tmp_path / "data"), *options)
        other.client().disable_key(KeyId=arn)
        server = begin(*options)
        assert "DisabledException" in server.status()["reason"]
        other.client().enable_key(KeyId=arn)
        server.wait_until_open()
        assert server.kms(*options).list_keys()["Keys"] == []
        server.stop()
        other.stop()
        dark = begin(*options)
        assert "cannot be reached" in dark.status()["reason"]
    finally:
        other.stop()


def test_a_seal_is_exchanged_while_a_server_runs(begin: Callable[..., Sealable], tmp_path: Path) -> None:
    server = begin()
    kms = server.kms()
    key = kms.create_key()["KeyMetadata"]["KeyId"]
    blob = kms.encrypt(KeyId=key, Plaintext=b"x")["CiphertextBlob"]
    data = ("--data", str(server.data))
    source = ("--seal-passphrase", secret_file(tmp_path / "passphrase", "correct horse battery"))
    said = run("seal", "rotate", *data).stdout
    assert "seal.key.1: backups up to now are sealed by it" in said
    assert kms.decrypt(CiphertextBlob=blob)["Plaintext"] == b"x"
    said = run("seal", "migrate", *data, *source, "--to", "passphrase", "--remove-old").stdout
    assert f"removed {server.data / 'seal.key'}" in said
    assert "Say --seal passphrase in the configuration" in said
    assert kms.decrypt(CiphertextBlob=blob)["Plaintext"] == b"x"
    server.stop()
    with pytest.raises(RefusedToStart, match="sealed by 'passphrase', and the configuration has --seal file"):
        Sealable(tmp_path)
    again = begin("--seal", "passphrase", *source)
    assert again.kms("--seal", "passphrase", *source).decrypt(CiphertextBlob=blob)["Plaintext"] == b"x"
    # Beside the server's own records, in one log that is whole.
    found = run("audit", "search", "--json", *data).stdout.splitlines()
    changes = [json.loads(line) for line in found if 'Seal","awsRegion"' in line]
    assert [(change["eventName"], change["serviceEventDetails"]) for change in changes] == [
        ("RotateSeal", {"seal": "file", "sealBefore": "file"}),
        ("MigrateSeal", {"seal": "passphrase", "sealBefore": "file", "removeOld": True}),
    ]
    assert "The log is whole." in run("audit", "verify", *data, "--seal", "passphrase", *source).stdout


def test_a_seal_is_not_changed_without_its_record(tmp_path: Path) -> None:
    """No record, no change: an audit directory that takes none."""
    data = ("--data", str(tmp_path / "data"))
    run("seal", "init", *data)
    key = (tmp_path / "data" / "seal.key").read_bytes()
    shutil.rmtree(tmp_path / "data" / "audit")
    (tmp_path / "data" / "audit").write_text("")
    with pytest.raises(subprocess.CalledProcessError) as caught:
        run("seal", "rotate", *data)
    assert "Traceback" not in caught.value.stderr
    assert (tmp_path / "data" / "seal.key").read_bytes() == key
    run("seal", "status", "--check", *data)


def test_the_first_start_makes_only_a_key_file_by_itself(tmp_path: Path) -> None:
    for kind in ("shamir", "file,environment"):
        with pytest.raises(RefusedToStart, match="keyquorum seal init"):
            Sealable(tmp_path, "--seal", kind)


def bring_by_command(share: str, *options: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "keyquorum", "unseal", *options],
        input=share,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=60,
    )


@pytest.mark.parametrize("workers", ["1", "2"])
def test_shares_travel_by_tls_from_the_start(
    workers: str, begin: Callable[..., Sealable], shares: list[str], tmp_path: Path
) -> None:
    """The certificate is shown before anything is open, and is checked before a share leaves."""
    mine, strange = tmp_path / "mine", tmp_path / "strange"
    for certs in (mine, strange):
        run("tls", "dev-cert", str(certs))
    tls = ("--tls-cert", str(mine / "server.pem"), "--tls-key", str(mine / "server.key"))
    server = begin("--seal", "shamir", "--workers", workers, *tls)
    assert server.url.startswith("https://")
    with socket.create_connection((server.host, server.port), timeout=10) as plain:
        plain.sendall(b"GET /v1/seal HTTP/1.1\r\nHost: x\r\n\r\n")
        assert b"threshold" not in plain.recv(1000)
    for stranger in (("--url", server.url), ("--url", server.url, "--ca-bundle", str(strange / "ca.pem"))):
        refused = bring_by_command(shares[0], *stranger)
        assert (refused.returncode, "CERTIFICATE_VERIFY_FAILED" in refused.stderr) == (2, True), refused
    there = ("--url", server.url, "--ca-bundle", str(mine / "ca.pem"))
    for number in (0, 1):
        assert f"{number + 1} of the 3 shares" in bring_by_command(shares[number], *there).stdout
    # The server tells the command where its authority is, if that lies beside the certificate.
    assert bring_by_command(shares[3], "--data", str(server.data)).stdout == "The server is unsealed.\n"
    context = ssl.create_default_context(cafile=mine / "ca.pem")
    while True:
        try:
            with urllib.request.urlopen(server.url + "/readyz", context=context, timeout=10) as answer:
                assert answer.status == 200
            break
        except (OSError, http.client.HTTPException):
            time.sleep(0.05)
    access = server.access(*by_hand(tmp_path, shares))
    kms = client(server.url, "kms", access, verify=str(mine / "ca.pem"))
    blob = kms.encrypt(KeyId=kms.create_key()["KeyMetadata"]["KeyId"], Plaintext=b"x")["CiphertextBlob"]
    assert kms.decrypt(CiphertextBlob=blob)["Plaintext"] == b"x"
    assert "is not sealed" in bring_by_command(shares[3], *there).stdout
