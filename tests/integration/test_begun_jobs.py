"""Jobs that requests begin: uploads that are answered before they are in, optimize, backup, verify, and tuning."""

import http.client
import json
import random
import time

import pytest

from conftest import Host, embedded_config
from model_server import Service

ASYNC = {"Prefer": "respond-async"}
NDJSON = {"Content-Type": "application/x-ndjson"}
WORDS = ["heron", "bittern", "marsh", "reed", "pond", "willow", "otter", "beaver", "swan", "crane", "snipe", "plover",
         "lake", "river", "meadow", "oak", "birch", "fox", "badger", "hare"]


def lines(first, count):
    return b"".join(json.dumps({"id": f"d{i}", "content": f"The {WORDS[i % 20]} number {i} lives near the "
                                                          f"{WORDS[i // 20 % 20]} in the {WORDS[i // 7 % 20]}."}).encode() + b"\n"
                    for i in range(first, first + count))


def begun(answer):
    assert answer.status == 202, answer
    assert answer.headers["location"] == f"/v1/jobs/{answer.json['id']}"
    return answer.json["id"]


def job(host, name):
    answer = host.get(f"/v1/jobs/{name}")
    assert answer.status == 200, answer
    return answer.json


def wait_for(host, name, *states, seconds=180):
    deadline = time.monotonic() + seconds
    while (found := job(host, name))["state"] not in states:
        assert time.monotonic() < deadline, (found, host.log()[-2000:])
        time.sleep(0.05)
    return found


def over(host, name):
    return wait_for(host, name, "done", "failed", "cancelled")


@pytest.fixture(scope="module")
def host(make_host):
    host = make_host(embedded_config(embed=False), name="begun")
    host.ingest([{"id": "seed", "content": "Something to find."}])
    return host


# ---- what an operator has a store do ----


@pytest.mark.parametrize("action, member", [("optimize", "stats"), ("backup", "path"), ("verify", "problems")])
def test_upkeep_is_a_job_where_that_is_preferred(host, action, member):
    answer = host.request("POST", f"/v1/admin/{action}", headers=ASYNC)
    assert answer.headers["preference-applied"] == "respond-async"
    assert answer.json["kind"] == action and answer.json["store"] == "docs"
    done = over(host, begun(answer))
    assert done["state"] == "done" and member in done["result"] and done["ended_at"] is not None
    assert done["id"] in [one["id"] for one in host.get("/v1/jobs").json["jobs"]]


def test_without_the_preference_the_answer_waits(host):
    for headers in ({}, {"Prefer": "return=minimal, handling=lenient"}):
        assert host.request("POST", "/v1/admin/optimize", headers=headers).status == 200
    assert host.request("POST", "/v1/admin/optimize", headers={"Prefer": "wait=1, respond-async; x=y"}).status == 202


def test_such_a_job_is_neither_run_nor_paused(host):
    name = begun(host.request("POST", "/v1/admin/verify", headers=ASYNC))
    for action in ("run", "pause", "resume"):
        assert host.request("POST", f"/v1/jobs/{name}/{action}").status == 409
    over(host, name)
    assert host.request("POST", f"/v1/jobs/{name}/cancel").json["state"] == "done"
    assert host.request("POST", "/v1/jobs/nothing/cancel").status == 404


def test_its_events_end_with_it(host):
    name = begun(host.request("POST", "/v1/documents", lines(0, 200), {**NDJSON, **ASYNC}))
    connection = http.client.HTTPConnection("127.0.0.1", host.port, timeout=180)
    connection.request("GET", f"/v1/jobs/{name}", headers={"Accept": "text/event-stream"})
    said = connection.getresponse().read().decode()
    connection.close()
    last = [line for line in said.splitlines() if line.startswith("data: ")][-1]
    assert json.loads(last[len("data: "):])["state"] == "done"


# ---- uploads ----


