# SPDX-License-Identifier: Apache-2.0
"""OpenID Connect ID tokens: what one claims, whether a key of its issuer signed that, and whether it is meant for us.

Pure: values and one ``now``; no store, no network. Nothing that ``read`` finds is to be believed before ``verify`` has
returned. Keys come from the provider's key set alone, never from the token, and the algorithm is one of a list, each
with its own type of key: a public key can never be taken for a shared secret.

Sources: STS API reference, AssumeRoleWithWebIdentity (algorithms, timestamps); IAM user guide, "IAM and AWS STS
condition context keys", "Pass session tags in AWS STS" and "Monitor and control actions taken with assumed roles";
RFC 7515, RFC 7519; OpenID Connect Core 1.0, 2.
"""

import json
import re
import unicodedata
from collections.abc import Iterable, Mapping
from typing import Any, Final

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from msgspec import Struct

from keyquorum.authz.matching import fold
from keyquorum.errors import (
    ExpiredWebIdentityTokenException,
    IDPRejectedClaimException,
    InvalidIdentityTokenException,
)

_NO_JWT: Final = "The ID Token provided is not a valid JWT. (You may see this error if you sent an Access Token)"
_NO_KEY: Final = (
    "Couldn't retrieve verification key from your identity provider,  "
    "please reference AssumeRoleWithWebIdentity documentation for requirements"
)
_SKEW: Final = 300  # seconds that an issuer's clock may be ahead of ours
_LONGEST_NAME: Final = 255
_LONGEST_TAG_KEY: Final = 128
_LONGEST_TAG_VALUE: Final = 256
_MOST_TAGS: Final = 50

#: Algorithm -> type of its key, and its curve.
_ALGORITHMS: Final = {
    "RS256": ("RSA", None),
    "RS384": ("RSA", None),
    "RS512": ("RSA", None),
    "ES256": ("EC", "P-256"),
    "ES384": ("EC", "P-384"),
    "ES512": ("EC", "P-521"),
}
_RSA_BITS: Final = range(2048, 8193)

_TAGS: Final = "https://aws.amazon.com/tags"
_SOURCE_IDENTITY: Final = "https://aws.amazon.com/source_identity"
_SOURCE_IDENTITY_FORM: Final = re.compile(r"(?!aws:)[\w+=,.@-]{2,64}", re.ASCII)


class Token(Struct, frozen=True):
    """A token, read and not proven. ``key_id`` names the key that is said to have signed it."""

    text: str
    algorithm: str
    key_id: str | None
    issuer: str
    claims: Mapping[str, Any]

    def __repr__(self) -> str:
        return f"Token(issuer={self.issuer!r})"


class WebIdentity(Struct, frozen=True):
    """Whom a token is about. ``audience`` is the client that it was issued to, which the provider's account knows;
    ``audiences`` are all for whom it is meant. Times are seconds since the epoch."""

    subject: str
    audience: str
    audiences: tuple[str, ...]
    issued_at: float
    expires_at: float
    methods: tuple[str, ...] = ()
    tags: tuple[tuple[str, str], ...] = ()
    transitive: tuple[str, ...] = ()
    source_identity: str | None = None


def read(text: str) -> Token:
    """What a token says of itself. Raises InvalidIdentityTokenException, for half a surrogate pair as well: JSON can
    write one, and nothing that a text goes into later can."""
    try:
        parts = jwt.decode_complete(text, options={"verify_signature": False})
        header, claims = parts["header"], parts["payload"]
        json.dumps((header, claims), ensure_ascii=False).encode()
    except (jwt.PyJWTError, RecursionError, UnicodeEncodeError):
        raise InvalidIdentityTokenException(_NO_JWT) from None
    algorithm, key_id, issuer = header.get("alg"), header.get("kid"), claims.get("iss")
    if not isinstance(algorithm, str) or algorithm not in _ALGORITHMS:
        raise InvalidIdentityTokenException(_NO_JWT)
    if not isinstance(issuer, str) or not isinstance(key_id, str | None):
        raise InvalidIdentityTokenException(_NO_JWT)
    return Token(text, algorithm, key_id, issuer, claims)


def no_key() -> InvalidIdentityTokenException:
    """What is answered where no key of the provider could have signed the token."""
    return InvalidIdentityTokenException(_NO_KEY)


def verify(token: Token, keys: Iterable[Mapping[str, Any]]) -> None:
    """Return if one of the issuer's ``keys``, JSON Web Keys, signed the token: the one that it names, or the only one
    that it could mean. Raises InvalidIdentityTokenException."""
    kind, curve = _ALGORITHMS[token.algorithm]
    fitting = [
        key
        for key in keys
        if key.get("kty") == kind
        and (curve is None or key.get("crv") == curve)
        and key.get("use", "sig") == "sig"
        and key.get("alg", token.algorithm) == token.algorithm
        and (token.key_id is None or key.get("kid") == token.key_id)
    ]
    if len(fitting) != 1:
        raise no_key()
    try:
        key = jwt.PyJWK(dict(fitting[0]), token.algorithm)
    except (jwt.PyJWTError, TypeError, ValueError):
        raise no_key() from None
    public = key.key
    if not isinstance(public, ec.EllipticCurvePublicKey) and not (
        isinstance(public, rsa.RSAPublicKey) and public.key_size in _RSA_BITS
    ):
        raise no_key()
    try:
        jwt.PyJWS().decode(token.text, key, algorithms=[token.algorithm])
    except jwt.PyJWTError:
        raise InvalidIdentityTokenException("Token signature is invalid") from None


