# SPDX-License-Identifier: Apache-2.0
"""Pages of lists, and the markers that lead from one page to the next.

A marker is ``base64url(version | tag | position)``, the tag being HMAC-SHA256, cut to 128 bits, over the lengths and
contents of scope and position. It is authentic, not secret: positions are names the caller has just been shown.
It refuses markers that this server's key did not issue for the same scope, in any other spelling too.
"""

import base64
import hmac

from keyquorum.errors import InvalidMarkerException

_VERSION = b"\x01"
_TAG = slice(1, 17)
_POSITION = slice(17, None)
_MAX_POSITION = 1024 * 3 // 4 - 17
"""Bytes: so that the marker stays within the model's 1024 characters."""


class Marker:
    """Issues and reads markers under one HMAC key, at least 32 bytes, shared by all nodes of a service."""

    __slots__ = ("_key",)

    def __init__(self, key: bytes) -> None:
        self._key = key

    def issue(self, scope: str, position: str) -> str:
        """The marker of ``position``, at most 751 bytes in UTF-8. ``scope`` names all that selects the list:
        operation, account, Region, key."""
        place = position.encode()
        if len(place) > _MAX_POSITION:
            raise ValueError(f"a position of {len(place)} bytes does not fit a marker")
        return base64.urlsafe_b64encode(_VERSION + self._tag(scope, place) + place).rstrip(b"=").decode("ascii")

    def read(self, scope: str, marker: str) -> str:
        """The position in ``marker``; raises ``InvalidMarkerException`` unless it was issued for ``scope``."""
        try:
            raw = base64.b64decode(marker + "=" * (-len(marker) % 4), altchars=b"-_", validate=True)
            place = raw[_POSITION]
            if hmac.compare_digest(raw[_TAG], self._tag(scope, place)):
                position = place.decode()
                # One position, one spelling: this also holds version, padding and spare bits to what is issued.
                if self.issue(scope, position) == marker:
                    return position
        except ValueError:
            pass
        raise InvalidMarkerException("The marker is not valid for this request.")

    def _tag(self, scope: str, place: bytes) -> bytes:
        parts = (_VERSION, scope.encode(), place)
        return hmac.digest(self._key, b"".join(len(part).to_bytes(4, "big") + part for part in parts), "sha256")[:16]