def test_an_upload_is_put_in_after_its_answer(host):
    answer = host.request("POST", "/v1/documents?chunking=none", lines(1000, 700), {**NDJSON, **ASYNC})
    assert answer.json["kind"] == "upload"
    done = over(host, begun(answer))
    assert done["state"] == "done" and done["error"] is None, done
    assert done["result"]["documents"] == 700 and done["result"]["failed_total"] == 0
    assert done["read_bytes"] == done["to_read_bytes"] == len(lines(1000, 700))
    assert host.get("/v1/documents/d1699").status == 200
    again = over(host, begun(host.post("/v1/documents", {"documents": [{"id": "one", "content": "One."}]}, ASYNC)))
    assert again["result"]["documents"] == 1


def test_one_document_as_text_is_put_in_after_its_answer(host):
    headers = {"Content-Type": "text/plain", **ASYNC}
    path = "/v1/documents?id=notes/heron.txt&title=Herons&metadata=%7B%22lang%22:%22en%22%7D"
    answer = host.request("POST", path, "The heron stands in the käsebrook.".encode("latin-1"), headers)
    assert answer.headers["preference-applied"] == "respond-async"
    done = over(host, begun(answer))
    assert done["state"] == "done" and done["result"]["documents"] == 1, done
    found = host.get("/v1/documents/notes%2Fheron.txt").json
    assert found["title"] == "Herons" and found["metadata"] == {"lang": "en"}
    assert "käsebrook" in found["chunks"][0]["content"]
    # What can be refused at once is; what only its bytes tell, by the job.
    for wrong in ("/v1/documents", "/v1/documents?id=x&metadata=1", "/v1/documents?id=x&updated_at=yesterday"):
        assert host.request("POST", wrong, b"text", headers).status == 400
    failed = over(host, begun(host.request("POST", "/v1/documents?id=x", b"\x7fELF\x00\x01\x02\x00", headers)))
    assert failed["state"] == "failed" and failed["error"], failed


@pytest.mark.long
def test_a_long_text_is_written_in_parts_after_its_answer(host):
    text = "\n".join(f"Line {i} of what the bittern wrote." for i in range(130000)).encode()
    assert len(text) > 4 << 20
    name = begun(host.request("POST", "/v1/documents?id=long", text, {"Content-Type": "text/plain", **ASYNC}))
    done = wait_for(host, name, "done", "failed", "cancelled", seconds=1800)
    assert done["state"] == "done" and done["read_bytes"] == done["to_read_bytes"] == len(text), done
    assert done["result"]["chunks"] > 1000


def test_what_is_wrong_with_it_is_said_by_the_job(host):
    failed = over(host, begun(host.post("/v1/documents", b"{not json", ASYNC)))
    assert failed["state"] == "failed" and "line 1" in failed["error"], failed
    mixed = over(host, begun(host.request("POST", "/v1/documents", b'{"id": "good", "content": "Good."}\n{"id": 5}\n',
                                          {**NDJSON, **ASYNC})))
    assert mixed["state"] == "done" and mixed["result"]["failed_total"] == 1
    # What can be refused at once is.
    assert host.request("POST", "/v1/documents?store=none", b"{}", {**NDJSON, **ASYNC}).status == 404
    assert host.request("POST", "/v1/documents", b"x", {"Content-Type": "image/png", **ASYNC}).status == 415


def test_an_upload_that_breaks_off_is_none(host):
    uploads = host.state / "uploads"
    before = sorted(path.name for path in uploads.iterdir())
    with host.connect() as connection:
        connection.sendall(b"POST /v1/documents HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-ndjson\r\n"
                           b"Prefer: respond-async\r\nContent-Length: 5000000\r\n\r\n" + lines(0, 9000))
    deadline = time.monotonic() + 180
    while sorted(path.name for path in uploads.iterdir()) != before:
        assert time.monotonic() < deadline, list(uploads.iterdir())
        time.sleep(0.05)


