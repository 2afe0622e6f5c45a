# SPDX-License-Identifier: Apache-2.0
"""SimulatePrincipalPolicy with boto3's iam client: what it is asked is bounded, and what it cannot say it refuses."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from iam_requests import ARN, allow
from inprocess import InProcess
from servers import ACCOUNT, code_of, refused

from keyquorum.app import Service
from keyquorum.config import Settings
from keyquorum.ops import registry

pytestmark = pytest.mark.slow

ANN = f"{ARN}:user/ann"


@pytest.fixture(scope="module")
def iam(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    directory: Path = tmp_path_factory.mktemp("data")
    service = Service(Settings(data=directory))
    inside = InProcess(service)
    client = inside.client("iam", **inside.root(ACCOUNT))
    client.create_policy(PolicyName="Limit", PolicyDocument=allow("kms:Decrypt"))
    client.create_user(UserName="ann", PermissionsBoundary=f"{ARN}:policy/Limit")
    client.put_user_policy(UserName="ann", PolicyName="own", PolicyDocument=allow("kms:Encrypt"))
    yield client
    service.close()


@pytest.mark.parametrize(
    "arn",
    [
        "a" * 24,
        "arn:aws:iam::111122223333",
        f"{ARN}:root",
        f"{ARN}:policy/Limit",
        f"{ARN}:user/",
        f"{ARN}:user/ann\n",
        "arn:aws:iam::aws:user/ann",
        "arn:aws:sts::111122223333:assumed-role/clerk/session",
    ],
)
def test_what_is_no_user_group_or_role_is_refused(iam: Any, arn: str) -> None:
    """aws-containers/amazon-ecs-exec-checker, pull request 10, has the words."""
    with refused("InvalidInput", f"Invalid Entity Arn: {arn} does not clearly define entity type and name.", 400):
        iam.simulate_principal_policy(PolicySourceArn=arn, ActionNames=["kms:Encrypt"])


def test_one_of_another_account_is_as_good_as_none(iam: Any) -> None:
    for arn in ("arn:aws:iam::444455556666:user/ann", f"{ARN}:user/path/ann", f"{ARN}:user/absent"):
        asked = {"PolicySourceArn": arn, "ActionNames": ["kms:Encrypt"]}
        assert code_of(iam.simulate_principal_policy, **asked) == "NoSuchEntity"


def context(*values: str, entries: int = 1) -> list[dict[str, Any]]:
    return [
        {"ContextKeyName": f"kms:K{n}", "ContextKeyType": "string", "ContextKeyValues": list(values)}
        for n in range(entries)
    ]


@pytest.mark.parametrize(
    ("within", "beyond"),
    [
        ({"ActionNames": ["kms:Sign"] * 100}, {"ActionNames": ["kms:Sign"] * 101}),
        ({"ResourceArns": ["*"] * 100}, {"ResourceArns": ["*"] * 101}),
        (
            {"ActionNames": ["kms:Sign"] * 50, "ResourceArns": ["*"] * 20},
            {"ActionNames": ["kms:Sign"] * 50, "ResourceArns": ["*"] * 21},
        ),
        ({"PolicyInputList": [allow("kms:Sign")] * 10}, {"PolicyInputList": [allow("kms:Sign")] * 11}),
        (
            {"PermissionsBoundaryPolicyInputList": [allow("kms:Sign")]},
            {"PermissionsBoundaryPolicyInputList": [allow("kms:*"), allow("kms:Sign")]},
        ),
        ({"ContextEntries": context("x", entries=100)}, {"ContextEntries": context("x", entries=101)}),
        ({"ContextEntries": context(*["x"] * 50, entries=2)}, {"ContextEntries": context(*["x"] * 51, entries=2)}),
        ({"ContextEntries": context("x" * 2048)}, {"ContextEntries": context("x" * 2049)}),
    ],
    ids=["actions", "resources", "pairs", "policies", "boundaries", "entries", "values", "long values"],
)
def test_a_simulation_is_bounded(iam: Any, within: dict[str, Any], beyond: dict[str, Any]) -> None:
    asked = {"PolicySourceArn": ANN, "ActionNames": ["kms:Sign"]}
    assert code_of(iam.simulate_principal_policy, **{**asked, **within}) == ""
    assert code_of(iam.simulate_principal_policy, **{**asked, **beyond}) == "InvalidInput"


def test_policies_that_take_too_long_to_compare_are_refused(iam: Any) -> None:
    """Each pattern by itself is slow to find in a long value, and there are many of each."""
    patterns = ["*" + "a*" * 100 + f"{n:02}" for n in range(12)]
    policies = [allow("kms:*", Condition={"StringNotLike": {f"kms:K{n}": patterns}}) for n in range(10)]
    asked = {
        "PolicySourceArn": ANN,
        "PolicyInputList": policies,
        "ContextEntries": context("a" * 2048, entries=10),
        "ActionNames": [f"kms:Sign{n}" for n in range(100)],
        "ResourceArns": [f"arn:aws:kms:us-east-1:{ACCOUNT}:key/{n}" for n in range(10)],
    }
    with refused("InvalidInput", "The policies are too large for so many decisions at a time.", 400):
        iam.simulate_principal_policy(**asked)
    assert code_of(iam.simulate_principal_policy, **{**asked, "ActionNames": ["kms:Sign"]}) == ""


def test_it_takes_the_threads_of_what_computes_for_long() -> None:
    assert registry.IAM["SimulatePrincipalPolicy"].computes(None)


def test_what_a_boundary_lets_through_is_told_though_nothing_else_allows_it(iam: Any) -> None:
    asked = {"PolicySourceArn": ANN, "ActionNames": ["kms:Encrypt", "kms:Decrypt", "kms:Sign"]}
    found = {
        result["EvalActionName"]: (
            result["EvalDecision"],
            result["PermissionsBoundaryDecisionDetail"]["AllowedByPermissionsBoundary"],
        )
        for result in iam.simulate_principal_policy(**asked)["EvaluationResults"]
    }
    assert found == {
        "kms:Encrypt": ("implicitDeny", False),
        "kms:Decrypt": ("implicitDeny", True),
        "kms:Sign": ("implicitDeny", False),
    }
