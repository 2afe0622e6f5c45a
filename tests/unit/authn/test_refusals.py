# SPDX-License-Identifier: Apache-2.0
"""Failed authentications are all counted; the log takes a bounded number of lines a second."""

import logging

import pytest

from keyquorum.authn.refusals import Refusals
from keyquorum.errors import InvalidSignatureException, KMSError, UnrecognizedClientException


def note(refusals: Refusals, count: int, now: float, error: KMSError | None = None) -> None:
    for number in range(count):
        refusals.note(error or InvalidSignatureException("m", detail="d"), f"id-{number}", "192.0.2.7", now)


def test_ten_lines_a_second_and_then_how_many_more(caplog: pytest.LogCaptureFixture) -> None:
    refusals = Refusals()
    note(refusals, 1_000, 100.0)
    assert len(caplog.messages) == 10
    note(refusals, 500, 100.9)
    assert len(caplog.messages) == 10
    note(refusals, 1, 101.0)
    assert caplog.messages[10:] == [
        "1490 more requests failed authentication",
        "authentication failed: InvalidSignatureException, request id-0 from 192.0.2.7",
    ]
    note(refusals, 1, 102.0)
    assert len(caplog.messages) == 13


def test_all_are_counted_by_their_error(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL)
    refusals = Refusals()
    note(refusals, 30, 100.0)
    note(refusals, 12, 100.0, UnrecognizedClientException())
    assert refusals.counts == {"InvalidSignatureException": 30, "UnrecognizedClientException": 12}


def test_a_line_says_nothing_that_the_sender_wrote(caplog: pytest.LogCaptureFixture) -> None:
    note(Refusals(), 1, 100.0, InvalidSignatureException("forged\nline", detail="AWS4-HMAC-SHA256 Credential=..."))
    assert "\n" not in caplog.messages[0]
    assert "forged" not in caplog.text
    assert "Credential" not in caplog.text


def test_a_clock_that_goes_back_does_not_silence_it(caplog: pytest.LogCaptureFixture) -> None:
    refusals = Refusals()
    note(refusals, 20, 100.0)
    note(refusals, 1, 50.0)
    assert caplog.messages[-1].startswith("authentication failed")
