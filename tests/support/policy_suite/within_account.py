# SPDX-License-Identifier: Apache-2.0
"""What it takes within one account: no right without a statement, an explicit deny wins, and an identity policy counts
only where the key policy lets the account in."""

from asked import ADMIN_SESSION, FULL, NOTHING, OTHER_ROOT, ROOT_USER, SERVICE_S3, by, doc, grant, statement
from policies import ACCOUNT, ALICE, ROLE, ROOT, SESSION

from keyquorum.authz.decision import Reason, Source
from policy_suite import IAM, KMS, Page, decided

LOGIC = Page(IAM, "Policy evaluation logic", "Determining whether a request is allowed or denied within an account")
DENIES = Page(IAM, "Policy evaluation logic", "The difference between explicit and implicit denies")
DEFAULT_POLICY = Page(KMS, "Default key policy", "Allows access to the AWS account and enables IAM policies")
ACCESS = Page(KMS, "Troubleshooting key access", "Example 1: User is denied access to a KMS key in their AWS account")

ENCRYPT = doc(statement(action="kms:Encrypt"))
DENY = doc(statement("Deny", "kms:Encrypt"))
TO_ALICE, TO_ROLE, TO_SESSION = (doc(by({"AWS": arn})) for arn in (ALICE, ROLE, SESSION))
EMPTY = doc(by({"AWS": ALICE}, "kms:DescribeKey"))
ALLOWED, EXPLICIT, IMPLICIT = Reason.ALLOWED, Reason.EXPLICIT_DENY, Reason.IMPLICIT_DENY

ROWS = [
    # nobody has rights by being somebody
    decided(DEFAULT_POLICY, ALLOWED, Source.RESOURCE, who=ROOT_USER),
    decided(DEFAULT_POLICY, IMPLICIT, Source.RESOURCE, who=ROOT_USER, key_policy=TO_ALICE),
    decided(DEFAULT_POLICY, IMPLICIT, Source.RESOURCE, who=ROOT_USER, key_policy=EMPTY, action="kms:PutKeyPolicy"),
    decided(
        DEFAULT_POLICY,
        EXPLICIT,
        Source.RESOURCE,
        who=ROOT_USER,
        key_policy=doc(by({"AWS": ROOT}), by({"AWS": ROOT}, effect="Deny")),
    ),
    decided(DEFAULT_POLICY, IMPLICIT, Source.IDENTITY),
    decided(ACCESS, IMPLICIT, Source.IDENTITY, who=ADMIN_SESSION),
    decided(DEFAULT_POLICY, IMPLICIT, Source.RESOURCE, who=SERVICE_S3),
    # identity-based policies count only where the key policy lets them in
    decided(DEFAULT_POLICY, ALLOWED, Source.IDENTITY, identity=(FULL,)),
    decided(DEFAULT_POLICY, ALLOWED, Source.IDENTITY, who=ADMIN_SESSION, identity=(NOTHING, ENCRYPT)),
    decided(DEFAULT_POLICY, IMPLICIT, Source.RESOURCE, identity=(FULL,), key_policy=EMPTY),
    decided(
        DEFAULT_POLICY, IMPLICIT, Source.RESOURCE, identity=(FULL,), key_policy=doc(by({"AWS": ROOT}, "kms:Decrypt"))
    ),
    decided(
        DEFAULT_POLICY, ALLOWED, Source.IDENTITY, identity=(FULL,), key_policy=doc(by({"AWS": ACCOUNT}, "kms:En*"))
    ),
    decided(DEFAULT_POLICY, IMPLICIT, Source.RESOURCE, identity=(FULL,), key_policy=doc(by({"AWS": OTHER_ROOT}))),
    decided(
        DEFAULT_POLICY,
        IMPLICIT,
        Source.RESOURCE,
        identity=(FULL,),
        key_policy=doc(by({"AWS": ROOT}, Condition={"Bool": {"aws:PrincipalTag/y": "true"}})),
    ),
    decided(DEFAULT_POLICY, EXPLICIT, Source.IDENTITY, identity=(DENY,), key_policy=EMPTY),
    # being named in the key policy is enough
    decided(LOGIC, ALLOWED, Source.RESOURCE, key_policy=TO_ALICE),
    decided(LOGIC, ALLOWED, Source.RESOURCE, who=ADMIN_SESSION, key_policy=TO_ROLE),
    decided(LOGIC, ALLOWED, Source.RESOURCE, who=ADMIN_SESSION, key_policy=TO_SESSION),
    decided(LOGIC, IMPLICIT, Source.RESOURCE, key_policy=doc(by({"AWS": ALICE}, "kms:Decrypt"))),
    decided(LOGIC, ALLOWED, Source.RESOURCE, who=SERVICE_S3, key_policy=doc(by({"Service": "s3.amazonaws.com"}))),
    decided(LOGIC, ALLOWED, Source.RESOURCE, key_policy=doc(by("*"))),
    # an explicit deny anywhere wins
    decided(LOGIC, EXPLICIT, Source.IDENTITY, identity=(FULL, DENY), key_policy=TO_ALICE),
    decided(
        LOGIC,
        EXPLICIT,
        Source.RESOURCE,
        identity=(FULL,),
        key_policy=doc(by({"AWS": ROOT}), by({"AWS": ALICE}, effect="Deny")),
    ),
    decided(
        LOGIC,
        EXPLICIT,
        Source.RESOURCE,
        identity=(FULL,),
        key_policy=doc(by({"AWS": ALICE}, effect="Deny"), by({"AWS": ALICE})),
    ),
    decided(
        LOGIC,
        EXPLICIT,
        Source.BOUNDARY,
        boundary=doc(statement(), statement("Deny", "kms:Encrypt")),
        key_policy=TO_ALICE,
    ),
    decided(LOGIC, EXPLICIT, Source.SESSION, who=ADMIN_SESSION, sessions=(FULL, DENY), key_policy=TO_SESSION),
    decided(LOGIC, EXPLICIT, Source.IDENTITY, identity=(DENY,), grants=(grant(ALICE, "Encrypt"),)),
    decided(
        LOGIC, EXPLICIT, Source.RESOURCE, key_policy=doc(by("*", effect="Deny")), grants=(grant(ALICE, "Encrypt"),)
    ),
    decided(LOGIC, ALLOWED, Source.IDENTITY, identity=(FULL, doc(statement("Deny", "kms:Decrypt")))),
    decided(LOGIC, EXPLICIT, Source.IDENTITY, who=ROOT_USER, identity=(DENY,)),
]
