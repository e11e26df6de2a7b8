"""Heads that could be read in two ways are refused with 400 and the connection is closed.

Each case is one request that another server in front could take for something else; a second request rides behind it,
which must not be answered.
"""

import re

import pytest

BODY = b'{"query":"x"}'
SECOND = b"GET /readyz HTTP/1.1\r\nHost: a\r\nX-Request-Id: smuggled\r\n\r\n"
POST = b"POST /v1/context HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"

REFUSED = {
    "content-length and transfer-encoding": POST + b"Content-Length: 13\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "transfer-encoding and content-length": POST + b"Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n",
    "two content-lengths": POST + b"Content-Length: 13\r\nContent-Length: 0\r\n\r\n" + BODY,
    "two equal content-lengths": POST + b"Content-Length: 13\r\nContent-Length: 13\r\n\r\n" + BODY,
    "content-length list": POST + b"Content-Length: 13, 13\r\n\r\n" + BODY,
    "content-length with sign": POST + b"Content-Length: +13\r\n\r\n" + BODY,
    "negative content-length": POST + b"Content-Length: -1\r\n\r\n" + BODY,
    "hexadecimal content-length": POST + b"Content-Length: 0xd\r\n\r\n" + BODY,
    "empty content-length": POST + b"Content-Length:\r\n\r\n" + BODY,
    "huge content-length": POST + b"Content-Length: 99999999999999999999\r\n\r\n" + BODY,
    "unknown transfer-encoding": POST + b"Transfer-Encoding: gzip\r\n\r\n",
    "two codings": POST + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "identity": POST + b"Transfer-Encoding: identity\r\nContent-Length: 13\r\n\r\n" + BODY,
    "chunked twice": POST + b"Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n",
    "two transfer-encodings": POST + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "xchunked": POST + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "quoted chunked": POST + b'Transfer-Encoding: "chunked"\r\n\r\n0\r\n\r\n',
    "transfer-encoding in HTTP/1.0": (POST + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n").replace(b"/1.1", b"/1.0", 1),
    "space before colon": POST + b"Content-Length : 13\r\n\r\n" + BODY,
    "tab before colon": POST + b"Transfer-Encoding\t: chunked\r\n\r\n0\r\n\r\n",
    "space in name": POST + b"Content Length: 13\r\n\r\n" + BODY,
    "control character in name": POST + b"Transfer-Encoding\x0b: chunked\r\n\r\n",
    "NUL in value": POST + b"X-A: b\x00c\r\nContent-Length: 13\r\n\r\n" + BODY,
    "NUL at the end of a value": POST + b"X-A: b\x00\r\nContent-Length: 13\r\n\r\n" + BODY,
    "NUL hides transfer-encoding": POST + b"X-A: b\x00\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "NUL in content-length": POST + b"Content-Length: 13\x00\r\n\r\n" + BODY,
    "NUL in name": POST + b"X-A\x00B: c\r\nContent-Length: 13\r\n\r\n" + BODY,
    "CR in value": POST + b"X-A: b\rTransfer-Encoding: chunked\r\nContent-Length: 13\r\n\r\n" + BODY,
    "folded transfer-encoding": POST + b"Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n",
    "folded header": POST + b"X-A: b\r\n c\r\nContent-Length: 13\r\n\r\n" + BODY,
    "folded with tab": POST + b"Content-Length: 1\r\n\t3\r\n\r\n" + BODY,
    "line without colon": POST + b"Transfer-Encoding\r\nContent-Length: 13\r\n\r\n" + BODY,
    "first line folded": b"GET /readyz HTTP/1.1\r\n Host: a\r\n\r\n",
    "no host": b"GET /readyz HTTP/1.1\r\n\r\n",
    "two hosts": b"GET /readyz HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
    "two equal hosts": b"GET /readyz HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n",
    "host with path": b"GET /readyz HTTP/1.1\r\nHost: a/b\r\n\r\n",
    "host with user": b"GET /readyz HTTP/1.1\r\nHost: b@a\r\n\r\n",
    "hosts in a list": b"GET /readyz HTTP/1.1\r\nHost: a, b\r\n\r\n",
    "absolute address of another host": b"GET http://b/readyz HTTP/1.1\r\nHost: a\r\n\r\n",
    "absolute address with user": b"GET http://a@b/readyz HTTP/1.1\r\nHost: a\r\n\r\n",
    "absolute https address": b"GET https://a/readyz HTTP/1.1\r\nHost: a\r\n\r\n",
    "no path": b"GET readyz HTTP/1.1\r\nHost: a\r\n\r\n",
    "asterisk": b"GET * HTTP/1.1\r\nHost: a\r\n\r\n",
    "authority": b"CONNECT a:80 HTTP/1.1\r\nHost: a\r\n\r\n",
    "space in path": b"GET /readyz x HTTP/1.1\r\nHost: a\r\n\r\n",
    "two spaces": b"GET  /readyz HTTP/1.1\r\nHost: a\r\n\r\n",
    "tab after method": b"GET\t/readyz HTTP/1.1\r\nHost: a\r\n\r\n",
    "NUL in path": b"GET /readyz\x00 HTTP/1.1\r\nHost: a\r\n\r\n",
    "raw UTF-8 in path": b"GET /readyz?x=\xc3\xa4 HTTP/1.1\r\nHost: a\r\n\r\n",
    "fragment": b"GET /readyz#x HTTP/1.1\r\nHost: a\r\n\r\n",
    "lower-case version": b"GET /readyz http/1.1\r\nHost: a\r\n\r\n",
    "long version": b"GET /readyz HTTP/1.10\r\nHost: a\r\n\r\n",
    "HTTP/2.0": b"GET /readyz HTTP/2.0\r\nHost: a\r\n\r\n",
    "HTTP/0.9": b"GET /readyz\r\n\r\n",
    "bad method": b"GE(T /readyz HTTP/1.1\r\nHost: a\r\n\r\n",
    "bad chunk size": POST + b"Transfer-Encoding: chunked\r\n\r\nxyz\r\n" + BODY + b"\r\n0\r\n\r\n",
    "negative chunk size": POST + b"Transfer-Encoding: chunked\r\n\r\n-1\r\n\r\n0\r\n\r\n",
    "chunk size too large": POST + b"Transfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n\r\n0\r\n\r\n",
    "chunk size with prefix": POST + b"Transfer-Encoding: chunked\r\n\r\n0xd\r\n" + BODY + b"\r\n0\r\n\r\n",
    "chunk without end": POST + b"Transfer-Encoding: chunked\r\n\r\nd\r\n" + BODY + b"xx0\r\n\r\n",
    "many headers": b"GET /readyz HTTP/1.1\r\nHost: a\r\n" + b"X-A: b\r\n" * 200 + b"\r\n",
    "large header": b"GET /readyz HTTP/1.1\r\nHost: a\r\nX-A: " + b"b" * 40000 + b"\r\n\r\n",
    "long path": b"GET /" + b"a" * 40000 + b" HTTP/1.1\r\nHost: a\r\n\r\n",
    "endless method": b"G" * 40000,
}


def statuses(raw):
    return [int(status) for status in re.findall(rb"HTTP/1\.1 (\d{3}) ", raw)]


@pytest.mark.parametrize("name", REFUSED)
def test_ambiguous_requests_are_refused(host, name):
    raw = host.raw(REFUSED[name] + SECOND, half_close=True)
    answers = statuses(raw)
    assert len(answers) == 1, (name, raw)
    assert answers[0] in (400, 413, 414, 431, 505), (name, raw)
    assert b"smuggled" not in raw
    assert host.alive()


ACCEPTED = {
    "plain": POST + b"Content-Length: 13\r\n\r\n" + BODY,
    "chunked": POST + b"Transfer-Encoding: chunked\r\n\r\n5\r\n" + BODY[:5] + b"\r\n8\r\n" + BODY[5:] + b"\r\n0\r\n\r\n",
    "chunked in capitals": POST + b"TRANSFER-ENCODING: Chunked\r\n\r\nD\r\n" + BODY + b"\r\n0\r\n\r\n",
    "chunk extension": POST + b"Transfer-Encoding: chunked\r\n\r\nd;a=b\r\n" + BODY + b"\r\n0\r\n\r\n",
    "trailer": POST + b"Transfer-Encoding: chunked\r\n\r\nd\r\n" + BODY + b"\r\n0\r\nX-A: b\r\n\r\n",
    "blanks around values": POST + b"X-A:  b \t \r\nContent-Length:\t 13\r\n\r\n" + BODY,
    "bare line feeds": (POST + b"X-A: b\r\nContent-Length: 13\r\n\r\n").replace(b"\r\n", b"\n") + BODY,
    "absolute address": (POST + b"Content-Length: 13\r\n\r\n" + BODY).replace(b"/v1", b"http://A:80/v1", 1),
    "empty value": POST + b"X-A:\r\nContent-Length: 13\r\n\r\n" + BODY,
    "large head": POST + b"X-A: " + b"b" * 12000 + b"\r\nContent-Length: 13\r\n\r\n" + BODY,
    "empty line first": b"\r\n" + POST + b"Content-Length: 13\r\n\r\n" + BODY,
    "bytes above ASCII in a value": POST + "X-A: ä\r\nContent-Length: 13\r\n\r\n".encode() + BODY,
}


@pytest.mark.parametrize("name", ACCEPTED)
def test_unambiguous_requests_are_served(host, name):
    last = SECOND.replace(b"Host: a\r\n", b"Host: a\r\nConnection: close\r\n")
    raw = host.raw(ACCEPTED[name] + last)
    assert statuses(raw) == [200, 200], (name, raw)
    assert b"X-Request-Id: smuggled" in raw


@pytest.mark.parametrize("name", [name for name in ACCEPTED if len(ACCEPTED[name]) < 2000])
def test_requests_that_come_byte_by_byte(host, name):
    with host.connect() as connection:
        for at in range(len(ACCEPTED[name])):
            connection.sendall(ACCEPTED[name][at:at + 1])
        assert connection.recv(65536).startswith(b"HTTP/1.1 200 OK\r\n")


def llhttp_cases():
    """(name, raw bytes, messages that llhttp begins to see in them)"""
    from conftest import test_data

    unescape = {b"\\r": b"\r", b"\\n": b"\n", b"\\t": b"\t", b"\\f": b"\f"}
    for path in sorted(test_data("vectors", "http_llhttp_cases", "test", "request").glob("*.md")):
        text = path.read_text(encoding="utf-8")
        pattern = re.compile(r"^(#+ [^\n]*)$|<!--\s*meta=(.*?)-->\s*```http\n(.*?)```.*?```log\n(.*?)```", re.M | re.S)
        title = ""
        for match in pattern.finditer(text):
            if match.group(1):
                title = match.group(1).strip("# ")
                continue
            if '"type"' not in match.group(2) or "lenient" in match.group(2) or "pause" in match.group(2):
                continue
            raw = re.sub(r"\n$", "", match.group(3)).encode("utf-8")
            raw = re.sub(rb"\\\n", b"", raw).replace(b"\n", b"\r\n")
            raw = re.sub(rb"\\[rntf]", lambda found: unescape[found.group(0)], raw)
            raw = re.sub(rb"\\x([0-9a-fA-F]{2})", lambda found: bytes([int(found.group(1), 16)]), raw)
            yield f"{path.stem}: {title}", raw, max(1, match.group(4).count("message begin"))


def test_llhttp_cases(host):
    """No case gets more answers than it has requests, finished or not, in llhttp's strict reading."""
    count = 0
    for name, raw, messages in llhttp_cases():
        answer = host.raw(raw, timeout=0.3, half_close=True)
        assert len(statuses(answer)) <= messages, (name, raw, answer)
        assert host.alive(), name
        count += 1
    assert count > 100
    assert host.get("/livez").status == 200