def identity(token: Token, client_ids: Iterable[str], now: float) -> WebIdentity:
    """Whom a token that was verified is about, if it is meant for one of ``client_ids`` and good at ``now``.

    Raises InvalidIdentityTokenException, IDPRejectedClaimException or ExpiredWebIdentityTokenException.
    """
    claims = token.claims
    subject = claims.get("sub")
    if not isinstance(subject, str) or not 1 <= len(subject) <= _LONGEST_NAME:
        raise InvalidIdentityTokenException("Missing a required claim: sub")
    issued_at, expires_at = _time(claims, "iat"), _time(claims, "exp")
    if issued_at is None or expires_at is None:
        raise InvalidIdentityTokenException(f"Missing a required claim: {'iat' if issued_at is None else 'exp'}")
    if now >= expires_at:
        raise ExpiredWebIdentityTokenException(
            f"Token expired: current date/time {now:.0f} must be before the expiration date/time {expires_at:.0f}"
        )
    for name, since in (("iat", issued_at), ("nbf", _time(claims, "nbf"))):
        if since is not None and since > now + _SKEW:
            raise IDPRejectedClaimException(f"The token is not valid yet: its claim {name} is in the future")
    audiences = _texts(claims.get("aud"))
    authorized = claims.get("azp")
    # Where there is an authorized party, it is the client: the audience is whom that may send the token to.
    candidates = audiences if authorized is None else _texts(authorized)
    known = frozenset(client_ids)
    audience = next((client for client in candidates if client in known), None)
    if audience is None:
        raise InvalidIdentityTokenException("Incorrect token audience")
    tags, transitive = _session_tags(claims)
    return WebIdentity(
        subject,
        audience,
        audiences,
        issued_at,
        expires_at,
        _texts(claims.get("amr")),
        tags,
        transitive,
        _source_identity(claims),
    )


def condition_keys(url: str, who: WebIdentity) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """The condition keys of a provider that is known by ``url``, folded, and their values."""
    values = (("aud", (who.audience,)), ("oaud", who.audiences), ("sub", (who.subject,)), ("amr", who.methods))
    return tuple((fold(f"{url}:{name}"), given) for name, given in values if given)


def _time(claims: Mapping[str, Any], name: str) -> float | None:
    value = claims.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 2**53:
        raise InvalidIdentityTokenException(f"The claim {name} is not a number of seconds")
    return float(value)


def _texts(value: object) -> tuple[str, ...]:
    """A claim that is one text or a list of them."""
    values = value if isinstance(value, list) else [] if value is None else [value]
    if not all(isinstance(text, str) for text in values):
        raise InvalidIdentityTokenException(_NO_JWT)
    return tuple(values)


def _session_tags(claims: Mapping[str, Any]) -> tuple[tuple[tuple[str, str], ...], tuple[str, ...]]:
    """Session tags, and the keys of those that are transitive, from either form of the claim: one object, or a claim
    for each of its members. They are what AssumeRole would take (STS API reference, Tag)."""
    nested = claims.get(_TAGS, {})
    if not isinstance(nested, dict):
        raise IDPRejectedClaimException(f"The claim {_TAGS} is not an object")
    tags = nested.get("principal_tags", {})
    if not isinstance(tags, dict):
        raise IDPRejectedClaimException("The claim principal_tags is not an object")
    prefix = f"{_TAGS}/principal_tags/"
    flat = {name.removeprefix(prefix): value for name, value in claims.items() if name.startswith(prefix)}
    transitive = _texts(nested.get("transitive_tag_keys")) + _texts(claims.get(f"{_TAGS}/transitive_tag_keys"))
    found = []
    for key, value in (*tags.items(), *flat.items()):
        values = _texts(value)
        if len(values) != 1:
            raise IDPRejectedClaimException(f"The session tag {key} does not have one value")
        if not (key and _is_tag_text(key, _LONGEST_TAG_KEY) and _is_tag_text(values[0], _LONGEST_TAG_VALUE)):
            raise IDPRejectedClaimException(
                "A session tag has a key of 1 to 128 characters and a value of at most 256, which are letters, numbers,"
                " spaces and _.:/=+-@"
            )
        found.append((key, values[0]))
    if len(found) > _MOST_TAGS or len(transitive) > _MOST_TAGS:
        raise IDPRejectedClaimException(f"A session has at most {_MOST_TAGS} tags.")
    return tuple(found), transitive


def _is_tag_text(text: str, longest: int) -> bool:
    return len(text) <= longest and all(c in "_.:/=+-@" or unicodedata.category(c)[0] in "LZN" for c in text)


def _source_identity(claims: Mapping[str, Any]) -> str | None:
    value = claims.get(_SOURCE_IDENTITY)
    if value is not None and not (isinstance(value, str) and _SOURCE_IDENTITY_FORM.fullmatch(value)):
        raise IDPRejectedClaimException(f"The claim {_SOURCE_IDENTITY} is no source identity")
    return value
