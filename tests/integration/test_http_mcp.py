"""The Model Context Protocol: over HTTP and over ragify-mcp's standard input and output."""

import asyncio
import hashlib
import http.client
import json
import os
import subprocess
import threading

import pytest

from conftest import build_dir

NEWEST = "2025-11-25"  # of those that begin with initialize
MODERN = "2026-07-28"  # of those that do not
META = "io.modelcontextprotocol/"


@pytest.fixture(scope="module")
def library(make_host):
    host = make_host(name="mcp", embed=False)
    long_text = " ".join(f"Sentence number {i} speaks of lighthouses and their keepers." for i in range(4000))
    host.ingest([{"id": "otters", "title": "Otters", "content": "Otters hold hands while they sleep.",
                  "uri": "https://example.org/otters", "metadata": {"lang": "en"}},
                 {"id": "loutres", "content": "Otters are called loutres in French.", "metadata": {"lang": "fr"}},
                 {"id": "a b/c%?", "content": "A name with odd characters."},
                 {"id": "long", "content": long_text}])
    return host


def send(host, message, headers=None):
    return host.post("/mcp", message, {"Accept": "application/json, text/event-stream", **(headers or {})})


def call(host, method, params=None, identifier=1):
    message = {"jsonrpc": "2.0", "id": identifier, "method": method}
    if params is not None:
        message["params"] = params
    answer = send(host, message)
    assert answer.status == 200 and answer.headers["content-type"] == "application/json", answer
    assert answer.json["jsonrpc"] == "2.0" and answer.json["id"] == identifier
    return answer.json


def tool(host, name, **arguments):
    return call(host, "tools/call", {"name": name, "arguments": arguments})["result"]


@pytest.mark.parametrize("asked, spoken", [(NEWEST, NEWEST), ("2025-06-18", "2025-06-18"), ("2024-11-05", "2024-11-05"),
                                           ("2025-03-26", NEWEST), ("1999-01-01", NEWEST)])
def test_the_revision_is_agreed_on(library, asked, spoken):
    result = call(library, "initialize", {"protocolVersion": asked, "capabilities": {},
                                          "clientInfo": {"name": "test", "version": "1"}})["result"]
    assert result["protocolVersion"] == spoken
    assert result["serverInfo"]["name"] == "ragify" and set(result["capabilities"]) == {"tools", "resources"}
    notified = send(library, {"jsonrpc": "2.0", "method": "notifications/initialized"},
                    {"MCP-Protocol-Version": spoken})
    assert notified.status == 202 and notified.body == b""


def test_a_revision_in_the_head_that_nobody_speaks_is_refused(library):
    assert send(library, {"jsonrpc": "2.0", "id": 1, "method": "ping"}, {"MCP-Protocol-Version": "1.0"}).status == 400


def modern(method, revision=MODERN, headers=None, **params):
    meta = {META + "protocolVersion": revision, META + "clientCapabilities": {}}
    message = {"jsonrpc": "2.0", "id": 7, "method": method, "params": {**params, "_meta": meta}}
    name = params.get("uri" if method == "resources/read" else "name")
    head = {"MCP-Protocol-Version": revision, "Mcp-Method": method, **({"Mcp-Name": name} if name else {})}
    return message, {**head, **(headers or {})}


def test_the_revision_without_sessions(library):
    answer = send(library, *modern("server/discover")).json["result"]
    assert MODERN in answer["supportedVersions"] and NEWEST in answer["supportedVersions"]
    assert answer["resultType"] == "complete" and answer["ttlMs"] == 0 and answer["cacheScope"] == "private"
    found = send(library, *modern("tools/call", name="search_context", arguments={"query": "otters"})).json["result"]
    assert found["resultType"] == "complete" and found["_meta"][META + "serverInfo"]["name"] == "ragify"
    assert "Otters hold hands" in found["content"][0]["text"]
    coded = send(library, *modern("resources/read", uri="ragify://docs/otters",
                                  headers={"Mcp-Name": "=?base64?cmFnaWZ5Oi8vZG9jcy9vdHRlcnM=?="}))
    assert coded.status == 200, coded


