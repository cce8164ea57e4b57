# A tool server on the Python SDK that speaks every revision: stdio, or with a port Streamable HTTP on 127.0.0.1.
# Its tools: echo, slow (progress), big, ask (sampling, elicitation and roots; input_required in 2026-07-28), die.
import json
import os
import sys

import anyio
import mcp_types as types
from mcp.server.lowlevel import Server
from mcp.server.stdio import stdio_server

NAMES = ["echo", "slow", "big", "ask", "die"]
QUESTION = types.SamplingMessage(role="user", content=types.TextContent(type="text", text="q"))
SAMPLING = types.CreateMessageRequestParams(messages=[QUESTION], max_tokens=9)
SCHEMA = {"type": "object", "properties": {"n": {"type": "integer", "default": 4}}}
ELICITATION = types.ElicitRequestFormParams(message="m", requested_schema=SCHEMA)


async def list_tools(_, params):
    """Three pages of tools; `echo` wants its message repeated in a header."""
    at = int(params.cursor) if params and params.cursor else 0
    message = {"type": "string", "x-mcp-header": "Message"}
    schemas = {"echo": {"type": "object", "properties": {"message": message}}}
    tools = [types.Tool(name=name, input_schema=schemas.get(name, {"type": "object"})) for name in NAMES[at : at + 2]]
    return types.ListToolsResult(tools=tools, next_cursor=str(at + 2) if at + 2 < len(NAMES) else None)


def text(said):
    return types.CallToolResult(content=[types.TextContent(type="text", text=said)], _meta={"peer/x": {"y": [1, None]}})


def plain(model):
    return model.model_dump(mode="json", by_alias=True, exclude_none=True)


async def ask(context, params):
    """What only the client knows: asked for in the way of each revision."""
    if context.protocol_version >= "2026":
        if not params.input_responses:
            requests = {
                "s": types.CreateMessageRequest(params=SAMPLING),
                "e": types.ElicitRequest(params=ELICITATION),
                "r": types.ListRootsRequest(),
            }
            return types.InputRequiredResult(request_state="st", input_requests=requests)
        answers = {name: plain(answer) for name, answer in params.input_responses.items()}
        return text(json.dumps({"state": params.request_state, **answers}))
    sampled = await context.session.send_request(types.CreateMessageRequest(params=SAMPLING), types.CreateMessageResult)
    elicited = await context.session.elicit_form("m", ELICITATION.requested_schema)
    roots = await context.session.list_roots()
    return text(json.dumps([plain(answer) for answer in (sampled, elicited, roots)]))


async def call(context, params):
    arguments = params.arguments or {}
    match params.name:
        case "echo":
            return text("Echo: " + str(arguments.get("message")))
        case "slow":
            for step in range(arguments["steps"]):
                await anyio.sleep(arguments["duration"] / arguments["steps"])
                await context.session.report_progress(step + 1, arguments["steps"], "step")
            return text("done")
        case "big":
            return text("x" * arguments["size"])
        case "ask":
            return await ask(context, params)
        case "die":
            os._exit(5)
    raise ValueError("no such tool")


async def main():
    server = Server("modern", version="1", on_list_tools=list_tools, on_call_tool=call)
    if len(sys.argv) > 1:
        import uvicorn

        app = server.streamable_http_app()
        await uvicorn.Server(uvicorn.Config(app, port=int(sys.argv[1]), log_level="warning")).serve()
    else:
        async with stdio_server() as (read, write):
            await server.run(read, write, server.create_initialization_options())


anyio.run(main)
