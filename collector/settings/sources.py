"""Reads the settings from file and environment, all faults at once."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from collector.errors import SettingsError
from collector.settings.names import meant, siblings, unknown_variables
from collector.settings.root import PREFIX, Settings


def load(path: Path | None = None) -> Settings:
    """The settings from file and environment. Raises SettingsError that lists every fault, one a line."""
    named = path or (Path(os.environ[PREFIX + "CONFIG"]) if os.environ.get(PREFIX + "CONFIG") else None)
    faults = unknown_variables()
    values: dict[str, Any] = {}
    if named is not None:
        values, fault = _read(named)
        faults += [fault] if fault else []
    try:
        settings = Settings(**values)
    except ValidationError as error:
        faults += [_fault(e["loc"], e["msg"], e["type"]) for e in error.errors()]
    except ValueError as error:  # a section in the environment that is not JSON
        faults.append(str(error))
    if faults:
        raise SettingsError(faults)
    return settings


def _read(path: Path) -> tuple[dict[str, object], str | None]:
    try:
        values = yaml.load(path.read_text(encoding="utf-8"), _Once) or {}
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        return {}, f"{path}: cannot be read as YAML: {error}"
    if not isinstance(values, dict):
        return {}, f"{path}: holds a {type(values).__name__}, expected sections such as `journal:`"
    return values, None


def _fault(where: tuple[int | str, ...], what: str, kind: str) -> str:
    name = ".".join(str(part) for part in where) or "settings"
    if kind == "extra_forbidden":
        return f"{name}: no such setting{meant(str(where[-1]), siblings(where))}"
    variable = f" ({PREFIX}{'__'.join(str(p) for p in where).upper()})" if where else ""
    return f"{name}{variable}: {what.removeprefix('Value error, ')}"


MERGE = "tag:yaml.org,2002:merge"


class _Once(yaml.SafeLoader):
    """A loader that refuses a key that stands twice in a mapping: YAML says it is a fault, the library takes the last one."""


def _mapping(loader: _Once, node: yaml.MappingNode) -> dict[object, object]:
    seen: dict[object, yaml.Mark] = {}
    for key_node, _ in node.value:
        if key_node.tag == MERGE:  # `<<`: other mappings' keys, which this one's may replace
            continue
        key = loader.construct_object(key_node, deep=True)
        if isinstance(key, str) and key in seen:
            line = seen[key].line + 1
            raise yaml.constructor.ConstructorError(None, None, f"{key!r} stands twice, first in line {line}", key_node.start_mark)
        seen[key if isinstance(key, str) else id(key)] = key_node.start_mark
    loader.flatten_mapping(node)
    return loader.construct_mapping(node, deep=True)


_Once.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _mapping)
