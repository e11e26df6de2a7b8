"""An HTTP server whose first path segment says how it behaves, for tests of clients.

    python3 scripted_http.py [--port N] [--address A]

prints `port N` and serves until its standard input ends. GET /_events answers what was seen so far as JSON: requests
with their headers and bodies, and connections that the client closed before the answer was over ("hangup"); /_reset
forgets it. GET /_connections answers how many connections are open beside its own. GET /_release lets `etag-held` say
that nothing has changed. Only asyncio and the standard library.
"""

import argparse
import asyncio
import gzip
import json
import sys
import urllib.parse

DATE = "Fri, 31 Dec 2100 23:59:59 GMT"

events = []
counts = {}
open_writers = set()
released = asyncio.Event()


class Request:
    def __init__(self, method, target, headers, body):
        self.method, self.target, self.headers, self.body = method, target, headers, body
        parts = urllib.parse.urlsplit(target)
        self.path = parts.path.strip("/").split("/")
        self.behaviour = self.path[0]
        self.query = urllib.parse.parse_qs(parts.query, keep_blank_values=True)

    def argument(self, name, default=""):
        return self.query.get(name, [default])[0]


async def read_request(reader):
    head = await reader.readuntil(b"\r\n\r\n")
    lines = head.decode("latin-1").split("\r\n")
    method, target, _ = lines[0].split(" ", 2)
    headers = {}
    for line in lines[1:]:
        if line:
            name, value = line.split(":", 1)
            headers[name.strip().lower()] = value.strip()
    body = await reader.readexactly(int(headers.get("content-length", 0)))
    return Request(method, target, headers, body)


