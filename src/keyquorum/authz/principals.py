# SPDX-License-Identifier: Apache-2.0
"""The Principal element of resource-based policies. Whether those whom it names exist is not known here.

Source: IAM user guide, "AWS JSON policy elements: Principal".
"""

import re

from msgspec import Struct

from keyquorum.authz.document import refuse, strings

INVALID_PRINCIPALS = "Policy contains a statement with one or more invalid principals."
INVALID_SERVICES = "Policy contains a statement with one or more invalid service principals."
NO_PRINCIPAL = "Policy contains a statement with no principal."


class Principals(Struct, frozen=True):
    """Principals by kind. An account is its 12 digits, whether written so or as the ARN of its root."""

    anyone: bool = False
    accounts: frozenset[str] = frozenset()
    arns: frozenset[str] = frozenset()
    services: frozenset[str] = frozenset()
    federated: frozenset[str] = frozenset()


_NAME = r"[A-Za-z0-9_+=,.@-]"
_ACCOUNT = re.compile(r"([0-9]{12})|arn:aws[a-z-]*:iam::([0-9]{12}):root")
_PRINCIPAL_ARN = re.compile(
    r"arn:aws[a-z-]*:(?:"
    rf"iam::[0-9]{{12}}:(?:user|role)/(?:[!-)+->@-~]+/)?{_NAME}{{1,64}}"  # a path: any of !-~ but * and ?
    rf"|sts::[0-9]{{12}}:(?:assumed-role/{_NAME}{{1,64}}/{_NAME}{{2,64}}|federated-user/{_NAME}{{2,32}})"
    r")"
)
_SERVICE = re.compile(r"[a-z0-9-]+(?:\.[a-z0-9-]+)+", re.IGNORECASE)
_FEDERATED = re.compile(
    rf"arn:aws[a-z-]*:iam::[0-9]{{12}}:(?:saml-provider|oidc-provider)/[A-Za-z0-9_+=,.@:/-]+|{_SERVICE.pattern}",
    re.IGNORECASE,
)


def parse_principals(value: object) -> Principals:
    """What ``value``, a Principal or NotPrincipal element, names."""
    if value == "*":
        return Principals(anyone=True)
    if not isinstance(value, dict):
        refuse(INVALID_PRINCIPALS)
    if not value.keys() <= {"AWS", "Service", "Federated"}:
        refuse(INVALID_PRINCIPALS, "kind")
    aws, services, federated = (strings(value.get(kind, [])) for kind in ("AWS", "Service", "Federated"))
    if not (aws or services or federated):
        refuse(NO_PRINCIPAL)
    if not all(map(_SERVICE.fullmatch, services)):
        refuse(INVALID_SERVICES)
    if not all(map(_FEDERATED.fullmatch, federated)):
        refuse(INVALID_PRINCIPALS, "federated")
    accounts = {name: match[1] or match[2] for name in aws if (match := _ACCOUNT.fullmatch(name))}
    arns = {name for name in aws if name != "*" and name not in accounts}
    if not all(map(_PRINCIPAL_ARN.fullmatch, arns)):
        refuse(INVALID_PRINCIPALS, "aws")
    return Principals(
        anyone="*" in aws,
        accounts=frozenset(accounts.values()),
        arns=frozenset(arns),
        services=frozenset(services),
        federated=frozenset(federated),
    )
