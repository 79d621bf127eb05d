"""Certificates as a mesh's authority signs them: a SPIFFE id in the URI SAN, and nothing in the subject."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


class Certificate(NamedTuple):
    """PEM files."""

    chain: Path
    key: Path


class Authority:
    """Signs for a day; its files are in `folder`."""

    def __init__(self, folder: Path, name: str = "mesh") -> None:
        self._folder, self._name = folder, x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, name)])
        self._key = ec.generate_private_key(ec.SECP256R1())
        builder = self._builder(self._name, self._key.public_key())
        certificate = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True).sign(
            self._key, hashes.SHA256()
        )
        self.root = folder / f"{name}-root.pem"
        self.root.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))

    def issue(self, name: str, *uris: str, subject: str = "") -> Certificate:
        """A certificate with these URIs, valid for localhost too."""
        key = ec.generate_private_key(ec.SECP256R1())
        attributes = [x509.NameAttribute(NameOID.COMMON_NAME, subject)] if subject else []
        names = [*map(x509.UniformResourceIdentifier, uris), x509.DNSName("localhost")]
        builder = self._builder(x509.Name(attributes), key.public_key())
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=not subject)
        builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        made = Certificate(self._folder / f"{name}.pem", self._folder / f"{name}.key")
        made.chain.write_bytes(builder.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
        made.key.write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))
        return made

    def _builder(self, subject: x509.Name, key: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
        now = datetime.now(UTC)
        builder = x509.CertificateBuilder(self._name, subject, key, x509.random_serial_number())
        return builder.not_valid_before(now - timedelta(hours=1)).not_valid_after(now + timedelta(days=1))
