"""Runs every bench of this folder (or those named), prints its figures, writes tests/bench/results/<name>.json.

A bench is a module bench_<name>.py with `run() -> dict[str, float]`. On a shared machine trust ratios within one run, not single figures.
"""

from __future__ import annotations

import importlib
import json
import os
import platform
import sys
import time
from pathlib import Path

from rich.console import Console
from rich.table import Table

HERE = Path(__file__).parent


def main(names: list[str]) -> int:
    """Exit code 1 if a bench failed to run."""
    console, failed = Console(), 0
    for name in names or sorted(p.stem.removeprefix("bench_") for p in HERE.glob("bench_*.py")):
        began = time.perf_counter()
        try:
            figures = importlib.import_module(f"tests.bench.bench_{name}").run()
        except Exception as error:  # noqa: BLE001 a bench that fails must not hide the others; it is told and counted
            console.print(f"[red]{name}: {type(error).__name__}: {error}")
            failed += 1
            continue
        table = Table("figure", "value", title=f"{name} ({time.perf_counter() - began:.0f} s)", title_justify="left")
        for figure, value in figures.items():
            table.add_row(figure, f"{value:,.2f}" if abs(value) < 1000 else f"{value:,.0f}")
        console.print(table)
        results = HERE / "results"
        results.mkdir(exist_ok=True)
        told = {"machine": platform.processor() or platform.machine(), "cores": os.cpu_count(), "figures": figures}
        (results / f"{name}.json").write_text(json.dumps(told, indent=1) + "\n")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
