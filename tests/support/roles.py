# SPDX-License-Identifier: Apache-2.0
"""Roles and their policies, made by the IAM API; and what is done with the credentials of their sessions."""

import json
from itertools import count
from typing import Any, Final

from servers import ACCOUNT, Access, Program, client, http_post

#: Users of the end-to-end tests' servers: she of their own account, he of another.
ALICE: Final = Access("AKIAALICE00000000000", "alice-secret-0123456789-0123456789-abcdef")
BOB: Final = Access("AKIABOB0000000000000", "bob-secret-0123456789-0123456789-abcdefgh")

_NUMBERS: Final = count()


def document(*statements: dict[str, Any]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


def allow(action: str | list[str], resource: str | None = "*", effect: str = "Allow", **more: Any) -> dict[str, Any]:
    """A statement; without a resource it is one of a trust policy."""
    statement: dict[str, Any] = {"Effect": effect, "Action": action, **more}
    return statement if resource is None else {**statement, "Resource": resource}


def trusting(*principals: str, action: str | list[str] = "sts:AssumeRole", **condition: Any) -> str:
    more: dict[str, Any] = {"Condition": condition} if condition else {}
    return document(allow(action, None, Principal={"AWS": list(principals)}, **more))


def federating(provider: str, **condition: Any) -> str:
    more: dict[str, Any] = {"Condition": condition} if condition else {}
    return document(allow("sts:AssumeRoleWithWebIdentity", None, Principal={"Federated": provider}, **more))


def new_role(iam: Any, trust: str, *statements: dict[str, Any], **members: Any) -> str:
    """The ARN of a new role, which may do what ``statements`` say."""
    name = f"role-{next(_NUMBERS)}"
    arn: str = iam.create_role(RoleName=name, AssumeRolePolicyDocument=trust, **members)["Role"]["Arn"]
    if statements:
        iam.put_role_policy(RoleName=name, PolicyName="p", PolicyDocument=document(*statements))
    return arn


def new_user(iam: Any, name: str, *statements: dict[str, Any]) -> Access:
    """The access key of a new user, who may do what ``statements`` say."""
    iam.create_user(UserName=name)
    if statements:
        iam.put_user_policy(UserName=name, PolicyName="p", PolicyDocument=document(*statements))
    made = iam.create_access_key(UserName=name)["AccessKey"]
    return Access(made["AccessKeyId"], made["SecretAccessKey"])


def user(name: str, account: str = ACCOUNT) -> str:
    return f"arn:aws:iam::{account}:user/{name}"


def using(url: str, credentials: dict[str, Any], service: str = "kms", **options: Any) -> Any:
    """A client with temporary credentials, as STS answers them."""
    access = Access(credentials["AccessKeyId"], credentials["SecretAccessKey"])
    return client(url, service, access, aws_session_token=credentials["SessionToken"], **options)


def assumed(sts: Any, role: str, **members: Any) -> dict[str, Any]:
    """The credentials of a new session of the role."""
    credentials: dict[str, Any] = sts.assume_role(RoleArn=role, **{"RoleSessionName": "test", **members})["Credentials"]
    return credentials


def pass_time(server: Program, seconds: float) -> None:
    """On a development server."""
    headers = {"Host": f"127.0.0.1:{server.port}", "X-Keyquorum-Dev": "1", "Content-Type": "application/json"}
    answer = server.raw(http_post(headers, json.dumps({"advance_seconds": seconds}).encode(), "/_dev/clock"))
    assert answer.status == 200, answer.body
