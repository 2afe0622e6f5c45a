# SPDX-License-Identifier: Apache-2.0
"""Records as syslog messages: RFC 5424, facility 13 (log audit), over UDP (RFC 5426), TCP (octet counting, RFC 6587) or
a local socket. MSGID is the event's name, or ``checkpoint``. ``sequenceId`` counts the lines of this process, those
dropped included.
"""

import os
import re
import socket
from typing import Final
from urllib.parse import urlsplit

_PRIORITY: Final = 13 * 8 + 6
_PORT: Final = 514
_TIMEOUT: Final = 5.0
_LAST_SEQUENCE: Final = 2**31 - 1

#: Of a datagram; more is cut off, and is in the audit file.
LONGEST_DATAGRAM: Final = 8192

# A name is cut to 32 characters (RFC 5424, section 6). Nothing that comes from clients stands before these members.
_NAME: Final = re.compile(rb'(?:"eventName":"|\A\{"type":"keyquorum\.audit\.)([!#-\[\]-~]{1,32})')
_TIME: Final = re.compile(rb'"(?:eventTime|time)":"([0-9TZ:-]{20})"')


def message(number: int, line: bytes, host: str) -> bytes:
    """The line as a message."""
    name, time = _NAME.search(line), _TIME.search(line)
    return b'<%d>1 %b %b keyquorum %d %b [meta sequenceId="%d"] %b' % (
        _PRIORITY,
        time[1] if time is not None else b"-",
        host.encode(),
        os.getpid(),
        name[1] if name is not None else b"-",
        (number - 1) % _LAST_SEQUENCE + 1,
        line.rstrip(b"\n"),
    )


class Syslog:
    """A receiver at ``udp://HOST[:PORT]``, ``tcp://HOST[:PORT]`` or ``unix:PATH``."""

    def __init__(self, address: str) -> None:
        """Raises ValueError."""
        url = urlsplit(address)
        self._scheme = url.scheme
        if url.scheme in ("udp", "tcp") and url.hostname:
            self._host, self._port = url.hostname, url.port or _PORT
        elif url.scheme == "unix" and url.path:
            self._host, self._port = url.path, 0
        else:
            raise ValueError("a receiver is udp://HOST:PORT, tcp://HOST:PORT or unix:PATH")
        self._name = re.sub(r"[^!-~]", "_", socket.gethostname())[:255] or "-"
        self._socket: socket.socket | None = None

    def send(self, number: int, line: bytes) -> None:
        data = message(number, line, self._name)
        if self._socket is None:
            self._socket = self._connect()
        if self._scheme == "tcp":
            self._socket.sendall(b"%d %b" % (len(data), data))
        else:
            self._socket.send(data[:LONGEST_DATAGRAM])

    def _connect(self) -> socket.socket:
        if self._scheme == "tcp":
            return socket.create_connection((self._host, self._port), _TIMEOUT)
        if self._scheme == "unix":
            connected = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            to: object = self._host
        else:
            family, _, _, _, to = socket.getaddrinfo(self._host, self._port, type=socket.SOCK_DGRAM)[0]
            connected = socket.socket(family, socket.SOCK_DGRAM)
        try:
            connected.settimeout(_TIMEOUT)
            connected.connect(to)  # type: ignore[arg-type] # a path or an address, by the family
        except OSError:
            connected.close()
            raise
        return connected

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None
