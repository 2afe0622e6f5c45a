# SPDX-License-Identifier: Apache-2.0
"""Signing in to the console and out again, and those who try without: the cookie, the link, the nonce and the form."""

import json
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

import pytest
from console_client import Browser, signed_in
from roles import ALICE, BOB, allow, document
from servers import REGION, Access, Production, Program, environment

from keyquorum.admin.client import ClientError, Refused, Remote
from keyquorum.admin.console import new_link
from keyquorum.authn.signing import Credentials, signed_headers


def remote(server: Program, access: Access) -> Remote:
    return Remote(server.url, access.region, access.key_id, access.secret)


def link(server: Program, access: Access) -> str:
    return urlsplit(new_link(remote(server, access))[0]).path


def login(server: Program, access: Access, nonce: str) -> tuple[int, dict[str, Any]]:
    """ConsoleLogin, signed as the sign-in page signs it."""
    return own(server, Credentials(access.key_id, access.secret), "ConsoleLogin", {"Nonce": nonce})


def own(server: Program, credentials: Credentials, operation: str, members: Any) -> tuple[int, dict[str, Any]]:
    body, host, kind = json.dumps(members).encode(), f"{server.host}:{server.port}", "application/x-amz-json-1.0"
    target = f"Keyquorum.{operation}"
    headers = signed_headers(credentials, "keyquorum", REGION, host, kind, body, datetime.now(UTC), target)
    page = Browser(server).send("POST", "/", body.decode(), **{n.replace("-", "_"): v for n, v in headers.items()})
    return page.status, json.loads(page.text)


def nonce_of(server: Program) -> str:
    nonce: str = json.loads(Browser(server).get("/console/nonce").text)["nonce"]
    return nonce


@pytest.fixture(scope="module")
def browser(server: Production) -> Browser:
    return signed_in(server, ALICE)


def test_nobody_sees_a_page_without_signing_in(server: Production) -> None:
    page = Browser(server).send("GET", "/console/?region=eu-west-1")
    assert (page.status, page.headers["location"]) == (303, "/console/sign-in?next=/console/%3Fregion%3Deu-west-1")
    assert "Secret access key" in Browser(server).get("/console/").text


def records(server: Production, name: str) -> list[dict[str, Any]]:
    files = sorted((server.data / "audit").glob("[0-9]*.jsonl"))
    lines = [json.loads(line) for file in files for line in file.read_text().splitlines()]
    return [record for record in lines if record.get("eventName") == name]


def test_signing_in_and_out_and_what_is_done_between_are_in_the_audit(server: Production) -> None:
    before = len(records(server, "ConsoleSession"))
    browser = Browser(server)
    token = browser.get(link(server, ALICE)).hidden()["token"]
    for status in (303, 403):
        assert browser.send("POST", "/console/session", urlencode({"token": token})).status == status
    page = browser.get("/console/")
    assert page.status == 200
    assert "Sign out" in page.text
    cookies = dict(browser.cookies)
    browser.send("POST", "/console/sign-out", urlencode({"csrf": page.csrf}))

    login, begun, again = records(server, "ConsoleLogin")[-1], *records(server, "ConsoleSession")[before:]
    ended, counted = records(server, "ConsoleLogout")[-1], records(server, "CountKeys")[-1]
    session = begun["userIdentity"]["accessKeyId"]
    assert login["userIdentity"]["accessKeyId"] == ALICE.key_id
    for record in (begun, counted, ended):
        assert record["userIdentity"]["arn"].endswith(":user/Alice")
        assert record["userIdentity"]["accessKeyId"] == session
        assert record["userAgent"] == browser.agent
        assert "errorCode" not in record
    assert (again["errorCode"], again["errorMessage"]) == ("ValidationException", "The token was used already.")
    assert (begun["readOnly"], ended["readOnly"]) == (False, False)
    text = json.dumps([login, begun, again, ended])
    assert all(value not in text for value in (*cookies.values(), token))


