"""Which protocol a call speaks: by its path, and where several share one path, by what was asked or answered.

Only the end of a path counts, so that prefixes of gateways and KServe's `/openai` do not matter. Percent-encoding is undone (`%3Apredict`).
"""

import re
from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import unquote

from collector.messages.inference import ProtocolName

CHAT: ProtocolName = "openai-chat"
COMPLETIONS: ProtocolName = "openai-completions"
RESPONSES: ProtocolName = "openai-responses"
EMBEDDINGS: ProtocolName = "openai-embeddings"
RERANK: ProtocolName = "openai-rerank"
MESSAGES: ProtocolName = "anthropic-messages"
TGI: ProtocolName = "tgi"
AUDIO: ProtocolName = "openai-audio"
IMAGES: ProtocolName = "openai-images"
MODELS: ProtocolName = "openai-models"
V1: ProtocolName = "kserve-v1"
V2: ProtocolName = "kserve-v2"
V2_GRPC: ProtocolName = "kserve-v2-grpc"
UNKNOWN: ProtocolName = "unknown"


@dataclass(frozen=True, slots=True)
class Route:
    """`handler` names the module that reads the call; None: nothing is known of it but its errors."""

    protocol: ProtocolName
    operation: str = ""
    handler: str | None = None
    model: str | None = None
    version: str | None = None

    @property
    def generates(self) -> bool:
        """Whether the call makes the model work; gRPC calls tell by their method alone."""
        return self.operation in _GENERATING


NOWHERE = Route(UNKNOWN)

_GENERATING = frozenset((
    "chat", "completion", "response", "embeddings", "pooling", "classify", "rerank", "score", "messages", "transcription", "translation",
    "speech", "image", "generate", "generate_stream", "predict", "explain", "regress", "infer", "infer_stream",
))  # fmt: skip

# The last segments of a POST's path.
_POSTS = {
    "/chat/completions": Route(CHAT, "chat", "openai_chat"),
    "/chat/completions/render": Route(CHAT, "render", "openai_chat"),
    "/completions": Route(COMPLETIONS, "completion", "openai_completions"),
    "/completions/render": Route(COMPLETIONS, "render", "openai_completions"),
    "/responses": Route(RESPONSES, "response", "openai_responses"),
    "/responses/compact": Route(RESPONSES, "compact", "openai_responses"),
    "/responses/input_tokens": Route(RESPONSES, "count_tokens", "openai_responses"),
    "/embeddings": Route(EMBEDDINGS, "embeddings", "openai_embeddings"),
    "/pooling": Route(EMBEDDINGS, "pooling", "openai_embeddings"),
    "/classify": Route(EMBEDDINGS, "classify", "openai_embeddings"),
    "/rerank": Route(RERANK, "rerank", "openai_rerank"),
    "/score": Route(RERANK, "score", "openai_rerank"),
    "/messages": Route(MESSAGES, "messages", "anthropic"),
    "/messages/count_tokens": Route(MESSAGES, "count_tokens", "anthropic"),
    "/audio/transcriptions": Route(AUDIO, "transcription", "openai_audio"),
    "/audio/translations": Route(AUDIO, "translation", "openai_audio"),
    "/audio/speech": Route(AUDIO, "speech", "openai_audio"),
    "/images/generations": Route(IMAGES, "image", "openai_images"),
    "/images/edits": Route(IMAGES, "image", "openai_images"),
    "/images/variations": Route(IMAGES, "image", "openai_images"),
    "/tokenize": Route(UNKNOWN, "tokenize", "other"),
    "/detokenize": Route(UNKNOWN, "detokenize", "other"),
    "/generate": Route(TGI, "generate", "tgi"),
    "/generate_stream": Route(TGI, "generate_stream", "tgi"),
}
_HEALTH = frozenset(("/health", "/healthz", "/livez", "/readyz", "/ping"))
_STORED = re.compile(r"/v1/(responses|chat/completions)/([^/]+)(?:/(cancel|input_items|messages))?$")
_STORED_PROTOCOL = {"responses": (RESPONSES, "openai_responses"), "chat/completions": (CHAT, "openai_chat")}
_LISTED = {"/chat/completions": Route(CHAT, "list", "openai_chat"), "/responses": Route(RESPONSES, "list", "openai_responses")}

_V1_CALL = re.compile(r"/v1/models/(.+?)(?:/(?:versions|labels)/([^/:]+))?:(predict|explain|classify|regress)$")
_V1_MODEL = re.compile(r"/v1/models/([^:]+?)(?:/(ready|metadata))?$")
_V2_MODEL = re.compile(
    r"/v2/models/(.+?)(?:/versions/([^/]+))?"
    r"(?:/(infer|infer_stream|generate|generate_stream|explain|ready|config|stats|load|unload))?$"
)
_V2_REPOSITORY = re.compile(r"/v2/repository/(?:models/(.+)/(load|unload)|(index))$")
_V2_SERVER = {"/v2": "metadata", "/v2/health/live": "live", "/v2/health/ready": "ready", "/v2/models": "list", "/v2/models/stats": "stats"}

