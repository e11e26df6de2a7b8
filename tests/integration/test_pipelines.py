"""Several pipelines in one host: shared nodes, own defaults, and a pipeline as a source of another."""

import time

import pytest

from test_reload import DOCUMENTS, changes, reload, rewrite

INNER = "[pipeline inner]\nretrieve = words\ncache = answers\nmax-chunks = 3"
OUTER = "[pipeline outer]\nretrieve = inner; notes\ndeadline = 20s"
OUTERMOST = "[pipeline outermost]\nretrieve = outer"


@pytest.fixture(scope="module")
def nested_host(make_host, tmp_path_factory):
    notes = tmp_path_factory.mktemp("notes")
    (notes / "garden.md").write_text("The garden is watered by the tenant of the lease.\n")
    source = f"[source notes]\nplugin = files\nroot = {notes}"
    host = make_host(name="pipelines", embed=False, extra="\n".join([source, INNER, OUTER, OUTERMOST]))
    host.ingest(DOCUMENTS)
    return host


def ask(host, pipeline, query="lease garden", **fields):
    answer = host.post(f"/v1/p/{pipeline}/context", {"query": query, **fields})
    assert answer.status == 200, answer
    return answer.json


def test_a_pipeline_has_its_own_defaults(nested_host):
    assert len(ask(nested_host, "inner")["chunks"]) == 3
    assert len(ask(nested_host, "default")["chunks"]) == 8
    assert len(ask(nested_host, "inner", max_chunks=5)["chunks"]) == 5


def test_a_pipeline_is_a_source_of_another(nested_host):
    answer = ask(nested_host, "outer")
    assert answer["sources"]["inner"]["status"] == "ok" and answer["sources"]["inner"]["chunks"] == 3
    assert answer["sources"]["notes"]["status"] == "ok" and not answer["degraded"]
    found = {chunk["source"]["name"] for chunk in answer["chunks"]}
    assert found == {"inner", "notes"}
    inner = {chunk["id"]: chunk for chunk in ask(nested_host, "inner")["chunks"]}
    for chunk in answer["chunks"]:
        if chunk["source"]["name"] == "inner":
            same = inner[chunk["id"]]
            assert (chunk["content"], chunk["document_id"]) == (same["content"], same["document_id"])
            assert chunk["relevance_score"] == pytest.approx(same["relevance_score"], abs=1e-4)
            assert chunk["score_kind"] == "source"


def test_it_nests_further(nested_host):
    answer = ask(nested_host, "outermost")
    assert list(answer["sources"]) == ["outer"] and answer["sources"]["outer"]["status"] == "ok"
    assert any("watered" in chunk["content"] for chunk in answer["chunks"])
    assert any("d5" == chunk["document_id"] for chunk in answer["chunks"])


def test_the_inner_cache_answers_and_never_with_what_was_deleted(nested_host):
    nested_host.ingest([{"id": "gone", "content": "The lease has a swimming pool."}])
    assert "swimming" in str(ask(nested_host, "outer", "swimming pool"))
    hits = nested_host.metric("ragify_cache_hits_total", tier="answers")
    assert "swimming" in str(ask(nested_host, "outer", "swimming pool"))
    assert nested_host.metric("ragify_cache_hits_total", tier="answers") == hits + 1
    assert nested_host.request("DELETE", "/v1/documents/gone").status == 200
    assert "swimming" not in str(ask(nested_host, "outer", "swimming pool")["chunks"])


def test_a_filter_reaches_the_inner_pipeline(nested_host):
    nested_host.ingest([{"id": "en", "content": "An umbrella of the lease.", "metadata": {"lang": "en"}},
                        {"id": "de", "content": "Another umbrella of the lease.", "metadata": {"lang": "de"}}])
    answer = ask(nested_host, "outer", "umbrella", filter={"lang": "de"}, sources=["inner"])
    assert [chunk["document_id"] for chunk in answer["chunks"]] == ["de"]
    assert answer["chunks"][0]["metadata"]["lang"] == "de"


def test_an_inner_answer_that_lacks_something_marks_the_outer_one(make_host, tmp_path):
    source = "[source lost]\nplugin = http\nbase-url = http://127.0.0.1:9/\nretry = 0\n"
    host = make_host(name="partial", embed=False, extra=source + "[pipeline inner]\nretrieve = words; lost\n"
                     "[pipeline outer]\nretrieve = inner")
    host.ingest(DOCUMENTS)
    answer = ask(host, "outer")
    assert answer["degraded"] and any("inner answered in part" in warning for warning in answer["warnings"]), answer
    assert answer["chunks"]


def test_a_client_that_leaves_ends_the_inner_run(nested_host):
    body = b'{"query": "lease", "pipeline": "outermost"}'
    for _ in range(20):
        with nested_host.connect() as connection:
            connection.sendall(b"POST /v1/context HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
                               b"Content-Length: %d\r\n\r\n%s" % (len(body), body))
    deadline = time.monotonic() + 180
    while nested_host.metric("ragify_http_requests_waiting") > 0:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert ask(nested_host, "outermost")["chunks"]


def test_reloads_change_the_inner_pipeline_under_the_outer_one(make_host):
    host = make_host(name="nested-reload", embed=False, extra=INNER + "\n[pipeline outer]\nretrieve = inner")
    host.ingest(DOCUMENTS)
    assert len(ask(host, "outer")["chunks"]) == 3
    rewrite(host, ("max-chunks = 3", "max-chunks = 2"))
    assert changes(reload(host)) == {"pipeline inner": "rebuilt", "pipeline outer": "rebuilt"}
    assert len(ask(host, "outer")["chunks"]) == 2
    rewrite(host, append="[pipeline more]\nretrieve = words\n")
    assert changes(reload(host)) == {"pipeline more": "built"}
    rewrite(host, ("\n[pipeline outer]\nretrieve = inner", ""))
    assert changes(reload(host)) == {"pipeline outer": "removed"}
    assert host.post("/v1/p/outer/context", {"query": "lease"}).status == 404


def test_circles_and_an_outer_cache_are_refused(make_host):
    host = make_host(name="circle", embed=False)
    rewrite(host, append="[pipeline one]\nretrieve = two\n[pipeline two]\nretrieve = one\n")
    answer = reload(host)
    assert answer.status == 422 and "one" in answer.body.decode() and "two" in answer.body.decode(), answer
    rewrite(host, ("[pipeline one]\nretrieve = two\n[pipeline two]\nretrieve = one\n",
                   "[pipeline one]\nretrieve = default\ncache = answers\n"))
    answer = reload(host)
    assert answer.status == 422 and "keeps no answers itself" in answer.body.decode(), answer
