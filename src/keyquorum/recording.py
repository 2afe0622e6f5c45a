# SPDX-License-Identifier: Apache-2.0
"""What the request path knows of a request, made into its audit record."""

import os
from functools import lru_cache
from typing import Any, Final

from msgspec import UNSET, Raw, Struct, UnsetType

from keyquorum import sessions
from keyquorum.arns import ArnLayout
from keyquorum.audit.members import told
from keyquorum.audit.record import (
    AdditionalData,
    Identity,
    Record,
    Resource,
    SessionAttributes,
    SessionContext,
    SessionIssuer,
    WebIdentity,
    bounded,
    encode,
    iso_second,
    time_of,
    written,
)
from keyquorum.errors import KMSError
from keyquorum.model import ASSUMED_ROLE, USER, WEB_IDENTITY, Caller, HttpRequest, Key, Session
from keyquorum.ops.operation import Call, Operation

_INTERNAL: Final = "AWS Internal"
_KMS: Final = "kms.amazonaws.com"


#: IDs made ahead: asking the system for random bits costs more than the rest.
_ready: Final[list[str]] = []
_AHEAD: Final = 256
os.register_at_fork(after_in_child=_ready.clear)


def new_id() -> str:
    """A request or event ID: 128 random bits in the form of a UUID."""
    try:
        return _ready.pop()
    except IndexError:
        made = os.urandom(16 * _AHEAD).hex()
        ids = [made[i : i + 32] for i in range(0, len(made), 32)]
        first, *others = [f"{d[:8]}-{d[8:12]}-{d[12:16]}-{d[16:20]}-{d[20:]}" for d in ids]
        _ready.extend(others)
        return first


class Trace:
    """One request's record in the making. ``http`` is None for what the system does by itself. ``operation`` and
    ``request`` are there as soon as they are known, and ``keys`` once they are found."""

    __slots__ = ("_call", "_http", "_name", "_source", "event_id", "keys", "operation", "request")

    def __init__(self, call: Call, source: str, name: str, http: HttpRequest | None) -> None:
        self._call = call
        self._source = source
        self._name = name
        self._http = http
        self.event_id = new_id()
        self.operation: Operation | None = None
        self.request: Any = None
        self.keys: list[Key] = []

    def record(self, error: KMSError | None = None, *, response: Any = None) -> bytes:
        """The record as it is to be written; ``error`` for a request that was refused, ``response`` for one that was
        not. Of a KMS operation that changes nothing the answer is not told (CloudTrail's responseElements are null)."""
        call, http = self._call, self._http
        caller, layout = call.caller, call.services.layout
        changes = self.operation is None or self.operation.changes
        is_told = changes or self._source != _KMS
        second, milliseconds = time_of(call.now)
        parameters = told(self.request) or None
        if self._name.startswith("AssumeRole"):
            parameters = (told(_carried(caller)) or {}) | (parameters or {}) or None
        if http is None:
            address = agent = _INTERNAL
        else:
            address, agent = http.peer, bounded(http.by_name.get(b"user-agent", b"").decode("latin-1"))
        return encode(
            Record(
                user_identity=_system(caller) if http is None else _identity(caller),
                event_time=second,
                event_source=self._source,
                event_name=self._name,
                aws_region=caller.region,
                source_address=address,
                user_agent=agent,
                error_code=UNSET if error is None else error.code,
                error_message=UNSET if error is None or error.message is None else bounded(error.message),
                request_parameters=parameters if http is not None else None,
                response_elements=self._elements(response) if error is None and is_told else None,
                request_id=call.request_id,
                event_id=self.event_id,
                read_only=not changes,
                resources=[_resource(layout, key.region, key.account, key.key_id) for key in (*self.keys, *call.made)],
                event_type="AwsApiCall" if http is not None else "AwsServiceEvent",
                recipient_account_id=caller.account,
                service_event_details=UNSET if http is not None or parameters is None else parameters,
                additional_event_data=AdditionalData(milliseconds),
            )
        )

    def refused(self, error: KMSError) -> bytes:
        """The record of a request that was refused. There is one whatever was sent: what cannot be told is left out.

        It is an event of its own. The change may have been made for all that, where the database was lost as it
        committed; the record of that is looked for by its ID, and must not be taken for written."""
        self.event_id = new_id()
        try:
            return self.record(error)
        except Exception:  # one who is known got an answer, and the trail says so
            return self._least(error)

    def _least(self, error: KMSError) -> bytes:
        call, caller = self._call, self._call.caller
        second, milliseconds = time_of(call.now)
        return encode(
            Record(
                user_identity=Identity(
                    caller.kind, _writable(caller.principal_id), _writable(caller.arn), caller.account
                ),
                event_time=second,
                event_source=self._source,
                event_name=self._name,
                aws_region=caller.region,
                source_address=_INTERNAL if self._http is None else self._http.peer,
                user_agent="",
                error_code=error.code,
                request_id=call.request_id,
                event_id=self.event_id,
                read_only=self.operation is not None and not self.operation.changes,
                resources=[],
                recipient_account_id=caller.account,
                additional_event_data=AdditionalData(milliseconds),
            )
        )

    def _elements(self, response: Any) -> dict[str, Any] | None:
        """They name the key of a change even where its answer does not (AWS KMS Developer Guide, "CreateGrant" under
        "Examples of AWS KMS log entries")."""
        elements = told(response) or {}
        if self.keys and self._source == _KMS and "keyId" not in elements:
            elements["keyId"] = self._call.arn(self.keys[0])
        return elements or None


