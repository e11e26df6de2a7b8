"""docs/resilience.md, run: one configuration with each of its parts, and what an operator sees of them.

The sources are real HTTP servers of this test: good, refusing, silent and failing ones.
"""

import http.server
import json
import socket
import threading
import time

import pytest

from conftest import build_dir

pytestmark = pytest.mark.skipif(not list(build_dir().glob("plugins/*/source-http.so")), reason="source-http is not built")


class Upstream:
    """A search API on loopback whose behaviour can be changed: good, failing (500), silent."""

    def __init__(self, name):
        self.name, self.behaviour, self.requests, self.delay = name, "good", 0, 0.0
        self.release = threading.Event()
        upstream = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                upstream.requests += 1
                if upstream.behaviour == "silent":
                    upstream.release.wait(30)
                    self.close_connection = True
                    return
                time.sleep(upstream.delay)
                body = json.dumps({"results": [{"id": f"{upstream.name}-1", "content": f"{upstream.name}: cats sleep"}]}).encode()
                self.send_response(200 if upstream.behaviour == "good" else 503)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *arguments):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self):
        self.release.set()
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture(scope="module")
def upstreams():
    made = {name: Upstream(name) for name in ("a", "b", "c")}
    yield made
    for upstream in made.values():
        upstream.close()


@pytest.fixture(autouse=True)
def all_good(upstreams):
    for upstream in upstreams.values():
        upstream.release.set()
        upstream.release = threading.Event()
        upstream.behaviour, upstream.requests, upstream.delay = "good", 0, 0.0


def source(name, url, *more):
    return [f"[source {name}]", "plugin = http", f"base-url = {url}", "retry = 0", "breaker-failures = 3", "breaker-open = 300ms", *more]


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture(scope="module")
def host(make_host, upstreams):
    lines = ["[host]", "threads = 2", "max-concurrent = 200", "queue = 1000", "queue-timeout = 5s",
             "[http public]", "listen = 127.0.0.1:0"]
    for name, upstream in upstreams.items():
        lines += source(name, upstream.url, "deadline = 20s")
    lines += source("dead", f"http://127.0.0.1:{free_port()}", "deadline = 20s")
    for name in ("a", "b"):
        lines += source(f"handbook-{name}", upstreams[name].url, "deadline = 20s")
    lines += ["[balancer handbook]", "members = handbook-a; handbook-b", "policy = round-robin", "slow-start = 0"]
    lines += ["[balancer handbook-hedged]", "members = handbook-a; handbook-b", "policy = round-robin", "hedge = 50ms", "retry-budget = 1"]
    for name, keys in {
        "default": ["retrieve = a; b; dead"], "strict": ["retrieve = a; dead", "on-partial = fail"],
        "first": ["retrieve = a; b", "finish = first"], "enough": ["retrieve = a; b; c", "finish = enough"],
        "balanced": ["retrieve = handbook"], "hedged": ["retrieve = handbook-hedged"],
        "narrow": ["retrieve = a", "max-concurrent = 1", "queue = 0"],
    }.items():
        lines += [f"[pipeline {name}]", *keys, "deadline = 40s"]
    return make_host("\n".join(lines) + "\n", name="resilience")


def ask(host, pipeline="default", status=200, **fields):
    answer = host.post(f"/v1/p/{pipeline}/context", {"query": "cats", **fields})
    assert answer.status == status, answer
    return answer.json


def until_open(host, pipeline, source, **fields):
    """Asks until the circuit of a source is open: three failures, and more where the machine pauses as long as it is."""
    deadline = time.monotonic() + 180
    while (answer := ask(host, pipeline, **fields))["sources"][source]["status"] != "open-circuit":
        assert time.monotonic() < deadline, answer
    return answer


