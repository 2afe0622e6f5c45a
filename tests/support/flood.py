# SPDX-License-Identifier: Apache-2.0
"""``python flood.py HOST PORT CONNECTIONS SECONDS``: keeps that many connections open to a server, each bad in one of
several ways, and opens another for each that the server ends. It ends by itself, and prints what became of them.

Only for servers on loopback, which the tests start.
"""

import asyncio
import contextlib
import ipaddress
import json
import resource
import sys
from collections import Counter
from collections.abc import Callable
from typing import Final

_MEBI: Final = 1024 * 1024
_HOST: Final = b"Host: flood\r\n"

Chunks = Callable[[int], list[bytes]]


def _slow_head(number: int) -> list[bytes]:
    return [b"POST / HTTP/1.1\r\n", _HOST, *[b"X-%d: %d\r\n" % (n, number) for n in range(40)]]


def _slow_body(_number: int) -> list[bytes]:
    return [b"POST / HTTP/1.1\r\n" + _HOST + b"Content-Length: 200000\r\n\r\n", *[b"x" * 997] * 40]


def _huge_body(_number: int) -> list[bytes]:
    """All but the last byte of the largest body that there may be."""
    size = 256 * 1024
    return [b"POST / HTTP/1.1\r\n" + _HOST + b"Content-Length: %d\r\n\r\n" % size, b"y" * (size - 1)]


def _huge_head(_number: int) -> list[bytes]:
    return [b"POST / HTTP/1.1\r\n" + _HOST, *[b"X-Long: " + b"z" * 8000 + b"\r\n"] * 4]


def _chunked(_number: int) -> list[bytes]:
    head = b"POST / HTTP/1.1\r\n" + _HOST + b"Transfer-Encoding: chunked\r\n\r\n"
    return [head, *[b"1000\r\n" + b"c" * 4096 + b"\r\n"] * 80]


def _malformed(number: int) -> list[bytes]:
    return [
        (b"\x16\x03\x01\x02\x00\x01", b"GET / HTTP/9.9\r\n\r\n", b"\0" * 600, b"POST / HTTP/1.1\r\n\r\n")[number % 4]
    ]


def _forged(number: int) -> list[bytes]:
    """Whole requests, signed by nobody."""
    access = b"AKIA%016d" % number
    return [
        b"POST / HTTP/1.1\r\n" + _HOST + b"X-Amz-Target: TrentService.ListKeys\r\n"
        b"Content-Type: application/x-amz-json-1.1\r\nX-Amz-Date: 20260101T000000Z\r\nAuthorization: AWS4-HMAC-SHA256 "
        b"Credential=%b/20260101/us-east-1/kms/aws4_request, SignedHeaders=host;x-amz-date, Signature=%b\r\n"
        b"Content-Length: 2\r\n\r\n{}" % (access, b"0" * 64)
    ] * 3


def _silent(_number: int) -> list[bytes]:
    return []


KINDS: Final[tuple[Chunks, ...]] = (
    _slow_head,
    _slow_body,
    _huge_body,
    _huge_head,
    _chunked,
    _malformed,
    _forged,
    _silent,
)


async def _one(host: str, port: int, number: int, until: float, told: Counter[str]) -> None:
    loop = asyncio.get_running_loop()
    while loop.time() < until:
        writer = None
        try:
            reader, writer = await asyncio.wait_for(asyncio.open_connection(host, port), 10)
            told["opened"] += 1
            told["open"] += 1
            told["peak"] = max(told["peak"], told["open"])
            for chunk in KINDS[number % len(KINDS)](number):
                writer.write(chunk)
                await asyncio.wait_for(writer.drain(), 10)
                await asyncio.sleep(0.25)
            if KINDS[number % len(KINDS)] is _silent and number % 16 > 8:
                writer.write_eof()  # half-open
            left = max(0.0, until - loop.time())
            while await asyncio.wait_for(reader.read(4096), left):
                told["answered"] += 1
        except (TimeoutError, OSError) as error:
            told[type(error).__name__] += 1
        finally:
            if writer is not None:
                told["open"] -= 1
                writer.transport.abort()
        await asyncio.sleep(0.5 + number % 10 / 10)


async def _flood(host: str, port: int, connections: int, seconds: float) -> Counter[str]:
    told: Counter[str] = Counter()
    until = asyncio.get_running_loop().time() + seconds
    tasks = [asyncio.create_task(_one(host, port, number, until, told)) for number in range(connections)]
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), seconds + 20)
    return told


def main() -> None:
    host, port, connections, seconds = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4])
    if not ipaddress.ip_address(host).is_loopback:
        sys.exit("only on loopback")
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, connections + 500), hard))
    resource.setrlimit(resource.RLIMIT_AS, (4096 * _MEBI, 4096 * _MEBI))
    print(json.dumps(asyncio.run(_flood(host, port, connections, seconds))))


if __name__ == "__main__":
    main()
