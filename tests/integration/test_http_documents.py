"""/v1/documents: uploads of any size, reading, listing, deleting."""

import json
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