def head(status, headers):
    lines = [f"HTTP/1.1 {status} {'OK' if status < 300 else 'Other'}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def whole(status, body, headers=None, kind="application/json"):
    fields = {"Content-Type": kind, "Content-Length": len(body)}
    fields.update(headers or {})
    return head(status, fields) + body


def results(query, limit):
    return json.dumps({"results": [
        {"id": f"doc-{i}", "content": f"{query}: passage {i}", "title": f"Title {i}", "url": f"https://docs.test/{i}",
         "score": 1 - i / 100, "metadata": {"lang": "en", "n": i}, "created_at": "2024-05-01T00:00:00Z",
         "updated_at": 1714608000} for i in range(limit)]}).encode()


def usual(request):
    return results(request.argument("q"), int(request.argument("limit", "1") or 1))


def one(content, extra=b""):
    return b'{"results": [{"id": "a", "content": ' + content + b'}' + extra + b']}'


LIES = {
    "not-json": b"<html>sorry</html>",
    "not-a-list": b'{"results": {"a": 1}, "total": 3}',
    "no-content": b'{"results": [{"id": 1, "headline": "x"}, {"id": 2, "headline": "y"}]}',
    "wrong-types": b'{"results": [1, null, "text", [], {"content": 5}, {"content": {"a": 1}}, '
                   b'{"id": {}, "content": "good", "title": 7, "url": [], "score": "high", "metadata": "none", '
                   b'"created_at": "yesterday", "updated_at": -5}]}',
    "bad-utf8": one(b'"caf\xe9"'),
    "nan": one(b'"x", "score": NaN'),
    "nan-text": one(b'"x", "score": "NaN"'),
    "infinite": one(b'"x", "score": 1e999'),
    "large-score": one(b'"x", "score": 17.5'),
    "nul": one(b'"a\\u0000b"', b', {"content": "without"}'),
    "nul-metadata": one(b'"plain text", "metadata": {"a": "b\\u0000c"}'),
    "deep": b"[" * 100000,
    "many-values": b"[" + b"[]," * 600000 + b"[]]",
    "empty": b"",
    "none": b'{"results": []}',
    "lines": b'{"content": "first"}\n\n{"content": "second"}\r\nnot json\n{"content": "third"}',
    "nested": b'{"data": {"a/b": [{"doc": {"t": ["zero", "one"]}, "rank": 50}]}}',
}


async def stream(writer, pieces, pause=0.0):
    for piece in pieces:
        writer.write(piece)
        await writer.drain()
        if pause:
            await asyncio.sleep(pause)


def forever(piece):
    while True:
        yield piece


async def watch_for_hangup(reader, request):
    """What the client sends while it should be waiting is nothing, unless it goes."""
    if await reader.read(1) == b"":
        events.append({"event": "hangup", "behaviour": request.behaviour})
        raise ConnectionResetError


async def misbehave(request, reader, writer):
    """Endless behaviours; they end when the client goes."""
    name = request.behaviour
    watch = asyncio.ensure_future(watch_for_hangup(reader, request))
    chunked = head(200, {"Content-Type": "application/json", "Transfer-Encoding": "chunked"})
    if name == "silent":
        work = asyncio.sleep(3600)
    elif name == "silent-after-head":
        writer.write(chunked + b"2\r\n[\n\r\n")
        work = asyncio.sleep(3600)
    elif name == "drip":
        writer.write(chunked)
        work = stream(writer, forever(b"1\r\n \r\n"), 0.02)
    elif name == "drip-head":
        work = stream(writer, (bytes([byte]) for byte in b"HTTP/1.1 200 OK\r\nX-Slow: " + b"a" * 100000), 0.02)
    elif name == "endless":
        writer.write(chunked)
        work = stream(writer, forever(b"4000\r\n" + b" " * 0x4000 + b"\r\n"))
    elif name == "endless-head":
        writer.write(b"HTTP/1.1 200 OK\r\n")
        work = stream(writer, forever(b"X-More: " + b"a" * 4000 + b"\r\n"))
    else:
        raise KeyError(name)
    work = asyncio.ensure_future(work)
    try:
        await asyncio.wait({watch, work}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in (watch, work):
            task.cancel()
        await asyncio.gather(watch, work, return_exceptions=True)
    if not any(event.get("event") == "hangup" and event.get("behaviour") == name for event in events):
        events.append({"event": "hangup", "behaviour": name})
    return False


def redirect(request):
    status = int(request.path[1])
    return whole(status, b"", {"Location": request.argument("to") or f"/{'/'.join(request.path)}?q=again"})


def flaky(request):
    key = "/".join(request.path[:3])
    counts[key] = counts.get(key, 0) + 1
    if counts[key] > int(request.path[2]):
        return whole(200, usual(request))
    fields = {"Retry-After": request.path[3]} if len(request.path) > 4 else {}
    return whole(int(request.path[1]), b'{"error": "later"}', fields)


def conditional(request):
    if request.headers.get("if-none-match") == '"v1"':
        return head(304, {"ETag": '"v1"'})
    return whole(200, usual(request), {"ETag": '"v1"', "Last-Modified": "Wed, 01 May 2024 00:00:00 GMT"})


def compressed(request):
    return whole(200, gzip.compress(usual(request)), {"Content-Encoding": "gzip"})


BOMB = gzip.compress(b" " * (100 << 20), 6)


async def answer(request, reader, writer):
    """True where the connection can be used again."""
    name = request.behaviour
    if name == "ok":
        writer.write(whole(200, usual(request)))
    elif name == "echo":
        seen = json.dumps({"method": request.method, "target": request.target, "headers": request.headers,
                           "body": request.body.decode("utf-8", "replace")})
        writer.write(whole(200, json.dumps([{"content": seen}]).encode()))
    elif name == "tickets":
        hits = [{"subject": f"Ticket {i}", "summary": f"{json.loads(request.body)['text']}: ticket {i}"} for i in range(3)]
        writer.write(whole(200, json.dumps({"hits": hits}).encode()))
    elif name == "lie":
        kind = "application/x-ndjson" if request.path[1] == "lines" else "application/json"
        writer.write(whole(200, LIES[request.path[1]], kind=kind))
    elif name == "large":
        writer.write(whole(200, results("x" * 1000, 300)))
    elif name == "status":
        fields = {"Retry-After": DATE if request.path[2] == "date" else request.path[2]} if len(request.path) > 3 else {}
        writer.write(whole(int(request.path[1]), b'{"error": "no"}', fields))
    elif name == "flaky":
        writer.write(flaky(request))
    elif name == "redirect":
        writer.write(redirect(request))
    elif name == "etag":
        writer.write(conditional(request))
    elif name == "etag-held":
        if "if-none-match" in request.headers:
            await released.wait()
        writer.write(conditional(request))
    elif name == "gzip":
        writer.write(compressed(request))
    elif name == "bomb":
        writer.write(whole(200, BOMB, {"Content-Encoding": "gzip"}))
    elif name == "bad-gzip":
        writer.write(whole(200, gzip.compress(usual(request))[:-20] + b"x" * 20, {"Content-Encoding": "gzip"}))
    elif name == "huge":
        writer.write(head(200, {"Content-Type": "application/json", "Content-Length": 1 << 30}) + b"[")
        await watch_for_hangup(reader, request)
    elif name == "cut":
        writer.write(head(200, {"Content-Type": "application/json", "Content-Length": 1000}) + b'{"results": [')
        return False
    elif name == "cut-head":
        writer.write(b"HTTP/1.1 200 OK\r\nContent-")
        return False
    elif name == "garbage":
        writer.write(b"\x00\x01\x02 this is no HTTP at all\r\n\r\n" * 100)
        return False
    elif name == "slow":
        await asyncio.sleep(float(request.path[1]))
        writer.write(whole(200, usual(request)))
    else:
        return await misbehave(request, reader, writer)
    await writer.drain()
    return True


async def serve(reader, writer):
    open_writers.add(writer)
    try:
        while True:
            request = await read_request(reader)
            if request.behaviour == "_events":
                writer.write(whole(200, json.dumps(events).encode()))
                continue
            if request.behaviour == "_reset":
                events.clear()
                counts.clear()
                released.clear()
                writer.write(whole(200, b"{}"))
                continue
            if request.behaviour == "_release":
                released.set()
                writer.write(whole(200, b"{}"))
                continue
            if request.behaviour == "_connections":
                writer.write(whole(200, str(len(open_writers) - 1).encode()))
                continue
            events.append({"event": "request", "method": request.method, "target": request.target,
                           "headers": request.headers, "body": request.body.decode("utf-8", "replace")})
            if not await answer(request, reader, writer):
                return
    except (asyncio.IncompleteReadError, ConnectionError, asyncio.LimitOverrunError):
        pass
    finally:
        open_writers.discard(writer)
        writer.close()


async def main():
    options = argparse.ArgumentParser()
    options.add_argument("--port", type=int, default=0)
    options.add_argument("--address", default="127.0.0.1")
    chosen = options.parse_args()
    server = await asyncio.start_server(serve, chosen.address, chosen.port, limit=1 << 20, backlog=512)
    print("port", server.sockets[0].getsockname()[1], flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    try:
        asyncio.run(main())
    except KeyboardInterrupt:
        pass
