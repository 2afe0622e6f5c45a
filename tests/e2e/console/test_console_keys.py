# SPDX-License-Identifier: Apache-2.0
"""The console's list of keys and a key's page: found, shown, changed; and what is kept from who may not see it."""

import json
import re
import time
from html import unescape
from html.parser import HTMLParser
from typing import Any

import pytest
from console_client import Browser, Page, signed_in
from roles import ALICE, BOB, allow, document, new_user, user
from servers import ACCOUNT, Production, code_of

KEYS = "/console/keys"
#: What is shown of it has to be text.
EVIL = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>{{7*7}}"


@pytest.fixture(scope="module")
def browser(server: Production) -> Browser:
    return signed_in(server, server.root)


def made(kms: Any, **members: Any) -> str:
    key_id: str = kms.create_key(**members)["KeyMetadata"]["KeyId"]
    return key_id


def ids(page: Page) -> list[str]:
    """Of the keys in a list, in order."""
    assert page.status == 200, page.text
    return [unescape(found) for found in re.findall(r'<th scope="row"><a href="/console/keys/([^"?]+)', page.text)]


def act(browser: Browser, key_id: str, action: str, *fields: tuple[str, str], status: int = 200) -> Page:
    csrf = browser.get(KEYS + "/create").csrf
    page = browser.post(f"{KEYS}/{key_id}/do/{action}", [("csrf", csrf), *fields])
    assert page.status == status, page.text
    return page


class _Markup(HTMLParser):
    """Collects what a browser would not take for text, the console's own scripts aside."""

    def __init__(self) -> None:
        super().__init__()
        self.live: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        own = tag == "script" and str(given.get("src")).startswith("/console/static/")
        if tag in ("img", "iframe", "style", "object") or (tag == "script" and not own):
            self.live.append(tag)
        self.live += [name for name in given if name.startswith("on") or name == "style"]
        links = (given.get("href"), given.get("src"), given.get("action"), given.get("formaction"))
        self.live += [link for link in links if link and not link.startswith(("/console", "#"))]


def inert(page: Page) -> None:
    """Nothing of the hostile text is an element, an attribute or a link."""
    markup = _Markup()
    markup.feed(page.text)
    assert markup.live == []
    assert "<script>alert" not in page.text


def await_use(browser: Browser, key_id: str) -> None:
    """Uses are written once a second."""
    while key_id not in ids(browser.get(KEYS, used="within-7")):
        time.sleep(0.05)


def test_keys_are_found_by_each_filter(server: Production, kms: Any, browser: Browser) -> None:
    one = made(kms, Description="Ledger of ORDERS: 100%_/\\ of them", Tags=[{"TagKey": "team", "TagValue": "blue"}])
    two = made(kms, KeySpec="ECC_NIST_P256", KeyUsage="SIGN_VERIFY")
    three = made(kms, Origin="EXTERNAL")
    kms.disable_key(KeyId=two)
    kms.create_alias(AliasName="alias/found-by-name", TargetKeyId=two)
    kms.encrypt(KeyId=one, Plaintext=b"x")
    for found, query in (
        ([one], {"q": "of orders"}),
        ([two], {"q": "FOUND-by"}),
        ([three], {"q": three[:13]}),
        ([one], {"tag_key": "team"}),
        ([one], {"tag_key": "team", "tag_value": "blue"}),
        ([], {"tag_key": "team", "tag_value": "red"}),
        ([], {"tag_key": "blue"}),
        ([two], {"state": "Disabled", "spec": "ECC_NIST_P256"}),
        ([two], {"usage": "SIGN_VERIFY", "q": "alias/found"}),
        ([three], {"origin": "EXTERNAL", "state": "PendingImport"}),
        ([], {"manager": "AWS"}),
        ([one], {"q": "100%_/\\ of"}),
        ([], {"q": "100%o"}),
        ([], {"q": "10_%"}),
    ):
        assert ids(browser.get(KEYS, **query)) == found, query
    await_use(browser, one)
    assert {two, three} <= set(ids(browser.get(KEYS, used="never")))
    assert one not in ids(browser.get(KEYS, used="never"))


