# SPDX-License-Identifier: Apache-2.0
"""An OpenID Connect provider on loopback, with its keys; and tokens made by the rules of RFC 7515 with none of the code
under test."""

import base64
import hmac
import json
import socket
import ssl
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

AUDIENCE: Final = "sts.amazonaws.com"
SUBJECT: Final = "system:serviceaccount:billing:worker"
CONFIGURATION: Final = "/.well-known/openid-configuration"
KEY_SET: Final = "/keys"

Private = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey

_HASHES: Final[dict[str, hashes.HashAlgorithm]] = {
    "256": hashes.SHA256(),
    "384": hashes.SHA384(),
    "512": hashes.SHA512(),
}
_CURVES: Final = {"secp256r1": "P-256", "secp384r1": "P-384", "secp521r1": "P-521"}


def text_of(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _number(value: int, size: int) -> str:
    return text_of(value.to_bytes(size, "big"))


def public_jwk(key: Private, key_id: str | None = None, **members: str) -> dict[str, Any]:
    numbers = key.public_key().public_numbers()
    if isinstance(numbers, rsa.RSAPublicNumbers):
        found = {"kty": "RSA", "n": _number(numbers.n, (key.key_size + 7) // 8), "e": _number(numbers.e, 3)}
    else:
        size = (key.key_size + 7) // 8
        curve = _CURVES[numbers.curve.name]
        found = {"kty": "EC", "crv": curve, "x": _number(numbers.x, size), "y": _number(numbers.y, size)}
    return {**found, **({} if key_id is None else {"kid": key_id}), **members}


def sign(algorithm: str, key: Private | bytes, message: bytes) -> bytes:
    if algorithm == "none":
        return b""
    if isinstance(key, bytes):
        return hmac.digest(key, message, f"sha{algorithm[2:]}")
    if isinstance(key, ec.EllipticCurvePrivateKey):
        size = (key.key_size + 7) // 8
        pair = decode_dss_signature(key.sign(message, ec.ECDSA(_HASHES[algorithm[2:]])))
        return b"".join(number.to_bytes(size, "big") for number in pair)
    if algorithm.startswith("PS"):
        digest = _HASHES[algorithm[2:]]
        return key.sign(message, padding.PSS(padding.MGF1(digest), digest.digest_size), digest)
    return key.sign(message, padding.PKCS1v15(), _HASHES[algorithm[2:]])


def token(header: dict[str, Any], claims: dict[str, Any], key: Private | bytes) -> str:
    parts = [text_of(json.dumps(part).encode()) for part in (header, claims)]
    message = ".".join(parts)
    return f"{message}.{text_of(sign(header['alg'], key, message.encode()))}"


class Issuer:
    """``answers``: path -> what is answered, to be changed by tests; ``asked`` counts requests by path."""

    def __init__(self, url: str = "https://issuer.example") -> None:
        self.url = url
        self.rsa = rsa.generate_private_key(65537, 2048)
        self.ec = ec.generate_private_key(ec.SECP256R1())
        self.asked: Counter[str] = Counter()
        self.answers: dict[str, Callable[[BaseHTTPRequestHandler], None] | bytes] = {}
        self.show(CONFIGURATION, {"issuer": url, "jwks_uri": url + KEY_SET})
        self.show(KEY_SET, {"keys": self.keys})

    @property
    def keys(self) -> list[dict[str, Any]]:
        return [public_jwk(self.rsa, "rsa"), public_jwk(self.ec, "ec", use="sig", alg="ES256")]

    @property
    def name(self) -> str:
        """What a provider is called by."""
        return self.url.partition("://")[2]

    def show(self, path: str, document: Any) -> None:
        self.answers[path] = json.dumps(document).encode()

    def claims(self, **changes: Any) -> dict[str, Any]:
        """The claims of a Kubernetes workload; one that is changed to None is left out."""
        now = int(time.time())
        claims = {"iss": self.url, "sub": SUBJECT, "aud": [AUDIENCE], "iat": now, "exp": now + 600, "nbf": now}
        return {name: value for name, value in (claims | changes).items() if value is not None}

    def token(self, algorithm: str = "RS256", header: dict[str, Any] | None = None, /, **changes: Any) -> str:
        key, key_id = (self.ec, "ec") if algorithm == "ES256" else (self.rsa, "rsa")
        return token({"alg": algorithm, "kid": key_id, **(header or {})}, self.claims(**changes), key)


@contextmanager
def issuing(tls: ssl.SSLContext | None = None) -> Iterator[Issuer]:
    """An issuer that answers on a free port of this machine, as localhost if it is by TLS."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            issuer.asked[self.path] += 1
            answer = issuer.answers.get(self.path)
            if callable(answer):
                answer(self)
                return
            self.send_response(404 if answer is None else 200)
            self.send_header("Content-Length", str(len(answer or b"")))
            self.end_headers()
            self.wfile.write(answer or b"")

        def do_CONNECT(self) -> None:
            issuer.asked[f"CONNECT {self.path}"] += 1
            self.send_error(502)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    issuer = Issuer(f"http://127.0.0.1:{server.server_port}")
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
        issuer = Issuer(f"https://localhost:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield issuer
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@contextmanager
def dripping(begin: bytes) -> Iterator[str]:
    """The address of what begins an answer, and goes on with it byte by byte for as long as anybody listens."""

    def drip(connection: socket.socket) -> None:
        with connection, suppress(OSError):
            connection.recv(4096)
            connection.sendall(begin)
            while not stopped.wait(0.02):
                connection.sendall(b"a")

    def serve() -> None:
        with suppress(OSError):
            while True:
                threads.append(threading.Thread(target=drip, args=(server.accept()[0],)))
                threads[-1].start()

    stopped = threading.Event()
    server = socket.create_server(("127.0.0.1", 0))
    threads = [threading.Thread(target=serve)]
    threads[0].start()
    try:
        yield f"127.0.0.1:{server.getsockname()[1]}"
    finally:
        stopped.set()
        server.shutdown(socket.SHUT_RDWR)
        for thread in threads:
            thread.join()
        server.close()
