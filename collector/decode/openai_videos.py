"""OpenAI's videos: asked for once, and told to whoever polls. Their seconds, by which they are paid, count once they are made."""

from collector.decode import failures
from collector.decode.openai_chat import read_head
from collector.decode.reading import Reading
from collector.decode.values import mapping, name

_DIGITS = 6


def read(reading: Reading) -> None:
    """Fills the reading from a call about videos."""
    asked = mapping(reading.asked if reading.request.starts_as_json else None)
    reading.put("model_requested", name(asked.get("model")))
    failures.read(reading)
    video = mapping(reading.answer)
    if video.get("object") != "video":
        return
    read_head(reading, video)
    reading.tell_background(video)
    if video.get("status") == "completed":
        seconds = video.get("seconds")  # a text, as it is asked for
        told = (
            int(seconds) if isinstance(seconds, str) and seconds.isascii() and seconds.isdecimal() and len(seconds) <= _DIGITS else seconds
        )
        reading.usage.note("video_seconds", told)
