"""POST /v1/context/batch: the answers of single requests, in order, together or as they come."""

import http.client
import json
import socket
import time

import pytest

DOCUMENTS = [{"id": f"d{number}", "content": text} for number, text in enumerate([
    "Log files are rotated by a job that runs each night.", "The lease of the office ends in the year 2031.",
    "Backups are kept for thirty days and tested each week.", "Cats sleep most of the day and hunt at night.",
    "The database stores its data in pages of eight kilobytes.", "Visitors park behind the house, next to the river."])]
QUERIES = ["when does the lease end", "how are log files rotated", "how long are backups kept", "where do visitors park",
           "when does the lease end", "how large is a page", "how are log files rotated", "when does the lease end"]


@pytest.fixture(scope="module", autouse=True)
def documents(host):
    assert host.request("POST", "/v1/documents", json.dumps({"documents": DOCUMENTS}),
                        {"Content-Type": "application/json"}).status == 200


def batch(host, body, accept=None):
    headers = {"Content-Type": "application/json"}
    if accept:
        headers["Accept"] = accept
    return host.request("POST", "/v1/context/batch", body if isinstance(body, bytes) else json.dumps(body), headers)


def comparable(answer):
    """What of an answer does not depend on when it was given."""
    return {name: value for name, value in answer.items() if name not in ("request_id", "processing_time", "sources")}


def close(one, other):
    """Equal, with scores to the sixth digit: texts that are embedded together may round differently."""
    if isinstance(one, dict):
        return isinstance(other, dict) and one.keys() == other.keys() and all(close(one[key], other[key]) for key in one)
    if isinstance(one, list):
        return isinstance(other, list) and len(one) == len(other) and all(map(close, one, other))
    if isinstance(one, float) or isinstance(other, float):
        return abs(one - other) <= 2e-6
    return one == other


def test_answers_are_those_of_single_requests_in_order(host):
    singles = [host.context({"query": query, "cache": "bypass"}).json for query in QUERIES]
    answer = batch(host, {"queries": QUERIES, "cache": "bypass"})
    assert answer.status == 200, answer
    whole = answer.json
    assert whole["queries"] == len(QUERIES) and whole["computed"] == 5 and whole["failed"] == 0
    assert whole["request_id"] == answer.headers["x-request-id"]
    assert [one["query"] for one in whole["answers"]] == QUERIES
    for single, one in zip(singles, whole["answers"]):
        assert close(comparable(single), comparable(one))


def test_as_lines_they_are_the_same(host):
    whole = batch(host, {"queries": QUERIES, "cache": "bypass"}).json
    answer = batch(host, {"queries": QUERIES, "cache": "bypass"}, "application/x-ndjson")
    assert answer.status == 200 and answer.headers["content-type"] == "application/x-ndjson"
    lines = [json.loads(line) for line in answer.body.decode().splitlines()]
    assert len(lines) == len(QUERIES)
    for one, line in zip(whole["answers"], lines):
        assert close(comparable(one), comparable(line))


@pytest.mark.parametrize("accept", [None, "application/x-ndjson"])
def test_one_failure_stays_one(host, accept):
    queries = ["cats", "", {"query": "backups", "max_chunks": 0}, {"query": "backups", "max_chunks": 1}, 7,
               {"query": "lease", "pipeline": "nowhere"}, {"query": "parking", "format": "prompt"}, {"query": "x" * 40000}]
    answer = batch(host, {"queries": queries}, accept)
    assert answer.status == 200
    answers = [json.loads(line) for line in answer.body.splitlines()] if accept else answer.json["answers"]
    assert len(answers) == len(queries)
    assert [one.get("error", {}).get("field") for one in answers] == [
        None, "query", "max_chunks", None, "query", "pipeline", None, "query"]
    assert len(answers[3]["chunks"]) == 1
    assert answers[6]["prompt"].startswith("[1]") or "park" in answers[6]["prompt"]
    assert answers[1]["error"]["status"] == 422 and answers[1]["query"] == ""
    if not accept:
        assert answer.json["failed"] == 5


def test_what_all_have_in_common_is_said_once_and_an_item_may_differ(host):
    answer = batch(host, {"queries": ["cats", {"query": "cats", "max_chunks": 2}], "max_chunks": 1}).json["answers"]
    assert [len(one["chunks"]) for one in answer] == [1, 2]


def test_more_than_one_wave(host):
    queries = [f"{word} {number}" for number in range(40) for word in ("cats", "lease")]
    for size in (1, 7, 80):
        answer = batch(host, {"queries": queries, "batch_size": size}).json
        assert [one["query"] for one in answer["answers"]] == queries
        assert answer["failed"] == 0


