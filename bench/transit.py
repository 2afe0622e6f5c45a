# SPDX-License-Identifier: Apache-2.0
"""OpenBao's transit engine, in its development mode: data in memory, no audit device, a root token in each request."""

import base64
import json
import os
from pathlib import Path
from typing import Any, Final

import load
from contestants import LOOPBACK, Contestant, free_port
from run import PLAINTEXT_BYTES, Failed
from workload import DATA_KEY, DECRYPT, DESCRIBE, ENCRYPT, MAC, SIGN, VERIFY

TOKEN: Final = "bench-root-token"
_TYPES: Final = {SIGN: "ecdsa-p256", "Sign, Ed25519": "ed25519", "Sign, RSA-2048": "rsa-2048"}
MEASURES: Final = (ENCRYPT, DECRYPT, DATA_KEY, *_TYPES, VERIFY, MAC, DESCRIBE)


def openbao(program: str, work: Path) -> Contestant:
    work.mkdir(exist_ok=True)
    address = LOOPBACK, free_port()
    command = [program, "server", "-dev", f"-dev-root-token-id={TOKEN}", "-dev-no-store-token", "-log-level=error"]
    command.append(f"-dev-listen-address={address[0]}:{address[1]}")
    return Contestant(command, work / "log", address=address, environment={"HOME": str(work)})


class Transit:
    """As ``Workload``: the requests, and what of the answers later ones need. A third of the encryptions have
    associated data in place of an encryption context."""

    measures = MEASURES

    def __init__(self, server: Contestant, count: int) -> None:
        """With ``count`` keys for encryption, and some that sign."""
        self.server = server
        few = max(2, count // 50)
        self._keys = {ENCRYPT: [f"aes-{number}" for number in range(count)]}
        self._keys |= {measure: [f"{kind}-{number}" for number in range(few)] for measure, kind in _TYPES.items()}
        self._messages: list[str] = []
        self._ciphertexts: list[str] = []
        self._signatures: list[str] = []
        self._send([self.request("POST", "sys/mounts/transit", {"type": "transit"})])
        for measure, kind in {ENCRYPT: "aes256-gcm96", **_TYPES}.items():
            made = [self.request("POST", f"transit/keys/{name}", {"type": kind}) for name in self._keys[measure]]
            self._send(made)

    def prepare(self, measure: str, count: int) -> list[bytes]:
        """The requests. Decrypt comes after Encrypt, and Verify after Sign."""
        if measure == SIGN:
            self._messages = [_random() for _ in range(count)]
        return [self._asked(measure, number) for number in range(count)]

    def note(self, measure: str, answers: list[bytes]) -> None:
        """Keep what later requests need. Raises Failed if an answer is not what it should be."""
        if measure == ENCRYPT:
            self._ciphertexts = [json.loads(answer)["data"]["ciphertext"] for answer in answers]
        elif measure == SIGN:
            self._signatures = [json.loads(answer)["data"]["signature"] for answer in answers]
        elif measure == VERIFY and not json.loads(answers[0])["data"]["valid"]:
            raise Failed("OpenBao: a signature is not valid")

    def _asked(self, measure: str, number: int) -> bytes:
        if measure == DECRYPT:
            number %= len(self._ciphertexts)
            body = {"ciphertext": self._ciphertexts[number], **_associated(number)}
            return self._transit("decrypt", ENCRYPT, number, body)
        if measure == VERIFY:
            number %= len(self._signatures)
            body = {"input": self._messages[number], "signature": self._signatures[number]}
            return self._transit("verify", SIGN, number, body)
        if measure == SIGN:
            return self._transit("sign", SIGN, number, {"input": self._messages[number]})
        if measure in _TYPES:
            algorithm = {"signature_algorithm": "pkcs1v15"} if "RSA" in measure else {}
            return self._transit("sign", measure, number, {"input": _random(), **algorithm})
        if measure == DESCRIBE:
            return self.request("GET", f"transit/keys/{self._key(ENCRYPT, number)}", None)
        made: dict[str, tuple[str, dict[str, Any]]] = {
            ENCRYPT: ("encrypt", {"plaintext": _random(), **_associated(number)}),
            DATA_KEY: ("datakey/plaintext", {"bits": 256}),
            MAC: ("hmac", {"input": _random()}),
        }
        return self._transit(made[measure][0], ENCRYPT, number, made[measure][1])

    def _key(self, measure: str, number: int) -> str:
        names = self._keys[measure]
        return names[number % len(names)]

    def _transit(self, path: str, measure: str, number: int, body: dict[str, Any]) -> bytes:
        return self.request("POST", f"transit/{path}/{self._key(measure, number)}", body)

    def request(self, method: str, path: str, body: dict[str, Any] | None, token: str = TOKEN) -> bytes:
        content = b"" if body is None else json.dumps(body).encode()
        head = (
            f"{method} /v1/{path} HTTP/1.1\r\nHost: {self.server.host}\r\nAccept-Encoding: identity\r\n"
            f"Authorization: Bearer {token}\r\nContent-Type: application/json\r\nContent-Length: {len(content)}\r\n\r\n"
        )
        return head.encode() + content

    def _send(self, requests: list[bytes]) -> None:
        outcome = load.run(self.server.address, requests)
        refused = [failure for failure in outcome.failures if " 204 " not in failure.partition("\r\n")[0]]
        if refused:
            raise Failed(f"OpenBao: {refused[0]}")


def _random() -> str:
    return base64.b64encode(os.urandom(PLAINTEXT_BYTES)).decode()


def _associated(number: int) -> dict[str, str]:
    if number % 3:
        return {}
    data = f"tenant-{number % 97},invoice,{number}"
    return {"associated_data": base64.b64encode(data.encode()).decode()}
