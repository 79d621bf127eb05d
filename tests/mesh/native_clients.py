"""Calls of Ollama's, Google's, Amazon's and Cohere's own clients: `python native_clients.py ollama|gemini|bedrock|cohere URL`.

Runs in an environment of its own (test_native_clients.py): botocore wants an older python-dateutil than the collector has.
Prints, for each call, its request id and what the client's library parsed, in the words of a record.
"""

import json
import sys
import uuid

CALLS = {}


def begin(name):
    """The request id of a new call."""
    CALLS[name] = {"request_id": str(uuid.uuid4())}
    return CALLS[name]["request_id"]


def told(name, inference, **usage):
    CALLS[name] |= {"inference": inference, "usage": {key: value for key, value in usage.items() if value is not None}}


def known(**values):
    return {key: value for key, value in values.items() if value is not None}


def call_of(call_id, name, arguments):
    return {"id": call_id, "name": name, "arguments": json.dumps(arguments, separators=(",", ":"))}


def ollama(url):
    import ollama

    messages = [{"role": "user", "content": "hi"}]

    def client(name):
        return ollama.Client(host=url, headers={"x-request-id": begin(name)}, trust_env=False)

    def counts(name, answer, **inference):
        inference |= {"protocol": "ollama", "model_answered": answer.model}
        told(name, inference, prompt_tokens=answer.prompt_eval_count, completion_tokens=answer.eval_count)

    lines = list(client("ollama stream").chat(model="qwen3:8b", messages=messages, stream=True))
    calls = [call for line in lines for call in line.message.tool_calls or []]
    choice = known(
        index=0,
        role=lines[0].message.role,
        text="".join(line.message.content or "" for line in lines),
        reasoning="".join(line.message.thinking or "" for line in lines),
        tool_calls=[call_of("call_1", call.function.name, call.function.arguments) for call in calls],  # the library has no ids
        finish_reason=lines[-1].done_reason,
    )
    counts("ollama stream", lines[-1], operation="chat", model_requested="qwen3:8b", streamed=True, choices=[choice])
    answer = client("ollama chat").chat(model="qwen3:8b", messages=messages)
    choice = {"index": 0, "role": answer.message.role, "text": answer.message.content, "finish_reason": answer.done_reason}
    counts("ollama chat", answer, operation="chat", streamed=False, choices=[choice])
    answer = client("ollama generate").generate(model="m", prompt="hi")
    counts("ollama generate", answer, choices=[{"index": 0, "text": answer.response, "finish_reason": answer.done_reason}])
    answer = client("ollama embed").embed(model="m", input=["a", "b"])
    shape = [len(answer.embeddings), len(answer.embeddings[0])]
    told("ollama embed", {"outputs": [{"name": "embedding", "shape": shape}]}, prompt_tokens=answer.prompt_eval_count, rows=2)
    try:
        client("ollama error").chat(model="missing", messages=messages)
    except ollama.ResponseError as error:
        told("ollama error", {"error": error.error, "model_requested": "missing"})


