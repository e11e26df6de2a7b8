"""Traces in and out: contexts that come with requests, spans at a real collector, and collectors of every bad kind."""

import json
import re
import time

import pytest

from collector import Collector
from conftest import embedded_config
from model_server import Service

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@pytest.fixture(scope="module")
def service():
    service = Service()
    yield service
    service.stop()


@pytest.fixture(scope="module")
def collector():
    collector = Collector()
    yield collector
    collector.stop()


def remote_config(service, collector, host):
    return "\n".join([
        "[host]", "threads = 2", host, "[http public]", "listen = 127.0.0.1:0",
        "[embedder words]", "plugin = http", "model = words", f"base-url = {service.url('good')}", "keep-alive = 1s",
        "[reranker cross]", "plugin = http", "api = tei", f"base-url = {service.url('good')}/tei", "keep-alive = 1s",
        "[source search]", "plugin = http", f"base-url = {collector.url}/api", "keep-alive = 1s",
        "[vector-store docs]", "plugin = faiss", "path = docs", "embedder = words",
        "[cache ram]", "plugin = memory", "[tier answers]", "levels = ram",
        "[pipeline default]", "cache = answers", "retrieve = docs; search", "rerank = cross", "deadline = 60s",
        "[pipeline outer]", "retrieve = default", "deadline = 60s"]) + "\n"


@pytest.fixture(scope="module")
def host(make_host, service, collector):
    host = make_host(remote_config(service, collector, f"trace-endpoint = {collector.url}\ntrace-sample = 0"),
                     name="tracing")
    host.ingest([{"id": "cars", "content": "Red cars are fast."}, {"id": "rent", "content": "Rent is due."}])
    return host


def trace_of(number):
    return f"{number:032x}"


def parent_of(number, flags="01"):
    return f"00-{trace_of(number)}-00000000000000aa-{flags}"


def ask(host, number, path="/v1/context", flags="01", **fields):
    answer = host.post(path, {"query": f"red cars {number}", **fields}, {"traceparent": parent_of(number, flags)})
    assert answer.status == 200, answer
    return answer


def attributes(span):
    return {item["key"]: next(iter(item["value"].values())) for item in span["attributes"]}


def test_a_request_is_a_tree_of_spans(host, collector):
    answer = ask(host, 1)
    spans = collector.wait_for(trace_of(1), 6)
    by_name = {span["name"]: span for span in spans}
    server = by_name["POST /v1/context"]
    assert server["parentSpanId"] == "00000000000000aa" and server["kind"] == 2
    assert attributes(server)["http.response.status_code"] == "200"
    assert attributes(server)["ragify.request_id"] == answer.headers["x-request-id"]
    pipeline = by_name["pipeline default"]
    assert pipeline["parentSpanId"] == server["spanId"]
    assert attributes(pipeline)["ragify.cache"] == "miss" and attributes(pipeline)["ragify.source.docs.status"] == "ok"
    assert attributes(pipeline)["ragify.stage.embed.seconds"] > 0
    for name, kind in (("embed words", 3), ("query search", 3), ("rerank cross", 3)):
        span = next(span for span in spans if span["name"].endswith(name.split()[1]) and name.split()[0] in span["name"])
        assert span["parentSpanId"] == pipeline["spanId"] and span["kind"] == kind
        assert int(span["startTimeUnixNano"]) <= int(span["endTimeUnixNano"])
        assert int(server["startTimeUnixNano"]) <= int(span["startTimeUnixNano"])
    assert len({span["spanId"] for span in spans}) == len(spans)
    assert abs(int(server["endTimeUnixNano"]) / 1e9 - time.time()) < 600


def test_batches_say_whose_they_are(host, collector):
    ask(host, 2)
    collector.wait_for(trace_of(2), 6)
    request = collector.requests[-1]
    assert request["path"] == "/v1/traces" and request["headers"]["Content-Type"] == "application/json"
    resource = {item["key"]: item["value"]["stringValue"]
                for item in request["batch"]["resourceSpans"][0]["resource"]["attributes"]}
    assert resource["service.name"] == "ragify" and resource["service.version"]


def test_services_are_told_of_the_trace(host, service, collector):
    answer = host.post("/v1/context", {"query": "red cars 3"}, {"traceparent": parent_of(3), "tracestate": "a=1, b=2"})
    assert answer.status == 200
    spans = {span["spanId"]: span["name"] for span in collector.wait_for(trace_of(3), 6)}
    seen = [{name.lower(): value for name, value in one["headers"].items()} for one in service.requests("good")]
    seen += collector.searches
    mine = [one for one in seen if trace_of(3) in one.get("traceparent", "")]
    assert len(mine) >= 3
    names = set()
    for headers in mine:
        match = re.fullmatch(r"00-([0-9a-f]{32})-([0-9a-f]{16})-01", headers["traceparent"])
        names.add(spans[match.group(2)])
        assert headers["tracestate"] == "a=1, b=2"
    assert {name.split()[-1] for name in names} == {"words", "search", "cross"}


