# SPDX-License-Identifier: Apache-2.0
"""Makes what a recipe of the cookbook takes for granted, puts its policies, and asks what the rows of its tables ask.

Keys are made by the account's root, under the default key policy. Ciphertexts and signatures that rows want decrypted
or verified are made by it then, before the recipe's key policies are put.
"""

import json
from collections.abc import Callable
from datetime import datetime
from typing import Any, Final

from botocore import xform_name
from botocore.exceptions import ClientError
from cookbook import Recipe, Row, Words, words
from inprocess import Circumstances, InProcess
from issuer import Issuer

from keyquorum.app import Service

ACCOUNT: Final = "111122223333"
_MESSAGE: Final = b"A message of thirty-two bytes..."
_ANSWERS: Final = {"AccessDenied": "no", "AccessDeniedException": "no", "ExpiredTokenException": "expired"}


class World:
    def __init__(self, service: Service, recipe: Recipe, *, bypass: bool = False) -> None:
        """``bypass``: put even a key policy that would lock its author out."""
        self._recipe = recipe
        self._bypass = bypass
        self._inside = InProcess(service)
        self._issuers: dict[str, Issuer] = {}  # by the provider's name
        self._credentials = {"root": self._inside.root(ACCOUNT)}
        self._keys: dict[str, str] = {}  # name -> ARN
        self._policies: dict[str, str] = {}  # ARN -> key policy, where one was put
        self._prepared: dict[tuple[str, ...], bytes] = {}
        self._grant_id = ""
        self._make()

    def answer(self, row: Row) -> str:
        """``yes``, ``no``, ``expired``, or the code of what else it is refused with."""
        who, _, since = row.who.partition(", since ")
        request = words(row.request)
        self._inside.circumstances = Circumstances(now=_seconds(since))
        credentials = self._of(who)
        self._inside.circumstances = Circumstances(
            request.source or Circumstances.peer, request.secure, _seconds(request.at)
        )
        try:
            self._call(request, who, credentials)
        except ClientError as error:
            code = str(error.response["Error"]["Code"])
            return _ANSWERS.get(code, code)
        return "yes"

    # -- who asks, and what

    def _of(self, who: str) -> dict[str, str]:
        """The credentials of ``root``, ``alice`` or ``alice as role/session``. A web identity has none by itself."""
        base, _, assumed = who.partition(" as ")
        if not assumed:
            return {} if ":" in base else self._credentials[base]
        role, _, session = assumed.partition("/")
        how = "AssumeRoleWithWebIdentity" if ":" in base else "AssumeRole"
        request = words(f"{how} {role}/{session or base.rpartition(':')[2]} aud={self._audience()}")
        made = self._call(request, base, self._of(base))["Credentials"]
        return {
            "aws_access_key_id": made["AccessKeyId"],
            "aws_secret_access_key": made["SecretAccessKey"],
            "aws_session_token": made["SessionToken"],
        }

    def _call(self, request: Words, who: str, credentials: dict[str, str]) -> dict[str, Any]:
        service, members = next((s, t[request.operation]) for s, t in _MEMBERS.items() if request.operation in t)
        given = members(self, request)
        if request.operation == "AssumeRoleWithWebIdentity":
            given["WebIdentityToken"] = self._token(who, request.pairs["aud"])
        call = getattr(self._inside.client(service, **credentials), xform_name(request.operation))
        answer: dict[str, Any] = call(**given)
        self._grant_id = answer.get("GrantId", self._grant_id)
        return answer

    def _token(self, subject: str, audience: str) -> str:
        (issuer,) = self._issuers.values()
        return issuer.token("ES256", sub=subject, aud=[audience])

    def _audience(self) -> str:
        return next((text for name in self._names("provider") for text in self._told("provider", name, "audience")), "")

    # -- what the members of requests are made from

    def key(self, request: Words) -> str:
        """How the request names its key: by an alias, or else by its ARN, which is good in any account."""
        aliases = [name for name in request.names if name.startswith("alias/")]
        return aliases[0] if aliases else self.key_arn(request)

    def key_arn(self, request: Words) -> str:
        named = [name for name in request.names if name in self._keys]
        return self._keys[named[0] if named else next(iter(self._keys))]

    def key_policy(self, request: Words) -> str:
        return self._policies[self.key_arn(request)]

    def prepared(self, request: Words) -> bytes:
        return self._prepared[self._about(request)]

    def grantee(self, request: Words) -> str:
        (name,) = [name for name in request.names if name not in self._keys]
        return f"arn:aws:iam::{ACCOUNT}:{'user' if name in self._credentials else 'role'}/{name}"

    @property
    def grant_id(self) -> str:
        return self._grant_id

    # -- making, in an order in which what comes later may name what came before

    def _make(self) -> None:
        texts = {(block.kind, block.name): block.text for block in self._recipe.blocks}
        for name in self._names("Managed policy"):
            self._iam().create_policy(PolicyName=name, PolicyDocument=texts["Managed policy", name])
        for name in self._names("group", "Policy of group"):
            self._iam().create_group(GroupName=name)
        for name in self._names("user", "Policy of user"):
            self._make_user(name)
        for name in self._names("provider"):
            self._make_provider(name)
        for name in self._names("role", "Trust policy of role"):
            self._iam().create_role(RoleName=name, AssumeRolePolicyDocument=texts["Trust policy of role", name])
        for name in self._names("key", "Key policy of"):
            self._make_key(name)
        for row in self._recipe.rows:
            self._prepare(words(row.request))
        for (kind, name), text in texts.items():
            self._put(kind, name, text)

    def _make_user(self, name: str) -> None:
        account = self._account("user", name)
        iam = self._iam(account)
        options = {f"{word.title()}": value for word in ("path",) for value in self._told("user", name, word)}
        for boundary in self._told("user", name, "boundary"):
            options["PermissionsBoundary"] = f"arn:aws:iam::{account}:policy/{boundary}"
        iam.create_user(UserName=name, Tags=_tags(self._told("user", name, "tag"), ""), **options)
        for group in self._told("user", name, "group"):
            iam.add_user_to_group(UserName=name, GroupName=group)
        made = iam.create_access_key(UserName=name)["AccessKey"]
        self._credentials[name] = {
            "aws_access_key_id": made["AccessKeyId"],
            "aws_secret_access_key": made["SecretAccessKey"],
        }

    def _make_provider(self, name: str) -> None:
        iam = self._iam()
        issuer = self._issuers[name] = Issuer(f"https://{name}")

        def add_key_set(params: dict[str, Any], **_event: Any) -> None:
            params["body"]["JWKS"] = json.dumps({"keys": issuer.keys})

        # Not in AWS's model: a key set that is given instead of fetched.
        iam.meta.events.register("before-call.iam.CreateOpenIDConnectProvider", add_key_set)
        audiences = self._told("provider", name, "audience")
        iam.create_open_id_connect_provider(Url=f"https://{name}", ClientIDList=audiences)

    def _make_key(self, name: str) -> None:
        told = self._recipe.things.get(("key", name), [])
        specs = next((text.split() for text in told if text.isupper()), ["SYMMETRIC_DEFAULT", "ENCRYPT_DECRYPT"])
        kms = self._kms()
        tags = _tags(self._told("key", name, "tag"), "Tag")
        made = kms.create_key(KeySpec=specs[0], KeyUsage=specs[1], Tags=tags)["KeyMetadata"]
        self._keys[name] = made["Arn"]
        for alias in (text for text in told if text.startswith("alias/")):
            kms.create_alias(AliasName=alias, TargetKeyId=made["KeyId"])

    def _prepare(self, request: Words) -> None:
        if request.operation == "Verify":
            made = self._kms().sign(**_signing(self, request))["Signature"]
        elif request.operation in ("Decrypt", "ReEncrypt"):
            made = self._kms().encrypt(**_KMS["Encrypt"](self, request))["CiphertextBlob"]
        else:
            return
        self._prepared[self._about(request)] = made

    def _put(self, kind: str, name: str, text: str) -> None:
        for key, arn in self._keys.items():
            for shown in self._told("key", key, "ID"):
                text = text.replace(shown, arn.rpartition("/")[2])
        if kind == "Key policy of":
            self._policies[self._keys[name]] = text
            self._kms().put_key_policy(KeyId=self._keys[name], Policy=text, BypassPolicyLockoutSafetyCheck=self._bypass)
        elif kind.startswith("Policy of "):
            owner = kind.removeprefix("Policy of ")
            put = getattr(self._iam(self._account(owner, name)), f"put_{owner}_policy")
            put(**{f"{owner.title()}Name": name}, PolicyName="recipe", PolicyDocument=text)

    def _about(self, request: Words) -> tuple[str, ...]:
        """What a ciphertext or signature belongs to."""
        return (self.key(request), *request.capitals, *(f"{k}={v}" for k, v in sorted(request.pairs.items())))

    def _names(self, *kinds: str) -> list[str]:
        """What there is of these kinds, each once."""
        named = [*self._recipe.things, *((block.kind, block.name) for block in self._recipe.blocks)]
        return list(dict.fromkeys(name for kind, name in named if kind in kinds))

    def _told(self, kind: str, name: str, what: str) -> list[str]:
        """The ``team=blue`` of ``tag team=blue``."""
        told = self._recipe.things.get((kind, name), [])
        return [text.removeprefix(f"{what} ") for text in told if text.startswith(f"{what} ")]

    def _account(self, kind: str, name: str) -> str:
        return next(iter(self._told(kind, name, "account")), ACCOUNT)

    def _iam(self, account: str = ACCOUNT) -> Any:
        return self._inside.client("iam", **self._inside.root(account))

    def _kms(self) -> Any:
        return self._inside.client("kms", **self._credentials["root"])


