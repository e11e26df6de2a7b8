"""The host with its documents in PostgreSQL: a real server with pgvector, one host or several."""

import json
import re
import threading
import time

import pytest

from conftest import Host, build_dir, models_dir, test_data
from postgres_server import PostgresServer, vector_binaries

pytestmark = [
    pytest.mark.skipif(vector_binaries() is None, reason="no PostgreSQL with pgvector"),
    pytest.mark.skipif(not (build_dir() / "plugins/store-pgvector/store-pgvector.so").exists(), reason="not built"),
]
needs_model = pytest.mark.skipif(models_dir() is None, reason="no model")


@pytest.fixture(scope="module")
def server():
    with PostgresServer(bin=vector_binaries()) as running:
        yield running


def config(server, table, embed=False, store="", tier="", words="", pipeline=""):
    embedder = f"[embedder minilm]\nplugin = local\nmodel = {models_dir() / 'fast'}\n" if embed else ""
    return f"""
[host]
threads = 2
[http public]
listen = 127.0.0.1:0
[cache ram]
plugin = memory
[tier answers]
levels = ram
{tier}
{embedder}
[vector-store docs]
plugin = pgvector
dsn = {server.dsn()} application_name={table}
table = {table}
{"embedder = minilm" if embed else ""}
{store}
[text-index words]
plugin = pgvector
of = docs
dsn = {server.dsn()} application_name={table}
table = {table}
{words}
[pipeline default]
cache = answers
retrieve = {"docs; words" if embed else "words"}
{pipeline}
"""


DOCUMENTS = [
    {"id": "bread", "content": "Flour, water, salt and yeast make a dough for bread.", "metadata": {"lang": "en", "year": 2020}},
    {"id": "soup", "content": "A leek soup wants potatoes, cream and salt.", "metadata": {"lang": "en", "year": 2021}},
    {"id": "brot", "content": "Mehl, Wasser, Salz und Hefe werden zu Brot.", "metadata": {"lang": "de", "year": 2021}},
]


def ids(answer):
    assert answer.status == 200, answer
    return [chunk["document_id"] for chunk in answer.json["chunks"]]


def eventually(ask, expected, seconds=180):
    deadline = time.monotonic() + seconds
    while (found := ask()) != expected:
        assert time.monotonic() < deadline, (found, expected)
        time.sleep(0.02)


@needs_model
def test_ingest_query_and_delete(make_host, server):
    host = make_host(config(server, "kitchen", embed=True))
    report = host.ingest(DOCUMENTS)
    assert (report["documents"], report["failed_total"]) == (3, 0)
    for mode in ("hybrid", "dense", "lexical"):
        assert ids(host.context(query="salt in a soup of leeks", mode=mode))[0] == "soup", mode
    chunk = host.context(query="leek soup").json["chunks"][0]
    assert chunk["metadata"] == {"lang": "en", "year": 2021} and chunk["score_kind"] == "cosine"
    assert set(chunk["scores"]) >= {"docs", "words"} and 0 < chunk["relevance_score"] <= 1
    only = host.context(query="bread", filter={"lang": "de", "year": {"gte": 2020}})
    assert ids(only) == ["brot"]
    assert host.get("/v1/documents/bread").json["chunks"][0]["content"] == DOCUMENTS[0]["content"]
    assert len(host.get("/v1/documents").json["documents"]) == 3
    assert host.request("DELETE", "/v1/documents/soup").status == 200
    assert "soup" not in ids(host.context(query="salt in a soup of leeks"))
    assert host.request("DELETE", "/v1/documents/soup").status == 404
    assert server.value("SELECT documents || ' ' || chunks || ' ' || vectors FROM kitchen_store") == "2 2 2"


def test_everything_is_there_after_a_restart_of_host_and_server(make_host, server):
    host = make_host(config(server, "again"))
    host.ingest(DOCUMENTS)
    server.kill()
    server.start()
    assert ids(host.context(query="leek soup", cache="bypass"))[:1] == ["soup"]
    host.stop()
    host.start()
    assert ids(host.context(query="leek soup"))[:1] == ["soup"]
    assert host.ingest(DOCUMENTS)["unchanged"] == 3


