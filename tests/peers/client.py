# Drives an MCP server through the real Python SDK 2.x (both eras).
#
# Usage: python client.py [--era legacy|modern|auto] [--url URL] [-- COMMAND ARGS...] < steps.json
# Reads a JSON array of steps, prints one JSON document; see common.mjs, which it mirrors.
import json
import logging
import os
import sys
import warnings
from typing import Any

import anyio
import mcp_types as types
from mcp.client import Client
from mcp.client.stdio import StdioServerParameters
from mcp.shared.exceptions import MCPError
from mcp_types.version import MODERN_PROTOCOL_VERSIONS
from pydantic import BaseModel, TypeAdapter

STEP_LIMIT = 30  # seconds for one step, and for connecting
WHOLE_LIMIT = 240  # for everything; the steps not reached are then reported as errors

ANY = TypeAdapter(dict[str, Any])  # takes any result as it is


def plain(model: BaseModel) -> dict[str, Any]:
    """The model as it was on the wire: only the fields that were there."""
    return model.model_dump(by_alias=True, mode="json", exclude_unset=True)


def failure(error: BaseException) -> dict[str, Any]:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    if isinstance(error, MCPError):
        return {"error": {"code": error.code, "message": error.message, "data": error.data}}
    text = str(error)
    name = type(error).__name__
    return {"error": {"code": None, "message": f"{name}: {text}" if text else name, "data": None}}


async def sample(context, params):
    content = types.TextContent(type="text", text="sampled")
    return types.CreateMessageResult(role="assistant", content=content, model="peer", stop_reason="endTurn")


async def elicit(context, params):
    if getattr(params, "mode", None) == "url":
        return types.ElicitResult(action="accept")
    fields = (params.requested_schema or {}).get("properties", {})
    content = {name: field["default"] for name, field in fields.items() if "default" in field}
    return types.ElicitResult(action="accept", content=content)


async def roots(context):
    return types.ListRootsResult(roots=[types.Root(uri="file:///tmp", name="tmp")])


async def list_tools(client: Client) -> dict[str, Any]:
    pages: list[dict[str, Any]] = []
    cursor = None
    while not pages or cursor is not None:
        page = await client.list_tools(cursor=cursor, cache_mode="refresh")
        pages.append(plain(page))
        cursor = page.next_cursor
    return {"tools": [tool for page in pages for tool in page["tools"]], "pages": len(pages), "raw": pages[0]}


async def cancel(client: Client, step: dict[str, Any]) -> dict[str, Any]:
    with anyio.move_on_after(step.get("after", 500) / 1000) as scope:

        async def stop(*_):
            scope.cancel()

        result = await client.call_tool(step["name"], step.get("arguments"), progress_callback=stop)
        return {"cancelled": False, "result": plain(result)}
    return {"cancelled": True}


def holds(text: str, value: str) -> bool:
    """Whether `text` holds `value` itself, not the value of another call that begins alike."""
    at = text.find(value)
    return at >= 0 and not text[at + len(value) :][:1].isdigit()


async def many(client: Client, step: dict[str, Any]) -> dict[str, Any]:
    arguments = step.get("arguments") or {}
    prefix = step.get("prefix", arguments.get(step["vary"], "m"))
    order: list[int] = []
    matched: list[bool] = []
    bad: list[Any] = []

    async def one(i: int) -> None:
        value = f"{prefix}-{i}"
        try:
            result = await client.call_tool(step["name"], {**arguments, step["vary"]: value})
            if result.is_error:
                bad.append(plain(result))
            else:
                matched.append(holds(getattr((result.content or [None])[0], "text", ""), value))
        except Exception as error:
            bad.append(failure(error)["error"])
        order.append(i)

    async with anyio.create_task_group() as group:
        for i in range(step["count"]):
            group.start_soon(one, i)
    summary = {
        "answers": len(matched),
        "errors": len(bad),
        "in_order": order == sorted(order),
        "matched": bool(matched) and all(matched),
    }
    return {**summary, "first_error": bad[0]} if bad else summary


async def run(client: Client, step: dict[str, Any]) -> dict[str, Any]:
    match step["op"]:
        case "list":
            return {"result": await list_tools(client)}
        case "call":
            progress: list[dict[str, Any]] = []

            async def note(done: float, total: float | None, message: str | None) -> None:
                values = {"progress": done, "total": total, "message": message}
                progress.append({name: value for name, value in values.items() if value is not None})

            wanted = bool(step.get("progress"))
            result = await client.call_tool(
                step["name"], step.get("arguments"), progress_callback=note if wanted else None
            )
            return {"result": plain(result), **({"progress": progress} if wanted else {})}
        case "cancel":
            return {"result": await cancel(client, step)}
        case "many":
            return {"result": await many(client, step)}
        case "request":
            request = types.Request[dict[str, Any] | None, str](method=step["method"], params=step.get("params"))
            return {"result": await client.session.send_request(request, ANY)}
        case other:
            raise ValueError(f"no such step: {other}")


async def main() -> None:
    options, command = sys.argv[1:], []
    if "--" in options:
        at = options.index("--")
        options, command = options[:at], options[at + 1 :]
    given = dict(zip(options[::2], options[1::2]))
    era = given.get("--era", "auto")
    server = given.get("--url") or StdioServerParameters(command=command[0], args=command[1:], env=dict(os.environ))
    steps = json.load(sys.stdin)
    document: dict[str, Any] = {"era": era, "protocol": None, "server": None, "steps": []}
    done: list[dict[str, Any]] = document["steps"]
    client = Client(
        server,
        mode="legacy" if era == "legacy" else "auto",
        client_info=types.Implementation(name="chio-peer", version="1.0.0"),
        sampling_callback=sample,
        elicitation_callback=elicit,
        list_roots_callback=roots,
        read_timeout_seconds=STEP_LIMIT,
    )
    try:
        with anyio.fail_after(WHOLE_LIMIT):
            async with client:
                version = client.protocol_version
                document["protocol"] = version
                document["server"] = plain(client.server_info) if client.server_info else None
                document["era"] = "modern" if version in MODERN_PROTOCOL_VERSIONS else "legacy"
                if era == "modern" and version not in MODERN_PROTOCOL_VERSIONS:
                    raise RuntimeError(f"the server does not speak the modern era, but {version}")
                for step in steps:
                    try:
                        with anyio.fail_after(STEP_LIMIT + 2):
                            done.append(await run(client, step))
                    except Exception as error:
                        done.append(failure(error))
    except BaseException as error:  # a closing that fails leaves the steps as they are
        if len(done) < len(steps) or document["protocol"] is None:
            document.update(failure(error))
    while len(done) < len(steps):
        message = f"not run: {document.get('error', {}).get('message')}"
        done.append({"error": {"code": None, "message": message, "data": None}})
    print(json.dumps(document))


logging.basicConfig(stream=sys.stderr, level=logging.WARNING)
warnings.simplefilter("ignore")
anyio.run(main)
