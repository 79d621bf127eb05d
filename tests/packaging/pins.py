"""Which versions of a package the wheel lets in."""

from __future__ import annotations

import tomllib
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).parents[2]


def allowed(package: str, version: str) -> bool:
    """Whether pyproject.toml lets this version in."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    [found] = [one for one in map(Requirement, project["dependencies"]) if one.name == package]
    return version in found.specifier
