# SPDX-License-Identifier: Apache-2.0
"""``kill -9`` while 200 requests are in flight, again and again on one data directory: whatever was answered is there,
and every change has its audit record, once, in a log that is whole."""

import base64
import itertools
import json
import random
import selectors
import socket
from collections import Counter
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest
from processes import Serve, audit_records, complaints, kill_all
from servers import Production, run
from wire_signing import Signer

pytestmark = [pytest.mark.long, pytest.mark.timeout(400)]

CONNECTIONS = 200


class Promise(NamedTuple):
    """What a success said: of CreateKey that the key is there, of Encrypt that its ciphertext opens."""

    operation: str
    key_id: str
    plaintext: str = ""
    ciphertext: str = ""


class Flight:
    """A connection with one request on the way."""

    def __init__(self, server: Production) -> None:
        self.socket = socket.create_connection((server.host, server.port))
        self.operation = ""
        self.asked: dict[str, str] = {}
        self._received = b""

    def send(self, signer: Signer, operation: str, body: dict[str, str]) -> None:
        self.operation, self.asked, self._received = operation, body, b""
        self.socket.sendall(signer.request(operation, json.dumps(body).encode()).wire())

    def receive(self) -> tuple[str, dict[str, Any]] | None:
        """Request ID and answer once it is whole; raises ConnectionError at the end of the connection."""
        data = self.socket.recv(65536)
        if not data:
            raise ConnectionError
        self._received += data
        head, blank, body = self._received.partition(b"\r\n\r\n")
        headers = dict(line.split(b": ", 1) for line in head.lower().split(b"\r\n")[1:])
        if not blank or len(body) < int(headers[b"content-length"]):
            return None
        assert head.startswith(b"HTTP/1.1 200 "), (self.asked, self._received)
        return headers[b"x-amzn-requestid"].decode(), json.loads(body)


def load_until_killed(server: Production, key_id: str, dice: random.Random, until: int) -> dict[str, Promise]:
    """Keep 200 requests in flight until ``until`` are answered, kill the server, and take what it had answered by
    then: promises by request ID."""
    signer, selector = Signer(server, server.root), selectors.DefaultSelector()
    keys, promises, sent = [key_id], dict[str, Promise](), itertools.count()

    def send(flight: Flight) -> None:
        note = f"{server.url} {next(sent)}"
        if dice.random() < 0.5:
            flight.send(signer, "CreateKey", {"Description": note})
        else:
            plaintext = base64.b64encode(note.encode()).decode()
            flight.send(signer, "Encrypt", {"KeyId": dice.choice(keys), "Plaintext": plaintext})

    def note(flight: Flight, request_id: str, answer: dict[str, Any]) -> None:
        if flight.operation == "CreateKey":
            promises[request_id] = Promise("CreateKey", answer["KeyMetadata"]["KeyId"])
            keys.append(promises[request_id].key_id)
        else:
            asked = flight.asked
            promises[request_id] = Promise("Encrypt", asked["KeyId"], asked["Plaintext"], answer["CiphertextBlob"])

    for flight in [Flight(server) for _ in range(CONNECTIONS)]:
        send(flight)
        selector.register(flight.socket, selectors.EVENT_READ, flight)
    killed = False
    while selector.get_map():
        ready = selector.select(timeout=30)
        assert ready, "the server hangs"
        for flight in [entry.data for entry, _ in ready]:
            try:
                received = flight.receive()
            except ConnectionError:
                selector.unregister(flight.socket)
                flight.socket.close()
                continue
            if received is not None:
                note(flight, *received)
                if len(promises) < until:
                    send(flight)
        if not killed and len(promises) >= until:
            killed = True
            kill_all(server)
    return promises


def ask(server: Production, requests: list[tuple[str, dict[str, Any]]]) -> Iterator[dict[str, Any]]:
    """The answers to the requests, each of which must succeed, over one connection."""
    signer, wire = Signer(server, server.root), server.connect()
    for operation, body in requests:
        response = wire.exchange(signer.request(operation, json.dumps(body).encode()).wire())
        assert response.status == 200, (operation, body, response)
        yield response.json
    wire.close()


def check_promises(server: Production, promises: dict[str, Promise]) -> None:
    created = [promise.key_id for promise in promises.values() if promise.operation == "CreateKey"]
    described = ask(server, [("DescribeKey", {"KeyId": key_id}) for key_id in created])
    assert [answer["KeyMetadata"]["KeyId"] for answer in described] == created
    encrypted = [promise for promise in promises.values() if promise.operation == "Encrypt"]
    opened = ask(server, [("Decrypt", {"CiphertextBlob": promise.ciphertext}) for promise in encrypted])
    for answer, promise in zip(opened, encrypted, strict=True):
        assert answer["Plaintext"] == promise.plaintext
        assert answer["KeyId"].endswith(f":key/{promise.key_id}")


def all_keys(server: Production) -> set[str]:
    found: set[str] = set()
    page: dict[str, Any] = {"Truncated": True}
    while page["Truncated"]:
        marker = {"Marker": page["NextMarker"]} if "NextMarker" in page else {}
        [page] = ask(server, [("ListKeys", {"Limit": 1000, **marker})])
        found.update(entry["KeyId"] for entry in page["Keys"])
    return found


def check_audit(server: Production, promises: dict[str, Promise]) -> None:
    records = audit_records(server.data)
    events = Counter(record["eventID"] for record in records)
    assert [event for event, count in events.items() if count > 1] == []
    told = Counter((record["requestID"], record["eventName"]) for record in records)
    assert {told[request_id, promise.operation] for request_id, promise in promises.items()} == {1}
    # Answered or not: a key is there if and only if the record of its creation is.
    created = [r["resources"][0]["ARN"].rpartition("/")[2] for r in records if r["eventName"] == "CreateKey"]
    assert len(created) == len(set(created))
    assert set(created) == all_keys(server)
    run("audit", "verify", "--data", str(server.data))


@pytest.mark.parametrize(("workers", "rounds"), [(1, 20), (2, 5)])
def test_killed_with_requests_in_flight(serve: Serve, workers: int, rounds: int) -> None:
    dice = random.Random(workers)
    server = serve("--workers", str(workers))
    [made] = ask(server, [("CreateKey", {})])
    everything: dict[str, Promise] = {}
    for _ in range(rounds):
        until = dice.randint(1, 2 * CONNECTIONS)
        promises = load_until_killed(server, made["KeyMetadata"]["KeyId"], dice, until)
        assert len(promises) >= until
        server = serve("--workers", str(workers))
        check_promises(server, promises)
        check_audit(server, promises)
        everything |= promises
    check_promises(server, everything)
    check_audit(server, everything)
    assert complaints(server) == []
    server.stop()
