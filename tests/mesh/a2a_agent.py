"""An agent by A2A's own library, in all three bindings, and its client: `python a2a_agent.py serve HTTP_PORT GRPC_PORT`,
`python a2a_agent.py call HTTP_URL GRPC_ADDRESS`.

Runs in an environment of its own (test_a2a.py): the library brings other files of Google's protobufs than the collector's.
The client prints, for each call, its request id and what the library parsed, in the words of a record.
"""

import asyncio
import json
import sys
import uuid

import grpc
import httpx
import uvicorn
from a2a.client import ClientCallContext, ClientConfig, ClientFactory
from a2a.helpers import new_task_from_user_message, new_text_message, new_text_part
from a2a.server.agent_execution import AgentExecutor
from a2a.server.request_handlers import DefaultRequestHandler, GrpcHandler
from a2a.server.routes import create_agent_card_routes, create_jsonrpc_routes, create_rest_routes
from a2a.server.tasks import InMemoryTaskStore, TaskUpdater
from a2a.types import a2a_pb2 as a2a
from a2a.types import a2a_pb2_grpc
from a2a.utils.errors import TaskNotFoundError
from starlette.applications import Starlette

BINDINGS = {"jsonrpc": "JSONRPC", "http+json": "HTTP+JSON", "grpc": "GRPC"}


class Agent(AgentExecutor):
    """Works on what it is asked, and wants to know more if it is asked to ask."""

    async def execute(self, context, event_queue):
        await event_queue.enqueue_event(new_task_from_user_message(context.message))
        updater = TaskUpdater(event_queue, context.task_id, context.context_id)
        await updater.start_work()
        await updater.add_artifact([new_text_part("SECRET")])
        await (updater.requires_input() if "ask" in context.get_user_input() else updater.complete())

    async def cancel(self, context, event_queue):
        await TaskUpdater(event_queue, context.task_id, context.context_id).cancel()


def card(interfaces):
    return a2a.AgentCard(
        name="agent", description="works", version="1", default_input_modes=["text/plain"], default_output_modes=["text/plain"],
        capabilities=a2a.AgentCapabilities(streaming=True), skills=[a2a.AgentSkill(id="s", name="s", description="s", tags=["s"])],
        supported_interfaces=[
            a2a.AgentInterface(url=url, protocol_binding=binding, protocol_version="1.0") for binding, url in interfaces.items()
        ],
    )  # fmt: skip


async def serve(http_port, grpc_port):
    own = card({"JSONRPC": f"http://127.0.0.1:{http_port}/agent"})
    handler = DefaultRequestHandler(Agent(), InMemoryTaskStore(), own)
    routes = [*create_agent_card_routes(own), *create_jsonrpc_routes(handler, "/agent"), *create_rest_routes(handler)]
    server = grpc.aio.server()
    a2a_pb2_grpc.add_A2AServiceServicer_to_server(GrpcHandler(handler), server)
    server.add_insecure_port(f"127.0.0.1:{grpc_port}")
    await server.start()
    await uvicorn.Server(uvicorn.Config(Starlette(routes=routes), host="127.0.0.1", port=http_port, log_level="warning")).serve()


class Caller:
    """A client of one binding, and what it was told."""

    def __init__(self, binding, client, told):
        self.binding, self._client, self._told = binding, client, told

    def begin(self, name, **inference):
        request_id = str(uuid.uuid4())
        self._told[f"{self.binding} {name}"] = {"request_id": request_id, "a2a": {"binding": self.binding}} | inference
        return ClientCallContext(service_parameters={"x-request-id": request_id})

    def put(self, name, **a2a):
        self._told[f"{self.binding} {name}"]["a2a"] |= {key: value for key, value in a2a.items() if value}

    async def send(self, name, text, operation):
        message = new_text_message(text, role=a2a.Role.ROLE_USER)
        context = self.begin(name, operation=operation)
        task, count = a2a.Task(), 0
        async for event in self._client.send_message(a2a.SendMessageRequest(message=message), context=context):
            count += 1
            if event.HasField("task"):
                task.MergeFrom(event.task)
            elif event.HasField("status_update"):
                task.status.CopyFrom(event.status_update.status)
        state = a2a.TaskState.Name(task.status.state).removeprefix("TASK_STATE_").lower()
        updates = count if operation == "SendStreamingMessage" else None
        self.put(name, answered="task", task_id=task.id, context_id=task.context_id, state=state, updates=updates)
        return task

    async def get(self, name, task_id, missing=False):
        try:
            task = await self._client.get_task(
                a2a.GetTaskRequest(id=task_id), context=self.begin(name, operation="GetTask", failed=missing)
            )
            state = a2a.TaskState.Name(task.status.state).removeprefix("TASK_STATE_").lower()
            self.put(name, answered="task", task_id=task.id, context_id=task.context_id, state=state)
        except TaskNotFoundError:
            assert missing
            self.put(name, task_id=task_id)

    async def cancel(self, name, task_id):
        task = await self._client.cancel_task(a2a.CancelTaskRequest(id=task_id), context=self.begin(name, operation="CancelTask"))
        self.put(name, answered="task", task_id=task.id, state="canceled")


async def call(url, address):
    told = {}
    for binding, protocol in BINDINGS.items():
        where = {"jsonrpc": f"{url}/agent", "http+json": url, "grpc": address}[binding]
        for streaming in (False, True):
            async with httpx.AsyncClient(trust_env=False, timeout=30) as http:
                config = ClientConfig(
                    streaming=streaming, httpx_client=http, grpc_channel_factory=grpc.aio.insecure_channel,
                    supported_protocol_bindings=[protocol],
                )  # fmt: skip
                async with ClientFactory(config).create(card({protocol: where})) as client:
                    caller = Caller(binding, client, told)
                    if streaming:
                        await caller.send("stream", "work", "SendStreamingMessage")
                        continue
                    await caller.send("send", "work", "SendMessage")
                    asked = await caller.send("asks", "ask me", "SendMessage")
                    await caller.get("get", asked.id)
                    await caller.cancel("cancel", asked.id)
                    await caller.get("missing", "t-nowhere", missing=True)
    print(json.dumps(told))


if __name__ == "__main__":
    asyncio.run(serve(*map(int, sys.argv[2:])) if sys.argv[1] == "serve" else call(*sys.argv[2:]))
