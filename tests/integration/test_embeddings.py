"""POST /v1/embeddings, and embed-http: one host's embedder is another host's service, and services of every bad kind."""

import base64
import math
import struct

import pytest

from conftest import Host, models_dir
from model_server import DIMENSION, Service, embed

real_model = pytest.mark.skipif(models_dir() is None, reason="no model")


@pytest.fixture(scope="module")
def service():
    service = Service()
    yield service
    service.stop()


def configuration(embedders, first="good"):
    """embedders: name → lines; the first one's vectors are the store's."""
    lines = ["[host]", "threads = 2", "[http public]", "listen = 127.0.0.1:0"]
    for name, keys in embedders.items():
        lines += [f"[embedder {name}]", "plugin = http", "keep-alive = 1s", "model = words", *keys]
    lines += ["[vector-store docs]", "plugin = faiss", "path = docs", f"embedder = {first}",
              "[pipeline default]", "retrieve = docs", "deadline = 60s"]
    return "\n".join(lines) + "\n"


def embeddings(host, model=None, **fields):
    fields.setdefault("input", "red cars")
    return host.post("/v1/embeddings", {**fields, **({"model": model} if model is not None else {})})


def close(one, other, tolerance=1e-5):
    return len(one) == len(other) and all(abs(a - b) < tolerance for a, b in zip(one, other))


def unit(vector):
    return abs(math.sqrt(sum(number * number for number in vector)) - 1) < 1e-5


# ---- services, good and bad ----

BAD = {
    "limited": "rate limit of the test", "broken": "out of memory", "refuses": "too many tokens", "garbage": "no JSON",
    "empty": "no JSON", "no-list": "no list of embeddings", "fewer": "embeddings for", "wider": "dimension is 64",
    "nan": "no JSON", "null": "no number", "infinite": "not finite", "zeros": "length of 0", "twice": "index 0",
    "beyond": "index outside", "huge": "values", "endless": "", "cut": "",
}


@pytest.fixture(scope="module")
def host(make_host, service):
    embedders = {"good": [f"base-url = {service.url('good')}", "token = sk-test"],
                 "base64": [f"base-url = {service.url('good')}/b", "encoding = base64", "dimension = 64"],
                 "tei": [f"base-url = {service.url('good')}/t", "api = tei"],
                 "shuffled": [f"base-url = {service.url('shuffled')}", "request-texts = 3", "max-batch = 64"],
                 "long": [f"base-url = {service.url('long')}"],
                 "prefixed": [f"base-url = {service.url('good')}/p", "query-prefix = ask:", "max-text = 10"],
                 "path": [f"base-url = {service.url('good')}", "path = /x/embeddings?api-version=1"],
                 "once": [f"base-url = {service.url('once')}", "dimension = 64"],
                 "gone": ["base-url = http://127.0.0.1:1", "dimension = 64", "retry = 0"],
                 "unauthorized": [f"base-url = {service.url('unauthorized')}", "dimension = 64"],
                 "silent": [f"base-url = {service.url('silent')}", "dimension = 64", "read-timeout = 300ms", "retry = 0"]}
    for name in BAD:
        embedders[name] = [f"base-url = {service.url(name)}", "dimension = 64", "retry = 0", "breaker-failures = 0",
                           "breaker-error-rate = 0", "max-response-size = 1MiB"]
    return make_host(configuration(embedders), name="embeddings")


def test_vectors_come_from_the_service_in_each_shape(host, service):
    for model in ("good", "base64", "tei", "shuffled", "long", "path"):
        answer = embeddings(host, model, input=["red cars", "green boats", "a third text"])
        assert answer.status == 200, answer
        data = answer.json["data"]
        assert [item["index"] for item in data] == [0, 1, 2] and answer.json["model"] == model
        for item, text in zip(data, ("red cars", "green boats", "a third text")):
            assert close(item["embedding"], embed(text)) and unit(item["embedding"]), model
    own = [one for one in service.requests("good") if one["target"] == "/good/embeddings"]
    assert own and all(one["headers"]["Authorization"] == "Bearer sk-test" for one in own)
    assert any(one["target"].endswith("/x/embeddings?api-version=1") for one in service.requests("good"))


