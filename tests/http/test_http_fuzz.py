# SPDX-License-Identifier: Apache-2.0
"""Requests damaged at random: each is answered in KMS's or the app's own words or the connection ends; the server
lives on and nothing is logged as an error of ours."""

import json
import random
import re

import pytest
from http_wire import Running, Serve, Wire, get, post

SEEDS = (
    post(b'{"KeyId":"alias/a"}', b"X-Amz-Target: TrentService.DescribeKey", b"Connection: keep-alive"),
    post(b"sleep 0.001", b"Expect: 100-continue"),
    get(b"/", b"Transfer-Encoding: chunked", method=b"POST") + b"5\r\nhello\r\n3;a=b\r\nyou\r\n0\r\n\r\n",
    get(b"/console?x=%20", b"Cookie: a=b"),
    b"POST / HTTP/1.0\r\nContent-Length: 2\r\n\r\nhi",
)
SCRAPS = (
    b"\r\n", b"\n", b"\r", b"\0", b" ", b"\t", b":", b"\xff", b"/", b"#", b"0\r\n\r\n", b"Host: b\r\n", b"HTTP/1.1",
    b"9" * 20, b"Content-Length: 3\r\n", b"Transfer-Encoding: chunked\r\n", b"Connection: close\r\n",
    b"Upgrade: x\r\n", b"Expect: 1\r\n",
)  # fmt: skip


def _damaged(dice: random.Random) -> bytes:
    data = bytearray(b"".join(dice.choices(SEEDS, k=dice.randint(1, 3))))
    for _ in range(dice.randint(1, 4)):
        at = dice.randrange(len(data) + 1)
        length = dice.choice((0, 0, 1, 2, 8))
        replacement = dice.choice((b"", dice.choice(SCRAPS), dice.randbytes(1), bytes(data[at : at + 30])))
        data[at : at + length] = replacement
    return bytes(data)


def _send(server: Running, data: bytes, dice: random.Random) -> Wire:
    wire = server.connect()
    cut = dice.randrange(len(data) + 1)
    for part in (data[:cut], data[cut:]):
        try:
            wire.send(part)
        except ConnectionError:
            break
    return wire


def _check(data: bytes) -> None:
    """What came back is a sequence of whole responses, each one of ours."""
    while data:
        head, blank, data = data.partition(b"\r\n\r\n")
        status = re.match(rb"HTTP/1\.1 (\d{3}) ", head)
        assert status, head
        assert blank, head
        if status[1] == b"100":
            continue
        length = re.search(rb"(?i)\r\ncontent-length: (\d+)", head)
        assert length, head
        body, data = data[: int(length[1])], data[int(length[1]) :]
        assert len(body) == int(length[1])
        if status[1] != b"200":
            assert status[1] in (b"400", b"408", b"413")
            assert json.loads(body)["__type"]
            assert b"connection: close" in head
            assert data == b""


@pytest.mark.parametrize("seed", range(3))
def test_damaged_requests(serve: Serve, seed: int, caplog: pytest.LogCaptureFixture) -> None:
    dice = random.Random(seed)
    server = serve(header_seconds=0.3, body_seconds=0.3, keep_alive_seconds=0.3)
    wires = [(_send(server, data, dice), data) for data in (_damaged(dice) for _ in range(120))]
    for wire, data in wires:
        received = wire.rest()
        wire.close()
        if b"HEAD" not in data:
            _check(received)
    assert server.ask(post(b"still there")).json["body"] == "still there"
    assert not [record for record in caplog.records if record.levelname in ("ERROR", "CRITICAL")]
