"""/v1/documents: uploads of any size, reading, listing, deleting."""

import json
import socket
import threading
from urllib.parse import quote

import pytest


@pytest.fixture(scope="module")
def library(make_host):
    """A host without an embedder, where documents go in fast."""
    return make_host(name="library", embed=False, http="body-timeout = 5s")


def ndjson(documents):
    return b"".join(json.dumps(document).encode() + b"\n" for document in documents)


def test_a_document_from_in_to_out(library):
    identifier = "folder/näme with space?.txt"
    report = library.ingest([{"id": identifier, "title": "A title", "content": "Some content.",
                              "metadata": {"lang": "en", "year": 2020}}])
    assert (report["documents"], report["chunks"], report["failed_total"]) == (1, 1, 0)
    for path in (quote(identifier, safe=""), quote(identifier, safe="/")):
        answer = library.get(f"/v1/documents/{path}?store=docs")
        assert answer.status == 200
        assert answer.json["id"] == identifier
        assert answer.json["metadata"] == {"lang": "en", "year": 2020}
    assert library.request("DELETE", "/v1/documents/" + quote(identifier, safe="")).status == 200
    gone = library.get("/v1/documents/" + quote(identifier, safe=""))
    assert gone.status == 404
    assert gone.headers["content-type"] == "application/problem+json"
    assert library.request("DELETE", "/v1/documents/" + quote(identifier, safe="")).status == 404


def test_ndjson_and_single_document(library):
    body = ndjson({"id": f"line-{number}", "content": f"Line {number}."} for number in range(300))
    answer = library.request("POST", "/v1/documents?chunking=none", body, {"Content-Type": "application/x-ndjson"})
    assert answer.status == 200 and answer.json["documents"] == 300
    assert library.post("/v1/documents?chunking=default", {"id": "alone", "content": "One."}).json["documents"] == 1
    assert library.get("/v1/documents/alone").status == 200


def test_listing_goes_through_all_pages(library):
    library.ingest([{"id": f"page/{number:03}", "content": f"Page {number}."} for number in range(57)])
    seen, cursor = [], ""
    while True:
        answer = library.get(f"/v1/documents?limit=10&cursor={quote(cursor, safe='')}")
        assert answer.status == 200
        seen += [document["id"] for document in answer.json["documents"]]
        cursor = answer.json.get("next_cursor", "")
        if not cursor:
            break
    assert len(seen) == len(set(seen))
    assert {f"page/{number:03}" for number in range(57)} <= set(seen)


@pytest.mark.parametrize("path, content_type, body, status, field", [
    ("/v1/documents", "text/html", b"{}", 415, "Content-Type"),
    ("/v1/documents?chunking=some", "application/json", b"{}", 400, "chunking"),
    ("/v1/documents?store=none", "application/json", b"{}", 404, "store"),
    ("/v1/documents?store=docs&store=docs", "application/json", b"{}", 400, "store"),
    ("/v1/documents", "application/json", b"{", 400, None),
    ("/v1/documents", "application/json", b"[]", 422, None),
    ("/v1/documents", "application/json", b'{"documents":7}', 422, "documents"),
    ("/v1/documents", "application/json", b'{"documents":[],"store":"docs"}', 422, "store"),
    ("/v1/documents", "application/json", b"[" * 100000, 400, None),
    ("/v1/documents", "application/x-ndjson", b"nonsense\n", 422, "documents"),
])
def test_bad_uploads_are_refused(library, path, content_type, body, status, field):
    answer = library.request("POST", path, body, {"Content-Type": content_type})
    assert answer.status == status, answer
    assert answer.headers["content-type"] == "application/problem+json"
    if field is not None:
        assert answer.json["field"] == field
    assert library.alive()


def test_one_bad_line_fails_alone(library):
    body = b'{"id":"good-1","content":"a"}\n{"id":"bad"\n{"id":"good-2","content":"b"}'
    answer = library.request("POST", "/v1/documents", body, {"Content-Type": "application/x-ndjson"})
    assert answer.status == 200
    assert answer.json["documents"] == 2
    assert answer.json["failed_total"] == 1


def test_a_large_upload_takes_no_memory(library):
    """30 MB faster than they can be taken: the client is made to wait, the host does not grow."""
    text = "The quick brown fox jumps over the lazy dog. " * 220
    count = 3000

    def lines():
        for number in range(count):
            yield json.dumps({"id": f"large/{number}", "content": f"{number} {text}"}).encode() + b"\n"

    peak, done = [0], threading.Event()

    def watch():
        while not done.wait(0.02):
            peak[0] = max(peak[0], library.resident())

    before = library.resident()
    watcher = threading.Thread(target=watch)
    watcher.start()
    answer = library.request("POST", "/v1/documents?chunking=none", lines(), {"Content-Type": "application/x-ndjson"},
                             timeout=300)
    done.set()
    watcher.join()
    assert answer.status == 200, answer
    assert answer.json["documents"] == count
    if not library.sanitized():
        assert peak[0] - before < 60 * 1024 * 1024


