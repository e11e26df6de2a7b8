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
    __slots__ = ("path", "status", "took", "body", "retry_after", "at")

    def __init__(self, path, status, took, body, retry_after, at):
        self.path, self.status, self.took, self.body, self.retry_after, self.at = path, status, took, body, retry_after, at


def cpu_seconds(pid):
    """Of all threads of a process."""
    total = 0
    for thread in Path(f"/proc/{pid}/task").iterdir():
        total += int((thread / "schedstat").read_text().split()[0])
    return total / 1e9


class Connection(asyncio.Protocol):
    """One keep-alive connection. `answered` gets a Reply for each request that was written, or an error."""

    __slots__ = ("transport", "answered", "path", "began", "received", "size")

    def __init__(self):
        self.transport = self.answered = None
        self.received, self.size = b"", 0

    def connection_made(self, transport):
        self.transport = transport

    def send(self, path, request, answered):
        self.path, self.answered, self.received, self.size = path, answered, b"", 0
        self.began = time.perf_counter()
        self.transport.write(request)

    def data_received(self, data):
        self.received = self.received + data if self.received else data
        if not self.size:
            end = self.received.find(b"\r\n\r\n")
            if end < 0:
                return
            length = self.received[:end].lower().split(b"content-length:", 1)[1].split(b"\r\n", 1)[0]
            self.size = end + 4 + int(length)
        if len(self.received) < self.size:
            return
        now = time.perf_counter()
        head, body = self.received.split(b"\r\n\r\n", 1)
        fields = head.lower()
        if b"connection: close" in fields:
            self.transport.close()
        answered, self.answered = self.answered, None
        answered(self, Reply(self.path, int(head[9:12]), now - self.began, body, b"retry-after:" in fields, now))

    def connection_lost(self, error):
        if self.answered is not None:
            answered, self.answered = self.answered, None
            answered(self, ConnectionError(f"the connection was closed in the midst of {self.path}: {error}"))

    def is_open(self):
        return not self.transport.is_closing()


def encode(path, value=None, method=None):
    body = json.dumps(value).encode() if value is not None else b""
    method = method or ("POST" if value is not None else "GET")
    head = f"{method} {path} HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


class Client:
    """Keep-alive connections to one port; each carries one request at a time. What it does for a request is little: about 40 µs."""

    def __init__(self, port):
        self.port = port
        self.free = []

    async def connect(self):
        _, connection = await asyncio.get_running_loop().create_connection(Connection, "127.0.0.1", self.port)
        return connection

    def take(self):
        """A free connection, or None."""
        while self.free:
            connection = self.free.pop()
            if connection.is_open():
                return connection
        return None

    async def open(self, count):
        """Sees to it that so many are free."""
        while len(self.free) < count:
            self.free.append(await self.connect())

    def put_back(self, connection):
        if connection.is_open():
            self.free.append(connection)

    async def send(self, path, request):
        connection = self.take() or await self.connect()
        future = asyncio.get_running_loop().create_future()

        def answered(own, reply):
            self.put_back(own)
            if future.done():  # who asked has given up
                return
            if isinstance(reply, Exception):
                future.set_exception(reply)
            else:
                future.set_result(reply)

        connection.send(path, request, answered)
        return await future

    async def request(self, path, value=None, method=None):
        return await self.send(path, encode(path, value, method))

    def close(self):
        for connection in self.free:
            connection.transport.close()
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


def prepare(count, make):
    """What open_loop sends."""
    return [(question[0], encode(*question)) for question in (make() for _ in range(count))]


async def open_loop(client, rate, requests):
    """Sends what was prepared at a rate, whether or not it is answered, on the client's free connections as far as they go.
    Returns when it began, replies, and by how much each request was sent too late."""
    loop = asyncio.get_running_loop()
    replies, late, tasks, errors = [], [], set(), []
    all_there = loop.create_future()

    def answered(connection, reply):
        client.put_back(connection)
        (errors if isinstance(reply, Exception) else replies).append(reply)
        if len(replies) + len(errors) == len(requests):
            all_there.set_result(None)

    async def on_another(path, request):
        (await client.connect()).send(path, request, answered)

    began = time.perf_counter()
    for number, (path, request) in enumerate(requests):
        due = began + number / rate
        while time.perf_counter() < due:
            await asyncio.sleep(0.0005)
        if number % 64 == 63:
            await asyncio.sleep(0)  # one who is behind looks at answers all the same
        late.append(max(0.0, time.perf_counter() - due))
        connection = client.take()
        if connection is not None:
            connection.send(path, request, answered)
            continue
        task = asyncio.ensure_future(on_another(path, request))
        tasks.add(task)
        task.add_done_callback(tasks.discard)
    await asyncio.wait_for(all_there, 60)
    if errors:
        raise errors[0]
    return began, replies, late


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
