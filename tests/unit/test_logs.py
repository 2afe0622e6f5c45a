# SPDX-License-Identifier: Apache-2.0
"""The server's log: a line an entry, whatever clients send, with the request's ID."""

import json
import logging
from collections.abc import Iterator

import pytest

from keyquorum import logs


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.captureWarnings(False)


def written(capsys: pytest.CaptureFixture[str], style: str, message: str, *arguments: object) -> str:
    logs.configure(style, "info")
    logging.getLogger("keyquorum.some").warning(message, *arguments)
    return capsys.readouterr().err


@pytest.mark.parametrize("style", logs.FORMATS)
@pytest.mark.parametrize("sent", ["one\ntwo", "a\r\n2026-01-01 ERROR forged", "\x1b[2Jgone", "x\u2028y", "\x85", "\0"])
def test_an_entry_is_one_line(capsys: pytest.CaptureFixture[str], style: str, sent: str) -> None:
    text = written(capsys, style, "from a client: %s", sent)
    assert text.count("\n") == 1
    assert len(text.splitlines()) == 1
    assert "\x1b" not in text


@pytest.mark.parametrize("style", logs.FORMATS)
def test_the_request_is_named(capsys: pytest.CaptureFixture[str], style: str) -> None:
    token = logs.request_id.set("the-request")
    text = written(capsys, style, "about it")
    logs.request_id.reset(token)
    assert text.count("the-request") == 1
    assert "the-request" not in written(capsys, style, "about nothing")


def test_json_is_an_object_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("json", "info")
    log = logging.getLogger("keyquorum.some")
    log.info("%d of %s", 1, '"two"')
    try:
        raise ValueError("a fault")
    except ValueError:
        log.exception("it failed")
    first, second = map(json.loads, capsys.readouterr().err.splitlines())
    assert (first["level"], first["logger"], first["message"]) == ("info", "keyquorum.some", '1 of "two"')
    assert first["time"].endswith("Z")
    assert "exception" not in first
    assert "ValueError: a fault" in second["exception"]


def test_levels(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("human", "error")
    logging.getLogger("keyquorum").warning("withheld")
    logging.getLogger("uvicorn.error").warning("withheld")
    logging.getLogger("uvicorn.error").error("told")
    text = capsys.readouterr().err
    assert "withheld" not in text
    assert "ERROR uvicorn.error: told" in text


def test_others_speak_through_it(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("json", "info")
    logging.getLogger("uvicorn.error").info("their small talk")
    logging.getLogger("uvicorn.error").warning("their warning")
    assert [json.loads(line)["message"] for line in capsys.readouterr().err.splitlines()] == ["their warning"]
