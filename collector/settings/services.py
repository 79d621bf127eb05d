"""Settings of the InferenceServices that exchanges are joined with."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr, model_validator

from collector.settings.section import Section


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
