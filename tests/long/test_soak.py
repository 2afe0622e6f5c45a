# SPDX-License-Identifier: Apache-2.0
"""Two minutes of everything at once against two worker processes: every answer is right by what was answered before,
whichever process gave it, and the processes do not grow."""

import base64
import json
import random
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from http_wire import Response, Wire
from processes import Serve, audit_records, command_line, complaints, connections, open_files, processes, status
from servers import Production
from wire_signing import Signer

pytestmark = [pytest.mark.long, pytest.mark.alone, pytest.mark.timeout(400)]

KEYS, CLIENTS = 200, 8
WARM_UP, SECONDS = 20.0, 120.0
GROWTH_KIB = 40 * 1024
SERVER_THREADS = 16 + 8  # those that wait for requests; the loop's, the jobs' and their like
ENABLED, DISABLED, PENDING = "Enabled", "Disabled", "PendingDeletion"
REFUSALS = {DISABLED: "DisabledException", PENDING: "KMSInvalidStateException"}


class Client:
    """One thread's client. The states of its own keys and the targets of its own aliases only it changes, so it knows
    what must be answered; of the others' keys it knows only that no plaintext may be wrong. Of its two connections it
    takes either, and the server may have given them to different processes."""

    def __init__(self, server: Production, number: int, key_ids: list[str], others: list[str]) -> None:
        self._dice = random.Random(number)
        self._server = server
        self._signer = Signer(server, server.root)
        self._number = number
        self._states = dict.fromkeys(key_ids, ENABLED)
        self._others = others
        self._aliases: dict[str, str] = {}
        self._ciphertexts: list[tuple[str, str, str]] = []
        self._wires: list[Wire] = []
        self.done = 0

    def connect(self) -> None:
        self._wires = [self._server.connect() for _ in range(2)]

    def close(self) -> None:
        for wire in self._wires:
            wire.close()

    def step(self) -> None:
        action: Callable[[], None] = self._dice.choice((
            self._encrypt, self._encrypt, self._decrypt, self._decrypt, self._re_encrypt, self._elsewhere,
            self._change_state, self._move_alias, self._through_alias, self._describe, self._data_key, self._list,
        ))  # fmt: skip
        action()
        self.done += 1

    def _ask(self, operation: str, **body: Any) -> Response:
        wire = self._dice.choice(self._wires)
        response = wire.exchange(self._signer.request(operation, json.dumps(body).encode()).wire())
        assert response.status < 500, (operation, body, response)
        return response

    def _own(self) -> str:
        return self._dice.choice(list(self._states))

    def _works(self, response: Response, *key_ids: str) -> bool:
        """Whether it succeeded, which the keys' states decide alone."""
        expected = next((REFUSALS[s] for s in map(self._states.__getitem__, key_ids) if s != ENABLED), None)
        found = None if response.status == 200 else response.fault[1]
        assert found == expected, response
        return expected is None

    def _plaintext(self) -> str:
        return base64.b64encode(self._dice.randbytes(self._dice.choice((1, 32, 4096)))).decode()

    def _keep(self, key_id: str, plaintext: str, ciphertext: str) -> None:
        self._ciphertexts = [*self._ciphertexts[-199:], (key_id, plaintext, ciphertext)]

    def _encrypt(self) -> None:
        key_id, plaintext = self._own(), self._plaintext()
        response = self._ask(
            "Encrypt", KeyId=key_id, Plaintext=plaintext, EncryptionContext={"client": f"{self._number}"}
        )
        if self._works(response, key_id):
            self._keep(key_id, plaintext, response.json["CiphertextBlob"])

    def _decrypt(self) -> None:
        if self._ciphertexts:
            key_id, plaintext, ciphertext = self._dice.choice(self._ciphertexts)
            named = {"KeyId": key_id} if self._dice.random() < 0.5 else {}
            context = {"client": f"{self._number}"}
            response = self._ask("Decrypt", CiphertextBlob=ciphertext, EncryptionContext=context, **named)
            if self._works(response, key_id):
                assert response.json["Plaintext"] == plaintext

    def _re_encrypt(self) -> None:
        if self._ciphertexts:
            (source, plaintext, ciphertext), target = self._dice.choice(self._ciphertexts), self._own()
            context = {"client": f"{self._number}"}
            response = self._ask(
                "ReEncrypt",
                CiphertextBlob=ciphertext,
                DestinationKeyId=target,
                SourceEncryptionContext=context,
                DestinationEncryptionContext=context,
            )
            if self._works(response, source, target):
                self._keep(target, plaintext, response.json["CiphertextBlob"])

    def _data_key(self) -> None:
        key_id = self._own()
        context = {"client": f"{self._number}"}
        response = self._ask("GenerateDataKey", KeyId=key_id, KeySpec="AES_256", EncryptionContext=context)
        if self._works(response, key_id):
            self._keep(key_id, response.json["Plaintext"], response.json["CiphertextBlob"])

    def _elsewhere(self) -> None:
        """On a key whose state another thread changes meanwhile."""
        key_id, plaintext = self._dice.choice(self._others), self._plaintext()
        response = self._ask("Encrypt", KeyId=key_id, Plaintext=plaintext)
        if response.status == 200:
            response = self._ask("Decrypt", CiphertextBlob=response.json["CiphertextBlob"])
        if response.status == 200:
            assert response.json["Plaintext"] == plaintext
        else:
            assert response.fault[1] in REFUSALS.values()

    def _change_state(self) -> None:
        key_id = self._own()
        state = self._states[key_id]
        operation, after = self._dice.choice({
            ENABLED: (("DisableKey", DISABLED), ("ScheduleKeyDeletion", PENDING)),
            DISABLED: (("EnableKey", ENABLED), ("EnableKey", ENABLED), ("ScheduleKeyDeletion", PENDING)),
            PENDING: (("CancelKeyDeletion", DISABLED),),
        }[state])  # fmt: skip
        response = self._ask(operation, KeyId=key_id)
        assert response.status == 200, response
        self._states[key_id] = after

    def _move_alias(self) -> None:
        name = f"alias/soak/{self._number}/{self._dice.randrange(10)}"
        target = self._own()
        operation = "UpdateAlias" if name in self._aliases else "CreateAlias"
        if operation == "UpdateAlias" and self._dice.random() < 0.2:
            assert self._ask("DeleteAlias", AliasName=name).status == 200
            del self._aliases[name]
            return
        response = self._ask(operation, AliasName=name, TargetKeyId=target)
        if self._states[target] == PENDING:
            assert response.fault[1] == "KMSInvalidStateException"
        else:
            assert response.status == 200, response
            self._aliases[name] = target

    def _through_alias(self) -> None:
        if self._aliases:
            name, target = self._dice.choice(list(self._aliases.items()))
            response = self._ask("Encrypt", KeyId=name, Plaintext="YQ==")
            if self._works(response, target):
                assert response.json["KeyId"].endswith(f":key/{target}")

    def _describe(self) -> None:
        key_id = self._own()
        metadata = self._ask("DescribeKey", KeyId=key_id).json["KeyMetadata"]
        assert metadata["KeyState"] == self._states[key_id]
        assert metadata["Enabled"] is (self._states[key_id] == ENABLED)

    def _list(self) -> None:
        assert len(self._ask("ListKeys", Limit=KEYS).json["Keys"]) == KEYS


