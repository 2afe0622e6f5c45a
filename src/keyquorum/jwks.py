# SPDX-License-Identifier: Apache-2.0
"""The key sets of OpenID Connect providers, as they are written down and as they are fetched from where an issuer says.

Only issuers that an account trusts are ever asked, over HTTPS whose certificate the system's trust store accepts; plain
HTTP is for this machine alone, and no issuer elsewhere leads to it. It follows no redirect, reads no more than a key
set can need, and asks an issuer no more often than it allows itself to, whatever tokens strangers send.

An issuer is asked on a thread apart. Who needs its keys waits a moment for them and not for the thread: what an issuer
draws out holds nobody up, and comes in time for who asks next.

Sources: OpenID Connect Discovery 1.0, 4; RFC 7517, 5.
"""

import http.client
import io
import json
import logging
import socket
import ssl
import threading
import time
import urllib.request
from collections.abc import Callable
from math import inf
from typing import Any, Final, NamedTuple
from urllib.parse import urlsplit

from keyquorum.config import is_loopback
from keyquorum.errors import IDPCommunicationErrorException

_log = logging.getLogger(__name__)

_LASTS: Final = 300.0  # seconds for which a key set is believed
_RENEWED: Final = 150.0  # seconds after which it is fetched anew, while it still serves
_AGAIN: Final = 30.0  # seconds before an issuer is asked again, for a key that is new or after a failure
_PATIENCE: Final = 2.0  # seconds from a fetch's start for which anybody waits for it
_TIMEOUT: Final = 5.0  # of each step of a fetch: a connection, its TLS, an answer
_MOST_ADDRESSES: Final = 4  # of an issuer's name that are tried
_MOST_FETCHES: Final = 8  # at a time
_MAX_BYTES: Final = 128 * 1024
_MAX_ISSUERS: Final = 1024

Keys = list[dict[str, Any]]


class KeySetError(Exception):
    """There is no key set; the text says why."""


def parse(text: str | bytes) -> Keys:
    """The keys of a JSON Web Key Set. Whether one of them is any good is for its user to see. Raises KeySetError."""
    if len(text) > _MAX_BYTES:
        raise KeySetError(f"longer than {_MAX_BYTES} bytes")
    keys = _object(text).get("keys")
    if not isinstance(keys, list) or not all(isinstance(key, dict) for key in keys):
        raise KeySetError("no JSON Web Key Set")
    return keys


def without_scheme(url: str) -> str | None:
    """What an issuer's URL is known by: all but its scheme. None for what is not asked for keys."""
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
    except ValueError:
        return None
    scheme, _, rest = url.partition("://")
    is_safe = scheme == "https" or (scheme == "http" and is_loopback(host))
    if not is_safe or not host or "@" in parts.netloc or parts.query or parts.fragment:
        return None
    return rest


def location(issuer: str, configuration: bytes) -> str:
    """Where the key set of an issuer is, by what its configuration says. Raises KeySetError."""
    found = _object(configuration)
    if found.get("issuer") != issuer:
        raise KeySetError("its configuration is another issuer's")
    url = str(found.get("jwks_uri"))
    if without_scheme(url) is None or (issuer.startswith("https:") and not url.startswith("https:")):
        raise KeySetError(f"{url[:200]!r} is not an https URL")
    return url


class _Known(NamedTuple):
    """The last key set that an issuer had, when that was, and when it last could not be had, on a monotonic clock."""

    keys: Keys
    at: float = -inf
    failed_at: float = -inf

    def has(self, key_id: str | None) -> bool:
        return key_id is None or any(key.get("kid") == key_id for key in self.keys)


_NOTHING: Final = _Known([])


class _Fetch(NamedTuple):
    begun_at: float
    done: threading.Event


