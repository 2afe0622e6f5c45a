# SPDX-License-Identifier: Apache-2.0
"""``keyquorum iam explain`` and its library call: the statement that decided, and for a refusal what was missing."""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner, Result

from keyquorum import iam_api
from keyquorum.admin import client, offline
from keyquorum.app import Service
from keyquorum.cli import main
from keyquorum.config import Settings
from keyquorum.errors import KMSError
from keyquorum.explain.explaining import Question, explain
from keyquorum.explain.explanation import Explanation
from keyquorum.layout import DataDirectory, Endpoint
from keyquorum.model import USER, Grant
from keyquorum.store.store import Store

ACCOUNT, OTHER = "111122223333", "444455556666"
IAM = f"arn:aws:iam::{ACCOUNT}"
KEY = f"arn:aws:kms:us-east-1:{ACCOUNT}:key"


def policy(*statements: dict[str, Any]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": statements})


def allow(action: str, **more: Any) -> dict[str, Any]:
    return {"Effect": "Allow", "Action": action, "Resource": "*", **more}


ROOT = {"Principal": {"AWS": f"{IAM}:root"}}
SEED = f"""
[[account]]
id = "{OTHER}"

[[policy]]
name = "bound"
document = '{policy(allow("kms:Encrypt"))}'

[[group]]
name = "all"
policies = {{ kms = '{policy(allow("kms:*", Sid="Everything"))}' }}

[[user]]
name = "plain"

[[user]]
name = "member"
groups = ["all"]

[[user]]
name = "bounded"
groups = ["all"]
boundary = "{IAM}:policy/bound"

[[user]]
name = "denied"
groups = ["all"]
policies = {{ no = '{policy({"Sid": "Never", "Effect": "Deny", "Action": "kms:Decrypt", "Resource": "*"})}' }}

[[user]]
name = "stranger"
account = "{OTHER}"
policies = {{ kms = '{policy(allow("kms:*"))}' }}

[[role]]
name = "worker"
trust = '{policy({"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"AWS": f"{IAM}:user/plain"}})}'
attached = ["arn:aws:iam::aws:policy/AdministratorAccess"]

[[key]]
id = "default"
aliases = ["alias/default"]

[[key]]
id = "named"
policy = '''{
    policy(
        allow(
            "kms:Decrypt",
            Sid="Named",
            Principal={"AWS": f"{IAM}:user/plain"},
            Condition={"StringEquals": {"kms:EncryptionContext:a": "b"}, "IpAddress": {"aws:SourceIp": "192.0.2.0/24"}},
        ),
        allow("kms:Decrypt", Principal={"AWS": f"arn:aws:iam::{OTHER}:root"}),
    )
}'''
"""


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("explain")
    (directory / "seed.toml").write_text(SEED)
    service = Service(Settings(data=directory / "data", seed=directory / "seed.toml"))
    with service.database.write() as txn:
        plain = service.store.identities.principal(txn.connection, ACCOUNT, USER, "plain")
        assert plain is not None
        grant = Grant(
            "grant-1", "default", "us-east-1", None, plain.arn, None, ACCOUNT, ("Encrypt",), None, 0.0,
            grantee_id=plain.principal_id,
        )  # fmt: skip
        service.store.grants.insert(txn, grant)
    service.close()
    endpoint = Endpoint("http://127.0.0.1:8085", ACCOUNT, "us-east-1")
    DataDirectory(directory / "data").endpoint.write_bytes(msgspec.json.encode(endpoint))
    return directory / "data"


@pytest.fixture(scope="module")
def store(data: Path) -> Iterator[Store]:
    with offline.reading(Settings(data=data)) as opened:
        yield opened.store


def ask(store: Store, who: str, action: str, resource: str | None = "alias/default", **more: Any) -> Explanation:
    account, _, name = who.rpartition(" ")
    arn = name if name.startswith("arn:") else f"arn:aws:iam::{account or ACCOUNT}:{name}"
    return explain(store, Question(arn, action, resource, **more), time.time())


IDENTITY = "identity-based policy"


@pytest.mark.parametrize(
    ("who", "action", "resource", "allowed", "source", "decided"),
    [
        ("user/member", "kms:Decrypt", "default", True, IDENTITY, f"{IAM}:group/all inline policy kms"),
        ("user/plain", "kms:Decrypt", "default", False, IDENTITY, None),
        ("user/plain", "kms:Encrypt", "alias/default", True, "grant", None),
        ("user/denied", "kms:Decrypt", "default", False, IDENTITY, f"{IAM}:user/denied inline policy no"),
        ("user/bounded", "kms:Decrypt", "default", False, "permissions boundary", None),
        ("user/bounded", "kms:Encrypt", "default", True, IDENTITY, f"{IAM}:group/all inline policy kms"),
        ("root", "kms:Decrypt", f"{KEY}/default", True, "key policy", "the key policy of"),
        ("root", "kms:ListKeys", None, True, "account root user", None),
        ("root", "kms:Decrypt", "named", False, "key policy", None),
        ("user/member", "kms:Decrypt", "named", False, "key policy", None),
        (f"{OTHER} user/stranger", "kms:Decrypt", f"{KEY}/named", True, IDENTITY, f"arn:aws:iam::{OTHER}:user"),
        (f"{OTHER} user/stranger", "kms:Decrypt", f"{KEY}/default", False, "key policy", None),
        (f"{OTHER} user/stranger", "kms:DisableKey", f"{KEY}/named", False, "key policy", None),
        ("role/worker", "kms:Decrypt", "default", True, IDENTITY, "arn:aws:iam::aws:policy/AdministratorAccess"),
        ("user/member", "kms:CreateKey", None, True, IDENTITY, f"{IAM}:group/all inline policy kms"),
        ("user/plain", "kms:ListKeys", None, False, IDENTITY, None),
        (f"{OTHER} user/stranger", "KMS:decrypt", f"{KEY}/named", True, IDENTITY, f"arn:aws:iam::{OTHER}:user"),
        ("user/member", "kms:CreateAlias", "alias/new", True, IDENTITY, f"{IAM}:group/all inline policy kms"),
        ("role/worker", "iam:GetUser", f"{IAM}:user/plain", True, IDENTITY, "arn:aws:iam::aws:policy/Administrator"),
        ("user/plain", "sts:AssumeRole", f"{IAM}:role/worker", True, "trust policy", "the trust policy of"),
        ("user/member", "sts:AssumeRole", f"{IAM}:role/worker", False, "trust policy", None),
    ],
)
def test_what_decides(
    store: Store, who: str, action: str, resource: str | None, allowed: bool, source: str, decided: str | None
) -> None:
    told = ask(store, who, action, resource)
    assert (told.allowed, told.source) == (allowed, source)
    assert (told.part is None) == (decided is None)
    assert told.part is None or told.part.policy.startswith(str(decided))
    assert (told.message is None) == allowed
    assert told.why


def test_the_statement_and_its_way_in(store: Store) -> None:
    told = ask(store, "user/member", "kms:Decrypt")
    assert told.part is not None
    assert (told.part.index, told.part.sid) == (0, "Everything")
    assert told.part.statement == allow("kms:*", Sid="Everything")
    assert told.let_in is not None
    assert told.let_in.policy == f"the key policy of {KEY}/default"
    assert told.let_in.sid == "Enable IAM User Permissions"


def test_the_refusal_is_the_request_paths_own(store: Store) -> None:
    told = ask(store, "user/plain", "kms:Decrypt")
    assert told.message == (
        f"User: {IAM}:user/plain is not authorized to perform: kms:Decrypt on resource: {KEY}/default because no "
        "identity-based policy allows the kms:Decrypt action"
    )
    assert told.why == (
        "The key policy leaves it to the principal's account, and no identity-based policy there allows it."
    )


def test_a_condition_that_does_not_hold_is_shown_with_what_the_request_has(store: Store) -> None:
    refused = ask(store, "user/plain", "kms:Decrypt", "named", encryption_context={"a": "c"})
    [nearly] = refused.nearly
    assert (nearly.sid, nearly.has) == ("Named", {"aws:SourceIp": None, "kms:EncryptionContext:a": ("c",)})
    context = {"aws:SourceIp": ("192.0.2.7",)}
    allowed = ask(store, "user/plain", "kms:Decrypt", "named", encryption_context={"a": "b"}, context=context)
    assert allowed.part is not None
    assert (allowed.allowed, allowed.part.sid) == (True, "Named")


def test_session_policies_restrict_a_role(store: Store) -> None:
    session = "arn:aws:sts::111122223333:assumed-role/worker/job"
    policies = (policy(allow("kms:Encrypt")),)
    refused = ask(store, session, "kms:Decrypt", session_policies=policies)
    assert (refused.allowed, refused.source, refused.principal) == (False, "session policy", session)
    assert ask(store, session, "kms:Encrypt", session_policies=policies).allowed


@pytest.mark.parametrize(
    ("who", "resource", "more"),
    [
        ("user/nobody", "default", {}),
        ("arn:x", "default", {}),
        ("user/plain", "absent", {}),
        ("user/plain", "alias/absent", {}),
        ("user/plain", f"arn:aws:kms:eu-west-1:{ACCOUNT}:key/default", {}),
        ("user/plain", f"arn:aws:kms:us-east-1:{OTHER}:key/default", {}),
        ("user/plain", "default", {"session_policies": ("{}",)}),
        ("user/plain", "default", {"session_policies": (policy(allow("kms:*")),)}),
    ],
)
def test_names_of_nothing_and_policies_that_are_none(
    store: Store, who: str, resource: str, more: dict[str, Any]
) -> None:
    with pytest.raises(KMSError):
        ask(store, who, "kms:Decrypt", resource, **more)


# -- the command


def run(data: Path, *arguments: str) -> Result:
    return CliRunner().invoke(main, ("iam", "explain", "--data", str(data), *arguments))


def test_the_command_says_it_in_words(data: Path) -> None:
    told = run(data, "--principal", f"{IAM}:user/denied", "--action", "kms:Decrypt", "--resource", "alias/default")
    assert told.exit_code == 1
    assert told.stdout.startswith("REFUSED: kms:Decrypt on arn:aws:kms:us-east-1:")
    assert f'Decided by statement 1 "Never" of {IAM}:user/denied inline policy no:' in told.stdout
    assert '"Effect": "Deny"' in told.stdout
    assert "AWS's answer: User: " in told.stdout


def test_the_command_says_it_in_json(data: Path) -> None:
    told = run(
        data, "--principal", f"{IAM}:user/plain", "--action", "kms:Decrypt", "--resource", f"{KEY}/named", "--json",
        "--encryption-context", "a=b", "--context", "aws:SourceIp=192.0.2.7",
    )  # fmt: skip
    assert told.exit_code == 0
    assert json.loads(told.stdout)["part"]["sid"] == "Named"


def test_the_command_asks_for_a_session_with_its_policies(data: Path, tmp_path: Path) -> None:
    (tmp_path / "p.json").write_text(policy(allow("kms:Encrypt")))
    told = run(
        data, "--principal", f"{IAM}:role/worker", "--action", "kms:Decrypt", "--resource", "default",
        "--session-policy", str(tmp_path / "p.json"),
    )  # fmt: skip
    assert (told.exit_code, "limited by the session policies" in told.stdout) == (1, True)


def test_explaining_leaves_no_trace(data: Path) -> None:
    before = sorted((path, path.read_bytes()) for path in (data / "audit").iterdir())
    assert run(data, "--principal", f"{IAM}:root", "--action", "kms:CreateKey").exit_code == 0
    assert sorted((path, path.read_bytes()) for path in (data / "audit").iterdir()) == before


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--principal", f"{IAM}:user/nobody", "--action", "kms:CreateKey"), "There is no principal"),
        (("--principal", f"{IAM}:root", "--action", "kms:Decrypt", "--resource", "x"), "There is no key x"),
        (("--principal", f"{IAM}:root", "--action", "a", "--context", "b"), "'b' is not KEY=VALUE"),
    ],
)
def test_the_command_refuses(data: Path, arguments: tuple[str, ...], said: str) -> None:
    refused = run(data, *arguments)
    assert (refused.exit_code, refused.stdout) == (2, "")
    assert said in refused.stderr