def test_an_exact_name_leads_to_the_key(kms: Any, browser: Browser) -> None:
    key = kms.create_key()["KeyMetadata"]
    kms.create_alias(AliasName="alias/exact", TargetKeyId=key["KeyId"])
    for name in (key["KeyId"], key["Arn"], "alias/exact", f"arn:aws:kms:us-east-1:{ACCOUNT}:alias/exact"):
        page = browser.get(KEYS, q=name)
        assert page.path.startswith(f"{KEYS}/{key['KeyId']}"), name
    assert browser.get(KEYS, q=f"arn:aws:kms:us-east-1:{ACCOUNT}:key/nothing").status == 400


def test_pages_have_each_key_once(server: Production, browser: Browser) -> None:
    west = server.client(region_name="eu-north-1")
    there = {made(west) for _ in range(103)}
    for query in ({}, {"state": "Enabled"}, {"spec": "SYMMETRIC_DEFAULT"}):
        seen: list[str] = []
        page = browser.get(KEYS, region="eu-north-1", **query)
        while True:
            seen += ids(page)
            following = re.search(r'<a class="button" href="([^"]+)">Next page', page.text)
            if following is None:
                break
            page = browser.follow(browser.send("GET", unescape(following[1])))
        assert sorted(seen) == sorted(there)
        assert len(seen) == 103


def test_a_marker_is_good_for_its_own_search(server: Production, browser: Browser) -> None:
    north = server.client(region_name="eu-central-1")
    for _ in range(51):
        made(north)
    page = browser.get(KEYS, region="eu-central-1")
    following = re.search(r"marker=([^&\"]+)", page.text)
    assert following is not None
    assert browser.get(KEYS, region="eu-central-1", marker=following[1], q="x").status == 400
    assert browser.get(KEYS, region="eu-west-3", marker=following[1]).status == 400


def test_one_page_is_one_record(server: Production, kms: Any, browser: Browser) -> None:
    made(kms)
    browser.agent = "one page of a list"
    browser.get(KEYS)
    files = (server.data / "audit").glob("[0-9]*.jsonl")
    lines = [json.loads(line) for file in files for line in file.read_text().splitlines()]
    (record,) = [line for line in lines if line.get("userAgent") == browser.agent]
    assert (record["eventName"], record["readOnly"], record["eventSource"]) == ("SearchKeys", True, "keyquorum")
    browser.agent = "test browser"


@pytest.mark.parametrize("missing", ["DescribeKey", "ListAliases", "ListResourceTags", "GetKeyLastUsage"])
def test_a_search_tells_nothing_that_its_parts_would_not(
    server: Production, kms: Any, browser: Browser, missing: str
) -> None:
    key_id = made(kms, Description="secret-words", Tags=[{"TagKey": "hidden", "TagValue": "v"}])
    kms.create_alias(AliasName=f"alias/unseen-{missing}", TargetKeyId=key_id)
    kms.encrypt(KeyId=key_id, Plaintext=b"x")
    await_use(browser, key_id)
    rights = ["kms:ListKeys", "kms:DescribeKey", "kms:ListAliases", "kms:ListResourceTags", "kms:GetKeyLastUsage"]
    deny = allow(f"kms:{missing}", "*" if missing == "ListAliases" else f"arn:aws:kms:*:*:key/{key_id}", "Deny")
    somebody = signed_in(server, new_user(server.client("iam"), f"without-{missing}", allow(rights), deny))
    queries = {
        "DescribeKey": [{"q": "secret-words"}, {"tag_key": "hidden"}, {"state": "Enabled"}, {"used": "within-1"}],
        "ListAliases": [{"q": f"unseen-{missing}"}],
        "ListResourceTags": [{"tag_key": "hidden"}],
        "GetKeyLastUsage": [{"used": "within-1"}, {"used": "never"}],
    }[missing]
    for query in queries:
        page = somebody.get(KEYS, **query)
        assert key_id not in ids(page), query
    for query in queries[:1]:
        assert key_id in ids(browser.get(KEYS, **query))


