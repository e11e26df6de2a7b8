"""Reranking through the whole host: rerank-http at services of each kind, good and bad, and diversity on real vectors."""

import math
import time

import pytest

from conftest import embedded_config, models_dir
from model_server import Service

DOCUMENTS = [
    {"id": "lease", "title": "Lease", "content": "The lease of the house ends in March of next year, as agreed with the owner."},
    {"id": "rent", "content": "Rent for the house is due on the first day of the month."},
    {"id": "twin", "content": "Rent for the house is due on the first day of every month."},
    {"id": "cats", "content": "Cats sleep in the house most of the day."},
    {"id": "port", "content": "The house at the harbour was built in 1903."},
]
QUERY = "when does the lease of the house end"

BAD = {"limited": "rate limit of the test", "broken": "out of memory", "garbage": "no JSON", "empty": "no JSON",
       "no-list": "no list of results", "fewer": "results for", "nan": "no JSON", "null": "numbers", "twice": "two results",
       "beyond": "index 1000", "huge": "values", "endless": "", "cut": "", "logits": "scores = logit"}


@pytest.fixture(scope="module")
def service():
    service = Service()
    yield service
    service.stop()


def reranker(name, url, *keys):
    return "\n".join([f"[reranker {name}]", "plugin = http", f"base-url = {url}", "keep-alive = 1s", *keys])


def pipeline(name, rerank, *keys):
    return "\n".join([f"[pipeline {name}]", "retrieve = words", f"rerank = {rerank}", "deadline = 60s", *keys])


@pytest.fixture(scope="module")
def host(make_host, service):
    unguarded = ["model = m", "retry = 0", "breaker-failures = 0", "breaker-error-rate = 0", "max-response-size = 1MiB"]
    parts = []
    for name, keys in {"cohere": ["model = m", "token = sk-test"], "jina": ["api = jina", "model = m"], "tei": ["api = tei"],
                       "few": ["api = tei", "request-documents = 2"], "tiny": ["model = m", "max-text = 12"]}.items():
        parts += [reranker(f"r-{name}", service.url("good") + f"/{name}", *keys), pipeline(name, f"r-{name}")]
    parts += [reranker("r-sigmoid", service.url("logits"), "model = m", "scores = logit"), pipeline("sigmoid", "r-sigmoid")]
    parts += [reranker("r-once", service.url("once"), "model = m"), pipeline("once", "r-once")]
    parts += [reranker("r-gone", "http://127.0.0.1:1", *unguarded), pipeline("gone", "r-gone")]
    parts += [reranker("r-silent", service.url("silent"), *unguarded, "deadline = 200ms"), pipeline("silent", "r-silent")]
    parts += [reranker("r-switch", service.url("switch"), "model = m", "retry = 0", "breaker-failures = 2",
                       "breaker-open = 300ms"), pipeline("switch", "r-switch")]
    for name in BAD:
        parts += [reranker(f"r-{name}", service.url(name), *unguarded), pipeline(name, f"r-{name}")]
    host = make_host(embedded_config(embed=False, extra="\n".join(parts)), name="reranking")
    host.ingest(DOCUMENTS)
    return host


def ask(host, name, **fields):
    answer = host.post(f"/v1/p/{name}/context", {"query": QUERY, **fields})
    assert answer.status == 200, answer
    return answer.json


def order(answer):
    return [chunk["document_id"] for chunk in answer["chunks"]]


