# SPDX-License-Identifier: Apache-2.0
"""wrk as a second load generator: is ours the bottleneck? It sends the same signed requests in turn, again from the
first when they are spent, and reports what came of them."""

import json
import subprocess
from pathlib import Path
from typing import Final, NamedTuple

import load
from contestants import Contestant
from run import Failed

_SCRIPT: Final = """\
local requests, number = {}, 0
local file = io.open("%s", "rb")
while true do
    local size = file:read(8)
    if not size then break end
    requests[#requests + 1] = file:read(tonumber(size))
end
function request()
    number = number %% #requests + 1
    return requests[number]
end
function done(summary, latency)
    print(string.format(
        '{"requests": %%d, "microseconds": %%d, "failed": %%d, "p50": %%f, "p99": %%f}', summary.requests,
        summary.duration, summary.errors.status + summary.errors.read + summary.errors.write + summary.errors.timeout,
        latency:percentile(50), latency:percentile(99)))
end
"""


class Seen(NamedTuple):
    """Requests a second, seconds, and the server's seconds of CPU a request."""

    rate: float
    p50: float
    p99: float
    cpu: float


def run(program: str, server: Contestant, requests: list[bytes], work: Path, seconds: int) -> Seen:
    """As many requests as are answered in so many seconds over 32 connections, from the core of the load."""
    spool, script = work / "requests", work / "requests.lua"
    spool.write_bytes(b"".join(b"%8d%b" % (len(request), request) for request in requests))
    script.write_text(_SCRIPT % spool)
    command = [program, "-t1", f"-c{load.CONNECTIONS}", f"-d{seconds}s", "-s", str(script), f"http://{server.host}/"]
    before = server.cpu_seconds()
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    cpu = server.cpu_seconds() - before
    if done.returncode:
        raise Failed(f"wrk: {done.stderr or done.stdout}")
    told = json.loads(done.stdout.splitlines()[-1])
    if told["failed"]:
        raise Failed(f"wrk: {told['failed']} of {told['requests']} requests failed")
    rate = told["requests"] / told["microseconds"] * 1e6
    return Seen(rate, told["p50"] / 1e6, told["p99"] / 1e6, cpu / told["requests"])
