"""TLS, client certificates and SASL against a broker that demands them; and what wrong settings say."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import trustme
import yaml
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key

from collector.demo.kafka_broker import KafkaBroker
from collector.demo.ports import Ports
from collector.errors import RetryableError, SettingsError
from collector.kafka.connection import client_arguments
from collector.kafka.topics import create, differences
from collector.settings import Kafka, load
from tests.support.kafka import settings_for

PLAIN = "org.apache.kafka.common.security.plain.PlainLoginModule required user_meshscribe="
SCRAM = "org.apache.kafka.common.security.scram.ScramLoginModule required;"


class Secured(NamedTuple):
    """A broker that wants a client certificate and a password, and the files of one who has them."""

    bootstrap: str
    ca: Path
    certificate: Path
    key: Path
    stranger: Path


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:
    folder = tmp_path_factory.mktemp("secured")
    authority, other = trustme.CA(), trustme.CA()
    server, client = authority.issue_cert("127.0.0.1"), authority.issue_cert("meshscribe")
    paths = {name: folder / f"{name}.pem" for name in ("ca", "server", "certificate", "key", "stranger")}
    authority.cert_pem.write_to_path(paths["ca"])
    other.cert_pem.write_to_path(paths["stranger"])
    key = load_pem_private_key(server.private_key_pem.bytes(), None)  # Kafka reads keys in PKCS 8 only
    pkcs8 = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    paths["server"].write_bytes(pkcs8 + b"".join(pem.bytes() for pem in server.cert_chain_pems))
    client.cert_chain_pems[0].write_to_path(paths["certificate"])
    client.private_key_pem.write_to_path(paths["key"])
    with ExitStack() as stack:
        ports = stack.enter_context(Ports())
        port, controller, safe = ports.take(), ports.take(), ports.take()
        properties = {
            "listeners": f"PLAINTEXT://127.0.0.1:{port},SASL_SSL://127.0.0.1:{safe},CONTROLLER://127.0.0.1:{controller}",
            "sasl.enabled.mechanisms": "PLAIN,SCRAM-SHA-512",
            "listener.name.sasl_ssl.plain.sasl.jaas.config": f'{PLAIN}"secret";',
            "listener.name.sasl_ssl.scram-sha-512.sasl.jaas.config": SCRAM,
            "ssl.keystore.type": "PEM",
            "ssl.keystore.location": str(paths["server"]),
            "ssl.truststore.type": "PEM",
            "ssl.truststore.location": str(paths["ca"]),
            "listener.name.sasl_ssl.ssl.client.auth": "required",
        }
        broker = KafkaBroker(port, controller, folder / "broker", properties, {"meshscribe": "secret"})
        stack.callback(broker.kill)
        broker.start()
        yield Secured(f"127.0.0.1:{safe}", paths["ca"], paths["certificate"], paths["key"], paths["stranger"])


def settings(secured: Secured, **changes: Any) -> Kafka:
    usual = {
        "security_protocol": "SASL_SSL",
        "tls_ca_file": secured.ca,
        "tls_certificate_file": secured.certificate,
        "tls_key_file": secured.key,
        "sasl_username": "meshscribe",
        "sasl_password": "secret",
        "timeout_seconds": 5,
    }
    return settings_for(secured.bootstrap, **{name: value for name, value in (usual | changes).items() if value is not None})


@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-512"])
async def test_with_certificate_and_password_the_brokers_answer(secured: Secured, mechanism: str) -> None:
    known = settings(secured, sasl_mechanism=mechanism)
    assert len(await create(known, 1, None)) >= 6
    assert await differences(known, 1, 1) == []


async def test_the_password_may_be_in_a_file_that_ends_with_a_newline(secured: Secured, tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text("secret\n")
    assert await differences(settings(secured, sasl_password=None, sasl_password_file=file), None, None)


@pytest.mark.parametrize(
    "wrong",
    [{"sasl_password": "wrong"}, {"tls_certificate_file": None, "tls_key_file": None}, {"tls_ca_file": "stranger"}],
    ids=["password", "no certificate", "another authority"],
)
async def test_who_has_not_all_of_it_is_refused_by_name(secured: Secured, wrong: dict[str, Any]) -> None:
    if wrong.get("tls_ca_file"):
        wrong = {"tls_ca_file": secured.stranger}
    with pytest.raises(RetryableError, match=secured.bootstrap):
        await differences(settings(secured, **wrong), None, None)


def test_a_key_that_does_not_fit_its_certificate_is_told(secured: Secured) -> None:
    with pytest.raises(SettingsError, match=r"kafka\.tls_certificate_file"):
        client_arguments(settings(secured, tls_certificate_file=secured.ca))


def test_a_ca_file_without_certificate_is_told(secured: Secured) -> None:
    with pytest.raises(SettingsError, match=r"kafka\.tls_ca_file"):
        client_arguments(settings(secured, tls_ca_file=secured.key))


def test_every_fault_of_the_section_is_told_at_once(tmp_path: Path) -> None:
    file = tmp_path / "meshscribe.yaml"
    kafka = {"bootstrap_servers": "broker", "tls_ca_file": "/nowhere/ca.pem", "compression": "rar", "max_record_bytes": 1, "topic": "x"}
    file.write_text(yaml.safe_dump({"kafka": kafka}))
    with pytest.raises(SettingsError) as caught:
        load(file)
    told = "\n".join(caught.value.faults)
    for expected in ("kafka.bootstrap_servers", "'broker' is not host:port", "no file /nowhere/ca.pem", "kafka.compression", "kafka.topic"):
        assert expected in told
    assert len(caught.value.faults) == 5


@pytest.mark.parametrize(
    ("section", "fault"),
    [
        ({"security_protocol": "SASL_SSL"}, "needs sasl_username; SASL_SSL needs either sasl_password or sasl_password_file"),
        ({"sasl_username": "me"}, "of no use with PLAINTEXT"),
        ({"security_protocol": "SASL_SSL", "sasl_username": "me"}, "needs either sasl_password or sasl_password_file"),
    ],
)
def test_credentials_that_do_not_fit_the_protocol_are_told(tmp_path: Path, section: dict[str, str], fault: str) -> None:
    file = tmp_path / "meshscribe.yaml"
    file.write_text(yaml.safe_dump({"kafka": section}))
    with pytest.raises(SettingsError, match=fault):
        load(file)


def test_the_kafka_sink_needs_brokers(tmp_path: Path) -> None:
    file = tmp_path / "meshscribe.yaml"
    file.write_text("sink: {url: 'kafka:'}")
    with pytest.raises(SettingsError, match=r"kafka\.bootstrap_servers is needed"):
        load(file)
