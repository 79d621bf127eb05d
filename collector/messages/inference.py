"""`inference` in a record: who was asked what, and what came back. Decode makes it, one module for each protocol."""

from typing import Annotated, Literal, TypedDict

from collector.messages.field import field
from collector.messages.mcp import Mcp
from collector.messages.usage import RecordedUsage, TokenClasses, UsageAbsence

BindingName = Literal["jsonrpc", "http+json", "grpc"]
StateName = Literal[
    "submitted", "working", "completed", "failed", "canceled", "input_required", "rejected", "auth_required", "unknown"
]  # fmt: skip
AnswerName = Literal["task", "message"]

_SEEN = "the answer, else the request"
ProtocolName = Literal[
    "openai-chat",
    "openai-completions",
    "openai-responses",
    "openai-realtime",
    "openai-embeddings",
    "openai-rerank",
    "openai-audio",
    "openai-images",
    "openai-models",
    "openai-batches",
    "openai-files",
    "openai-moderations",
    "openai-videos",
    "anthropic-messages",
    "anthropic-batches",
    "tgi",
    "ollama",
    "gemini",
    "bedrock",
    "cohere",
    "tei",
    "llama-cpp",
    "kserve-v1",
    "kserve-v2",
    "kserve-v2-grpc",
    "mcp",
    "a2a",
    "unknown",
]

_ASKED, _ANSWERED = "the request", "the answer"
_ABSENT = "it was not said"
_ERROR = "the error"
_EVENT = "its events"


class A2a(TypedDict, total=False):
    """An exchange of the Agent2Agent protocol."""

    binding: Annotated[BindingName, field("How it is spoken.", "path and body", "", "jsonrpc")]
    protocol_version: Annotated[str, field("Its version.", "header `a2a-version` of the request", "not told", "1.0")]
    task_id: Annotated[str, field("The task.", f"{_SEEN}, or its path", "there is none, or it was not captured", "t-5d41402a")]
    context_id: Annotated[str, field("The conversation that the task belongs to.", _SEEN, "it was not told", "c-7d79303d")]
    answered: Annotated[AnswerName, field("What came back: a task or its updates, or a message.", "the answer", "neither came", "task")]
    state: Annotated[StateName, field("The task's last state that was told.", "the answer", "none was told", "completed")]
    updates: Annotated[
        int,
        field("Messages of a stream.", "counted in the answer", "it is no stream, or not all of it was captured and read", 4, "messages"),
    ]


class ToolCall(TypedDict, total=False):
    """A call of a tool that the model asks for."""

    id: Annotated[str, field("The call's id.", _ANSWERED, _ABSENT, "call_1")]
    name: Annotated[str, field("The tool.", _ANSWERED, _ABSENT, "weather")]
    arguments: Annotated[
        str,
        field(
            "Its arguments as one text, usually JSON; sent as an object, compact JSON.",
            _ANSWERED,
            "who asks has no right to texts",
            '{"city":"Oslo"}',
        ),
    ]


class AnswerChoice(TypedDict, total=False):
    """One of the answers. Pieces of a stream are put together as a call without streaming would have returned them."""

    index: Annotated[int, field("Its index.", _ANSWERED, "", 0)]
    role: Annotated[str, field("Who speaks.", _ANSWERED, _ABSENT, "assistant")]
    text: Annotated[str, field("The text; of a spoken answer its transcript.", _ANSWERED, 'none was sent (an empty one is `""`)', "Oslo.")]
    reasoning: Annotated[str, field("What the model thought.", _ANSWERED, "none was sent", "The user asks …")]
    refusal: Annotated[str, field("Why the model refused.", _ANSWERED, "none was sent", "I cannot help with that.")]
    tool_calls: Annotated[list[ToolCall], field("Calls of tools.", _ANSWERED, "there are none")]
    finish_reason: Annotated[str, field("Why it ended.", _ANSWERED, _ABSENT, "stop")]
    logprobs: Annotated[Literal[True], field("There are log probabilities. They are not kept.", _ANSWERED, "there are none", True)]


class RecordedTensor(TypedDict, total=False):
    """A tensor, never its data; of a form, a file, never its bytes; of embeddings and rerank, the form of the results."""

    name: Annotated[str, field("Name.", "the message", _ABSENT, "input_ids")]
    datatype: Annotated[str, field("KServe V2 datatype.", "the message", _ABSENT, "FP32")]
    shape: Annotated[list[int], field("Its dimensions.", "the message", "it was not said, or is no list of numbers", [1, 128])]
    filename: Annotated[str, field("A file's name.", _ASKED, "it is no file", "speech.wav")]
    content_type: Annotated[str, field("A file's type.", _ASKED, "it is no file, or its type was not said", "audio/wav")]
    size: Annotated[int, field("A file's size.", _ASKED, "it is no file, or was cut", 48044, "bytes")]


