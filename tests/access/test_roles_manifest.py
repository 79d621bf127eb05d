"""The example roles give the rights that their names have in the settings."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from collector.access.roles import ROLES
from collector.access.subject_access import GROUP, RESOURCES

FILE = Path(__file__).parents[2] / "manifests" / "roles" / "roles.yaml"
FOUND = {role["metadata"]["name"]: role for role in yaml.safe_load_all(FILE.read_text())}


def test_there_is_one_for_each_role() -> None:
    assert FOUND.keys() == {f"meshscribe-{role}" for role in ROLES}


@pytest.mark.parametrize("role", ROLES)
def test_it_allows_what_the_api_server_is_asked_for(role: str) -> None:
    [rule] = FOUND[f"meshscribe-{role}"]["rules"]
    assert rule["apiGroups"] == [GROUP]
    for right, asked in RESOURCES.items():
        name = "/".join(part for part in (asked.resource, asked.subresource) if part)
        assert (name in rule["resources"] and asked.verb in rule["verbs"]) is (right in ROLES[role])  # type: ignore[index]
