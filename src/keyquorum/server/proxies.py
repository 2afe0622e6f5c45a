# SPDX-License-Identifier: Apache-2.0
"""What proxies say of the client: its address, which is ``aws:SourceIp`` and CloudTrail's ``sourceIPAddress``, and
whether it came by TLS, which is ``aws:SecureTransport``.

X-Forwarded-For and X-Forwarded-Proto are whatever the client wrote, so they are not read unless the socket's peer is a
proxy that the operator named, and then only as far as named proxies vouch for them. ``Forwarded`` (RFC 7239) and
X-Real-IP are not read at all.
"""

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

Network = IPv4Network | IPv6Network


def _parse(text: str) -> IPv4Address | IPv6Address | None:
    try:
        address = ip_address(text)
    except ValueError:
        return None
    # A dual-stack socket shows 192.0.2.1 as ::ffff:192.0.2.1, which no IPv4 condition or network would match.
    return getattr(address, "ipv4_mapped", None) or address


def is_trusted(peer: str, trusted: Iterable[Network]) -> bool:
    """Whether ``peer`` is an address within one of the operator's proxy networks."""
    address = _parse(peer)
    return address is not None and any(address in network for network in trusted)


def client_address(peer: str, headers: Iterable[tuple[bytes, bytes]], trusted: tuple[Network, ...] = ()) -> str:
    """The address of the client: ``peer``, or what a trusted proxy says.

    From a trusted peer it is the rightmost X-Forwarded-For address that is not itself trusted: everything left of it
    was written by someone unknown. If there is none, or an entry on the way is no plain address (a port, a name,
    ``unknown``), it is ``peer``. ``peer`` is an address without port (empty for a Unix socket); header names are in
    lower case and in the order of arrival.
    """
    address = _parse(peer)
    if address is None:
        return peer
    if is_trusted(peer, trusted):
        listed = b",".join(value for name, value in headers if name == b"x-forwarded-for").decode("latin-1")
        for entry in reversed(listed.split(",")):
            hop = _parse(entry.strip())
            if hop is None:
                break
            if not is_trusted(str(hop), trusted):
                return str(hop)
    return str(address)


def was_secure(headers: Iterable[tuple[bytes, bytes]]) -> bool:
    """Whether a trusted proxy says that TLS protected the request up to it: with one X-Forwarded-Proto, ``https``.
    Several could be read in two ways."""
    return [value.strip().lower() for name, value in headers if name == b"x-forwarded-proto"] == [b"https"]
