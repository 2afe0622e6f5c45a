# SPDX-License-Identifier: Apache-2.0
"""Key sets are fetched from where they should be, bounded in size, time and number, and from nowhere else."""

import json
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from http_wire import wait_until
from issuer import CONFIGURATION, KEY_SET, Issuer, dripping, issuing

from keyquorum import jwks
from keyquorum.errors import IDPCommunicationErrorException
from keyquorum.jwks import KeySetError, KeySets, location, parse, without_scheme

pytestmark = pytest.mark.slow


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    with issuing() as started:
        yield started


def fails(issuer: Issuer, name: str | None = None) -> None:
    unreachable(KeySets(), name or issuer.url)


def unreachable(key_sets: KeySets, url: str, key_id: str | None = "rsa") -> None:
    with pytest.raises(IDPCommunicationErrorException):
        key_sets.get(url, key_id)


class Hours:
    """A clock that a test moves on."""

    def __init__(self) -> None:
        self.passed = 0.0

    def __call__(self) -> float:
        return time.monotonic() + self.passed


def test_a_key_set_is_fetched_once(issuer: Issuer) -> None:
    key_sets = KeySets()
    for key_id in ("rsa", "ec", None, "rsa"):
        assert key_sets.get(issuer.url, key_id) == issuer.keys
    assert issuer.asked == {CONFIGURATION: 1, KEY_SET: 1}


def test_unknown_keys_do_not_make_it_ask_again_and_again(issuer: Issuer) -> None:
    key_sets = KeySets()
    for number in range(20):
        key_sets.get(issuer.url, f"unknown-{number}")
    assert issuer.asked[KEY_SET] == 1


def test_an_issuer_that_fails_is_left_alone_for_a_while(issuer: Issuer) -> None:
    key_sets = KeySets()
    del issuer.answers[KEY_SET]
    for _ in range(5):
        with pytest.raises(IDPCommunicationErrorException):
            key_sets.get(issuer.url, "rsa")
    assert issuer.asked == {CONFIGURATION: 1, KEY_SET: 1}


