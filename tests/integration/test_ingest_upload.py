"""One document as text: of any size, by HTTP and by ragify-ctl, whatever happens on the way."""

import json
import subprocess
import time
import urllib.parse

import pytest

from conftest import build_dir
from test_ingest_jobs import documents, finds, until
from test_ingest_large import MIB, digest, write_text

CONTROL = build_dir() / "tools" / "ragify-ctl" / "ragify-ctl"


def send(host, text, timeout=600, **parameters):
    body = text if isinstance(text, bytes) else text.encode()
    return host.request("POST", "/v1/documents?" + urllib.parse.urlencode(parameters), body, {"Content-Type": "text/plain"},
                        timeout=timeout)


def control(host, *arguments):
    return [CONTROL, "--url", host.address, "ingest", "--json", *map(str, arguments)]


def ingested(host, *arguments):
    done = subprocess.run(control(host, *arguments), capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stderr + done.stdout
    return json.loads(done.stdout)


def check_places(host, name, content):
    """The chunks are the content's, in order, and nothing between two of them is lost."""
    past = 0
    for chunk in host.get("/v1/documents/" + urllib.parse.quote(name, safe="")).json["chunks"]:
        assert content[chunk["begin"]:chunk["end"]].decode() == chunk["content"]
        assert content[past:chunk["begin"]].strip() == b""
        past = chunk["end"]
    return past


def test_a_text_is_a_document(make_host):
    host = make_host(embed=False)
    text = "The heron stands in the reeds. " * 100
    given = {"id": "birds/heron.txt", "title": "Heron", "uri": "https://example.org/heron", "updated_at": "2026-01-31T12:00:00Z"}
    answer = send(host, text, metadata='{"lang": "en"}', **given)
    assert answer.status == 200 and answer.json["documents"] == 1 and answer.json["chunks"] > 1, answer
    document = documents(host)["birds/heron.txt"]
    assert (document["title"], document["uri"], document["metadata"]) == ("Heron", given["uri"], {"lang": "en"})
    assert check_places(host, "birds/heron.txt", text.encode()) == len(text.strip())
    assert finds(host, "heron reeds")
    assert host.ingest([{**given, "metadata": {"lang": "en"}, "content": text}])["unchanged"] == 1  # however it comes
    assert send(host, "Brot und Käse".encode("iso-8859-1") * 20, id="b", chunking="none").json["chunks"] == 1
    assert "Käse" in host.get("/v1/documents/b").json["chunks"][0]["content"]


@pytest.mark.parametrize("body, parameters, status, words", [
    (b"text", {}, 400, "id"),
    (b"text", {"id": "a", "colour": "red"}, 400, "colour"),
    (b"text", {"id": "a", "metadata": "{"}, 400, "metadata"),
    (b"text", {"id": "a", "metadata": "[]"}, 400, "metadata"),
    (b"text", {"id": "a", "updated_at": "yesterday"}, 400, "updated_at"),
    (b"text", {"id": "a" * 1025}, 400, "id"),
    (b"text", {"id": "a", "store": "other"}, 404, "store"),
    (b"", {"id": "a"}, 422, "empty"),
    (b" \n\t ", {"id": "a"}, 422, "white space"),
    (b"\0\1\2" * 100, {"id": "a"}, 422, "no text"),
    (b"\0\1\2\3" * 2 * MIB, {"id": "a"}, 422, "no text"),
    (b" \n" * 3 * MIB, {"id": "a"}, 422, "white space"),
    (b"word " * MIB, {"id": "a", "chunking": "none"}, 422, "4 MiB"),
])
def test_what_is_no_document_is_refused(host, body, parameters, status, words):
    answer = send(host, body, **parameters)
    assert answer.status == status and words in answer.body.decode(), answer
    assert host.get("/v1/documents/a").status == 404


@pytest.mark.parametrize("body, content_type", [
    (b'{"id": "marked", "content": "One."}', "application/json"),
    (b'{"id": "marked", "content": "One."}\n{"id": "other", "content": "Two."}\n', "application/x-ndjson"),
    (b"", "application/x-ndjson"),
])
def test_a_byte_order_mark_is_none_of_the_body(host, body, content_type):
    answer = host.request("POST", "/v1/documents", b"\xef\xbb\xbf" + body, {"Content-Type": content_type})
    assert answer.status == 200 and answer.json["failed_total"] == 0, answer
    assert answer.json["documents"] + answer.json["unchanged"] == body.count(b"id"), answer


def test_a_long_text_is_written_in_parts(make_host, tmp_path):
    host = make_host(embed=False)
    write_text(tmp_path / "long.txt", 6 * MIB)
    content = (tmp_path / "long.txt").read_bytes()
    answer = send(host, content, id="long")
    assert answer.status == 200 and answer.json["documents"] == 1, answer
    assert digest(host, "long")[1] == answer.json["chunks"] > 5000
    check_places(host, "long", content)
    again = send(host, content, id="long").json
    assert (again["documents"], again["unchanged"], again["chunks"]) == (0, 1, 0)
    changed = send(host, content + b"The kingfisher came at last.\n", id="long").json
    assert (changed["documents"], changed["replaced"]) == (1, 1)
    until(lambda: any("kingfisher" in text for text in finds(host, "kingfisher")), 120)
    until(lambda: len(finds(host, "heron bridge winter")) == 3, 120)
    assert list((host.state / "uploads").iterdir()) == []  # it has no name while it is there


def test_a_file_is_sent_again_after_kills_and_goes_on(make_host, tmp_path):
    """By ragify-ctl, as a user would; the result is the one without interruption."""
    write_text(tmp_path / "long.txt", 24 * MIB, line=True)
    name = f"file:{tmp_path / 'long.txt'}"
    whole = make_host(embed=False)
    total = ingested(whole, tmp_path / "long.txt")["chunks"]
    expected = digest(whole, name)
    assert expected[1] == total
    assert ingested(whole, tmp_path / "long.txt")["unchanged"] == 1

    broken = make_host(embed=False)
    for _ in range(3):
        sending = subprocess.Popen(control(broken, tmp_path / "long.txt"), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        until(lambda: any(document["id"] == name for document in documents(broken).values()) or sending.poll() is not None, 120)
        time.sleep(0.3)
        broken.kill()
        sending.communicate(timeout=120)
        broken.start()
    report = ingested(broken, tmp_path / "long.txt")
    assert report["chunks"] < total, "what was staged before is not written again"
    assert digest(broken, name) == expected
    until(lambda: len(finds(broken, "heron bridge winter")) == 3, 120)