def test_with_a_key_of_its_own_the_answer_is_what_came_of_it(host):
    headers = {**NDJSON, **ASYNC, "Idempotency-Key": "once"}
    first, second = (host.request("POST", "/v1/documents", lines(0, 3), headers) for _ in range(2))
    assert first.status == second.status == 200 and second.headers["idempotency-replayed"] == "true"


def slow_config(service, behaviour="good"):
    return "\n".join(["[host]", "threads = 2", "[http public]", "listen = 127.0.0.1:0", "[embedder one]", "plugin = http",
                      f"base-url = {service.url(behaviour)}", "model = one", "dimension = 64",
                      "[vector-store docs]", "plugin = faiss", "path = docs", "embedder = one",
                      "[pipeline default]", "retrieve = docs", "deadline = 20s"]) + "\n"


@pytest.fixture(scope="module")
def service():
    service = Service()
    yield service
    service.stop()


def test_what_was_answered_survives_a_kill(tmp_path, service):
    service.mode = "broken"
    host = Host(tmp_path, slow_config(service, "switch")).start()
    try:
        names = [begun(host.request("POST", "/v1/documents", lines(i * 300, 300), {**NDJSON, **ASYNC})) for i in range(3)]
        text = begun(host.request("POST", "/v1/documents?id=text&title=One", b"All of it.",
                                  {"Content-Type": "text/plain", **ASYNC}))
        assert wait_for(host, names[0], "retrying")["error"]
        host.kill()
        host.start()
        wait_for(host, names[0], "retrying")
        assert job(host, names[2])["state"] in ("running", "retrying")
        service.mode = "good"
        for name in names:
            done = over(host, name)
            assert done["state"] == "done" and done["result"]["documents"] + done["result"]["unchanged"] == 300, done
        assert [host.get(f"/v1/documents/d{i}").status for i in (0, 450, 899)] == [200, 200, 200]
        assert over(host, text)["result"]["documents"] == 1
        assert host.get("/v1/documents/text").json["title"] == "One"
        # What came of it is known after the next start as well, and no body is left: of none that is over, nor of one that
        # was not answered, at whatever moment the host ended.
        host.stop()
        uploads = host.state / "uploads"
        for left in (f"{names[1]}.body", "never-answered.body", "never-whole.part"):
            (uploads / left).write_bytes(lines(5000, 3))
        host.start()
        assert job(host, names[1])["result"]["failed_total"] == 0
        assert [path.name for path in uploads.iterdir() if path.suffix != ".json"] == []
        assert host.get("/v1/documents/d5000").status == 404
        host.stop()
    finally:
        if host.alive():
            host.kill()


def test_an_upload_that_waits_can_be_cancelled(make_host, service):
    service.mode = "broken"
    host = make_host(slow_config(service, "switch"), name="begun-cancel")
    name = begun(host.request("POST", "/v1/documents", lines(0, 10), {**NDJSON, **ASYNC}))
    wait_for(host, name, "retrying")
    assert host.request("POST", f"/v1/jobs/{name}/cancel").status == 202
    assert over(host, name)["state"] == "cancelled"
    service.mode = "good"
    assert host.get("/v1/documents/d0").status == 404


# ---- tuning ----


@pytest.fixture(scope="module")
def tuned(make_host, service):
    config = slow_config(service).replace("path = docs", "path = docs\nindex = IVF16,Flat\nnprobe = 1")
    host = make_host(config, name="begun-tune")
    random.seed(1)
    documents = [{"id": f"t{i}", "content": " ".join(random.choices(WORDS, k=6)) + "."} for i in range(1500)]
    host.ingest(documents, "/v1/documents?chunking=none")
    assert host.request("POST", "/v1/admin/optimize").status == 200
    return host


def queries(count=20):
    random.seed(2)
    return [" ".join(random.choices(WORDS, k=3)) for _ in range(count)]


