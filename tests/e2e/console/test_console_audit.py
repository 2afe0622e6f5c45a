# SPDX-License-Identifier: Apache-2.0
"""The audit log in the console: what is there is shown, as text, and to those who may see it."""

import json
import re
from html import unescape
from typing import Any

import pytest
from botocore.config import Config
from console_client import Browser, signed_in
from roles import ALICE, allow, new_user
from servers import Production, code_of, run

SCRIPT = "<script>alert(1)</script>"
AGENT = f"{SCRIPT}\"><img src=x onerror=alert(1)>'{{{{7*7}}}}"


@pytest.fixture(scope="module")
def browser(server: Production) -> Browser:
    return signed_in(server, server.root)


@pytest.fixture(scope="module")
def hostile(server: Production) -> dict[str, Any]:
    """A request of which everything that a client chooses is meant for the page that shows it."""
    key = server.client().create_key(Description=SCRIPT)["KeyMetadata"]["KeyId"]
    config = Config(user_agent=AGENT, retries={"total_max_attempts": 1})
    kms = server.client(access=ALICE, config=config)
    made = kms.encrypt(KeyId=key, Plaintext=b"x", EncryptionContext={SCRIPT: '"><b id="x">'})
    return {"key": key, "request_id": made["ResponseMetadata"]["RequestId"]}


def ids(text: str) -> list[str]:
    return re.findall(r'<tr data-id="([^"]+)"', text)


def event_page(browser: Browser, key: str) -> str:
    found = browser.get("/console/audit", key=key, name="Encrypt")
    links = re.findall(r'href="(/console/audit/[^"]+)"', found.text)
    page = browser.get(unescape(links[0]))
    assert page.status == 200
    return page.text


def test_filters_say_what_is_shown(server: Production, browser: Browser, hostile: dict[str, Any]) -> None:
    code_of(server.client(access=ALICE).describe_key, KeyId="alias/nowhere")
    encrypted = browser.get("/console/audit", key=hostile["key"], name="encrypt", user="Alice", outcome="allowed").text
    assert len(ids(encrypted)) == 1
    assert ids(browser.get("/console/audit", key=hostile["key"], outcome="refused").text) == []
    refused = browser.get("/console/audit", outcome="refused", name="DescribeKey").text
    assert "NotFoundException" in refused
    assert f'value="{hostile["key"]}"' in encrypted  # the form keeps what was asked
    assert ids(browser.get("/console/audit", **{"from": "2000-01-01T00:00", "to": "2000-01-02T00:00"}).text) == []


def test_the_consoles_own_reading_hides_nothing(browser: Browser) -> None:
    for _ in range(3):
        browser.get("/console/audit")
    assert "LookupEvents" not in browser.get("/console/audit").text
    assert "LookupEvents" in browser.get("/console/audit", all="1").text
    assert "LookupEvents" in browser.get("/console/audit", name="LookupEvents").text


def test_what_clients_sent_is_text_on_every_page(browser: Browser, hostile: dict[str, Any]) -> None:
    pages = [
        event_page(browser, hostile["key"]),
        browser.get("/console/audit", key=hostile["key"]).text,
        browser.get("/console/audit", user=AGENT, name=SCRIPT, key='"><b id="x">').text,
        browser.get("/console/access/why", request_id=hostile["request_id"]).text,
        browser.get("/console/access/why", request_id=SCRIPT).text,
        browser.get(f"/console/audit/{SCRIPT}").text,
    ]
    for text in pages:
        assert SCRIPT not in text
        assert "<img" not in text
        assert 'id="x"' not in text
        assert "javascript:" not in text
    assert "7*7" in pages[0]  # nobody took it for a template's
    record = json.loads(unescape(re.search(r"<pre[^>]*><code>(.*?)</code>", pages[0], re.DOTALL)[1]))  # type: ignore[index]  # else the test fails
    assert record["userAgent"].startswith(SCRIPT)


