"""The tap filter's plugin configuration and where its .wasm lies.

The fields are the filter's own (wasm-config/README.md); what is left out takes the filter's default.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from collector.errors import MeshscribeError

VARIABLE = "MESHSCRIBE_TAP_WASM"
COLLECTOR = "meshscribe.meshscribe.svc.cluster.local"
INGEST_CLUSTER = f"outbound|8080||{COLLECTOR}"
ALS_CLUSTER = f"outbound|4315||{COLLECTOR}"


class TapMissingError(MeshscribeError):
    """There is no tap.wasm. The message says where it was looked for."""


def tap_wasm(environment: Mapping[str, str] = os.environ) -> Path:
    """The filter's file: as MESHSCRIBE_TAP_WASM says, else beside this module (wheel), else in the checkout.

    Raises TapMissingError.
    """
    here = Path(__file__).resolve().parent
    named = environment.get(VARIABLE)
    places = [Path(named).resolve()] if named else [here / "tap.wasm", here.parent.parent / "wasm-config" / "tap.wasm"]
    for place in places:
        if place.is_file():
            return place
    looked = " nor at ".join(str(place) for place in places)
    raise TapMissingError(f"no tap filter at {looked}: build it with `make wasm`, or name it in {VARIABLE}")


def tap_config(**fields: Any) -> dict[str, Any]:
    """The mesh-wide WasmPlugin's configuration with `fields` on top; `collector` is merged, not replaced."""
    collector = {"cluster": INGEST_CLUSTER, "path": "/v1/tap", "authority": COLLECTOR, **fields.pop("collector", {})}
    return {"collector": collector, **fields}
