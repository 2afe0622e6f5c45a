# SPDX-License-Identifier: Apache-2.0
"""Access keys and OpenID Connect providers with boto3's iam client."""

import base64
import json
from pathlib import Path
from typing import Any

import pytest
from botocore.config import Config
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from iam_requests import ARN, PUBLIC_KEY
from servers import Access, Production, client, code_of, refused

from keyquorum.authn.sigv4a import derive_public_key

pytestmark = pytest.mark.slow

PROVIDER = f"{ARN}:oidc-provider/"


@pytest.fixture(scope="module")
def iam(server: Production) -> Any:
    return server.client("iam")


def access_of(answer: dict[str, Any]) -> Access:
    return Access(answer["AccessKey"]["AccessKeyId"], answer["AccessKey"]["SecretAccessKey"])


def spki(curve: ec.EllipticCurve) -> str:
    public = ec.generate_private_key(curve).public_key()
    return base64.b64encode(public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).decode()


# -- access keys


def test_an_access_key_from_creation_to_deletion(server: Production, iam: Any) -> None:
    iam.create_user(UserName="keeper")
    made = iam.create_access_key(UserName="keeper")
    access = access_of(made)
    assert (made["AccessKey"]["UserName"], made["AccessKey"]["Status"]) == ("keeper", "Active")
    assert (access.key_id[:4], len(access.key_id), len(access.secret)) == ("AKIA", 20, 40)
    sts = server.client("sts", access)
    assert sts.get_caller_identity()["Arn"] == f"{ARN}:user/keeper"
    listed = iam.list_access_keys(UserName="keeper")["AccessKeyMetadata"]
    shown = {name: value for name, value in made["AccessKey"].items() if name != "SecretAccessKey"}
    assert listed == [shown]
    iam.create_access_key(UserName="keeper")
    with refused("LimitExceeded", "Cannot exceed quota for AccessKeysPerUser: 2", 409):
        iam.create_access_key(UserName="keeper")
    first = iam.list_access_keys(UserName="keeper", MaxItems=1)
    rest = iam.list_access_keys(UserName="keeper", Marker=first["Marker"])
    assert len({key["AccessKeyId"] for page in (first, rest) for key in page["AccessKeyMetadata"]}) == 2
    iam.update_access_key(UserName="keeper", AccessKeyId=access.key_id, Status="Inactive")
    assert code_of(sts.get_caller_identity) == "InvalidClientTokenId"
    iam.update_access_key(UserName="keeper", AccessKeyId=access.key_id, Status="Active")
    sts.get_caller_identity()
    iam.delete_access_key(UserName="keeper", AccessKeyId=access.key_id)
    assert code_of(sts.get_caller_identity) == "InvalidClientTokenId"
    missing = ("NoSuchEntity", f"The Access Key with id {access.key_id} cannot be found.", 404)
    with refused(*missing):
        iam.delete_access_key(UserName="keeper", AccessKeyId=access.key_id)
    with refused(*missing):
        iam.update_access_key(UserName="keeper", AccessKeyId=access.key_id, Status="Active")
    with refused(*missing):
        iam.get_access_key_last_used(AccessKeyId=access.key_id)


def test_a_user_changes_nobody_elses_key_by_leaving_the_name_out(server: Production, iam: Any) -> None:
    document = json.dumps(
        {
            "Version": "2012-10-17",
            "Statement": {
                "Effect": "Allow",
                "Action": "iam:*AccessKey*",
                "Resource": f"{ARN}:user/${{aws:username}}",
            },
        }
    )
    accesses = {}
    for name in ("self", "neighbour"):
        iam.create_user(UserName=name)
        iam.put_user_policy(UserName=name, PolicyName="p", PolicyDocument=document)
        accesses[name] = access_of(iam.create_access_key(UserName=name))
    own, others = accesses["self"], accesses["neighbour"]
    mine = server.client("iam", own)
    assert [key["AccessKeyId"] for key in mine.list_access_keys()["AccessKeyMetadata"]] == [own.key_id]
    second = access_of(mine.create_access_key())
    assert server.client("sts", second).get_caller_identity()["Arn"] == f"{ARN}:user/self"
    with refused("NoSuchEntity", f"The Access Key with id {others.key_id} cannot be found.", 404):
        mine.delete_access_key(AccessKeyId=others.key_id)
    assert code_of(mine.delete_access_key, AccessKeyId=others.key_id, UserName="neighbour") == "AccessDenied"
    assert code_of(mine.get_access_key_last_used, AccessKeyId=others.key_id) == "AccessDenied"
    mine.delete_access_key(AccessKeyId=second.key_id)
    assert code_of(server.client("sts", others).get_caller_identity) == ""