class ErrorDetails(TypedDict, total=False):
    """What an error says: in JSON or text, in an event of a stream with status 200, or in gRPC's trailers."""

    message: Annotated[str | int | float, field("What happened, at most 4,096 characters.", _ERROR, _ABSENT, "The model does not exist.")]
    type: Annotated[str | int | float, field("Kind of error; gRPC's code as a name.", _ERROR, _ABSENT, "NotFoundError")]
    code: Annotated[str | int | float, field("The server's code; gRPC's code.", _ERROR, _ABSENT, 404)]
    param: Annotated[str | int | float, field("The parameter that was wrong.", _ERROR, _ABSENT, "model")]


class RecordedAnswer(TypedDict, total=False):
    """One of the answers of a WebSocket, in the order in which they ended."""

    operation: Annotated[str, field("`response`, or `transcription` of what was said.", _EVENT, "", "response")]
    id: Annotated[str, field("The response's id; of a transcription that of what was written down.", _EVENT, _ABSENT, "resp_7d2f")]
    model: Annotated[str, field("The model; where no answer names one, that of the session.", _EVENT, _ABSENT, "gpt-realtime")]
    service_tier: Annotated[str, field("The tier of service.", _EVENT, _ABSENT, "default")]
    finish_reason: Annotated[str, field("Why it ended.", _EVENT, "it did not end, or nobody said", "completed")]
    usage: Annotated[RecordedUsage, field("Its own usage.", _EVENT, "none was told")]
    usage_absent: Annotated[UsageAbsence, field("Why it has none (decoding.md).", "Meshscribe", "it has usage", "aborted_before_usage")]
    usage_classes: Annotated[
        TokenClasses, field("Its tokens by what they cost, each once.", "Meshscribe", "that is not known of its tokens", {"output": 42})
    ]


class SocketClose(TypedDict, total=False):
    """How a WebSocket was closed."""

    by: Annotated[Literal["client", "server"], field("Whose frame was seen.", "the frames", "both closed, as they do in order", "server")]
    code: Annotated[int, field("The code; 1005: none was sent.", "the frame", "", 1000)]
    reason: Annotated[str, field("The reason, at most 123 bytes.", "the frame", _ABSENT, "session expired")]


class Inference(TypedDict, total=False):
    """What decoding found in the bodies (decoding.md)."""

    protocol: Annotated[
        ProtocolName,
        field("The protocol.", "method and path, and the bodies where these are not enough", "nothing was decoded", "openai-chat"),
    ]
    operation: Annotated[
        str,
        field("What was wanted: `chat`, `infer`, `health`, … (decoding.md lists them).", "as the protocol", "it is no known call", "chat"),
    ]
    model_requested: Annotated[str, field("The model that was asked for.", "the request, or its path", _ABSENT, "llama-3-8b")]
    model_answered: Annotated[
        str, field("The model that answered. An alias is answered under its base name.", _ANSWERED, _ABSENT, "llama-3-8b")
    ]
    model_version_requested: Annotated[str, field("Its version.", "the path (KServe V1, V2), or the request", _ABSENT, "2")]
    model_version_answered: Annotated[str, field("Its version.", "the answer (KServe V2)", _ABSENT, "2")]
    id: Annotated[str, field("The answer's own id.", "the answer, else the request (KServe V2)", _ABSENT, "chatcmpl-7d2f")]
    service_tier: Annotated[str, field("The tier of service in which it was answered.", _ANSWERED, _ABSENT, "flex")]
    background: Annotated[
        Literal[True],
        field(
            "It is answered in the background: whoever retrieves it, a batch or a video, is told its usage, each time.",
            _ANSWERED,
            "it is not",
            True,
        ),
    ]
    streamed: Annotated[
        bool, field("Whether the answer is a stream.", "the answer; without one, the request", "not known, or nothing is generated", True)
    ]
    choices: Annotated[list[AnswerChoice], field("The answers.", _ANSWERED, "no text was generated")]
    inputs: Annotated[list[RecordedTensor], field("Tensors or files of the request.", _ASKED, "there are none")]
    outputs: Annotated[list[RecordedTensor], field("Tensors, or the form of the results.", _ANSWERED, "there are none")]
    delivered_chunks: Annotated[
        int,
        field(
            "Events with content that passed. It is no number of tokens.",
            "counted in the stream",
            "the answer is no stream, or its middle was not captured or not read",
            37,
            "events",
        ),
    ]
    answers: Annotated[
        list[RecordedAnswer],
        field("Of a WebSocket each answer by itself, at most 1,024; `usage` holds what all of them come to.", _ANSWERED, "there are none"),
    ]
    answer_count: Annotated[
        int,
        field("Answers of a WebSocket that ended or were broken off, as far as they were seen.", _ANSWERED, "it is none", 12, "answers"),
    ]
    answers_unseen: Annotated[
        Literal[True],
        field(
            "Of a WebSocket not all was captured or could be read: there may have been more answers.", "Meshscribe", "all was read", True
        ),
    ]
    closed: Annotated[SocketClose, field("How the WebSocket was closed.", "the frames", "no close was seen")]
    error: Annotated[ErrorDetails, field("What the error says.", _ANSWERED, "none was told")]
    mcp: Annotated[Mcp, field("What the exchange is in the Model Context Protocol.", "bodies and headers", "the protocol is another")]
    a2a: Annotated[A2a, field("What the exchange is in the Agent2Agent protocol.", "bodies and headers", "the protocol is another")]