def test_tuning_finds_the_smallest_value_that_reaches_the_recall(tuned, tmp_path):
    begin = tuned.post("/v1/tune", {"queries": queries(), "recall": 0.9, "repeats": 2, "seconds": 0.2})
    assert begin.json["kind"] == "tune"
    done = over(tuned, begun(begin))
    assert done["state"] == "done", done
    recall = done["result"]["recall"]
    assert recall["key"] == "nprobe" and recall["store"] == "docs" and recall["reached"] >= 0.9
    tried = {point["value"]: point["recall"] for point in recall["tried"]}
    assert tried[recall["value"]] >= 0.9
    if recall["value"] > 1:
        assert tried[recall["value"] - 1] < 0.9
    first, second = done["result"]["candidates"]
    assert first["name"] == "as configured" and not first["chosen"] and second["chosen"]
    for candidate in (first, second):
        assert candidate["failed"] == 0 and candidate["throughput"]["least"] > 0
        assert candidate["p95_ms"]["least"] <= candidate["p95_ms"]["median"] <= candidate["p95_ms"]["most"]
    # What came of it is a drop-in that the host takes.
    text = done["result"]["drop_in"]
    assert f"[vector-store docs]\nnprobe = {recall['value']}\n" in text
    whole = tmp_path / "conf"
    whole.mkdir()
    (whole / "10.conf").write_text(tuned.config_path.read_text())
    (whole / "95-tuned.conf").write_text(text)
    other = Host(tmp_path, "")
    other.config_path = whole
    other.start()
    other.stop()


def test_one_is_tuned_at_a_time_and_can_be_ended(tuned):
    name = begun(tuned.post("/v1/tune", {"queries": queries(200), "seconds": 60, "repeats": 20}))
    second = tuned.post("/v1/tune", {"queries": ["x"]})
    assert second.status == 409 and "retry-after" in second.headers
    assert tuned.context(query="heron", cache="bypass").status == 200
    assert tuned.request("POST", f"/v1/jobs/{name}/cancel").status == 202
    assert over(tuned, name)["state"] == "cancelled"


def test_without_queries_it_takes_those_that_are_asked_most(make_host, host):
    empty = host.post("/v1/tune", {})
    assert empty.status == 422 and empty.json["field"] == "queries", empty


@pytest.mark.parametrize("body, field", [
    ({"queries": []}, "queries"), ({"queries": [1]}, "queries"), ({"queries": "x"}, "queries"), ({"queries": [""]}, "queries"),
    ({"queries": ["x"], "recall": 0}, "recall"), ({"queries": ["x"], "recall": 1.1}, "recall"),
    ({"queries": ["x"], "recall": "much"}, "recall"), ({"queries": ["x"], "chunks": 0}, "chunks"),
    ({"queries": ["x"], "repeats": 21}, "repeats"), ({"queries": ["x"], "seconds": -1}, "seconds"),
    ({"queries": ["x"], "clients": 65}, "clients"), ({"queries": ["x"], "store": "none"}, "store"),
    ({"queries": ["x"], "pipeline": "none"}, "pipeline"), ({"queries": ["x"], "pipeline": 1}, "pipeline"), ([], None)])
def test_tuning_refuses_what_it_cannot_do(tuned, body, field):
    answer = tuned.post("/v1/tune", body)
    assert answer.status == 422 and answer.json.get("field") == field, answer


def test_tuning_says_what_it_does_not_know(tuned):
    assert "did you mean 'recall'" in tuned.post("/v1/tune", {"recal": 1}).json["detail"]
    assert tuned.post("/v1/tune", b"{").status == 400
    assert tuned.request("POST", "/v1/tune", b"{}", {"Content-Type": "text/plain"}).status == 415
    assert tuned.get("/v1/tune").status == 405


def test_a_store_whose_answers_are_in_part_is_not_tuned(make_host, service):
    service.mode = "broken"
    host = make_host(slow_config(service, "switch"), name="begun-broken")
    failed = over(host, begun(host.post("/v1/tune", {"queries": ["heron"]})))
    service.mode = "good"
    assert failed["state"] == "failed" and "query was not answered in full" in failed["error"], failed
