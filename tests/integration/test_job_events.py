"""Progress of ingest jobs as server-sent events."""

import http.client
import json
import time

import pytest

from conftest import embedded_config


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("library")
    for i in range(40):
        (folder / f"note-{i}.md").write_text(f"# Note {i}\n\nTides of day {i}.\n")
    return folder


@pytest.fixture(scope="module")
def host(make_host, folder):
    node = f"[ingest notes]\nroot = {folder}\nstore = docs\ninterval = 1h\n"
    return make_host(embedded_config(embed=False, extra=node), name="events")


def listen(host, timeout=60):
    connection = http.client.HTTPConnection("127.0.0.1", host.port, timeout=timeout)
    connection.request("GET", "/v1/jobs/notes", headers={"Accept": "text/event-stream"})
    answer = connection.getresponse()
    assert answer.status == 200 and answer.getheader("Content-Type") == "text/event-stream"
    return connection, answer


def events(answer):
    event, data = None, None
    for line in answer:
        line = line.decode().rstrip("\n")
        if line.startswith("event: "):
            event = line[len("event: "):]
        elif line.startswith("data: "):
            data = json.loads(line[len("data: "):])
        elif line == "" and data is not None:
            yield event, data
            event, data = None, None


def test_a_pass_is_told_of_as_it_goes_on(host, folder):
    connection, answer = listen(host)
    stream = events(answer)
    kind, first = next(stream)
    assert kind == "progress" and first["id"] == "notes" if "id" in first else first["name"] == "notes"
    (folder / "new.md").write_text("# New\n\nJust written.\n")
    assert host.request("POST", "/v1/jobs/notes/run").status == 202
    seen = [first]
    while seen[-1]["passes"] <= first["passes"] or seen[-1]["state"] != "waiting":
        seen.append(next(stream)[1])
    assert len(seen) >= 2
    connection.close()


def test_many_listeners_come_and_go(host):
    listeners = [listen(host) for _ in range(20)]
    for connection, answer in listeners:
        next(events(answer))
        connection.close()
    deadline = time.monotonic() + 180
    while host.metric("ragify_http_connections") > 2:
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_without_asking_for_events_there_is_one_document(host):
    assert host.get("/v1/jobs/notes").json["passes"] >= 1
    assert host.get("/v1/jobs/nothing", {"Accept": "text/event-stream"}).status == 404


def test_the_stream_ends_when_the_host_stops(make_host, folder):
    node = f"[ingest notes]\nroot = {folder}\nstore = docs\ninterval = 1h\n"
    host = make_host(embedded_config(embed=False, extra=node), name="events-stop")
    connection, answer = listen(host)
    next(events(answer))
    began = time.monotonic()
    host.stop()
    assert answer.read() is not None
    assert time.monotonic() - began < 25  # not the whole drain timeout
    connection.close()
