"""Certificates as a mesh's authority signs them: a SPIFFE id in the URI SAN, and nothing in the subject."""

from __future__ import annotations

import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from collector.demo.envoy_filters import typed


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

    def issue(self, name: str, *names: str, subject: str = "") -> Certificate:
        """One in files of this name, for these names: URIs, and DNS names, of which localhost is one if no other is."""
        key = ec.generate_private_key(ec.SECP256R1())
        attributes = [x509.NameAttribute(NameOID.COMMON_NAME, subject)] if subject else []
        all_names = names if any("://" not in one for one in names) else (*names, "localhost")
        told = [x509.UniformResourceIdentifier(one) if "://" in one else x509.DNSName(one) for one in all_names]
        builder = self._builder(x509.Name(attributes), key.public_key())
        builder = builder.add_extension(x509.SubjectAlternativeName(told), critical=not subject)
        builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        made = Certificate(self._folder / f"{name}.pem", self._folder / f"{name}.key")
        made.chain.write_bytes(builder.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
        made.key.write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))
        return made

    def client(self, own: Certificate | None) -> ssl.SSLContext:
        """Connects with this certificate, or without one, to whoever has one of this authority's."""
        context = ssl.create_default_context(cafile=self.root)
        context.check_hostname = False
        if own is not None:
            context.load_cert_chain(own.chain, own.key)
        return context

    def transport_socket(self, side: str, own: Certificate, **more: Any) -> dict[str, Any]:
        """Of an Envoy's listener (`Downstream`) or cluster (`Upstream`) that takes certificates of this authority's."""
        common = {
            "tls_certificates": [{"certificate_chain": {"filename": str(own.chain)}, "private_key": {"filename": str(own.key)}}],
            "validation_context": {"trusted_ca": {"filename": str(self.root)}},
            "alpn_protocols": ["h2", "http/1.1"] if side == "Downstream" else [],
        }
        kind = f"envoy.extensions.transport_sockets.tls.v3.{side}TlsContext"
        return typed("envoy.transport_sockets.tls", kind, common_tls_context=common, **more)

    def _builder(self, subject: x509.Name, key: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
        now = datetime.now(UTC)
        builder = x509.CertificateBuilder(self._name, subject, key, x509.random_serial_number())
        return builder.not_valid_before(now - timedelta(hours=1)).not_valid_after(now + timedelta(days=1))
