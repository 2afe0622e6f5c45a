# SPDX-License-Identifier: Apache-2.0
"""OpenID Connect tokens that are what they say, and all the ways in which others are not.

Sources: RFC 7515, RFC 8725 (JWT Best Current Practices); OpenID Connect Core 1.0, 2.
"""

import json
import time
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st
from issuer import AUDIENCE, SUBJECT, Issuer, Private, public_jwk, sign, text_of, token

from keyquorum.authn.web_identity import WebIdentity, condition_keys, identity, read, verify
from keyquorum.errors import (
    ExpiredWebIdentityTokenException,
    IDPRejectedClaimException,
    InvalidIdentityTokenException,
    KMSError,
)

ISSUER = Issuer()
NOW = time.time()
NO_JWT = "The ID Token provided is not a valid JWT. (You may see this error if you sent an Access Token)"


@pytest.fixture(autouse=True)
def _a_test_begins_now() -> None:
    """Tokens are of the moment, and this module may have been imported long ago."""
    global NOW
    NOW = time.time()


def accept(text: str, keys: list[dict[str, Any]] | None = None, clients: tuple[str, ...] = (AUDIENCE,)) -> WebIdentity:
    found = read(text)
    verify(found, ISSUER.keys if keys is None else keys)
    return identity(found, clients, NOW)


def refusal(text: str, keys: list[dict[str, Any]] | None = None, clients: tuple[str, ...] = (AUDIENCE,)) -> KMSError:
    with pytest.raises(KMSError) as caught:
        accept(text, keys, clients)
    return caught.value


_CURVES = {"ES256": ec.SECP256R1(), "ES384": ec.SECP384R1(), "ES512": ec.SECP521R1()}


@pytest.mark.parametrize("algorithm", ["RS256", "RS384", "RS512", "ES256", "ES384", "ES512"])
def test_the_six_algorithms_of_sts(algorithm: str) -> None:
    key: Private = ISSUER.rsa if algorithm.startswith("RS") else ec.generate_private_key(_CURVES[algorithm])
    found = accept(token({"alg": algorithm, "kid": "k"}, ISSUER.claims(), key), [public_jwk(key, "k")])
    assert (found.subject, found.audience, found.audiences) == (SUBJECT, AUDIENCE, (AUDIENCE,))


@pytest.mark.parametrize("algorithm", ["none", "HS256", "HS512", "PS256", "PS512"])
def test_other_algorithms_are_none(algorithm: str) -> None:
    """Not even properly signed: HMAC with what the issuer publishes, its key in each of its forms."""
    public = ISSUER.rsa.public_key()
    published = [
        public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
        public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
        json.dumps(public_jwk(ISSUER.rsa, "rsa")).encode(),
        b"",
    ]
    for key in published if algorithm.startswith("HS") else [ISSUER.rsa]:
        for name in (algorithm, algorithm.upper(), algorithm.title()):
            text = ISSUER.token()
            message = ".".join([text_of(json.dumps({"alg": name, "kid": "rsa"}).encode()), text.split(".")[1]])
            forged = f"{message}.{text_of(sign(algorithm, key, message.encode()))}"
            assert refusal(forged).message == NO_JWT


def test_a_key_set_cannot_bring_a_shared_secret() -> None:
    keys = [{"kty": "oct", "kid": "rsa", "k": text_of(b"s" * 32)}]
    assert type(refusal(token({"alg": "HS256", "kid": "rsa"}, ISSUER.claims(), b"s" * 32), keys)) is (
        InvalidIdentityTokenException
    )
    assert "verification key" in (refusal(ISSUER.token(), keys).message or "")


def test_a_key_in_the_token_is_not_the_issuers() -> None:
    mine = rsa.generate_private_key(65537, 2048)
    for header in (
        {"jwk": public_jwk(mine, "rsa")},
        {"jku": "http://127.0.0.1:1/keys"},
        {"x5u": "http://127.0.0.1:1/cert"},
    ):
        forged = token({"alg": "RS256", "kid": "rsa", **header}, ISSUER.claims(), mine)
        assert refusal(forged).message == "Token signature is invalid"


@pytest.mark.parametrize(
    "change",
    [
        {"kid": "other"},
        {"use": "enc"},
        {"alg": "RS512"},
        {"kty": "EC"},
        {"n": "AQAB"},
        {"n": 3},
        {"e": None},
    ],
    ids=str,
)
def test_a_key_that_is_not_for_this(change: dict[str, Any]) -> None:
    assert "verification key" in (refusal(ISSUER.token(), [public_jwk(ISSUER.rsa, "rsa") | change]).message or "")


def test_a_weak_key_is_none() -> None:
    weak = rsa.generate_private_key(65537, 1024)
    forged = token({"alg": "RS256", "kid": "weak"}, ISSUER.claims(), weak)
    assert "verification key" in (refusal(forged, [public_jwk(weak, "weak")]).message or "")


