"""`service` in a record: the InferenceService or LLMInferenceService of an exchange, as it was when the request began. Enrich makes it."""

from typing import Annotated, Literal, TypedDict

from collector.messages.field import DAMAGED, field

Side = Literal["request", "response"]
LoggerMode = Literal["all", "request", "response"]
MatchedBy = Literal["node_labels", "upstream_cluster", "authority", "route_name", "path", "unmatched"]

_UNMATCHED = "no service was found"
_NO_VERSION = "no version of the service is known for that time"
_KUBERNETES = "Kubernetes, as watched"
_LOGGER = "the service's `spec.predictor.logger`"


class ServiceModel(TypedDict, total=False):
    """The model of a service, as its spec names it."""

    name: Annotated[str, field("The name under which clients ask for it.", _KUBERNETES, "the spec does not say it", "llama-3-8b")]
    format: Annotated[str, field("Model format.", _KUBERNETES, "the spec does not say it", "huggingface")]
    runtime: Annotated[str, field("ServingRuntime.", _KUBERNETES, "neither spec nor status says it", "kserve-huggingfaceserver")]
    storage_uri: Annotated[
        str,
        field("Where the model lies, without user, password and query.", _KUBERNETES, "the spec does not say it", "s3://models/llama-3"),
    ]


class ServiceLogger(TypedDict, total=False):
    """The logger that the service itself asks for."""

    mode: Annotated[LoggerMode, field("Which bodies it wants logged.", _LOGGER, "there is no logger", "all")]
    metadata_headers: Annotated[
        list[str], field("Request headers that payload events carry.", _LOGGER, "the logger names none", ["x-user"])
    ]
    left_out: Annotated[
        list[Side],
        field("Bodies that are not stored.", "setting `services.logger_mode`, with the mode", "no body is left out", ["response"]),
    ]


class ServiceState(TypedDict, total=False):
    """What an InferenceService or LLMInferenceService was at a time."""

    namespace: Annotated[str, field("Namespace.", "Meshscribe (services.md)", _UNMATCHED, "shop")]
    name: Annotated[str, field("Name.", "Meshscribe (services.md)", _UNMATCHED, "llama")]
    kind: Annotated[
        str,
        field("`InferenceService` or `LLMInferenceService`.", "Meshscribe (services.md), else Kubernetes", "not known", "InferenceService"),
    ]
    uid: Annotated[str, field("Kubernetes' uid.", _KUBERNETES, _NO_VERSION, "5f1c0a52-9c3e-4b7e-8f4e-3a1d2c4b5e6f")]
    resource_version: Annotated[
        str, field("Version of the object that was in force when the request began.", _KUBERNETES, _NO_VERSION, "81213")
    ]
    generation: Annotated[int, field("Generation of its spec.", _KUBERNETES, _NO_VERSION, 4)]
    annotations: Annotated[
        dict[str, str], field("Annotations that the settings or the service's logger allow.", _KUBERNETES, _NO_VERSION, {"team": "search"})
    ]
    labels: Annotated[dict[str, str], field("Labels that the settings allow.", _KUBERNETES, _NO_VERSION, {"tier": "gold"})]
    model: Annotated[ServiceModel, field("The model.", _KUBERNETES, "the spec names none", None)]


class Service(ServiceState, total=False):
    """The service that the exchange met. Where none was found: `matched_by` and `reason` alone."""

    component: Annotated[
        str,
        field(
            "Part of the service that the proxy or the host belongs to: `predictor`, `transformer`, `explainer`; of an LLMInferenceService "
            "`workload`, `router-scheduler` and the like.",
            "pod labels, else the host's name",
            "not known",
            "predictor",
        ),
    ]
    logger: Annotated[ServiceLogger, field("The logger that the service asks for.", _LOGGER, "it asks for none, and no body is left out")]
    matched_by: Annotated[
        MatchedBy,
        field("Which rule found the service (services.md).", "Meshscribe", DAMAGED, "node_labels"),
    ]
    reason: Annotated[
        str, field("Why there is no service, or no version of it.", "Meshscribe", "there is one", "no version of this service is known")
    ]


class ServiceCalls(TypedDict, total=False):
    """What of a service's calls is counted, and what of them nobody knows."""

    since: Annotated[
        str,
        field("Counted from then on: 24 full hours and the running one, by the calls' start.", "Meshscribe", "", "2026-05-27T20:00:00Z"),
    ]
    billed: Annotated[int, field("Calls at the hop that is billed.", "the sums of usage", "", 412)]
    without_usage: Annotated[
        dict[str, int],
        field(
            "Those that tell no usage, by why (decoding.md); `unknown_protocol`: nobody could read them.",
            "the sums of usage",
            "all of them tell it",
            {"not_asked": 7, "unknown_protocol": 2},
        ),
    ]


class KnownService(ServiceState, total=False):
    """A version of a service, as the catalogue keeps it."""

    logger_mode: Annotated[LoggerMode, field("Which bodies the service's logger wants.", _LOGGER, "there is no logger", "all")]
    metadata_headers: Annotated[
        list[str], field("Request headers that payload events carry.", _LOGGER, "the logger names none", ["x-user"])
    ]
    since: Annotated[str, field("In force from then on.", _KUBERNETES, "from ever", "2026-05-28T20:26:40Z")]
    deleted: Annotated[Literal[True], field("From then on there is no such service.", _KUBERNETES, "there is", True)]
    versions: Annotated[int, field("How many versions are kept.", "Meshscribe", "in a list of versions", 3)]
    calls: Annotated[
        ServiceCalls, field("Its calls of late.", "the store", "in a list of versions, and while the store does not answer", None)
    ]
