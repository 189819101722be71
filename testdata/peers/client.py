"""The Python SDK's client as a peer.

    python client.py MODE URL      MODE: legacy, auto or a protocol version

Does what client.mjs does, and prints the same kind of JSON object.
"""

import asyncio
import json
import os
import sys

import mcp
from mcp import types

asked: list = []
progress: list = []


async def elicit(_context, params):
    asked.append(params.message)
    content = {"username": "sam", "email": "sam@example.com", "name": "sam"}
    return types.ElicitResult(action="accept", content=content)


async def sample(_context, params):
    asked.append([plain(m) for m in params.messages])
    return types.CreateMessageResult(role="assistant", model="none", content=types.TextContent(type="text", text="an answer"))


async def step(done, total, message):
    progress.append([done, total, message])


def plain(value):
    return value.model_dump(mode="json", by_alias=True, exclude_none=True)


async def settle(doing):
    """What came of something, success or failure."""
    try:
        return plain(await doing)
    except mcp.MCPError as error:
        return {"code": error.error.code, "message": error.error.message}


async def main(mode: str, url: str) -> None:
    async with mcp.Client(url, mode=mode, elicitation_callback=elicit, sampling_callback=sample) as client:
        told = {"version": client.protocol_version, "tools": plain(await client.list_tools())}
        calls = json.loads(os.environ.get("CALLS", "[]"))
        told["results"] = [await settle(client.call_tool(c["name"], c["arguments"], progress_callback=step)) for c in calls]
        if uri := os.environ.get("RESOURCE"):
            told["resource"] = await settle(client.read_resource(uri))
            told["missing"] = await settle(client.read_resource(uri + "/none"))
        if name := os.environ.get("PROMPT"):
            told["prompt"] = await settle(client.get_prompt(name))
    print(json.dumps(told | {"progress": progress, "asked": asked}, sort_keys=True))


asyncio.run(main(*sys.argv[1:]))
