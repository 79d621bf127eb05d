"""What GET /v1/exchanges/{id}/conversation answers. What is not there is absent; why it is not there is said in `missing`."""

from typing import Annotated, Literal, TypedDict

from collector.messages.field import field
from collector.messages.inference import ProtocolName

KindName = Literal["text", "reasoning", "refusal", "image", "audio", "video", "file", "tool_call", "tool_result", "other"]
SideName = Literal["request", "response"]
_BODY, _MADE, _RECORD = "the bodies", "Meshscribe", "the record"
_NOT_SAID = "it was not said"
_NO_RIGHT = "who asks may not see texts"


class Link(TypedDict):
    """Where the other half of a tool's call is."""

    message: Annotated[int, field("The message, counted from 0.", _MADE, "", 2)]
    part: Annotated[int, field("The part of it, counted from 0.", _MADE, "", 0)]


class Part(TypedDict, total=False):
    """A part of a message."""

    kind: Annotated[KindName, field("What it is.", _BODY, "", "text")]
    text: Annotated[
        str,
        field(
            "What it says; of a tool's call the arguments, of its result the result, of `other` its JSON.",
            _BODY,
            f"it says nothing, or {_NO_RIGHT}",
            "What is the weather in Oslo?",
        ),
    ]
    cut: Annotated[Literal[True], field("The text is longer than is shown here.", _MADE, "it is not", True)]
    id: Annotated[str, field("Of a tool's call and its result: the call's id.", _BODY, _NOT_SAID, "call_1")]
    name: Annotated[str, field("The tool, or the file.", _BODY, _NOT_SAID, "weather")]
    failed: Annotated[Literal[True], field("The tool's result is told as an error.", _BODY, "it is not", True)]
    link: Annotated[Link, field("Of a call where its result is; of a result where its call is.", _MADE, "the other is not in here")]
    content_type: Annotated[str, field("Type of an image, a sound, a file.", _BODY, _NOT_SAID, "image/png")]
    size: Annotated[int, field("Its size.", _BODY, "it stands elsewhere (`url`)", 48044, "bytes")]
    url: Annotated[str, field("Where it stands.", _BODY, f"it is in the body, or {_NO_RIGHT}", "https://example.com/cat.png")]


class Message(TypedDict, total=False):
    """What one of the two sides said at once."""

    side: Annotated[SideName, field("In which of the bodies it stands.", _MADE, "", "request")]
    role: Annotated[str, field("Who speaks.", "the bodies, else by the place where it stands", "", "user")]
    name: Annotated[str, field("The speaker's name.", _BODY, _NOT_SAID, "ann")]
    choice: Annotated[int, field("Which of the answers it is.", _RECORD, "it was asked", 0)]
    finish_reason: Annotated[str, field("Why it ended.", _RECORD, _NOT_SAID, "stop")]
    parts: Annotated[list[Part], field("What it says.", _MADE, "")]


class Tool(TypedDict, total=False):
    """A tool that the model was offered."""

    name: Annotated[str, field("Its name.", "the request", _NOT_SAID, "weather")]
    text: Annotated[str, field("What it is for and what it takes, as JSON.", "the request", _NO_RIGHT, '{"description":"…"}')]
    cut: Annotated[Literal[True], field("The text is longer than is shown here.", _MADE, "it is not", True)]


class Values(TypedDict, total=False):
    """A tensor, or the rows of a KServe V1 body."""

    name: Annotated[str, field("Its name.", "the message", _NOT_SAID, "input_ids")]
    datatype: Annotated[str, field("KServe V2 datatype.", "the message", _NOT_SAID, "FP32")]
    shape: Annotated[list[int], field("Its dimensions.", "the message", _NOT_SAID, [1, 128])]
    values: Annotated[list[str], field("The first of its values, each as JSON.", _BODY, f"they are not JSON, or {_NO_RIGHT}", ["0.5"])]
    left_out: Annotated[int, field("How many more there are.", _MADE, "all are shown, or none", 28, "values")]


class Rpc(TypedDict, total=False):
    """A JSON-RPC message of the Model Context Protocol."""

    side: Annotated[SideName, field("In which of the bodies it stands.", _MADE, "", "request")]
    id: Annotated[str, field("Its id.", _BODY, "it is a notification", "7")]
    method: Annotated[str, field("Its method.", _BODY, "it is an answer", "tools/call")]
    params: Annotated[str, field("Its params as JSON.", _BODY, f"there are none, or {_NO_RIGHT}", '{"name":"weather"}')]
    result: Annotated[str, field("Its result as JSON.", _BODY, f"there is none, or {_NO_RIGHT}", '{"content":[]}')]
    error: Annotated[str, field("Its error as JSON.", _BODY, f"there is none, or {_NO_RIGHT}", '{"code":-32602}')]
    cut: Annotated[Literal[True], field("What it says is longer than is shown here.", _MADE, "it is not", True)]
    answers: Annotated[int, field("The entry that it answers, counted from 0.", _MADE, "it is none, or that is not in here", 0)]


class Conversation(TypedDict, total=False):
    """An exchange as what was said in it."""

    exchange: Annotated[str, field("The exchange's id.", _RECORD, "", "019e8a1c-5b00-7c11-a2b3-0242ac120002")]
    revision: Annotated[int, field("The revision that is shown.", _RECORD, "the record is damaged", 0)]
    protocol: Annotated[ProtocolName, field("The protocol.", _RECORD, "nothing was decoded", "openai-chat")]
    operation: Annotated[str, field("What was wanted.", _RECORD, "it is no known call", "chat")]
    model: Annotated[str, field("The model that answered, else the one that was asked.", _RECORD, _NOT_SAID, "llama-3-8b")]
    messages: Annotated[list[Message], field("What was said, in order; the answers last.", _MADE, "")]
    tools: Annotated[list[Tool], field("The tools that were offered.", "the request", "none was")]
    inputs: Annotated[list[Values], field("Tensors or rows that were asked.", "the request", "there are none")]
    outputs: Annotated[list[Values], field("Tensors or rows of the answer.", "the answer", "there are none")]
    rpc: Annotated[list[Rpc], field("Messages of the Model Context Protocol.", _BODY, "it is another protocol")]
    missing: Annotated[
        list[str], field("What of the conversation is not here, and why.", _MADE, "", ["The request's body is cut: 4096 of 9000 bytes."])
    ]
    problems: Annotated[list[str], field("What could not be read.", _MADE, "there is nothing", ["request body: not JSON: …"])]
