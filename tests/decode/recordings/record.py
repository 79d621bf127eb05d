"""Makes the recordings beside this file. See README.md for how to run it."""

import argparse
import asyncio
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

import httpx
from grpc import RpcError
from recorders import Grpc, Http, serve
from scripted import application

HERE = Path(__file__).parent
TOOLS = [{"type": "function", "function": {"name": "weather", "parameters": {"type": "object", "properties": {}, "required": []}}}]
ASK: dict[str, Any] = {"messages": [{"role": "user", "content": "hi"}]}


def port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def save(name: str, made_with: str, taken: list[dict], expected: dict) -> None:
    """The last exchange that was taken, with what the client's own library made of it."""
    record = {"made_with": made_with, **taken[-1], "expected": expected}
    (HERE / f"{name}.json").write_text(json.dumps(record, indent=1, sort_keys=True) + "\n")
    print(name, expected)


@contextmanager
def running(command: list[str], ready: str) -> Iterator[None]:
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        for _ in range(600):
            try:
                if httpx.get(ready).status_code == 200:
                    break
            except httpx.TransportError:
                time.sleep(0.1)
        else:
            raise TimeoutError(ready)
        yield
    finally:
        process.terminate()
        process.wait(20)


def known(**values: Any) -> dict:
    return {key: value for key, value in values.items() if value is not None}


def chat_choice(choice: Any) -> dict:
    calls = [known(id=call.id, name=call.function.name, arguments=call.function.arguments) for call in choice.message.tool_calls or []]
    told = known(index=choice.index, role=choice.message.role, text=choice.message.content, finish_reason=choice.finish_reason)
    return told | ({"tool_calls": calls} if calls else {})


def chat_usage(usage: Any) -> dict:
    return known(
        prompt_tokens=usage.prompt_tokens,
        completion_tokens=usage.completion_tokens,
        total_tokens=usage.total_tokens,
        cached_tokens=usage.prompt_tokens_details.cached_tokens,
        reasoning_tokens=usage.completion_tokens_details.reasoning_tokens,
    )


def chat(completion: Any) -> dict:
    return {
        "model_answered": completion.model,
        "id": completion.id,
        "choices": [chat_choice(each) for each in completion.choices],
        "usage": chat_usage(completion.usage),
    }


def openai_clients(url: str, recorder: Http) -> None:
    import openai

    client = openai.OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0)
    made = f"openai {openai.__version__} client, scripted answers"
    expected = chat(client.chat.completions.create(model="alias", **ASK))
    save("openai-chat", made, recorder.taken(), expected)
    streams = {"": {}, "-n": {"n": 3}, "-tools": {"tools": TOOLS}}
    for suffix, more in streams.items():
        for model in ("alias", "gzip") if not suffix else ("alias",):
            with client.chat.completions.stream(model=model, stream_options={"include_usage": True}, **ASK, **more) as stream:
                expected = chat(stream.get_final_completion())
            save(f"openai-chat-stream{suffix}{'-gzip' if model == 'gzip' else ''}", made, recorder.taken(), expected)
    try:
        client.chat.completions.create(model="missing", **ASK)
    except openai.NotFoundError as error:
        body: Any = error.body
        save("openai-chat-error", made, recorder.taken(), {"error": body})
    response = client.responses.create(model="alias", input="hi")
    save("openai-responses", made, recorder.taken(), responses(response))
    with client.responses.stream(model="alias", input="hi") as stream:
        response = stream.get_final_response()
    save("openai-responses-stream", made, recorder.taken(), responses(response))
    found = client.embeddings.create(model="alias", input=["a", "b"], encoding_format="float")
    usage = {"prompt_tokens": found.usage.prompt_tokens, "total_tokens": found.usage.total_tokens, "rows": 2}
    shape = [len(found.data), len(found.data[0].embedding)]
    save("openai-embeddings-gzip", made, recorder.taken(), {"outputs": [{"name": "embedding", "shape": shape}], "usage": usage})
    said = client.audio.transcriptions.create(model="whisper", file=("a.wav", b"RIFF" + bytes(60), "audio/wav"))
    usage = {
        "prompt_tokens": said.usage.input_tokens,
        "completion_tokens": said.usage.output_tokens,
        "total_tokens": said.usage.total_tokens,
    }
    inputs = [{"name": "file", "filename": "a.wav", "content_type": "audio/wav", "size": 64}]
    save("openai-transcription", made, recorder.taken(), {"choices": [{"index": 0, "text": said.text}], "usage": usage, "inputs": inputs})


def responses(response: Any) -> dict:
    calls = [known(id=o.call_id, name=o.name, arguments=o.arguments) for o in response.output if o.type == "function_call"]
    choice = {"index": 0, "role": "assistant", "text": response.output_text, "tool_calls": calls, "finish_reason": response.status}
    usage = known(
        prompt_tokens=response.usage.input_tokens,
        completion_tokens=response.usage.output_tokens,
        total_tokens=response.usage.total_tokens,
        cached_tokens=response.usage.input_tokens_details.cached_tokens,
        reasoning_tokens=response.usage.output_tokens_details.reasoning_tokens,
    )
    return {"model_answered": response.model, "id": response.id, "choices": [choice], "usage": usage}


