"""A Redis of the tests' own: on a free port, stopped by its process id."""

import shutil
import signal
import socket
import subprocess
import time


class Redis:
    def __init__(self, folder, *arguments):
        if shutil.which("redis-server") is None:
            import pytest  # benchmarks look for it themselves
            pytest.skip("no redis-server")
        self.folder, self.arguments, self.process = folder, arguments, None
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]

    @property
    def url(self):
        return f"redis://127.0.0.1:{self.port}"

    def start(self):
        self.process = subprocess.Popen(
            ["redis-server", "--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--dir", str(self.folder),
             *self.arguments], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for _ in range(600):
            try:
                if self.command("PING") == b"PONG":
                    return self
            except OSError:
                pass
            time.sleep(0.05)
        raise RuntimeError("redis-server does not answer")

    def pause(self):
        self.process.send_signal(signal.SIGSTOP)

    def resume(self):
        self.process.send_signal(signal.SIGCONT)

    def stop(self):
        if self.process is not None:
            self.process.send_signal(signal.SIGCONT)
            self.process.kill()
            self.process.wait()
        self.process = None

    def keys(self):
        return self.command("DBSIZE")

    def hits(self):
        """GETs that found something, as Redis counted them."""
        return int(self.command("INFO", "stats").split(b"keyspace_hits:")[1].split()[0])

    def command(self, *words):
        """One command and its reply: bytes, a number, a list, or None; an error raises."""
        with socket.create_connection(("127.0.0.1", self.port), 10) as connection:
            parts = [word if isinstance(word, bytes) else str(word).encode() for word in words]
            connection.sendall(b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%s\r\n" % (len(part), part) for part in parts))
            with connection.makefile("rb") as stream:
                return self._reply(stream)

    def _reply(self, stream):
        line = stream.readline()
        kind, rest = line[:1], line[1:-2]
        if kind == b"-":
            raise ValueError(rest.decode())
        if kind == b":":
            return int(rest)
        if kind == b"$":
            return None if int(rest) < 0 else stream.read(int(rest) + 2)[:-2]
        if kind == b"*":
            return [self._reply(stream) for _ in range(int(rest))]
        if kind == b"":
            raise OSError("the connection ended")
        return rest
