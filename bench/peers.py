# SPDX-License-Identifier: Apache-2.0
"""The servers of others beside which keyquorum is measured, started from programs that are there: nginx, moto_server,
local-kms, fakecloud. Each has its state in the harness's directory and listens on the loopback address.

What a peer does not do is tried in trials.py, not asserted.
"""

import getpass
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import load
import workload
from contestants import LOOPBACK, REGION, Contestant, free_port
from run import Failed
from signing import Access
from workload import SIGNING, SYMMETRIC, Keys, Workload

_ANYBODY: Final = Access("AKIABENCHBENCHBENCH1", "none of the peers looks at it", REGION)
_P256, _SECP256K1, _RSA = "Sign, P-256", "Sign, secp256k1", "Sign, RSA-2048"
_MEASURES: Final = {
    "local-kms": (*workload.THREE, _P256, _SECP256K1, _RSA, workload.VERIFY, workload.DESCRIBE, workload.MIX),
    "moto_server": (*workload.THREE, _P256, workload.VERIFY, workload.MAC, workload.DESCRIBE),
    "fakecloud": (*workload.THREE, _P256, workload.VERIFY, workload.MAC, workload.DESCRIBE),
}

_NGINX: Final = """\
daemon off;
worker_processes 1;
pid {work}/nginx.pid;
error_log stderr error;
{user}
events {{ worker_connections 1024; }}
http {{
    access_log off;
    keepalive_requests 1000000000;
    client_body_temp_path {work}/body;
    proxy_temp_path {work}/proxy;
    fastcgi_temp_path {work}/fastcgi;
    uwsgi_temp_path {work}/uwsgi;
    scgi_temp_path {work}/scgi;
    default_type application/x-amz-json-1.1;
    server {{
        listen {host}:{port} backlog=2048;
        location / {{
            add_header x-amzn-requestid 00000000-0000-0000-0000-000000000000;
            add_header cache-control "no-cache, no-store, must-revalidate, private";
            return 200 "{body}";
        }}
    }}
}}
"""


def nginx(program: str, size: int, work: Path) -> Contestant:
    """One worker, which answers ``size`` bytes and as many headers as keyquorum."""
    work.mkdir()
    port = free_port()
    user = f"user {getpass.getuser()};" if os.getuid() == 0 else ""  # who starts it has the directory
    text = _NGINX.format(work=work, user=user, host=LOOPBACK, port=port, body="x" * size)
    (work / "nginx.conf").write_text(text)
    command = [program, "-p", str(work), "-c", str(work / "nginx.conf")]
    return Contestant(command, work / "log", address=(LOOPBACK, port))


def local_kms(program: str, work: Path) -> Contestant:
    """Its data are in files. It listens on all addresses of the machine."""
    work.mkdir(exist_ok=True)
    port = free_port()
    environment = {
        "PORT": str(port),
        "KMS_REGION": REGION,
        "KMS_DATA_PATH": str(work / "data"),
        "KMS_SEED_PATH": str(work / "seed.yaml"),
    }
    return Contestant([program], work / "log", _ANYBODY, address=(LOOPBACK, port), environment=environment)


def moto(work: Path) -> Contestant:
    work.mkdir(exist_ok=True)
    return Contestant([sys.executable, "-m", "moto.server", "-H", LOOPBACK, "-p", "0"], work / "log", _ANYBODY)


def fakecloud(program: str, work: Path) -> Contestant:
    """Its data are in memory."""
    work.mkdir(exist_ok=True)
    address = LOOPBACK, free_port()
    command = [program, "--addr", f"{address[0]}:{address[1]}", "--region", REGION]
    return Contestant(command, work / "log", _ANYBODY, address=address)


def constant(server: Contestant, keys: Keys, users: Sequence[Access]) -> Workload:
    """Requests that look like keyquorum's, to a server that does not look at them."""
    return Workload(server, keys, users, workload.MEASURES, silent=True)


def kms(name: str, server: Contestant, count: int) -> Workload:
    """The server with ``count`` keys, made through its API."""
    made = Workload(server, Keys({}), [_ANYBODY], _MEASURES[name], silent=False)
    specs = {SYMMETRIC: count} | {SIGNING[each][0]: max(2, count // 50) for each in made.measures if each in SIGNING}
    if workload.MAC in made.measures:
        specs[workload.HMAC] = max(2, count // 50)
    for spec, number in specs.items():
        body = json.dumps({"KeySpec": spec, "KeyUsage": workload.usage(spec)}).encode()
        answers = _answers(made, [("CreateKey", body)] * number)
        made.keys.by_spec[spec] = [json.loads(answer)["KeyMetadata"]["KeyId"] for answer in answers]
    if workload.MIX in made.measures:
        ids = made.keys.by_spec[SYMMETRIC]
        aliases = [{"AliasName": f"alias/updated-{n}", "TargetKeyId": ids[0]} for n in range(workload.ALIASES)]
        _answers(made, [("CreateAlias", json.dumps(alias).encode()) for alias in aliases])
    return made


def _answers(asking: Workload, asked: list[workload.Asked]) -> list[bytes]:
    outcome = load.run(asking.server.address, asking.signed(asked))
    if outcome.failures:
        raise Failed(f"{asked[0][0]}: {outcome.failures[0]}")
    return outcome.answers


def version(command: list[str]) -> str:
    """The first line that a program prints of itself."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    return (done.stdout + done.stderr).strip().partition("\n")[0]
