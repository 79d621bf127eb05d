"""Reads an InferenceService or LLMInferenceService as Kubernetes shows it. Pure.

Formats: KServe's ``serving.kserve.io`` v1beta1 (InferenceService) and v1alpha1, v1alpha2 (LLMInferenceService), and
Kubernetes' ObjectMeta. What is missing or of a wrong type is absent in the version; only an object without name or uid
is refused. `in_force_from` holds the one rule for the time from which a version counts (docs/services.md, "Since
when").
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from hashlib import blake2b
from urllib.parse import urlsplit, urlunsplit

import orjson

from collector.enrich.selection import Selection
from collector.enrich.version import LLM_INFERENCE_SERVICE, ServiceVersion
from collector.errors import BadInputError
from collector.messages.service import LoggerMode

SECOND_US = 1_000_000
# A change is told a few milliseconds after it was made. Whoever made it and then sends a request must meet it, so a
# change seen as it happened counts from this long before it was seen (never from before the second the server noted).
WATCH_DELAY_US = 50_000
MAX_NAMED = 64
_MODES: dict[str, LoggerMode] = {"all": "all", "request": "request", "response": "response"}
KubernetesObject = Mapping[str, object]  # an object as Kubernetes tells it, or a part of one: anything may be missing or of another kind
_FORMATS = (
    "sklearn", "xgboost", "tensorflow", "pytorch", "triton", "onnx", "huggingface", "pmml", "lightgbm", "paddle",
)  # fmt: skip
_NAME_FLAGS = ("--model_name=", "--model-name=", "--served-model-name=", "--served_model_name=")


def mapping(value: object) -> KubernetesObject:
    """The value if it is an object, else an empty one: Kubernetes writes null for what is empty."""
    return value if isinstance(value, dict) else {}


def items(value: object) -> list[object]:
    return value if isinstance(value, list) else []


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None


def time_us(value: object) -> int | None:
    """An RFC 3339 time of the API server in microseconds since the epoch, None if it is none."""
    if not isinstance(value, str):
        return None
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        return None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return int(moment.timestamp()) * SECOND_US + moment.microsecond


def changed_us(metadata: Mapping[str, object]) -> int | None:
    """When metadata or spec last changed, as far as the object says, to the second; writes of its status do not
    count.
    """
    entries = (mapping(entry) for entry in items(metadata.get("managedFields")))
    times = [time_us(entry.get("time")) for entry in entries if not entry.get("subresource")]
    created = time_us(metadata.get("creationTimestamp"))
    return max((moment for moment in (*times, created) if moment is not None), default=None)


def in_force_from(mark_us: int | None, seen_us: int, previous_us: int | None, previous_mark_us: int | None) -> int:
    """From when a version counts, in microseconds since the epoch.

    ``mark_us`` is `changed_us`, ``seen_us`` when we saw it, ``previous_us`` when its previous version came into force
    (None: we know none) and ``previous_mark_us`` that version's mark. Never earlier than the previous version.
    """
    told_us = seen_us - WATCH_DELAY_US
    floor = previous_us if previous_us is not None else 0
    newer = mark_us is not None and (previous_us is None or mark_us > (previous_mark_us or previous_us))
    same_second = mark_us is not None and mark_us == previous_mark_us and seen_us < mark_us + SECOND_US + WATCH_DELAY_US
    if mark_us is None or not (newer or same_second) or seen_us < mark_us:
        return max(told_us, floor)
    if seen_us < mark_us + SECOND_US + WATCH_DELAY_US:
        return max(told_us, mark_us, floor)
    return max(mark_us, floor)


def fingerprint(item: Mapping[str, object]) -> bytes:
    """Equal for two states of one object that differ in their status and bookkeeping only."""
    metadata = mapping(item.get("metadata"))
    status = mapping(item.get("status"))
    parts = (
        metadata.get("annotations"),
        metadata.get("labels"),
        metadata.get("generation"),
        metadata.get("deletionTimestamp"),
        item.get("spec"),
        status.get("servingRuntimeName"),
        status.get("clusterServingRuntimeName"),
    )
    return blake2b(orjson.dumps(parts, option=orjson.OPT_SORT_KEYS), digest_size=16).digest()


def identity(item: object) -> tuple[str, str, str]:
    """(uid, namespace, name) of an object. Raises `BadInputError` where one is missing."""
    metadata = mapping(mapping(item).get("metadata"))
    uid, namespace, name = (_text(metadata.get(key)) for key in ("uid", "namespace", "name"))
    if uid is None or namespace is None or name is None:
        raise BadInputError(f"an object without metadata.uid, namespace or name: {str(metadata)[:200]}; it is left out")
    return uid, namespace, name


def version_of(item: Mapping[str, object], kind: str, since_us: int, selection: Selection) -> ServiceVersion:
    """The version that an object describes, in force from ``since_us`` on. Raises `BadInputError` (see `identity`)."""
    uid, namespace, name = identity(item)
    metadata, spec = mapping(item.get("metadata")), mapping(item.get("spec"))
    logged = mapping(spec.get("predictor")).get("logger")
    logger, generation = mapping(logged), metadata.get("generation")
    named = _strings(logger, "metadataAnnotations")[:MAX_NAMED]
    return ServiceVersion(
        namespace=namespace,
        name=name,
        kind=kind,
        uid=uid,
        resource_version=_text(metadata.get("resourceVersion")) or "",
        generation=generation if isinstance(generation, int) else 0,
        since_us=since_us,
        annotations=selection.of_annotations(_texts(metadata.get("annotations")), named),
        labels=selection.of_labels(_texts(metadata.get("labels"))),
        logger_mode=_logger_mode(logged),
        metadata_annotations=tuple(named),
        metadata_headers=tuple(header.lower() for header in _strings(logger, "metadataHeaders")[:MAX_NAMED]),
        model=_llm_model(spec, name) if kind == LLM_INFERENCE_SERVICE else _model(spec, mapping(item.get("status"))),
    )


def _logger_mode(logger: object) -> LoggerMode | None:
    """The mode of a ``spec.predictor.logger``; KServe's default is ``all``. None: there is no logger, or its mode is none of KServe's."""
    if not isinstance(logger, dict):
        return None
    mode = logger.get("mode") or "all"
    return _MODES.get(mode) if isinstance(mode, str) else None


def _texts(value: object) -> dict[str, str]:
    return {key: text for key, text in mapping(value).items() if isinstance(text, str)}


def _strings(holder: Mapping[str, object], key: str) -> list[str]:
    return [text for text in items(holder.get(key)) if isinstance(text, str) and text]


def _known(**facts: str | None) -> dict[str, str]:
    return {name: fact for name, fact in facts.items() if fact is not None}


def _model(spec: KubernetesObject, status: KubernetesObject) -> dict[str, str]:
    predictor = mapping(spec.get("predictor"))
    model = mapping(predictor.get("model"))
    named = _text(mapping(model.get("modelFormat")).get("name"))
    if not model:
        named = next((name for name in _FORMATS if isinstance(predictor.get(name), dict)), None)
        model = mapping(predictor.get(named)) if named else mapping(next(iter(items(predictor.get("containers"))), None))
    runtime = model.get("runtime") or status.get("servingRuntimeName") or status.get("clusterServingRuntimeName")
    return _known(
        name=_name_argument(_strings(model, "args")),
        format=named,
        runtime=_text(runtime),
        storage_uri=without_secrets(_text(model.get("storageUri"))),
    )


def _llm_model(spec: Mapping[str, object], name: str) -> dict[str, str]:
    model = mapping(spec.get("model"))
    # KServe serves the model under the service's name where spec.model.name is not set.
    return _known(name=_text(model.get("name")) or name, storage_uri=without_secrets(_text(model.get("uri"))))


def _name_argument(arguments: Iterable[str]) -> str | None:
    return next((a.partition("=")[2] for a in arguments if a.startswith(_NAME_FLAGS) and "{{" not in a), None) or None


def without_secrets(uri: str | None) -> str | None:
    """A storage URI without user, password, query and fragment: presigned URLs carry their secret there."""
    if uri is None:
        return None
    try:
        parts = urlsplit(uri)
    except ValueError:
        return None
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))