# Paths that several protocols share: SageMaker's /invocations, TGI's /, and /v1/models (KServe V1 and OpenAI).
_INVOCATIONS, _ROOT, _MODELS, _ONE_MODEL = "?invocations", "?root", "?models", "?model"
_SHARED = frozenset((_INVOCATIONS, _ROOT, _MODELS, _ONE_MODEL))
_INVOKED = {
    "messages": "/chat/completions", "prompt": "/completions", "documents": "/rerank", "input": "/embeddings",
    "text_1": "/score", "inputs": "/generate",
}  # fmt: skip

# A mesh's calls go to few paths, over and over.
_REMEMBERED, _REMEMBERED_CHARS = 1024, 256

_GRPC_SERVICE = "/inference.GRPCInferenceService/"
_GRPC = {
    "ModelInfer": "infer", "ModelStreamInfer": "infer_stream", "ServerLive": "live", "ServerReady": "ready", "ModelReady": "ready",
    "ServerMetadata": "metadata", "ModelMetadata": "metadata", "ModelConfig": "config", "ModelStatistics": "stats",
    "RepositoryIndex": "index", "RepositoryModelLoad": "load", "RepositoryModelUnload": "unload",
}  # fmt: skip


def normalise(path: str) -> str:
    """A request target's path without query, percent-encoding, doubled and trailing slashes."""
    path = path.partition("?")[0]
    if "%" in path:
        path = unquote(path, errors="replace")
    if "//" in path:
        path = re.sub("/{2,}", "/", path)
    return path.rstrip("/") if len(path) > 1 else path


def find(method: str, path: str) -> Route:
    """The route of a call by method and path. One that `is_shared` needs `settle`."""
    return _remembered(method, path) if len(path) <= _REMEMBERED_CHARS else _found(method, path)


@lru_cache(_REMEMBERED)
def _remembered(method: str, path: str) -> Route:
    return _found(method, path)


def _found(method: str, path: str) -> Route:
    path = normalise(path)
    if path.startswith(_GRPC_SERVICE):
        return Route(V2_GRPC, _GRPC.get(path[len(_GRPC_SERVICE) :], ""), "kserve_v2_grpc")
    if method == "POST" and "/v2/models/" not in path:
        last = path.rsplit("/", 3)
        for count in (-3, -2, -1):
            if route := _POSTS.get("/" + "/".join(last[count:])):
                return route
    return _kserve(path) or _stored(method, path)


def _kserve(path: str) -> Route | None:
    if "/v1/models/" in path:
        if match := _V1_CALL.search(path):
            return Route(V1, match[3], "kserve_v1", match[1], match[2])
        if match := _V1_MODEL.search(path):
            return Route(V1, match[2] or "ready", _ONE_MODEL, match[1])
    if path.endswith("/v1/models"):
        return Route(V1, "list", _MODELS)
    return _kserve_v2(path) if "/v2" in path else None


def _kserve_v2(path: str) -> Route | None:
    if match := _V2_REPOSITORY.search(path):
        return Route(V2, match[2] or match[3], "kserve_v2", match[1])
    if match := _V2_MODEL.search(path):
        return Route(V2, match[3] or "metadata", "kserve_v2", match[1], match[2])
    for end, operation in _V2_SERVER.items():
        if path.endswith(end):
            return Route(V2, operation, "kserve_v2")
    return None


def _stored(method: str, path: str) -> Route:
    if match := _STORED.search(path):
        protocol, handler = _STORED_PROTOCOL[match[1]]
        return Route(protocol, match[3] or ("delete" if method == "DELETE" else "retrieve"), handler)
    for end, route in _LISTED.items():
        if path.endswith(end):
            return route
    if path in _HEALTH:
        return Route(UNKNOWN, "health", "other")
    if method == "POST":
        if path.endswith("/invocations"):
            return Route(UNKNOWN, "", _INVOCATIONS)
        if path in ("", "/"):
            return Route(UNKNOWN, "", _ROOT)
    return NOWHERE


def is_shared(route: Route) -> bool:
    """Whether several protocols share the path, so that the bodies must tell."""
    return route.handler in _SHARED


def settle(route: Route, asked: object, answer: object) -> Route:
    """The route of a call on a shared path, by the JSON that was asked and answered (None: not known)."""
    asked_keys = asked.keys() if isinstance(asked, dict) else ()
    keys = answer.keys() if isinstance(answer, dict) else ()
    if route.handler == _MODELS:
        return Route(MODELS, "models", "other") if "data" in keys else Route(V1, "list", "kserve_v1")
    if route.handler == _ONE_MODEL:
        openai = "object" in keys and "id" in keys
        return Route(MODELS, "model", "other", route.model) if openai else Route(V1, route.operation, "kserve_v1", route.model)
    if route.handler == _ROOT:
        return _POSTS["/generate"] if "inputs" in asked_keys else NOWHERE
    for key, path in _INVOKED.items():
        if key in asked_keys:
            return _POSTS[path]
    return NOWHERE
