"""Reads the settings from file and environment, all faults at once."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from collector.errors import SettingsError
from collector.settings.root import PREFIX, Settings


def load(path: Path | None = None) -> Settings:
    """The settings from file and environment. Raises SettingsError that lists every fault, one a line."""
    named = path or (Path(os.environ[PREFIX + "CONFIG"]) if os.environ.get(PREFIX + "CONFIG") else None)
    faults = _unknown_variables()
    values: dict[str, Any] = {}
    if named is not None:
        values, fault = _read(named)
        faults += [fault] if fault else []
    try:
        settings = Settings(**values)
    except ValidationError as error:
        faults += [_fault(e["loc"], e["msg"]) for e in error.errors()]
    except ValueError as error:  # a section in the environment that is not JSON
        faults.append(str(error))
    if faults:
        raise SettingsError(faults)
    return settings


def _read(path: Path) -> tuple[dict[str, Any], str | None]:
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        return {}, f"{path}: cannot be read as YAML: {error}"
    if not isinstance(values, dict):
        return {}, f"{path}: holds a {type(values).__name__}, expected sections such as `journal:`"
    return values, None


def _fault(where: tuple[int | str, ...], what: str) -> str:
    name = ".".join(str(part) for part in where) or "settings"
    variable = f" ({PREFIX}{'__'.join(str(p) for p in where).upper()})" if where else ""
    return f"{name}{variable}: {what.removeprefix('Value error, ')}"


def _unknown_variables() -> list[str]:
    """Variables with our prefix that name no setting: the settings library would pass over them in silence."""
    known = {f"{PREFIX}{s.upper()}__{f.upper()}" for s, fields in _names().items() for f in fields}
    known |= {PREFIX + s.upper() for s in _names()} | {PREFIX + "CONFIG"}
    ours = sorted(name for name in os.environ if name.startswith(PREFIX) and name not in known)
    return [f"{name}: no such setting" for name in ours if "__" in name]


def _names() -> dict[str, list[str]]:
    sections: dict[str, list[str]] = {}
    for section, field in Settings.model_fields.items():
        kind = field.annotation
        sections[section] = list(kind.model_fields) if isinstance(kind, type) and issubclass(kind, BaseModel) else []
    return sections
