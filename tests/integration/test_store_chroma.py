"""The host with its documents on a real Chroma server."""

import hashlib
import http.server
import json
import re
import threading
import time
import urllib.error
import urllib.parse
import urllib.request

import pytest

from chroma_server import ChromaServer, chroma_program
from conftest import ROOT, build_dir
from model_server import Service, embed

pytestmark = [
    pytest.mark.skipif(chroma_program() is None, reason="no Chroma server"),
    pytest.mark.skipif(not (build_dir() / "plugins/store-chroma/store-chroma.so").exists(), reason="not built"),
]

WORDS = ["heron", "bittern", "marsh", "reed", "pond", "willow", "otter", "beaver", "swan", "crane", "snipe", "plover"]


@pytest.fixture(scope="module")
def server():
    with ChromaServer() as running:
        yield running


@pytest.fixture(scope="module")
def service():
    service = Service()
    yield service
    service.stop()


def documents(count, first=0):
    return [{"id": f"d{i}", "content": f"The {WORDS[i % 12]} number {i} lives near the {WORDS[(i // 12) % 12]}.",
             "metadata": {"lang": "de" if i % 3 == 0 else "en", "year": 2000 + i % 20}} for i in range(first, first + count)]


def configuration(service, store, words=False):
    lines = ["[host]", "threads = 2", "[http public]", "listen = 127.0.0.1:0", "[embedder words64]", "plugin = http",
             f"base-url = {service.url('good')}", "model = words", "dimension = 64", "[cache ram]", "plugin = memory",
             "[vector-store docs]", store, "embedder = words64"]
    if words:
        lines += ["[text-index words]", "plugin = fts5", "of = docs", "path = words"]
    lines += ["[pipeline default]", "retrieve = docs" + ("; words" if words else ""), "cache = ram", "deadline = 20s"]
    return "\n".join(lines) + "\n"


def own(server, collection):
    return f"plugin = chroma\nbase-url = {server.url()}\ncollection = {collection}\ndeadline = 20s\nef-search = 400"


def ids(answer):
    assert answer.status == 200, answer
    return [chunk["document_id"] for chunk in answer.json["chunks"]]


def best(host, text, count=10, **fields):
    return ids(host.context(query=text, max_chunks=count, cache="bypass", **fields))


def test_ingest_query_filter_and_delete(make_host, server, service):
    host = make_host(configuration(service, own(server, "kitchen"), words=True), name="chroma")
    report = host.ingest(documents(120))
    assert report["documents"] == 120, report
    assert best(host, "heron number 12 lives near the bittern", 1) == ["d12"]
    german = host.context(query="heron number 12 lives near the bittern", max_chunks=20, filter={"lang": "de", "year": {"gte": 2010}})
    assert ids(german) and all(chunk["metadata"]["lang"] == "de" and chunk["metadata"]["year"] >= 2010
                               for chunk in german.json["chunks"])
    assert host.ingest(documents(120))["unchanged"] == 120
    assert host.request("DELETE", "/v1/documents/d12").status == 200
    assert "d12" not in best(host, "heron number 12 lives near the bittern")
    assert host.get("/v1/documents/d13").json["chunks"][0]["content"].startswith("The bittern number 13")
    listed, cursor = [], ""
    while True:
        page = host.get(f"/v1/documents?limit=50&cursor={cursor}").json
        listed += [document["id"] for document in page["documents"]]
        cursor = page.get("next_cursor") or page.get("cursor")
        if not cursor:
            break
    assert sorted(listed) == sorted(f"d{i}" for i in range(120) if i != 12)
    host.stop()
    host.start()
    assert best(host, "bittern number 13 lives near the bittern", 1) == ["d13"]


def test_its_answers_are_those_of_an_exact_store(make_host, server, service):
    """The same data and queries: recall at 10 of Chroma at a raised ef-search against FAISS flat."""
    chroma = make_host(configuration(service, own(server, "recall")), name="recall")
    exact = make_host(configuration(service, "vector-db-url = memory://"), name="exact")
    for host in (chroma, exact):
        host.ingest(documents(600))
    found = wanted = 0
    for i in range(0, 600, 20):
        query = f"{WORDS[i % 12]} number {i} and the {WORDS[(i * 7) % 12]}"
        one = {chunk["id"]: chunk["scores"]["cosine"] for chunk in exact.context(query=query, max_chunks=20).json["chunks"]}
        other = {chunk["id"]: chunk["scores"]["cosine"] for chunk in chroma.context(query=query, max_chunks=10).json["chunks"]}
        # Of those that are as near as the tenth any will do.
        tenth = sorted(one.values(), reverse=True)[9]
        wanted += 10
        found += sum(score >= tenth - 1e-5 for score in other.values())
    print(f"recall@10 {found / wanted:.4f}")
    assert found / wanted >= 0.99


