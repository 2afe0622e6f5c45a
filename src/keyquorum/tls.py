# SPDX-License-Identifier: Apache-2.0
"""TLS of the endpoint: what is offered, from which files, and how those are read anew while connections go on.

It refuses everything before TLS 1.2, suites without forward secrecy or authenticated encryption (RFC 9325, sections 3.1
and 4.1), renegotiation, compression, and a private key that others could read. A new certificate that is not right
never replaces one that is.
"""

import logging
import ssl
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final, NamedTuple
from weakref import WeakSet

from cryptography import x509
from cryptography.exceptions import InvalidSignature

from keyquorum.config import Settings

_log = logging.getLogger(__name__)

#: Of TLS 1.2; those of 1.3 are all good.
_CIPHERS: Final = "ECDHE+AESGCM:ECDHE+CHACHA20"
_SOON: Final = timedelta(days=21)
_NOT_BY_OTHERS: Final = 0o022
# Beside the connections that the protocol counts: those that are still in their handshake.
_HANDSHAKES: Final = 1024


class TLSError(Exception):
    """The files do not make a server's TLS; the text names the option, and nothing of a key."""


class Files(NamedTuple):
    """``client_ca``: of the authorities whose clients may, or with ``demanded`` must, show a certificate.
    ``most``: how many handshakes and connections there may be together."""

    cert: Path
    key: Path
    client_ca: Path | None = None
    demanded: bool = True
    most: int = 2048


def files_of(settings: Settings) -> Files | None:
    """None: the server speaks plain HTTP."""
    if settings.tls_cert is None or settings.tls_key is None:
        return None
    return Files(
        settings.tls_cert,
        settings.tls_key,
        settings.tls_client_ca,
        settings.tls_client_auth == "required",
        settings.connections + _HANDSHAKES,
    )


def load(files: Files) -> ssl.SSLContext:
    """Raises TLSError."""
    for option, path, forbidden in (
        ("--tls-cert", files.cert, _NOT_BY_OTHERS),
        ("--tls-client-ca", files.client_ca, _NOT_BY_OTHERS),
        ("--tls-key", files.key, _NOT_BY_OTHERS | 0o007),
    ):
        if path is not None:
            _check_mode(option, path, forbidden)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(_CIPHERS)
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION
    try:
        context.load_cert_chain(files.cert, files.key, password=_no_password)
    except _Encrypted:
        raise TLSError(
            f"--tls-key: {files.key} is encrypted; it must be a plain PEM file that only the server reads"
        ) from None
    except ssl.SSLError as error:
        reason = (error.reason or "").replace("_", " ").lower() or "no certificate and key in PEM"
        raise TLSError(f"--tls-cert and --tls-key: {files.cert} and {files.key} do not go together: {reason}") from None
    if files.client_ca is not None:
        try:
            context.load_verify_locations(cafile=files.client_ca)
        except ssl.SSLError:
            raise TLSError(f"--tls-client-ca: {files.client_ca} has no certificates in PEM") from None
        context.verify_mode = ssl.CERT_REQUIRED if files.demanded else ssl.CERT_OPTIONAL
    return context


class _Encrypted(Exception):
    pass


def _no_password() -> str:
    raise _Encrypted


def _check_mode(option: str, path: Path, forbidden: int) -> None:
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
        with path.open("rb"):
            pass
    except OSError as error:
        raise TLSError(f"{option}: {path} cannot be read: {error.strerror}") from error
    if mode & forbidden:
        verb = "read or written" if forbidden & 0o004 else "written"
        raise TLSError(f"{option}: {path} can be {verb} by others (mode {mode:04o})")


def leaf(cert: Path) -> x509.Certificate:
    """The certificate that clients are shown first. Raises TLSError."""
    try:
        return x509.load_pem_x509_certificates(cert.read_bytes())[0]
    except (OSError, ValueError):
        raise TLSError(f"--tls-cert: {cert} has no certificate in PEM") from None


def troubles(certificate: x509.Certificate, now: datetime | None = None) -> list[str]:
    """What clients will object to, or soon will, in sentences."""
    now = datetime.now(UTC) if now is None else now
    begins, ends = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    if now < begins:
        return [f"the TLS certificate is valid only from {begins:%Y-%m-%d %H:%M} UTC"]
    if now >= ends:
        return [f"the TLS certificate expired on {ends:%Y-%m-%d %H:%M} UTC"]
    if ends - now < _SOON and ends - now < (ends - begins) / 3:
        return [f"the TLS certificate expires on {ends:%Y-%m-%d %H:%M} UTC"]
    return []


def examine(settings: Settings) -> list[str]:
    """Load what ``settings`` name, and tell what clients will object to. Raises TLSError."""
    files = files_of(settings)
    if files is None:
        return []
    load(files)
    return troubles(leaf(files.cert))


def bundle_of(files: Files) -> Path | None:
    """The authority beside the certificate, as ``keyquorum tls dev-cert`` leaves it, if it is the one that issued it:
    for clients, whose own list will not have it."""
    authority = files.cert.with_name("ca.pem")
    try:
        leaf(files.cert).verify_directly_issued_by(x509.load_pem_x509_certificate(authority.read_bytes()))
    except (OSError, TLSError, TypeError, ValueError, InvalidSignature):  # absent, not PEM, another's
        return None
    return authority


class LiveContext(ssl.SSLContext):
    """A context that hands each new connection to the one loaded last. A connection keeps that which it began with;
    a session ticket from before a reload resumes nothing, so that a client authority that was taken away is gone.

    It also bounds how many connections may be open: one that never ends its handshake is not yet the protocol's to
    count.
    """

    _files: Files
    _current: ssl.SSLContext
    _leaf: x509.Certificate
    _alive: "WeakSet[ssl.SSLObject]"

    def __new__(cls, *_: Any) -> "LiveContext":
        return super().__new__(cls, ssl.PROTOCOL_TLS_SERVER)

    def __init__(self, files: Files) -> None:
        """Raises TLSError."""
        self._files = files
        self._current, self._leaf = load(files), leaf(files.cert)
        self._alive = WeakSet()

    def reload(self) -> None:
        """Read the files again. If they are not right all stays as it is. Raises TLSError."""
        context = load(self._files)
        new = leaf(self._files.cert)
        if datetime.now(UTC) >= new.not_valid_after_utc:
            raise TLSError(f"--tls-cert: {self._files.cert} expired on {new.not_valid_after_utc:%Y-%m-%d %H:%M} UTC")
        self._current, self._leaf = context, new

    def troubles(self) -> list[str]:
        """Of the certificate in use, as ``troubles``."""
        return troubles(self._leaf)

    def described(self) -> str:
        """The certificate in use."""
        return f"certificate {self._leaf.serial_number:x}, until {self._leaf.not_valid_after_utc:%Y-%m-%d %H:%M} UTC"

    def wrap_bio(self, *arguments: Any, **named: Any) -> ssl.SSLObject:
        if len(self._alive) >= self._files.most:
            raise ConnectionAbortedError("too many connections")
        made = self._current.wrap_bio(*arguments, **named)
        self._alive.add(made)
        return made