def test_a_curve_goes_with_its_algorithm() -> None:
    wide = ec.generate_private_key(ec.SECP384R1())
    forged = token({"alg": "ES256", "kid": "k"}, ISSUER.claims(), wide)
    for jwk in (public_jwk(wide, "k"), public_jwk(wide, "k") | {"crv": "P-256"}):
        assert "verification key" in (refusal(forged, [jwk]).message or "")
    edwards = ed25519.Ed25519PrivateKey.generate().public_key()
    okp = {"kty": "OKP", "crv": "Ed25519", "kid": "k", "x": text_of(edwards.public_bytes_raw())}
    assert "verification key" in (refusal(ISSUER.token("ES256", {"kid": "k"}), [okp]).message or "")


def test_a_token_without_a_key_id_means_the_only_key_there_is() -> None:
    text = token({"alg": "RS256"}, ISSUER.claims(), ISSUER.rsa)
    assert accept(text).subject == SUBJECT  # there is one RSA key
    other = public_jwk(rsa.generate_private_key(65537, 2048), "next")
    assert "verification key" in (refusal(text, [*ISSUER.keys, other]).message or "")
    named = token({"alg": "RS256", "kid": "rsa"}, ISSUER.claims(), ISSUER.rsa)
    assert accept(named, [*ISSUER.keys, other]).subject == SUBJECT


def test_what_must_be_understood_and_is_not() -> None:
    text = ISSUER.token("RS256", {"crit": ["exp"], "exp": 1})
    assert refusal(text).message == NO_JWT
    assert refusal(ISSUER.token("RS256", {"b64": False, "crit": ["b64"]})).message == NO_JWT


@pytest.mark.parametrize("part", [0, 1, 2])
def test_a_token_with_a_part_of_another(part: int) -> None:
    mine = ISSUER.token().split(".")
    mine[part] = ISSUER.token("ES256", sub="root").split(".")[part]
    refusal(".".join(mine))


@pytest.mark.parametrize(
    "text",
    ["", ".", "..", "a.b.c", "e30.e30.", "e30.e30.e30", "x" * 20_000, "." * 20_000, "Ä.Ö.Ü"],
    ids=lambda text: text[:8],
)
def test_what_is_no_token(text: str) -> None:
    assert refusal(text).message == NO_JWT


def test_depth_does_no_harm() -> None:
    deep = "[" * 7000 + "]" * 7000
    header = text_of(b'{"alg":"RS256"}')
    text = f"{header}.{text_of(deep.encode())}.AAAA"
    assert refusal(text).message == NO_JWT


@pytest.mark.parametrize("algorithm", [[], {}, None, 1, ["RS256"]], ids=str)
def test_an_algorithm_is_a_text(algorithm: Any) -> None:
    header = text_of(json.dumps({"alg": algorithm, "kid": "rsa"}).encode())
    assert refusal(".".join([header, *ISSUER.token().split(".")[1:]])).message == NO_JWT


HALF = "x\ud800"
TAGS = "https://aws.amazon.com/tags"


@pytest.mark.parametrize(
    "claims",
    [
        {"iss": HALF},
        {"sub": HALF},
        {"aud": [AUDIENCE, HALF]},
        {"amr": [HALF]},
        {HALF: 1},
        {"unread": [{"deep": [HALF]}]},
        {TAGS: {"principal_tags": {"a": [HALF]}}},
        {f"{TAGS}/principal_tags/{HALF}": "v"},
        {"https://aws.amazon.com/source_identity": HALF},
    ],
    ids=str,
)
def test_half_a_character_is_none(claims: Any) -> None:
    """JSON can write one (RFC 8259, 8.2); UTF-8 cannot, and so neither a database nor a record."""
    assert refusal(ISSUER.token(**claims)).message == NO_JWT


def test_half_a_character_in_the_header_is_none_either() -> None:
    for header in ({"kid": HALF}, {"typ": HALF}, {HALF: 1}):
        assert refusal(ISSUER.token("RS256", header)).message == NO_JWT
    assert accept(ISSUER.token(name="\U0001f511 caröl")).subject == SUBJECT


@given(st.text(max_size=200) | st.from_regex(r"[\w-]+\.[\w-]+\.[\w-]+", fullmatch=True))
def test_no_text_breaks_the_reader(text: str) -> None:
    refusal(text)


# -- claims


@pytest.mark.parametrize("claim", ["sub", "iat", "exp", "aud", "iss"])
def test_claims_that_must_be_there(claim: str) -> None:
    assert type(refusal(ISSUER.token(**{claim: None}))) is InvalidIdentityTokenException


@pytest.mark.parametrize("value", ["soon", 1.5, True, -1, 2**60, [1], {}])
@pytest.mark.parametrize("claim", ["iat", "exp", "nbf"])
def test_times_are_whole_numbers(claim: str, value: Any) -> None:
    assert type(refusal(ISSUER.token(**{claim: value}))) is InvalidIdentityTokenException


