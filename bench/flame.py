# SPDX-License-Identifier: Apache-2.0
"""``make bench-profile``: where the CPU time of a request goes in a server under load, by step and as a flame graph.

A server of its own is sampled while it answers what is measured everywhere here: signed Encrypt and Decrypt requests of
20 users on 50 keys with conditions in their policies. Writes the table and the graph of docs/design/performance.md.
"""

import argparse
import json
import os
import signal
import sys
import time
from collections import Counter
from html import escape
from pathlib import Path
from typing import Final, NamedTuple

import authorization
import load
import run
import signing
from contestants import HERE, Contestant

DOCUMENT: Final = HERE.parent / "docs" / "design" / "performance.md"
GRAPH: Final = HERE.parent / "docs" / "design" / "images" / "flame.svg"
_MARKERS: Final = ("<!-- profile -->", "<!-- end of profile -->")
_HTTP: Final = "HTTP and the event loop"
_PATH: Final = "the rest of the path"

# -- the graph: pixels
_WIDTH: Final = 1200
_ROW: Final = 18
_LETTER: Final = 6.6
_LEAST: Final = 0.6  # what is narrower is not drawn
_ONE_STEP: Final = 0.8  # of a frame's time; one that several steps share has no step's colour
_SEVERAL: Final = "#e4e7eb"
_COLOURS: Final = {
    _HTTP: "#8fb7e3",
    "signature": "#f2b36b",
    "decoding and encoding": "#c7b1e6",
    "authorization": "#ef8f8f",
    "audit": "#8fd0a8",
    "the operation": "#f0d56c",
    _PATH: "#c4c9d0",
}


class Stack(NamedTuple):
    """Frames from the outside in, ``file:function`` each; and how often it was seen."""

    frames: tuple[str, ...]
    seen: int

    @property
    def step(self) -> str:
        """The outermost step of the request path that is on it, as in ``authorization``."""
        found = _HTTP
        for frame in self.frames:
            path = frame.partition(":")[0].removeprefix("keyquorum/")
            step = authorization.STEPS.get(path) or authorization.STEPS.get(path.split("/")[0])
            if step is not None and frame.startswith("keyquorum/"):
                return step
            if path == "pipeline.py":
                found = _PATH
        return found


class Profile(NamedTuple):
    """``cpu``: seconds of CPU that the server took for a request while nothing sampled it."""

    stacks: list[Stack]
    cpu: float

    def steps(self) -> list[tuple[str, float]]:
        taken: Counter[str] = Counter()
        for stack in self.stacks:
            taken[stack.step] += stack.seen
        return [(step, self.cpu * count / taken.total()) for step, count in taken.most_common()]


def read(path: Path) -> list[Stack]:
    """What ``sampled`` wrote, without the frames that every stack begins with."""
    stacks = []
    for line in path.read_text().splitlines():
        names, _, count = line.rpartition(" ")
        frames = names.split(";")
        start = next((i for i, name in enumerate(frames) if name.startswith("keyquorum/server/")), len(frames) - 1)
        stacks.append(Stack(tuple(frames[start:]), int(count)))
    return stacks