@pytest.mark.parametrize("message, headers, status, code", [
    (*modern("ping", revision="2031-01-01"), 400, -32022),
    (*modern("ping", headers={"Mcp-Method": "tools/list"}), 400, -32020),
    (*modern("ping", headers={"MCP-Protocol-Version": NEWEST}), 400, -32020),
    (*modern("tools/call", name="search_context", headers={"Mcp-Name": "get_document"}), 400, -32020),
    (*modern("no/such"), 404, -32601),
    ({"jsonrpc": "2.0", "id": 7, "method": "ping"}, {"MCP-Protocol-Version": MODERN, "Mcp-Method": "ping"}, 400, -32602),
])
def test_what_the_head_and_the_message_say_must_agree(library, message, headers, status, code):
    answer = send(library, message, headers)
    assert answer.status == status and answer.json["error"]["code"] == code and answer.json["id"] == 7, answer
    if code == -32022:
        assert MODERN in answer.json["error"]["data"]["supported"]


@pytest.mark.parametrize("origin, status", [("http://evil.example", 403), ("null", 403), ("http://127.0.0.1:1", 403)])
def test_pages_of_other_sites_are_refused(library, origin, status):
    assert send(library, {"jsonrpc": "2.0", "id": 1, "method": "ping"}, {"Origin": origin}).status == status


def test_the_own_origin_is_let_in(library):
    answer = send(library, {"jsonrpc": "2.0", "id": 1, "method": "ping"}, {"Origin": library.address})
    assert answer.status == 200 and answer.json["result"] == {}


def test_tools_have_schemas(library):
    tools = {entry["name"]: entry for entry in call(library, "tools/list")["result"]["tools"]}
    assert set(tools) == {"search_context", "get_document"}
    for entry in tools.values():
        assert entry["inputSchema"]["type"] == "object" and entry["inputSchema"]["additionalProperties"] is False
        assert entry["description"] and entry["annotations"]["readOnlyHint"] is True


def test_search_gives_passages_as_text_and_as_structure(library):
    result = tool(library, "search_context", query="otters", max_chunks=5)
    assert result["isError"] is False
    text = result["content"][0]["text"]
    assert "Otters hold hands" in text and "https://example.org/otters" in text and text.startswith("[1] ")
    assert {chunk["document_id"] for chunk in result["structuredContent"]["chunks"]} == {"otters", "loutres"}
    filtered = tool(library, "search_context", query="otters", filter={"lang": "fr"})
    assert [chunk["document_id"] for chunk in filtered["structuredContent"]["chunks"]] == ["loutres"]
    nothing = tool(library, "search_context", query="zzzzqqq")
    assert nothing["content"][0]["text"].startswith("Nothing was found")


def test_results_are_bounded(library):
    text = tool(library, "search_context", query="lighthouses keepers", max_chunks=50)["content"][0]["text"]
    assert len(text) < 60_000
    document = tool(library, "get_document", id="long")["content"][0]["text"]
    assert len(document) < 120_000 and "first_chunk" in document


def test_a_resource_that_is_cut_says_so(library):
    text = call(library, "resources/read", {"uri": "ragify://docs/long"})["result"]["contents"][0]["text"]
    assert len(text) < 120_000
    following = int(text.rsplit("get_document with first_chunk ", 1)[1].split(".")[0])
    assert "Sentence number" in tool(library, "get_document", id="long", first_chunk=following)["content"][0]["text"]
    assert "first_chunk" not in call(library, "resources/read", {"uri": "ragify://docs/otters"})["result"]["contents"][0]["text"]


def test_a_document_is_read_to_its_end(library):
    whole, first = "", 0
    while True:
        text = tool(library, "get_document", id="long", first_chunk=first)["content"][0]["text"]
        body, more, tail = text.partition("\n\n(There is more: ask again with first_chunk ")
        whole += body
        if not more:
            break
        first = int(tail.split(".")[0])
    assert all(f"Sentence number {i} " in whole for i in range(4000))


@pytest.mark.parametrize("name, arguments, words", [
    ("search_context", {}, "query"),
    ("search_context", {"query": ""}, "query"),
    ("search_context", {"query": "a", "max_chunks": 51}, "max_chunks"),
    ("search_context", {"query": "a", "max_chunks": "10"}, "max_chunks"),
    ("search_context", {"query": "a", "format": "prompt"}, "format"),
    ("search_context", {"query": "a", "pipeline": "none"}, "none"),
    ("get_document", {}, "id"),
    ("get_document", {"id": 5}, "id"),
    ("get_document", {"id": "absent"}, "absent"),
    ("get_document", {"id": "long", "store": "absent"}, "store"),
    ("get_document", {"id": "long", "first_chunk": -1}, "first_chunk"),
])
def test_wrong_arguments_are_explained_to_the_model(library, name, arguments, words):
    result = tool(library, name, **arguments)
    assert result["isError"] is True and words in result["content"][0]["text"]