def test_what_is_not_sampled_is_handed_on_and_not_recorded(host, service, collector):
    ask(host, 4, flags="00")
    ask(host, 5)
    collector.wait_for(trace_of(5), 6)
    assert collector.of_trace(trace_of(4)) == []
    handed = [one["headers"]["traceparent"] for one in service.requests("good")
              if trace_of(4) in one["headers"].get("traceparent", "")]
    assert handed and set(handed) == {parent_of(4, "00")}


def test_hits_and_nested_pipelines_are_in_the_trace(host, collector):
    host.context(query="red cars 6")
    ask(host, 6)
    hit = {span["name"]: span for span in collector.wait_for(trace_of(6), 2)}
    assert attributes(hit["pipeline default"])["ragify.cache"] == "memory"
    ask(host, 7, "/v1/p/outer/context")
    spans = {span["name"]: span for span in collector.wait_for(trace_of(7), 7)}
    inner, outer = spans["pipeline default"], spans["pipeline outer"]
    between = next(span for span in spans.values() if span["spanId"] == inner["parentSpanId"])
    assert between["parentSpanId"] == outer["spanId"]


def test_failures_are_marked(host, collector):
    answer = host.post("/v1/context", {"query": "x", "sources": ["search"], "timeout_ms": 1},
                       {"traceparent": parent_of(8)})
    spans = collector.wait_for(trace_of(8), 2)
    server = next(span for span in spans if span["kind"] == 2)
    if answer.status == 503:
        assert server["status"]["code"] == 2
    refused = host.post("/v1/context", {"query": ""}, {"traceparent": parent_of(9)})
    assert refused.status == 422
    span, = collector.wait_for(trace_of(9), 1)
    assert attributes(span)["http.response.status_code"] == "422" and "status" not in span


@pytest.mark.parametrize("header", ["", "nonsense", "00-" + "0" * 32 + "-00000000000000aa-01", PARENT + "-more",
                                    "ff" + PARENT[2:], PARENT.upper(), "x" * 4000])
def test_contexts_that_are_wrong_are_none(host, collector, header):
    before = len(collector.spans)
    answer = host.post("/v1/context", {"query": "red cars"}, {"traceparent": header, "tracestate": "a=1"})
    assert answer.status == 200
    assert len(collector.spans) == before or PARENT[3:35] not in {span["traceId"] for span in collector.spans[before:]}


def test_two_contexts_are_none(host, collector):
    body = b'{"query": "red cars"}'
    head = (b"POST /v1/context HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: %d\r\n"
            b"traceparent: %s\r\ntraceparent: %s\r\nConnection: close\r\n\r\n")
    reply = host.raw(head % (len(body), parent_of(10).encode(), parent_of(11).encode()) + body)
    assert reply.startswith(b"HTTP/1.1 200")
    ask(host, 12)
    collector.wait_for(trace_of(12), 2)
    assert collector.of_trace(trace_of(10)) == collector.of_trace(trace_of(11)) == []


def test_probes_are_not_traced(host, collector):
    host.get("/metrics", {"traceparent": parent_of(13)})
    host.get("/livez", {"traceparent": parent_of(13)})
    ask(host, 14)
    collector.wait_for(trace_of(14), 2)
    assert collector.of_trace(trace_of(13)) == []


def test_exemplars_name_traces(host, collector):
    ask(host, 15)
    text = host.get("/metrics", {"Accept": "application/openmetrics-text"}).body.decode()
    lines = [line for line in text.splitlines() if trace_of(15) in line]
    assert any(line.startswith("ragify_request_duration_seconds_bucket") for line in lines)
    for line in lines:
        match = re.fullmatch(r'\S+_bucket\{.*le="([^"]+)"\} \d+ # \{trace_id="[0-9a-f]{32}"\} (\S+) (\d+\.\d+)', line)
        assert match, line
        assert float(match.group(2)) <= float(match.group(1))
        assert abs(float(match.group(3)) - time.time()) < 600
    assert " # {" not in host.get("/metrics").body.decode()


