# SPDX-License-Identifier: Apache-2.0
"""The key sets of OpenID Connect providers, as they are written down and as they are fetched from where an issuer says.

Only issuers that an account trusts are ever asked, over HTTPS whose certificate the system's trust store accepts; plain
HTTP is for this machine alone. It follows no redirect, reads no more than a key set can need, and asks an issuer no
more often than it allows itself to, whatever tokens strangers send.

Sources: OpenID Connect Discovery 1.0, 4; RFC 7517, 5.
"""

import http.client
import json
import logging
import threading
import time
import urllib.request
from typing import Any, Final, NamedTuple
from urllib.parse import urlsplit

from keyquorum.config import is_loopback
from keyquorum.errors import IDPCommunicationErrorException

_log = logging.getLogger(__name__)

_LASTS: Final = 300.0  # seconds for which a key set is believed
_AGAIN: Final = 30.0  # seconds before an issuer is asked again, for a key that is new or after a failure
_TIMEOUT: Final = 5.0  # of each document, and of each step on the way to it
_PATIENCE: Final = 1.0  # for what another thread is fetching
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


class _Known(NamedTuple):
    """What an issuer's key set was at a time, on the monotonic clock; None if it could not be had."""

    keys: Keys | None
    at: float

    def serves(self, key_id: str | None) -> bool:
        age = time.monotonic() - self.at
        if age < _AGAIN:
            return True
        has_key = self.keys is not None and (key_id is None or any(key.get("kid") == key_id for key in self.keys))
        return age < _LASTS and has_key


class KeySets:
    """Key sets that were fetched, by issuer."""

    def __init__(self) -> None:
        self._known: dict[str, _Known] = {}
        self._locks: dict[str, threading.Lock] = {}

    def get(self, issuer: str, key_id: str | None) -> Keys:
        """The keys of an issuer, a URL for which there is a provider. It may wait for the issuer, though not many
        threads do. Raises IDPCommunicationErrorException."""
        known = self._known.get(issuer)
        if known is None or not known.serves(key_id):
            known = self._renewed(issuer, key_id)
        if known is None or known.keys is None:
            raise IDPCommunicationErrorException(
                "The identity provider that was asked to verify the incoming identity token could not be reached"
            )
        return known.keys

    def _renewed(self, issuer: str, key_id: str | None) -> _Known | None:
        lock = self._locks.setdefault(issuer, threading.Lock())
        if not lock.acquire(timeout=_PATIENCE):
            return None
        try:
            known = self._known.get(issuer)
            if known is None or not known.serves(key_id):
                known = _Known(_fetched(issuer), time.monotonic())
                if len(self._known) >= _MAX_ISSUERS:
                    self._known.clear()
                self._known[issuer] = known
            return known
        finally:
            lock.release()


def _fetched(issuer: str) -> Keys | None:
    try:
        configuration = _object(_read(f"{issuer.rstrip('/')}/.well-known/openid-configuration"))
        if configuration.get("issuer") != issuer:
            raise KeySetError("its configuration is another issuer's")
        return parse(_read(str(configuration.get("jwks_uri"))))
    except (KeySetError, OSError, http.client.HTTPException, ValueError) as error:
        _log.warning("the key set of %s could not be fetched: %s", issuer, error)
        return None


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: object, **__: object) -> None:
        return None


_OPENER: Final = urllib.request.build_opener(_NoRedirect)


def _read(url: str) -> bytes:
    if without_scheme(url) is None:
        raise KeySetError(f"{url[:200]!r} is not an https URL")
    deadline = time.monotonic() + _TIMEOUT
    read = b""
    with _OPENER.open(url, timeout=_TIMEOUT) as answer:
        while part := answer.read1(_MAX_BYTES):
            read += part
            if len(read) > _MAX_BYTES:
                raise KeySetError(f"{url} answers with more than {_MAX_BYTES} bytes")
            if time.monotonic() > deadline:
                raise KeySetError(f"{url} takes longer than {_TIMEOUT:.0f} seconds")
    return read


def _object(text: str | bytes) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise KeySetError("no JSON object")
    return found