def gemini(url):
    from google import genai
    from google.genai import errors

    http = {"base_url": url, "api_version": "v1beta", "client_args": {"trust_env": False}}
    client = genai.Client(api_key="AIzaNOTTOBESTORED", http_options=http)

    def options(name):
        return {"http_options": {"headers": {"x-request-id": begin(name)}}}

    def content(name, answers, **more):
        parts = [part for answer in answers for part in answer.candidates[0].content.parts]
        last = answers[-1]
        choice = known(
            index=0,
            role=last.candidates[0].content.role,
            text="".join(part.text for part in parts if part.text and not part.thought),
            reasoning="".join(part.text for part in parts if part.text and part.thought) or None,
            tool_calls=[
                call_of(part.function_call.id, part.function_call.name, part.function_call.args) for part in parts if part.function_call
            ]
            or None,
            finish_reason=last.candidates[0].finish_reason.value,
        )
        usage = last.usage_metadata
        told(
            name,
            {"protocol": "gemini", "model_answered": last.model_version, "id": last.response_id, "choices": [choice]} | more,
            prompt_tokens=usage.prompt_token_count,
            completion_tokens=usage.candidates_token_count,
            reasoning_tokens=usage.thoughts_token_count,
            tool_prompt_tokens=usage.tool_use_prompt_token_count,
            total_tokens=usage.total_token_count,
        )

    asked = {"model": "gemini-2.5-flash", "contents": "hi"}
    content("gemini", [client.models.generate_content(**asked, config=options("gemini"))], operation="generate", streamed=False)
    answers = list(client.models.generate_content_stream(**asked, config=options("gemini stream")))
    content("gemini stream", answers, operation="generate_stream", streamed=True, model_requested="gemini-2.5-flash")
    client.models.count_tokens(**asked, config=options("gemini count"))
    told("gemini count", {"operation": "count_tokens"})
    answer = client.models.embed_content(model="e", contents=["a", "b"], config=options("gemini embed"))
    shape = [len(answer.embeddings), len(answer.embeddings[0].values)]
    told("gemini embed", {"operation": "embeddings", "outputs": [{"name": "embedding", "shape": shape}]}, rows=2)
    try:
        client.models.generate_content(model="missing", contents="hi", config=options("gemini error"))
    except errors.ClientError as error:
        told("gemini error", {"error": error.message, "model_requested": "missing"})


def bedrock(url):
    from botocore.config import Config
    from botocore.exceptions import ClientError
    from botocore.session import Session

    session = Session()
    session.set_credentials("AKIANOTTOBESTORED", "secret")
    config = Config(retries={"max_attempts": 0}, proxies={})
    client = session.create_client("bedrock-runtime", region_name="us-east-1", endpoint_url=url, config=config)
    now = {}
    client.meta.events.register("before-send.bedrock-runtime", lambda request, **_: request.headers.update({"x-request-id": now["id"]}))
    messages = [{"role": "user", "content": [{"text": "hi"}]}]

    def call(name, operation, **asked):
        now["id"] = begin(name)
        return getattr(client, operation)(**asked)

    def counts(name, usage, inference):
        told(
            name,
            {"protocol": "bedrock"} | inference,
            prompt_tokens=usage["inputTokens"],
            completion_tokens=usage["outputTokens"],
            total_tokens=usage["totalTokens"],
            cached_tokens=usage["cacheReadInputTokens"],
            cache_creation_tokens=usage["cacheWriteInputTokens"],
            cache_creation_5m_tokens=usage["cacheDetails"][0]["inputTokens"],
        )

    answer = call("converse", "converse", modelId="us.amazon.nova-pro-v1:0", messages=messages)
    message = answer["output"]["message"]
    thought, said, used = message["content"]
    choice = {
        "index": 0,
        "role": message["role"],
        "text": said["text"],
        "reasoning": thought["reasoningContent"]["reasoningText"]["text"],
        "tool_calls": [call_of(used["toolUse"]["toolUseId"], used["toolUse"]["name"], used["toolUse"]["input"])],
        "finish_reason": answer["stopReason"],
    }
    inference = {"operation": "chat", "model_requested": "us.amazon.nova-pro-v1:0", "service_tier": answer["serviceTier"]["type"]}
    counts("converse", answer["usage"], inference | {"choices": [choice], "streamed": False})
    events = list(call("converse stream", "converse_stream", modelId="arn:aws:bedrock:us-east-1:1:x/m", messages=messages)["stream"])
    usage = next(event["metadata"]["usage"] for event in events if "metadata" in event)
    inference |= {"model_requested": "arn:aws:bedrock:us-east-1:1:x/m", "streamed": True, "choices": [choice]}
    counts("converse stream", usage, inference)

    body = json.dumps({"prompt": "hi"})
    answer = json.loads(call("invoke", "invoke_model", modelId="meta.llama", body=body)["body"].read())
    choice = {"index": 0, "text": answer["generation"], "finish_reason": answer["stop_reason"]}
    told("invoke", {"operation": "invoke", "choices": [choice]}, prompt_tokens=5, completion_tokens=2)
    stream = call("invoke stream", "invoke_model_with_response_stream", modelId="anthropic.claude", body=body)["body"]
    events = [json.loads(event["chunk"]["bytes"]) for event in stream]
    metrics = events[-1]["amazon-bedrock-invocationMetrics"]
    inference = {"operation": "invoke", "streamed": True, "id": events[0]["message"]["id"], "model_answered": events[0]["message"]["model"]}
    told("invoke stream", inference, prompt_tokens=metrics["inputTokenCount"], completion_tokens=metrics["outputTokenCount"])
    try:
        call("bedrock error", "converse", modelId="missing", messages=messages)
    except ClientError as error:
        told("bedrock error", {"error": error.response["Error"]["Message"], "model_requested": "missing"})


