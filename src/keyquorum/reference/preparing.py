# SPDX-License-Identifier: Apache-2.0
"""Making ready what an example needs, and putting values for its placeholders. It reaches no server by itself: calls
are asked for, one after the other, and answered by whoever drives it."""

import os
import re
from base64 import b64decode, b64encode
from collections.abc import Callable, Generator
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric.padding import MGF1, OAEP
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_der_public_key

from keyquorum.reference.examples import Example, Members

#: Braces of policies and their variables (``${aws:username}``) do not look like this.
_PLACEHOLDER: Final = re.compile(r"\$\{(?:(wrapped):)?([a-z]+(?:\.[A-Za-z]+)*)\}")
_REGIONS: Final = ("eu-west-1", "us-west-2")
_MATERIAL_BYTES: Final = 32

Call = Callable[[str, Members], Members]
Steps = Generator[tuple[str, Members], Members, Members]


def steps(example: Example, region: str = "us-east-1") -> Steps:
    """Yields each operation to call with its members, is sent the answer's members, and returns the example's own
    members, ready to send. ``region`` is where all of it happens."""
    known: Members = {
        "unique": os.urandom(4).hex(),
        "elsewhere": next(other for other in _REGIONS if other != region),
    }
    for step in example.needs:
        known[step.name] = yield step.operation, _filled(step.members, known)
    filled: Members = _filled(example.members, known)
    return filled


def prepare(example: Example, call: Call, region: str = "us-east-1") -> Members:
    """The example's members, ready to send, once ``call(operation, members)`` has made what it needs. Members are as on
    the wire, in both directions. What ``call`` raises passes through."""
    going = steps(example, region)
    try:
        wanted = next(going)
        while True:
            wanted = going.send(call(*wanted))
    except StopIteration as done:
        ready: Members = done.value
        return ready


def _filled(value: Any, known: Members) -> Any:
    if isinstance(value, dict):
        return {name: _filled(part, known) for name, part in value.items()}
    if isinstance(value, list):
        return [_filled(part, known) for part in value]
    if isinstance(value, str):
        return _PLACEHOLDER.sub(lambda found: _value(found, known), value)
    return value


def _value(found: re.Match[str], known: Members) -> str:
    value: Any = known
    for name in found[2].split("."):
        value = value[name]
    return _wrapped(b64decode(value)) if found[1] else str(value)


def _wrapped(public_key: bytes) -> str:
    """Random key material under an RSA public key, by RSAES_OAEP_SHA_256 (RFC 8017)."""
    key = load_der_public_key(public_key)
    if not isinstance(key, RSAPublicKey):
        raise TypeError("key material is wrapped with RSA keys")
    wrapped = key.encrypt(os.urandom(_MATERIAL_BYTES), OAEP(MGF1(SHA256()), SHA256(), None))
    return b64encode(wrapped).decode()