def anthropic_clients(url: str, recorder: Http) -> None:
    import anthropic

    client = anthropic.Anthropic(base_url=url, api_key="none", max_retries=0)
    made = f"anthropic {anthropic.__version__} client, scripted answers"
    asked: dict[str, Any] = {"model": "claude", "max_tokens": 100, **ASK}
    message = client.messages.create(**asked)
    save("anthropic-messages", made, recorder.taken(), anthropic_message(message))
    with client.messages.stream(**asked) as stream:
        message = stream.get_final_message()
    save("anthropic-messages-stream", made, recorder.taken(), anthropic_message(message))


def anthropic_message(message: Any) -> dict:
    blocks = {kind: [block for block in message.content if block.type == kind] for kind in ("text", "thinking", "tool_use")}
    calls = [
        {"id": block.id, "name": block.name, "arguments": json.dumps(block.input, separators=(",", ":"))} for block in blocks["tool_use"]
    ]
    choice = {
        "index": 0,
        "role": message.role,
        "text": "".join(block.text for block in blocks["text"]),
        "reasoning": "".join(block.thinking for block in blocks["thinking"]),
        "tool_calls": calls,
        "finish_reason": message.stop_reason,
    }
    usage = known(
        prompt_tokens=message.usage.input_tokens,
        completion_tokens=message.usage.output_tokens,
        cached_tokens=message.usage.cache_read_input_tokens,
        cache_creation_tokens=message.usage.cache_creation_input_tokens,
    )
    return {"model_answered": message.model, "id": message.id, "choices": [choice], "usage": usage}


def tensors(found: list[Any]) -> list[dict]:
    return [{"name": each.name, "datatype": each.datatype, "shape": [int(size) for size in each.shape]} for each in found]


async def kserve_clients(url: str, grpc_address: str, http: Http, grpc: Grpc) -> None:
    from kserve import InferenceGRPCClient, InferenceRESTClient, InferInput, InferRequest
    from kserve.inference_client import RESTConfig

    made = f"kserve {version('kserve')} server and clients"
    client = InferenceRESTClient(RESTConfig(protocol="v1"))
    answer = await client.infer(url, {"instances": [[1, 2], [3, 4], [5, 6]]}, model_name="iris")
    usage = {"rows": 3, "output_rows": len(answer["predictions"])}
    save("kserve-v1-predict", made, http.taken(), {"model_requested": "iris", "usage": usage})
    given = InferInput("x", [2, 2], "FP32", [1.0, 2.0, 3.0, 4.0])
    request = InferRequest(model_name="iris", infer_inputs=[given], request_id="r-1")
    client = InferenceRESTClient(RESTConfig(protocol="v2"))
    answer = await client.infer(url, request, model_name="iris")
    save("kserve-v2-infer", made, http.taken(), v2(answer))
    answer = await InferenceGRPCClient(grpc_address).infer(request)
    save("kserve-v2-grpc-infer", made, grpc.taken(), v2(answer))
    try:
        missing = InferRequest(model_name="missing", infer_inputs=[given], request_id="r-2")
        await InferenceGRPCClient(grpc_address, retries=0).infer(missing)
    except RpcError as error:
        save("kserve-v2-grpc-error", made, grpc.taken(), {"error": {"message": error.details()}})
    for name, path, body in (
        ("kserve-v1-missing-instances", "/v1/models/iris:predict", {}),
        ("kserve-v1-explain", "/v1/models/iris:explain", {"instances": [[1]]}),
        ("kserve-v2-bad-request", "/v2/models/iris/infer", {"inputs": 1}),
    ):
        answered = httpx.post(url + path, json=body)
        save(name, made, http.taken(), {"status": answered.status_code, "has_error": True})
    listed = httpx.get(f"{url}/v1/models").json()
    save("kserve-v1-list", made, http.taken(), {"protocol": "kserve-v1", "operation": "list"})
    assert listed == {"models": ["iris"]}


def v2(answer: Any) -> dict:
    usage = {"input_tensors": 1, "input_bytes": 16, "rows": 2, "output_tensors": len(answer.outputs)}
    return {"model_answered": answer.model_name, "id": answer.id, "outputs": tensors(answer.outputs), "usage": usage}