def test_a_root_has_two_access_keys_and_no_name(server: Production, tmp_path: Path) -> None:
    other = Production(tmp_path)
    try:
        root = other.client("iam")
        made = root.create_access_key()
        assert "UserName" not in made["AccessKey"]
        with refused("LimitExceeded", "Cannot exceed quota for AccessKeysPerUser: 2", 409):
            root.create_access_key()
        second = other.client("iam", access_of(made))
        second.delete_access_key(AccessKeyId=other.root.key_id)
        assert code_of(root.list_access_keys) == "InvalidClientTokenId"
        listed = second.list_access_keys()["AccessKeyMetadata"]
        assert [key["AccessKeyId"] for key in listed] == [made["AccessKey"]["AccessKeyId"]]
    finally:
        other.stop()


def test_when_a_key_was_never_used(iam: Any) -> None:
    iam.create_user(UserName="idle")
    key_id = access_of(iam.create_access_key(UserName="idle")).key_id
    found = iam.get_access_key_last_used(AccessKeyId=key_id)
    assert found["UserName"] == "idle"
    assert found["AccessKeyLastUsed"] == {"ServiceName": "N/A", "Region": "N/A"}


def test_secrets_are_told_once_and_nowhere_else(server: Production, iam: Any) -> None:
    iam.create_user(UserName="secretive")
    secret = access_of(iam.create_access_key(UserName="secretive")).secret.encode()
    files = [path for path in server.directory.rglob("*") if path.is_file()]
    assert files
    assert not any(secret in path.read_bytes() for path in files)


# -- access keys without a secret


def test_an_access_key_whose_secret_the_caller_keeps(server: Production, iam: Any) -> None:
    iam.create_user(UserName="holder")
    key_id = "AKIAKEPT234567ABCDEF"
    made = Extended(server, AccessKeyId=key_id, PublicKey=PUBLIC_KEY).create_access_key(UserName="holder")["AccessKey"]
    assert (made["AccessKeyId"], made["SecretAccessKey"], made["Status"]) == (key_id, "", "Active")
    assert [key["AccessKeyId"] for key in iam.list_access_keys(UserName="holder")["AccessKeyMetadata"]] == [key_id]
    for taken in (key_id, server.root.key_id):
        with refused("EntityAlreadyExists", f"Access Key with id {taken} already exists.", 409):
            Extended(server, AccessKeyId=taken, PublicKey=PUBLIC_KEY).create_access_key(UserName="holder")
    # SigV4 has a secret on both sides, and the server has none: no signature of it can be right.
    for secret in ("x", PUBLIC_KEY):
        assert code_of(server.client("sts", Access(key_id, secret)).get_caller_identity) != ""
    iam.delete_access_key(UserName="holder", AccessKeyId=key_id)


def test_such_a_key_signs_with_sigv4a_until_it_is_switched_off(server: Production, iam: Any) -> None:
    access = Access("AKIAABCDEFGHIJKLMNOP", "a-secret-that-the-server-never-sees-012345")
    public = derive_public_key(access.key_id, access.secret)
    der = base64.b64encode(public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).decode()
    iam.create_user(UserName="asymmetric")
    iam.attach_user_policy(UserName="asymmetric", PolicyArn="arn:aws:iam::aws:policy/AdministratorAccess")
    Extended(server, AccessKeyId=access.key_id, PublicKey=der).create_access_key(UserName="asymmetric")
    kms = server.client("kms", access, config=Config(signature_version="v4a", retries={"total_max_attempts": 1}))
    assert code_of(kms.list_keys) == ""
    iam.update_access_key(UserName="asymmetric", AccessKeyId=access.key_id, Status="Inactive")
    assert code_of(kms.list_keys) == "UnrecognizedClientException"


@pytest.mark.parametrize(
    "arguments",
    [
        {"AccessKeyId": "AKIAKEPT234567ABCDEF"},
        {"PublicKey": PUBLIC_KEY},
        *(
            {"AccessKeyId": "AKIAKEPT234567ABCDEF", "PublicKey": key}
            for key in (spki(ec.SECP256K1()), spki(ec.SECP384R1()), PUBLIC_KEY[:-8], PUBLIC_KEY[4:], "AAAA")
        ),
    ],
    ids=["no key", "no ID", "secp256k1", "P-384", "cut", "no start", "rubbish"],
)
def test_only_a_public_key_on_p256_stands_for_a_secret(server: Production, iam: Any, arguments: Any) -> None:
    code_of(iam.create_user, UserName="wrong")
    assert code_of(Extended(server, **arguments).create_access_key, UserName="wrong") == "ValidationError"
    assert iam.list_access_keys(UserName="wrong")["AccessKeyMetadata"] == []


@pytest.mark.parametrize(
    "key_id",
    [
        "ASIAABCDEFGHIJKLMNOP",
        "AKIAABCDEFGHIJKLMNO",
        "AKIAABCDEFGHIJKLMNOPQ",
        "AKIAabcdefghijklmnop",
        "AKIA0189018901890189",
    ],
    ids=["a session's", "short", "long", "small letters", "other digits"],
)
def test_an_access_key_id_has_the_form_of_ones_that_are_given_out(server: Production, iam: Any, key_id: str) -> None:
    """IAM user guide, "IAM identifiers": AKIA is an access key's prefix, ASIA one's of temporary credentials."""
    code_of(iam.create_user, UserName="wrong")
    creating = Extended(server, AccessKeyId=key_id, PublicKey=PUBLIC_KEY).create_access_key
    with refused("ValidationError", "AccessKeyId must be AKIA and 16 characters of A-Z and 2-7.", 400):
        creating(UserName="wrong")
    assert iam.list_access_keys(UserName="wrong")["AccessKeyMetadata"] == []


