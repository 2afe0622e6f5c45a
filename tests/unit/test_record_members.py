# SPDX-License-Identifier: Apache-2.0
"""No secret gets into a record: every member of every request and every answer of the service models is filled in, and
what the record tells of it is looked at."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from keyquorum import api, iam_api, own_api, sts_api
from keyquorum.api import Constraint, Shape
from keyquorum.audit.members import told

MODELS = {"kms": api, "iam": iam_api, "sts": sts_api, "keyquorum": own_api}
MEMBERS = api.CONSTRAINTS | iam_api.CONSTRAINTS | sts_api.CONSTRAINTS | own_api.CONSTRAINTS
STRUCTURES = sorted(
    {
        structure
        for model in MODELS.values()
        for shape in model.OPERATIONS.values()
        for structure in (shape.request, shape.response)
        if structure is not None
    },
    key=lambda structure: (structure.__module__, structure.__name__),
)

#: By their names: what a model does not mark as sensitive, or marks only in one place.
SECRET = {
    "PrivateKeyPlaintext",
    "SecretAccessKey",
    "SessionToken",
    "WebIdentityToken",
    "GrantToken",
    "GrantTokens",
    "ImportToken",
    "TokenCode",
    "ContextAssertion",
    "KeyStorePassword",
    "RawSecretAccessKey",
    "SharedSecret",
    "Plaintext",
    "Message",
    "Signature",
    "Mac",
    "CiphertextBlob",
}


def filled(structure: type[Shape], secret: bool) -> Shape:
    """Each text in it says whether it is a secret."""
    values = {}
    types = structure.__annotations__
    names = dict(zip(structure.__struct_fields__, structure.__struct_encode_fields__, strict=True))
    for attribute in structure.__struct_fields__:
        hidden = secret or attribute in structure._secret or names[attribute] in SECRET
        values[attribute] = value_for(str(types[attribute]), structure, hidden)
    return structure(**values)


def value_for(annotation: str, structure: type[Shape], secret: bool) -> Any:
    text = "SECRET" if secret else "open"
    annotation = annotation.removeprefix("<class '").removesuffix("'>").removesuffix(" | None")
    if annotation.startswith("list["):
        return [value_for(annotation[5:-1], structure, secret)]
    if annotation.startswith("dict["):
        return {text: text}
    name = annotation.rpartition(".")[2]
    module = __import__(structure.__module__, fromlist=["x"])
    if isinstance(getattr(module, name, None), type) and issubclass(getattr(module, name), Shape):
        return filled(getattr(module, name), secret)
    return {"str": text, "bytes": b"SECRET", "bool": True}.get(name, 1)


@pytest.mark.parametrize("structure", STRUCTURES, ids=lambda structure: f"{structure.__module__}.{structure.__name__}")
def test_no_secret_is_told(structure: type[Shape]) -> None:
    shown = json.dumps(told(filled(structure, secret=False)))
    assert "SECRET" not in shown
    assert "U0VDUkVU" not in shown  # in base64


def reachable(structure: type[Shape], seen: frozenset[type[Shape]] = frozenset()) -> Iterator[tuple[str, Constraint]]:
    """Name and constraint of all members that a record tells of a request, nested ones included."""
    shown = told(filled(structure, secret=False)) or {}
    for member in MEMBERS.get(structure, ()):
        position = structure.__struct_fields__.index(member.attribute)
        name = structure.__struct_encode_fields__[position]
        constraint = member.constraint
        if name[0].lower() + name[1:] not in shown:
            continue
        yield name, constraint
        inner = constraint.element or constraint
        if inner.nested is not None and inner.nested not in seen:
            yield from reachable(inner.nested, seen | {structure})


@pytest.mark.parametrize("service", MODELS)
def test_nothing_that_a_model_calls_sensitive_and_no_blob_is_told_of_a_request(service: str) -> None:
    checked = 0
    for shape in MODELS[service].OPERATIONS.values():
        for name, constraint in reachable(shape.request):
            inner = constraint.element or constraint
            assert not constraint.sensitive, name
            assert not inner.sensitive, name
            assert inner.kind != "blob", name
            checked += 1
    assert checked > 5


def test_every_name_of_a_request_is_told_or_left_out_on_purpose() -> None:
    """A member that a later model brings is in neither list, and fails here."""
    left_out = set()
    for model in MODELS.values():
        for shape in model.OPERATIONS.values():
            shown = told(filled(shape.request, secret=False)) or {}
            names = {name[0].lower() + name[1:] for name in shape.request.__struct_encode_fields__}
            left_out |= names - set(shown)
    assert sorted(left_out) == LEFT_OUT.split()


LEFT_OUT = """
    callerArn ciphertextBlob cloudHsmClusterId contextEntries customKeyStoreType encryptedKeyMaterial grantToken
    grantTokens importToken jWKS keySpecs keyStates keyStorePassword keyUsages mac marker message
    minimumSessionTokenSize newCustomKeyStoreName nextToken nonce origins permissionsBoundaryPolicyInputList
    plaintext policyExclusionList policyInputList providedContexts publicKey recipient resourceHandlingOption
    resourceOwner resourcePolicy sharedSecretCiphertextBlob signature text token tokenCode trustAnchorCertificate
    unusedForDays usedWithinDays webIdentityToken xksProxyAuthenticationCredential xksProxyConnectivity
    xksProxyUriEndpoint xksProxyUriPath xksProxyVpcEndpointServiceName xksProxyVpcEndpointServiceOwner
"""