def test_a_server_that_is_gone_is_said_and_found_again(make_host, server):
    host = make_host(config(server, "gone"))
    host.ingest(DOCUMENTS[:1])
    server.kill()
    answer = host.context(query="leek soup", cache="bypass")
    assert answer.status in (200, 503) and (answer.status == 503 or answer.json["degraded"])
    refused = host.post("/v1/documents", {"documents": DOCUMENTS[1:]})
    assert refused.status in (502, 503, 500), refused
    server.start()
    eventually(lambda: host.post("/v1/documents", {"documents": DOCUMENTS[1:]}).status, 200)
    assert ids(host.context(query="leek soup", cache="bypass"))[:1] == ["soup"]
    assert server.value("SELECT count(*) FROM gone_chunks") == "3"


def test_a_server_that_comes_after_the_host(make_host, server):
    server.kill()
    try:
        host = make_host(config(server, "late"))
        assert host.post("/v1/documents", {"documents": DOCUMENTS}).status >= 500
    finally:
        server.start()
    eventually(lambda: host.post("/v1/documents", {"documents": DOCUMENTS}).status, 200)
    assert ids(host.context(query="leek soup", cache="bypass"))[:1] == ["soup"]


def words_of(number):
    return " ".join(f"Marker{number} sentence {i} is about nothing else than this." for i in range(60))


def test_a_server_that_is_killed_under_ingest_loses_and_doubles_nothing(make_host, server):
    """The client asks again for what was not acknowledged, as any would."""
    host = make_host(config(server, "killed"))
    acknowledged, failures = [], []
    stop = threading.Event()

    def write():
        for number in range(100000):
            while not stop.is_set():
                answer = host.post("/v1/documents", {"documents": [{"id": f"doc-{number}", "content": words_of(number)}]})
                if answer.status == 200 and answer.json["failed_total"] == 0:
                    acknowledged.append(number)
                    break
                failures.append(number)
                time.sleep(0.02)
            if stop.is_set():
                return

    writer = threading.Thread(target=write)
    writer.start()
    for _ in range(5):
        before = len(acknowledged)
        eventually(lambda: len(acknowledged) > before + 3, True)
        server.kill()
        time.sleep(0.1)
        server.start()
    before = len(acknowledged)
    eventually(lambda: len(acknowledged) > before + 3, True)
    stop.set()
    writer.join()
    assert failures
    per_document = len(host.get("/v1/documents/doc-0").json["chunks"])
    assert per_document > 1
    for number in acknowledged:
        assert server.value(f"SELECT count(*) FROM killed_chunks c JOIN killed_documents d ON d.number = c.document"
                            f" WHERE d.id = 'doc-{number}' AND NOT c.staged") in (str(per_document), str(len(
                                host.get(f"/v1/documents/doc-{number}").json["chunks"])))
    assert server.value("SELECT count(*) - count(DISTINCT (d.id, c.ordinal)) FROM killed_chunks c JOIN killed_documents d"
                        " ON d.number = c.document") == "0"
    assert server.value("SELECT s.chunks - (SELECT count(*) FROM killed_chunks WHERE NOT staged) FROM killed_store s") == "0"
    assert server.value("SELECT s.documents - (SELECT count(*) FROM killed_documents WHERE live) FROM killed_store s") == "0"


def test_two_hosts_share_one_store(make_host, server):
    """What one ingests or deletes, the other's cached answers follow within max-staleness."""
    shared = config(server, "shared", tier="max-staleness = 300ms")
    one, other = make_host(shared, name="one"), make_host(shared, name="other")
    one.ingest(DOCUMENTS[:1])
    query = {"query": "leek soup with salt"}
    eventually(lambda: ids(other.context(query)), ["bread"])
    assert other.context(query).json["cache"] == "memory"
    one.ingest(DOCUMENTS[1:])
    began = time.monotonic()
    eventually(lambda: sorted(ids(other.context(query))), ["bread", "soup"])
    assert one.request("DELETE", "/v1/documents/soup").status == 200
    deleted = time.monotonic()
    time.sleep(0.3)
    while "soup" in ids(other.context(query)):
        assert time.monotonic() < deleted + 180
        time.sleep(0.02)
    assert time.monotonic() > began
    assert other.ingest(DOCUMENTS[:1])["unchanged"] == 1
    assert server.value("SELECT count(*) FROM shared_store") == "1"


