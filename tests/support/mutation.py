# SPDX-License-Identifier: Apache-2.0
"""Requests damaged at random, and what a valid one may hold at its edges. All choices are the dice's."""

import base64
import json
import random
from collections.abc import Callable
from typing import Any

from wire_signing import Request, Signer

from keyquorum import api, own_api
from keyquorum.ops import registry
from keyquorum.wire.protocols import OWN

SUPPORTED = tuple(registry.KMS)
# What comes closest to key material, and what brings keys back that others took away.
OFTEN = (*("Decrypt", "ReEncrypt", "Encrypt", "GenerateDataKey", "EnableKey", "CancelKeyDeletion") * 2, *SUPPORTED)
FORM = b"application/x-www-form-urlencoded; charset=utf-8"

SCRAPS = (
    b"\r\n", b"\n", b"\r", b"\0", b" ", b"\t", b":", b"\xff", b"/", b"#", b"{", b"}", b'"', b"\\", b"[", b",", b"%",
    b"0\r\n\r\n", b"Host: b\r\n", b"HTTP/1.1", b"9" * 20, b"Content-Length: 3\r\n", b"Expect: 1\r\n", b"null", b"\xc0",
    b"Transfer-Encoding: chunked\r\n", b"Connection: close\r\n", b"Upgrade: x\r\n", b"\xed\xa0\x80", b"\xe2\x80\xae",
)  # fmt: skip

JSON_TOKENS = (
    "null", "true", "false", "0", "-0", "-1", "1.5", "1e2", "1e999", "-1e999", "2147483647", "2147483648",
    "-2147483649", "9" * 400, "0." + "3" * 400, "01", "+1", "NaN", "Infinity", "0x10", '""', '" "', '"a"', "'a'",
    '"\\ud800"', '"\\udc00\\ud800"', '"\\ud83d\\ude00"', '"\\u0000"', '"\\x"', '"\\u12"', '"a\nb"', '"\x7f"',
    '"\u202e"', " ", "", "a",
    '"' + "a" * 5000 + '"', '"YQ=="', '"YQ="', '"YQ"', '"-_-_"', '" YQ=="', '"YR=="', "[]", "{}", "[null]", "[[]]",
    '{"":""}', '{"a":null}', '{"a":{}}', '{"a":"b","a":"c"}', "[" * 2000 + "]" * 2000, '{"a":' * 500 + "1" + "}" * 500,
    "[" * 100000, '["a",]', "[1,2,3]", '{"TagKey":"a"}', '[{"TagKey":"a","TagValue":"b"}]', "/**/1", "//\n1", '"a"b',
)  # fmt: skip

TARGETS = (
    b"TrentService", b"TrentService.", b".Encrypt", b"Encrypt", b"trentservice.Encrypt", b"TRENTSERVICE.ENCRYPT",
    b"TrentService.encrypt", b"TrentService.ENCRYPT", b"TrentService.Encrypt.Encrypt", b"TrentService..Encrypt",
    b"TrentService.Encrypt ", b"TrentService. Encrypt", b"TrentService/Encrypt", b"TrentService.__class__",
    b"TrentService.DeleteKey", b"TrentService.EraseKeyMaterial", b"TrentService.GetCallerIdentity",
    b"TrentService.\xff",
    b"TrentService.Encrypt,TrentService.Encrypt", b"DynamoDB_20120810.ListTables", b"TrentService." + b"E" * 9000,
    b"com.amazonaws.kms#TrentService.Encrypt", b"TrentService.Encrypt\tx", b"", b"null", b"{}",
    b"TrentService.%45ncrypt",
)  # fmt: skip


_OPERATIONS = api.OPERATIONS | own_api.OPERATIONS
_CONSTRAINTS = api.CONSTRAINTS | own_api.CONSTRAINTS