def test_a_link_is_good_once_and_looking_at_it_does_not_use_it_up(server: Production) -> None:
    path = link(server, ALICE)
    first, second = Browser(server), Browser(server)
    token = first.get(path).hidden()["token"]
    assert second.get(path).hidden()["token"] == token
    assert first.send("POST", "/console/session", urlencode({"token": token})).status == 303
    refused = second.send("POST", "/console/session", urlencode({"token": token}))
    assert (refused.status, second.cookies) == (403, {})


def test_a_link_that_was_changed_is_none(server: Production) -> None:
    path = link(server, ALICE)
    token = path.rsplit("/", 1)[1]
    changed = token[:-2] + ("00" if token[-2:] != "00" else "01")
    for wrong in (changed, token[:-2], "", "zz", nonce_of(server)):
        page = Browser(server).send("POST", "/console/session", urlencode({"token": wrong}))
        assert page.status == 403


def test_a_nonce_is_good_once(server: Production) -> None:
    nonce = nonce_of(server)
    assert login(server, ALICE, nonce)[0] == 200
    status, answer = login(server, ALICE, nonce)
    assert (status, answer["__type"]) == (400, "ValidationException")
    assert "used already" in answer["message"]


@pytest.mark.parametrize("nonce", ["00", "nonsense", "ab" * 60])
def test_a_nonce_of_somebody_else_is_refused(server: Production, nonce: str) -> None:
    status, answer = login(server, ALICE, nonce)
    assert (status, answer["message"]) == (400, "The nonce is not one of this server's, or has expired.")


def test_a_login_is_no_nonce_and_a_session_token_is_no_login(server: Production, browser: Browser) -> None:
    token = link(server, ALICE).rsplit("/", 1)[1]
    assert login(server, ALICE, token)[0] == 400
    other = Browser(server)
    assert other.send("POST", "/console/session", urlencode({"token": browser.cookies["keyquorum"]})).status == 403


def test_a_wrong_secret_signs_nobody_in(server: Production) -> None:
    with pytest.raises(Refused, match="InvalidSignatureException"):
        new_link(remote(server, ALICE._replace(secret=BOB.secret)))


def test_no_other_site_can_sign_somebody_in(server: Production) -> None:
    """Else their next key would be made in the attacker's account."""
    token = link(server, ALICE).rsplit("/", 1)[1]
    body = urlencode({"token": token})
    for headers in (
        {"Origin": "https://attacker.example", "Sec_Fetch_Site": "cross-site"},
        {"Origin": "https://attacker.example", "Sec_Fetch_Site": None},
        {"Origin": "null", "Sec_Fetch_Site": None},
        {"Origin": None, "Sec_Fetch_Site": None},
        {"Sec_Fetch_Site": "same-site"},
    ):
        victim = Browser(server)
        assert victim.send("POST", "/console/session", body, **headers).status == 403
        assert victim.cookies == {}
    assert Browser(server).send("POST", "/console/session", body).status == 303


def test_a_session_that_a_browser_brings_along_is_not_kept(server: Production) -> None:
    """Session fixation: who signs in gets a session of their own."""
    attacker = signed_in(server, BOB)
    victim = Browser(server)
    victim.cookies = dict(attacker.cookies)
    token = victim.get(link(server, ALICE)).hidden()["token"]
    victim.send("POST", "/console/session", urlencode({"token": token}))
    assert victim.cookies["keyquorum"] != attacker.cookies["keyquorum"]
    assert "444455556666" in attacker.get("/console/").text
    assert "444455556666" not in victim.get("/console/").text


def test_who_signs_out_is_out_wherever_the_cookie_went(server: Production) -> None:
    browser = signed_in(server, ALICE)
    thief = Browser(server)
    thief.cookies = dict(browser.cookies)
    csrf = browser.get("/console/").csrf
    assert thief.send("GET", "/console/").status == 200
    assert browser.send("POST", "/console/sign-out", urlencode({"csrf": csrf})).headers["location"].endswith("/sign-in")
    assert "keyquorum" not in browser.cookies
    assert thief.send("GET", "/console/").status == 303


