# SPDX-License-Identifier: Apache-2.0
"""What each error means, and what to do about it, in our own words. A test holds that none is missing."""

from typing import Final

from keyquorum import api

_NO_STORES: Final = "About custom key stores, which are not available here yet: never answered."

_CUSTOM_KEY_STORES: Final = (
    "CloudHsmClusterInUseException",
    "CloudHsmClusterInvalidConfigurationException",
    "CloudHsmClusterNotActiveException",
    "CloudHsmClusterNotFoundException",
    "CloudHsmClusterNotRelatedException",
    "CustomKeyStoreHasCMKsException",
    "CustomKeyStoreInvalidStateException",
    "CustomKeyStoreNameInUseException",
    "CustomKeyStoreNotFoundException",
    "IncorrectTrustAnchorException",
    "XksKeyAlreadyInUseException",
    "XksKeyInvalidConfigurationException",
    "XksKeyNotFoundException",
    "XksProxyIncorrectAuthenticationCredentialException",
    "XksProxyInvalidConfigurationException",
    "XksProxyInvalidResponseException",
    "XksProxyUriEndpointInUseException",
    "XksProxyUriInUseException",
    "XksProxyUriUnreachableException",
    "XksProxyVpcEndpointServiceInUseException",
    "XksProxyVpcEndpointServiceInvalidConfigurationException",
    "XksProxyVpcEndpointServiceNotFoundException",
)

#: Errors that operations declare.
_DECLARED: Final = {
    "AlreadyExistsException": "There is one of that name or ID already. Choose another, or use the one that is there.",
    "ConflictException": "Another change of the same key is under way. Here changes take turns: never answered.",
    "DependencyTimeoutException": (
        "The database did not answer in time, or another change held what this one needs. Nothing was done; try again."
    ),
    "DisabledException": "The key is disabled. EnableKey lets it be used again.",
    "DryRunOperationException": (
        "The request was a dry run, and would have succeeded: it is allowed, and its key can do it. Nothing was done."
    ),
    "ExpiredImportTokenException": (
        "The import token is older than 24 hours. Get new parameters, and wrap the key material with their public key."
    ),
    "IncorrectKeyException": "The ciphertext was encrypted under another key than the one that the request names.",
    "IncorrectKeyMaterialException": (
        "The imported key material is not the one that the key had before, or, as new material, one that it has."
    ),
    "InvalidAliasNameException": (
        "The alias's name is not one. Names begin with alias/ and have letters, digits, slashes, _ and -."
    ),
    "InvalidArnException": "An ARN is malformed, or names a principal or a resource of a kind that does not fit here.",
    "InvalidCiphertextException": (
        "The ciphertext was damaged, was encrypted with another encryption context, or is none of this server's; which "
        "of these is not told."
    ),
    "InvalidGrantIdException": "The grant's ID is malformed. Here such an ID is one that is not found: never answered.",
    "InvalidGrantTokenException": "A grant token is not one of this server's.",
    "InvalidImportTokenException": "The import token is damaged, or was given for another key.",
    "InvalidKeyUsageException": (
        "The key is of another usage, or its spec has no such algorithm. DescribeKey tells which it has."
    ),
    "InvalidMarkerException": "The marker is not the NextMarker of an answer to the same request.",
    "KeyUnavailableException": "The key cannot be reached. Here that is DependencyTimeoutException: never answered.",
    "KMSInternalException": (
        "The server is at fault; its log tells of what, by the request's ID. The request may be tried again."
    ),
    "KMSInvalidMacException": "The HMAC is not that of the message under this key.",
    "KMSInvalidSignatureException": "The signature is not this key's signature of the message, by this algorithm.",
    "KMSInvalidStateException": (
        "The key's state does not allow it: the message tells the state, and the table of states which would."
    ),
    "LimitExceededException": "A quota is used up: keys of the account, aliases or grants of the key, or rotations.",
    "MalformedPolicyDocumentException": (
        "The policy is not a valid one, names a principal that is not there, or would lock out who puts it."
    ),
    "NotFoundException": "There is no such key, alias, grant or policy, or it is another account's and not shared.",
    "TagException": "A tag's key is reserved or comes twice, or there would be more tags than a key may have.",
    "UnsupportedOperationException": (
        "The key or the server cannot do this at all: the key's spec, origin or Region does not fit, or it is not "
        "available here."
    ),
}

#: Errors that any request may meet, before or beside those that its operation declares.
COMMON: Final = {
    "AccessDeniedException": (
        "No policy and no grant allows it, or one denies it. The message names the permission; keyquorum iam explain "
        "shows which statement decided."
    ),
    "ValidationException": (
        "The request does not satisfy the model, or members of it contradict each other; the message names them."
    ),
    "SerializationException": "The body is not JSON of the expected types: text where a number is due, or no base64.",
    "UnrecognizedClientException": "The access key or the session token is not known here, or is inactive.",
    "ExpiredTokenException": "The session has expired. Sign in again, or get new temporary credentials.",
    "InvalidSignatureException": (
        "The signature does not fit the request: another secret access key, a request that was changed on its way, or "
        "a clock that is more than five minutes off."
    ),
    "IncompleteSignatureException": "The Authorization header lacks a part, or names a scope that is none.",
    "MissingAuthenticationTokenException": "The request is not signed.",
    "ThrottlingException": "Too many requests in too short a time. Wait and try again; the SDKs do so by themselves.",
    "UnknownOperationException": "X-Amz-Target names no operation of this server.",
    "RequestEntityTooLargeException": "The request is larger than any operation could want.",
    "RequestTimeoutException": "The request did not arrive in full in time.",
    "MalformedHttpRequestException": "The request is not valid HTTP.",
}

#: Refusals that operations here give beyond those that AWS's model declares for any of them.
_UNDECLARED: Final = {
    "NotAuthorizedException": "Names that begin with alias/aws are reserved.",
}

#: Error code -> what it means.
MEANINGS: Final[dict[str, str]] = {
    **_DECLARED,
    **dict.fromkeys(_CUSTOM_KEY_STORES, _NO_STORES),
    **_UNDECLARED,
    **COMMON,
}


def errors_of(operation: str) -> tuple[tuple[str, str], ...]:
    """The errors that the operation declares, each with its meaning, by name. ``COMMON`` may come besides."""
    return tuple((code, MEANINGS[code]) for code in sorted(api.OPERATIONS[operation].exceptions))
