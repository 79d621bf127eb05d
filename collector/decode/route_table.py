"""Every route that is known, as one table: which method and path mean which protocol and operation, whether the call makes a model work,
and where its usage is. docs/decoding.md shows it; routes.py looks calls up in it.

The shape of a path is its end, so that prefixes of gateways and KServe's `/openai` do not matter. `{model}` (`{name}`: without a colon)
and `{version}` are names in it, `{id}` is one segment. A shape with `^` before it is the whole path. Of several rows that fit the first
holds.
"""

from typing import NamedTuple

from collector.messages.inference import ProtocolName

CHAT: ProtocolName = "openai-chat"
COMPLETIONS: ProtocolName = "openai-completions"
RESPONSES: ProtocolName = "openai-responses"
REALTIME: ProtocolName = "openai-realtime"
EMBEDDINGS: ProtocolName = "openai-embeddings"
RERANK: ProtocolName = "openai-rerank"
MESSAGES: ProtocolName = "anthropic-messages"
TGI: ProtocolName = "tgi"
OLLAMA: ProtocolName = "ollama"
GEMINI: ProtocolName = "gemini"
BEDROCK: ProtocolName = "bedrock"
COHERE: ProtocolName = "cohere"
TEI: ProtocolName = "tei"
LLAMA_CPP: ProtocolName = "llama-cpp"
MODERATIONS: ProtocolName = "openai-moderations"
AUDIO: ProtocolName = "openai-audio"
IMAGES: ProtocolName = "openai-images"
MODELS: ProtocolName = "openai-models"
VIDEOS: ProtocolName = "openai-videos"
BATCHES: ProtocolName = "openai-batches"
FILES: ProtocolName = "openai-files"
MESSAGE_BATCHES: ProtocolName = "anthropic-batches"
V1: ProtocolName = "kserve-v1"
V2: ProtocolName = "kserve-v2"
V2_GRPC: ProtocolName = "kserve-v2-grpc"
MCP: ProtocolName = "mcp"
A2A: ProtocolName = "a2a"
UNKNOWN: ProtocolName = "unknown"

# Azure names their model in the path: /deployments/NAME/…
DEPLOYED = (CHAT, COMPLETIONS, RESPONSES, EMBEDDINGS, AUDIO, IMAGES)
GRAPH = "graph"  # the operation of a call that a KServe InferenceGraph passes on
WEBSOCKET = "WEBSOCKET"  # stands for the method of a request that asks for an upgrade

_USAGE = "`usage`"
_STREAMED = "`usage`; of a stream in its last events"
_SOCKET = "`usage` at the end of each response or transcription"
_COUNTED = "counted: tensors, rows, bytes"
_TEXTS = "`details`, `meta_info`, headers `x-prompt-tokens` and `x-generated-tokens`"

_EVALUATED = "`prompt_eval_count`, `eval_count`; of a stream in its last line"
_METADATA = "`usageMetadata`; of a stream in every event"

_HEALTH = ("/health", "/healthz", "/livez", "/readyz", "/ping")


class Row(NamedTuple):
    """One route. `handler`: the module that reads the call, None: nothing is read but errors. `usage`: where it is; only what generates
    has any. `bodies`: the bodies decide whether it is this route: the name of the rule in agreement.py.
    """

    method: str
    shape: str
    protocol: ProtocolName
    operation: str
    handler: str | None = None
    usage: str = ""
    bodies: str = ""

    @property
    def generates(self) -> bool:
        """Whether the call makes the model work. Only such a call can be billed."""
        return bool(self.usage)