def test_a_server_that_dies_in_the_middle_loses_and_doubles_nothing(make_host, service):
    with ChromaServer() as server:
        host = make_host(configuration(service, own(server, "deaths"), words=True), name="deaths")
        acknowledged, refused, stop = set(), [], threading.Event()

        def ingest():
            at = 0
            while not stop.is_set() and at < 40:
                batch = documents(15, 15 * at)
                answer = host.post("/v1/documents", {"documents": batch})
                if answer.status == 200:
                    acknowledged.update(document["id"] for document in batch)
                    at += 1
                else:
                    refused.append(answer)
                    time.sleep(0.2)

        thread = threading.Thread(target=ingest)
        thread.start()
        for _ in range(2):
            before = len(acknowledged)
            while len(acknowledged) < before + 60 and thread.is_alive():
                time.sleep(0.02)
            server.kill()
            time.sleep(1)
            server.start()
        thread.join()
        assert len(acknowledged) == 600
        assert all(answer.status == 503 for answer in refused), refused
        assert host.ingest(documents(600))["unchanged"] == 600
        stats = host.post("/v1/admin/optimize?store=docs", {}).json["stats"]
        assert stats["documents"] == 600 and stats["chunks"] == 600 and stats["vectors"] == 600, stats
        for i in range(0, 600, 37):
            assert best(host, f"{WORDS[i % 12]} number {i} lives near the {WORDS[(i // 12) % 12]}", 1) == [f"d{i}"]


def test_deleting_by_a_filter_leaves_none_behind(make_host, server, service):
    host = make_host(configuration(service, own(server, "cleared")), name="cleared")
    for first in range(0, 1200, 200):
        host.ingest([{**document, "metadata": {"lang": "de"}} for document in documents(200, first)])
    host.ingest([{**document, "metadata": {"lang": "en"}} for document in documents(10, 1200)])
    answer = host.request("DELETE", "/v1/documents?filter=" + urllib.parse.quote(json.dumps({"lang": "de"})), timeout=300)
    assert answer.status == 200 and answer.json["documents"] == 1200, answer
    left = host.get("/v1/documents?limit=100").json["documents"]
    assert sorted(document["id"] for document in left) == [f"d{i}" for i in range(1200, 1210)]


def test_documents_of_any_size_come_and_go_in_pages(make_host, server, service):
    """A document's chunks are far more than one answer may have: what is staged of it, what it had before, what is listed,
    shown and removed comes in pieces. The answers' limit is small instead of the document large."""
    store = own(server, "pages") + "\nmax-response-size = 64KiB\nchunk-size = 200\noverlap = 0"
    host = make_host(configuration(service, store), name="pages")
    text = " ".join(f"The {WORDS[i % 12]} number {i} lives near the {WORDS[(i // 12) % 12]} and sleeps in the reeds of the pond." for i in range(1200))
    metadata = {"kind": "large", "note": "n" * 100}
    chunks = host.ingest([{"id": "large", "content": text, "metadata": metadata}])["chunks"]
    assert chunks > 400
    assert host.ingest([{"id": "small", "content": "A heron.", "metadata": {"kind": "small"}}])["chunks"] == 1
    shown = host.get("/v1/documents/large").json
    assert len(shown["chunks"]) == chunks
    answer = host.context(query="heron number 12 lives near the bittern", max_chunks=300, cache="bypass")
    assert answer.status == 200 and not answer.json["degraded"] and len(answer.json["chunks"]) == 300, answer
    # A filter that Chroma has not, and that little matches: all is looked at.
    rare = host.context(query="plover number 900", max_chunks=5, filter={"kind": {"ne": "large"}}, cache="bypass")
    assert ids(rare) == ["small"] and not rare.json["degraded"], rare
    replaced = host.ingest([{"id": "large", "content": text + " And more of it.", "metadata": metadata}])
    assert replaced["replaced"] == 1, replaced
    answer = host.request("DELETE", "/v1/documents?filter=" + urllib.parse.quote(json.dumps({"kind": "large"})), timeout=300)
    assert answer.status == 200 and answer.json["documents"] == 1, answer
    assert [document["id"] for document in host.get("/v1/documents").json["documents"]] == ["small"]
    stats = host.post("/v1/admin/optimize?store=docs", {}).json["stats"]
    assert stats["documents"] == 1 and stats["chunks"] == 1, stats