TRITON = """
import json, sys
import numpy as np
http_address, grpc_address, step = sys.argv[1:]
def tensor(module):
    given = module.InferInput("x", [2, 2], "FP32")
    given.set_data_from_numpy(np.ones((2, 2), dtype=np.float32))
    return given
def told(outputs):
    return [{"name": o["name"], "datatype": o["datatype"], "shape": [int(s) for s in o["shape"]]} for o in outputs]
if step in ("binary", "gzip"):
    import tritonclient.http as t
    client = t.InferenceServerClient(http_address)
    more = {"request_compression_algorithm": "gzip", "response_compression_algorithm": "gzip"} if step == "gzip" else {}
    wanted = [t.InferRequestedOutput("y", binary_data=True)]
    response = client.infer("iris", [tensor(t)], outputs=wanted, request_id="r-1", **more).get_response()
    print(json.dumps({"id": response["id"], "model_answered": response["model_name"], "outputs": told(response["outputs"])}))
else:
    import tritonclient.grpc as t
    from google.protobuf.json_format import MessageToDict
    client = t.InferenceServerClient(grpc_address)
    response = client.infer("iris", [tensor(t)], request_id="r-1").get_response(as_json=True)
    print(json.dumps({"id": response["id"], "model_answered": response["model_name"], "outputs": told(response["outputs"])}))
"""


def triton_clients(python: str, http: Http, http_port: int, grpc: Grpc, grpc_port: int, server: str) -> None:
    for step in ("binary", "gzip", "grpc"):
        command = [python, "-c", TRITON, f"127.0.0.1:{http_port}", f"127.0.0.1:{grpc_port}", step]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
        taken = (grpc if step == "grpc" else http).taken()
        if done.returncode:
            print("not recorded:", server, step, done.stderr.strip().splitlines()[-1:])
            continue
        expected = json.loads(done.stdout) | {"usage": {"input_tensors": 1, "input_bytes": 16, "rows": 2, "output_tensors": 1}}
        save(f"{server}-triton-{step}", f"{server} server, tritonclient", taken, expected)


def mlserver_clients(url: str, http: Http) -> None:
    asked = {"id": "r-1", "inputs": [{"name": "p", "shape": [1], "datatype": "BYTES", "data": ["hi"]}]}
    for operation in ("infer_stream", "generate_stream"):
        with httpx.stream("POST", f"{url}/v2/models/words/{operation}", json=asked) as answer:
            events = [line[6:] for line in answer.iter_lines() if line.startswith("data: ")]
        words = [json.loads(event)["outputs"][0]["data"][0] for event in events]
        outputs = [{"name": "text", "datatype": "BYTES", "shape": [1, 1]}]
        expected = {"model_answered": "words", "delivered_chunks": len(words), "outputs": outputs, "streamed": True}
        save(f"mlserver-{operation}", "mlserver server, httpx", http.taken(), expected)


def mlserver_settings(folder: Path, http_port: int, grpc_port: int) -> None:
    settings = {"http_port": http_port, "grpc_port": grpc_port, "metrics_port": port(), "parallel_workers": 0, "gzip_enabled": True}
    (folder / "settings.json").write_text(json.dumps(settings))
    for name in ("Iris", "Words"):
        (folder / name).mkdir()
        (folder / name / "model-settings.json").write_text(json.dumps({"name": name.lower(), "implementation": f"servers.{name}"}))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--mlserver", help="python of an environment with mlserver and tritonclient[all]")
    mlserver = parser.parse_args().mlserver
    upstream, taken = port(), port()
    serve(application(), upstream)
    scripted = Http(f"http://127.0.0.1:{upstream}", taken)
    openai_clients(f"http://127.0.0.1:{taken}", scripted)
    anthropic_clients(f"http://127.0.0.1:{taken}", scripted)
    ports = [port() for _ in range(4)]
    with running(
        [sys.executable, str(HERE / "servers.py"), "kserve", str(ports[0]), str(ports[1])], f"http://127.0.0.1:{ports[0]}/v2/health/ready"
    ):
        http, grpc = Http(f"http://127.0.0.1:{ports[0]}", ports[2]), Grpc(f"127.0.0.1:{ports[1]}", ports[3])
        asyncio.run(kserve_clients(f"http://127.0.0.1:{ports[2]}", f"127.0.0.1:{ports[3]}", http, grpc))
        if mlserver:
            triton_clients(mlserver, http, ports[2], grpc, ports[3], "kserve")
    if not mlserver:
        return
    ports = [port() for _ in range(4)]
    with tempfile.TemporaryDirectory() as folder:
        mlserver_settings(Path(folder), ports[0], ports[1])
        os.environ["PYTHONPATH"] = str(HERE)
        command = [str(Path(mlserver).parent / "mlserver"), "start", folder]
        with running(command, f"http://127.0.0.1:{ports[0]}/v2/health/ready"):
            time.sleep(2)
            http, grpc = Http(f"http://127.0.0.1:{ports[0]}", ports[2]), Grpc(f"127.0.0.1:{ports[1]}", ports[3])
            triton_clients(mlserver, http, ports[2], grpc, ports[3], "mlserver")
            mlserver_clients(f"http://127.0.0.1:{ports[2]}", http)


if __name__ == "__main__":
    main()