def test_many_texts_share_requests_of_the_size_that_the_service_takes(host, service):
    texts = [f"text number {i}" for i in range(40)]
    answer = embeddings(host, "shuffled", input=texts)
    assert all(close(item["embedding"], embed(text)) for item, text in zip(answer.json["data"], texts))
    sizes = [len(one["body"]["input"]) for one in service.requests("shuffled")]
    assert max(sizes) == 3


def test_prefixes_and_cuts_go_before_the_service(host, service):
    assert embeddings(host, "prefixed", input="überaus lange Texte").status == 200
    sent = [one["body"]["input"] for one in service.requests("good") if "/p/" in one["target"]][-1]
    assert sent == ["ask:überaus l"]  # ten bytes of the text, none of a character's in part


def test_what_passes_is_asked_again_as_late_as_the_service_says(host, service):
    answer = embeddings(host, "once")
    assert answer.status == 200 and service.count("once") == 2, answer


@pytest.mark.parametrize("name", BAD)
def test_bad_answers_are_refused_with_the_reason(host, service, name):
    answer = embeddings(host, name, input=[f"text number {i}" for i in range(30)])  # some of them in one request
    assert answer.status in (422, 503), answer
    assert BAD[name] in answer.json["detail"] and name in answer.json["detail"], answer
    assert (answer.status == 422) == (name == "refuses")


def test_a_service_that_is_gone_or_silent_is_an_error_in_time(host):
    assert embeddings(host, "gone").status == 503
    assert embeddings(host, "silent").status == 503
    refused = embeddings(host, "unauthorized")
    assert refused.status == 503 and "sk-" not in refused.json["detail"] and "sk-" not in host.log()


def test_the_store_is_filled_and_searched_through_it(host):
    host.ingest([{"id": "cars", "content": "Red cars on the road."}, {"id": "boats", "content": "Green boats at sea."}])
    chunks = host.context(query="red cars").json["chunks"]
    assert [chunk["document_id"] for chunk in chunks] == ["cars", "boats"]
    assert chunks[0]["score_kind"] == "cosine" and chunks[0]["relevance_score"] > chunks[1]["relevance_score"]


def test_the_dimension_is_learnt_at_start_and_its_absence_told(tmp_path):
    host = Host(tmp_path, configuration({"good": ["base-url = http://127.0.0.1:1", "retry = 0"]}))
    with pytest.raises(RuntimeError, match="embedder good"):
        host.start()


def test_an_outage_costs_vectors_and_not_the_host(make_host, service):
    """Words go on answering while the service is away, vectors come back with it."""
    config = configuration({"good": [f"base-url = {service.url('switch')}", "dimension = 64", "retry = 0",
                                     "breaker-open = 200ms"]})
    config = config.replace("[pipeline default]\nretrieve = docs", "[text-index words]\nplugin = fts5\nof = docs\npath = words\n"
                            "[pipeline default]\nretrieve = docs; words")
    host = make_host(config, name="outage")
    service.mode = "good"
    host.ingest([{"id": "cars", "content": "Red cars on the road."}])
    assert host.context(query="red cars").json["degraded"] is False
    service.mode = "broken"
    answer = host.context(query="red cars now").json
    assert answer["degraded"] is True and answer["chunks"][0]["document_id"] == "cars"
    assert any("out of memory" in warning for warning in answer["warnings"])
    refused = host.post("/v1/documents", {"documents": [{"id": "new", "content": "New cars."}]})
    assert refused.status != 200 or refused.json.get("failed"), refused
    service.mode = "good"


# ---- the route ----