_V2_ROWS = (
    Row("POST", "/v2/repository/models/{model}/load", V2, "load", "kserve_v2"),
    Row("POST", "/v2/repository/models/{model}/unload", V2, "unload", "kserve_v2"),
    Row("POST", "/v2/repository/index", V2, "index", "kserve_v2"),
    *(
        Row(method, f"/v2/models/{{model}}{version}/{operation}", V2, operation, "kserve_v2", usage)
        for version in ("/versions/{version}", "")
        for method, operation, usage in (
            ("POST", "infer", _COUNTED),
            ("POST", "infer_stream", _COUNTED),
            ("POST", "explain", _COUNTED),
            ("POST", "generate", "none is told"),
            ("POST", "generate_stream", "none is told"),
            ("GET", "ready", ""),
            ("GET", "config", ""),
            ("GET", "stats", ""),
            ("POST", "load", ""),
            ("POST", "unload", ""),
        )
    ),
    Row("GET", "/v2/models/stats", V2, "stats", "kserve_v2"),
    Row("GET", "/v2/models/{model}/versions/{version}", V2, "metadata", "kserve_v2"),
    Row("GET", "/v2/models/{model}", V2, "metadata", "kserve_v2"),
    Row("GET", "/v2/models", V2, "list", "kserve_v2"),
    Row("GET", "/v2/health/live", V2, "live", "kserve_v2"),
    Row("GET", "/v2/health/ready", V2, "ready", "kserve_v2"),
    Row("GET", "/v2", V2, "metadata", "kserve_v2", bodies="v2 server"),
)

_V1_ROWS = (
    *(
        Row("POST", f"/v1/models/{{model}}{version}:{operation}", V1, operation, "kserve_v1", "counted: rows")
        for version in ("/versions/{version}", "/labels/{version}", "")
        for operation in ("predict", "explain", "classify", "regress")
    ),
    Row("GET", "/v1/models/{name}/ready", V1, "ready", "kserve_v1", bodies="model"),
    Row("GET", "/v1/models/{name}/metadata", V1, "metadata", "kserve_v1", bodies="model"),
    Row("GET", "/v1/models/{name}", V1, "ready", "kserve_v1", bodies="model"),
    Row("GET", "/v1/models", V1, "list", "kserve_v1", bodies="models"),
)

_GRPC_ROWS = tuple(
    Row("POST", f"^/inference.GRPCInferenceService/{method}", V2_GRPC, operation, "kserve_v2_grpc", usage)
    for method, operation, usage in (
        ("ModelInfer", "infer", _COUNTED),
        ("ModelStreamInfer", "infer_stream", _COUNTED),
        ("ServerLive", "live", ""),
        ("ServerReady", "ready", ""),
        ("ModelReady", "ready", ""),
        ("ServerMetadata", "metadata", ""),
        ("ModelMetadata", "metadata", ""),
        ("ModelConfig", "config", ""),
        ("ModelStatistics", "stats", ""),
        ("RepositoryIndex", "index", ""),
        ("RepositoryModelLoad", "load", ""),
        ("RepositoryModelUnload", "unload", ""),
    )
)

_COMPUTED = "`compute_tokens` in the metadata of each answer; counted: rows"
_TEI_ROWS = tuple(
    Row("POST", f"^/tei.v1.{service}/{method}{stream}", TEI, operation, "tei_grpc", usage)
    for service, methods, operation, usage in (
        ("Embed", ("Embed", "EmbedAll", "EmbedSparse"), "embeddings", _COMPUTED),
        ("Predict", ("Predict", "PredictPair"), "classify", _COMPUTED),
        ("Rerank", ("Rerank",), "rerank", _COMPUTED),
        ("Tokenize", ("Tokenize",), "tokenize", ""),
        ("Tokenize", ("Decode",), "detokenize", ""),
        ("Info", ("Info",), "metadata", ""),
    )
    for method in methods
    for stream in (("",) if service == "Info" else ("", "Stream"))
)

