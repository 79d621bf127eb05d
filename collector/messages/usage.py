"""`usage` in a record: numbers of an exchange that can be billed, each with who said it. Decode makes it (decode/usage.py)."""

from typing import Annotated, Literal, TypedDict

from collector.messages.field import field

Provenance = Literal["reported", "last_cumulative", "estimated"]
UsageName = Literal[
    "prompt_tokens",
    "completion_tokens",
    "total_tokens",
    "cached_tokens",
    "cache_creation_tokens",
    "cache_creation_5m_tokens",
    "cache_creation_30m_tokens",
    "cache_creation_1h_tokens",
    "cache_creation_12h_tokens",
    "cache_creation_24h_tokens",
    "reasoning_tokens",
    "prompt_audio_tokens",
    "completion_audio_tokens",
    "prompt_image_tokens",
    "tool_prompt_tokens",
    "completion_image_tokens",
    "accepted_prediction_tokens",
    "rejected_prediction_tokens",
    "delivered_tokens",
    "audio_seconds",
    "video_seconds",
    "input_characters",
    "search_units",
    "web_search_requests",
    "web_fetch_requests",
    "sources_used",
    "images",
    "rows",
    "output_rows",
    "input_tensors",
    "output_tensors",
    "input_bytes",
    "output_bytes",
    "asked_images",
    "asked_rows",
    "asked_input_characters",
    "asked_input_tensors",
    "asked_input_bytes",
]
# Why no number of what was done is told, from what hides most to what hides nothing (decode/untold.py).
UsageAbsence = Literal["withheld", "unknown_protocol", "capture_limit", "aborted_before_usage", "not_asked", "not_told"]
# What was only asked for, since the call was not answered.
ASKED: frozenset[str] = frozenset(("asked_images", "asked_rows", "asked_input_characters", "asked_input_tensors", "asked_input_bytes"))

_SERVER = "the answer"
_UNTOLD = "the server did not tell it"
_COUNTED = "counted from the bodies"
_ANSWERED = "the call was answered, or the form of the request does not tell"


class UsageNumber(TypedDict, total=False):
    """A number and who said it."""

    value: Annotated[float, field("The number; whole, but for seconds.", "see `provenance`", "", 42)]
    provenance: Annotated[
        Provenance,
        field(
            "`reported`: the server's final number, or counted from the bodies. `last_cumulative`: the last of running totals. "
            "`estimated`: by the tokenizer that the operator set.",
            "Meshscribe",
            "",
            "reported",
        ),
    ]


ClassName = Literal[
    "input_uncached",
    "input_cached",
    "input_audio",
    "input_image",
    "input_tool",
    "cache_write",
    "cache_write_5m",
    "cache_write_30m",
    "cache_write_1h",
    "cache_write_12h",
    "cache_write_24h",
    "output",
    "output_audio",
    "output_image",
    "reasoning",
]
_CLASSED = "what it is made of was not told"


class TokenClasses(TypedDict, total=False):
    """Tokens by what they cost. They are disjoint, and all that were told: the sum is what a server bills."""

    input_uncached: Annotated[
        int, field("Of the request: read anew, and neither sound nor image where these are told.", _SERVER, _CLASSED, 30, "tokens")
    ]
    input_cached: Annotated[int, field("Of the request: read from a cache.", _SERVER, _CLASSED, 64, "tokens")]
    input_audio: Annotated[int, field("Of the request: sound.", _SERVER, _CLASSED, 12, "tokens")]
    input_image: Annotated[int, field("Of the request: images.", _SERVER, _CLASSED, 258, "tokens")]
    input_tool: Annotated[int, field("Tools' results that the model read beside the request.", _SERVER, _CLASSED, 12, "tokens")]
    cache_write: Annotated[
        int, field("Of the request: written to a cache for a time that was not told.", _SERVER, "its lifetime is told", 15, "tokens")
    ]
    cache_write_5m: Annotated[int, field("Of the request: written to a cache for 5 minutes.", _SERVER, _CLASSED, 15, "tokens")]
    cache_write_30m: Annotated[int, field("Likewise, for 30 minutes.", _SERVER, _CLASSED, 15, "tokens")]
    cache_write_1h: Annotated[int, field("Likewise, for an hour.", _SERVER, _CLASSED, 15, "tokens")]
    cache_write_12h: Annotated[int, field("Likewise, for 12 hours.", _SERVER, _CLASSED, 15, "tokens")]
    cache_write_24h: Annotated[int, field("Likewise, for 24 hours.", _SERVER, _CLASSED, 15, "tokens")]
    output: Annotated[int, field("Generated: neither reasoning nor sound nor image where these are told.", _SERVER, _CLASSED, 42, "tokens")]
    output_audio: Annotated[int, field("Generated: sound.", _SERVER, _CLASSED, 42, "tokens")]
    output_image: Annotated[int, field("Generated: images.", _SERVER, _CLASSED, 42, "tokens")]
    reasoning: Annotated[int, field("Generated: reasoning.", _SERVER, _CLASSED, 42, "tokens")]


