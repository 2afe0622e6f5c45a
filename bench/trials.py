# SPDX-License-Identifier: Apache-2.0
"""What each server does of what a KMS is for, tried on servers of their own: an answer here is what came of a request,
or what was found in a file, and never what is said of a product."""

import argparse
import base64
import itertools
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import contestants
import load
import peers
import transit
import workload
from contestants import Contestant
from workload import ENCRYPT, SYMMETRIC, Keys, Workload

SIGNATURE: Final = "refuses a wrong signature"
POLICY: Final = "obeys a policy that denies"
RECORD: Final = "leaves a record of each use"
KEPT: Final = "has its keys after kill -9"
SEALED: Final = "keeps no key in the clear"
QUESTIONS: Final = (SIGNATURE, POLICY, RECORD, KEPT, SEALED)
_YES, _NO = "yes", "no"
_KEY: Final = "0f0e0d0c-0b0a-4908-8706-050403020100"
_SEED: Final = """\
Keys:
  Symmetric:
    Aes:
      - Metadata:
          KeyId: {key}
        BackingKeys:
          - {material}
"""


def all_of(work: Path, options: argparse.Namespace) -> dict[str, dict[str, str]]:
    """By server and question."""
    work.mkdir()
    found = {"keyquorum": _keyquorum(work / "keyquorum")}
    if options.local_kms:
        found["local-kms"] = _local_kms(options.local_kms, work / "local-kms")
    if options.openbao:
        found["OpenBao transit"] = _openbao(options.openbao, work / "openbao")
    if options.fakecloud:
        found["fakecloud"] = _in_memory("fakecloud", lambda place: peers.fakecloud(options.fakecloud, place), work)
    if not options.skip_moto:
        found["moto_server"] = _in_memory("moto_server", peers.moto, work)
    return found


def _keyquorum(work: Path) -> dict[str, str]:
    work.mkdir()
    material, seed = os.urandom(32), work / "seed.toml"
    contestants.seed(seed, [])
    with seed.open("a") as file:
        file.write(f'[[key]]\nid = "{_KEY}"\nmaterial = "{material.hex()}"\n')
    state = work / "data"
    return _kept(lambda: contestants.keyquorum(state, seeded=seed), state, material)


def _local_kms(program: str, work: Path) -> dict[str, str]:
    work.mkdir()
    material, state = os.urandom(32), work / "data"
    (work / "seed.yaml").write_text(_SEED.format(key=_KEY, material=material.hex()))
    return _kept(lambda: peers.local_kms(program, work), state, material)


def _kept(start: Callable[[], Contestant], state: Path, material: bytes) -> dict[str, str]:
    """Of a server whose data are in ``state``, and which has one key, of this material."""
    with start() as server:
        asking = Workload(server, Keys({SYMMETRIC: [_KEY]}), [server.access], workload.THREE, silent=False)
        found = {SIGNATURE: _signature(asking), RECORD: _record(asking, state), POLICY: _policy(asking)}
        made = _asked(asking, "CreateKey")
        server.kill()
    array = json.dumps(list(material), separators=(",", ":")).encode()
    forms = material, material.hex().encode(), material.hex().upper().encode(), base64.b64encode(material), array
    stored = [path.read_bytes() for path in state.rglob("*") if path.is_file()]
    clear = any(form in content for form, content in itertools.product(forms, stored))
    with start() as asking.server:
        made_key = json.loads(made.answers[0])["KeyMetadata"]["KeyId"]
        found[KEPT] = _NO if _asked(asking, "DescribeKey", KeyId=made_key).failures else _YES
    return found | {SEALED: _NO if clear else _YES}


def _in_memory(name: str, start: Callable[[Path], Contestant], work: Path) -> dict[str, str]:
    state = work / name
    with start(state) as server:
        asking = peers.kms(name, server, 1)
        found = {SIGNATURE: _signature(asking), RECORD: _record(asking, state), POLICY: _policy(asking)}
        server.kill()
    with start(state) as asking.server:
        lost = _asked(asking, "DescribeKey", KeyId=asking.keys.of(SYMMETRIC, 0)).failures
    return found | {KEPT: _NO if lost else _YES, SEALED: "stores none"}


def _openbao(program: str, work: Path) -> dict[str, str]:
    """Its requests are not signed: whoever reads one has its token."""
    with transit.openbao(program, work) as server:
        asking = transit.Transit(server, 1)
        new = {"policies": ["default"], "no_parent": True}
        made = load.run(server.address, [asking.request("POST", "auth/token/create", new)]).answers[0]
        token = json.loads(made)["auth"]["client_token"]
        body = {"plaintext": base64.b64encode(b"plain").decode()}
        allowed = load.run(server.address, [asking.request("POST", "transit/encrypt/aes-0", body, token)])
        before = _size(work)
        load.run(server.address, asking.prepare(ENCRYPT, 50))
        recorded = _size(work) > before
        server.kill()
    with transit.openbao(program, work) as server:
        there = load.run(server.address, [asking.request("GET", "transit/keys/aes-0", None)])
    return {
        SIGNATURE: "has none: a bearer token",
        POLICY: _YES if allowed.failures else _NO,
        RECORD: _YES if recorded else "no, as it comes",
        KEPT: "no, in this mode" if there.failures else _YES,
        SEALED: "stores none in this mode",
    }


# -- questions


def _signature(asking: Workload) -> str:
    (request,) = asking.prepare(ENCRYPT, 1)
    head, mark, rest = request.partition(b"Signature=")
    forged = head + mark + (b"0" if rest[:1] != b"0" else b"1") + rest[1:]
    return _YES if load.run(asking.server.address, [forged]).failures else _NO


def _policy(asking: Workload) -> str:
    """Asked last: afterwards nobody may encrypt."""
    root = {"AWS": "arn:aws:iam::111122223333:root"}
    statements = [
        {"Effect": "Allow", "Principal": root, "Action": "kms:*", "Resource": "*"},
        {"Effect": "Deny", "Principal": "*", "Action": "kms:Encrypt", "Resource": "*"},
    ]
    document = json.dumps({"Version": "2012-10-17", "Statement": statements})
    key = asking.keys.of(SYMMETRIC, 0)
    if _asked(asking, "PutKeyPolicy", KeyId=key, PolicyName="default", Policy=document).failures:
        return "takes no policy"
    return _YES if _asked(asking, "Encrypt", KeyId=key, Plaintext="cGxhaW4=").failures else _NO


def _record(asking: Workload, state: Path) -> str:
    """Whether its files grow by uses of a key; what it prints is not looked at."""
    before = _size(state)
    load.run(asking.server.address, asking.prepare(ENCRYPT, 50))
    return _YES if _size(state) > before else _NO


def _size(state: Path) -> int:
    return sum(path.stat().st_size for path in state.rglob("*") if path.is_file() and path.name != "log")


def _asked(asking: Workload, operation: str, **members: Any) -> load.Outcome:
    return load.run(asking.server.address, asking.signed([(operation, json.dumps(members).encode())]))