_OPENAI_ROWS = (
    Row("POST", "/chat/completions/render", CHAT, "render", "openai_chat"),
    Row("POST", "/chat/completions", CHAT, "chat", "openai_chat", _STREAMED),
    Row("POST", "/v1/chat/completions/batch", CHAT, "chat", "openai_chat", _USAGE),  # vLLM's: a choice for each conversation
    Row("POST", "/completions/render", COMPLETIONS, "render", "openai_completions"),
    Row("POST", "/completions", COMPLETIONS, "completion", "openai_completions", _STREAMED, "completions"),
    Row("POST", "/responses/compact", RESPONSES, "compact", "openai_responses", _USAGE),
    Row("POST", "/responses/input_tokens", RESPONSES, "count_tokens", "openai_responses"),
    Row("POST", "/responses", RESPONSES, "response", "openai_responses", _STREAMED, "responses"),
    Row(WEBSOCKET, "/responses", RESPONSES, "response", "openai_socket", _SOCKET, "socket"),
    Row(WEBSOCKET, "/realtime", REALTIME, "realtime", "openai_socket", _SOCKET, "socket"),
    Row("POST", "/embeddings", EMBEDDINGS, "embeddings", "openai_embeddings", f"{_USAGE}; counted: rows", "embeddings"),
    Row("POST", "/pooling", EMBEDDINGS, "pooling", "openai_embeddings", f"{_USAGE}; counted: rows", "embeddings"),
    Row("POST", "/classify", EMBEDDINGS, "classify", "openai_embeddings", f"{_USAGE}; counted: rows", "embeddings"),
    Row("POST", "/rerank", RERANK, "rerank", "openai_rerank", f"{_USAGE}, `meta`; counted: rows", "rerank"),
    Row("POST", "/score", RERANK, "score", "openai_rerank", f"{_USAGE}, `meta`; counted: rows", "score"),
    Row("POST", "/audio/transcriptions", AUDIO, "transcription", "openai_audio", _STREAMED),
    Row("POST", "/audio/translations", AUDIO, "translation", "openai_audio", _STREAMED),
    Row("POST", "/audio/speech", AUDIO, "speech", "openai_audio", f"{_STREAMED}; counted: characters"),
    Row("POST", "/images/generations", IMAGES, "image", "openai_images", f"{_STREAMED}; counted: images"),
    Row("POST", "/images/edits", IMAGES, "image", "openai_images", f"{_STREAMED}; counted: images"),
    Row("POST", "/images/variations", IMAGES, "image", "openai_images", f"{_USAGE}; counted: images"),
    Row("POST", "/v1/responses/{id}/cancel", RESPONSES, "cancel", "openai_responses"),
    Row("GET", "/v1/responses/{id}/input_items", RESPONSES, "input_items", "openai_responses"),
    Row("GET", "/v1/responses/{id}", RESPONSES, "retrieve", "openai_responses"),
    Row("DELETE", "/v1/responses/{id}", RESPONSES, "delete", "openai_responses"),
    Row("GET", "/v1/chat/completions/{id}/messages", CHAT, "retrieve", "openai_chat"),
    Row("GET", "/v1/chat/completions/{id}", CHAT, "retrieve", "openai_chat"),
    Row("POST", "/v1/chat/completions/{id}", CHAT, "update", "openai_chat"),
    Row("DELETE", "/v1/chat/completions/{id}", CHAT, "delete", "openai_chat"),
    Row("GET", "/chat/completions", CHAT, "list", "openai_chat"),
    Row("GET", "/responses", RESPONSES, "list", "openai_responses", bodies="list"),
)

# What a batch used is told by its object at the end (OpenAI), or by its results (Anthropic), to whoever asks; hops.py bills the first.
_BATCH_ROWS = (
    *(
        Row(method, f"{before}/batches{rest}", BATCHES, operation, "batches", bodies="batches" if operation == "list" else "batch")
        for before in ("/v1", "/openai")
        for method, rest, operation in (
            ("POST", "/{id}/cancel", "cancel"),
            ("POST", "", "create"),
            ("GET", "/{id}", "retrieve"),
            ("GET", "", "list"),
        )
    ),
    *(
        Row(method, f"{before}/files{rest}", FILES, operation, bodies=rule)
        for before in ("/v1", "/openai")
        for method, rest, operation, rule in (
            ("POST", "", "upload", "file"),
            ("GET", "/{id}/content", "content", "lines"),
            ("GET", "/{id}", "retrieve", "file"),
            ("DELETE", "/{id}", "delete", "deleted"),
            ("GET", "", "list", "files"),
        )
    ),
    Row("POST", "/v1/messages/batches/{id}/cancel", MESSAGE_BATCHES, "cancel", "batches"),
    Row("POST", "/v1/messages/batches", MESSAGE_BATCHES, "create", "batches"),
    Row("GET", "/v1/messages/batches/{id}/results", MESSAGE_BATCHES, "results", "batches"),
    Row("GET", "/v1/messages/batches/{id}", MESSAGE_BATCHES, "retrieve", "batches"),
    Row("DELETE", "/v1/messages/batches/{id}", MESSAGE_BATCHES, "delete", "batches"),
    Row("GET", "/v1/messages/batches", MESSAGE_BATCHES, "list", "batches"),
)

