# SPDX-License-Identifier: Apache-2.0
"""What one node has taken away, another lets nobody do a second later: under load, stopped and continued, cut off from
the database. 200 tries; what is measured goes into docs/operate/cluster.md (run with -s)."""

import json
import random
import signal
import statistics
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

import pytest
from cluster import Link, Node, cluster, through
from people import ADMIN, CLOSED, NOBODY, write_seed
from postgres import fresh_database, server
from revocations import Asker, Load, Seen
from servers import Access, signed_request

pytestmark = [pytest.mark.long, pytest.mark.alone, pytest.mark.timeout(1800)]

TRIES: Final = 200
DISTURBED: Final = 40
LIMIT: Final = 1.0  # seconds
CONNECTIONS: Final = 3


class Two(NamedTuple):
    here: Node
    there: Node
    link: Link  # between the other node and the database


@pytest.fixture
def two(tmp_path: Path) -> Iterator[Two]:
    link = Link(("127.0.0.1", server().port))
    with fresh_database() as url:
        seed = write_seed(tmp_path)
        with cluster(tmp_path, [url, through(link, url)], "--seed", str(seed)) as (here, there):
            yield Two(here, there, link)
        link.close()


class Right(NamedTuple):
    """``ask``: a request at the other node that has it. ``revoke``: one at this node that takes it away."""

    kind: str
    ask: bytes
    revoke: bytes


def form(node: Node, access: Access, text: str) -> bytes:
    kind = {"Content-Type": "application/x-www-form-urlencoded"}
    return signed_request(node.url, access, "", text.encode(), extra=kind, service="iam")


def grant(two: Two, key_id: str) -> Right:
    admin = two.here.client(access=ADMIN.access)
    made = admin.create_grant(KeyId=key_id, GranteePrincipal=NOBODY.arn, Operations=["Encrypt"])
    body = json.dumps({"KeyId": key_id, "GrantId": made["GrantId"]}).encode()
    return Right(
        "grant revoked",
        encrypt(two, NOBODY.access, key_id),
        signed_request(two.here.url, ADMIN.access, "RevokeGrant", body),
    )


def key(two: Two, key_id: str) -> Right:
    body = json.dumps({"KeyId": key_id}).encode()
    two.here.client(access=ADMIN.access).enable_key(KeyId=key_id)
    return Right(
        "key disabled",
        encrypt(two, ADMIN.access, key_id),
        signed_request(two.here.url, ADMIN.access, "DisableKey", body),
    )


def access_key(two: Two, key_id: str) -> Right:
    """Of a user to whom a grant is never taken away."""
    mine = {"UserName": NOBODY.name, "AccessKeyId": NOBODY.access.key_id}
    two.here.client("iam").update_access_key(**mine, Status="Active")
    change = "&".join(f"{name}={value}" for name, value in {**mine, "Status": "Inactive"}.items())
    return Right(
        "access key made inactive",
        encrypt(two, NOBODY.access, key_id),
        form(two.here, two.here.root, f"Action=UpdateAccessKey&Version=2010-05-08&{change}"),
    )


def encrypt(two: Two, access: Access, key_id: str) -> bytes:
    body = json.dumps({"KeyId": key_id, "Plaintext": "aGVsbG8="}).encode()
    return signed_request(two.there.url, access, "Encrypt", body)


def revoked(two: Two, request: bytes) -> Seen:
    """The answer. A node that was stopped in the middle of a change has the others wait for their turn."""
    asker = Asker(two.here.port)
    try:
        while (seen := asker.ask(request)).status >= 500:
            time.sleep(0.1)
    finally:
        asker.close()
    assert seen.status == 200, seen
    return seen


# -- what happens to the other node


def nothing(two: Two, revoke: Callable[[], Seen], _chance: random.Random) -> Seen:
    del two
    return revoke()


def stopped(two: Two, revoke: Callable[[], Seen], chance: random.Random) -> Seen:
    two.there.signal(signal.SIGSTOP)
    try:
        time.sleep(chance.uniform(0, 0.4))
        answer = revoke()
        time.sleep(chance.choice((0.1, 0.5, 1.0, 2.0)) * chance.uniform(0.8, 1.2))
    finally:
        two.there.signal(signal.SIGCONT)
    return answer


def cut_off(two: Two, revoke: Callable[[], Seen], chance: random.Random, how: str = "cut") -> Seen:
    getattr(two.link, how)()
    try:
        time.sleep(chance.uniform(0, 0.9))
        answer = revoke()
        time.sleep(chance.uniform(1.2, 2.5))
    finally:
        two.link.heal()
    return answer


def stalled(two: Two, revoke: Callable[[], Seen], chance: random.Random) -> Seen:
    return cut_off(two, revoke, chance, "stall")


UNDISTURBED: Final = (nothing,) * (TRIES - DISTURBED)
PLAN: Final = (*UNDISTURBED, *(stopped,) * (DISTURBED // 2), *(cut_off, stalled) * (DISTURBED // 4))


def test_what_was_revoked_at_one_node_is_over_at_the_other_within_a_second(two: Two) -> None:
    chance = random.Random(20_240)
    plan = list(PLAN)
    chance.shuffle(plan)
    late = measure(two, plan, chance)
    print(table(late))
    assert sum(map(len, late.values())) == TRIES
    assert max(max(found) for found in late.values()) < LIMIT


def measure(two: Two, plan: list[Any], chance: random.Random) -> dict[tuple[str, str], list[float]]:
    """(what was revoked, what happened to the other node) -> how many seconds after the answer the last success came,
    0 for none, of each try."""
    admin = two.here.client(access=ADMIN.access)
    keys = [admin.create_key(Policy=CLOSED)["KeyMetadata"]["KeyId"] for _ in range(3)]
    admin.create_grant(KeyId=keys[2], GranteePrincipal=NOBODY.arn, Operations=["Encrypt"])
    late = defaultdict(list)
    load = None
    try:
        for number, disturb in enumerate(plan):
            which = number % 3
            # What one try took away from the user, the others need.
            access_key(two, keys[2])
            right = (grant, key, access_key)[which](two, keys[which])
            if load is None:
                load = Load(two.there.port, CONNECTIONS, right.ask)
            load.request = right.ask
            load.await_status(200, seconds=30)
            load.answers.clear()
            time.sleep(chance.uniform(0, 0.25))  # at any point between two checks
            answer = disturb(two, lambda: revoked(two, right.revoke), chance)  # noqa: B023 - called at once
            load.await_status(400, seconds=30)
            time.sleep(max(0.0, answer.at + LIMIT + 0.1 - time.time()))
            late[right.kind, disturb.__name__].append(load.last_success(answer.at) - answer.at)
    finally:
        if load is not None:
            load.stop()
    return late


def table(late: dict[tuple[str, str], list[float]]) -> str:
    rows = ["| the other node | taken away | tries | none after | median | 95th of 100 | latest |", "|" + " --- |" * 7]
    for (kind, disturbed), found in sorted(late.items(), key=lambda item: (item[0][1], item[0][0])):
        ordered = sorted(found)
        shown = (statistics.median(ordered), ordered[int(len(ordered) * 0.95)], ordered[-1])
        times = " | ".join(f"{1000 * seconds:.0f} ms" for seconds in shown)
        rows.append(f"| {disturbed} | {kind} | {len(found)} | {found.count(0.0)} | {times} |")
    return "\n".join(rows)