# -- SimulatePrincipalPolicy


def simulate(data: Path, who: str, *actions: str, **members: Any) -> list[dict[str, Any]]:
    request = iam_api.SimulatePrincipalPolicyRequest(
        policy_source_arn=f"{IAM}:{who}", action_names=list(actions), **members
    )
    with offline.opened(Settings(data=data), None) as send:
        results: list[dict[str, Any]] = client.call("SimulatePrincipalPolicy", request, send)["EvaluationResults"]
    return results


def test_simulation_of_each_decision(data: Path) -> None:
    allowed, denied = simulate(data, "user/denied", "kms:Encrypt", "kms:Decrypt")
    assert (allowed["EvalDecision"], denied["EvalDecision"]) == ("allowed", "explicitDeny")
    assert allowed["MatchedStatements"] == [{"SourcePolicyId": "kms", "SourcePolicyType": "group"}]
    assert denied["MatchedStatements"] == [{"SourcePolicyId": "no", "SourcePolicyType": "user"}]
    [nothing] = simulate(data, "user/plain", "kms:Encrypt")
    assert (nothing["EvalDecision"], nothing["MatchedStatements"]) == ("implicitDeny", [])
    [managed] = simulate(data, "role/worker", "kms:Encrypt")
    expected = {"SourcePolicyId": "AdministratorAccess", "SourcePolicyType": "aws-managed"}
    assert managed["MatchedStatements"] == [expected]
    [group] = simulate(data, "group/all", "kms:CreateGrant")
    assert group["EvalDecision"] == "allowed"