def test_a_dead_source_is_told_of_and_then_not_asked(host):
    """Partial answers, and the circuit breaker."""
    answer = until_open(host, "default", "dead")
    assert answer["sources"]["a"]["status"] == answer["sources"]["b"]["status"] == "ok"
    assert answer["sources"]["dead"]["status"] == "open-circuit"
    assert answer["degraded"] is True and len(answer["chunks"]) == 2
    assert host.metric("ragify_breaker_state", node="dead") == 2
    assert host.metric("ragify_breaker_refused_total", node="dead") >= 1
    assert "dead: circuit open: 3 failures in a row" in host.log()
    ask(host, "strict", status=503)


def test_a_circuit_closes_once_the_source_is_well(host, upstreams):
    upstreams["c"].behaviour = "failing"
    assert ask(host, "enough", max_chunks=100)["sources"]["c"]["status"] == "error"
    until_open(host, "enough", "c", max_chunks=100)
    upstreams["c"].behaviour = "good"
    deadline = time.monotonic() + 180
    while ask(host, "enough", max_chunks=100)["sources"]["c"]["status"] != "ok":
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert host.metric("ragify_breaker_state", node="c") == 0


def test_the_first_answer_or_enough_of_them_end_the_asking(host, upstreams):
    upstreams["b"].delay = 8
    answer = ask(host, "first")
    assert answer["sources"]["b"]["status"] == "skipped" and answer["degraded"] is False
    upstreams["c"].delay = 8
    upstreams["b"].delay = 0.0
    answer = ask(host, "enough", max_chunks=2)
    assert answer["sources"]["c"]["status"] == "skipped" and answer["degraded"] is False and len(answer["chunks"]) == 2


def test_a_balancer_answers_while_a_member_fails(host, upstreams):
    assert {ask(host, "balanced")["sources"]["handbook"]["member"] for _ in range(4)} == {"handbook-a", "handbook-b"}
    upstreams["a"].behaviour = "failing"
    for _ in range(10):
        report = ask(host, "balanced")["sources"]["handbook"]
        assert report["status"] == "ok" and report["member"] == "handbook-b"
    members = {one["name"]: one for one in host.get("/v1/sources/handbook").json["members"]}
    assert members["handbook-a"]["errors"] >= 1 and members["handbook-b"]["requests"] >= 10


def test_a_silent_member_is_hedged(host, upstreams):
    deadline = time.monotonic() + 180
    while {one["status"] for one in host.get("/v1/sources/handbook-hedged").json["members"]} != {"ok"}:
        ask(host, "balanced")
        assert time.monotonic() < deadline
        time.sleep(0.05)
    upstreams["b"].behaviour = "silent"
    assert {ask(host, "hedged")["sources"]["handbook-hedged"]["member"] for _ in range(4)} == {"handbook-a"}
    assert host.metric("ragify_balancer_hedges_total", balancer="handbook-hedged") >= 1


def test_what_cannot_be_served_is_refused_at_once_and_health_goes_on(host, upstreams):
    upstreams["a"].behaviour = "silent"
    statuses = []
    threads = [threading.Thread(target=lambda: statuses.append(host.post("/v1/p/narrow/context", {"query": "cats"})))
               for _ in range(4)]
    for thread in threads:
        thread.start()
    assert host.get("/v1/health").status == 200
    deadline = time.monotonic() + 180
    while len(statuses) < 3:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    for answer in statuses[:3]:
        assert answer.status == 503 and answer.json["title"] == "Overloaded"
        assert answer.headers["retry-after"] == "1"
    upstreams["a"].release.set()
    for thread in threads:
        thread.join()
    assert host.metric("ragify_concurrency_refused_total", scope="pipeline narrow", reason="queue-full") == 3


def test_many_questions_at_once(host, upstreams):
    answer = host.post("/v1/context/batch", {"queries": ["cats", "dogs", "cats"], "pipeline": "first"})
    assert answer.status == 200 and answer.json["computed"] == 2
    assert [one["query"] for one in answer.json["answers"]] == ["cats", "dogs", "cats"]
