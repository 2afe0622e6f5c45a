# SPDX-License-Identifier: Apache-2.0
"""Decisions written by hand, each from a page of AWS's documentation. Data alone: a module for each theme.

A row is one thing that a page says. A row about a condition, an action or a resource makes several cases of it: the
same statement as an Allow and as a Deny, in an identity policy and in a key policy.
"""

import importlib
import pkgutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

from asked import DEFAULT, FULL, Asked, doc, statement

from keyquorum.authz.decision import Reason, Source


class Page(NamedTuple):
    """A page of AWS's documentation, by guide and title, and the section of it. ``choice``: what the page leaves open,
    and this server decides against the request."""

    guide: str
    title: str
    section: str
    choice: bool = False


IAM = "IAM user guide"
KMS = "KMS developer guide"
API = "KMS API reference"

OPERATORS = "IAM JSON policy elements: Condition operators"
CONDITION = "IAM JSON policy elements: Condition"
SEVERAL = "Conditions with multiple context keys or values"
SETS = "Single-valued vs. multivalued context keys"
VARIABLES = "IAM policy elements: Variables and tags"
KMS_KEYS = "AWS KMS condition keys"

TITLES = {
    IAM: {
        OPERATORS,
        CONDITION,
        SEVERAL,
        SETS,
        VARIABLES,
        "AWS global condition context keys",
        "AWS JSON policy elements: NotPrincipal",
        "AWS JSON policy elements: Principal",
        "Cross-account policy evaluation logic",
        "IAM JSON policy elements: Action",
        "IAM JSON policy elements: NotAction",
        "IAM JSON policy elements: NotResource",
        "IAM JSON policy elements: Resource",
        "IAM JSON policy elements: Version",
        "Permissions boundaries for IAM entities",
        "Policies and permissions in IAM",
        "Policy evaluation logic",
    },
    KMS: {
        KMS_KEYS,
        "AWS KMS permissions",
        "Allowing users in other accounts to use a KMS key",
        "Controlling access to aliases",
        "Creating grants",
        "Default key policy",
        "Grants in AWS KMS",
        "Managing grants",
        "Specifying KMS keys in IAM policy statements",
        "Troubleshooting key access",
        "Using aliases to control access to KMS keys",
        "Using tags to control access to KMS keys",
    },
    API: {"GrantConstraints", "RetireGrant"},
}
"""The pages that cases may name."""


@dataclass(frozen=True)
class Case:
    """What is asked, whether that is allowed, and, where the row says so, what decides it. ``row`` numbers the rows."""

    page: Page
    row: str
    asked: Asked
    allowed: bool
    reason: Reason | None = None
    source: Source | None = None


def decided(page: Page, reason: Reason, source: Source, **asked: Any) -> Case:
    return Case(page, "", Asked(**{"key_policy": DEFAULT, **asked}), reason is Reason.ALLOWED, reason, source)


def permitted(page: Page, allowed: bool, **asked: Any) -> Case:
    return Case(page, "", Asked(**{"key_policy": DEFAULT, **asked}), allowed)


def condition(page: Page, block: Any, context: Any, allow: bool, deny: bool | None = None, **more: Any) -> list[Case]:
    """A condition, the condition keys of a request, and whether an Allow with it applies, or a Deny if that differs."""
    denies = allow if deny is None else deny
    version = more.pop("version", "2012-10-17")

    def asked(effect: str) -> Asked:
        conditional = doc(statement(effect, Condition=block), version=version)
        documents = (conditional,) if effect == "Allow" else (FULL, conditional)
        return Asked(key_policy=DEFAULT, identity=documents, context=context, **more)

    return [Case(page, "", asked("Allow"), allow), Case(page, "", asked("Deny"), not denies)]


def C(operator: str, key: str, *values: Any) -> dict[str, dict[str, Any]]:  # noqa: N802 - it reads as a table's column
    return {operator: {key: list(values) if len(values) != 1 else values[0]}}


def all_cases() -> Iterator[Case]:
    """Every case, numbered."""
    for module in sorted(found.name for found in pkgutil.iter_modules(__path__)):
        rows: Iterable[Case | list[Case]] = importlib.import_module(f"{__name__}.{module}").ROWS
        for number, row in enumerate(rows):
            for case in row if isinstance(row, list) else [row]:
                yield Case(case.page, f"{module}-{number}", case.asked, case.allowed, case.reason, case.source)
