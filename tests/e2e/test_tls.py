# SPDX-License-Identifier: Apache-2.0
"""TLS as clients see it: who is let in, what is refused, and certificates that change under open connections."""

import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from botocore.config import Config
from botocore.exceptions import ClientError, ConnectionClosedError, SSLError
from cryptography import x509
from servers import Production, RefusedToStart, environment, run

pytestmark = pytest.mark.slow


def dev_cert(directory: Path, *options: str) -> None:
    run("tls", "dev-cert", str(directory), *options)


@pytest.fixture(scope="module")
def certs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("certs")
    dev_cert(directory, "--client", "alice")
    return directory


@pytest.fixture(scope="module")
def strangers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Another authority, and a client of it."""
    directory = tmp_path_factory.mktemp("strangers")
    dev_cert(directory, "--client", "mallory")
    return directory


def options(certs: Path, *more: str) -> tuple[str, ...]:
    return ("--tls-cert", str(certs / "server.pem"), "--tls-key", str(certs / "server.key"), *more)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, certs: Path) -> Iterator[Production]:
    server = Production(tmp_path_factory.mktemp("server"), *options(certs))
    yield server
    server.discard()


def client(server: Production, certs: Path, cert: tuple[Path, str] | None = None, **more: Any) -> Any:
    config = Config(
        retries={"total_max_attempts": 1},
        client_cert=None if cert is None else (str(cert[0] / f"{cert[1]}.pem"), str(cert[0] / f"{cert[1]}.key")),
    )
    return server.client(verify=str(certs / "ca.pem"), config=config, **more)


def handshake(server: Production, certs: Path, **attributes: Any) -> ssl.SSLSocket:
    """A connection, with a context of the client's own choosing."""
    context = ssl.create_default_context(cafile=certs / "ca.pem")
    ciphers = attributes.pop("ciphers", None)
    if ciphers is not None:
        context.set_ciphers(ciphers)
    for name, value in attributes.items():
        setattr(context, name, value)
    return context.wrap_socket(socket.create_connection((server.host, server.port)), server_hostname="localhost")


def serial(server: Production, certs: Path) -> int:
    with handshake(server, certs) as sock:
        der = sock.getpeercert(binary_form=True)
        assert der is not None
        return x509.load_der_x509_certificate(der).serial_number


def stderr_has(server: Production, text: str, count: int = 1) -> None:
    for _ in range(600):
        if server.stderr.read_text().count(text) >= count:
            return
        time.sleep(0.05)
    raise AssertionError(server.stderr.read_text())


def test_boto3_with_the_authority(server: Production, certs: Path, strangers: Path) -> None:
    assert server.url.startswith("https://")
    key_id = client(server, certs).create_key()["KeyMetadata"]["KeyId"]
    assert client(server, certs).describe_key(KeyId=key_id)["KeyMetadata"]["Enabled"]
    with pytest.raises(SSLError):
        client(server, strangers).list_keys()


