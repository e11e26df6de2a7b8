"""A real redis-server on a free port, for tests."""

import signal
import socket
import subprocess
import time

TIMEOUT = 60


class RedisServer:
    """Nothing is saved; it ends with the test. Commands are words; replies come as text."""

    def __init__(self, folder, *arguments):
        self.folder, self.arguments = folder, arguments
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.process = None

    @property
    def url(self):
        return f"redis://127.0.0.1:{self.port}"

    def start(self):
        self.process = subprocess.Popen(
            ["redis-server", "--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir",
             str(self.folder), "--logfile", str(self.folder / "redis.log"), *self.arguments], stdin=subprocess.DEVNULL)
        deadline = time.monotonic() + TIMEOUT
        while True:
            try:
                if self.ask("PING") == "PONG":
                    return self
            except OSError:
                pass
            assert self.process.poll() is None, (self.folder / "redis.log").read_text()
            assert time.monotonic() < deadline, "redis-server does not answer"
            time.sleep(0.01)

    def kill(self):
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def pause(self):
        self.process.send_signal(signal.SIGSTOP)

    def resume(self):
        self.process.send_signal(signal.SIGCONT)

    def ask(self, *words):
        """The reply to one command: a simple one as text, anything else as it stands."""
        command = b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(word.encode()), word.encode()) for word in words)
        with socket.create_connection(("127.0.0.1", self.port), TIMEOUT) as connection:
            connection.sendall(command)
            with connection.makefile("rb") as stream:
                line = stream.readline().decode().rstrip("\r\n")
                if line.startswith("$") and int(line[1:]) >= 0:
                    return stream.read(int(line[1:])).decode(errors="replace")
                return line[1:] if line[:1] in "+:" else line

    def keys(self):
        return int(self.ask("DBSIZE"))

    def hits(self):
        """GETs that found something, as Redis counted them."""
        return int(self.ask("INFO", "stats").split("keyspace_hits:")[1].split()[0])