class Values:
    """Member values: at the edges of the model's constraints, around them, or of things that the server has.

    ``known``: by member name, values that mean something to this server; no value if the member is best left out.
    """

    def __init__(self, dice: random.Random, known: dict[str, list[Any]]) -> None:
        self._dice = dice
        self._known = known

    def body(self, operation: str) -> dict[str, Any]:
        """``operation``: of KMS, or this server's own."""
        return self._structure(_OPERATIONS[operation].request)

    def _structure(self, shape: type[api.Shape]) -> dict[str, Any]:
        members = _CONSTRAINTS.get(shape, ())
        chosen = [m for m in members if self._dice.random() < (0.97 if m.required else 0.25)]
        useful = [m for m in chosen if self._known.get(m.name) != [] or self._dice.random() < 0.05]
        return {m.name[:1].upper() + m.name[1:]: self._member(m) for m in useful}

    def _member(self, member: api.Member) -> Any:
        known = self._known.get(member.name)
        if known and self._dice.random() < 0.9:
            return self._dice.choice(known)
        return self._value(member.constraint)

    def _value(self, constraint: api.Constraint) -> Any:
        dice = self._dice
        low, high = constraint.min or 0, constraint.max
        edges = [low, low + 1, max(low - 1, 0)] + ([high, high + 1, high - 1] if high is not None else [70])
        size = dice.choice(edges)
        match constraint.kind:
            case "boolean":
                return dice.random() < 0.5
            case "integer":
                return dice.choice((*edges, low - 1, -(2**31), 2**31 - 1))
            case "timestamp":
                return dice.choice((0, -1, 1.5, 253402300799, -62135596800, 4e9, 1_800_000_000))
            case "blob":
                return base64.b64encode(dice.randbytes(min(size, 300_000))).decode()
            case "list" if constraint.element:
                return [self._value(constraint.element) for _ in range(min(size, 120))]
            case "map" if constraint.key and constraint.value:
                return {self._value(constraint.key): self._value(constraint.value) for _ in range(min(size, 20))}
            case "structure" if constraint.nested:
                return self._structure(constraint.nested)
        if constraint.enum and dice.random() < 0.9:
            return dice.choice(constraint.enum)
        alphabet = dice.choice(("a", "aB3-_/:=+", " ", "\u00e9\u4e2d", "\U0001f600", "\x00\x1f\x7f", "\\\"'<>&%{}"))
        return "".join(dice.choices(alphabet, k=min(size, 140_000)))


