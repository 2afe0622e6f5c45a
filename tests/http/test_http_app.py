# SPDX-License-Identifier: Apache-2.0
"""Everything but ``POST /`` goes to the ASGI app; other sockets; addresses behind proxies."""

import socket
import ssl
from datetime import UTC, datetime, timedelta
from ipaddress import ip_network
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from http_wire import Running, Serve, get, post

from keyquorum.server.proxies import client_address


def test_the_app_gets_other_paths_and_methods_with_the_whole_body(shared: Running) -> None:
    answer = shared.ask(post(b"body", target=b"/a%20b/c?d=%20e"))
    assert answer.json == {
        "asgi": "/a b/c",
        "raw_path": "/a%20b/c",
        "query": "d=%20e",
        "method": "POST",
        "version": "1.1",
        "client": answer.json["client"],
        "body": "body",
        "more": False,
    }
    assert answer.json["client"][0] == "127.0.0.1"
    assert shared.ask(get(b"/")).json["method"] == "GET"
    assert shared.ask(get(b"/", method=b"PUT")).json["method"] == "PUT"


def test_head_has_no_body(shared: Running) -> None:
    wire = shared.connect()
    wire.send(get(b"/x", method=b"HEAD") + get(b"/y", b"Connection: close"))
    head, _, rest = wire.rest().partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200")
    assert rest.startswith(b"HTTP/1.1 200")


def test_an_answer_without_a_length_is_chunked(shared: Running) -> None:
    wire = shared.connect()
    wire.send(get(b"/chunks", b"Connection: close"))
    data = wire.rest()
    assert b"transfer-encoding: chunked" in data
    assert data.endswith(b"0\r\n\r\n")


def test_http_1_0_closes(shared: Running) -> None:
    wire = shared.connect()
    answer = wire.exchange(b"GET /x HTTP/1.0\r\n\r\n")
    assert answer.json["version"] == "1.0"
    assert answer.closes
    assert wire.ended()


def test_an_app_that_raises(shared: Running, caplog: pytest.LogCaptureFixture) -> None:
    wire = shared.connect()
    assert wire.exchange(get(b"/boom")).status == 500
    assert wire.ended()
    assert "a bug in the app" in caplog.text
    assert shared.ask(post(b"x")).status == 200


def test_ipv6(serve: Serve) -> None:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("no IPv6 loopback here")
    assert serve(family=socket.AF_INET6).ask(post(b"x")).json["peer"] == "::1"


def test_the_plain_event_loop_serves_as_well(serve: Serve) -> None:
    server = serve(loop="asyncio")
    wire = server.connect()
    wire.send(post(b"sleep 0.05") + post(b"big 300000") + get(b"/x") + b"nonsense\r\n\r\n")
    assert [wire.response().status for _ in range(4)] == [200, 200, 200, 400]
    assert wire.ended()


@pytest.mark.slow
def test_tls(serve: Serve, tmp_path: Path) -> None:
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
    (tmp_path / "cert.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    (tmp_path / "key.pem").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    server = serve(ssl_certfile=str(tmp_path / "cert.pem"), ssl_keyfile=str(tmp_path / "key.pem"))
    context = ssl.create_default_context(cafile=str(tmp_path / "cert.pem"))
    wire = server.connect(tls=context)
    wire.send(post(b"sleep 0.05") + post(b"y" * 200_000) + get(b"/x") + b"nonsense\r\n\r\n")
    assert [wire.response().status for _ in range(4)] == [200, 200, 200, 400]
    assert wire.ended()


class TestClientAddress:
    PROXIES = (ip_network("10.0.0.0/8"), ip_network("fd00::/8"))

    @pytest.mark.parametrize(
        ("peer", "forwarded", "expected"),
        [
            ("192.0.2.1", ["198.51.100.1"], "192.0.2.1"),  # not a proxy of ours: not read
            ("10.0.0.1", [], "10.0.0.1"),
            ("10.0.0.1", ["198.51.100.1"], "198.51.100.1"),
            ("10.0.0.1", ["203.0.113.9, 198.51.100.1"], "198.51.100.1"),  # the left one is the client's own word
            ("10.0.0.1", ["203.0.113.9, 198.51.100.1, 10.0.0.2"], "198.51.100.1"),
            ("10.0.0.1", ["203.0.113.9", "198.51.100.1", "10.0.0.2"], "198.51.100.1"),
            ("10.0.0.1", ["10.0.0.3, 10.0.0.2"], "10.0.0.1"),
            ("10.0.0.1", ["198.51.100.1, unknown"], "10.0.0.1"),
            ("10.0.0.1", ["198.51.100.1:80"], "10.0.0.1"),
            ("10.0.0.1", ["198.51.100.1,"], "10.0.0.1"),
            ("10.0.0.1", ["\xff\x80"], "10.0.0.1"),
            ("fd00::1", ["2001:db8::1"], "2001:db8::1"),
            ("::ffff:10.0.0.1", ["::ffff:198.51.100.1"], "198.51.100.1"),
            ("::ffff:192.0.2.1", [], "192.0.2.1"),
            ("", ["198.51.100.1"], ""),
        ],
    )
    def test_it(self, peer: str, forwarded: list[str], expected: str) -> None:
        headers = [(b"host", b"a"), *((b"x-forwarded-for", value.encode("latin-1")) for value in forwarded)]
        assert client_address(peer, headers, self.PROXIES) == expected

    def test_without_proxies_no_header_is_believed(self) -> None:
        assert client_address("10.0.0.1", [(b"x-forwarded-for", b"198.51.100.1")]) == "10.0.0.1"

    def test_over_a_socket(self, shared: Running, serve: Serve) -> None:
        header = b"X-Forwarded-For: 203.0.113.9, 198.51.100.1"
        assert shared.ask(post(b"", header)).json["peer"] == "127.0.0.1"
        behind = serve(trusted=(ip_network("127.0.0.0/8"),))
        wire = behind.connect()
        assert wire.exchange(post(b"", header)).json["peer"] == "198.51.100.1"
        assert wire.exchange(post(b"")).json["peer"] == "127.0.0.1"
        assert wire.exchange(get(b"/x", header)).json["client"] == ["198.51.100.1", 0]