def test_an_index_of_each_host_follows_what_the_others_write(make_host, server):
    """The store is shared, the text indexes are not; and nothing is cached that an index which is behind has not found."""
    shared = config(server, "own_words", tier="max-staleness = 0")
    shared = re.sub(r"\[text-index words\].*?(?=\[pipeline)", "[text-index words]\nplugin = fts5\nof = docs\npath = words\n",
                    shared, flags=re.DOTALL)
    one, other = make_host(shared, name="own-one"), make_host(shared, name="own-other")

    def found(host, word):
        return sorted(ids(host.context(query=f"{word} of the storm")))

    for number in range(4):  # in turns, so that each has batches of the other's between two of its own
        for host, name in ((one, f"one-{number}"), (other, f"other-{number}")):
            host.ingest([{"id": name, "content": f"The lantern{number} of {name} survived."}])
    expected = {number: [f"one-{number}", f"other-{number}"] for number in range(4)}
    for host in (one, other):
        for number in range(4):
            eventually(lambda: found(host, f"lantern{number}"), expected[number])
    eventually(lambda: one.context(query="lantern0 of the storm").json["cache"], "memory")
    assert one.request("DELETE", "/v1/documents/one-0").status == 200
    eventually(lambda: found(other, "lantern0"), ["other-0"])
    other.ingest([{"id": "late", "content": "The lantern9 came late."}])
    eventually(lambda: found(one, "lantern9"), ["late"])
    assert found(one, "lantern0") == ["other-0"]


def test_two_hosts_that_write_the_same_at_once(make_host, server):
    shared = config(server, "both")
    hosts = [make_host(shared, name="left"), make_host(shared, name="right")]
    documents = [{"id": f"doc-{i}", "content": words_of(i)} for i in range(30)]
    statuses = []

    def write(host):
        for document in documents:
            statuses.append(host.post("/v1/documents", {"documents": [document]}).status)

    writers = [threading.Thread(target=write, args=(host,)) for host in hosts]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert statuses == [200] * 60
    assert server.value("SELECT count(*) - count(DISTINCT (document, ordinal)) FROM both_chunks") == "0"
    assert server.value("SELECT documents FROM both_store") == "30"
    assert server.value("SELECT s.chunks - (SELECT count(*) FROM both_chunks) FROM both_store s") == "0"


@needs_model
def test_another_embedder_is_refused_at_start(make_host, server, tmp_path):
    host = make_host(config(server, "embedder", embed=True))
    host.ingest(DOCUMENTS)
    host.stop()
    server.sql("UPDATE embedder_store SET fingerprint = 'something-else', dimension = 12")
    refused = Host(tmp_path, config(server, "embedder", embed=True))
    with pytest.raises(RuntimeError, match="something-else.*bert-6x384.*ragify-ctl reindex"):
        refused.start()


@pytest.mark.long
@needs_model
def test_the_same_top_ten_as_faiss(make_host, server):
    """Exact searches of the same data: the same answers, ties aside."""
    corpus = [json.loads(line) for line in test_data("ir", "scifact", "corpus.jsonl").read_text().splitlines()[:300]]
    documents = [{"id": entry["_id"], "title": entry.get("title", ""), "content": entry["text"][:100]} for entry in corpus]
    queries = [json.loads(line)["text"] for line in test_data("ir", "scifact", "queries.jsonl").read_text().splitlines()[:50]]
    hosts = [make_host(config(server, "top", embed=True), name="pgvector"), make_host(name="faiss")]
    for host in hosts:
        for first in range(0, len(documents), 20):
            assert host.ingest(documents[first:first + 20])["failed_total"] == 0
    for query in queries:
        lists = [[(chunk["document_id"], chunk["scores"]["docs"]) for chunk in
                  host.context(query=query, mode="dense", max_chunks=10).json["chunks"]] for host in hosts]
        assert len(lists[0]) == len(lists[1]) == 10
        for (one, score), (other, score_of_other) in zip(*lists):
            assert abs(score - score_of_other) < 1e-5, query
            assert one == other or abs(score - score_of_other) < 1e-6, query
