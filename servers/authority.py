"""A certificate authority that lives as long as a test, and the servers that it certifies."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

ADDRESS = ipaddress.ip_address("127.0.0.1")


@dataclass(frozen=True)
class Certified:
    """The files of a server at 127.0.0.1, and of the *authority* that vouches for it, in PEM."""

    certificate: Path
    key: Path
    authority: Path


def certify(directory: Path) -> Certified:
    """Make an authority of its own and let it certify a server at 127.0.0.1, for a day.

    The files go to *directory*, which is made. Raises `FileExistsError` if it exists.
    """
    files = Certified(directory / "server.pem", directory / "server.key", directory / "ca.pem")
    directory.mkdir()
    of_authority, of_server = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "an authority of a test")])
    authority = (
        draft(name, name, of_authority)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(of_authority, hashes.SHA256())
    )
    server = (
        draft(x509.Name([]), name, of_server)
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ADDRESS)]), critical=True)
        .sign(of_authority, hashes.SHA256())
    )
    files.authority.write_bytes(authority.public_bytes(Encoding.PEM))
    files.certificate.write_bytes(server.public_bytes(Encoding.PEM))
    files.key.write_bytes(
        of_server.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    )
    return files


def draft(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=1))
    )