class Mutator:
    """Makes requests of each kind; ``signed`` ones get past authentication, so that what follows meets them."""

    def __init__(self, dice: random.Random, signer: Signer, known: dict[str, list[Any]]) -> None:
        self._dice = dice
        self._signer = signer
        self._values = Values(dice, known)

    def valid(self) -> Request:
        operation = self._dice.choice(OFTEN)
        return self._signer.request(operation, json.dumps(self._values.body(operation)).encode())

    # -- signed after the damage: the framing is right and each has its answer

    def semantic(self) -> Request:
        return self.valid()

    def any_operation(self) -> Request:
        operation = self._dice.choice(tuple(api.OPERATIONS))
        return self._signer.request(operation, json.dumps(self._values.body(operation)).encode())

    def own_operation(self) -> Request:
        """Of this server's own, that the console asks for."""
        operation = self._dice.choice(tuple(own_api.OPERATIONS))
        return self._signer.request(
            OWN.target(operation).encode(),
            json.dumps(self._values.body(operation)).encode(),
            content_type=OWN.content_type,
            service=OWN.service.decode(),
        )

    def json_types(self) -> Request:
        """A body in which members are of other types, doubled, nested, unknown or missing."""
        dice, operation = self._dice, self._dice.choice(OFTEN)
        members = [(json.dumps(name), json.dumps(value)) for name, value in self._values.body(operation).items()]
        for _ in range(dice.randint(1, 3)):
            token = dice.choice(JSON_TOKENS)
            names = [json.dumps(m.name[:1].upper() + m.name[1:]) for m in self._members(operation)] or ['"A"']
            match dice.randrange(5):
                case 0 if members:
                    at = dice.randrange(len(members))
                    members[at] = (members[at][0], token)
                case 1 if members:
                    members.append(dice.choice(members))
                case 2:
                    members.append((dice.choice((token, '"__proto__"', '"keyId"', '"KEYID"', '"\\u004beyId"')), token))
                case 3:
                    members.insert(dice.randrange(len(members) + 1), (dice.choice(names), token))
                case _:
                    members = [(name, f"[{value}]" if dice.random() < 0.5 else value) for name, value in members]
        text = "{" + ",".join(f"{name}:{value}" for name, value in members) + "}"
        if dice.random() < 0.1:
            text = dice.choice(
                (token, text + text, "[" + text + "]", "\ufeff" + text, text[:-1], text + "x", json.dumps(text))
            )
        return self._signer.request(operation, text.encode("utf-8", "surrogatepass"))

    def _members(self, operation: str) -> tuple[api.Member, ...]:
        return api.CONSTRAINTS.get(api.OPERATIONS[operation].request, ())

    def body_bytes(self) -> Request:
        operation = self._dice.choice(OFTEN)
        body = json.dumps(self._values.body(operation), ensure_ascii=self._dice.random() < 0.5)
        return self._signer.request(operation, self.damaged(body.encode("utf-8", "surrogatepass")))

    def targets(self) -> Request:
        dice = self._dice
        name = dice.choice(tuple(api.OPERATIONS)).encode()
        cases = (name.lower(), name.upper(), name.swapcase(), name[:-1], name + b"s", b" " + name, name + b"\t")
        target = dice.choice(TARGETS) if dice.random() < 0.6 else b"TrentService." + dice.choice(cases)
        content_type = dice.choice(
            (b"application/x-amz-json-1.1", b"application/x-amz-json-1.0", b"application/json", FORM, b"", b"\xff/\xfe",
             b"APPLICATION/X-AMZ-JSON-1.1", b"application/x-amz-json-1.1; charset=utf-8",
             b"application/x-amz-json-1.1;;")
        )  # fmt: skip
        return self._signer.request(target.strip(), b"{}", content_type=content_type)

    def forms(self) -> Request:
        """STS, in the query protocol."""
        dice = self._dice
        body = b"Action=GetCallerIdentity&Version=2011-06-15"
        if dice.random() < 0.9:
            body = dice.choice(
                (self.damaged(body), body + b"&" + self.damaged(b"A=%41&B=+"), body * dice.randint(1, 200))
            )
        content_type = FORM if dice.random() < 0.9 else bytes(c for c in self._token(FORM) if c >= 32 and c != 127)
        return self._signer.request(
            b"", body, content_type=content_type, service=dice.choice(("sts", "sts", "sts", "kms"))
        )

    # -- damaged after signing: how much of it is a request is for the server to say

    def headers(self) -> Request:
        dice, request = self._dice, self.valid()
        headers = list(request.headers)
        for _ in range(dice.randint(1, 2)):
            at = dice.randrange(len(headers)) if headers else 0
            change: Callable[[], Any] = dice.choice((
                lambda at=at: headers.pop(at),
                lambda at=at: headers.insert(at, headers[at]),
                lambda at=at: headers.insert(at, (headers[at][0], self._token(headers[at][1]))),
                lambda at=at: headers.__setitem__(at, (headers[at][0], self._token(headers[at][1]))),
                lambda at=at: headers.__setitem__(at, (self._token(headers[at][0]), headers[at][1])),
                lambda at=at: headers.__setitem__(at, (headers[at][0].title(), b"  " + headers[at][1] + b"\t ")),
                lambda: headers.append((b"x-filler", b"f" * dice.choice((100, 8000, 16_300, 20_000, 70_000)))),
                lambda: headers.extend((b"x-filler-%d" % n, b"f") for n in range(dice.choice((10, 57, 58, 70, 500)))),
                lambda: headers.append((b"x-amz-" + dice.choice((b"a", b"security-token", b"content-sha256")), b"a")),
                lambda: headers.append((b"expect", dice.choice((b"100-continue", b"100-Continue", b"200", b"")))),
                lambda: headers.append((b"connection", dice.choice((b"close", b"upgrade", b"a, close")))),
                lambda: headers.append((b"user-agent", dice.randbytes(20).replace(b"\n", b"").replace(b"\r", b""))),
                lambda: headers.append((b"x-forwarded-for", b"1.2.3.4, " * 50)),
            ))  # fmt: skip
            if headers:
                change()
        return request._replace(headers=headers)

    def framing(self) -> Request:
        dice, request = self._dice, self.valid()
        headers = [(name, value) for name, value in request.headers if name != b"content-length"]
        body = request.body
        size = len(body)
        longer, shorter = size + dice.randint(1, 50), max(0, size - dice.randint(1, 50))
        wrong = (
            b"%d" % longer, b"%d" % shorter, b"-1", b"+%d" % size, b"0x10", b"", b"%d, %d" % (size, size), b"1e3",
            b"9" * 30, b"0%d" % size, b"%d " % size, b"1048577", b"262145",
        )  # fmt: skip
        match dice.randrange(6):
            case 0:
                headers.append((b"content-length", dice.choice(wrong)))
            case 1:
                headers += [(b"content-length", b"%d" % size), (b"content-length", dice.choice((b"%d" % size, *wrong)))]
            case 2:
                headers.append((b"transfer-encoding", b"chunked"))
                body = self._chunked(body)
            case 3:
                headers.append((b"transfer-encoding", b"chunked"))
                body = self.damaged(self._chunked(body))
            case 4:
                headers += [(b"transfer-encoding", b"chunked"), (b"content-length", b"%d" % size)]
                body = self._chunked(body)
            case _:
                coding = (
                    b"gzip",
                    b"gzip, chunked",
                    b"Chunked",
                    b"chunked, chunked",
                    b"\x0bchunked",
                    b"identity",
                    b"xchunked",
                )
                headers.append((b"transfer-encoding", dice.choice(coding)))
                body = self._chunked(body)
        return request._replace(headers=headers, body=body)

    def lines(self) -> Request:
        dice = self._dice
        method = dice.choice(
            (b"GET", b"PUT", b"POST", b"DELETE", b"OPTIONS", b"TRACE", b"CONNECT", b"PRI", b"post", b"\xff")
        )
        target = dice.choice(
            (b"/", b"//", b"/x", b"/?a=b", b"*", b"", b"http://a/", b"/_dev/reset", b"/%", b"/../etc", b"/#", b"/\xff")
        )
        version = dice.choice(
            (b"HTTP/1.1", b"HTTP/1.0", b"HTTP/2.0", b"HTTP/0.9", b"HTTP/1.2", b"http/1.1", b"HTTP/1.1 ", b"")
        )
        return self.valid()._replace(line=b" ".join((method, target, version)))

    def anything(self) -> bytes:
        return self.damaged(self.valid().wire())

    def damaged(self, data: bytes) -> bytes:
        dice, out = self._dice, bytearray(data)
        for _ in range(dice.randint(1, 4)):
            at = dice.randrange(len(out) + 1)
            length = dice.choice((0, 0, 1, 1, 2, 8, 100))
            out[at : at + length] = dice.choice((b"", dice.choice(SCRAPS), dice.randbytes(1), bytes(out[at : at + 30])))
        return bytes(out)

    def _token(self, value: bytes) -> bytes:
        """``value`` damaged, but still on one line."""
        damaged = self._dice.choice(
            (b"", b"\xff", value.upper(), value * 2, value[:-1], self.damaged(value), b"a" * 5000)
        )
        return damaged.replace(b"\r", b"").replace(b"\n", b"")

    def _chunked(self, body: bytes) -> bytes:
        dice, out = self._dice, []
        while body:
            size = dice.randint(1, max(1, len(body)))
            extension = dice.choice((b"", b"", b";a=b", b' ; q="x"'))
            out.append(dice.choice((b"%x", b"%X", b"0%x")) % size + extension + b"\r\n" + body[:size] + b"\r\n")
            body = body[size:]
        return b"".join(out) + dice.choice((b"0\r\n\r\n", b"0\r\n\r\n", b"0\r\nX-Trailer: a\r\n\r\n", b"0\r\n"))