@pytest.mark.parametrize("value", [1, ["a"], "", "s" * 256, {}])
def test_a_subject_is_a_text(value: Any) -> None:
    assert type(refusal(ISSUER.token(sub=value))) is InvalidIdentityTokenException


def test_a_token_expires_at_its_second() -> None:
    end = int(NOW) - 1
    fault = refusal(ISSUER.token(exp=end))
    assert type(fault) is ExpiredWebIdentityTokenException
    assert fault.message == (
        f"Token expired: current date/time {NOW:.0f} must be before the expiration date/time {end}"
    )


@pytest.mark.parametrize("claim", ["iat", "nbf"])
def test_a_token_of_the_future_is_not_good_yet(claim: str) -> None:
    accept(ISSUER.token(**{claim: int(NOW) + 290}))
    assert type(refusal(ISSUER.token(**{claim: int(NOW) + 310}))) is IDPRejectedClaimException


@pytest.mark.parametrize(
    ("claims", "clients", "audience"),
    [
        ({"aud": "a"}, ("a",), "a"),
        ({"aud": ["x", "a"]}, ("a", "b"), "a"),
        ({"aud": "a", "azp": "b"}, ("a", "b"), "b"),
        ({"aud": "a", "azp": "b"}, ("b",), "b"),
        ({"aud": "a", "azp": "b"}, ("a",), None),
        ({"aud": "A"}, ("a",), None),
        ({"aud": ["ab"]}, ("a", "b"), None),
        ({"aud": []}, ("a",), None),
        ({"aud": "a"}, (), None),
        ({"aud": [["a"]]}, ("a",), None),
        ({"aud": {"a": "a"}}, ("a",), None),
    ],
)
def test_a_token_is_for_a_client_that_is_known(claims: Any, clients: tuple[str, ...], audience: str | None) -> None:
    text = ISSUER.token(**claims)
    if audience is None:
        assert type(refusal(text, clients=clients)) is InvalidIdentityTokenException
    else:
        assert accept(text, clients=clients).audience == audience


def test_condition_keys() -> None:
    found = accept(ISSUER.token(aud=["a", "b"], azp="b", amr=["pwd", "otp"]), clients=("b",))
    assert condition_keys("Issuer.example/Realm", found) == (
        ("issuer.example/realm:aud", ("b",)),
        ("issuer.example/realm:oaud", ("a", "b")),
        ("issuer.example/realm:sub", (SUBJECT,)),
        ("issuer.example/realm:amr", ("pwd", "otp")),
    )


@pytest.mark.parametrize(
    "claims",
    [
        {TAGS: {"principal_tags": {"Team": ["blue"], "Cost": "17"}, "transitive_tag_keys": ["Team"]}},
        {
            f"{TAGS}/principal_tags/Team": "blue",
            f"{TAGS}/principal_tags/Cost": ["17"],
            f"{TAGS}/transitive_tag_keys": ["Team"],
        },
    ],
    ids=["nested", "flat"],
)
def test_session_tags(claims: Any) -> None:
    found = accept(ISSUER.token(**claims))
    assert (found.tags, found.transitive) == ((("Team", "blue"), ("Cost", "17")), ("Team",))


@pytest.mark.parametrize(
    "tags",
    [
        1,
        {"principal_tags": [1]},
        {"principal_tags": {"a": ["1", "2"]}},
        {"principal_tags": {"a": []}},
        {"principal_tags": {"": ["v"]}},
        {"principal_tags": {"k" * 129: ["v"]}},
        {"principal_tags": {"a": ["v" * 257]}},
        {"principal_tags": {"a*": ["v"]}},
        {"principal_tags": {"a": ["${aws:userid}"]}},
        {"principal_tags": {"a": ["v\n"]}},
        {"principal_tags": {"a": ["\u200b"]}},
        {"principal_tags": {f"k{number}": ["v"] for number in range(51)}},
        {"principal_tags": {"a": ["v"]}, "transitive_tag_keys": ["a"] * 51},
    ],
    ids=lambda tags: str(tags)[:40],
)
def test_session_tags_that_are_none(tags: Any) -> None:
    assert type(refusal(ISSUER.token(**{TAGS: tags}))) is IDPRejectedClaimException


def test_the_longest_session_tags() -> None:
    """STS API reference, Tag: letters, separators, numbers and _.:/=+-@."""
    tags = {"k" * 128: ["v" * 256], "Größe 2": ["\u0661 \u3000_.:/=+-@"], "none": [""]}
    found = accept(ISSUER.token(**{TAGS: {"principal_tags": tags}}))
    assert dict(found.tags) == {key: value[0] for key, value in tags.items()}


def test_the_source_identity() -> None:
    name = "https://aws.amazon.com/source_identity"
    assert accept(ISSUER.token(**{name: "carol@example"})).source_identity == "carol@example"
    for wrong in ("a", "aws:x", "a b", "a" * 65, 7, "caröl"):
        assert type(refusal(ISSUER.token(**{name: wrong}))) is IDPRejectedClaimException