def _seconds(time_of_day: str | None) -> float | None:
    """Since the epoch, on the day that the tables are about."""
    return datetime.fromisoformat(f"2030-01-01T{time_of_day}:00+00:00").timestamp() if time_of_day else None


def _tags(pairs: list[str], prefix: str) -> list[dict[str, str]]:
    return [{f"{prefix}Key": key, f"{prefix}Value": value} for key, value in (pair.split("=") for pair in pairs)]


def _signing(world: World, request: Words) -> dict[str, Any]:
    algorithm, message_type = request.capitals
    return {
        "KeyId": world.key(request),
        "Message": _MESSAGE,
        "SigningAlgorithm": algorithm,
        "MessageType": message_type,
    }


def _new_key(_world: World, request: Words) -> dict[str, Any]:
    spec, usage = request.capitals or ("SYMMETRIC_DEFAULT", "ENCRYPT_DECRYPT")
    tags = _tags([f"{key}={value}" for key, value in request.pairs.items()], "Tag")
    return {"KeySpec": spec, "KeyUsage": usage, "MultiRegion": request.multi_region, "Tags": tags}


def _new_user(_world: World, request: Words) -> dict[str, Any]:
    path, _, name = request.names[0].rpartition("/")
    members = {"UserName": name, "Path": f"{path}/"}
    for boundary in request.pairs.values():
        members["PermissionsBoundary"] = f"arn:aws:iam::{ACCOUNT}:policy/{boundary}"
    return members


