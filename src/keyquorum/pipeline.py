# SPDX-License-Identifier: Apache-2.0
"""THE REQUEST PATH. Every request takes it, and nothing reaches a key by another way.

It is synchronous. Where it must not block it raises WouldBlock before it has had any effect, and is run again in a
worker thread. Which fault is told when several apply is AWS's order, and pinned by tests.
"""

import logging
import time
from math import inf
from typing import Any, Final

from keyquorum import lifecycle, logs, recording
from keyquorum.access import Access
from keyquorum.authn.credentials import Authenticator
from keyquorum.authn.federation import Federation
from keyquorum.authn.refusals import Rate, Refusals
from keyquorum.clock import Clock
from keyquorum.errors import (
    DryRunOperationException,
    InvalidKeyUsageException,
    KMSError,
    KMSInternalException,
    UnknownOperationException,
    ValidationException,
    WouldBlock,
)
from keyquorum.journal import Journal
from keyquorum.metering import SUCCESS, Meter, Requests
from keyquorum.model import Answer, Caller, HttpRequest
from keyquorum.ops import registry
from keyquorum.ops.operation import Call, Keys, Operation, Services
from keyquorum.ops.sts import BY_WEB_IDENTITY
from keyquorum.resolve import region_of, resolve_all
from keyquorum.specs import SPECS
from keyquorum.store.lease import lapsed
from keyquorum.store.store import CachedView, LockedView, View
from keyquorum.throttling import Throttle
from keyquorum.usagelog import UsageLog
from keyquorum.wire.protocols import JSON11, Protocol, protocol_of, spoken

_log = logging.getLogger(__name__)

#: Longer than any plaintext or ciphertext. What a policy has to compare in it can take as long as making a key.
_LONG_BODY: Final = 10 * 1024
#: Half as much again as the longest token and session policy take: anybody may send one, and has it read.
_LONGEST_TOKEN_FORM: Final = 32 * 1024
#: Tracebacks in the log, a minute.
_TRACEBACKS: Final = 10