class Extended:
    """boto3's client of the root, with members that boto3 does not know. What it signs is the body that goes out."""

    def __init__(self, server: Production, **members: str) -> None:
        self._client = client(server.url, "iam", server.root)
        self._client.meta.events.register("before-call.iam", lambda params, **_: params["body"].update(members))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)


# -- OpenID Connect providers


def test_a_provider_from_creation_to_deletion(iam: Any) -> None:
    url, prints = "https://idp.example.com/realms/a", ["A" * 40]
    made = iam.create_open_id_connect_provider(
        Url=url, ClientIDList=["one", "two", "one"], ThumbprintList=prints, Tags=[{"Key": "k", "Value": "v"}]
    )
    arn = made["OpenIDConnectProviderArn"]
    assert arn == f"{PROVIDER}idp.example.com/realms/a"
    with refused("EntityAlreadyExists", f"Provider with url {url} already exists.", 409):
        iam.create_open_id_connect_provider(Url=url)
    named = {"OpenIDConnectProviderArn": arn}
    for client_id in ("three", "three", "one"):
        iam.add_client_id_to_open_id_connect_provider(**named, ClientID=client_id)
    for client_id in ("two", "two"):
        iam.remove_client_id_from_open_id_connect_provider(**named, ClientID=client_id)
    iam.update_open_id_connect_provider_thumbprint(**named, ThumbprintList=["b" * 40, "c" * 40])
    found = iam.get_open_id_connect_provider(**named)
    assert found["Url"] == "idp.example.com/realms/a"
    assert (found["ClientIDList"], found["ThumbprintList"]) == (["one", "three"], ["b" * 40, "c" * 40])
    iam.tag_open_id_connect_provider(**named, Tags=[{"Key": "K", "Value": "w"}])
    assert [tag["Value"] for tag in iam.list_open_id_connect_provider_tags(**named)["Tags"]] == ["w", "v"]
    iam.untag_open_id_connect_provider(**named, TagKeys=["k"])
    assert iam.get_open_id_connect_provider(**named)["Tags"] == [{"Key": "K", "Value": "w"}]
    assert {"Arn": arn} in iam.list_open_id_connect_providers()["OpenIDConnectProviderList"]
    iam.delete_open_id_connect_provider(**named)
    iam.delete_open_id_connect_provider(**named)
    with refused("NoSuchEntity", f"OpenIDConnect Provider not found for arn {arn}", 404):
        iam.get_open_id_connect_provider(**named)


@pytest.mark.parametrize(
    "url",
    [
        "http://idp.example.com",
        "idp.example.com",
        "https://",
        "https://idp.example.com?x=1",
        "https://idp.example.com/#f",
        "https://user@idp.example.com/",
        "https://idp.example.com\\@evil.example",
        "https://idp.example.com/*",
    ],
)
def test_a_provider_has_an_https_url(iam: Any, url: str) -> None:
    with refused("ValidationError", "Invalid Open ID Connect Provider URL"):
        iam.create_open_id_connect_provider(Url=url)


def test_limits_of_a_provider(iam: Any) -> None:
    url = "https://limits.example.com"
    many = [f"c{i}" for i in range(100)]
    with refused("LimitExceeded", "Cannot exceed quota for ClientIdsPerOpenIdConnectProvider: 100", 409):
        iam.create_open_id_connect_provider(Url=url, ClientIDList=[*many, "more"])
    for prints in (["a" * 40] * 6, ["x" * 40]):
        assert code_of(iam.create_open_id_connect_provider, Url=url, ThumbprintList=prints) == "InvalidInput"
    arn = iam.create_open_id_connect_provider(Url=url, ClientIDList=many)["OpenIDConnectProviderArn"]
    with refused("LimitExceeded", "Cannot exceed quota for ClientIdsPerOpenIdConnectProvider: 100", 409):
        iam.add_client_id_to_open_id_connect_provider(OpenIDConnectProviderArn=arn, ClientID="more")
    with refused("ValidationError", "Invalid ARN:  Could not be parsed!"):
        iam.get_open_id_connect_provider(OpenIDConnectProviderArn=f"{ARN}:user/limits.example.com")


@pytest.mark.parametrize(
    "jwks",
    ["{", "[]", '{"keys": 1}', '{"keys": ["x"]}', "{}", '{"keys":[{"x":' + "[" * 9000 + "]" * 9000 + "}]}"],
    ids=lambda jwks: jwks[:16],
)
def test_keys_of_a_provider_are_a_key_set(server: Production, jwks: str) -> None:
    call = Extended(server, JWKS=jwks).create_open_id_connect_provider
    assert code_of(call, Url="https://keys.example.com") == "InvalidInput"