def test_the_aws_cli_and_our_own_by_what_env_prints(server: Production, certs: Path) -> None:
    assert server.env["AWS_CA_BUNDLE"] == str(certs / "ca.pem")
    variables = {**environment(), **server.env}
    aws = Path(sys.executable).with_name("aws")
    for command in ([str(aws), "kms", "list-keys"], [sys.executable, "-m", "keyquorum", "iam", "list-users"]):
        done = subprocess.run(command, env=variables, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
    del variables["AWS_CA_BUNDLE"]
    bundled = [str(aws), "kms", "list-keys", "--ca-bundle", str(certs / "ca.pem")]
    assert "Keys" in json.loads(subprocess.run(bundled, env=variables, capture_output=True, timeout=60).stdout)
    for command in ([str(aws), "kms", "list-keys"], [sys.executable, "-m", "keyquorum", "iam", "list-users"]):
        done = subprocess.run(command, env=variables, capture_output=True, text=True, timeout=60)
        assert done.returncode != 0
        assert "CERTIFICATE_VERIFY_FAILED" in done.stderr.upper().replace(" ", "_")


def test_a_policy_that_asks_for_secure_transport(
    server: Production, certs: Path, start: Callable[..., Production]
) -> None:
    statement = {
        "Sid": "root",
        "Effect": "Allow",
        "Principal": {"AWS": "arn:aws:iam::111122223333:root"},
        "Action": "kms:*",
        "Resource": "*",
    }
    only_tls = {
        "Sid": "tls",
        "Effect": "Deny",
        "Principal": "*",
        "Action": "kms:Encrypt",
        "Resource": "*",
        "Condition": {"Bool": {"aws:SecureTransport": "false"}},
    }
    policy = json.dumps({"Version": "2012-10-17", "Statement": [statement, only_tls]})
    kms = client(server, certs)
    key_id = kms.create_key(Policy=policy)["KeyMetadata"]["KeyId"]
    assert kms.encrypt(KeyId=key_id, Plaintext=b"x")["CiphertextBlob"]
    plain = start().client()
    key_id = plain.create_key(Policy=policy)["KeyMetadata"]["KeyId"]
    with pytest.raises(ClientError, match="AccessDenied"):
        plain.encrypt(KeyId=key_id, Plaintext=b"x")


def test_old_versions_and_weak_suites_are_refused(server: Production, certs: Path) -> None:
    with handshake(server, certs) as sock:
        assert sock.version() == "TLSv1.3"
    with handshake(server, certs, maximum_version=ssl.TLSVersion.TLSv1_2) as sock:
        assert sock.version() == "TLSv1.2"
        name = sock.cipher()
        assert name is not None
        assert name[0].startswith("ECDHE-")
        assert "GCM" in name[0] or "CHACHA20" in name[0]
    for ciphers in ("ECDHE+AES:!AESGCM:!AESCCM", "AES128-GCM-SHA256", "DHE+AESGCM"):
        with pytest.raises(OSError):
            handshake(server, certs, maximum_version=ssl.TLSVersion.TLSv1_2, ciphers=ciphers)
    with pytest.warns(DeprecationWarning, match="TLSv1"), pytest.raises(OSError):
        handshake(
            server,
            certs,
            minimum_version=ssl.TLSVersion.TLSv1,
            maximum_version=ssl.TLSVersion.TLSv1_1,
            ciphers="ALL:@SECLEVEL=0",
        )


def test_plain_http_on_the_port_of_tls_gets_nothing(server: Production, certs: Path) -> None:
    with socket.create_connection((server.host, server.port)) as sock:
        sock.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        try:
            received = sock.recv(4096)
        except ConnectionResetError:
            received = b""
        assert not received.startswith(b"HTTP/")
    assert client(server, certs).list_keys()["Keys"] is not None


def test_clients_must_show_a_certificate(
    tmp_path: Path, certs: Path, strangers: Path, start: Callable[..., Production]
) -> None:
    server = start(*options(certs, "--tls-client-ca", str(certs / "ca.pem")))
    assert client(server, certs, (certs, "alice")).list_keys()["Keys"] == []
    for cert in (None, (strangers, "mallory"), (certs, "server")):
        with pytest.raises((SSLError, ConnectionClosedError)):
            client(server, certs, cert).list_keys()


def test_clients_may_show_a_certificate(certs: Path, strangers: Path, start: Callable[..., Production]) -> None:
    server = start(*options(certs, "--tls-client-ca", str(certs / "ca.pem"), "--tls-client-auth", "optional"))
    for cert in (None, (certs, "alice")):
        assert client(server, certs, cert).list_keys()["Keys"] == []
    with pytest.raises((SSLError, ConnectionClosedError)):
        client(server, certs, (strangers, "mallory")).list_keys()


@pytest.mark.parametrize("workers", [1, 2])
def test_a_new_certificate_under_open_connections(
    tmp_path: Path, start: Callable[..., Production], workers: int
) -> None:
    certs = tmp_path / "certs"
    dev_cert(certs)
    server = start(*options(certs, "--workers", str(workers)))
    old = serial(server, certs)
    opened = [handshake(server, certs) for _ in range(8)]
    dev_cert(certs)
    os.kill(server._process.pid, signal.SIGHUP)
    stderr_has(server, "SIGHUP: new connections are served with certificate", workers)
    found = {serial(server, certs) for _ in range(10)}
    assert len(found) == 1
    assert found != {old}
    for sock in opened:
        sock.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert sock.recv(4096).startswith(b"HTTP/1.1 200 ")
        sock.close()
    assert client(server, certs).list_keys()["Keys"] == []


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            lambda certs, other: (certs / "server.key").write_bytes((other / "server.key").read_bytes()),
            "do not go together",
        ),
        (lambda certs, other: (certs / "server.pem").write_text("no certificate"), "do not go together"),
        (lambda certs, other: (certs / "server.pem").unlink(), "cannot be read: No such file"),
        (lambda certs, other: (certs / "server.key").chmod(0o644), "can be read or written by others"),
        (lambda certs, other: dev_cert(certs, "--days", "-1"), "expired on"),
    ],
    ids=["another's key", "no PEM", "gone", "open to others", "expired"],
)
def test_a_bad_new_certificate_keeps_the_old(
    tmp_path: Path, strangers: Path, start: Callable[..., Production], change: Callable[[Path, Path], Any], said: str
) -> None:
    certs = tmp_path / "certs"
    dev_cert(certs)
    server = start(*options(certs))
    old = serial(server, certs)
    change(certs, strangers)
    os.kill(server._process.pid, signal.SIGHUP)
    stderr_has(server, "SIGHUP: the TLS certificate stays as it was: ")
    assert said in server.stderr.read_text()
    assert serial(server, certs) == old
    dev_cert(certs)
    os.kill(server._process.pid, signal.SIGHUP)
    stderr_has(server, "SIGHUP: new connections are served with certificate")
    assert serial(server, certs) != old


