# SPDX-License-Identifier: Apache-2.0
"""Key sets are fetched from where they should be, bounded in size, time and number, and from nowhere else."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from typing import Any

import pytest
from issuer import CONFIGURATION, KEY_SET, Issuer, issuing

from keyquorum.errors import IDPCommunicationErrorException
from keyquorum.jwks import KeySetError, KeySets, parse, without_scheme


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    with issuing() as started:
        yield started


def fails(issuer: Issuer, name: str | None = None) -> None:
    with pytest.raises(IDPCommunicationErrorException):
        KeySets().get(name or issuer.url, "rsa")


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


@pytest.mark.parametrize("text", ["", "[]", "null", '{"keys": [[]]}', '{"keys": []}' + " " * 131_072])
def test_no_key_set(text: str) -> None:
    with pytest.raises(KeySetError):
        parse(text)