def cohere(url):
    import cohere
    import httpx

    client = cohere.ClientV2(api_key="NOTTOBESTORED", base_url=url, httpx_client=httpx.Client(trust_env=False, timeout=30))
    messages = [{"role": "user", "content": "hi"}]

    def options(name):
        return {"additional_headers": {"x-request-id": begin(name)}, "max_retries": 0}

    def counts(name, usage, **inference):
        billed = usage.billed_units
        inference |= {"protocol": "cohere", "operation": "chat", "model_requested": "command-a"}
        told(name, inference, prompt_tokens=int(billed.input_tokens), completion_tokens=int(billed.output_tokens))

    answer = client.chat(model="command-a", messages=messages, request_options=options("cohere chat"))
    said = answer.message
    choice = {"index": 0, "role": said.role, "text": said.content[0].text, "finish_reason": answer.finish_reason}
    counts("cohere chat", answer.usage, id=answer.id, choices=[choice], streamed=False)
    events = list(client.chat_stream(model="command-a", messages=messages, request_options=options("cohere stream")))
    contents = [event.delta.message.content for event in events if event.type in ("content-start", "content-delta")]
    plans = [event.delta.message.tool_plan for event in events if event.type == "tool-plan-delta"]
    calls = [event.delta.message.tool_calls for event in events if event.type in ("tool-call-start", "tool-call-delta")]
    call = {
        "id": calls[0].id,
        "name": calls[0].function.name,
        "arguments": "".join(each.function.arguments for each in calls),
    }
    choice = {
        "index": 0,
        "role": events[0].delta.message.role,
        "text": "".join(content.text or "" for content in contents),
        "reasoning": "".join(content.thinking or "" for content in contents) + "".join(plans),
        "tool_calls": [call],
        "finish_reason": events[-1].delta.finish_reason,
    }
    counts("cohere stream", events[-1].delta.usage, id=events[0].id, choices=[choice], streamed=True)
    answer = client.embed(
        model="e", texts=["a", "b"], input_type="search_query", embedding_types=["float"], request_options=options("cohere embed")
    )
    vectors = answer.embeddings.float_
    shape = [len(vectors), len(vectors[0])]
    billed = answer.meta.billed_units
    told("cohere embed", {"outputs": [{"name": "embedding", "shape": shape}]}, prompt_tokens=int(billed.input_tokens), rows=2)
    answer = client.rerank(model="r", query="q", documents=["a", "b", "c"], request_options=options("cohere rerank"))
    told("cohere rerank", {"operation": "rerank"}, rows=len(answer.results), search_units=int(answer.meta.billed_units.search_units))
    try:
        client.chat(model="missing", messages=messages, request_options=options("cohere error"))
    except cohere.NotFoundError as error:
        told("cohere error", {"error": error.body["message"], "model_requested": "missing"})


if __name__ == "__main__":
    {"cohere": cohere, "ollama": ollama, "gemini": gemini, "bedrock": bedrock}[sys.argv[1]](sys.argv[2])
    print(json.dumps(CALLS))
