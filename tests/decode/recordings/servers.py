"""The model servers that `record.py` starts: `python servers.py kserve HTTP_PORT GRPC_PORT` and `python servers.py mlserver FOLDER`.

MLServer loads the class `Words` and `Iris` from this file.
"""

import asyncio
import sys


def kserve(http_port: int, grpc_port: int) -> None:
    from kserve import InferOutput, InferResponse, Model, ModelServer

    class Iris(Model):
        def __init__(self) -> None:
            super().__init__("iris")
            self.ready = True

        async def predict(self, payload, headers=None, response_headers=None):
            if isinstance(payload, dict):
                return {"predictions": [sum(row) for row in payload["instances"]]}
            rows = payload.inputs[0].shape[0]
            output = InferOutput("y", [rows], "FP32", [0.5] * rows)
            return InferResponse(response_id=payload.id or "none", model_name="iris", infer_outputs=[output])

    ModelServer(http_port=http_port, grpc_port=grpc_port, workers=1).start([Iris()])


if "mlserver" in sys.modules or sys.argv[0].endswith("mlserver"):
    from mlserver import MLModel
    from mlserver.codecs import StringCodec
    from mlserver.types import InferenceResponse, ResponseOutput

    class Iris(MLModel):
        async def predict(self, payload):
            rows = payload.inputs[0].shape[0]
            output = ResponseOutput(name="y", shape=[rows], datatype="FP32", data=[0.5] * rows)
            return InferenceResponse(model_name=self.name, id=payload.id, outputs=[output])

    class Words(MLModel):
        async def predict_stream(self, payloads):
            async for payload in payloads:
                for word in ("one ", "two ", "three"):
                    await asyncio.sleep(0.02)
                    output = StringCodec.encode_output("text", [word])
                    yield InferenceResponse(model_name=self.name, id=payload.id, outputs=[output])


if __name__ == "__main__" and sys.argv[1:2] == ["kserve"]:
    ports = [int(port) for port in sys.argv[2:4]]
    sys.argv[1:] = []
    kserve(*ports)
