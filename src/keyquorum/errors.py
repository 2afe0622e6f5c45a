# SPDX-License-Identifier: Apache-2.0
"""Every fault a caller can see, one class per AWS exception.

A ``KMSError`` has a public ``message`` (AWS's wording, may be absent) and a private ``detail`` for the log.
Neither may ever hold key material, plaintext or a secret. This module knows no HTTP body and no XML:
``wire/`` turns a fault into bytes.

Source: AWS KMS API reference, "Common Errors" and each operation's "Errors".
"""

from typing import ClassVar, Literal


class WouldBlock(Exception):
    """Raised before any effect: the answer needs a wait, so run the request again where waiting is allowed.

    ``where``: among requests of strangers, who are not proven yet; of web identities, whose issuers may be waited for;
    of callers who are proven; or among those of callers that compute for as long as a second.
    """

    def __init__(self, where: Literal["strangers", "federation", "callers", "computing"] = "callers") -> None:
        super().__init__()
        self.where = where


class IntegrityError(Exception):
    """What the database says is not what this program wrote: a bad MAC, a missing or a swapped row."""


class KMSError(Exception):
    """A fault that is answered to the caller; ``status`` is its HTTP status."""

    status: ClassVar[int] = 400

    def __init__(self, message: str | None = None, *, detail: str = "") -> None:
        super().__init__(message or "")
        self.message = message
        self.detail = detail

    @property
    def code(self) -> str:
        """The ``__type`` on the wire."""
        return type(self).__name__


# -- before the operation is known or the caller is authenticated


class UnknownOperationException(KMSError):
    pass


class MalformedHttpRequestException(KMSError):
    pass


class RequestEntityTooLargeException(KMSError):
    status = 413


class RequestTimeoutException(KMSError):
    status = 408


class ThrottlingException(KMSError):
    pass


class MissingAuthenticationTokenException(KMSError):
    pass


class IncompleteSignatureException(KMSError):
    pass


class InvalidSignatureException(KMSError):
    pass


class UnrecognizedClientException(KMSError):
    pass


# -- the request itself


class SerializationException(KMSError):
    pass


class ValidationException(KMSError):
    pass


class AccessDeniedException(KMSError):
    pass


class UnsupportedOperationException(KMSError):
    pass


# -- what the operation finds


class AlreadyExistsException(KMSError):
    pass


class DisabledException(KMSError):
    pass


class DryRunOperationException(KMSError):
    pass


class IncorrectKeyException(KMSError):
    pass


class IncorrectKeyMaterialException(KMSError):
    pass


class InvalidArnException(KMSError):
    pass


class InvalidCiphertextException(KMSError):
    pass


class InvalidKeyUsageException(KMSError):
    pass


class InvalidMarkerException(KMSError):
    pass


class KMSInvalidStateException(KMSError):
    pass


class LimitExceededException(KMSError):
    pass


class MalformedPolicyDocumentException(KMSError):
    pass


class NotAuthorizedException(KMSError):
    pass


class NotFoundException(KMSError):
    pass


class ExpiredImportTokenException(KMSError):
    pass


class InvalidGrantTokenException(KMSError):
    pass


class InvalidImportTokenException(KMSError):
    pass


class KMSInvalidMacException(KMSError):
    pass


class KMSInvalidSignatureException(KMSError):
    pass


class TagException(KMSError):
    pass


# -- IAM and STS


class DeleteConflictException(KMSError):
    status = 409


class EntityAlreadyExistsException(KMSError):
    status = 409


class InvalidInputException(KMSError):
    pass


class NoSuchEntityException(KMSError):
    status = 404


class IDPCommunicationErrorException(KMSError):
    pass


class IDPRejectedClaimException(KMSError):
    status = 403


class InvalidIdentityTokenException(KMSError):
    pass


class InvalidParameterValueException(KMSError):
    pass


class PackedPolicyTooLargeException(KMSError):
    pass


class ExpiredTokenException(KMSError):
    """The session that a request is signed with is over."""


class ExpiredWebIdentityTokenException(KMSError):
    """The web identity token that a request brings has expired. STS has a code for it that looks like the other's."""

    @property
    def code(self) -> str:
        return ExpiredTokenException.__name__


# -- ours to blame: the three that the model marks as faults


class DependencyTimeoutException(KMSError):
    status = 500


class KMSInternalException(KMSError):
    status = 500
