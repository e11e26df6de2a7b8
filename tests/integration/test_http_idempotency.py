"""Idempotency-Key on POST /v1/documents: the answer of the first time, and no other request under the same key."""

import hashlib
import http.client
import json
import threading
import time

import pytest


@pytest.fixture(scope="module")
def host(make_host):
    return make_host(name="idempotency", embed=False)


def put(host, key, documents, path="/v1/documents", headers=None):
    return host.post(path, {"documents": documents}, {"Idempotency-Key": key, **(headers or {})})


def test_the_same_request_gets_the_same_answer(host):
    documents = [{"id": "one", "content": "The first."}]
    first = put(host, "k1", documents)
    again = put(host, "k1", documents)
    assert first.status == again.status == 200
    assert first.body == again.body and again.json["documents"] == 1
    assert "idempotency-replayed" not in first.headers and again.headers["idempotency-replayed"] == "true"
    # Without the key it would have been found unchanged.
    assert host.post("/v1/documents", {"documents": documents}).json["unchanged"] == 1


def test_another_request_under_the_key_is_refused(host):
    assert put(host, "k2", [{"id": "two", "content": "The second."}]).status == 200
    for answer in (put(host, "k2", [{"id": "two", "content": "Another."}]),
                   put(host, "k2", [{"id": "two", "content": "The second."}], "/v1/documents?chunking=none")):
        assert answer.status == 422 and answer.json["field"] == "Idempotency-Key"
    assert "Another" not in host.get("/v1/documents/two").body.decode()


def test_what_failed_can_be_tried_again(host):
    assert put(host, "k3", [{"id": "three"}]).status == 422
    answer = put(host, "k3", [{"id": "three", "content": "Now it is whole."}])
    assert answer.status == 200 and answer.json["documents"] == 1


def begun(host):
    """Until an upload is under way."""
    deadline = time.monotonic() + 180
    while host.metric("ragify_http_requests_waiting") == 0:
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_request_under_way_is_waited_for_by_nobody(host):
    connection = http.client.HTTPConnection("127.0.0.1", host.port, timeout=300)
    body = b'{"id": "slow", "content": "Slowly."}\n'
    connection.putrequest("POST", "/v1/documents")
    for name, value in (("Content-Type", "application/x-ndjson"), ("Content-Length", str(2 * len(body))),
                        ("Idempotency-Key", "k4")):
        connection.putheader(name, value)
    connection.endheaders(body)
    begun(host)
    other = host.request("POST", "/v1/documents", body * 2, {"Content-Type": "application/x-ndjson", "Idempotency-Key": "k4"})
    assert other.status == 409 and other.headers["retry-after"] == "1"
    connection.send(body)
    answer = connection.getresponse()
    first = answer.read()
    connection.close()
    assert answer.status == 200
    again = host.request("POST", "/v1/documents", body * 2, {"Content-Type": "application/x-ndjson", "Idempotency-Key": "k4"})
    assert again.body == first


def test_a_client_that_left_may_come_again(host):
    connection = host.connect()
    connection.sendall(b"POST /v1/documents HTTP/1.1\r\nHost: a\r\nContent-Type: application/x-ndjson\r\n"
                       b"Content-Length: 1000\r\nIdempotency-Key: k5\r\n\r\n{")
    begun(host)
    connection.close()
    deadline = time.monotonic() + 180
    while put(host, "k5", [{"id": "five", "content": "Again."}]).status == 409:
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_many_at_once_are_carried_out_once(host):
    answers = []
    documents = [{"id": f"many-{i}", "content": f"Number {i}."} for i in range(50)]

    def send():
        while True:
            answer = put(host, "k6", documents)
            if answer.status != 409:
                answers.append(answer)
                return
            time.sleep(0.05)

    threads = [threading.Thread(target=send) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {answer.status for answer in answers} == {200} and len({answer.body for answer in answers}) == 1
    assert sum("idempotency-replayed" in answer.headers for answer in answers) == 7


@pytest.mark.parametrize("key", ["", "x" * 256])
def test_keys_that_are_none_are_refused(host, key):
    answer = put(host, key, [{"id": "bad", "content": "No."}])
    assert answer.status == 400 and answer.json["field"] == "Idempotency-Key"


def test_keys_of_clients_are_their_own(make_host, tmp_path):
    keys = tmp_path / "keys"
    keys.write_text("".join(f"[{name}]\nsha256 = {hashlib.sha256(f'rgf_{name}'.encode()).hexdigest()}\nscopes = write\n"
                            f'filter = {{"tenant": "{name}"}}\n' for name in ("acme", "umbrella")))
    host = make_host(name="idempotency-keys", embed=False, http=f"api-keys-file = {keys}")
    for name in ("acme", "umbrella"):
        answer = put(host, "same", [{"id": name, "content": f"Of {name}."}], headers={"Authorization": f"Bearer rgf_{name}"})
        assert answer.status == 200 and "idempotency-replayed" not in answer.headers
    host.stop()