def test_who_may_not_describe_a_key_sees_its_id_as_in_list_keys(server: Production) -> None:
    far = server.client(region_name="ap-south-1")
    key_id = made(far, Description="not-for-all")
    access = new_user(server.client("iam"), "lister", allow("kms:ListKeys"))
    page = signed_in(server, access).get(KEYS, region="ap-south-1")
    assert ids(page) == [key_id]
    assert "not-for-all" not in page.text
    assert "SYMMETRIC_DEFAULT</td>" not in page.text
    assert "You may not see more" in page.text


def test_who_may_do_nothing_is_refused_and_sees_nothing(server: Production, kms: Any) -> None:
    key_id = made(kms, Description="unseen")
    nobody = signed_in(server, new_user(server.client("iam"), "nobody"))
    for path in (
        KEYS,
        f"{KEYS}/{key_id}",
        f"{KEYS}/{key_id}/policy",
        f"{KEYS}/{key_id}/delete",
        f"{KEYS}/{key_id}/import",
    ):
        page = nobody.get(path)
        assert page.status == 400, path
        assert "AccessDeniedException" in page.text
        assert "unseen" not in page.text
    page = act(nobody, key_id, "disable", status=400)
    assert "kms:DisableKey" in page.text
    assert kms.describe_key(KeyId=key_id)["KeyMetadata"]["Enabled"]


def test_another_account_sees_none_of_it(server: Production, kms: Any) -> None:
    key_id = made(kms, Description="of another account")
    bob = signed_in(server, BOB)
    assert key_id not in bob.get(KEYS).text
    assert "of another account" not in bob.get(f"{KEYS}/{key_id}").text
    assert ids(bob.get(KEYS, q="of another account")) == []


def test_parts_of_a_page_are_refused_by_themselves(server: Production, kms: Any) -> None:
    key_id = made(kms, Description="seen")
    access = new_user(server.client("iam"), "half", allow(["kms:DescribeKey", "kms:ListAliases"]))
    page = signed_in(server, access).get(f"{KEYS}/{key_id}")
    assert page.status == 200
    assert "seen" in page.text
    for operation in ("GetKeyPolicy", "ListGrants", "ListResourceTags", "GetKeyLastUsage", "ListKeyRotations"):
        assert f"{operation}: AccessDeniedException" in page.text, operation
    assert "Version" not in page.text


def test_hostile_texts_stay_texts(server: Production, kms: Any, browser: Browser) -> None:
    policy = json.loads(kms.get_key_policy(KeyId=made(kms))["Policy"])
    policy["Statement"][0]["Sid"] = EVIL
    key_id = made(kms, Description=EVIL, Policy=json.dumps(policy))
    kms.tag_resource(KeyId=key_id, Tags=[{"TagKey": EVIL[:128], "TagValue": EVIL}])
    kms.create_grant(
        KeyId=key_id,
        GranteePrincipal=user("Alice"),
        Operations=["Encrypt"],
        Constraints={"EncryptionContextSubset": {EVIL: EVIL}},
    )
    browser.agent = EVIL
    for path in ("", "/policy", "/delete"):
        page = browser.get(f"{KEYS}/{key_id}{path}")
        assert page.status == 200
        inert(page)
    page = browser.get(f"{KEYS}/{key_id}")
    assert unescape(page.text).count(EVIL) >= 4
    for name in ("q", "tag_key", "tag_value", "state", "marker", "used", "manager"):
        inert(browser.get(KEYS, **{name: EVIL}))
    inert(browser.get(KEYS, q=EVIL[:30]))
    inert(act(browser, key_id, "create-alias", ("alias", EVIL), status=400))
    inert(act(browser, key_id, "describe", ("description", EVIL + "2")))
    inert(browser.get(f"{KEYS}/{EVIL.replace('/', '')}".replace(" ", "%20").replace("?", "%3F").replace('"', "%22")))
    browser.agent = "test browser"