def measure(work: Path, count: int) -> Profile:
    key_ids = [f"{n:08x}-0000-4000-8000-000000000000" for n in range(authorization.POLICIES)]
    seed, out = work / "policies.toml", work / "stacks"
    authorization.write_seed(seed, key_ids)
    serve = ["serve", "--data", str(work / "profiled"), "--seed", str(seed), "--port", "0", "--region", "us-east-1"]
    server = Contestant([sys.executable, str(HERE / "sampled.py"), str(out), *serve], work / "profiled.log")
    try:
        _load(server, key_ids, count // 4)
        before = server.cpu_seconds()
        sent = _load(server, key_ids, count)
        cpu = (server.cpu_seconds() - before) / sent
        os.kill(server.processes()[0], signal.SIGUSR1)
        _load(server, key_ids, count)
        os.kill(server.processes()[0], signal.SIGUSR2)
        while not out.exists():
            time.sleep(0.01)
    finally:
        server.stop()
    return Profile(read(out), cpu)


def _load(server: Contestant, key_ids: list[str], count: int) -> int:
    """As many Encrypts, the same number of each user's, and a Decrypt of each; how many requests that was."""
    owners = range(authorization.USERS)
    count = max(1, count // len(owners)) * len(owners)
    numbers = [[n for n in range(count) if n % len(owners) == owner] for owner in owners]
    bodies = [[signing.encrypt_body(key_ids[n % len(key_ids)], os.urandom(32), n) for n in mine] for mine in numbers]
    answers = _send(server, "Encrypt", bodies)
    blobs = [[json.loads(answer)["CiphertextBlob"] for answer in answers[owner :: len(owners)]] for owner in owners]
    _send(
        server,
        "Decrypt",
        [
            [signing.decrypt_body(blob, n) for n, blob in zip(mine, theirs, strict=True)]
            for mine, theirs in zip(numbers, blobs, strict=True)
        ],
    )
    return 2 * len(answers)


def _send(server: Contestant, operation: str, bodies: list[list[bytes]]) -> list[bytes]:
    """Users take turns: the answers come in that order too."""
    signed = [
        signing.sign(authorization.access_of(owner), server.host, operation, mine) for owner, mine in enumerate(bodies)
    ]
    outcome = load.run(server.address, [request for turn in zip(*signed, strict=True) for request in turn])
    if outcome.failures:
        raise run.Failed(f"{operation}: {outcome.failures[0]}")
    return outcome.answers


# -- what is shown


def table(profile: Profile) -> str:
    lines = ["| step | µs | share |", "| --- | ---: | ---: |"]
    lines += [f"| {step} | {cpu * 1e6:.1f} | {cpu / profile.cpu:.0%} |" for step, cpu in profile.steps()]
    return "\n".join([*lines, f"| **all** | {profile.cpu * 1e6:.1f} | 100% |"])


class _Node:
    def __init__(self) -> None:
        self.steps: Counter[str] = Counter()
        self.inner: dict[str, _Node] = {}


def graph(stacks: list[Stack]) -> str:
    """A flame graph in SVG: the width of a frame is its share of the time; what it calls is above it."""
    root = _Node()
    for stack in stacks:
        node, step = root, stack.step
        node.steps[step] += stack.seen
        for frame in stack.frames:
            node = node.inner.setdefault(frame, _Node())
            node.steps[step] += stack.seen
    scale = _WIDTH / root.steps.total()
    drawn: list[str] = []
    deepest = _draw(root, 0.0, 0, scale, drawn, root.steps.total())
    height = (deepest + 2) * _ROW + 24
    legend = "".join(
        f'<rect x="{8 + i * 170}" y="4" width="12" height="12" fill="{colour}"/>'
        f'<text class="l" x="{24 + i * 170}" y="14">{escape(step)}</text>'
        for i, (step, colour) in enumerate(_COLOURS.items())
    )
    body = "\n".join(drawn)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" role="img">\n'
        "<title>Flame graph of a server under load</title>\n"
        "<style>text{font:11px ui-monospace,monospace;fill:#1c2128}.l{fill:#57606a}"
        "@media (prefers-color-scheme:dark){.l{fill:#adbac7}}rect{stroke:#fff8;stroke-width:.5}</style>\n"
        f'{legend}\n<g transform="translate(0,{height})">\n{body}\n</g>\n</svg>\n'
    )


def _draw(node: _Node, x: float, depth: int, scale: float, drawn: list[str], whole: int) -> int:
    """Draw what ``node`` calls, from the bottom up; how deep it went."""
    deepest = depth
    for name, inner in sorted(node.inner.items(), key=lambda item: -item[1].steps.total()):
        count = inner.steps.total()
        width = count * scale
        if width >= _LEAST:
            [(step, most)] = inner.steps.most_common(1)
            colour = _COLOURS[step] if most > _ONE_STEP * count else _SEVERAL
            y = -(depth + 1) * _ROW
            path, _, function = name.rpartition(":")
            letters = int((width - 6) / _LETTER)
            label = escape(function[:letters]) if letters > 3 else ""
            drawn.append(
                f'<g><title>{escape(path)}: {escape(function)}, {count / whole:.1%}</title><rect x="{x:.1f}" y="{y}" '
                f'width="{width:.1f}" height="{_ROW - 1}" fill="{colour}"/>'
                f'<text x="{x + 3:.1f}" y="{y + 12}">{label}</text></g>'
            )
            deepest = max(deepest, _draw(inner, x, depth + 1, scale, drawn, whole))
        x += width
    return deepest


def write(profile: Profile) -> None:
    begin, end = _MARKERS
    before, _, rest = DOCUMENT.read_text().partition(begin)
    after = rest.partition(end)[2]
    said = f"{run.machine()}. {authorization.USERS} users, {authorization.POLICIES} keys, Encrypt and Decrypt in turn."
    DOCUMENT.write_text(f"{before}{begin}\n\n{table(profile)}\n\n{said}\n\n{end}{after}")
    GRAPH.write_text(graph(profile.stacks))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--requests", type=int, default=20_000, help="of each operation (%(default)s)")
    parser.add_argument("--print", action="store_true", help="print the table and write nothing")
    options = parser.parse_args()
    profile, _ = run.done(lambda work: measure(work, options.requests))
    print(table(profile))
    if not options.print:
        write(profile)


if __name__ == "__main__":
    main()
