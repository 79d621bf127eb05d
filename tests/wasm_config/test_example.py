"""What the example manifest shows in its comments is a configuration that the filter takes."""

import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import yaml

ROOT = Path(__file__).parents[2]
SCHEMA: dict[str, Any] = json.loads((ROOT / "wasm-config" / "plugin-config.schema.json").read_text())


def uncommented() -> dict[str, Any]:
    """The example's plugin configuration with its commented fields put into force."""
    text = (ROOT / "manifests" / "istio" / "wasmplugin.yaml").read_text()
    text = re.sub(r"^    # (\w+: [\[<].*)$", r"    \1", text, flags=re.MULTILINE)
    found: dict[str, Any] = yaml.safe_load(text)["spec"]["pluginConfig"]
    return found


def test_the_commented_fields_fit_the_schema() -> None:
    config = uncommented()
    assert {"redact_headers", "hash_headers", "hash_key"} <= set(config)
    jsonschema.validate(config, SCHEMA)


def test_baggage_is_shown_beside_the_defaults_and_not_instead_of_them() -> None:
    default = SCHEMA["properties"]["redact_headers"]["default"]
    assert uncommented()["redact_headers"] == [*default, "baggage"]
    assert "baggage" not in default