class UsageConflict(TypedDict, total=False):
    """A number for which the server told several values."""

    name: Annotated[UsageName, field("The number's name.", "Meshscribe", "", "completion_tokens")]
    values: Annotated[list[float], field("The values, in the order in which they were told, at most 8.", _SERVER, "", [11, 12])]


class RecordedUsage(TypedDict, total=False):
    """The numbers, as they were told. Totals are never computed."""

    prompt_tokens: Annotated[
        UsageNumber, field("Tokens of the request. Anthropic's and Bedrock's leave cached tokens out.", _SERVER, _UNTOLD, None, "tokens")
    ]
    completion_tokens: Annotated[UsageNumber, field("Tokens that were generated.", _SERVER, _UNTOLD, None, "tokens")]
    total_tokens: Annotated[UsageNumber, field("The total, as the server told it.", _SERVER, _UNTOLD, None, "tokens")]
    cached_tokens: Annotated[UsageNumber, field("Prompt tokens read from a cache.", _SERVER, _UNTOLD, None, "tokens")]
    cache_creation_tokens: Annotated[UsageNumber, field("Prompt tokens written to a cache.", _SERVER, _UNTOLD, None, "tokens")]
    cache_creation_5m_tokens: Annotated[UsageNumber, field("Those of them that are kept for 5 minutes.", _SERVER, _UNTOLD, None, "tokens")]
    cache_creation_30m_tokens: Annotated[UsageNumber, field("Those for 30 minutes.", _SERVER, _UNTOLD, None, "tokens")]
    cache_creation_1h_tokens: Annotated[UsageNumber, field("Those for an hour.", _SERVER, _UNTOLD, None, "tokens")]
    cache_creation_12h_tokens: Annotated[UsageNumber, field("Those for 12 hours.", _SERVER, _UNTOLD, None, "tokens")]
    cache_creation_24h_tokens: Annotated[UsageNumber, field("Those for 24 hours.", _SERVER, _UNTOLD, None, "tokens")]
    reasoning_tokens: Annotated[
        UsageNumber, field("Completion tokens that were reasoning. Gemini's are beside them.", _SERVER, _UNTOLD, None, "tokens")
    ]
    prompt_audio_tokens: Annotated[UsageNumber, field("Prompt tokens that were sound.", _SERVER, _UNTOLD, None, "tokens")]
    completion_audio_tokens: Annotated[UsageNumber, field("Completion tokens that were sound.", _SERVER, _UNTOLD, None, "tokens")]
    prompt_image_tokens: Annotated[UsageNumber, field("Prompt tokens that were images.", _SERVER, _UNTOLD, None, "tokens")]
    tool_prompt_tokens: Annotated[
        UsageNumber,
        field("Tokens of tools' results that the model read, beside those of the prompt (Gemini).", _SERVER, _UNTOLD, None, "tokens"),
    ]
    completion_image_tokens: Annotated[UsageNumber, field("Completion tokens that were images.", _SERVER, _UNTOLD, None, "tokens")]
    accepted_prediction_tokens: Annotated[
        UsageNumber, field("Tokens of the client's predicted output that were used.", _SERVER, _UNTOLD, None, "tokens")
    ]
    rejected_prediction_tokens: Annotated[
        UsageNumber, field("Tokens of the client's predicted output that were not used.", _SERVER, _UNTOLD, None, "tokens")
    ]
    delivered_tokens: Annotated[
        UsageNumber,
        field(
            "Tokens of the text that passed.",
            "the operator's tokenizer",
            "the stream was not broken off, or there is no tokenizer",
            None,
            "tokens",
        ),
    ]
    video_seconds: Annotated[UsageNumber, field("Length of the video that was made.", _SERVER, _UNTOLD, None, "s")]
    audio_seconds: Annotated[UsageNumber, field("Length of the sound that was sent.", _SERVER, _UNTOLD, None, "s")]
    input_characters: Annotated[
        UsageNumber, field("Characters to be spoken.", _COUNTED, "the call is no speech synthesis", None, "characters")
    ]
    search_units: Annotated[UsageNumber, field("Cohere's billed units of a rerank call.", _SERVER, _UNTOLD)]
    web_search_requests: Annotated[UsageNumber, field("Searches that the server made for the answer.", _SERVER, _UNTOLD, None, "requests")]
    web_fetch_requests: Annotated[UsageNumber, field("Pages that the server fetched for it.", _SERVER, _UNTOLD, None, "requests")]
    sources_used: Annotated[UsageNumber, field("Sources of a search that the answer used.", _SERVER, _UNTOLD, None, "sources")]
    images: Annotated[
        UsageNumber,
        field("Images in the request of a chat; in the answer of image generation.", _COUNTED, "there are none", None, "images"),
    ]
    rows: Annotated[
        UsageNumber,
        field(
            "Inputs: texts, documents, instances, rows of the first tensor.",
            _COUNTED,
            "the form of the request does not tell",
            None,
            "rows",
        ),
    ]
    output_rows: Annotated[UsageNumber, field("Rows of a KServe V1 answer.", _COUNTED, "the call is not KServe V1", None, "rows")]
    input_tensors: Annotated[UsageNumber, field("Tensors of the request.", _COUNTED, "the call is not KServe V2", None, "tensors")]
    output_tensors: Annotated[UsageNumber, field("Tensors of the answer.", _COUNTED, "the call is not KServe V2", None, "tensors")]
    input_bytes: Annotated[
        UsageNumber, field("Size of the request's tensors.", _COUNTED, "the size of one is not known, as of text in JSON", None, "bytes")
    ]
    output_bytes: Annotated[
        UsageNumber, field("Size of the answer's tensors.", _COUNTED, "the size of one is not known, as of text in JSON", None, "bytes")
    ]
    asked_images: Annotated[
        UsageNumber,
        field("`images` of a chat that was not answered.", _COUNTED, "the call was answered, or there are none", None, "images"),
    ]
    asked_rows: Annotated[UsageNumber, field("`rows` of a call that was not answered.", _COUNTED, _ANSWERED, None, "rows")]
    asked_input_characters: Annotated[
        UsageNumber,
        field(
            "`input_characters` of a call that was not answered.",
            _COUNTED,
            "the call was answered, or is no speech synthesis",
            None,
            "characters",
        ),
    ]
    asked_input_tensors: Annotated[
        UsageNumber, field("`input_tensors` of a call that was not answered.", _COUNTED, _ANSWERED, None, "tensors")
    ]
    asked_input_bytes: Annotated[UsageNumber, field("`input_bytes` of a call that was not answered.", _COUNTED, _ANSWERED, None, "bytes")]
    conflicts: Annotated[
        list[UsageConflict],
        field("Numbers for which the server told different final values, or totals that fell.", "Meshscribe", "there are none"),
    ]
    other: Annotated[
        dict[str, float],
        field(
            "Numbers that the usage object told under other names, by their path in it, the last of each. At most 48.",
            _SERVER,
            "there are none",
            {"cost": 0.00123, "iterations.0.input_tokens": 9},
        ),
    ]
