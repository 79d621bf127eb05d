"""OpenAI's pictures, which are never read. Images: generation and editing, how many came, usage. Videos: asked for once, and told to
whoever polls; their seconds, by which they are paid, count once they are made.
"""

from collector.decode import failures
from collector.decode.form import Form
from collector.decode.multipart import parts
from collector.decode.openai_chat import read_head
from collector.decode.reading import Reading
from collector.decode.values import mapping, name, objects

_DIGITS = 6


def read_images(reading: Reading) -> None:
    """Fills the reading. `images` counts those in the answer."""
    if reading.request.form is Form.MULTIPART:
        told = parts(reading.request.data, reading.request.headers.get("content-type", ""), reading.limits)
        form = {part.name: part.value for part in told}
        reading.put("model_requested", name(form.get("model")))
    else:
        reading.put("model_requested", name(mapping(reading.asked).get("model")))
    if reading.streamed:
        _stream(reading)
        return
    failures.read(reading)
    answer = mapping(reading.answer)
    read_head(reading, answer)
    if "data" in answer and reading.response.whole:
        reading.usage.note("images", len(objects(answer["data"])))
    if isinstance(usage := answer.get("usage"), dict):
        reading.usage.frame(usage)


def _stream(reading: Reading) -> None:
    images = 0
    for event, end in reading.typed_events():
        kind = event.get("type")
        if isinstance(kind, str) and kind.endswith(("partial_image", ".completed")):
            reading.content.append(end)
            images += kind.endswith(".completed")
        if isinstance(usage := event.get("usage"), dict):
            reading.usage.frame(usage)
        if error := failures.find(event, None):
            failures.put(reading, error)
    if reading.response.whole and not reading.events_are_left_out:
        reading.usage.note("images", images or None)


def read_videos(reading: Reading) -> None:
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
