"""The performance tracker in /v1/stats, gauges of nodes and workers, and the page that lists all metrics."""

import json
import re
import time

import pytest

from conftest import ROOT, embedded_config


@pytest.fixture(scope="module")
def host(make_host):
    host = make_host(name="stats", embed=False, extra="[pipeline other]\nretrieve = words")
    host.ingest([{"id": f"tides-{i}", "content": f"Tides of day {i} come and go."} for i in range(5)])
    return host


def operations(host, samples=False):
    answer = host.get("/v1/stats" + ("?samples=true" if samples else ""))
    assert answer.status == 200, answer
    return answer.json["operations"]


def test_operations_are_summed_up(host):
    before = operations(host).get("context default", {"total": 0, "failed": 0})
    for i in range(20):
        assert host.context(query=f"tides of day {i % 5}").status == 200
    one = operations(host)["context default"]
    assert one["total"] == before["total"] + 20 and one["failed"] == before["failed"]
    assert one["successful"] == one["total"] - one["failed"]
    assert one["success_rate"] == pytest.approx(one["successful"] / one["total"])
    assert 0 < one["minimum"] <= one["average"] <= one["maximum"]
    assert one["minimum"] <= one["p50"] <= one["p95"] <= one["p99"] <= one["maximum"]
    assert one["first"] <= one["last"] and one["last"].endswith("Z")
    assert "samples" not in one
    assert operations(host)["POST /v1/documents"]["total"] >= 1
    assert not any(name.startswith("POST /v1/context") or "/livez" in name for name in operations(host))


def test_exported_percentiles_are_interpolated_between_the_closest_ranks(host):
    for i in range(9):
        host.post("/v1/p/other/context", {"query": f"tides {i}"}, {"X-Request-Id": f"mine-{i}"})
    one = operations(host, samples=True)["context other"]
    durations = sorted(sample["duration"] for sample in one["samples"])
    for name, quantile in (("p50", 0.5), ("p95", 0.95), ("p99", 0.99)):
        rank = quantile * (len(durations) - 1)
        low, high = durations[int(rank)], durations[min(int(rank) + 1, len(durations) - 1)]
        assert one["sample_percentiles"][name] == pytest.approx(low + (high - low) * (rank - int(rank)), rel=1e-6, abs=1e-9)
    assert [sample["metadata"]["request_id"] for sample in one["samples"]] == [f"mine-{i}" for i in range(9)]
    assert {sample["metadata"]["cache"] for sample in one["samples"]} == {"miss"}
    assert [sample["at"] for sample in one["samples"]] == sorted(sample["at"] for sample in one["samples"])


def test_failures_are_told_with_their_reasons(host):
    assert host.get("/v1/documents/nothing").status == 404
    assert host.context(query="x", timeout_ms=1, mode="lexical", cache="bypass").status in (200, 503)
    one = operations(host, samples=True)["GET /v1/documents/{id}"]
    assert one["failed"] >= 1 and one["errors"]["HTTP 404"] >= 1
    assert one["samples"][-1]["success"] is False and one["samples"][-1]["error"] == "HTTP 404"
    assert host.get("/v1/stats?samples=maybe").status == 422


def test_memory_for_samples_is_constant(host):
    for i in range(1300):
        assert host.get("/v1/sources").status == 200
    one = operations(host, samples=True)["GET /v1/sources"]
    assert one["total"] >= 1300 and 250 <= len(one["samples"]) <= 1000


def test_nodes_and_workers_have_gauges(host):
    deadline = time.monotonic() + 180
    while host.metric("ragify_node_stat", node="docs") == 0:
        assert time.monotonic() < deadline
        time.sleep(0.2)
    text = host.get("/metrics").body.decode()
    assert re.search(r'ragify_node_stat\{node="docs",name="[^"]+"\} ', text)
    assert 'ragify_node_calls_queued{node="docs"}' in text
    assert host.metric("ragify_workers_threads") >= 1
    assert host.metric("ragify_workers_busy") <= host.metric("ragify_workers_threads")


def test_every_metric_is_in_the_documentation(host):
    page = (ROOT / "docs" / "observability.md").read_text()
    families = set(re.findall(r"^# TYPE (\S+) ", host.get("/metrics").body.decode(), re.MULTILINE))
    missing = sorted(family for family in families if f"`{family}`" not in page and not family.startswith("process_"))
    assert missing == []


def test_clients_may_be_bounded_by_address(make_host):
    host = make_host(name="rates", embed=False, http="client-rate = 1\nclient-burst = 10")
    answers = [host.context(query="x") for _ in range(60)]
    refused = [answer for answer in answers if answer.status == 429]
    assert 10 <= 60 - len(refused) < 60
    assert refused and int(refused[0].headers["retry-after"]) >= 1 and "address" in refused[0].json["detail"]
    assert host.get("/livez").status == host.get("/metrics").status == 200
    assert host.metric("ragify_http_refused_total", reason="client-rate") == len(refused)
    time.sleep(1.1)
    assert host.context(query="x").status == 200
    host.stop()