@pytest.mark.parametrize("field, body", [
    ("queries", {}), ("queries", {"queries": []}), ("queries", {"queries": "cats"}), ("queries", {"queries": ["x"] * 1001}),
    ("batch_size", {"queries": ["x"], "batch_size": 0}), ("batch_size", {"queries": ["x"], "batch_size": "5"}),
    ("query", {"queries": ["x"], "query": "y"}), ("max_chunks", {"queries": ["x"], "max_chunks": 0}),
    ("unknown", {"queries": ["x"], "unknown": 1}), (None, [1]), (None, b"{"),
])
def test_what_is_wrong_with_the_whole_is_refused(host, field, body):
    answer = batch(host, body)
    assert answer.status in (400, 422), answer
    assert answer.json.get("field") == field


def test_other_methods_and_types(host):
    assert host.request("GET", "/v1/context/batch").status == 405
    assert host.request("POST", "/v1/context/batch", "{}", {"Content-Type": "text/plain"}).status == 415


def test_lines_come_when_they_are_ready_and_a_client_may_leave(host):
    """The first line is there while later waves are still to come; leaving ends them."""
    body = json.dumps({"queries": [f"cats {number}" for number in range(200)], "batch_size": 1, "cache": "bypass"})
    with host.connect() as connection:
        connection.sendall((f"POST /v1/context/batch HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
                            f"Accept: application/x-ndjson\r\nContent-Length: {len(body)}\r\n\r\n{body}").encode())
        received = b""
        while b"\n{" not in received:
            piece = connection.recv(65536)
            assert piece
            received += piece
        assert received.count(b'"request_id"') < 200
        connection.shutdown(socket.SHUT_RDWR)
    deadline = time.monotonic() + 180
    while "ragify_http_requests_waiting 0" not in host.request("GET", "/metrics").body.decode():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_slow_reader_gets_it_all(host):
    queries = [f"cats {number % 50}" for number in range(1000)]
    body = json.dumps({"queries": queries})
    with host.connect() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        connection.sendall((f"POST /v1/context/batch HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
                            f"Accept: application/x-ndjson\r\nConnection: close\r\nContent-Length: {len(body)}\r\n\r\n{body}")
                           .encode())
        time.sleep(0.5)
        answer = http.client.HTTPResponse(connection)  # takes the chunks' frames out
        answer.begin()
        received = answer.read()
    assert received.count(b'"request_id"') == 1000


@pytest.fixture(scope="module")
def large(make_host):
    """Where one answer has about 1.3 MB."""
    host = make_host(name="large", embed=False)
    filling = "of the lighthouse and of those who keep it " * 50
    host.ingest([{"id": f"d{i}", "content": f"Chapter {i} {filling}"} for i in range(600)],
                "/v1/documents?chunking=none")
    return host


def test_a_reply_has_a_bound(large):
    one = batch(large, {"queries": ["lighthouse"], "max_chunks": 1000})
    assert one.status == 200 and one.json["failed"] == 0
    size = len(one.body)
    count = 3 * (64 << 20) // size
    answer = batch(large, {"queries": ["lighthouse"] * count, "max_chunks": 1000, "batch_size": 1000})
    assert answer.status == 200 and len(answer.body) < (64 << 20) + count * 1000
    whole = answer.json
    errors = [one["error"] for one in whole["answers"] if "error" in one]
    assert len(whole["answers"]) == whole["queries"] == count and whole["failed"] == len(errors)
    assert count // 3 - 2 <= count - len(errors) <= count // 3 + 1
    assert all(error["status"] == 413 and "application/x-ndjson" in error["detail"] for error in errors)


def test_no_more_is_computed_than_a_client_reads(large):
    count = 120
    queries = [f"w{number} lighthouse" for number in range(count)]  # side by side: each begins with another word
    body = json.dumps({"queries": queries, "max_chunks": 1000, "batch_size": 1000, "cache": "bypass"}).encode()

    def asked():
        return large.get("/v1/sources/words").json["calls"]

    before = asked()
    connection = http.client.HTTPConnection("127.0.0.1", large.port, timeout=120)
    connection.connect()
    connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
    connection.request("POST", "/v1/context/batch", body,
                       {"Content-Type": "application/json", "Accept": "application/x-ndjson"})
    answer = connection.getresponse()
    assert answer.status == 200
    until = time.monotonic() + 5
    while time.monotonic() < until:  # at any time; without a bound all are asked while nobody reads
        assert asked() - before < count // 2
        time.sleep(0.1)
    lines = [json.loads(line) for line in answer]
    connection.close()
    assert [line["query"] for line in lines] == queries
    assert not [line for line in lines if "error" in line] and all(len(line["chunks"]) > 500 for line in lines)
