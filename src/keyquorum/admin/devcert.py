# SPDX-License-Identifier: Apache-2.0
"""Certificates for labs: an authority of one's own, a server's certificate from it, and those of clients. The authority
is not constrained in what it may certify, and its key lies beside the rest: nothing else should trust it."""

import ipaddress
import os
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from keyquorum.layout import put_in_place

#: Names of the server's certificate beside those that are asked for.
LOCAL: Final = ("localhost", "127.0.0.1", "::1")
_AUTHORITY: Final = timedelta(days=3650)
# Clocks of a lab differ.
_EARLIER: Final = timedelta(hours=1)


class CertificateError(Exception):
    """The certificates cannot be made; the text says why."""


def make(directory: Path, names: Iterable[str], clients: Iterable[str], days: float) -> list[Path]:
    """Write ``ca.pem``, ``server.pem`` and ``server.key`` for LOCAL and ``names``, and a ``NAME.pem`` and ``NAME.key``
    for each of ``clients``; the files that are new. An authority that is there already issues the new certificates, in
    the place of older ones. Raises CertificateError or OSError."""
    clients = list(clients)
    for client in clients:
        if client in ("ca", "server") or not client.replace("-", "").replace("_", "").isalnum():
            raise CertificateError(
                f"{client!r} is no name for a client: letters, digits, - and _, and not ca or server"
            )
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    made = []
    if not (directory / "ca.pem").exists():
        made += _authority(directory)
    try:
        ca = x509.load_pem_x509_certificate((directory / "ca.pem").read_bytes())
        ca_key = load_pem_private_key((directory / "ca.key").read_bytes(), None)
    except (OSError, ValueError, TypeError) as error:
        raise CertificateError(f"the authority in {directory} cannot be used: {error}") from error
    if not isinstance(ca_key, ec.EllipticCurvePrivateKey):
        raise CertificateError(f"the authority in {directory} was not made by this command")
    wanted = [_general(name) for name in dict.fromkeys([*LOCAL, *names])]
    server = x509.SubjectAlternativeName(wanted)
    made += _issue(directory, "server", server, ExtendedKeyUsageOID.SERVER_AUTH, ca, ca_key, days)
    for client in clients:
        made += _issue(directory, client, None, ExtendedKeyUsageOID.CLIENT_AUTH, ca, ca_key, days)
    return made


def _general(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        pass
    try:
        return x509.DNSName(name)
    except ValueError as error:
        raise CertificateError(f"{name!r} is neither an address nor a name: {error}") from error


def _authority(directory: Path) -> list[Path]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = _name(f"keyquorum lab authority {os.urandom(4).hex()}")
    usage = x509.KeyUsage(
        digital_signature=False,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=True,
        crl_sign=True,
        encipher_only=False,
        decipher_only=False,
    )
    certificate = (
        _builder(name, name, key, _AUTHORITY)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    return _write(directory, "ca", certificate, key)


def _issue(
    directory: Path,
    name: str,
    alternatives: x509.SubjectAlternativeName | None,
    purpose: x509.ObjectIdentifier,
    ca: x509.Certificate,
    ca_key: ec.EllipticCurvePrivateKey,
    days: float,
) -> list[Path]:
    key = ec.generate_private_key(ec.SECP256R1())
    builder = (
        _builder(_name(name), ca.subject, key, timedelta(days=days))
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key()), critical=False)
    )
    if alternatives is not None:
        builder = builder.add_extension(alternatives, critical=False)
    return _write(directory, name, builder.sign(ca_key, hashes.SHA256()), key)


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey, valid: timedelta
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(min(now, now + valid) - _EARLIER)
        .not_valid_after(now + valid)
    )


def _name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])


def _write(directory: Path, name: str, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> list[Path]:
    """The key first: a certificate is never beside a key that is older."""
    secret = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    files = ((directory / f"{name}.key", 0o600, secret), (directory / f"{name}.pem", 0o644, _pem(certificate)))
    for path, mode, content in files:
        put_in_place(path, content, mode)
    return [path for path, _, _ in files]


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(Encoding.PEM)
