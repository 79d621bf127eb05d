"""Addresses in access log entries read as Envoy prints them: the tap tells them so."""

from __future__ import annotations

import pytest
from envoy.data.accesslog.v3.accesslog_pb2 import HTTPAccessLogEntry
from google.protobuf.json_format import ParseDict

from collector.correlate.access_log import read


@pytest.mark.parametrize(
    ("address", "printed"),
    [
        ({"socket_address": {"address": "10.0.0.7", "port_value": 80}}, "10.0.0.7:80"),
        ({"socket_address": {"address": "fd00::7", "port_value": 80}}, "[fd00::7]:80"),
        ({"pipe": {"path": "/run/x.sock"}}, "/run/x.sock"),
        ({"envoy_internal_address": {"server_listener_name": "internal_client_address"}}, "envoy://internal_client_address/"),
        ({"envoy_internal_address": {"server_listener_name": "main_internal", "endpoint_id": "a"}}, "envoy://main_internal/a"),
        ({}, ""),
    ],
)
def test_an_address_is_what_envoy_prints(address: dict[str, object], printed: str) -> None:
    entry = ParseDict({"common_properties": {"downstream_remote_address": address}}, HTTPAccessLogEntry())
    assert read(entry, []).caller_address == printed
