"""What the benchmarks in this folder share: a host to measure, and a client that sends at a rate it is told."""

import asyncio
import importlib.machinery
import importlib.util
import json
import time
from pathlib import Path

FOLDER = Path(__file__).resolve().parent


def load_host_bench():
    """The module `host` in this folder: it knows how to start a ragify-host on a core."""
    loader = importlib.machinery.SourceFileLoader("host_bench", str(FOLDER / "host"))
    spec = importlib.util.spec_from_loader("host_bench", loader)
    module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    return module


def embedded_config(models, words):
    """The embedded default without a cache, on one loop."""
    return (f"[host]\nthreads = 1\n[http api]\nlisten = 127.0.0.1:0\n[embedder minilm]\nplugin = local\nmodel = {models / 'fast'}\n"
            f"[vector-store docs]\nplugin = faiss\nembedder = minilm\npath = docs\n"
            f"[text-index words]\nplugin = {words}\nof = docs\npath = words\n[pipeline default]\nretrieve = docs; words\n")


def documents(root):
    """Paragraphs of this project's own documentation."""
    paragraphs = []
    for path in sorted((root / "docs").glob("*.md")):
        for number, text in enumerate(path.read_text().split("\n\n")):
            if 80 < len(text) < 2000:
                paragraphs.append({"id": f"{path.name}-{number}", "content": text})
    return paragraphs[:300]


def quantile(values, share):
    """Linear between closest ranks; 0 where there are none."""
    ordered = sorted(values)
    if not ordered:
        return 0.0
    place = share * (len(ordered) - 1)
    low = int(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (place - low)


class Reply:
    __slots__ = ("path", "status", "took", "body", "retry_after")

    def __init__(self, path, status, took, body, retry_after):
        self.path, self.status, self.took, self.body, self.retry_after = path, status, took, body, retry_after


class Client:
    """Keep-alive connections to one port; each carries one request at a time."""

    def __init__(self, port):
        self.port = port
        self.free = []

    async def request(self, path, value=None, method=None):
        body = json.dumps(value).encode() if value is not None else b""
        method = method or ("POST" if value is not None else "GET")
        head = f"{method} {path} HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        reader, writer = self.free.pop() if self.free else await asyncio.open_connection("127.0.0.1", self.port)
        began = time.perf_counter()
        writer.write(head.encode() + body)
        fields = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
        size = int(fields.split("content-length:", 1)[1].split("\r\n", 1)[0])
        answer = await reader.readexactly(size)
        took = time.perf_counter() - began
        if "connection: close" in fields:
            writer.close()
        else:
            self.free.append((reader, writer))
        return Reply(path, int(fields[9:12]), took, answer, "retry-after:" in fields)

    def close(self):
        for _, writer in self.free:
            writer.close()
        self.free = []


async def closed_loop(client, clients, seconds, make):
    """So many clients, each asking as soon as it has its answer. Returns replies."""
    replies = []
    end = time.perf_counter() + seconds

    async def one():
        while time.perf_counter() < end:
            replies.append(await client.request(*make()))

    await asyncio.gather(*(one() for _ in range(clients)))
    return replies


async def open_loop(client, rate, seconds, make):
    """Requests at a rate, whether or not they are answered. Returns replies."""
    replies, tasks = [], set()
    began = time.perf_counter()

    async def one():
        replies.append(await client.request(*make()))

    sent = 0
    while (passed := time.perf_counter() - began) < seconds:
        while sent < passed * rate:
            task = asyncio.ensure_future(one())
            tasks.add(task)
            task.add_done_callback(tasks.discard)
            sent += 1
        await asyncio.sleep(0.001)
    if tasks:
        await asyncio.wait(tasks, timeout=60)
    return replies


def report(rows, asserted):
    """Prints rows (name, measured, limit in words, holds) and returns the exit status."""
    wide = max(len(row[0]) for row in rows)
    for name, measured, limit, holds in rows:
        print(f"  {name:<{wide}}  {measured:>14}   {limit:<34} {'' if holds is None else 'ok' if holds else 'MISSED'}")
    missed = [row[0] for row in rows if row[3] is False]
    if asserted and missed:
        print("missed: " + "; ".join(missed))
        return 1
    return 0