def test_many_uploads_at_once(library):
    failures = []

    def upload(client):
        documents = [{"id": f"client-{client}/{number}", "content": f"Text {number} of {client}."}
                     for number in range(100)]
        answer = library.request("POST", "/v1/documents", ndjson(documents), {"Content-Type": "application/x-ndjson"})
        if answer.status != 200 or answer.json["documents"] != 100:
            failures.append(answer)

    threads = [threading.Thread(target=upload, args=(client,)) for client in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert library.get("/v1/documents/client-7%2F99").status == 200


def test_an_upload_is_bounded_where_that_is_configured(make_host):
    host = make_host(name="bounded", embed=False, http="max-document-body = 64KiB")
    assert host.ingest([{"id": "small", "content": "x"}])["documents"] == 1
    answer = host.post("/v1/documents", {"documents": [{"id": "large", "content": "x" * 100_000}]})
    assert answer.status == 413
    assert host.get("/v1/documents/large").status == 404


def test_the_number_of_values_is_bounded(library):
    many = b'{"documents": [' + b",".join([b"{}"] * 1_200_000) + b"]}"
    answer = library.post("/v1/documents", many)
    assert answer.status == 413 and "ndjson" in answer.json["detail"], answer
    line = b'{"id": "many", "content": "x", "metadata": {"a": [' + b",".join([b"1"] * 1_200_000) + b"]}}\n"
    answer = library.request("POST", "/v1/documents", line + ndjson([{"id": "values", "content": "Whole."}]),
                             {"Content-Type": "application/x-ndjson"})
    assert answer.status == 200 and answer.json["documents"] == 1
    assert "values" in answer.json["failed"][0]["reason"], answer
    assert library.request("DELETE", "/v1/documents/values").status == 200


def test_bodies_that_are_not_whole_are_bounded_together(make_host):
    """Each may have 64 MiB; all of them at once would be 480 MiB."""
    host = make_host(name="gathered", embed=False)
    size, connections = 40 << 20, []
    for number in range(12):
        body = b'{"id": "d%d", "content": "Text."' % number
        connection = host.connect(300)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65536)  # what was sent, the host has taken
        connections.append(connection)
        connection.sendall(b"POST /v1/documents HTTP/1.1\r\nHost: a\r\nConnection: close\r\n"
                           b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n" % (size + 1) +
                           body + b" " * (size - len(body)))
    statuses = []
    for connection in connections:
        connection.sendall(b"}")
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
        connection.close()
        statuses.append(int(answer.split(b" ")[1]))
        assert statuses[-1] == 200 or b"retry-after: " in answer.lower(), answer
    assert set(statuses) == {200, 503}, statuses
    assert host.ingest([{"id": "later", "content": "There is room again."}])["documents"] == 1


def test_a_document_of_any_length_is_read_to_its_end(make_host):
    host = make_host(name="pages", embed=False, store="chunk-size = 50\noverlap = 0")
    count = 10_500
    host.ingest([{"id": "long", "content": " ".join(f"Here is the sentence whose number is {i:06}." for i in range(count))},
                 {"id": "short", "content": "One sentence."}])
    whole = host.get("/v1/documents/long").json
    assert len(whole["chunks"]) == 10_000 and whole["next_cursor"]
    assert "next_cursor" not in host.get("/v1/documents/short").json
    chunks, path = [], "/v1/documents/long?limit=4000"
    while path is not None:
        page = host.get(path).json
        chunks += page["chunks"]
        cursor = page.get("next_cursor")
        path = f"/v1/documents/long?limit=4000&cursor={quote(cursor)}" if cursor is not None else None
    assert [chunk["ordinal"] for chunk in chunks] == list(range(len(chunks))) and len(chunks) > 10_000
    text = " ".join(chunk["content"] for chunk in chunks)
    assert all(f"is {i:06}." in text for i in range(0, count, 500)) and f"is {count - 1:06}." in text

    def tool(first):
        message = {"jsonrpc": "2.0", "id": 1, "method": "tools/call",
                   "params": {"name": "get_document", "arguments": {"id": "long", "first_chunk": first}}}
        result = host.post("/mcp", message).json["result"]
        return result["isError"], result["content"][0]["text"]

    failed, text = tool(10_100)
    assert not failed and text.startswith(chunks[10_100]["content"]) and f"is {count - 1:06}." in text
    failed, text = tool(0)
    following = int(text.rsplit("first_chunk ", 1)[1].split(".")[0])
    failed, text = tool(following)
    assert not failed and text.startswith(chunks[following]["content"])
    failed, text = tool(len(chunks))
    assert failed and str(len(chunks)) in text
    for wrong in ("limit=0", "limit=10001", "cursor=nonsense", "filter={}"):
        assert host.get(f"/v1/documents/long?{wrong}").status in (400, 422), wrong


def test_documents_are_listed_and_deleted_by_a_filter(make_host):
    host = make_host(embed=False)
    host.ingest([{"id": f"{lang}/{i}", "content": f"Meadow number {i} in {lang}.", "metadata": {"lang": lang, "year": i}}
                 for lang in ("en", "de") for i in range(700)])

    def listed(**fields):
        return host.get("/v1/documents?limit=1000&filter=" + quote(json.dumps(fields))).json["documents"]

    def delete(text):
        return host.request("DELETE", "/v1/documents?filter=" + quote(text))

    assert len(listed(lang="de", year={"lt": 5})) == 5
    assert host.context(query="meadow 3", filter={"lang": "de"}, max_chunks=3).json["chunks"]
    assert delete('{"lang":"de","year":{"gte":650}}').json == {"documents": 50, "chunks": 50}
    assert delete('{"lang":"de"}').json == {"documents": 650, "chunks": 650}
    assert delete('{"lang":"de"}').json == {"documents": 0, "chunks": 0}
    assert listed(lang="de") == [] and len(listed(lang="en")) == 700
    assert host.context(query="meadow 3", filter={"lang": "de"}, max_chunks=3).json["chunks"] == []  # nor from a cache
    assert delete("{}").status == 422 and delete("{").status == 400 and delete("[1]").status == 422
    assert host.request("DELETE", "/v1/documents").json["field"] == "filter"
    assert host.request("DELETE", "/v1/documents?filter=%7B%22a%22:1%7D&x=1").status == 400
    assert len(listed(lang="en")) == 700
