# SPDX-License-Identifier: Apache-2.0
"""Importing key material. It is wrapped in the browser, by ``static/import.js``, or by openssl where that cannot be:
what is sent is the wrapped form alone, and no page has a field that would send another."""

import binascii
from base64 import b64decode
from datetime import UTC, datetime
from typing import Any, Final

from starlette.datastructures import FormData
from starlette.requests import Request
from starlette.responses import Response

from keyquorum.console.keys.doable import can
from keyquorum.console.keys.fields import at, text, without_nothing
from keyquorum.console.keys.page import described
from keyquorum.console.outcome import Outcome
from keyquorum.console.rendering import refused, render, see_other
from keyquorum.console.site import form_of, get, post
from keyquorum.console.visitors import Visitor

_WRAPPING_SPECS: Final = ("RSA_3072", "RSA_4096")
_OAEP: Final = "RSAES_OAEP_SHA_256"
#: RSA private keys are longer than an RSA block. WebCrypto has no key wrap with padding (RFC 5649): openssl does it.
_KEY_WRAP: Final = "RSA_AES_KEY_WRAP_SHA_256"
_BYTES: Final = {"SYMMETRIC_DEFAULT": 32, "HMAC_224": 28, "HMAC_256": 32, "HMAC_384": 48, "HMAC_512": 64}


async def _begin(request: Request, visitor: Visitor) -> Response:
    key = await described(request, visitor)
    if isinstance(key, Response):
        return key
    possible = can("GetParametersForImport", key)
    return render(
        request, visitor, "keys/import.html", key=key, here=at(key["KeyId"]), possible=possible, specs=_WRAPPING_SPECS
    )


async def _parameters(request: Request, visitor: Visitor) -> Response:
    key = await described(request, visitor)
    if isinstance(key, Response):
        return key
    algorithm = _algorithm(key)
    members = {
        "KeyId": key["KeyId"],
        "WrappingAlgorithm": algorithm,
        "WrappingKeySpec": text(await form_of(request), "wrapping_spec"),
    }
    outcome = await visitor.call("GetParametersForImport", members)
    if not outcome.ok:
        return refused(request, visitor, outcome, back=at(key["KeyId"], "/import"))
    given = outcome.members
    return _material(request, visitor, key, given["ImportToken"], given["PublicKey"], given.get("ParametersValidTo"))


def _material(
    request: Request,
    visitor: Visitor,
    key: dict[str, Any],
    token: str,
    public_key: str,
    valid_to: float | None,
    form: FormData | None = None,
    trouble: Outcome | None = None,
    problem: str = "",
) -> Response:
    return render(
        request,
        visitor,
        "keys/import_material.html",
        status=200 if trouble is None and not problem else 400,
        key=key,
        here=at(key["KeyId"]),
        token=token,
        public_key=public_key,
        valid_to=valid_to,
        algorithm=_algorithm(key),
        in_browser=_algorithm(key) == _OAEP,
        length=_BYTES.get(key["KeySpec"]),
        given={name: "" if form is None else text(form, name) for name in ("expires", "description", "type")},
        trouble=trouble,
        problem=problem,
    )


async def _import(request: Request, visitor: Visitor) -> Response:
    key = await described(request, visitor)
    if isinstance(key, Response):
        return key
    form = await form_of(request)
    token, public_key = text(form, "import_token"), text(form, "public_key")
    expires = text(form, "expires")
    wrapped = "".join(text(form, "wrapped").split())
    problem = _problem(wrapped, expires)
    if problem:
        return _material(request, visitor, key, token, public_key, None, form, problem=problem)
    members = without_nothing(
        {
            "KeyId": key["KeyId"],
            "ImportToken": token,
            "EncryptedKeyMaterial": wrapped,
            "ExpirationModel": "KEY_MATERIAL_EXPIRES" if expires else "KEY_MATERIAL_DOES_NOT_EXPIRE",
            "ValidTo": _time(expires),
            "ImportType": text(form, "type"),
            "KeyMaterialDescription": text(form, "description"),
        }
    )
    outcome = await visitor.call("ImportKeyMaterial", members)
    if not outcome.ok:
        return _material(request, visitor, key, token, public_key, None, form, outcome)
    return see_other(request, at(key["KeyId"]), said="The key material is imported.")


def _problem(wrapped: str, expires: str) -> str:
    try:
        if not b64decode(wrapped, validate=True):
            return "There is no wrapped key material."
    except (binascii.Error, ValueError):
        return "The wrapped key material is not Base64."
    return "" if not expires or _time(expires) is not None else "The date of expiry is none."


def _time(given: str) -> float | None:
    """Seconds since the epoch, of a date and a time in UTC as browsers' fields give it."""
    try:
        return datetime.fromisoformat(given).replace(tzinfo=UTC).timestamp()
    except ValueError:
        return None


def _algorithm(key: dict[str, Any]) -> str:
    return _KEY_WRAP if key["KeySpec"].startswith("RSA_") else _OAEP


ROUTES: Final = [
    get("/keys/{key_id}/import", _begin),
    post("/keys/{key_id}/import/parameters", _parameters),
    post("/keys/{key_id}/import", _import),
]
