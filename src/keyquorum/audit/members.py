# SPDX-License-Identifier: Apache-2.0
"""What a record tells of a request and of an answer: the members that are listed here, and no others.

So no plaintext, ciphertext, message, signature, key material, secret, grant token, import token, session token or web
identity token gets into a record: none of them is on the list, and bytes are never told. Names are CloudTrail's: the
model's, with the first letter in lower case. What the client controls is cut to a bounded length, and the record says
so by ``omitted``, as CloudTrail's do.
"""

from functools import cache
from typing import Any, Final

import msgspec

from keyquorum.audit.record import LONGEST_TEXT, iso_second

_LONGEST_DOCUMENT: Final = 32_768
_LONGEST_CONTEXT: Final = 8192
_LONGEST_LIST: Final = 100

# Texts, numbers, truths, lists of these, maps of texts, and structures, of which the same is told.
_KEYS: Final = """
    keyId sourceKeyId destinationKeyId targetKeyId aliasName description keySpec customerMasterKeySpec keyUsage origin
    multiRegion customKeyStoreId customKeyStoreName xksKeyId primaryRegion replicaRegion bypassPolicyLockoutSafetyCheck
    encryptionContext sourceEncryptionContext destinationEncryptionContext encryptionAlgorithm
    sourceEncryptionAlgorithm destinationEncryptionAlgorithm signingAlgorithm messageType macAlgorithm
    keyAgreementAlgorithm encapsulationAlgorithm keyPairSpec numberOfBytes wrappingAlgorithm wrappingKeySpec
    expirationModel importType keyMaterialId keyMaterialDescription pendingWindowInDays rotationPeriodInDays
    includeKeyMaterial dryRun dryRunModifiers limit maxItems tags tagKey tagValue tagKeys key value resourceOwners
"""
_GRANTS: Final = """
    grantId name granteePrincipal granteeServicePrincipal retiringPrincipal retiringServicePrincipal operations
    constraints encryptionContextSubset encryptionContextEquals sourceArn
"""
_ANSWERS: Final = """
    keyMetadata replicaKeyMetadata aWSAccountId arn enabled keyState keyManager encryptionAlgorithms signingAlgorithms
    macAlgorithms keyAgreementAlgorithms encapsulationAlgorithms multiRegionConfiguration multiRegionKeyType
    primaryKey replicaKeys region pendingDeletionWindowInDays currentKeyMaterialId
"""
_IDENTITIES: Final = """
    userName newUserName groupName newGroupName roleName path newPath pathPrefix policyName policyArn policyArns
    versionId setAsDefault permissionsBoundary permissionsBoundaryType permissionsBoundaryArn maxSessionDuration
    accessKeyId status url clientIDList clientID thumbprintList openIDConnectProviderArn scope onlyAttached
    policyUsageFilter entityFilter policySourceArn actionNames resourceArns user group role accessKey policyVersion
    userId groupId roleId policyId defaultVersionId attachmentCount isAttachable isDefaultVersion
"""
_SESSIONS: Final = """
    roleArn roleSessionName durationSeconds externalId serialNumber sourceIdentity providerId transitiveTagKeys
    principalTags incomingTransitiveTags
    credentials assumedRoleUser assumedRoleId subjectFromWebIdentityToken provider audience packedPolicySize
"""
_CUSTODY: Final = "keyringVersion node"
# What somebody looked for, whose access was explained.
_LOOKED_FOR: Final = """
    lookupAttributes attributeKey attributeValue maxResults period principal action resource
"""
_DOCUMENTS: Final = "policy policyDocument assumeRolePolicyDocument"
_DATES: Final = "validTo creationDate deletionDate createDate updateDate expiration startTime endTime"

_DATE: Final = 0
_LONGEST: Final = (
    dict.fromkeys((_KEYS + _GRANTS + _ANSWERS + _IDENTITIES + _SESSIONS + _CUSTODY + _LOOKED_FOR).split(), LONGEST_TEXT)
    | dict.fromkeys(_DOCUMENTS.split(), _LONGEST_DOCUMENT)
    | dict.fromkeys(_DATES.split(), _DATE)
)


class _Omitted(Exception):
    """Raised for what is not told because of its size."""


def told(value: object) -> dict[str, Any] | None:
    """What a record tells of a request's or an answer's struct; None if it is none.

    An encryption context that is too large is left out as a whole, so that no two contexts look alike in a record.
    """
    kind: Any = type(value)
    members = _members(kind)
    if members is None:
        return None
    shown: dict[str, Any] = {}
    for attribute, name, longest in members:
        member = getattr(value, attribute)
        if member is None:
            continue
        if type(member) is str:
            if len(member) > longest:
                shown["omitted"] = True
                member = member[:longest]
        elif longest == _DATE:
            member = iso_second(int(member))
        else:
            try:
                member = _plainly(member)
            except _Omitted:
                shown["omitted"] = True
                continue
        shown[name] = member
    return shown


@cache
def _members(structure: type[Any]) -> list[tuple[str, str, int]] | None:
    """The members that are told of a structure: attribute, name, and how long a text may be, or _DATE. None for another
    type."""
    if not issubclass(structure, msgspec.Struct):
        return None
    names = map(_camel, structure.__struct_encode_fields__)
    return [
        (attribute, name, _LONGEST[name])
        for attribute, name in zip(structure.__struct_fields__, names, strict=True)
        if name in _LONGEST
    ]


def _camel(name: str) -> str:
    """As CloudTrail spells it: of KeyId, and of the key_id of what the system does by itself, keyId."""
    first, *rest = name.split("_")
    return first[0].lower() + first[1:] + "".join(word.capitalize() for word in rest)


def _plainly(value: object) -> object:
    """Anything but a text at the top. Raises _Omitted."""
    if isinstance(value, dict):
        if len("".join(value)) + len("".join(value.values())) > _LONGEST_CONTEXT:
            raise _Omitted
        return value
    if isinstance(value, list):
        if len(value) > _LONGEST_LIST:
            raise _Omitted
        return [_plainly(element) for element in value]
    if isinstance(value, str):
        if len(value) > LONGEST_TEXT:
            raise _Omitted
        return value
    if isinstance(value, bool | int | float):
        return value
    if isinstance(value, msgspec.Struct):
        return told(value)
    raise _Omitted  # bytes, and whatever a later model has