def test_a_session_is_ended_and_begun_by_itself_alone(server: Production) -> None:
    """Who may use the API begins no session by another's token, and ends none but their own."""
    token = link(server, ALICE).rsplit("/", 1)[1]
    given = server.client("sts", access=ALICE).get_session_token()["Credentials"]
    temporary = Credentials(given["AccessKeyId"], given["SecretAccessKey"], given["SessionToken"])
    for credentials in (Credentials(BOB.key_id, BOB.secret), Credentials(ALICE.key_id, ALICE.secret), temporary):
        for operation, members in (("ConsoleSession", {"Token": token}), ("ConsoleLogout", {})):
            status, answer = own(server, credentials, operation, members)
            assert (status, answer["__type"]) == (400, "ValidationException")
    assert Browser(server).send("POST", "/console/session", urlencode({"token": token})).status == 303


def test_a_form_of_another_site_does_nothing(server: Production) -> None:
    browser = signed_in(server, ALICE)
    csrf, others = browser.get("/console/").csrf, signed_in(server, BOB).get("/console/").csrf
    for fields, headers in (
        ({}, {}),
        ({"csrf": ""}, {}),
        ({"csrf": others}, {}),
        ({"csrf": csrf[:-1]}, {}),
        ({"csrf": csrf}, {"Sec_Fetch_Site": "cross-site"}),
        ({"csrf": csrf}, {"Sec_Fetch_Site": None, "Origin": "https://attacker.example"}),
        ({"csrf": csrf}, {"Sec_Fetch_Site": None, "Origin": None}),
    ):
        assert browser.send("POST", "/console/sign-out", urlencode(fields), **headers).status == 403
    assert browser.send("GET", "/console/").status == 200


def test_the_cookie_is_out_of_reach_of_scripts_and_of_other_sites(server: Production) -> None:
    browser = Browser(server)
    token = browser.get(link(server, ALICE)).hidden()["token"]
    page = browser.send("POST", "/console/session", urlencode({"token": token}))
    attributes = {part.strip().lower() for part in page.headers["set-cookie"].split(";")[1:]}
    assert attributes == {"httponly", "path=/", "samesite=strict"}  # and Secure, by TLS


def test_behind_a_proxy_that_speaks_tls_the_cookie_is_for_tls_alone(start: Callable[..., Production]) -> None:
    server = start("--trusted-proxy", "127.0.0.1")
    browser = Browser(server)
    token = browser.get(link(server, server.root)).hidden()["token"]
    body, by_tls = urlencode({"token": token}), {"X_Forwarded_Proto": "https"}
    assert browser.send("POST", "/console/session", body, **by_tls).status == 403  # its origin would be https too
    origin = browser.origin.replace("http://", "https://")
    page = browser.send("POST", "/console/session", body, Origin=origin, **by_tls)
    assert page.headers["set-cookie"].startswith("__Host-keyquorum=")
    assert "; secure" in page.headers["set-cookie"].lower()
    assert browser.send("GET", "/console/", **by_tls).status == 200
    assert browser.send("GET", "/console/").status == 303


@pytest.mark.parametrize(
    "path", ["//attacker.example/", "https://attacker.example/", "/console/..//x", "/\\x", "/console"]
)
def test_nobody_is_sent_on_to_another_site(server: Production, path: str) -> None:
    token = link(server, ALICE).rsplit("/", 1)[1]
    page = Browser(server).send("POST", "/console/session", urlencode({"token": token, "next": path}))
    assert page.headers["location"] == "/console/"


