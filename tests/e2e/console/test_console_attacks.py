# SPDX-License-Identifier: Apache-2.0
"""The console attacked: by credentials that may less than it would give them, by strangers who make it work or fill its
log, and by whoever wants all of the processors."""

import asyncio
import json
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

import pytest
from console_client import Browser, signed_in
from roles import ALICE, allow, assumed, document, new_role, new_user, pass_time, trusting, user
from servers import ACCOUNT, Access, Production, Program, client

from keyquorum.admin.client import Remote
from keyquorum.admin.console import new_link
from keyquorum.authn.signing import Credentials, signed_headers
from keyquorum.console.gateway import Asker, Gateway
from keyquorum.errors import KMSError, WouldBlock
from keyquorum.model import Answer, HttpRequest
from keyquorum.server.workers import Workers


def signed_in_with(server: Program, given: dict[str, Any]) -> Browser:
    """With temporary credentials, as STS answers them."""
    remote = Remote(server.url, "us-east-1", given["AccessKeyId"], given["SecretAccessKey"], given["SessionToken"])
    browser = Browser(server)
    token = urlsplit(new_link(remote)[0]).path.rsplit("/", 1)[1]
    assert browser.send("POST", "/console/session", urlencode({"token": token})).status == 303
    return browser


@pytest.fixture(scope="module")
def peter(server: Production) -> Access:
    """He may see who there is, and find out what they may."""
    may = allow(["iam:ListUsers", "iam:SimulatePrincipalPolicy", "iam:GetUserPolicy", "kms:*"])
    return new_user(server.client("iam"), "Peter", may)


# -- privileges


def test_credentials_that_iam_does_not_take_are_no_better_in_the_console(server: Production, peter: Access) -> None:
    """STS API reference, GetSessionToken: IAM takes them only with a second factor."""
    alice = user("Alice")
    assert alice in signed_in(server, peter).get("/console/access").text
    browser = signed_in_with(server, server.client("sts", access=peter).get_session_token()["Credentials"])
    text = browser.get("/console/access").text
    assert alice not in text
    asked = {"principal": user("Peter"), "action": "iam:ListUsers"}
    assert "iam:GetUserPolicy" not in browser.get("/console/access", **asked).text
    assert "iam:GetUserPolicy" in signed_in(server, peter).get("/console/access", **asked).text
    assert browser.get("/console/keys").status == 200


def test_what_iam_would_tell_is_not_told_under_another_name(server: Production, peter: Access) -> None:
    given = server.client("sts", access=peter).get_session_token()["Credentials"]
    secret = Credentials(given["AccessKeyId"], given["SecretAccessKey"], given["SessionToken"])
    body = json.dumps({"Principal": user("Peter"), "Action": "iam:ListUsers"}).encode()
    host, kind, target = urlsplit(server.url).netloc, "application/x-amz-json-1.0", "Keyquorum.ExplainAccess"
    headers = signed_headers(secret, "keyquorum", "us-east-1", host, kind, body, datetime.now(UTC), target)
    status, answer = Remote(server.url, "us-east-1", "", "").exchange("POST", "/", body, headers)
    assert (status, json.loads(answer)["__type"]) == (400, "AccessDeniedException")


def test_a_revoked_session_is_not_renewed_by_signing_in(start_dev: Callable[..., Program]) -> None:
    """IAM user guide, "Revoke IAM role temporary security credentials": by aws:TokenIssueTime."""
    server = start_dev()
    root = Access("test", "test")
    iam = client(server.url, "iam", root)
    visitor = new_user(iam, "visitor", allow("sts:AssumeRole"))
    arn = iam.get_user(UserName="visitor")["User"]["Arn"]
    role = new_role(iam, trusting(arn), allow("kms:*"))
    given = assumed(client(server.url, "sts", visitor), role)
    pass_time(server, 20)
    earlier = given["Expiration"].timestamp() - 3600 + 10
    before = {
        "DateLessThan": {"aws:TokenIssueTime": datetime.fromtimestamp(earlier, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")}
    }
    stolen = signed_in_with(server, given)
    assert stolen.get("/console/keys").status == 200
    iam.put_role_policy(
        RoleName=role.rpartition("/")[2],
        PolicyName="AWSRevokeOlderSessions",
        PolicyDocument=document(allow("*", effect="Deny", Condition=before)),
    )
    for browser in (stolen, signed_in_with(server, given)):
        assert "explicit deny" in browser.get("/console/keys").text


def test_a_session_policy_and_an_end_go_along_into_the_browser(start_dev: Callable[..., Program]) -> None:
    server = start_dev()
    iam = client(server.url, "iam", Access("test", "test"))
    visitor = new_user(iam, "visitor", allow("sts:AssumeRole"))
    role = new_role(iam, trusting(iam.get_user(UserName="visitor")["User"]["Arn"]), allow("kms:*"))
    sts = client(server.url, "sts", visitor)
    few = assumed(sts, role, Policy=document(allow("kms:ListAliases")), DurationSeconds=900)
    browser = signed_in_with(server, few)
    assert "session policy" in browser.get("/console/keys").text
    pass_time(server, 901)
    assert browser.send("GET", "/console/keys").status == 303


def test_a_cookie_is_no_credential_of_the_api_and_credentials_are_no_cookie(server: Production, peter: Access) -> None:
    given = server.client("sts", access=peter).get_session_token()["Credentials"]
    browser = Browser(server)
    token = given["SessionToken"].translate(str.maketrans("+/", "-_")).rstrip("=")
    browser.cookies = {"keyquorum": token}
    assert browser.send("GET", "/console/").status == 303


# -- strangers


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/console/sign-in?next=//[", 200),
        ("/console/sign-in?next=" + quote("https://[x"), 200),
        (f"/console/static/{'a' * 400}.js", 404),
        ("/console/static/a%00.js", 404),
        ("/console/link/%C3%A9", 403),
        ("/console/link/" + "ab" * 4000, 403),
    ],
)
def test_no_stranger_makes_a_page_fail(server: Production, path: str, status: int) -> None:
    """Each would be a traceback in the log."""
    assert Browser(server).send("GET", path).status == status
    assert "Traceback" not in server.stderr.read_text()