def test_no_page_has_a_style_or_a_handler_of_its_own(browser: Browser, hostile: dict[str, Any]) -> None:
    paths = ("/console/", "/console/audit", "/console/status", "/console/access", "/console/access/why")
    for text in [browser.get(path).text for path in paths] + [event_page(browser, hostile["key"])]:
        assert not re.search(r"<[^>]*\s(?:style|on[a-z]+)\s*=", text)
        assert all('src="/console/static/' in script for script in re.findall(r"<script[^>]*>", text))
        assert "<style" not in text


def test_the_chart_says_in_a_table_what_it_draws(server: Production, browser: Browser) -> None:
    for _ in range(4):
        server.client(access=ALICE).list_grants(KeyId=server.client().create_key()["KeyMetadata"]["KeyId"])
    text = browser.get("/console/audit", name="ListGrants").text
    assert "4 allowed, 0 refused" in text
    row = re.search(
        r'<th scope="row"><a[^>]*>ListGrants</a></th><td class="number">(\d+)</td><td class="number">(\d+)', text
    )
    assert row is not None
    assert row.groups() == ("4", "0")
    assert text.count("<svg") == 2
    assert len(re.findall(r'<svg[^>]*role="img"[^>]*aria-label="[^"]+"', text)) == 2


def test_older_events_are_a_link_away(server: Production, browser: Browser) -> None:
    for _ in range(60):
        server.client(access=ALICE).list_retirable_grants(RetiringPrincipal="arn:aws:iam::111122223333:user/Alice")
    first = browser.get("/console/audit", name="ListRetirableGrants")
    link = re.search(r'href="([^"]+)">Look further back', first.text)
    assert link is not None
    second = browser.get(unescape(link[1]))
    assert (len(ids(first.text)), len(ids(second.text))) == (50, 10)
    assert not set(ids(first.text)) & set(ids(second.text))


def test_what_is_new_comes_as_data(server: Production, browser: Browser, hostile: dict[str, Any]) -> None:
    before = json.loads(browser.get("/console/audit/tail", key=hostile["key"], after="0").text)
    server.client(access=ALICE).encrypt(KeyId=hostile["key"], Plaintext=b"x")
    page = browser.get("/console/audit/tail", key=hostile["key"], after=str(before["after"]))
    assert page.headers["content-type"] == "application/json"
    after = json.loads(page.text)
    new = {event["id"] for event in after["events"]} - {event["id"] for event in before["events"]}
    assert len(new) == 1
    assert after["after"] >= before["after"]
    assert Browser(server).send("GET", "/console/audit/tail").status == 303


def test_who_may_not_look_sees_the_refusal_and_no_event(server: Production, hostile: dict[str, Any]) -> None:
    alice = signed_in(server, ALICE)
    paths = ("/console/audit", "/console/audit/00000000-0000-0000-0000-000000000000")
    for page in [alice.get(path) for path in paths]:
        assert page.status == 400
        assert "cloudtrail:LookupEvents" in page.text
        assert hostile["key"] not in page.text
    tail = alice.get("/console/audit/tail")
    assert (tail.status, "events" in json.loads(tail.text)) == (403, False)


def test_a_reader_of_the_log_who_may_not_see_the_status_sees_the_log(server: Production) -> None:
    reader = signed_in(server, new_user(server.client("iam"), "reader", allow("cloudtrail:LookupEvents")))
    page = reader.get("/console/audit")
    assert page.status == 200
    assert "Is the log whole?" not in page.text


def test_the_page_says_whether_the_log_was_found_whole(server: Production, browser: Browser) -> None:
    assert "It was not verified on this node yet" in browser.get("/console/audit").text
    run("audit", "verify", "--data", str(server.data))
    assert "when it was last verified" in browser.get("/console/audit").text
    note = {"at": 1.0, "whole": False, "records": 1, "uncovered": 0, "problems": [SCRIPT]}
    (server.data / "audit-verified.json").write_text(json.dumps(note))
    text = browser.get("/console/audit").text
    assert "not whole" in text
    assert SCRIPT not in text
