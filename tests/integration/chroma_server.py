"""A real Chroma server of the tests' own, where tools/setup --test has put one."""

import os
import pathlib
import shutil
import signal
import socket
import subprocess
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
START_TIMEOUT = 180


def chroma_program():
    """The server's executable, or None."""
    path = pathlib.Path(os.environ.get("RAGIFY_TEST_CHROMA", ROOT / ".deps" / "chroma" / "bin" / "chroma"))
    return path if os.access(path, os.X_OK) else None


class ChromaServer:
    """On a free port, with a data folder of its own that outlives kill() and start()."""

    def __init__(self):
        self.folder = tempfile.mkdtemp(prefix="ragify-chroma-")
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.process = None

    def start(self):
        environment = {**os.environ, "ANONYMIZED_TELEMETRY": "False"}
        self.process = subprocess.Popen([str(chroma_program()), "run", "--host", "127.0.0.1", "--port", str(self.port), "--path",
                                         os.path.join(self.folder, "data")],
                                        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment)
        deadline = time.monotonic() + START_TIMEOUT
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return self
            except OSError:
                if self.process.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError("the Chroma server did not start") from None
                time.sleep(0.05)

    def url(self):
        return f"http://127.0.0.1:{self.port}"

    def kill(self):
        """kill -9."""
        self.process.kill()
        self.process.wait()
        self.process = None

    def suspend(self):
        self.process.send_signal(signal.SIGSTOP)

    def resume(self):
        self.process.send_signal(signal.SIGCONT)

    def stop(self):
        if self.process is not None:
            self.process.send_signal(signal.SIGCONT)
            self.process.terminate()
            self.process.wait()
            self.process = None
        shutil.rmtree(self.folder, ignore_errors=True)

    __enter__ = start

    def __exit__(self, *_):
        self.stop()