@pytest.mark.parametrize("message, status, code", [
    (b"{", 400, -32700), (b"", 400, -32700), (b"[" * 100_000, 400, -32700), (b'{"jsonrpc": "2.0", "id": 1}', 400, -32600),
    ([], 400, -32600), ({"jsonrpc": "1.0", "id": 1, "method": "ping"}, 400, -32600),
    ({"jsonrpc": "2.0", "id": {}, "method": "ping"}, 400, -32600),
    ({"jsonrpc": "2.0", "id": 1, "method": "ping", "params": []}, 400, -32600),
    *[({"jsonrpc": "2.0", "id": 1, "method": method, **rest}, 400, -32600) for method in (5, None, [], {}, True)
      for rest in ({}, {"result": {}}, {"error": {"code": 1, "message": "a"}}, {"result": None})],
    ({"jsonrpc": "2.0", "id": 1, "method": "no/such"}, 200, -32601),
    ({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "rm"}}, 200, -32602),
    ({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "search_context", "arguments": []}}, 200,
     -32602),
    ({"jsonrpc": "2.0", "id": 1, "method": "resources/read", "params": {"uri": "file:///etc/passwd"}}, 200, -32002),
    ({"jsonrpc": "2.0", "id": 1, "method": "resources/read", "params": {}}, 200, -32002),
    ({"jsonrpc": "2.0", "id": 1, "method": "resources/list", "params": {"cursor": "nonsense"}}, 200, -32602),
])
def test_what_is_no_message_is_an_error(library, message, status, code):
    answer = send(library, message)
    assert answer.status == status and answer.json["error"]["code"] == code, answer


ODD = (None, True, 5, -1, 1.5, "", "\u0000", [], [None], {}, {"a": None})


def odd_messages():
    """Whatever type a member may have, on every method: a message that is well but for one member."""
    whole = {"jsonrpc": "2.0", "id": 1, "method": "ping", "params": {
        "name": "get_document", "arguments": {"id": "otters", "store": "docs", "first_chunk": 0, "query": "otters"},
        "uri": "ragify://docs/otters", "cursor": "docs ", "protocolVersion": NEWEST}}
    meta = {META + "protocolVersion": MODERN, META + "clientCapabilities": {}}
    methods = ("initialize", "server/discover", "ping", "tools/list", "tools/call", "resources/list", "resources/read",
               "resources/templates/list")
    for method in methods:
        for revision in ({}, {"_meta": meta}):
            base = json.loads(json.dumps({**whole, "method": method, "params": {**whole["params"], **revision}}))
            places = [(base, name) for name in (*base, "result", "error")]
            places += [(base["params"], name) for name in base["params"]]
            places += [(base["params"]["arguments"], name) for name in base["params"]["arguments"]]
            places += [(base["params"].get("_meta", {}), name) for name in revision.get("_meta", {})]
            for holder, name in places:
                kept = holder.get(name)
                for value in ODD:
                    holder[name] = value
                    yield json.dumps(base)
                if kept is None:
                    del holder[name]
                else:
                    holder[name] = kept


def test_no_type_of_a_member_is_too_much(library):
    connection = http.client.HTTPConnection("127.0.0.1", library.port, timeout=120)
    count = 0
    for text in odd_messages():
        method = json.loads(text)["method"]
        head = {"Content-Type": "application/json"}
        if "_meta" in text and isinstance(method, str) and "\0" not in method:
            head.update({"MCP-Protocol-Version": MODERN, "Mcp-Method": method})
        connection.request("POST", "/mcp", text, head)
        answer = connection.getresponse()
        body = answer.read()
        assert answer.status in (200, 202, 400, 404), (text, answer.status, body)
        assert answer.status == 202 or {"result", "error"} & set(json.loads(body)), (text, body)
        count += 1
    connection.close()
    assert count > 1000 and library.alive()


def test_other_methods_of_http_are_refused(library):
    for method in ("GET", "DELETE", "PUT"):
        answer = library.request(method, "/mcp")
        assert answer.status == 405 and answer.headers["allow"] == "POST"


def test_resources_are_the_documents(library):
    listed = call(library, "resources/list")["result"]["resources"]
    by_name = {resource["name"]: resource["uri"] for resource in listed}
    assert set(by_name) == {"otters", "loutres", "a b/c%?", "long"}
    for name, words in (("otters", "hold hands"), ("a b/c%?", "odd characters")):
        contents = call(library, "resources/read", {"uri": by_name[name]})["result"]["contents"]
        assert contents[0]["uri"] == by_name[name] and words in contents[0]["text"]
    assert "ragify://" in call(library, "resources/templates/list")["result"]["resourceTemplates"][0]["uriTemplate"]


