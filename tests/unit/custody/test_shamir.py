# SPDX-License-Identifier: Apache-2.0
"""Shares: which open, which are named as wrong, and what is left of those that were given."""

import itertools
import os
from collections.abc import Callable

import msgspec
import pytest
from shamir_mnemonic import Share

from keyquorum.custody import kinds, shamir
from keyquorum.custody.attempt import PATIENCE, Attempt
from keyquorum.custody.root import RootKey
from keyquorum.custody.seal import RECOVERY, SealError
from keyquorum.custody.shamir import ShareError
from keyquorum.model import SealedRoot

Sealed = tuple[SealedRoot, list[str], bytes]


@pytest.fixture
def sealed() -> Sealed:
    """Three of five."""
    return made(3, 5)


def made(threshold: int, shares: int) -> Sealed:
    root, new = RootKey.generate(), kinds.divided(threshold, shares)
    return new.seal.seal(root), list(new.shares), root


def attempt(row: SealedRoot, clock: Callable[[], float] = lambda: 0.0) -> Attempt:
    return Attempt(row, clock)


def replaced(row: SealedRoot, **fields: object) -> SealedRoot:
    changed = msgspec.structs.replace(shamir.split_of(row), **fields)
    return row._replace(parameters=msgspec.json.encode(changed).decode())


def test_any_three_of_five_open_and_no_two(sealed: Sealed) -> None:
    row, shares, root = sealed
    for chosen in itertools.permutations(shares, 3):
        trial = attempt(row)
        assert [trial.give(share) for share in chosen] == [None, None, root]
        assert trial.given() == []
    for pair in itertools.combinations(shares, 2):
        parsed = [Share.from_mnemonic(share) for share in pair]
        with pytest.raises(SealError, match="do not fit together"):
            shamir.combine(parsed)


def test_every_damaged_share_is_named_by_its_number_and_not_shown(sealed: Sealed) -> None:
    row, shares, _ = sealed
    split = shamir.split_of(row)
    for number, share in enumerate(shares, 1):
        words = share.split()
        for position in range(len(words)):
            damaged = [*words[:position], "zero" if words[position] != "zero" else "academic", *words[position + 1 :]]
            with pytest.raises(ShareError) as caught:
                shamir.read_share(" ".join(damaged), split)
            if position not in (2, 3):
                assert f"number {number} is damaged" in str(caught.value)
            assert not set(words[5:]) & set(str(caught.value).replace(":", "").split()) - {"is", "number", "share"}


@pytest.mark.parametrize(
    ("share", "said"),
    [
        ("", "has 33 words"),
        ("academic " * 33, "damaged"),
        ("academic " * 32, "has 33 words"),
        ("academic " * 4 + "\u00e4cademic " * 29, "word 5 is none of SLIP-39's"),
        ("a" * 100_000, "has 33 words"),
        ("academic " * 100_000, "has 33 words"),
    ],
)
def test_what_is_no_share(share: str, said: str, sealed: Sealed) -> None:
    with pytest.raises(ShareError, match=said):
        attempt(sealed[0]).give(share)


def test_a_share_of_another_split_is_named_and_spoils_nothing(sealed: Sealed) -> None:
    row, shares, root = sealed
    trial = attempt(row)
    trial.give(shares[0])
    nonce = trial.nonce
    for foreign in made(3, 5)[1]:
        with pytest.raises(ShareError, match=r"share \d is of another split"):
            trial.give(foreign)
    assert (trial.given(), trial.nonce) == ([1], nonce)
    trial.give(shares[4])
    assert trial.give(shares[2]) == root


def test_a_forged_share_with_the_right_name_and_checksum_is_told(sealed: Sealed) -> None:
    row, shares, root = sealed
    true = Share.from_mnemonic(shares[1])
    forged = Share(**{**true.__dict__, "value": os.urandom(32)}).mnemonic()
    beyond = Share(**{**true.__dict__, "index": 9}).mnemonic()
    trial = attempt(row)
    for share, number in ((forged, 2), (beyond, 10)):
        with pytest.raises(ShareError, match=f"share {number} is wrong"):
            trial.give(share)
    assert [trial.give(share) for share in shares[:3]][-1] == root