class Pipeline:
    def __init__(
        self,
        services: Services,
        authenticator: Authenticator,
        federation: Federation,
        journal: Journal,
        usage: UsageLog,
        refusals: Refusals,
        clock: Clock,
        throttle: Throttle | None = None,
    ) -> None:
        """``throttle``: the request quotas, if there are any."""
        self.meter = Meter()
        self._throttle = Throttle({}) if throttle is None else throttle
        self._services = services
        self._lease = services.store.database.generations.lease
        self._usage = usage
        self._authenticator = authenticator
        self._federation = federation
        self._journal = journal
        self._refusals = refusals
        self._clock = clock
        self._tracebacks = Rate(_TRACEBACKS, 60, "requests failed by an error of this server")

    def answer(self, http: HttpRequest, *, may_block: bool) -> Answer:
        """Steps (0) to (8). Raises WouldBlock, and nothing else."""
        request_id = recording.new_id()
        named = logs.request_id.set(request_id)
        try:
            return self._answer(http, request_id, may_block)
        finally:
            logs.request_id.reset(named)

    def _answer(self, http: HttpRequest, request_id: str, may_block: bool) -> Answer:
        protocol = protocol_of(http)
        caller = None
        try:
            # (0) what is asked for is looked up; sizes were limited when the request was read
            if protocol is None or http.target != b"/":
                raise UnknownOperationException
            name = protocol.operation(http)
            # What is cached is as good as this for what follows. On the loop, caches refuse once it has lapsed.
            lease = self._lease
            until = inf if lease is None else lease.require() if may_block else lease.until
            # (1) the signature, over the raw bytes; or the token of a web identity, which signs nothing
            caller = self._caller(http, protocol, name, may_block)
            return self._authenticated(http, protocol, name, caller, request_id, may_block, until)
        except WouldBlock:
            raise
        except Exception as failure:
            # Nobody is known to have sent this, so it has no place in the audit log.
            error = self._fault(failure, request_id, "its caller was not known yet")
            if error.status < 500:
                self._refusals.note(error, request_id, http.peer, time.time())
            # Nor do its operation's numbers tell of it: strangers could make them as many as there are operations.
            return _refused(protocol or JSON11, error, request_id, counted=self.meter.of(b"", "", error.code))

    def _caller(self, http: HttpRequest, protocol: Protocol, name: str, may_block: bool) -> Caller:
        now = self._clock.now()
        if name == BY_WEB_IDENTITY:
            if len(http.body) > _LONGEST_TOKEN_FORM:
                raise ValidationException(f"The request body exceeds {_LONGEST_TOKEN_FORM} bytes")
            if not may_block:
                raise WouldBlock("federation")
            request: Any = protocol.decode(name, http.body)
            return self._federation.authenticate(request.role_arn, request.web_identity_token, now)
        return self._authenticator.authenticate(http, protocol.service, time.time(), now, may_block=may_block)

    def _authenticated(
        self,
        http: HttpRequest,
        protocol: Protocol,
        name: str,
        caller: Caller,
        request_id: str,
        may_block: bool,
        until: float = inf,
    ) -> Answer:
        call = Call(self._services, caller, self._clock.now(), request_id, http, may_wait=may_block)
        call.until = until
        trace = recording.Trace(call, protocol.event_source, name, http)
        ticket = None
        try:
            trace.operation = operation = _lookup(protocol, name)
            # (2) the body, by the model; who asks too often is told so, whatever is in it
            try:
                trace.request = request = protocol.decode(name, http.body)
            finally:
                ticket = self._throttle.take(caller.account, protocol.service, name, trace.request)
            if caller.region_set:
                call.caller = self._authenticator.in_region(caller, region_of(request))
            if operation.computes(request) or len(http.body) > _LONG_BODY:
                call.wait(computing=True)
            if operation.changes or operation.waits:
                call.wait()
            response = self._perform(operation, call, request, trace)
            # (8) the result, encoded; the record of what changed nothing is written before the answer leaves
            body = protocol.encode(name, response, request_id)
            record = None if operation.changes else trace.record(response=response)
        except WouldBlock:
            self._throttle.give_back(ticket)
            raise
        except Exception as failure:
            error = self._fault(failure, request_id, name)
            counted = self.meter.of(protocol.service, name, error.code)
            return _refused(protocol, error, request_id, trace.refused(error), call.until, counted, known=True)
        # What has been committed was decided before all that was committed later, and may be told at any time.
        until = inf if operation.changes else call.until
        counted = self.meter.of(protocol.service, name, SUCCESS)
        return Answer(200, protocol.content_type, body, request_id, record, until, counted, True)

    def _fault(self, failure: Exception, request_id: str, about: str) -> KMSError:
        """What is answered to a request that failed so, and a bounded part of the log for what is ours to blame."""
        error = failure if isinstance(failure, KMSError) else KMSInternalException()
        if error.status >= 500 and self._tracebacks.admits(time.time()):
            cause = failure if error is not failure else None
            _log.error("request %s (%s) failed: %s %s", request_id, about, error.code, error.detail, exc_info=cause)
        return error

    def answer_as(self, caller: Caller, http: HttpRequest) -> Answer:
        """Steps (2) to (8) for whoever holds the seal key, and needs no signature to be believed; raises KMSError for
        what names no operation. The record, if there is one, is the caller's to write."""
        protocol = protocol_of(http)
        if protocol is None:
            raise UnknownOperationException
        name = protocol.operation(http)
        return self._authenticated(http, protocol, name, caller, recording.new_id(), may_block=True)

    def act(self, operation: Operation, request: Any, caller: Caller) -> None:
        """Steps (3) to (7) for what the system does by itself; raises KMSError."""
        call = Call(self._services, caller, self._clock.now(), recording.new_id(), may_wait=True)
        trace = recording.Trace(call, JSON11.event_source, operation.name, None)
        trace.operation, trace.request = operation, request
        self._perform(operation, call, request, trace)

    def _perform(self, operation: Operation, call: Call, request: Any, trace: recording.Trace) -> Any:
        if getattr(request, "recipient", None) is not None:
            raise ValidationException("Recipient is not supported: this server attests no enclaves.")
        view = CachedView(self._services.store, may_block=call.may_wait)
        if not operation.changes:
            keys = self._decide(operation, call, request, trace, view)
            try:
                return self._run(operation, call, request, trace, keys)
            finally:
                # Whatever it came to, it may have taken long.
                if operation.computes(request) and self._renewed(call):
                    self._decide(operation, call, request, trace, view)
        if operation.prepare is not None:
            # What takes long is done for a caller who is authorized, and before the database is locked.
            call.prepared = operation.prepare(call, request, self._decide(operation, call, request, trace, view))
        else:
            # So are the caller's policies made ready, which the decision on locked rows then finds to be the same.
            call.access = Access(call, view, request)
        # One transaction, in which the decision is made on locked rows
        with self._services.store.database.write() as call.txn:
            self._renewed(call)
            locked = LockedView(self._services.store, call.txn)
            keys = self._decide(operation, call, request, trace, locked)
            response = self._run(operation, call, request, trace, keys)
            # (7) a change commits together with its audit record
            entry = self._journal.enter(call.txn, trace.event_id, trace.record(response=response))
            if self._lease is not None and self._lease.now() >= call.until:
                raise lapsed("the change took too long")
        self._journal.publish(entry)
        return response

    def _renewed(self, call: Call) -> bool:
        """Whether the caller, who has waited or computed for long, had to prove again who he is."""
        lease, http = self._lease, call.http
        if lease is None or http is None or lease.has_room(call.until):
            return False
        call.until, protocol = lease.require(anew=True), protocol_of(http) or JSON11
        self._caller(http, protocol, protocol.operation(http), may_block=True)
        return True

    def _decide(self, operation: Operation, call: Call, request: Any, trace: recording.Trace, view: View) -> Keys:
        # (3) the keys that the operation is about, and the permission that it needs on each
        uses = operation.keys(call, request)
        # (4) they are loaded, and the decision is made
        found, missing = resolve_all(view, call, operation.name, uses)
        trace.keys = [record.key for _, record in found]
        if missing is not None and not found:
            raise missing
        call.access = access = Access(call, view, request)
        keys = access.decide(operation, found, missing)
        operation.check(call, request, keys)
        # (5) usage, then state
        for use, record in found:
            key = record.key
            if operation.usage is not None and key.usage != operation.usage:
                raise InvalidKeyUsageException(
                    f"{call.arn(key)} key usage is {key.usage} which is not valid for {operation.name}."
                )
            state = key.state if key.origin == "AWS_KMS" else lifecycle.at(key.state, record.ends(), call.now)
            lifecycle.check(use.row or operation.name, state, call.arn(key))
            if operation.tracked and SPECS[key.spec].slow:
                call.wait()
        return keys

    def _run(self, operation: Operation, call: Call, request: Any, trace: recording.Trace, keys: Keys) -> Any:
        # (6) the operation itself
        response = operation.run(call, request, keys)
        if getattr(request, "dry_run", None):
            raise DryRunOperationException("The request would have succeeded, but the DryRun option is set.")
        if operation.tracked:
            for authorized in keys:
                self._usage.note(authorized.key, operation.name, call.now, trace.event_id, call.request_id)
        return response

    def refuse(self, error: KMSError, content_type: bytes = b"") -> Answer:
        """An answer to what never became a request, in the protocol that has this Content-Type."""
        counted = self.meter.of(b"", "", error.code)
        return _refused(spoken(content_type), error, recording.new_id(), counted=counted)

    def write_records(self, records: list[bytes]) -> None:
        """Step (7) for what changed nothing, many requests at a time; raises KMSError: no record, no answer."""
        self.meter.batches.note(len(records))
        self._journal.write(records)


def _refused(
    protocol: Protocol,
    error: KMSError,
    request_id: str,
    record: bytes | None = None,
    until: float = inf,
    counted: Requests | None = None,
    *,
    known: bool = False,
) -> Answer:
    status, body = protocol.encode_fault(error, request_id)
    return Answer(status, protocol.content_type, body, request_id, record, until, counted, known)


def _lookup(protocol: Protocol, name: str) -> Operation:
    operation = registry.BY_SERVICE[protocol.service].get(name)
    if operation is None:
        raise protocol.unknown(name)
    return operation
