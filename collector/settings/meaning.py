"""Settings of what exchanges are taken to mean: which service they are of, what is billed to whom, and what of bodies is hidden."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr, field_validator, model_validator

from collector.settings.section import Section, is_there

Hop = Literal["gateway", "waypoint", "client", "transformer", "explainer", "predictor", "prefill", "decode", "serving", "server"]
LEAST_KEY = 16
ANNOTATION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]{0,315}")


class Tokenizer(Section):
    """Which models' tokens are counted how, where the server told none."""

    models: str = Field("*", min_length=1, description="Name of a model, with * for any characters.")
    file: Path | None = Field(None, description="The model's tokenizer.json.")
    bytes_per_token: float | None = Field(None, gt=0, le=1024, description="In place of a file: bytes of UTF-8 that make a token.")

    @field_validator("file")
    @classmethod
    def _is_there(cls, path: Path | None) -> Path | None:
        return is_there(path)

    @model_validator(mode="after")
    def _one_way(self) -> Tokenizer:
        if (self.file is None) == (self.bytes_per_token is None):
            raise ValueError("needs either file or bytes_per_token")
        return self


class Usage(Section):
    """What is billed, and to whom (docs/usage-event.md)."""

    billable_hops: list[Hop] = Field(
        [], description="Roles of the hops that are billed. None: predictor, serving, decode and server, of which a call has one."
    )
    bill_mirrored: bool = Field(False, description="Copies that a route's mirror makes (host ends in `-shadow`) are billed too.")
    consumer_headers: list[str] = Field(
        [], description="Request headers that name the consumer, the first that is there counts. They are stored as a hash only."
    )
    consumer_key_file: Path | None = Field(
        None,
        description=f"File with the secret key of that hash and of those of `people`, {LEAST_KEY} bytes or more; not needed where the tap"
        " filter hashes.",
    )
    tokenizers: list[Tokenizer] = Field(
        [], description="`{models, file}` or `{models, bytes_per_token}`; the first that fits a model estimates what no server told."
    )

    group_annotations: list[str] = Field(
        [],
        max_length=8,
        description="Annotations of services by which sums of usage can be grouped, of those in `services.annotations`; exchanges that are"
        " stored keep theirs until `meshscribe recount` (docs/usage-query.md).",
    )
    keys_per_day: int = Field(
        5000,
        ge=10,
        le=100_000,
        description="Keys (service, model, consumer, user, caller, protocol, annotations) that are told apart in a day's sums; more are"
        " summed under `other`, but for a share that each namespace has (docs/usage-query.md).",
    )
    retention_days: int | None = Field(
        None,
        ge=1,
        le=36_500,
        description="Days that the sums of usage are kept, not fewer than `sink.retention_days`; absent: for ever, also when `sink` has let"
        " exchanges go.",
    )
    metric_keys: int = Field(
        200, ge=0, le=10_000, description="Services and models that counters of `/metrics` tell apart; more are counted under `other`."
    )

    @field_validator("group_annotations")
    @classmethod
    def _names(cls, names: list[str]) -> list[str]:
        for name in names:
            if not ANNOTATION.fullmatch(name):
                raise ValueError(f"{name!r} is no annotation's name: expected such as example.com/team")
        return names

    @field_validator("consumer_headers")
    @classmethod
    def _lower(cls, names: list[str]) -> list[str]:
        return [name.strip().lower() for name in names]

    @field_validator("consumer_key_file")
    @classmethod
    def _is_key(cls, path: Path | None) -> Path | None:
        return is_key(path)


class Redaction(Section):
    """What of bodies is hidden before anything of them is stored (docs/redaction.md). Nothing, if there are no rules."""

    paths: list[str] = Field([], description="Values of JSON bodies: `user`, `messages[*].content`, `..ssn` (at any depth).")
    patterns: list[str] = Field([], description="Regular expressions (RE2) for texts in bodies; needs the extra `redaction` (google-re2).")
    key_file: Path | None = Field(
        None, description=f"File with a secret key, {LEAST_KEY} bytes or more: marks carry a hash by which equal values are known as equal."
    )

    @field_validator("paths")
    @classmethod
    def _readable(cls, paths: list[str]) -> list[str]:
        from collector.rule_language.paths import parse

        for path in paths:
            parse(path)
        return paths

    @field_validator("patterns")
    @classmethod
    def _compiled(cls, patterns: list[str]) -> list[str]:
        if patterns:
            from collector.rule_language.patterns import check

            for pattern in patterns:
                check(pattern)
        return patterns

    @field_validator("key_file")
    @classmethod
    def _is_key(cls, path: Path | None) -> Path | None:
        return is_key(path)


def read_key(path: Path) -> bytes:
    """The key that a file holds, without the white space around it."""
    return path.read_bytes().strip()


def is_key(path: Path | None) -> Path | None:
    """The path. Raises ValueError if it names no file with a key."""
    if is_there(path) is not None and path is not None:
        try:
            size = len(read_key(path))
        except OSError as error:
            raise ValueError(f"{path} cannot be read: {error.strerror}") from None
        if size < LEAST_KEY:
            raise ValueError(f"{path} holds {size} bytes, a key needs {LEAST_KEY} or more")
    return path


class Services(Section):
    """Where InferenceServices are learnt from, and what of them a record may carry."""

    source: Literal["auto", "cluster", "kubeconfig", "file", "none"] = Field(
        "auto", description="auto: `file` if one is named, else the cluster if this runs in a pod, else none."
    )
    file: Path | None = Field(None, description="YAML of InferenceServices, read again when it changes.")
    kubeconfig: Path | None = Field(None, description="For source `kubeconfig`; kubectl's default if not named.")
    context: str | None = Field(None, description="The kubeconfig's context.")
    namespaces: list[str] = Field([], description="Watched namespaces; none: all.")
    annotations: list[str] = Field([], description="Copied annotations: `name`, `prefix*`, with `=hash`, `=mask` or `=drop`.")
    labels: list[str] = Field([], description="Copied labels, likewise.")
    hash_key: SecretStr | None = Field(None, description="Keys the hashes, so that short values cannot be guessed.")
    max_bytes: int = Field(8192, ge=0, le=1 << 20, description="Annotations and labels of one service, at most.")
    history: int = Field(64, ge=1, description="Versions of a service kept, in memory and in the store.")
    history_days: int = Field(
        90, ge=1, le=36_500, description="Replaced versions and ended services are kept for so long, or for sink.retention_days if longer."
    )
    refresh_seconds: float = Field(5.0, gt=0, description="How often versions seen by other collectors are read from the store.")
    logger_mode: Literal["ignore", "honour", "require"] = Field(
        "ignore",
        description="honour: bodies are stored only as `spec.predictor.logger.mode` of their service says, of services without a logger"
        " all; require: of those none.",
    )
    probes: bool = Field(False, description="Record the probes of Kubernetes and Knative too.")

    @model_validator(mode="after")
    def _file_is_named(self) -> Services:
        if self.source == "file" and self.file is None:
            raise ValueError("source is `file`, but services.file names none")
        return self