@pytest.mark.long
def test_chunks_that_are_long_come_in_several_requests(make_host, server, service):
    """A batch of them is more than the server takes at once (40 MB)."""
    host = make_host(configuration(service, own(server, "long") + "\nchunk-size = 100000"), name="long")
    long = [{"id": f"l{i}", "content": f"heron{i} " + "x" * 90000} for i in range(500)]
    assert host.ingest(long)["chunks"] == 500
    assert host.get("/v1/documents/l7").json["chunks"][0]["content"].startswith("heron7 ")


def test_large_whole_numbers_are_found_by_a_filter(make_host, server, service):
    host = make_host(configuration(service, own(server, "numbers")), name="numbers")
    numbers = [9 * 10**15 + 1, 2**53 + 1, 10**16, 2**62 + 1, -10**17]
    host.ingest([{"id": str(number), "content": "A number.", "metadata": {"number": number}} for number in numbers])
    for number in numbers:
        for wanted in (number, {"in": [number, 5]}, {"gte": number, "lte": number}):
            assert best(host, "number", filter={"number": wanted}) == [str(number)], (number, wanted)
    assert best(host, "number", filter={"number": 1e16}) == [str(10**16)]


def test_a_server_that_hangs_costs_its_deadline(make_host, service):
    with ChromaServer() as server:
        store = own(server, "hangs").replace("deadline = 20s", "deadline = 1s")
        host = make_host(configuration(service, store, words=True), name="hangs")
        host.ingest(documents(50))
        server.suspend()
        # The words are found here, what they stand in is there: nothing can be shown, and that is said in time.
        answer = host.context(query="heron number 12", cache="bypass")
        assert answer.status == 503 and "no answer in time" in answer.body.decode(), answer
        server.resume()
        deadline = time.monotonic() + 180
        while host.context(query="heron number 12", cache="bypass").json.get("degraded", True):
            assert time.monotonic() < deadline
            time.sleep(0.2)


def test_another_embedder_and_foreign_collections_are_refused(make_host, server, service):
    host = make_host(configuration(service, own(server, "mine")), name="mine")
    host.ingest(documents(5))
    host.stop()
    host.config_path.write_text(configuration(service, own(server, "mine")).replace("model = words", "model = others"))
    with pytest.raises(RuntimeError, match="holds vectors of the embedder"):
        host.start()
    host.process = None
    request = urllib.request.Request(f"{server.url()}/api/v2/tenants/default_tenant/databases/default_database/collections",
                                     data=b'{"name": "foreign"}', headers={"Content-Type": "application/json"})
    urllib.request.urlopen(request).close()
    host.config_path.write_text(configuration(service, own(server, "foreign")))
    with pytest.raises(RuntimeError, match="not Ragify's"):
        host.start()
    host.process = None


class Guard(http.server.BaseHTTPRequestHandler):
    """A proxy that wants a token, as those in front of Chroma servers do."""

    protocol_version = "HTTP/1.1"

    def forward(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        status, answer = 401, b'{"error": "Unauthorized"}'
        if self.headers.get("X-Chroma-Token") == "let-me-in":
            request = urllib.request.Request(self.server.upstream + self.path, data=body or None, method=self.command,
                                             headers={"Content-Type": "application/json"})
            try:
                with urllib.request.urlopen(request) as reply:
                    status, answer = reply.status, reply.read()
            except urllib.error.HTTPError as refusal:
                status, answer = refusal.code, refusal.read()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    do_GET = do_POST = do_PUT = do_DELETE = forward

    def log_message(self, *arguments):
        pass


def test_tenant_database_and_token(make_host, server, service):
    guard = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Guard)
    guard.upstream = server.url()
    thread = threading.Thread(target=guard.serve_forever)
    thread.start()
    store = (f"plugin = chroma\nbase-url = http://127.0.0.1:{guard.server_address[1]}\ncollection = guarded\ntenant = acme\n"
             "database = wiki\nauth = api-key\napi-key-name = X-Chroma-Token\ntoken = let-me-in")
    host = make_host(configuration(service, store), name="guarded")
    host.ingest(documents(10))
    assert best(host, "heron number 0", 1) == ["d0"]
    with urllib.request.urlopen(f"{server.url()}/api/v2/tenants/acme/databases/wiki/collections") as reply:
        assert b'"guarded"' in reply.read()
    host.stop()
    host.config_path.write_text(configuration(service, store.replace("let-me-in", "wrong")))
    with pytest.raises(RuntimeError, match="401"):
        host.start()
    host.process = None
    guard.shutdown()
    thread.join()
    guard.server_close()