def test_the_small_forms_do_what_they_say(server: Production, kms: Any, browser: Browser) -> None:
    key_id = made(kms)
    act(browser, key_id, "describe", ("description", "line one\r\nline two"))
    act(browser, key_id, "create-alias", ("alias", "small-forms"))
    act(browser, key_id, "tag", ("tag_key", "a"), ("tag_value", "b"))
    act(browser, key_id, "rotation-on", ("days", "120"))
    page = act(browser, key_id, "rotate")
    assert "Rotated on demand" in page.text
    assert "every 120 days" in page.text
    assert "The key is rotated" in page.text
    act(
        browser,
        key_id,
        "grant",
        ("grantee", user("Alice")),
        ("operation", "Encrypt"),
        ("operation", "Decrypt"),
        ("name", "n"),
        ("context", "a=b\nc=d=e"),
        ("match", "equals"),
    )
    (grant,) = kms.list_grants(KeyId=key_id)["Grants"]
    assert set(grant["Operations"]) == {"Encrypt", "Decrypt"}
    assert grant["Constraints"] == {"EncryptionContextEquals": {"a": "b", "c": "d=e"}}
    assert kms.describe_key(KeyId="alias/small-forms")["KeyMetadata"]["Description"] == "line one\nline two"
    assert kms.list_resource_tags(KeyId=key_id)["Tags"] == [{"TagKey": "a", "TagValue": "b"}]
    act(browser, key_id, "revoke", ("grant_id", grant["GrantId"]))
    act(browser, key_id, "untag", ("tag_key", "a"))
    act(browser, key_id, "rotation-off")
    other = made(kms)
    act(browser, other, "update-alias", ("alias", "alias/small-forms"))
    assert kms.describe_key(KeyId="alias/small-forms")["KeyMetadata"]["KeyId"] == other
    act(browser, other, "delete-alias", ("alias", "alias/small-forms"))
    assert code_of(kms.describe_key, KeyId="alias/small-forms") == "NotFoundException"
    assert kms.list_grants(KeyId=key_id)["Grants"] == kms.list_resource_tags(KeyId=key_id)["Tags"] == []
    assert act(browser, key_id, "nonsense", status=404)


def test_replicas_are_made_and_one_becomes_the_primary(kms: Any, browser: Browser) -> None:
    key_id = made(kms, MultiRegion=True)
    page = act(browser, key_id, "replicate", ("replica_region", "eu-west-1"))
    assert f"{KEYS}/{key_id}?region=eu-west-1" in page.text
    act(browser, key_id, "primary", ("primary_region", "eu-west-1"))
    configuration = kms.describe_key(KeyId=key_id)["KeyMetadata"]["MultiRegionConfiguration"]
    assert configuration["PrimaryKey"]["Region"] == "eu-west-1"
    assert "multi-Region primary" in browser.get(KEYS, region="eu-west-1").text


def test_buttons_are_for_what_the_state_allows(kms: Any, browser: Browser) -> None:
    key_id = made(kms)

    def offered() -> set[str]:
        text = browser.get(f"{KEYS}/{key_id}").text
        return set(re.findall(rf"{key_id}/do/([\w-]+)", text)) & {
            "enable",
            "disable",
            "rotate",
            "cancel-deletion",
            "tag",
        }

    assert offered() == {"disable", "rotate", "tag"}
    kms.disable_key(KeyId=key_id)
    assert offered() == {"enable", "tag"}
    kms.schedule_key_deletion(KeyId=key_id)
    assert offered() == {"cancel-deletion"}