_OLLAMA_ROWS = (
    Row("POST", "/api/chat", OLLAMA, "chat", "ollama", _EVALUATED, "ollama chat"),
    Row("POST", "/api/generate", OLLAMA, "generate", "ollama", _EVALUATED, "ollama generate"),
    Row("POST", "/api/embed", OLLAMA, "embeddings", "ollama", "`prompt_eval_count`; counted: rows", "ollama embed"),
    Row("POST", "/api/embeddings", OLLAMA, "embeddings", "ollama", "counted: rows", "ollama embeddings"),
)

# Google AI's `/v1beta/models/…`, and Vertex AI's `/v1/projects/…/publishers/google/models/…` and `/v1/projects/…/endpoints/…`.
_GEMINI_ROWS = tuple(
    Row("POST", f"/{kind}/{{model}}:{verb}", GEMINI, operation, "gemini", usage)
    for verb, operation, usage in (
        ("generateContent", "generate", "`usageMetadata`"),
        ("streamGenerateContent", "generate_stream", _METADATA),
        ("embedContent", "embeddings", "`usageMetadata`; counted: rows"),
        ("batchEmbedContents", "embeddings", "`usageMetadata`; counted: rows"),
        ("countTokens", "count_tokens", ""),
        ("computeTokens", "tokenize", ""),
    )
    for kind in ("models", "tunedModels", "endpoints")
)

_BEDROCK_ROWS = (
    Row("POST", "/model/{model}/converse", BEDROCK, "chat", "bedrock", _USAGE, "bedrock"),
    Row("POST", "/model/{model}/converse-stream", BEDROCK, "chat", "bedrock", "`usage` in the event `metadata`", "bedrock"),
    Row("POST", "/model/{model}/invoke", BEDROCK, "invoke", "bedrock", "`usage`, headers `x-amzn-bedrock-…-token-count`", "bedrock"),
    Row(
        "POST",
        "/model/{model}/invoke-with-response-stream",
        BEDROCK,
        "invoke",
        "bedrock",
        "`amazon-bedrock-invocationMetrics` in the last event",
        "bedrock",
    ),
    Row("POST", "/model/{model}/count-tokens", BEDROCK, "count_tokens", "bedrock", bodies="bedrock"),
)

_A2A_CALLS = (
    "SendMessage", "SendStreamingMessage", "GetTask", "ListTasks", "CancelTask", "SubscribeToTask", "TaskSubscription",
    "GetExtendedAgentCard", "GetAgentCard", "CreateTaskPushNotificationConfig", "GetTaskPushNotificationConfig",
    "ListTaskPushNotificationConfig", "ListTaskPushNotificationConfigs", "DeleteTaskPushNotificationConfig",
)  # fmt: skip

_UNITS = "`usage` or `meta`: `billed_units`, else `tokens`"
_HEADER = "header `x-compute-tokens`; counted: rows"
_EVENTS = "`tokens_evaluated`, `tokens_predicted`; of a stream in every event"
_NATIVE_ROWS = (
    Row("POST", "/v2/chat", COHERE, "chat", "cohere", f"{_UNITS}; of a stream in its last event", "cohere chat"),
    Row("POST", "/v1/chat", COHERE, "chat", "cohere", f"{_UNITS}; of a stream in its last event", "cohere chat of 2023"),
    *(
        Row("POST", f"/{version}/embed", COHERE, "embeddings", "cohere", f"{_UNITS}; counted: rows", "cohere embed")
        for version in ("v2", "v1")
    ),
    *(Row("POST", f"/embed{kind}", TEI, "embeddings", "tei", _HEADER, "tei") for kind in ("", "_all", "_sparse")),
    Row("POST", "/predict", TEI, "classify", "tei", _HEADER, "tei predict"),
    Row("POST", "/similarity", TEI, "score", "tei", _HEADER, "tei"),
    Row("POST", "/completion", LLAMA_CPP, "completion", "llama_cpp", _EVENTS, "llama completion"),
    Row("POST", "/infill", LLAMA_CPP, "completion", "llama_cpp", _EVENTS, "llama infill"),
    Row("POST", "/embedding", LLAMA_CPP, "embeddings", "llama_cpp", "`tokens_evaluated`; counted: rows", "llama embedding"),
    Row("POST", "/apply-template", LLAMA_CPP, "render", bodies="template"),
    Row("POST", "/moderations", MODERATIONS, "moderate", bodies="moderations"),  # OpenAI's cost nothing
)

