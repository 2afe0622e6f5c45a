# SPDX-License-Identifier: Apache-2.0
"""Verification of Ed25519 and Ed25519ph straight from RFC 8032, section 5.1: slow, and nobody's library."""

import hashlib

_P = 2**255 - 19
_L = 2**252 + 27742317777372353535851937790883648493
_D = -121665 * pow(121666, -1, _P) % _P
_ROOT = pow(2, (_P - 1) // 4, _P)

_Point = tuple[int, int]


def _add(one: _Point, other: _Point) -> _Point:
    (x, y), (u, v) = one, other
    t = _D * x * u * y * v % _P
    return (x * v + y * u) * pow(1 + t, -1, _P) % _P, (y * v + x * u) * pow(1 - t, -1, _P) % _P


def _times(factor: int, point: _Point) -> _Point:
    total = (0, 1)
    while factor:
        if factor & 1:
            total = _add(total, point)
        point, factor = _add(point, point), factor >> 1
    return total


def _decode(encoded: bytes) -> _Point | None:
    number = int.from_bytes(encoded, "little")
    y, sign = number & (1 << 255) - 1, number >> 255
    square = (y * y - 1) * pow(_D * y * y + 1, -1, _P) % _P
    x = pow(square, (_P + 3) // 8, _P)
    if (x * x - square) % _P:
        x = x * _ROOT % _P
    if y >= _P or (x * x - square) % _P or (x == 0 and sign):
        return None
    return (_P - x if x & 1 != sign else x), y


_BASE = _decode((4 * pow(5, -1, _P) % _P).to_bytes(32, "little"))


def verify(public_key: bytes, message: bytes, signature: bytes, *, prehashed: bool = False) -> bool:
    """``prehashed``: Ed25519ph with an empty context, and ``message`` is PH(M)."""
    assert _BASE is not None
    prefix = b"SigEd25519 no Ed25519 collisions\x01\x00" if prehashed else b""
    a, r = _decode(public_key), _decode(signature[:32])
    s = int.from_bytes(signature[32:], "little")
    if len(signature) != 64 or s >= _L or a is None or r is None:
        return False
    k = int.from_bytes(hashlib.sha512(prefix + signature[:32] + public_key + message).digest(), "little") % _L
    return _times(s, _BASE) == _add(r, _times(k, a))