def test_simulation_shows_what_a_boundary_says(data: Path) -> None:
    encrypt, decrypt = simulate(data, "user/bounded", "kms:Encrypt", "kms:Decrypt")
    assert (encrypt["EvalDecision"], decrypt["EvalDecision"]) == ("allowed", "implicitDeny")
    for result, within in ((encrypt, True), (decrypt, False)):
        assert result["PermissionsBoundaryDecisionDetail"] == {"AllowedByPermissionsBoundary": within}
    other = [policy(allow("kms:Decrypt"))]
    [replaced] = simulate(data, "user/bounded", "kms:Decrypt", permissions_boundary_policy_input_list=other)
    assert replaced["EvalDecision"] == "allowed"


def test_simulation_of_several_resources_has_the_most_restrictive_on_top(data: Path) -> None:
    document = policy({"Effect": "Allow", "Action": "kms:*", "Resource": f"{KEY}/one"})
    [result] = simulate(
        data, "user/plain", "kms:Sign", resource_arns=[f"{KEY}/one", f"{KEY}/two"], policy_input_list=[document]
    )
    assert (result["EvalResourceName"], result["EvalDecision"]) == ("*", "implicitDeny")
    assert [r["EvalResourceDecision"] for r in result["ResourceSpecificResults"]] == ["allowed", "implicitDeny"]
    assert result["MatchedStatements"] == []