# As a batch, a video is told to whoever polls; what it cost at its end.
_VIDEO_ROWS = (
    *(Row("POST", f"/videos{what}", VIDEOS, "create", "openai_videos", bodies="video") for what in ("", "/edits", "/extensions")),
    Row("POST", "/v1/videos/{id}/remix", VIDEOS, "create", "openai_videos", bodies="video"),
    Row("GET", "/v1/videos/{id}", VIDEOS, "retrieve", "openai_videos", bodies="video"),
    Row("DELETE", "/v1/videos/{id}", VIDEOS, "delete", "openai_videos", bodies="deleted"),
    Row("GET", "/v1/videos", VIDEOS, "list", "openai_videos", bodies="files"),
)

_OTHER_ROWS = (
    Row("POST", "/messages/count_tokens", MESSAGES, "count_tokens", "anthropic"),
    Row("POST", "/messages", MESSAGES, "messages", "anthropic", _STREAMED, "messages"),
    # Vertex AI passes on what Anthropic's models are asked.
    Row("POST", "/publishers/anthropic/models/count-tokens:rawPredict", MESSAGES, "count_tokens", "anthropic"),
    Row("POST", "/publishers/anthropic/models/{model}:rawPredict", MESSAGES, "messages", "anthropic", _STREAMED),
    Row("POST", "/publishers/anthropic/models/{model}:streamRawPredict", MESSAGES, "messages", "anthropic", _STREAMED),
    Row("POST", "/generate", TGI, "generate", "tgi", _TEXTS, "generate"),
    Row("POST", "/generate_stream", TGI, "generate_stream", "tgi", _TEXTS, "generate"),
    Row("POST", "/tokenize", UNKNOWN, "tokenize"),
    Row("POST", "/detokenize", UNKNOWN, "detokenize"),
    # vLLM takes POST /ping too.
    *(Row(method, f"^{path}", UNKNOWN, "health") for method in ("GET", "POST") for path in _HEALTH),
    *(Row(method, "/mcp", MCP, "", "mcp", bodies="mcp") for method in ("POST", "GET", "DELETE")),  # and at any other path (json_rpc.py)
    # Its JSON-RPC is found at any path (json_rpc.py).
    *(Row("POST", f"^/{package}.A2AService/{call}", A2A, "", "a2a") for package in ("lf.a2a.v1", "a2a.v1") for call in _A2A_CALLS),
    *(Row("POST", shape, A2A, "", "a2a", bodies="a2a") for shape in ("/message:send", "/message:stream", "/tasks/{id}:cancel")),
    *(Row(method, "/tasks/{id}:subscribe", A2A, "", "a2a", bodies="a2a") for method in ("GET", "POST")),
    *(
        Row(method, f"/tasks/{{id}}/pushNotificationConfigs{config}", A2A, "", "a2a", bodies="a2a")
        for method, config in (("POST", ""), ("GET", ""), ("GET", "/{id}"), ("DELETE", "/{id}"))
    ),
    *(Row("GET", shape, A2A, "", "a2a", bodies="a2a") for shape in ("/tasks/{id}", "/tasks", "/extendedAgentCard")),
    *(Row("GET", f"/.well-known/{card}", A2A, "", "a2a", bodies="a2a") for card in ("agent-card.json", "agent.json")),
    # The protocol of these is whatever was asked: SageMaker's, and what TGI and KServe's InferenceGraph answer to.
    Row("POST", "/invocations", UNKNOWN, "", bodies="invocations"),
    Row("POST", "^/", UNKNOWN, "", bodies="root"),
)

TABLE: tuple[Row, ...] = (
    *_GRPC_ROWS,
    *_TEI_ROWS,
    *_V2_ROWS,
    *_V1_ROWS,
    *_OLLAMA_ROWS,
    *_BATCH_ROWS,
    *_OPENAI_ROWS,
    *_GEMINI_ROWS,
    *_BEDROCK_ROWS,
    *_NATIVE_ROWS,
    *_VIDEO_ROWS,
    *_OTHER_ROWS,
)