class _Carried(Struct):
    """What a role's new session is given that its request does not say: it comes in a web identity's token, or along a
    chain of roles (AWS CloudTrail User Guide, "CloudTrail userIdentity element"; IAM user guide, "Logging IAM and AWS
    STS API calls with AWS CloudTrail")."""

    principal_tags: dict[str, str] | None = None
    incoming_transitive_tags: dict[str, str] | None = None
    transitive_tag_keys: list[str] | None = None
    source_identity: str | None = None


def _carried(caller: Caller) -> _Carried | None:
    session = caller.session
    if session is None:
        return None
    if caller.kind == WEB_IDENTITY:
        tags = dict(session.tags) or None
        transitive = list(session.transitive) or None
        return _Carried(tags, transitive_tag_keys=transitive, source_identity=session.source_identity)
    if caller.kind != ASSUMED_ROLE:
        return None
    tags = dict(sessions.inherited(session)) or None
    return _Carried(incoming_transitive_tags=tags, source_identity=session.source_identity)


def _writable(text: str) -> str:
    return text.encode(errors="replace").decode()


@lru_cache(maxsize=4096)
def _resource(layout: ArnLayout, region: str, account: str, key_id: str) -> Raw:
    """A key, written: many records tell of the same."""
    return written(Resource(account, layout.key(region, account, key_id)))


def _identity(caller: Caller) -> Identity | Raw:
    if caller.session is None:
        return _without_session(caller.kind, caller.principal_id, caller.arn, caller.account, caller.access_key_id)
    return _of_session(caller)


@lru_cache(maxsize=4096)
def _without_session(kind: str, principal_id: str, arn: str, account: str, access_key_id: str) -> Raw:
    """Who asks, written: so do most of them again and again."""
    name = arn.rpartition("/")[2] if kind == USER else ""
    return written(Identity(kind, principal_id, arn, account, access_key_id, name))


def _of_session(caller: Caller) -> Identity:
    if caller.kind == WEB_IDENTITY:
        subject = caller.session.web_user if caller.session is not None else None
        provider = caller.session.federated if caller.session is not None else None
        return Identity(caller.kind, caller.principal_id, user_name=subject or "", identity_provider=provider or "")
    return Identity(
        caller.kind,
        caller.principal_id,
        caller.arn,
        caller.account,
        caller.access_key_id,
        caller.arn.rpartition("/")[2] if caller.kind == USER else "",
        None if caller.session is None else _context(caller, caller.session),
    )


def _context(caller: Caller, session: Session) -> SessionContext:
    issuer: SessionIssuer | UnsetType = UNSET
    if caller.role_arn is not None:
        name = caller.role_arn.rpartition("/")[2]
        issuer = SessionIssuer("Role", caller.identity_id, caller.role_arn, caller.account, name)
    return SessionContext(
        SessionAttributes(iso_second(int(session.issued_at)), "false" if session.mfa_at is None else "true"),
        issuer,
        UNSET if session.federated is None else WebIdentity(session.federated),
        UNSET if session.source_identity is None else session.source_identity,
    )


def _system(caller: Caller) -> Identity:
    return Identity(account_id=caller.account, invoked_by=_INTERNAL)
