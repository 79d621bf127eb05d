"""From the settings' section `kafka` to the arguments that every aiokafka client takes."""

from __future__ import annotations

import ssl

from collector.errors import SettingsError
from collector.settings import Kafka

CLIENT_ID = "meshscribe"


def client_arguments(settings: Kafka) -> dict[str, object]:
    """Arguments of AIOKafkaProducer, AIOKafkaConsumer and AIOKafkaAdminClient alike. Raises SettingsError: files that do not fit."""
    arguments: dict[str, object] = {
        "bootstrap_servers": [server.strip() for server in settings.bootstrap_servers.split(",") if server.strip()],
        "client_id": CLIENT_ID,
        "security_protocol": settings.security_protocol,
        "request_timeout_ms": int(settings.timeout_seconds * 500),  # two tries fit into one transaction's time
    }
    if settings.security_protocol.endswith("SSL"):
        arguments["ssl_context"] = _ssl_context(settings)
    if settings.security_protocol.startswith("SASL"):
        arguments["sasl_mechanism"] = settings.sasl_mechanism
        arguments["sasl_plain_username"] = settings.sasl_username
        arguments["sasl_plain_password"] = _password(settings)
    return arguments


def _password(settings: Kafka) -> str:
    if settings.sasl_password_file is None:
        return settings.sasl_password.get_secret_value() if settings.sasl_password is not None else ""
    try:
        return settings.sasl_password_file.read_text(encoding="utf-8").strip()  # editors end files with a newline
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError([f"kafka.sasl_password_file: {error}"]) from error


def _ssl_context(settings: Kafka) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=settings.tls_ca_file)
    except (OSError, ssl.SSLError) as error:
        raise SettingsError([f"kafka.tls_ca_file: {settings.tls_ca_file} holds no certificate in PEM: {error}"]) from error
    if settings.tls_certificate_file is not None:
        password = settings.tls_key_password.get_secret_value() if settings.tls_key_password is not None else ""
        try:
            context.load_cert_chain(settings.tls_certificate_file, settings.tls_key_file, password)
        except (OSError, ssl.SSLError) as error:
            raise SettingsError([f"kafka.tls_certificate_file: certificate and key do not fit or cannot be read: {error}"]) from error
    return context
