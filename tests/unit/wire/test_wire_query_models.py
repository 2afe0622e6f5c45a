# SPDX-License-Identifier: Apache-2.0
"""Every operation of IAM and STS that there is: what botocore serialises we read, and what we write botocore reads."""

import json
import re
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

import botocore.handlers
import botocore.parsers
import botocore.serialize
import botocore.session
import msgspec
import pytest

from keyquorum import errors, iam_api, sts_api
from keyquorum.wire import query_xml
from keyquorum.wire.protocols import IAM, STS

SESSION = botocore.session.Session()
APIS = {"iam": (IAM, iam_api.OPERATIONS), "sts": (STS, sts_api.OPERATIONS)}
MODELS = {service: SESSION.get_service_model(service) for service in APIS}
CASES = [(service, name) for service, (_, operations) in APIS.items() for name in operations]

WHEN = datetime(2026, 2, 28, 23, 59, 58, tzinfo=UTC)
# The oddest come first: what is percent-encoded already, line ends, characters beyond Latin-1 and ASCII.
TEXTS = (
    "a %41+b&c=\u00e9;\u2603\U0001f511<]]>\r\n\t.",
    '{"Id": "a %41+b&c=\u00e9<",\r\n\t"Statement": []}',
    "k \u00e9\u4e2d.:/=+@-_",
    "/a+b/c&d/",
    "/a+b=c/",
    "a+b=c,d.e@f-g_0001",
    "ABCDEFGH12345678",
    "abcdef+/Ab==",
    "123456",
    "v1",
    "f" * 40,
)


def text_for(shape: Any) -> str:
    """The first text that the shape allows."""
    limits = shape.metadata
    if "enum" in limits:
        return str(limits["enum"][-1])
    pattern = limits.get("pattern", "(?s:.*)").replace(r"\p{L}\p{Z}\p{N}", r"a-z \u00e9\u4e2d0-9")
    low, high = limits.get("min", 0), limits.get("max", 131072)
    fitting = [text for text in TEXTS if low <= len(text) <= high and re.fullmatch(pattern, text, re.ASCII)]
    assert fitting, f"add a text for {shape.name}: {limits}"
    return fitting[0]


def value_for(shape: Any) -> Any:
    """A value with every member present, the last one of a union, and two entries in each list and map."""
    match shape.type_name:
        case "structure":
            members = list(shape.members.items())
            return {name: value_for(member) for name, member in members[-1 if shape.is_tagged_union else 0 :]}
        case "list":
            return [value_for(shape.member)] * 2
        case "map":
            return {"one": value_for(shape.value), "a & b": value_for(shape.value)}
        case "string":
            # botocore decodes these by the shape's name, and JSON with them.
            return TEXTS[1] if shape.name == "policyDocumentType" else text_for(shape)
        case "integer":
            return shape.metadata.get("max", 7)
        case "boolean":
            return True
        case "timestamp":
            return WHEN
        case kind:
            raise AssertionError(f"no value for {kind}")


def with_documents_decoded(value: Any, shape: Any) -> Any:
    """As a client shows it: policy documents are JSON."""
    match shape.type_name:
        case "structure":
            return {name: with_documents_decoded(part, shape.members[name]) for name, part in value.items()}
        case "list":
            return [with_documents_decoded(part, shape.member) for part in value]
        case _:
            return json.loads(value) if shape.name == "policyDocumentType" else value


@pytest.mark.parametrize(("service", "name"), CASES)
def test_what_botocore_sends_is_read(service: str, name: str) -> None:
    model = MODELS[service].operation_model(name)
    given = value_for(model.input_shape) if model.input_shape else {}
    sent = botocore.serialize.create_serializer("query").serialize_to_request(given, model)["body"]
    protocol, operations = APIS[service]
    request = protocol.decode(name, urlencode(sent).encode())
    assert type(request) is operations[name].request
    assert msgspec.to_builtins(request) == given


@pytest.mark.parametrize(("service", "name"), CASES)
def test_botocore_reads_an_answer(service: str, name: str) -> None:
    protocol, operations = APIS[service]
    model = MODELS[service].operation_model(name)
    shape, response = model.output_shape, operations[name].response
    assert (shape is None) == (response is None)
    given = value_for(shape) if shape else {}
    answer = None
    if response is not None:
        answer = msgspec.convert(json.loads(json.dumps(given, default=datetime.timestamp)), response)
    body = protocol.encode(name, answer, "request-1")
    parsed = botocore.parsers.QueryParser().parse({"status_code": 200, "headers": {}, "body": body}, shape)
    assert parsed.pop("ResponseMetadata")["RequestId"] == "request-1"
    if service == "iam":
        botocore.handlers.json_decode_policies(parsed, model)
        given = with_documents_decoded(given, shape) if shape else given
    assert parsed == given


def test_the_documents_are_those_that_clients_decode() -> None:
    """The table names each member of the model's type for documents that an answer can hold, and no other."""
    found = set()

    def visit(shape: Any) -> None:
        for name, member in shape.members.items():
            while member.type_name == "list":
                member = member.member
            if member.type_name == "structure":
                visit(member)
            elif member.name == "policyDocumentType":
                found.add((shape.name, name))

    for name in iam_api.OPERATIONS:
        if (shape := MODELS["iam"].operation_model(name).output_shape) is not None:
            visit(shape)
    named = {
        (structure.__name__, field.encode_name)
        for structure, attribute in query_xml.DOCUMENTS
        for field in msgspec.structs.fields(structure)
        if field.name == attribute
    }
    assert named == found


@pytest.mark.parametrize("service", APIS)
def test_codes_and_statuses_are_the_models(service: str) -> None:
    ours = {name: fault for name, fault in vars(errors).items() if name.endswith("Exception")}
    # Of the two that are called so in AWS, the model's is the one about the token in the request.
    ours["ExpiredTokenException"] = errors.ExpiredWebIdentityTokenException
    shared = [shape for shape in MODELS[service].error_shapes if shape.name in ours]
    assert len(shared) >= 6
    for shape in shared:
        modelled = shape.metadata["error"]
        status, body = APIS[service][0].encode_fault(ours[shape.name]("Why"), "request-1")
        assert status == modelled["httpStatusCode"]
        parsed = botocore.parsers.QueryParser().parse({"status_code": status, "headers": {}, "body": body}, None)
        assert parsed["Error"] == {"Type": "Sender", "Code": modelled["code"], "Message": "Why"}