def test_the_same_share_twice_counts_once(sealed: Sealed) -> None:
    row, shares, _ = sealed
    trial = attempt(row)
    trial.give(shares[0])
    for text in (shares[0], shares[0].upper(), f"  {shares[0]}\n".replace(" ", "\t")):
        with pytest.raises(ShareError, match="share 1 was given already"):
            trial.give(text)
    assert trial.given() == [1]


def test_shares_that_wait_too_long_are_dropped(sealed: Sealed) -> None:
    row, shares, root = sealed
    now = [0.0]
    trial = attempt(row, lambda: now[0])
    trial.give(shares[0])
    nonce = trial.nonce
    now[0] = PATIENCE - 1
    trial.give(shares[1])
    now[0] = PATIENCE
    assert trial.given() == []
    assert trial.nonce != nonce
    assert trial.give(shares[2]) is None
    trial.give(shares[1])
    assert trial.give(shares[0]) == root


def test_a_threshold_that_the_database_lowers_opens_nothing(sealed: Sealed) -> None:
    row, shares, _ = sealed
    lowered = attempt(replaced(row, threshold=2))
    with pytest.raises(ShareError, match="share 1 says that 3 shares are needed, and the database says 2"):
        lowered.give(shares[0])
    assert lowered.given() == []


@pytest.mark.parametrize(
    "fields",
    [
        {"threshold": 1},
        {"threshold": 0},
        {"threshold": -3},
        {"threshold": 6},
        {"threshold": 2**70},
        {"shares": 4},
        {"shares": 10**9},
        {"checks": ()},
        {"shares": 17, "checks": ("",) * 17},
    ],
)
def test_parameters_that_make_no_sense_are_refused(fields: dict[str, object], sealed: Sealed) -> None:
    with pytest.raises(SealError):
        attempt(replaced(sealed[0], **fields))


def test_checks_that_the_database_makes_up_only_refuse(sealed: Sealed) -> None:
    """Who can write there can take the right shares for wrong, and never wrong ones for right."""
    row, shares, _ = sealed
    own = made(3, 5)
    split = shamir.split_of(own[0])
    swapped = attempt(row._replace(parameters=own[0].parameters))
    with pytest.raises(ShareError, match="another split"):
        swapped.give(shares[0])
    for share in own[1][:2]:
        swapped.give(share)
    with pytest.raises(SealError, match="does not open"):
        swapped.give(own[1][2])
    assert swapped.given() == []
    assert split.threshold == 3


def test_shares_for_recovery_do_not_open_the_row_in_use(sealed: Sealed) -> None:
    root, new = RootKey.generate(), kinds.divided(2, 2)
    row = new.seal.seal(root, RECOVERY)
    trial = attempt(row)
    trial.give(new.shares[0])
    with pytest.raises(SealError, match="does not open"):
        trial.give(new.shares[1])
    right = Attempt(row, lambda: 0.0, RECOVERY)
    right.give(new.shares[1])
    assert right.give(new.shares[0]) == root


@pytest.mark.parametrize(("threshold", "shares"), [(1, 1), (1, 5), (0, 3), (4, 3), (2, 17), (17, 17)])
def test_splits_that_are_not_made(threshold: int, shares: int) -> None:
    with pytest.raises(SealError, match="threshold"):
        kinds.divided(threshold, shares)


def test_sixteen_of_sixteen() -> None:
    row, shares, root = made(16, 16)
    trial = attempt(row)
    assert [trial.give(share) for share in shares] == [None] * 15 + [root]


def test_nothing_shows_a_share_or_the_secret(sealed: Sealed) -> None:
    row, shares, _ = sealed
    trial = attempt(row)
    trial.give(shares[0])
    shown = f"{trial!r} {vars(kinds.divided(2, 3).seal)!r} {row.parameters}"
    words = shares[0].split()
    # one word of a share may be a word of any text by chance; two in a row are not
    assert not [run for run in itertools.pairwise(words[4:]) if " ".join(run) in shown]
    value = Share.from_mnemonic(shares[0]).value
    assert value.hex() not in shown
    assert repr(value)[2:-1] not in shown