@pytest.mark.parametrize("body, status, field", [
    ({}, 422, "input"), ({"input": ""}, 422, "input"), ({"input": []}, 422, "input"), ({"input": ["a", ""]}, 422, "input"),
    ({"input": [1, 2, 3]}, 422, "input"), ({"input": [[1, 2]]}, 422, "input"), ({"input": {"a": 1}}, 422, "input"),
    ({"input": ["a"] * 2049}, 422, "input"), ({"input": "a\0b"}, 422, "input"),
    ({"input": "a", "model": "absent"}, 404, "model"), ({"input": "a", "model": 5}, 422, "model"),
    ({"input": "a", "encoding_format": "int8"}, 422, "encoding_format"),
    ({"input": "a", "dimensions": 9}, 422, "dimensions"), ({"input": "a", "dimensions": "64"}, 422, "dimensions"),
    ({"input": "a", "purpose": "x"}, 422, "purpose"), (b"{", 400, None), (b"[]", 422, None),
])
def test_what_is_wrong_is_named(host, body, status, field):
    answer = host.post("/v1/embeddings", body)
    assert answer.status == status and answer.json.get("field") == field, answer


def test_the_first_embedder_answers_where_none_is_named(host):
    answer = embeddings(host, dimensions=DIMENSION, user="somebody")
    assert answer.status == 200 and close(answer.json["data"][0]["embedding"], embed("red cars"))
    assert embeddings(host, "words").status == 200  # the model's name does as well
    assert host.get("/v1/embeddings").status == 405


def test_base64_is_the_same_numbers(host):
    plain = embeddings(host, "good").json["data"][0]["embedding"]
    packed = base64.b64decode(embeddings(host, "good", encoding_format="base64").json["data"][0]["embedding"])
    assert close(struct.unpack(f"<{DIMENSION}f", packed), plain, 1e-8)


# ---- the real model, through two hosts ----

@pytest.fixture(scope="module")
def upstream(make_host):
    return make_host(name="upstream")


@real_model
def test_the_official_client_works(upstream):
    import openai
    client = openai.OpenAI(base_url=upstream.address + "/v1", api_key="none", max_retries=0)
    page = client.embeddings.create(model="minilm", input=["A cat sleeps.", "The kitten is asleep.", "Tax law"])
    a, b, c = (item.embedding for item in page.data)
    assert len(a) == 384 and unit(a) and page.usage.total_tokens == 11, page.usage
    dot = lambda one, other: sum(x * y for x, y in zip(one, other))
    assert dot(a, b) > 0.6 > 0.3 > dot(a, c)
    floats = client.embeddings.create(model="fast", input="A cat sleeps.", encoding_format="float")
    assert close(floats.data[0].embedding, a, 0.02)
    with pytest.raises(openai.NotFoundError):
        client.embeddings.create(model="absent", input="x")


@real_model
def test_a_host_embeds_with_another_host(make_host, upstream):
    """The same documents and questions give the same answers whether the model is here or there."""
    documents = [{"id": f"d{i}", "content": text} for i, text in enumerate(
        ["The lease ends in March.", "Cats sleep most of the day.", "Rent is paid on the first of the month.",
         "The harbour was built in 1903.", "Dogs need to be walked."])]
    config = "\n".join(["[host]", "threads = 2", "[http public]", "listen = 127.0.0.1:0", "[embedder far]", "plugin = http",
                        f"base-url = {upstream.address}/v1", "model = minilm", "encoding = base64",
                        "[vector-store docs]", "plugin = faiss", "path = docs", "embedder = far", "[pipeline default]",
                        "retrieve = docs"]) + "\n"
    far = make_host(config, name="far")
    near = make_host(config.replace("plugin = http", "plugin = local").replace("model = minilm", f"model = {models_dir() / 'fast'}")
                     .replace(f"base-url = {upstream.address}/v1\n", "").replace("encoding = base64\n", ""), name="near")
    for host in (far, near):
        host.ingest(documents)
    for query in ("When does the contract end?", "What do pets do?", "history of the port"):
        there, here = (host.context(query=query).json["chunks"] for host in (far, near))
        assert [one["document_id"] for one in there] == [one["document_id"] for one in here]
        assert all(abs(a["relevance_score"] - b["relevance_score"]) < 0.01 for a, b in zip(there, here))
