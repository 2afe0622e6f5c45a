# SPDX-License-Identifier: Apache-2.0
"""Request quotas: buckets that processes share, and families of operations."""

import subprocess
import sys
import threading
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keyquorum import api
from keyquorum.errors import ThrottlingException
from keyquorum.observability.sharing import Shared
from keyquorum.ops import registry
from keyquorum.throttling import (
    BUCKETS,
    BYTES,
    ECC,
    FAMILIES,
    IDENTITIES,
    MANAGEMENT,
    ML_DSA,
    OTHER_PAIRS,
    RSA,
    RSA_PAIRS,
    SYMMETRIC,
    Throttle,
    family_of,
    parse,
    shown,
)


def taken(throttle: Throttle, account: str = "111122223333", most: int = 10_000) -> int:
    for number in range(most):
        try:
            throttle.take(account, b"kms", "GenerateRandom", None)
        except ThrottlingException:
            return number
    return most


def test_a_seconds_worth_at_once() -> None:
    assert taken(Throttle({"GenerateRandom": 0.5})) == 1
    assert 5 <= taken(Throttle({SYMMETRIC: 5})) <= 6


def test_what_is_given_back_was_not_taken() -> None:
    throttle = Throttle({"GenerateRandom": 0.1})
    for _ in range(5):
        throttle.give_back(throttle.take("1", b"kms", "GenerateRandom", None))
    assert taken(throttle, "1") == 1


def test_accounts_are_apart_however_many() -> None:
    """More accounts than buckets: a bucket that two share is only ever stricter, and none is without one."""
    throttle = Throttle({"GenerateRandom": 0.1})
    assert all(taken(throttle, f"{number:012}") == 1 for number in range(2000))
    refused = [taken(throttle, f"{number:012}", 2) for number in range(2000)]
    assert refused == [0] * 2000
    for number in range(2 * BUCKETS):
        assert taken(throttle, f"9{number:011}", 2) <= 1


def test_two_processes_share_a_bucket() -> None:
    memory = memoryview(bytearray(BYTES))
    first, second = Throttle({"GenerateRandom": 0.1}, memory), Throttle({"GenerateRandom": 0.1}, memory)
    assert taken(first) == 1
    assert taken(second) == 0


def test_threads_at_once_take_little_more_than_there_is() -> None:
    throttle = Throttle({SYMMETRIC: 100})
    found: list[int] = []
    threads = [threading.Thread(target=lambda: found.append(taken(throttle))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert 100 <= sum(found) < 400


@pytest.mark.parametrize(
    ("operation", "variant", "family"),
    [
        ("Encrypt", None, SYMMETRIC),
        ("Encrypt", "SYMMETRIC_DEFAULT", SYMMETRIC),
        ("Decrypt", "RSAES_OAEP_SHA_256", RSA),
        ("ReEncrypt", ("SYMMETRIC_DEFAULT", "RSAES_OAEP_SHA_1"), RSA),
        ("ReEncrypt", (None, None), SYMMETRIC),
        ("Sign", "RSASSA_PSS_SHA_256", RSA),
        ("Verify", "ECDSA_SHA_384", ECC),
        ("Sign", "ED25519_SHA_512", ECC),
        ("Sign", "ML_DSA_SHAKE_256", ML_DSA),
        ("DeriveSharedSecret", None, ECC),
        ("GenerateMac", None, SYMMETRIC),
        ("GenerateDataKeyPair", "RSA_4096", RSA_PAIRS),
        ("GenerateDataKeyPairWithoutPlaintext", "ECC_SECG_P256K1", OTHER_PAIRS),
        ("CreateKey", None, MANAGEMENT),
    ],
)
def test_families(operation: str, variant: Any, family: str) -> None:
    assert operation in registry.KMS
    assert family_of(b"kms", operation, variant) == family


def test_every_operation_has_a_family() -> None:
    found = {family_of(b"kms", name, None) for name in api.OPERATIONS}
    assert found <= FAMILIES.keys()
    assert {family_of(b"iam", name, None) for name in registry.IAM} == {IDENTITIES}
    # A quota of an operation is told by its name alone.
    assert not (registry.KMS.keys() & registry.IAM.keys() | registry.STS.keys() & registry.KMS.keys())


@given(st.dictionaries(st.sampled_from(sorted(FAMILIES)), st.integers(1, 1_000_000)))
def test_what_is_shown_is_what_was_said(rates: dict[str, int]) -> None:
    texts = [f"{name}={rate}/s" for name, rate in rates.items()]
    assert parse(texts) == rates
    assert set(parse(shown({name: float(rate) for name, rate in rates.items()}).split(", ") if rates else ())) == set(
        rates
    )


def test_the_last_word_counts() -> None:
    assert parse(["all=off", "rsa=30/m"]) == {**dict.fromkeys(FAMILIES, 0.0), RSA: 0.5}
    assert Throttle(parse(["all=off"])).take("1", b"kms", "Encrypt", None) is None


def test_a_place_is_left_to_a_successor() -> None:
    """A process that dies, however suddenly, leaves what it told to the next one, and its place."""
    shared = Shared(2)
    assert shared.join() == b""
    shared.write(b"mine")
    program = (
        "import os,sys; from keyquorum.observability.sharing import Shared;"
        "s = Shared(2, int(sys.argv[1])); print(s.join()); s.write(sys.argv[2].encode()); sys.stdout.flush();"
        "os.kill(os.getpid(), 9)"
    )
    told = []
    for word in ("first", "second"):
        ran = subprocess.run(
            [sys.executable, "-c", program, str(shared._fd), word], pass_fds=[shared._fd], stdout=subprocess.PIPE
        )
        told.append(ran.stdout.strip())
    assert told == [b"b''", b"b'first'"]
    assert [told for _, told in shared.others()] == [b"second"]


def test_what_is_torn_is_not_read() -> None:
    shared = Shared(2)
    shared.join()
    shared.write(b"whole")
    shared.write(b"torn")
    shared._page(0, 0)[24:28] = b"TORN"  # the second lies there
    shared._own = None
    assert [told for _, told in shared.others()] == [b"whole"]