def test_the_example_runs_as_it_is(make_host, server, service):
    text = (ROOT / "config/examples/chroma.conf").read_text()
    text = text.replace("http://chroma.example:8000", server.url())
    text = re.sub(r"\[embedder minilm\]\nplugin = local\nmodel = fast\n",
                  f"[embedder minilm]\nplugin = http\nbase-url = {service.url('good')}\nmodel = words\ndimension = 64\n", text)
    text = re.sub(r"listen = .*", "listen = 127.0.0.1:0", text)
    text = text.replace("plugin = xapian", "plugin = fts5")
    host = make_host(text, name="example")
    host.ingest(documents(30))
    assert best(host, "heron number 12", 1) == ["d12"]
    assert embed("heron") != embed("otter")


def test_a_list_tells_nothing_of_what_a_key_may_not_see(make_host, server, service, tmp_path):
    """Chroma has no NOT: the key's filter is looked at here, and neither short pages nor cursors tell what else there is."""
    key, everybody = "rgf_" + "k" * 43, "rgf_" + "e" * 43
    keys = tmp_path / "keys"
    keys.write_text("".join(f"[{name}]\nsha256 = {hashlib.sha256(value.encode()).hexdigest()}\n{more}\n"
                            for name, value, more in (("own", key, 'filter = {"lang": {"ne": "de"}}'),
                                                      ("all", everybody, "scopes = admin"))))
    text = configuration(service, own(server, "held") + "\nrequest-chunks = 100")
    host = make_host(text.replace("listen = 127.0.0.1:0", f"listen = 127.0.0.1:0\napi-keys-file = {keys}"), name="held")

    def ask(bearer, path, method="GET", body=None):
        headers = {"Content-Type": "application/json", "Authorization": f"Bearer {bearer}"}
        answer = host.request(method, path, body=body and json.dumps(body).encode(), headers=headers)
        assert answer.status == 200, answer
        return answer.json

    given = [{"id": f"theirs-{i}", "content": f"Theirs, {i}.", "metadata": {"lang": "de"}} for i in range(330)]
    given += [{"id": f"ours-{i}", "content": f"Ours, {i}.", "metadata": {"lang": "en"}} for i in range(5)]
    given += [{"id": f"more-{i}", "content": f"Theirs, {i}.", "metadata": {"lang": "de"}} for i in range(40)]
    for first in range(0, len(given), 100):
        ask(everybody, "/v1/documents", "POST", {"documents": given[first:first + 100]})
    whole = ask(key, "/v1/documents?limit=10")
    assert len(whole["documents"]) == 5 and "next_cursor" not in whole
    found, cursor, pages = [], "", []
    while cursor is not None:
        page = ask(key, f"/v1/documents?limit=2&cursor={cursor}")
        found += [document["id"] for document in page["documents"]]
        cursor = page.get("next_cursor")
        pages.append((len(page["documents"]), cursor))
    assert sorted(found) == [f"ours-{i}" for i in range(5)]
    assert [count for count, _ in pages] == [2, 2, 1]
    assert all(re.fullmatch("[0-9a-f]{32}", told) for _, told in pages[:-1]), pages
    wanted = urllib.parse.quote(json.dumps({"lang": "de"}))
    assert ask(key, f"/v1/documents?limit=3&filter={wanted}") == {"documents": []}
    wrong = host.get("/v1/documents?limit=2&cursor=330", {"Authorization": f"Bearer {key}"})
    assert wrong.status in (400, 422) and "cursor" in wrong.json["detail"], wrong
