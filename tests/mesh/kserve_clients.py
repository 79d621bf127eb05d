"""Calls of KServe's and Triton's own clients: `python kserve_clients.py kserve|triton HTTP_URL GZIP_URL GRPC_ADDRESS`.

Runs in an environment of its own (test_kserve_clients.py), one of the two at a time: their protobuf definitions exclude each other.
Prints, for each call, its request id and what the client's library parsed, in the words of a record.
"""

import asyncio
import json
import queue
import sys
import uuid

CALLS = {}
SHAPE = [2, 3]


def begin(name):
    """Headers with the request id of a new call."""
    CALLS[name] = {"request_id": str(uuid.uuid4())}
    return {"x-request-id": CALLS[name]["request_id"]}


def told(name, inference, **usage):
    CALLS[name] |= {"inference": inference, "usage": usage}


def tensors(outputs):
    return [{"name": each.name, "datatype": each.datatype, "shape": [int(size) for size in each.shape]} for each in outputs]


def triton_tensors(outputs):
    return [{"name": each["name"], "datatype": each["datatype"], "shape": [int(size) for size in each["shape"]]} for each in outputs]


async def kserve(url, _gzip_url, grpc_address):
    from grpc import RpcError
    from kserve import InferenceGRPCClient, InferenceRESTClient, InferInput, InferRequest
    from kserve.inference_client import RESTConfig

    instances = [[1, 2], [3, 4], [5, 6]]
    headers = begin("kserve v1")
    answer = await InferenceRESTClient(RESTConfig(protocol="v1")).infer(url, {"instances": instances}, model_name="iris", headers=headers)
    told("kserve v1", {"model_requested": "iris"}, rows=3, output_rows=len(answer["predictions"]))

    given = InferInput("x", SHAPE, "FP32", [1.0, 2.0, 3.0, 4.0, 5.0, 6.0])
    request = InferRequest(model_name="iris", infer_inputs=[given], request_id="r-1")
    answer = await InferenceRESTClient(RESTConfig(protocol="v2")).infer(url, request, model_name="iris", headers=begin("kserve v2"))
    kserve_v2("kserve v2", answer)

    client = InferenceGRPCClient(grpc_address, retries=0)
    kserve_v2("kserve grpc", await client.infer(request, headers=list(begin("kserve grpc").items())))
    missing = InferRequest(model_name="missing", infer_inputs=[given], request_id="r-2")
    try:
        await client.infer(missing, headers=list(begin("kserve grpc error").items()))
    except RpcError as error:
        told("kserve grpc error", {"error": error.details(), "model_requested": "missing"})
    await client.close()


def kserve_v2(name, answer):
    inference = {"model_answered": answer.model_name, "id": answer.id, "outputs": tensors(answer.outputs)}
    told(name, inference, rows=2, input_tensors=1, input_bytes=24, output_tensors=len(answer.outputs))


def triton_v2(name, response, count=1):
    inference = {"model_answered": response["model_name"], "id": response["id"], "outputs": triton_tensors(response["outputs"])}
    told(name, inference, rows=2 * count, input_tensors=count, input_bytes=24 * count, output_tensors=count, output_bytes=8 * count)


def given_to(module):
    import numpy as np

    given = module.InferInput("x", SHAPE, "FP32")
    given.set_data_from_numpy(np.arange(6, dtype=np.float32).reshape(SHAPE))
    return [given]


def triton(url, gzip_url, grpc_address):
    import tritonclient.grpc
    import tritonclient.http

    for name, address, more in (
        ("triton http", url, {}),
        ("triton gzip", gzip_url, {"request_compression_algorithm": "gzip", "response_compression_algorithm": "gzip"}),
    ):
        with tritonclient.http.InferenceServerClient(address.removeprefix("http://")) as client:
            answer = client.infer("iris", given_to(tritonclient.http), request_id="r-3", headers=begin(name), **more)
            triton_v2(name, answer.get_response())
            assert answer.as_numpy("sum").tolist() == [3.0, 12.0]
    with tritonclient.grpc.InferenceServerClient(grpc_address) as client:
        given = given_to(tritonclient.grpc)
        for name, more in (("triton grpc", {}), ("triton grpc gzip", {"compression_algorithm": "gzip"})):
            answer = client.infer("iris", given, request_id="r-4", headers=begin(name), **more)
            triton_v2(name, answer.get_response(as_json=True))
        triton_stream(client, given)


def triton_stream(client, given):
    answers = queue.Queue()
    client.start_stream(lambda result, error: answers.put((result, error)), headers=begin("triton grpc stream"))
    for _ in range(3):
        client.async_stream_infer("iris", given, request_id="r-5")
    found = [answers.get(timeout=60) for _ in range(3)]
    client.stop_stream()
    assert [error for _, error in found] == [None] * 3
    triton_v2("triton grpc stream", found[0][0].get_response(as_json=True), 3)


if __name__ == "__main__":
    if sys.argv[1] == "kserve":
        asyncio.run(kserve(*sys.argv[2:]))
    else:
        triton(*sys.argv[2:])
    print(json.dumps(CALLS))
