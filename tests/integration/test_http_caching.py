"""Compression and entity tags of replies."""

import gzip

import pytest


@pytest.fixture(scope="module")
def library(make_host):
    host = make_host(name="caching", embed=False)
    host.ingest([{"id": f"d{i}", "content": f"Passage {i} on the tides. " + "The sea comes and goes. " * 20}
                 for i in range(30)])
    return host


PATH = "/v1/context?q=tides&max_chunks=10"


@pytest.mark.parametrize("codings, coded", [
    ("gzip", True), ("gzip, deflate, br", True), ("br;q=1.0, gzip;q=0.5", True), ("*", True), ("x-gzip", True),
    ("GZIP", True), ("identity", False), ("gzip;q=0", False), ("*;q=0", False), ("br", False), ("gzip;q=0, *", False),
    ("", False), (",,;;q=", False),
])
def test_who_asks_for_gzip_gets_it(library, codings, coded):
    plain = library.get(PATH)
    answer = library.get(PATH, {"Accept-Encoding": codings})
    assert ("content-encoding" in answer.headers) == coded, answer.headers
    body = gzip.decompress(answer.body) if coded else answer.body
    assert body.partition(b'"chunks":')[2] == plain.body.partition(b'"chunks":')[2]
    if coded:
        assert len(answer.body) < len(plain.body) / 2 and answer.headers["vary"] == "Accept-Encoding"


def test_small_replies_and_probes_stay_plain(library):
    for path in ("/livez", "/v1/context?q=zzz"):
        assert "content-encoding" not in library.get(path, {"Accept-Encoding": "gzip"}).headers


def test_other_replies_are_compressed_too(library):
    for path in ("/metrics", "/v1/documents"):
        answer = library.get(path, {"Accept-Encoding": "gzip"})
        assert answer.status == 200 and gzip.decompress(answer.body)


def test_an_answer_that_did_not_change_is_not_sent_again(library):
    first = library.get(PATH)
    tag = first.headers["etag"]
    assert first.headers["cache-control"] == "private, no-cache" and tag.startswith('W/"')
    for known in (tag, tag[2:], f'"other", {tag}', "*"):
        again = library.get(PATH, {"If-None-Match": known})
        assert again.status == 304 and again.body == b"" and again.headers["etag"] == tag, again
    assert library.get(PATH, {"If-None-Match": 'W/"other"'}).status == 200
    library.ingest([{"id": "new", "content": "Tides tides tides."}])
    changed = library.get(PATH, {"If-None-Match": tag})
    assert changed.status == 200 and changed.headers["etag"] != tag


def test_posts_have_no_tag(library):
    answer = library.context(query="tides")
    assert "etag" not in answer.headers and answer.headers["cache-control"] == "no-store"
