"""An environment for clients whose dependencies exclude the collector's."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.mesh.two_hops import ROOT


def python_with(variable: str, name: str, clients: list[str]) -> str:
    """The interpreter that has them: the one that the variable names, else one in `.cache/NAME`, which is made if it is not there."""
    if named := os.environ.get(variable):
        return named
    folder = ROOT / ".cache" / name
    found = folder / "bin" / "python"
    if not (folder / "made").exists():
        uv = Path(sys.executable).parent / "uv"
        subprocess.run([uv, "venv", "--quiet", "--clear", "--python", sys.executable, folder], check=True)
        subprocess.run([uv, "pip", "install", "--quiet", "--python", found, *clients], check=True)
        (folder / "made").touch()
    return str(found)
