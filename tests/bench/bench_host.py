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
    __slots__ = ("status", "began", "took", "body", "retry_after")

    def __init__(self, status, began, took, body, retry_after):
        self.status, self.began, self.took, self.body, self.retry_after = status, began, took, body, retry_after


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
        return Reply(int(fields[9:12]), began, took, answer, "retry-after:" in fields)

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
