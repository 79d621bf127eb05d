"""KServe V2, the Open Inference Protocol over REST: JSON, and tensors in binary behind it (Triton's binary tensor data extension).

`Inference-Header-Content-Length` is the length of the JSON part, counted after content-decoding; of the binary part only sizes are
read. `generate` and `generate_stream` (Triton's generate extension) give text.
"""

from collector.decode import failures
from collector.decode.form import LENGTH, TENSORS
from collector.decode.reading import Body, Reading
from collector.decode.tensors import Count, describe, size
from collector.decode.values import Object, mapping, name, objects, text
from collector.messages.inference import RecordedTensor


def read(reading: Reading) -> None:
    """Fills the reading from a V2 call."""
    if reading.operation in ("infer", "infer_stream", "explain"):
        _infer(reading)
    elif reading.operation in ("generate", "generate_stream"):
        _generate(reading)
    else:
        failures.read(reading)


def _infer(reading: Reading) -> None:
    asked = mapping(_header(reading, reading.request))
    if "inputs" in asked:
        count = Count()
        reading.inference["inputs"] = _tensors(reading, reading.request, asked, "inputs", count)
        count.put(reading, "input", reading.request.is_all_told)
    if reading.streamed:
        _stream(reading)
        return
    if LENGTH in reading.response.headers:
        answer = mapping(_header(reading, reading.response))
        failures.put(reading, failures.find(answer, reading.captured.status))
    else:
        failures.read(reading)
        answer = mapping(reading.answer)
    count = Count()
    _answer(reading, answer, count)
    count.put(reading, "output", reading.response.is_all_told)


def _header(reading: Reading, body: Body) -> object:
    """The JSON part of a body."""
    told = _length(body)
    if body.form is not TENSORS:
        return reading.asked if body is reading.request else reading.answer
    if not (told.isascii() and told.isdecimal() and len(told) < 12):
        reading.problem(f"{body.side} body: {LENGTH} is {told[:64]!r}, not a number of bytes")
        return None
    length = int(told)
    if length > len(body.data) and body.whole:
        reading.problem(f"{body.side} body: {LENGTH} is {length}, the body has {len(body.data)} bytes")
    return reading.json(body, body.data[:length] if length else body.data)


def _length(body: Body) -> str:
    """What the length header says; told several times with one value it is that value (RFC 9110 §8.6)."""
    told = body.headers.get(LENGTH, "")
    values = {value.strip() for value in told.split(",")} if "," in told else {told}
    return values.pop() if len(values) == 1 else told


def _tensors(reading: Reading, body: Body, message: Object, key: str, count: Count) -> list[RecordedTensor]:
    """Describes and counts the tensors of a message, and checks the binary sizes against the body."""
    limits = reading.limits
    given = objects(message.get(key))
    if len(given) > limits.tensors:
        reading.problem(f"{body.side} body: {len(given)} tensors are over the limit of {limits.tensors}")
        given = given[: limits.tensors]
        body.partly_read = True
    tensors = [describe(each.get("name"), each.get("datatype"), each.get("shape"), limits) for each in given]
    if any("shape" in each and "shape" not in tensor for each, tensor in zip(given, tensors, strict=True)):
        reading.problem(f"{body.side} body: a shape that is no list of 64-bit numbers is left out")
    binary = [mapping(each.get("parameters")).get("binary_data_size") for each in given]
    count.add(tensors, [told if type(told) is int and told >= 0 else size(tensor) for tensor, told in zip(tensors, binary, strict=True)])
    sizes = [told for told in binary if type(told) is int]
    if sizes and body.whole and LENGTH in body.headers:
        _check(reading, body, sum(sizes))
    return tensors


def _check(reading: Reading, body: Body, told: int) -> None:
    header = _length(body)
    there = len(body.data) - int(header) if header.isascii() and header.isdecimal() else told
    if there != told:
        reading.problem(f"{body.side} body: binary tensors of {told} bytes are told, {there} bytes are there")


def _answer(reading: Reading, answer: Object, count: Count) -> None:
    if model := name(answer.get("model_name")):
        reading.inference["model_answered"] = model
    reading.put("model_version_answered", name(answer.get("model_version")))
    reading.put("id", name(answer.get("id")))
    if "outputs" in answer:
        reading.inference["outputs"] = _tensors(reading, reading.response, answer, "outputs", count)


def _stream(reading: Reading) -> None:
    """MLServer's `infer_stream`: an answer per event; the last one's outputs hold, all are counted."""
    count = Count()
    for event, end in reading.events():
        if error := failures.find(event, None):
            failures.put(reading, error)
            continue
        _answer(reading, event, count)
        if "outputs" in event:
            reading.content.append(end)
    count.put(reading, "output", reading.response.whole and not reading.events_are_left_out)


def _generate(reading: Reading) -> None:
    if not reading.streamed:
        failures.read(reading)
        _generated(reading, mapping(reading.answer))
        return
    for event, end in reading.events():
        if error := failures.find(event, None):
            failures.put(reading, error)
        elif _generated(reading, event):
            reading.content.append(end)


def _generated(reading: Reading, answer: Object) -> bool:
    """One answer of the generate extension; MLServer streams whole inference answers here too."""
    if "outputs" in answer:
        _answer(reading, answer, Count())
        return True
    _answer(reading, answer, Count())
    piece = text(answer.get("text_output"))
    if piece is None:
        return False
    reading.choices.at(0).add_text(piece)
    return bool(piece)