class KeySets:
    """Key sets that were fetched, by issuer. ``now`` is a monotonic clock, in seconds."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._lock = threading.Lock()
        self._known: dict[str, _Known] = {}
        self._fetches: dict[str, _Fetch] = {}

    def get(self, issuer: str, key_id: str | None) -> Keys:
        """The keys of an issuer, a URL for which there is a provider. It waits two seconds at most, and not at all if
        it knows the key. Raises IDPCommunicationErrorException."""
        known = self._known.get(issuer, _NOTHING)
        age = self._now() - known.at
        if age < _LASTS and known.has(key_id):
            if age >= _RENEWED:
                self._fetching(issuer)
            return known.keys
        fetch = self._fetching(issuer)
        if fetch is not None:
            fetch.done.wait(max(0.0, fetch.begun_at + _PATIENCE - self._now()))
        known = self._known.get(issuer, _NOTHING)
        age = self._now() - known.at
        if age < _AGAIN or (age < _LASTS and known.has(key_id)):
            return known.keys
        raise IDPCommunicationErrorException(
            "The identity provider that was asked to verify the incoming identity token could not be reached"
        )

    def _fetching(self, issuer: str) -> _Fetch | None:
        """The fetch of an issuer's key set that is under way, or a new one; None if one ended a moment ago, or too many
        others are under way."""
        with self._lock:
            fetch = self._fetches.get(issuer)
            if fetch is not None:
                return fetch
            now, known = self._now(), self._known.get(issuer, _NOTHING)
            if len(self._fetches) >= _MOST_FETCHES or now - max(known.at, known.failed_at) < _AGAIN:
                return None
            fetch = _Fetch(now, threading.Event())
            # A daemon: a server that stops does not wait for an issuer.
            threading.Thread(target=self._run, args=(issuer, fetch), name="keyquorum-jwks", daemon=True).start()
            self._fetches[issuer] = fetch
            return fetch

    def _run(self, issuer: str, fetch: _Fetch) -> None:
        keys = None
        try:
            keys = _fetched(issuer)
        except Exception as error:  # whatever it is, the next who asks must be able to
            _log.warning("the key set of %s could not be fetched: %s", issuer, error)
        finally:
            with self._lock:
                known, now = self._known.pop(issuer, _NOTHING), self._now()
                if len(self._known) >= _MAX_ISSUERS:
                    del self._known[next(iter(self._known))]
                self._known[issuer] = known._replace(failed_at=now) if keys is None else _Known(keys, now)
                del self._fetches[issuer]
            fetch.done.set()


# -- over the network. Each step ends by itself, however slowly its bytes come, so that threads and places come back.


def _fetched(issuer: str) -> Keys:
    """Raises KeySetError, OSError, http.client.HTTPException or ValueError."""
    opener = urllib.request.OpenerDirector()
    proxies = {"https": url} if (url := urllib.request.getproxies().get("https")) else {}
    for handler in (
        urllib.request.ProxyHandler(proxies),
        _Handler(),
        urllib.request.HTTPErrorProcessor(),
        urllib.request.HTTPDefaultErrorHandler(),
    ):
        opener.add_handler(handler)
    configuration = _read(opener, f"{issuer.rstrip('/')}/.well-known/openid-configuration")
    return parse(_read(opener, location(issuer, configuration)))


def _read(opener: urllib.request.OpenerDirector, url: str) -> bytes:
    read = b""
    with opener.open(url, timeout=_TIMEOUT) as answer:
        while part := answer.read1(_MAX_BYTES):
            read += part
            if len(read) > _MAX_BYTES:
                raise KeySetError(f"{url} answers with more than {_MAX_BYTES} bytes")
    return read


class _Until(io.RawIOBase):
    """What comes over a socket until a deadline. A socket's own timeout is for one read, and there may be thousands."""

    def __init__(self, sock: socket.socket, raw: io.RawIOBase) -> None:
        self._sock = sock
        self._raw = raw
        self._deadline = time.monotonic() + _TIMEOUT

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError(f"an answer takes longer than {_TIMEOUT:.0f} seconds")
        self._sock.settimeout(left)
        return self._raw.readinto(buffer)

    def close(self) -> None:
        self._raw.close()
        super().close()


class _Answer(http.client.HTTPResponse):
    def __init__(self, sock: socket.socket, *arguments: Any, **options: Any) -> None:
        super().__init__(sock, *arguments, **options)
        self.fp = io.BufferedReader(_Until(sock, self.fp.detach()))


def _connected(address: tuple[str, int], timeout: float, *_: object) -> socket.socket:
    found = socket.getaddrinfo(*address, type=socket.SOCK_STREAM)
    *others, last = list(dict.fromkeys([str(place[0]) for *_, place in found]))[:_MOST_ADDRESSES]
    for place in others:
        try:
            return socket.create_connection((place, address[1]), timeout)
        except OSError:
            continue
    return socket.create_connection((last, address[1]), timeout)


class _Bounded(http.client.HTTPConnection):
    response_class = _Answer

    def connect(self) -> None:
        # By itself it tries each address that a name has, and there may be thousands.
        self._create_connection = _connected
        super().connect()


class _BoundedTLS(_Bounded, http.client.HTTPSConnection):
    pass


class _Handler(urllib.request.AbstractHTTPHandler):
    http_request = https_request = urllib.request.AbstractHTTPHandler.do_request_

    def http_open(self, request: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(_Bounded, request)

    def https_open(self, request: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(_BoundedTLS, request, context=ssl.create_default_context())


def _object(text: str | bytes) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise KeySetError("no JSON object")
    return found
