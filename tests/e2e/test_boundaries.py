# SPDX-License-Identifier: Apache-2.0
"""Both sides of every edge of AWS's service model, over the wire: what is outside is refused in AWS's words, what is
inside is not refused for that."""

import http.client
import json
from collections import Counter
from collections.abc import Iterator

import pytest
from boundaries import Case, cases, model

from keyquorum.ops import registry
from keyquorum.testing import Server

CASES = cases(set(registry.KMS))
NAMES = [case.name for case in CASES]
# The largest body that the server reads. An attestation document may be larger by the model; none is accepted yet.
LARGEST = 256 * 1024


@pytest.fixture(scope="module")
def connection(keyquorum_server: Server) -> Iterator[http.client.HTTPConnection]:
    """One connection, kept alive."""
    opened = http.client.HTTPConnection(keyquorum_server.endpoint_url.removeprefix("http://"), timeout=30)
    yield opened
    opened.close()


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES, ids=NAMES)
def test_the_edge_of_a_constraint(connection: http.client.HTTPConnection, case: Case) -> None:
    headers = {"Content-Type": "application/x-amz-json-1.1", "X-Amz-Target": f"TrentService.{case.operation}"}
    body = json.dumps(case.body)
    connection.request("POST", "/", body, headers)
    response = connection.getresponse()
    text = response.read()
    answer = json.loads(text) if text else {}
    code, message = answer.get("__type"), answer.get("message", "")
    if len(body) > LARGEST:
        assert case.path == "recipient.attestationDocument"
        assert (response.status, code) == (413, "RequestEntityTooLargeException")
    elif case.refusal is None:
        assert response.status in (200, 400), answer
        assert f"at '{case.path}' failed to satisfy" not in message
        assert code != "SerializationException"
    else:
        assert (response.status, code, message) == (400, "ValidationException", case.refusal)


def test_there_are_more_than_eight_hundred_on_all_fifty_operations() -> None:
    """Each its own, on both sides: an operation is missing only if the model constrains nothing of it."""
    assert len(registry.KMS) == 50
    assert len(set(NAMES)) == len(NAMES)
    assert {case.operation for case in CASES} == set(registry.KMS) <= set(model().operation_names)
    sides = Counter(case.refusal is None for case in CASES)
    assert min(sides.values()) > 400
    assert len(CASES) > 800
    assert sum(len(json.dumps(case.body)) > LARGEST for case in CASES) == 10