def test_a_policy_is_checked_compared_and_put(kms: Any, browser: Browser) -> None:
    key_id = made(kms)
    page = browser.get(f"{KEYS}/{key_id}/policy")
    text = re.search(r'<textarea class="mono"[^>]*>\n(.*?)</textarea>', page.text, re.DOTALL)
    assert text is not None
    policy = json.loads(unescape(text[1]))
    policy["Statement"].append(allow("kms:Encrypt", Principal={"AWS": user("Alice")}, Sid="AddedHere"))
    fields = {"csrf": page.csrf, "policy": json.dumps(policy, indent=2), "step": "review"}
    review = browser.post(f"{KEYS}/{key_id}/policy", fields)
    assert review.status == 200
    assert re.search(r'<div class="added">[^<]*AddedHere', review.text)
    assert "lock you out" not in review.text
    assert "AddedHere" not in kms.get_key_policy(KeyId=key_id)["Policy"]
    assert browser.post(f"{KEYS}/{key_id}/policy", {**fields, "step": "put"}).status == 200
    assert "AddedHere" in kms.get_key_policy(KeyId=key_id)["Policy"]


def test_a_policy_that_is_none_is_not_put(kms: Any, browser: Browser) -> None:
    key_id = made(kms)
    before = kms.get_key_policy(KeyId=key_id)["Policy"]
    csrf = browser.get(f"{KEYS}/{key_id}/policy").csrf
    unknown = document(allow("kms:*", Principal={"AWS": user("who-is-that")}))
    for text, said in (
        ('{"Version":\n oops}', "Line 2, column 2"),
        ("[" * 30_000, "nested too deeply"),
        ("{}", "MalformedPolicyDocument"),
        (unknown, "MalformedPolicyDocument"),
        ("", "ValidationException"),
    ):
        for step in ("review", "put"):
            page = browser.post(f"{KEYS}/{key_id}/policy", {"csrf": csrf, "policy": text, "step": step})
            assert page.status == 400
            assert said in page.text
    assert kms.get_key_policy(KeyId=key_id)["Policy"] == before


def test_a_lock_out_is_told_before_and_needs_a_tick(kms: Any, browser: Browser) -> None:
    key_id = made(kms)
    csrf = browser.get(f"{KEYS}/{key_id}/policy").csrf
    policy = document(allow("kms:Encrypt", Principal={"AWS": user("Alice")}))
    fields = {"csrf": csrf, "policy": policy}
    review = browser.post(f"{KEYS}/{key_id}/policy", {**fields, "step": "review"})
    assert "This policy would lock you out" in review.text
    assert 'name="bypass"' in review.text
    assert " checked" not in review.text
    refused = browser.post(f"{KEYS}/{key_id}/policy", {**fields, "step": "put"})
    assert refused.status == 400
    assert "will not allow you to update" in refused.text
    assert "Encrypt" not in kms.get_key_policy(KeyId=key_id)["Policy"]
    browser.post(f"{KEYS}/{key_id}/policy", {**fields, "step": "put", "bypass": "yes"})
    assert code_of(kms.get_key_policy, KeyId=key_id) == "AccessDeniedException"


def test_a_policy_is_checked_for_those_alone_who_may_put_it(server: Production, kms: Any) -> None:
    key_id = made(kms)
    access = new_user(server.client("iam"), "reader", allow(["kms:GetKeyPolicy", "kms:DescribeKey"]))
    reader = signed_in(server, access)
    page = reader.get(f"{KEYS}/{key_id}/policy")
    review = reader.post(f"{KEYS}/{key_id}/policy", {"csrf": page.csrf, "policy": "{}", "step": "review"})
    assert review.status == 400
    assert "kms:PutKeyPolicy" in review.text


def test_forms_of_others_change_nothing(server: Production, kms: Any, browser: Browser) -> None:
    key_id = made(kms)
    csrf = signed_in(server, ALICE).get(KEYS + "/create").csrf
    for path in ("/do/disable", "/do/describe", "/delete", "/policy", "/import", "/import/parameters"):
        assert browser.post(f"{KEYS}/{key_id}{path}", {"csrf": csrf, "name": key_id, "days": "7"}).status == 403
    assert browser.post(KEYS + "/create", {"csrf": csrf, "usage": "ENCRYPT_DECRYPT"}).status == 403
    assert kms.describe_key(KeyId=key_id)["KeyMetadata"]["KeyState"] == "Enabled"