def _user_policy(_world: World, request: Words) -> dict[str, Any]:
    name, action = request.names
    document = f'{{"Version":"2012-10-17","Statement":{{"Effect":"Allow","Action":"{action}","Resource":"*"}}}}'
    return {"UserName": name, "PolicyName": "given", "PolicyDocument": document}


def _role(_world: World, request: Words) -> dict[str, Any]:
    name, _, session = request.names[0].partition("/")
    return {
        "RoleArn": f"arn:aws:iam::{ACCOUNT}:role/{name}",
        "RoleSessionName": session or "session",
        "DurationSeconds": 900,
    }


def _key_and(**more: Callable[[World, Words], Any]) -> Callable[[World, Words], dict[str, Any]]:
    return lambda world, request: {
        "KeyId": world.key(request),
        **{name: make(world, request) for name, make in more.items()},
    }


def _nothing(_world: World, _request: Words) -> dict[str, Any]:
    return {}


def _user(_world: World, request: Words) -> dict[str, Any]:
    return {"UserName": request.names[0]}


def _context(_world: World, request: Words) -> dict[str, str]:
    return request.pairs


def _aes(_world: World, _request: Words) -> str:
    return "AES_256"


_Members = Callable[[World, Words], dict[str, Any]]

_KMS: Final[dict[str, _Members]] = {
    **dict.fromkeys(
        ("CancelKeyDeletion", "DescribeKey", "DisableKey", "EnableKey", "GetPublicKey", "ListGrants"), _key_and()
    ),
    **dict.fromkeys(("ListResourceTags", "GetKeyPolicy"), _key_and()),
    "CreateAlias": lambda w, r: {"AliasName": w.key(r), "TargetKeyId": w.key_arn(r)},
    "CreateGrant": _key_and(GranteePrincipal=World.grantee, Operations=lambda w, r: r.operations),
    "CreateKey": _new_key,
    "Decrypt": _key_and(CiphertextBlob=World.prepared, EncryptionContext=_context),
    "Encrypt": _key_and(Plaintext=lambda w, r: _MESSAGE, EncryptionContext=_context),
    "GenerateDataKey": _key_and(KeySpec=_aes, EncryptionContext=_context),
    "GenerateDataKeyWithoutPlaintext": _key_and(KeySpec=_aes, EncryptionContext=_context),
    "ListKeys": _nothing,
    "PutKeyPolicy": _key_and(Policy=World.key_policy),
    "ReEncrypt": lambda w, r: {"CiphertextBlob": w.prepared(r), "DestinationKeyId": w.key(r)},
    "RevokeGrant": _key_and(GrantId=lambda w, r: w.grant_id),
    "ScheduleKeyDeletion": _key_and(PendingWindowInDays=lambda w, r: r.number),
    "Sign": _signing,
    "TagResource": _key_and(Tags=lambda w, r: _tags([f"{k}={v}" for k, v in r.pairs.items()], "Tag")),
    "Verify": lambda w, r: {**_signing(w, r), "Signature": w.prepared(r)},
}
_MEMBERS: Final[dict[str, dict[str, _Members]]] = {
    "kms": _KMS,
    "iam": {
        "CreateAccessKey": _user,
        "CreateUser": _new_user,
        "DeleteUserPermissionsBoundary": _user,
        "ListUsers": _nothing,
        "PutUserPolicy": _user_policy,
    },
    "sts": {"AssumeRole": _role, "AssumeRoleWithWebIdentity": _role},
}
"""Service -> operation -> its members."""