def test_simulation_says_which_condition_keys_it_lacks(data: Path) -> None:
    condition = {"StringEquals": {"kms:ViaService": "s3", "aws:username": "plain"}}
    document = policy(allow("kms:Sign", Condition=condition))
    [lacking] = simulate(data, "user/plain", "kms:Sign", policy_input_list=[document])
    assert (lacking["EvalDecision"], lacking["MissingContextValues"]) == ("implicitDeny", ["kms:viaservice"])
    entry = iam_api.ContextEntry(
        context_key_name="kms:ViaService", context_key_values=["s3"], context_key_type="string"
    )
    [given] = simulate(data, "user/plain", "kms:Sign", policy_input_list=[document], context_entries=[entry])
    assert (given["EvalDecision"], given["MissingContextValues"]) == ("allowed", [])


@pytest.mark.parametrize(
    ("members", "code"),
    [
        ({"resource_policy": policy(allow("kms:*"))}, "InvalidInput"),
        ({"caller_arn": f"{IAM}:user/member"}, "InvalidInput"),
        ({"policy_input_list": ["{}"]}, "InvalidInput"),
    ],
)
def test_simulation_refuses_what_it_does_not_simulate(data: Path, members: dict[str, Any], code: str) -> None:
    with pytest.raises(client.Refused) as caught:
        simulate(data, "user/plain", "kms:Sign", **members)
    assert caught.value.code == code


@pytest.mark.parametrize("who", ["user/nobody", "role/plain"])
def test_simulation_of_nobody(data: Path, who: str) -> None:
    with pytest.raises(client.Refused) as caught:
        simulate(data, who, "kms:Sign")
    assert caught.value.code == "NoSuchEntity"