@pytest.mark.parametrize("name", ["cohere", "jina", "tei", "few"])
def test_services_of_each_kind_put_chunks_in_order(host, service, name):
    answer = ask(host, name, explain=True)
    first = answer["chunks"][0]
    assert first["document_id"] == "lease" and first["score_kind"] == "reranker" and not answer["degraded"]
    assert first["relevance_score"] == first["scores"]["reranker"] and first["scores"]["fused"] > 0
    assert answer["explain"]["stages"]["rerank"] > 0
    scores = [chunk["relevance_score"] for chunk in answer["chunks"]]
    assert scores == sorted(scores, reverse=True) and all(0 <= score <= 1 for score in scores)
    sent = [one for one in service.requests("good") if f"/{name}/" in one["target"]]
    body = sent[0]["body"]
    texts = body["texts"] if "texts" in body else body["documents"]
    assert body["query"] == QUERY and any(text.startswith("Lease\n") for one in sent
                                          for text in one["body"].get("texts", one["body"].get("documents")))
    if name == "few":
        assert len(sent) > 1 and len(texts) == 2
    if name == "cohere":
        assert sent[0]["headers"]["Authorization"] == "Bearer sk-test" and body["top_n"] == len(texts)


def test_logits_become_probabilities(host):
    plain, calibrated = ask(host, "cohere"), ask(host, "sigmoid")
    assert order(plain) == order(calibrated)
    for one, other in zip(plain["chunks"], calibrated["chunks"]):
        assert abs(1 / (1 + math.exp(5 - 10 * one["relevance_score"])) - other["relevance_score"]) < 1e-4


def test_the_threshold_is_the_rerankers(host):
    answer = ask(host, "cohere", min_relevance=0.6)
    assert order(answer) == ["lease"] and answer["chunks"][0]["relevance_score"] >= 0.6
    assert ask(host, "cohere", min_relevance=0.99)["chunks"] == []


def test_long_passages_are_cut(host, service):
    ask(host, "tiny")
    sent = [one for one in service.requests("good") if "/tiny/" in one["target"]][-1]
    assert all(len(text.encode()) <= 12 for text in sent["body"]["documents"])


def test_what_passes_is_asked_again(host, service):
    answer = ask(host, "once")
    assert service.count("once") == 2 and answer["chunks"][0]["score_kind"] == "reranker"


@pytest.mark.parametrize("name", [*BAD, "gone", "silent"])
def test_a_bad_service_costs_its_order_only(host, name):
    answer = ask(host, name)
    assert answer["degraded"] and answer["chunks"][0]["score_kind"] == "rank", answer
    assert "lease" in order(answer) and all("reranker" not in chunk["scores"] for chunk in answer["chunks"])
    warning = answer["warnings"][0]
    assert warning.startswith(f"r-{name} did not rerank: ") and BAD.get(name, "") in warning, warning


def test_one_that_fails_is_left_alone_and_comes_back(host, service):
    service.mode = "broken"
    deadline = time.monotonic() + 180
    asked = -1
    while asked != service.count("switch"):  # where the machine pauses as long as the circuit is open it is tried again
        assert time.monotonic() < deadline, "it was never left alone"
        asked = service.count("switch")
        assert ask(host, "switch", cache="bypass")["degraded"]
    assert asked >= 2
    service.mode = "good"
    deadline = time.monotonic() + 180
    while ask(host, "switch", cache="bypass")["degraded"]:
        assert time.monotonic() < deadline, "it was not asked again"
        time.sleep(0.05)


@pytest.mark.skipif(models_dir() is None, reason="no model")
def test_diversity_moves_the_repetition_down(make_host):
    host = make_host(embedded_config(extra="[pipeline diverse]\nretrieve = docs; words\ndiversify = 0.8"), name="diverse")
    host.ingest(DOCUMENTS)
    question = {"query": "When is the rent due?"}
    plain = host.context(question).json
    diverse = host.post("/v1/p/diverse/context", {**question, "explain": True}).json
    assert set(order(plain)[:2]) == {"rent", "twin"}
    assert order(diverse)[0] == order(plain)[0] and order(diverse)[1] not in ("rent", "twin")
    assert sorted(order(diverse)) == sorted(order(plain)) and "diversify" in diverse["explain"]["stages"]
    scores = {chunk["document_id"]: chunk["relevance_score"] for chunk in plain["chunks"]}
    assert all(abs(scores[chunk["document_id"]] - chunk["relevance_score"]) < 1e-5 for chunk in diverse["chunks"])