def test_a_form_with_more_fields_than_any_of_ours_is_not_read(server: Production) -> None:
    page = Browser(server).send("POST", "/console/session", "&".join(["a"] * 100_000))
    assert page.status == 400
    assert "more fields" in page.text


@pytest.mark.parametrize("moment", ["nan", "inf", "-1", "1e300", "0001-01-01", "9999-12-31T23:59:59"])
def test_no_moment_makes_a_page_fail(server: Production, moment: str) -> None:
    browser = signed_in(server, server.root)
    for path in (
        f"/console/audit?from={moment}",
        f"/console/audit?to={moment}",
        f"/console/audit?from=0&to={moment}",
        f"/console/audit/tail?after={moment}",
        f"/console/audit/x?at={moment}",
    ):
        assert browser.send("GET", path).status in (200, 400, 403, 404), path


def test_what_strangers_write_into_the_log_is_text(server: Production) -> None:
    """A user agent, an alias and a description; as a page, and as the script of a page has it."""
    wicked = "\"'><script src=//attacker.example></script><svg onload=alert(1)>"
    kms = server.client(access=ALICE)
    key = kms.create_key(Description=wicked, Tags=[{"TagKey": "a", "TagValue": "<svg onload=1>"}])["KeyMetadata"]
    browser = Browser(server)
    browser = signed_in(server, server.root)
    browser.agent = wicked
    paths = [
        "/console/",
        "/console/keys",
        f"/console/keys/{key['KeyId']}",
        "/console/audit?all=1&user=" + quote(wicked),
    ]
    for path in [
        *paths,
        "/console/access?principal=" + quote(wicked) + "&action=x",
        "/console/sign-in?next=" + wicked[:1],
    ]:
        text = browser.send("GET", path).text
        assert "<script src=//" not in text
        assert "<svg onload" not in text
    assert browser.send("GET", "/console/audit/tail?all=1&after=0").headers["content-type"] == "application/json"


# -- those who want all of it


def test_a_list_of_keys_costs_no_more_than_its_length(server: Production) -> None:
    """Else one request would compare five hundred policies of the dearest kind with itself, four times each."""
    kms = server.client(access=ALICE)
    key = kms.create_key(Description="costs much")["KeyMetadata"]["KeyId"]
    dear = {"StringLike": {"aws:UserAgent": [f"*a*a*a*{number}x" for number in range(1500)]}}
    everybody = allow("kms:*", Principal={"AWS": f"arn:aws:iam::{ACCOUNT}:root"})
    policy = document(everybody, allow("kms:*", effect="Deny", Principal="*", Condition=dear))
    kms.put_key_policy(KeyId=key, Policy=policy)
    browser = signed_in(server, ALICE)
    assert key in browser.get("/console/keys", q="costs much").text.split("<table")[-1]
    browser.agent = "a" * 500
    assert key not in browser.get("/console/keys", q="costs much").text
    assert "costs much" in browser.get(f"/console/keys/{key}").text


class _Computes:
    """A core whose requests take long: it says in which thread each ran."""

    def __init__(self) -> None:
        self.threads: list[str] = []

    def answer(self, request: HttpRequest, *, may_block: bool) -> Answer:
        if not may_block:
            raise WouldBlock("computing")
        self.threads.append(threading.current_thread().name)
        return Answer(200, b"application/x-amz-json-1.1", b"{}", "id")

    def write_records(self, records: list[bytes]) -> None:
        raise AssertionError("there is none")

    def refuse(self, error: KMSError, content_type: bytes = b"") -> Answer:
        return Answer(error.status, content_type, json.dumps({"__type": error.code}).encode(), "id")


@pytest.fixture
def workers() -> Iterator[Workers]:
    made = Workers(2, 8)
    yield made
    made.shutdown()


async def _ask(core: _Computes, workers: Workers) -> tuple[int, str]:
    unused: Any = SimpleNamespace()
    gateway = Gateway(core, unused, unused, unused, "us-east-1", lambda: workers)
    asker = Asker("127.0.0.1", False, "localhost", b"test")
    outcome = await gateway.json(Credentials("AKIA", "secret", None), "us-east-1", asker, "GenerateDataKeyPair", {})
    return outcome.status, outcome.code


def test_a_page_computes_where_the_api_computes(workers: Workers) -> None:
    """Else forty pages at once would compute in forty threads, however few processors there are."""
    core = _Computes()
    assert asyncio.run(_ask(core, workers)) == (200, "")
    assert [name.rpartition("_")[0] for name in core.threads] == ["keyquorum-computing"]


def _waiting_for(event: threading.Event) -> Callable[[], None]:
    def wait() -> None:
        event.wait()

    return wait


def test_a_page_is_refused_where_too_much_waits(workers: Workers) -> None:
    over = threading.Event()
    while workers.submit("computing", _waiting_for(over)):
        pass
    try:
        assert asyncio.run(_ask(_Computes(), workers)) == (400, "ThrottlingException")
    finally:
        over.set()