def test_every_page_bears_the_headers_that_keep_it_to_itself(server: Production, browser: Browser) -> None:
    for method, path, status in (
        ("GET", "/console/", 200),
        ("HEAD", "/console/", 200),
        ("GET", "/console/sign-in", 200),
        ("GET", "/console/nothing", 404),
        ("GET", "/console/keys/", 404),
        ("GET", "/console/session", 404),
        ("GET", "/console/static/nothing.js", 404),
        ("GET", "/console/static/console.css", 200),
        ("GET", "/console/link/x", 403),
        ("POST", "/console/session", 403),
        ("POST", "/console/nothing", 405),
        ("POST", "/console/sign-in", 405),
        ("POST", "/console/static/console.css", 405),
        ("PUT", "/console/keys", 405),
        ("OPTIONS", "/console/keys", 405),
        ("PROPFIND", "/console/", 405),
    ):
        answered = browser.send(method, path)
        headers = answered.headers
        assert (method, path, answered.status) == (method, path, status)
        assert ("allow" in headers) == (status == 405)
        policy = headers["content-security-policy"]
        assert "unsafe" not in policy
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy
        assert (headers["x-frame-options"], headers["x-content-type-options"]) == ("DENY", "nosniff")
        assert headers["cache-control"] == "no-store"


def test_files_are_those_of_the_console_alone(browser: Browser) -> None:
    assert browser.send("GET", "/console/static/console.css").headers["content-type"].startswith("text/css")
    for name in ("../site.py", "..%2fsite.py", "%2e%2e/pages.py", "console.css/", ".", "../templates/base.html"):
        assert browser.send("GET", f"/console/static/{name}").status == 404


def test_a_session_dies_with_its_user(server: Production, kms: Any) -> None:
    iam = server.client("iam")
    iam.create_user(UserName="Mallory")
    iam.put_user_policy(UserName="Mallory", PolicyName="all", PolicyDocument=document(allow("kms:*")))
    key = iam.create_access_key(UserName="Mallory")["AccessKey"]
    browser = signed_in(server, Access(key["AccessKeyId"], key["SecretAccessKey"], REGION))
    assert browser.send("GET", "/console/").status == 200
    iam.delete_access_key(UserName="Mallory", AccessKeyId=key["AccessKeyId"])
    iam.delete_user_policy(UserName="Mallory", PolicyName="all")
    iam.delete_user(UserName="Mallory")
    assert browser.send("GET", "/console/").status == 303


def test_a_session_expires(tmp_path: Path) -> None:
    server = Program(tmp_path, "--dev")
    try:
        browser = signed_in(server, Access("test", "test"))
        assert browser.send("GET", "/console/").status == 200
        body = b'{"advance_seconds": 3601}'
        server.raw(
            b"POST /_dev/clock HTTP/1.1\r\nHost: localhost\r\nX-Keyquorum-Dev: 1\r\nContent-Length: %d\r\n\r\n%b"
            % (len(body), body)
        )
        assert browser.send("GET", "/console/").status == 303
    finally:
        server.stop()


def test_the_console_can_be_left_out(tmp_path: Path) -> None:
    server = Program(tmp_path, "--dev", "--no-console")
    try:
        assert Browser(server).send("GET", "/console/").status == 404
        assert Browser(server).send("GET", "/console").status == 404
        with pytest.raises(ClientError, match="has no console"):
            new_link(remote(server, Access("test", "test")))
    finally:
        server.stop()


def test_a_page_is_not_believed_to_be_root_of_a_development_server(tmp_path: Path) -> None:
    """DNS rebinding: an unknown access key stands for the root, but not when a page in a browser signs with it."""
    server = Program(tmp_path, "--dev")
    try:
        status, answer = login(server, Access("test", "test"), nonce_of(server))
        assert (status, answer["__type"]) == (400, "UnrecognizedClientException")
    finally:
        server.stop()


def test_the_command_prints_a_link(server: Production) -> None:
    named = {"AWS_ENDPOINT_URL": server.url, "AWS_ACCESS_KEY_ID": ALICE.key_id, "AWS_REGION": REGION}
    done = subprocess.run(
        (sys.executable, "-m", "keyquorum", "console", "login"),
        env={**environment(), **named, "AWS_SECRET_ACCESS_KEY": ALICE.secret},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.startswith(f"{server.url}/console/link/")
    assert Browser(server).get(urlsplit(done.stdout.strip()).path).status == 200
    assert "it is good once" in done.stderr
