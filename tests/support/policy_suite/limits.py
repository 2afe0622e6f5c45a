# SPDX-License-Identifier: Apache-2.0
"""Permissions boundaries and session policies: they limit what others give, and the role's ARN is not its session's."""

from asked import ADMIN_SESSION, FULL, NOTHING, by, doc, statement
from policies import ALICE, ROLE, ROOT, SESSION

from keyquorum.authz.decision import Reason, Source
from policy_suite import IAM, Page, decided

BOUNDARY = Page(IAM, "Permissions boundaries for IAM entities", "Evaluating effective permissions with boundaries")
SESSIONS = Page(IAM, "Policies and permissions in IAM", "Session policies")
ROLES = Page(IAM, "AWS JSON policy elements: Principal", "IAM role principals")

ENCRYPT = doc(statement(action="kms:Encrypt"))
DENY = doc(statement("Deny", "kms:Encrypt"))
TO_ALICE, TO_ROLE, TO_SESSION = (doc(by({"AWS": arn})) for arn in (ALICE, ROLE, SESSION))
ALLOWED, EXPLICIT, IMPLICIT = Reason.ALLOWED, Reason.EXPLICIT_DENY, Reason.IMPLICIT_DENY

ROWS = [
    # boundaries limit what identity-based policies give
    decided(BOUNDARY, ALLOWED, Source.IDENTITY, identity=(FULL,), boundary=ENCRYPT),
    decided(BOUNDARY, IMPLICIT, Source.BOUNDARY, identity=(FULL,), boundary=NOTHING),
    decided(BOUNDARY, IMPLICIT, Source.IDENTITY, identity=(), boundary=FULL),
    decided(BOUNDARY, ALLOWED, Source.RESOURCE, boundary=NOTHING, key_policy=TO_ALICE),
    decided(BOUNDARY, IMPLICIT, Source.BOUNDARY, who=ADMIN_SESSION, boundary=NOTHING, key_policy=TO_ROLE),
    decided(BOUNDARY, ALLOWED, Source.RESOURCE, who=ADMIN_SESSION, boundary=FULL, key_policy=TO_ROLE),
    decided(BOUNDARY, ALLOWED, Source.RESOURCE, who=ADMIN_SESSION, boundary=NOTHING, key_policy=TO_SESSION),
    decided(
        BOUNDARY,
        IMPLICIT,
        Source.BOUNDARY,
        who=ADMIN_SESSION,
        identity=(FULL,),
        boundary=NOTHING,
        key_policy=doc(by({"AWS": [ROLE, ROOT]})),
    ),
    # so do session policies
    decided(SESSIONS, ALLOWED, Source.IDENTITY, who=ADMIN_SESSION, identity=(FULL,), sessions=(ENCRYPT,)),
    decided(SESSIONS, ALLOWED, Source.IDENTITY, who=ADMIN_SESSION, identity=(FULL,), sessions=(NOTHING, ENCRYPT)),
    decided(SESSIONS, IMPLICIT, Source.SESSION, who=ADMIN_SESSION, identity=(FULL,), sessions=(NOTHING,)),
    decided(SESSIONS, IMPLICIT, Source.IDENTITY, who=ADMIN_SESSION, identity=(), sessions=(FULL,)),
    decided(SESSIONS, IMPLICIT, Source.SESSION, who=ADMIN_SESSION, sessions=(NOTHING,), key_policy=TO_ROLE),
    decided(SESSIONS, ALLOWED, Source.RESOURCE, who=ADMIN_SESSION, sessions=(FULL,), key_policy=TO_ROLE),
    decided(SESSIONS, ALLOWED, Source.RESOURCE, who=ADMIN_SESSION, sessions=(NOTHING,), key_policy=TO_SESSION),
    decided(
        SESSIONS, IMPLICIT, Source.SESSION, who=ADMIN_SESSION, identity=(FULL,), boundary=FULL, sessions=(NOTHING,)
    ),
    decided(
        SESSIONS, IMPLICIT, Source.BOUNDARY, who=ADMIN_SESSION, identity=(FULL,), boundary=NOTHING, sessions=(FULL,)
    ),
    decided(
        SESSIONS,
        ALLOWED,
        Source.RESOURCE,
        who=ADMIN_SESSION,
        sessions=(NOTHING,),
        key_policy=doc(by({"AWS": [ROLE, SESSION]})),
    ),
    decided(
        SESSIONS,
        ALLOWED,
        Source.RESOURCE,
        who=ADMIN_SESSION,
        sessions=(NOTHING,),
        key_policy=doc(by({"AWS": ROLE}), by({"AWS": SESSION})),
    ),
    decided(
        ROLES,
        ALLOWED,
        Source.RESOURCE,
        who=ADMIN_SESSION,
        boundary=NOTHING,
        sessions=(NOTHING,),
        context={"aws:PrincipalArn": ROLE},
        key_policy=doc(by("*", Condition={"ArnEquals": {"aws:PrincipalArn": ROLE}})),
    ),
    decided(
        ROLES,
        EXPLICIT,
        Source.SESSION,
        who=ADMIN_SESSION,
        sessions=(DENY,),
        context={"aws:PrincipalArn": ROLE},
        key_policy=doc(by("*", Condition={"ArnEquals": {"aws:PrincipalArn": ROLE}})),
    ),
]
