"""Certificates as a mesh's authority issues them: no subject, the identity as a URI among the names."""

from __future__ import annotations

import datetime
import ssl
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from collector.demo.envoy_filters import typed


class Authority:
    """Issues certificates. What it issues holds a certificate and its key, in PEM."""

    def __init__(self) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(x509.NameOID.ORGANIZATION_NAME, "cluster.local")])
        root = _builder(self._name, self._name, self._key).add_extension(x509.BasicConstraints(True, None), critical=True)
        self.root = root.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()

    def issue(self, *names: str) -> str:
        """One for these names: those with a scheme as URIs, others as DNS names."""
        key = ec.generate_private_key(ec.SECP256R1())
        told = [x509.UniformResourceIdentifier(name) if "://" in name else x509.DNSName(name) for name in names]
        builder = _builder(x509.Name([]), self._name, key).add_extension(x509.SubjectAlternativeName(told), critical=True)
        certificate = builder.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
        form, encryption = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        return (certificate + key.private_bytes(serialization.Encoding.PEM, form, encryption)).decode()

    def client(self, issued: str | None, folder: Path) -> ssl.SSLContext:
        """Connects with this certificate, or without one."""
        context = ssl.create_default_context(cadata=self.root)
        context.check_hostname = False
        if issued is not None:
            file = folder / "client.pem"
            file.write_text(issued)
            context.load_cert_chain(file)
        return context

    def downstream(self, issued: str) -> dict[str, Any]:
        """The transport socket of a listener that asks for certificates of this authority, and does without one."""
        both = {"inline_string": issued}
        return typed(
            "envoy.transport_sockets.tls",
            "envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext",
            require_client_certificate=False,
            common_tls_context={
                "alpn_protocols": ["h2", "http/1.1"],
                "tls_certificates": [{"certificate_chain": both, "private_key": both}],
                "validation_context": {"trusted_ca": {"inline_string": self.root}},
            },
        )


def _builder(subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
    now, day = datetime.datetime.now(datetime.UTC), datetime.timedelta(days=1)
    builder = x509.CertificateBuilder(issuer, subject, key.public_key(), x509.random_serial_number())
    return builder.not_valid_before(now - day).not_valid_after(now + day)
