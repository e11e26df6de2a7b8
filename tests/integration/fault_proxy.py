"""A TCP proxy that misbehaves on demand, for tests of what happens when a server does.

In Python:

    with FaultProxy(("127.0.0.1", 6379)) as proxy:
        connect_to(proxy.port)
        proxy.delay(0.2)             # every piece that passes, in either direction, arrives 200 ms later
        proxy.heal()                 # back to passing everything on

From another language: `fault_proxy.py HOST:PORT` (or a path: a Unix socket) prints its port as one line, then takes one
command a line on its standard input, answers `ok`, and ends with it:

    pass            everything as it is
    delay MS        both directions late by so much (order is kept)
    stall           connections stay open, nothing passes
    cut N           each connection is closed after N more bytes of replies
    reset N         likewise, with a TCP reset
    garbage HEX     the next piece of each connection's replies is replaced by these bytes
    before HEX      the next piece of each connection's replies follows these bytes
    throttle RATE   replies pass at RATE bytes a second, in small pieces
    refuse          new connections are refused, present ones end
    drop            present connections end
"""

import asyncio
import socket
import struct
import sys
import threading

PIECE = 65536


class FaultProxy:
    """Runs in a thread of its own; its methods may be called from any other."""

    def __init__(self, target):
        self.target = target  # (host, port), or the path of a Unix socket
        self.port = None
        self.connections = 0  # accepted so far
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._server = None
        self._links = set()
        self._reset_faults()

    # ---- life ----

    def start(self):
        self._thread.start()
        self._ask(self._listen())
        return self

    def stop(self):
        self._ask(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    __enter__ = start

    def __exit__(self, *_):
        self.stop()

    # ---- faults ----

    def heal(self):
        self._ask(self._set())

    def delay(self, seconds):
        self._ask(self._set(latency=seconds))

    def stall(self):
        self._ask(self._set(stalled=True))

    def cut(self, size, reset=False):
        self._ask(self._set(left=size, hard=reset))

    def garbage(self, data):
        self._ask(self._set(instead=data))

    def before(self, data):
        self._ask(self._set(ahead=data))

    def throttle(self, rate):
        self._ask(self._set(rate=rate))

    def refuse(self):
        self._ask(self._refuse())

    def drop(self):
        self._ask(self._drop())

    # ---- inside the thread ----

    def _run(self):
        asyncio.set_event_loop(self._loop)
        self._loop.run_forever()

    def _ask(self, coroutine):
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(30)

    def _reset_faults(self):
        self.latency, self.stalled, self.left, self.hard = 0, False, None, False
        self.instead, self.ahead, self.rate = None, None, None

    async def _set(self, **faults):
        self._reset_faults()
        for name, value in faults.items():
            setattr(self, name, value)
        for link in self._links:
            link.renew()
        if self._server is None:
            await self._listen()

    async def _listen(self):
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", self.port or 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _refuse(self):
        self._reset_faults()
        if self._server is not None:
            self._server.close()
            self._server = None
        await self._drop()

    async def _drop(self):
        for link in list(self._links):
            link.close()

    async def _end(self):
        await self._refuse()
        tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _accept(self, reader, writer):
        self.connections += 1
        try:
            if isinstance(self.target, str):
                server = await asyncio.open_unix_connection(self.target)
            else:
                server = await asyncio.open_connection(*self.target)
        except OSError:
            writer.close()
            return
        link = _Link(self, (reader, writer), server)
        self._links.add(link)
        try:
            await link.run()
        finally:
            self._links.discard(link)
            link.close()


class _Link:
    """One connection through the proxy."""

    def __init__(self, proxy, client, server):
        self.proxy, self.client, self.server = proxy, client, server
        self.renew()

    def renew(self):
        self.left, self.instead, self.ahead = self.proxy.left, self.proxy.instead, self.proxy.ahead

    async def run(self):
        tasks, ends = [], []
        for (reader, _), (_, writer), replies in ((self.client, self.server, False), (self.server, self.client, True)):
            queue = asyncio.Queue()
            tasks.append(asyncio.ensure_future(self._read(reader, queue)))
            ends.append(asyncio.ensure_future(self._write(queue, writer, replies)))
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        for task in tasks + ends:
            task.cancel()
        await asyncio.gather(*tasks, *ends, return_exceptions=True)

    async def _read(self, reader, queue):
        """Pieces are due one by one, so that a delay costs latency and no throughput."""
        data = None
        while data != b"":
            try:
                data = await reader.read(PIECE)
            except OSError:
                data = b""
            queue.put_nowait((asyncio.get_running_loop().time() + self.proxy.latency, data))

    async def _write(self, queue, writer, replies):
        while True:
            due, data = await queue.get()
            await asyncio.sleep(max(0, due - asyncio.get_running_loop().time()))
            while self.proxy.stalled:
                await asyncio.sleep(0.01)
            if not data:
                return
            try:
                if replies:
                    data = self._twist(data)
                if not await self._send(writer, data, replies):
                    return
            except OSError:
                return

    def _twist(self, data):
        if self.instead is not None:
            data, self.instead = self.instead, None
        if self.ahead is not None:
            data, self.ahead = self.ahead + data, None
        return data

    async def _send(self, writer, data, replies):
        if replies and self.left is not None and len(data) >= self.left:
            writer.write(data[:self.left])
            await writer.drain()
            if self.proxy.hard:
                linger = struct.pack("ii", 1, 0)
                writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                writer.transport.abort()
            return False
        if replies and self.left is not None:
            self.left -= len(data)
        if replies and self.proxy.rate is not None:
            for at in range(0, len(data), 64):
                writer.write(data[at:at + 64])
                await asyncio.sleep(min(64, len(data) - at) / (self.proxy.rate or 1))
            return True
        writer.write(data)
        await writer.drain()
        return True

    def close(self):
        for _, writer in (self.client, self.server):
            writer.close()


def obey(proxy, words):
    """One command of the other language."""
    name, argument = words[0], words[1] if len(words) > 1 else ""
    commands = {
        "pass": proxy.heal,
        "delay": lambda: proxy.delay(float(argument) / 1000),
        "stall": proxy.stall,
        "cut": lambda: proxy.cut(int(argument)),
        "reset": lambda: proxy.cut(int(argument), reset=True),
        "garbage": lambda: proxy.garbage(bytes.fromhex(argument)),
        "before": lambda: proxy.before(bytes.fromhex(argument)),
        "throttle": lambda: proxy.throttle(float(argument)),
        "refuse": proxy.refuse,
        "drop": proxy.drop,
    }
    commands[name]()


def main():
    target = sys.argv[1]
    if not target.startswith("/"):
        host, _, port = target.rpartition(":")
        target = (host, int(port))
    with FaultProxy(target) as proxy:
        print(proxy.port, flush=True)
        for line in sys.stdin:
            try:
                obey(proxy, line.split())
                print("ok", flush=True)
            except Exception as problem:  # the other side reads it and fails its test
                print(f"error: {problem}", flush=True)


if __name__ == "__main__":
    main()