def test_a_key_is_held_to_its_filter_here_too(make_host, tmp_path):
    keys = tmp_path / "keys"
    keys.write_text("".join(f"[{name}]\nsha256 = {hashlib.sha256(name.encode()).hexdigest()}\nscopes = write\n"
                            f'filter = {{"tenant": "{name}"}}\n' for name in ("acme", "beta")))
    host = make_host(name="mcp-keys", http=f"api-keys-file = {keys}", embed=False)
    for name in ("acme", "beta"):
        host.post("/v1/documents", {"documents": [{"id": name, "content": f"The secret of {name}."}]}, {"X-API-Key": name})

    def ask(key, method, params):
        message = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
        return send(host, message, {"X-API-Key": key}).json

    assert send(host, {"jsonrpc": "2.0", "id": 1, "method": "ping"}).status == 401
    found = ask("acme", "tools/call", {"name": "search_context", "arguments": {"query": "secret"}})
    assert [chunk["document_id"] for chunk in found["result"]["structuredContent"]["chunks"]] == ["acme"]
    foreign = ask("acme", "tools/call", {"name": "get_document", "arguments": {"id": "beta"}})
    assert foreign["result"]["isError"] is True
    assert [r["name"] for r in ask("acme", "resources/list", {})["result"]["resources"]] == ["acme"]
    assert "error" in ask("acme", "resources/read", {"uri": "ragify://docs/beta"})


def test_clients_that_leave_harm_nobody(library):
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/call",
                       "params": {"name": "get_document", "arguments": {"id": "long"}}}).encode()
    head = f"POST /mcp HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"

    def leave():
        for _ in range(25):
            with library.connect() as connection:
                connection.sendall(head.encode() + body)

    threads = [threading.Thread(target=leave) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert call(library, "ping")["result"] == {}


def bridge(url, lines, environment=None):
    tool_path = build_dir() / "tools" / "ragify-mcp" / "ragify-mcp"
    done = subprocess.run([tool_path, "--url", url], input="".join(line + "\n" for line in lines), capture_output=True,
                          text=True, check=True, timeout=120, env={**os.environ, **(environment or {})})
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_ragify_mcp_carries_messages(library):
    answers = bridge(library.address, [
        json.dumps({"jsonrpc": "2.0", "id": "a", "method": "initialize", "params": {"protocolVersion": NEWEST}}),
        json.dumps({"jsonrpc": "2.0", "method": "notifications/initialized"}), "", "not JSON",
        json.dumps({"jsonrpc": "2.0", "id": 2, "method": "tools/call",
                    "params": {"name": "search_context", "arguments": {"query": "otters"}}})])
    assert [answer["id"] for answer in answers] == ["a", None, 2]
    assert "Otters hold hands" in answers[2]["result"]["content"][0]["text"]


def test_ragify_mcp_says_when_there_is_no_host():
    answers = bridge("http://127.0.0.1:9", [json.dumps({"jsonrpc": "2.0", "id": 1, "method": "ping"})])
    assert answers[0]["id"] == 1 and "127.0.0.1:9" in answers[0]["error"]["message"]


def test_the_reference_client_works_with_both(library):
    from mcp import Client, StdioServerParameters, stdio_client
    from mcp.client.streamable_http import streamable_http_client

    async def talk(transport, mode, revision):
        async with Client(transport, mode=mode) as client:
            assert client.protocol_version == revision
            assert {entry.name for entry in (await client.list_tools()).tools} == {"search_context", "get_document"}
            found = await client.call_tool("search_context", {"query": "otters"})
            assert not found.is_error and "Otters hold hands" in found.content[0].text
            assert found.structured_content["chunks"]
            resources = (await client.list_resources()).resources
            text = (await client.read_resource(resources[0].uri)).contents[0].text
            assert text

    command = str(build_dir() / "tools" / "ragify-mcp" / "ragify-mcp")
    pipes = StdioServerParameters(command=command, args=["--url", library.address])
    for mode, revision in (("auto", MODERN), ("legacy", NEWEST)):
        asyncio.run(talk(streamable_http_client(library.address + "/mcp"), mode, revision))
        asyncio.run(talk(stdio_client(pipes), mode, revision))