def run(clients: list[Client], seconds: float) -> None:
    """All clients at once, each in a thread; raises what any of them met."""
    end, met = time.monotonic() + seconds, list[BaseException]()

    def work(client: Client) -> None:
        try:
            client.connect()
            while time.monotonic() < end and not met:
                client.step()
        except BaseException as error:
            met.append(error)
        finally:
            client.close()

    threads = [threading.Thread(target=work, args=(client,)) for client in clients]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if met:
        raise met[0]


def test_two_minutes_of_everything(serve: Serve) -> None:
    server = serve("--workers", "2")
    key_ids = [server.signed("CreateKey", {}).json["KeyMetadata"]["KeyId"] for _ in range(KEYS)]
    shares = [key_ids[number::CLIENTS] for number in range(CLIENTS)]
    clients = [
        Client(server, number, share, [k for k in key_ids if k not in share]) for number, share in enumerate(shares)
    ]
    pids = [pid for pid in processes(server) if "resource_tracker" not in command_line(pid)]
    assert len(pids) == 3  # the workers and the one that watches over them

    run(clients, WARM_UP)
    wait(lambda: connections(server) == 0)
    warm = {pid: (status(pid, "VmRSS"), len(open_files(pid))) for pid in pids}
    run(clients, SECONDS)
    wait(lambda: connections(server) == 0)

    assert [pid for pid in processes(server) if pid in pids] == pids, "a worker was replaced"
    for pid in pids:
        memory, files = warm[pid]
        assert status(pid, "VmRSS") - memory < GROWTH_KIB
        assert status(pid, "Threads") <= SERVER_THREADS
        # Each thread may have opened the database meanwhile: the file and its log.
        assert len(open_files(pid)) <= files + 2 * SERVER_THREADS
    assert sum(client.done for client in clients) > 1000
    assert len(audit_records(server.data)) > 1000
    server.stop()
    assert complaints(server) == []


def wait(holds: Callable[[], bool]) -> None:
    end = time.monotonic() + 10
    while not holds():
        assert time.monotonic() < end, "connections are left open"
        time.sleep(0.1)