def test_an_authority_of_clients_that_is_taken_away(
    tmp_path: Path, certs: Path, strangers: Path, start: Callable[..., Production]
) -> None:
    """Also for those who could resume a session of before."""
    accepted = tmp_path / "clients.pem"
    accepted.write_bytes((strangers / "ca.pem").read_bytes())
    server = start(*options(certs, "--tls-client-ca", str(accepted)))
    context = ssl.create_default_context(cafile=certs / "ca.pem")
    context.load_cert_chain(strangers / "mallory.pem", strangers / "mallory.key")

    def ask(session: ssl.SSLSession | None) -> tuple[bytes, bool, ssl.SSLSession | None]:
        plain = socket.create_connection((server.host, server.port))
        with context.wrap_socket(plain, server_hostname="localhost", session=session) as sock:
            sock.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            return sock.recv(4096), bool(sock.session_reused), sock.session

    answer, _, session = ask(None)
    assert answer.startswith(b"HTTP/1.1 200 ")
    answer, resumed, session = ask(session)
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert resumed
    accepted.write_bytes((certs / "ca.pem").read_bytes())
    os.kill(server._process.pid, signal.SIGHUP)
    stderr_has(server, "SIGHUP: new connections are served with certificate")
    try:
        answer, resumed, _ = ask(session)
    except OSError:
        answer, resumed = b"", False
    assert (answer, resumed) == (b"", False)
    assert client(server, certs, (certs, "alice")).list_keys()["Keys"] == []


def test_an_expired_certificate_is_served_with_a_warning(tmp_path: Path, start: Callable[..., Production]) -> None:
    certs = tmp_path / "certs"
    dev_cert(certs, "--days", "-1")
    server = start(*options(certs))
    stderr_has(server, "WARNING keyquorum.serve: the TLS certificate expired on")
    with pytest.raises(SSLError):
        client(server, certs).list_keys()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda certs: (certs / "server.key").chmod(0o604), "--tls-key: .* can be read or written by others"),
        (lambda certs: (certs / "server.key").chmod(0o620), "--tls-key: .* can be read or written by others"),
        (lambda certs: (certs / "server.pem").chmod(0o666), "--tls-cert: .* can be written by others"),
        (lambda certs: (certs / "ca.pem").chmod(0o666), "--tls-client-ca: .* can be written by others"),
        (lambda certs: (certs / "ca.pem").write_text("nothing"), "--tls-client-ca: .* has no certificates"),
        (lambda certs: (certs / "server.key").unlink(), "--tls-key: .* cannot be read"),
        (
            lambda certs: subprocess.run(
                ["openssl", "ec", "-aes256", "-passout", "pass:x", "-in", "server.key", "-out", "server.key"],
                cwd=certs,
                check=True,
                capture_output=True,
            ),
            "--tls-key: .* is encrypted",
        ),
    ],
)
def test_files_with_which_no_server_starts(
    tmp_path: Path, start: Callable[..., Production], change: Callable[[Path], Any], said: str
) -> None:
    certs = tmp_path / "certs"
    dev_cert(certs)
    change(certs)
    with pytest.raises(RefusedToStart, match=said):
        start(*options(certs, "--tls-client-ca", str(certs / "ca.pem")))
    assert not (tmp_path / "data").exists()


def test_plain_http_that_others_can_reach_is_said_out_loud(tmp_path: Path, start: Callable[..., Production]) -> None:
    with pytest.raises(RefusedToStart, match="needs --tls-cert and --tls-key, or --insecure-http"):
        start("--host", "0.0.0.0")
    assert "WARNING: plain HTTP" in start("--host", "0.0.0.0", "--insecure-http").stdout.read_text()


def test_connections_that_never_end_their_handshake(server: Production, certs: Path) -> None:
    """They are cut off after a while, and good clients are served meanwhile."""
    silent = [socket.create_connection((server.host, server.port)) for _ in range(200)]
    assert client(server, certs).list_keys()["Keys"] is not None
    for sock in silent:
        sock.settimeout(30)
        with suppress(ConnectionResetError):
            assert sock.recv(1) == b""
        sock.close()


def test_certificates_of_a_lab(tmp_path: Path) -> None:
    directory = tmp_path / "certs"
    dev_cert(directory, "--name", "kms.example", "--name", "192.0.2.7", "--client", "alice")
    modes = {path.name: path.stat().st_mode & 0o777 for path in directory.iterdir()}
    assert {name for name, mode in modes.items() if name.endswith(".key")} == {"ca.key", "server.key", "alice.key"}
    assert all(mode == (0o600 if name.endswith(".key") else 0o600 | mode & 0o044) for name, mode in modes.items())
    verify = ["openssl", "verify", "-x509_strict", "-CAfile", "ca.pem"]
    for purpose, name in (("sslserver", "server"), ("sslclient", "alice")):
        subprocess.run([*verify, "-purpose", purpose, f"{name}.pem"], cwd=directory, check=True, capture_output=True)
    for check in (("-verify_hostname", "kms.example"), ("-verify_ip", "192.0.2.7"), ("-verify_hostname", "localhost")):
        subprocess.run([*verify, *check, "server.pem"], cwd=directory, check=True, capture_output=True)
    ca = (directory / "ca.pem").read_bytes()
    dev_cert(directory)
    assert (directory / "ca.pem").read_bytes() == ca
    for wrong in ("ca", "server", "../alice", ""):
        with pytest.raises(subprocess.CalledProcessError):
            dev_cert(directory, "--client", wrong)