def test_many_threads_ask_once(issuer: Issuer) -> None:
    key_sets = KeySets()
    threads = [threading.Thread(target=key_sets.get, args=(issuer.url, "rsa")) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert issuer.asked[KEY_SET] == 1


@pytest.mark.parametrize(
    "configuration",
    [
        {"issuer": "http://127.0.0.1:1", "jwks_uri": ""},
        {"jwks_uri": ""},
        {"issuer": "", "jwks_uri": "file:///etc/passwd"},
        {"issuer": "", "jwks_uri": "http://192.0.2.1/keys"},
        {"issuer": "", "jwks_uri": "http://127.0.0.1.example/keys"},
        {"issuer": "", "jwks_uri": "http://127.0.0.1@192.0.2.1/keys"},
        {"issuer": "", "jwks_uri": None},
        [],
    ],
    ids=str,
)
def test_a_configuration_that_leads_elsewhere(issuer: Issuer, configuration: Any) -> None:
    """ "" stands for what would be right."""
    right = {"issuer": issuer.url, "jwks_uri": issuer.url + KEY_SET}
    if isinstance(configuration, dict):
        configuration = {name: right[name] if value == "" else value for name, value in configuration.items()}
    issuer.show(CONFIGURATION, configuration)
    fails(issuer)
    assert issuer.asked[KEY_SET] == 0


@pytest.mark.parametrize(
    ("issuer", "url", "is_safe"),
    [
        ("https://issuer.example", "https://keys.example/k", True),
        ("https://issuer.example", "http://127.0.0.1:8500/v1/agent/leave", False),
        ("https://issuer.example", "http://localhost/k", False),
        ("https://issuer.example", "http://[::1]/k", False),
        ("http://127.0.0.1:1", "http://127.0.0.1:2/k", True),
        ("http://127.0.0.1:1", "https://keys.example/k", True),
        ("http://127.0.0.1:1", "http://192.0.2.1/k", False),
    ],
)
def test_nothing_on_this_machine_is_asked_for_an_issuer_elsewhere(issuer: str, url: str, is_safe: bool) -> None:
    configuration = json.dumps({"issuer": issuer, "jwks_uri": url}).encode()
    if is_safe:
        assert location(issuer, configuration) == url
    else:
        with pytest.raises(KeySetError):
            location(issuer, configuration)


@pytest.mark.parametrize("path", [CONFIGURATION, KEY_SET])
def test_redirects_are_not_followed(issuer: Issuer, path: str) -> None:
    def redirect(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(302)
        handler.send_header("Location", f"{issuer.url}/elsewhere")
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    issuer.answers["/elsewhere"] = issuer.answers[path]
    issuer.answers[path] = redirect
    fails(issuer)
    assert issuer.asked["/elsewhere"] == 0


@pytest.mark.parametrize("path", [CONFIGURATION, KEY_SET])
@pytest.mark.parametrize("answer", [b"", b"<html>", b"{}", b'{"keys": {}}', b'{"keys": [1]}', b"[" * 100_000])
def test_what_is_no_document(issuer: Issuer, path: str, answer: bytes) -> None:
    issuer.answers[path] = answer
    fails(issuer)


def test_an_answer_has_a_longest_form(issuer: Issuer) -> None:
    issuer.answers[KEY_SET] = b'{"keys": []' + b" " * (128 * 1024) + b"}"
    fails(issuer)


def test_an_answer_that_breaks_off(issuer: Issuer) -> None:
    def hang_up(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", "1000")
        handler.end_headers()
        handler.wfile.write(b'{"keys": [')

    issuer.answers[KEY_SET] = hang_up
    fails(issuer)


def test_plain_http_goes_to_no_proxy(issuer: Issuer, monkeypatch: pytest.MonkeyPatch) -> None:
    with issuing() as proxy:
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
            monkeypatch.setenv(name, proxy.url)
        for name in ("no_proxy", "NO_PROXY"):
            monkeypatch.delenv(name, raising=False)
        assert KeySets().get(issuer.url, "rsa") == issuer.keys
        assert not proxy.asked


def test_https_goes_by_way_of_the_proxy_and_nothing_else_is_told_there(monkeypatch: pytest.MonkeyPatch) -> None:
    with issuing() as proxy:
        monkeypatch.setenv("https_proxy", proxy.url)
        unreachable(KeySets(), "https://issuer.invalid")
        assert proxy.asked == {"CONNECT issuer.invalid:443": 1}


def certified(directory: Path) -> tuple[ssl.SSLContext, Path]:
    """For a server on localhost, with a certificate that is in the file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    secret = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    both, public = directory / "both.pem", directory / "cert.pem"
    both.write_bytes(certificate.public_bytes(pem) + secret)
    public.write_bytes(certificate.public_bytes(pem))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(both)
    return context, public


def test_a_certificate_must_be_one_that_is_trusted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    context, certificate = certified(tmp_path)
    with issuing(context) as issuer:
        unreachable(KeySets(), issuer.url)
        assert not issuer.asked
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        assert KeySets().get(issuer.url, "rsa") == issuer.keys
        unreachable(KeySets(), issuer.url.replace("localhost", "127.0.0.1"))
        issuer.show(CONFIGURATION, {"issuer": issuer.url, "jwks_uri": issuer.url.replace("https", "http") + KEY_SET})
        unreachable(KeySets(), issuer.url)


# -- issuers that take their time

SLOW = {
    "before an answer": b"",
    "in a header": b"HTTP/1.1 200 OK\r\nX-A: ",
    "in the body": b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n",
    "in a TLS record": b"\x16\x03\x03\x40\x00",
    "in a chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1000\r\n",
}


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jwks, "_PATIENCE", 0.1)
    monkeypatch.setattr(jwks, "_TIMEOUT", 0.5)


@pytest.mark.parametrize("begin", SLOW.values(), ids=SLOW)
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_an_issuer_that_drips_holds_nobody_and_ends(hasty: None, scheme: str, begin: bytes) -> None:
    """A socket's timeout is for one read: there must be another end to it."""
    key_sets = KeySets()
    with dripping(begin) as address:
        for _ in range(5):
            unreachable(key_sets, f"{scheme}://{address}")
        wait_until(lambda: not key_sets._fetches)
        unreachable(key_sets, f"{scheme}://{address}")


def test_one_issuer_that_drips_does_not_keep_others_waiting(hasty: None, issuer: Issuer) -> None:
    key_sets = KeySets()
    with dripping(SLOW["in a header"]) as address:
        unreachable(key_sets, f"http://{address}")
        assert key_sets.get(issuer.url, "rsa") == issuer.keys


def test_few_issuers_are_asked_at_a_time_and_none_waits_for_a_place(hasty: None, issuer: Issuer) -> None:
    key_sets = KeySets()
    with ExitStack() as stack:
        for _ in range(12):
            unreachable(key_sets, f"http://{stack.enter_context(dripping(SLOW['in a header']))}")
            assert len(key_sets._fetches) <= 8
        wait_until(lambda: not key_sets._fetches)
    assert key_sets.get(issuer.url, "rsa") == issuer.keys


def test_what_comes_late_is_there_for_who_asks_next(monkeypatch: pytest.MonkeyPatch, issuer: Issuer) -> None:
    monkeypatch.setattr(jwks, "_PATIENCE", 0.1)
    go_on = threading.Event()
    answer = issuer.answers[KEY_SET]

    def late(handler: BaseHTTPRequestHandler) -> None:
        assert go_on.wait(30)
        assert isinstance(answer, bytes)
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(answer)))
        handler.end_headers()
        handler.wfile.write(answer)

    issuer.answers[KEY_SET] = late
    key_sets = KeySets()
    for _ in range(3):
        unreachable(key_sets, issuer.url)
    go_on.set()
    wait_until(lambda: not key_sets._fetches)
    assert key_sets.get(issuer.url, "rsa") == issuer.keys
    assert issuer.asked[KEY_SET] == 1


# -- what is known is kept


def test_a_failure_that_a_stranger_provokes_takes_no_keys_away(issuer: Issuer) -> None:
    now = Hours()
    key_sets = KeySets(now)
    key_sets.get(issuer.url, "rsa")
    del issuer.answers[KEY_SET]
    for _ in range(3):
        now.passed += 31
        unreachable(key_sets, issuer.url, "made up")
        assert key_sets.get(issuer.url, "rsa") == issuer.keys
        assert key_sets.get(issuer.url, None) == issuer.keys
    assert issuer.asked[KEY_SET] == 4


def test_keys_are_believed_for_their_time_and_no_longer(issuer: Issuer) -> None:
    now = Hours()
    key_sets = KeySets(now)
    key_sets.get(issuer.url, "rsa")
    del issuer.answers[CONFIGURATION]
    now.passed = 299
    assert key_sets.get(issuer.url, "rsa") == issuer.keys
    wait_until(lambda: not key_sets._fetches)
    now.passed = 301
    unreachable(key_sets, issuer.url)


def test_a_key_that_is_known_waits_for_no_renewal(issuer: Issuer) -> None:
    now, go_on = Hours(), threading.Event()
    key_sets = KeySets(now)
    key_sets.get(issuer.url, "rsa")
    issuer.answers[CONFIGURATION] = lambda handler: handler.send_error(503) if go_on.wait(30) else None
    now.passed = 200
    assert key_sets.get(issuer.url, "rsa") == issuer.keys
    assert key_sets._fetches
    go_on.set()
    wait_until(lambda: not key_sets._fetches)


def test_a_new_key_is_found_and_an_old_one_goes(issuer: Issuer) -> None:
    now = Hours()
    key_sets = KeySets(now)
    key_sets.get(issuer.url, "rsa")
    issuer.show(KEY_SET, {"keys": [{**issuer.keys[0], "kid": "next"}]})
    now.passed = 31
    assert [key["kid"] for key in key_sets.get(issuer.url, "next")] == ["next"]
    assert [key["kid"] for key in key_sets.get(issuer.url, "rsa")] == ["next"]


def test_many_issuers_do_not_pile_up(monkeypatch: pytest.MonkeyPatch, issuer: Issuer) -> None:
    monkeypatch.setattr(jwks, "_MAX_ISSUERS", 3)
    key_sets = KeySets()
    for number in range(5):
        unreachable(key_sets, f"http://127.0.0.1:{number + 1}")
    key_sets.get(issuer.url, "rsa")
    unreachable(key_sets, "http://127.0.0.1:9")
    assert len(key_sets._known) == 3
    key_sets.get(issuer.url, "rsa")
    assert issuer.asked[KEY_SET] == 1


def test_an_issuer_that_is_not_there(issuer: Issuer) -> None:
    fails(issuer, "http://127.0.0.1:9")
    fails(issuer, "https://issuer.invalid")


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("https://issuer.example", "issuer.example"),
        ("https://issuer.example/realms/x/", "issuer.example/realms/x/"),
        ("https://issuer.example:8443/a", "issuer.example:8443/a"),
        ("http://127.0.0.1:8080", "127.0.0.1:8080"),
        ("http://localhost/a", "localhost/a"),
        ("http://[::1]:80", "[::1]:80"),
        ("http://issuer.example", None),
        ("http://127.0.0.1.example", None),
        ("HTTPS://issuer.example", None),
        ("ftp://127.0.0.1", None),
        ("file:///etc/passwd", None),
        ("https://user@issuer.example", None),
        ("https://issuer.example?x=1", None),
        ("https://issuer.example#x", None),
        ("https://", None),
        ("https://[", None),
        ("issuer.example", None),
        ("", None),
    ],
)
def test_the_issuers_that_may_be_asked(url: str, name: str | None) -> None:
    assert without_scheme(url) == name


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "null",
        '{"keys": [[]]}',
        '{"keys": []}' + " " * 131_072,
        '{"keys":[{"x":' + "[" * 9000 + "]" * 9000 + "}]}",
    ],
    ids=lambda text: text[:16],
)
def test_no_key_set(text: str) -> None:
    with pytest.raises(KeySetError):
        parse(text)