def test_sampling_begins_so_many_traces(make_host):
    collector = Collector()
    host = make_host(name="sampled", embed=False, host=f"trace-endpoint = {collector.url}/v1/traces\ntrace-sample = 0.5\n"
                     "trace-service = my-host")
    try:
        for number in range(200):
            assert host.context(query=f"x{number}").status == 200
        deadline = time.monotonic() + 180
        while len({span["traceId"] for span in collector.spans}) < 40:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        host.stop()  # what waits is sent
        roots = [span for span in collector.spans if "parentSpanId" not in span]
        assert 50 < len(roots) < 150
        assert len({span["traceId"] for span in roots}) == len(roots)
        assert collector.requests[0]["batch"]["resourceSpans"][0]["resource"]["attributes"][0]["value"] == {
            "stringValue": "my-host"}
    finally:
        collector.stop()


def dropped(host, reason):
    return host.metric("ragify_trace_spans_dropped_total", reason=reason)


def wait_until(condition, seconds=180):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_a_bad_collector_hurts_nothing(make_host, tmp_path):
    """Gone, silent, busy, refusing: answers stay, spans are dropped and counted, and memory does not grow."""
    collector = Collector()
    secret = tmp_path / "authorization"
    secret.write_text("Bearer sesame\n")
    host = make_host(name="bad-collector", embed=False, host=f"trace-endpoint = {collector.url}\ntrace-queue = 512\n"
                     f"trace-authorization-file = {secret}")
    try:
        collector.mode = "silent"
        for number in range(1500):
            assert host.context(query=f"x{number % 7}").status == 200
        assert dropped(host, "queue-full") > 500
        collector.released.set()
        collector.mode = "refuses"
        wait_until(lambda: dropped(host, "refused") > 0)
        collector.mode = "partial"
        host.context(query="y")
        wait_until(lambda: host.metric("ragify_trace_spans_sent_total") > 0)
        assert collector.requests[0]["headers"]["Authorization"] == "Bearer sesame"
        assert "sesame" not in host.get("/v1/config").body.decode() + host.log()
        assert host.log().count("traces cannot be sent") == 1
    finally:
        collector.stop()
    for number in range(100):  # nobody is there any more
        assert host.context(query=f"z{number}").status == 200
    host.stop()


def test_a_host_without_tracing_hands_contexts_on(make_host, service, collector):
    host = make_host(remote_config(service, collector, ""), name="untraced")
    host.ingest([{"id": "cars", "content": "Red cars are fast."}])
    answer = host.post("/v1/context", {"query": "red cars"}, {"traceparent": PARENT, "tracestate": "k=v"})
    assert answer.status == 200
    seen = [one["headers"] for one in service.requests("good") if one["headers"].get("traceparent") == PARENT]
    assert len(seen) >= 2 and all(headers["tracestate"] == "k=v" for headers in seen)
    assert any(headers.get("traceparent") == PARENT for headers in collector.searches)


# ---- logs ----

def json_lines(host, event):
    lines = [json.loads(line) for line in host.log().splitlines() if line.startswith("{")]
    return [line for line in lines if line.get("event") == event]


def test_slow_queries_are_logged_with_what_took_so_long(make_host):
    host = make_host(name="slow", embed=False, host="slow-query = 1us\nlog-format = json", http="access-log = true")
    host.ingest([{"id": "a", "content": "Tides come and go."}])
    answer = host.post("/v1/context", {"query": "tides\n\u00e9t\u00e9 " + "x" * 600},
                       {"X-Request-Id": "me-1", "traceparent": PARENT})
    assert answer.status == 200
    line, = json_lines(host, "slow-query")
    assert line["request_id"] == "me-1" and line["trace_id"] == PARENT[3:35] and line["pipeline"] == "default"
    assert line["status"] == 200 and line["duration_ms"] > 0 and line["cache"] == "miss"
    assert line["query"].startswith("tides \u00e9t\u00e9 x") and len(line["query"]) <= 500
    assert "words ok" in line["sources_ms"] and "encode" in line["stages_ms"]
    host.get("/livez")
    host.request("DELETE", "/v1/documents/nothing")
    access = json_lines(host, "access")
    assert [(one["method"], one["path"], one["status"]) for one in access[-2:]] == [
        ("POST", "/v1/context", 200), ("DELETE", "/v1/documents/nothing", 404)]
    assert access[-2]["request_id"] == "me-1" and access[-2]["bytes"] == len(answer.body)
    assert json_lines(host, "audit")[-1]["request_id"]
    host.stop()


def test_what_was_asked_can_be_kept_out_of_the_log(make_host):
    host = make_host(name="discreet", embed=False, host="slow-query = 1us\nslow-query-text = false")
    host.context(query="a secret illness")
    assert "slow query:" in host.log() and "illness" not in host.log()
    host.config_path.write_text(embedded_config(embed=False, host="slow-query = 1h"))
    assert host.post("/v1/admin/reload", b"").status == 200
    before = host.log().count("slow query:")
    host.context(query="another")
    assert host.log().count("slow query:") == before
    host.stop()
