"""What the integration tests share: a running ragify-host with the embedded default, and a client for it.

Environment:
  RAGIFY_BUILD_DIR   the build folder (default: the build*/ whose ragify-host is newest)
  RAGIFY_HOST        the executable itself, where it is elsewhere
  RAGIFY_MODELS_DIR  a folder that holds fast/ (default: .deps/models); without it the pipeline is words only
  RAGIFY_TEST_DATA   the shared test data (default: ../shared/data); without it tests that need it are skipped

Every host gets a free port of the loopback interface, a state folder of its own, and a sanitizer log that must stay
empty; it is stopped by its process id and must then exit with 0.
"""

import glob
import http.client
import json
import os
import pathlib
import select
import signal
import socket
import subprocess
import time

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
START_TIMEOUT = 300
STOP_TIMEOUT = 300


def pytest_configure(config):
    config.addinivalue_line("markers", "long: takes long; tools/test runs it with --long only")


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport():
    """A test that fails because a sanitizer ended its host says so."""
    report = (yield).get_result()
    if report.failed:
        found = "".join(host.sanitizer_log() for host in Host.made)
        if found and found not in str(report.longrepr):
            report.longrepr = f"{report.longrepr}\n{found}"


def build_dir():
    if "RAGIFY_BUILD_DIR" in os.environ:
        return pathlib.Path(os.environ["RAGIFY_BUILD_DIR"])
    hosts = sorted(ROOT.glob("build*/core/ragify-host"), key=lambda path: path.stat().st_mtime)
    if not hosts:
        pytest.exit("no build*/core/ragify-host; build it, or set RAGIFY_BUILD_DIR", 2)
    return hosts[-1].parents[1]


def host_executable():
    return pathlib.Path(os.environ.get("RAGIFY_HOST", build_dir() / "core" / "ragify-host"))


def models_dir():
    """The folder of models, or None where `fast` is not in it."""
    folder = pathlib.Path(os.environ.get("RAGIFY_MODELS_DIR", ROOT / ".deps" / "models"))
    return folder if (folder / "fast" / "model.safetensors").exists() else None


def test_data(*parts):
    """A path in the shared test data; skips the test where it is absent."""
    folder = pathlib.Path(os.environ.get("RAGIFY_TEST_DATA", ROOT.parent / "shared" / "data"))
    path = folder.joinpath(*parts)
    if not path.exists():
        pytest.skip(f"no test data: {'/'.join(parts)}")
    return path


test_data.__test__ = False


class Response:
    """An answer: status, headers (lower case; the last of each name), body."""

    def __init__(self, status, headers, body):
        self.status = status
        self.headers = {name.lower(): value for name, value in headers}
        self.body = body

    @property
    def json(self):
        return json.loads(self.body)

    def __repr__(self):
        return f"{self.status} {self.headers} {self.body[:500]!r}"


class Host:
    """A ragify-host process."""

    made = []  # all of them

    def __init__(self, folder, config, arguments=(), environment=None, wrapper=()):
        Host.made.append(self)
        self.folder = pathlib.Path(folder)
        self.state = self.folder / "state"
        self.state.mkdir(parents=True, exist_ok=True)
        self.log_path = self.folder / "host.log"
        self.config_path = self.folder / "ragify.conf"
        self.config_path.write_text(config)
        self.arguments = list(arguments)
        self.environment = environment or {}
        self.wrapper = list(wrapper)  # a command that runs the host in its own place, such as prlimit
        self.process = None
        self.address = None
        self.port = None

    # ---- the process ----

    def plugins(self):
        folder = self.folder / "plugins"
        folder.mkdir(exist_ok=True)
        for module in glob.glob(str(build_dir() / "plugins" / "*" / "*.so")):
            link = folder / os.path.basename(module)
            if not link.exists():
                link.symlink_to(os.path.abspath(module))
        return folder

    def start(self):
        environment = dict(os.environ)
        log = f"log_path={self.folder}/sanitizer"
        for name in ("ASAN_OPTIONS", "UBSAN_OPTIONS", "LSAN_OPTIONS", "TSAN_OPTIONS"):
            environment[name] = ":".join(filter(None, [environment.get(name), log]))
        # What was freed is kept from being used again, but not so much of it that growth cannot be told from leaks.
        environment["ASAN_OPTIONS"] = "quarantine_size_mb=32:" + environment["ASAN_OPTIONS"]
        # GLib before 2.76 hands memory from thread to thread in a way that ThreadSanitizer cannot see.
        environment.setdefault("G_SLICE", "always-malloc")
        environment.update(self.environment)
        command = self.wrapper + [str(host_executable()), "--config", str(self.config_path), "--state-dir", str(self.state),
                   "--plugin-dir", str(self.plugins())]
        if models_dir() is not None:
            command += ["--models-dir", str(models_dir())]
        if self.config_path.is_file() and "health" not in self.config_path.read_text():
            command += ["--set", "host.health-interval=0"]  # tests count what sources, caches and circuits see
        with open(self.log_path, "ab") as log_file:
            self.process = subprocess.Popen(command + self.arguments, stdout=subprocess.PIPE, stderr=log_file,
                                            stdin=subprocess.DEVNULL, env=environment)
        self._await_address()
        return self

    def _await_address(self):
        deadline = time.monotonic() + START_TIMEOUT
        output = b""
        while b"\n" not in output:
            ready, _, _ = select.select([self.process.stdout], [], [], max(0, deadline - time.monotonic()))
            piece = os.read(self.process.stdout.fileno(), 4096) if ready else b""
            if not piece:
                self.process.kill()
                self.process.wait()
                raise RuntimeError(f"the host did not start: {self.log()[-3000:]}")
            output += piece
        line = output.split(b"\n")[0].decode()
        assert line.startswith("listening on "), line
        self.address = line[len("listening on "):]
        if self.address.startswith("http://"):
            self.port = int(self.address.rsplit(":", 1)[1].rstrip("/"))

    def stop(self, expect=0):
        """Asks the host to stop, and checks that it did so in order and that no sanitizer had something to say."""
        if self.process is None:
            assert self.sanitizer_log() == ""
            return
        process, self.process = self.process, None
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        try:
            code = process.wait(STOP_TIMEOUT)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise AssertionError(f"the host did not stop: {self.log()[-3000:]}") from None
        finally:
            process.stdout.close()
        assert self.sanitizer_log() == ""
        assert code == expect, f"exit code {code}: {self.log()[-3000:]}"

    def kill(self):
        """kill -9."""
        process, self.process = self.process, None
        process.kill()
        process.wait()
        process.stdout.close()

    def alive(self):
        return self.process is not None and self.process.poll() is None

    def log(self):
        return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""

    def sanitizer_log(self):
        return "".join(path.read_text(errors="replace") for path in sorted(self.folder.glob("sanitizer*")))

    def sanitized(self):
        executable = host_executable().read_bytes()
        return b"__asan_init" in executable or b"__tsan_init" in executable

    def resident(self):
        """Resident memory in bytes."""
        with open(f"/proc/{self.process.pid}/statm", encoding="ascii") as statm:
            return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    def descriptors(self):
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    # ---- requests ----

    def connect(self, timeout=120):
        return socket.create_connection(("127.0.0.1", self.port), timeout)

    def request(self, method, path, body=None, headers=None, timeout=300):
        """One request on a connection of its own."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        try:
            connection.request(method, path, body, headers or {})
            answer = connection.getresponse()
            return Response(answer.status, answer.getheaders(), answer.read())
        finally:
            connection.close()

    def get(self, path, headers=None):
        return self.request("GET", path, headers=headers)

    def post(self, path, value, headers=None):
        """Posts JSON: bytes as they are, everything else encoded."""
        body = value if isinstance(value, bytes) else json.dumps(value).encode()
        return self.request("POST", path, body, {"Content-Type": "application/json", **(headers or {})})

    def context(self, value=None, **fields):
        return self.post("/v1/context", fields if value is None else value)

    def ingest(self, documents, path="/v1/documents"):
        """Ingests a list of documents and returns the report."""
        answer = self.post(path, {"documents": documents})
        assert answer.status == 200, answer
        return answer.json

    def raw(self, data, timeout=15, half_close=False):
        """Sends bytes and returns what comes back until the host closes the connection or nothing more comes."""
        with self.connect(timeout) as connection:
            try:
                connection.sendall(data)
                if half_close:
                    connection.shutdown(socket.SHUT_WR)
            except OSError:
                pass
            received = b""
            try:
                while True:
                    piece = connection.recv(65536)
                    if not piece:
                        return received
                    received += piece
            except OSError:
                return received

    def metric(self, name, **labels):
        """The sum of the samples of `name` in /metrics that have these labels."""
        total = 0.0
        for line in self.get("/metrics").body.decode().splitlines():
            sample, _, value = line.rpartition(" ")
            if sample.split("{")[0] == name and all(f'{key}="{text}"' in sample for key, text in labels.items()):
                total += float(value)
        return total


def embedded_config(listen="127.0.0.1:0", http="", host="", pipeline="", store="", extra="", embed=True, cache="",
                    tier=""):
    """The embedded default: FAISS store, words by Xapian or FTS5, memory cache; without a model, or with embed=False,
    words only."""
    modules = {os.path.basename(path) for path in glob.glob(str(build_dir() / "plugins" / "*" / "*.so"))}
    words = next((name for name in ("xapian", "fts5") if f"text-{name}.so" in modules), None)
    models = models_dir() if embed else None
    retrieve = ["docs"] if models is not None else []
    lines = ["[host]", "threads = 2", host, "[http public]", f"listen = {listen}", http]
    lines += ["[cache ram]", "plugin = memory", cache, "[tier answers]", "levels = ram", tier]
    if models is not None:
        lines += ["[embedder minilm]", "plugin = local", f"model = {models / 'fast'}"]
    lines += ["[vector-store docs]", "plugin = faiss", "path = docs", store]
    if models is not None:
        lines += ["embedder = minilm"]
    if words is not None:
        lines += ["[text-index words]", f"plugin = {words}", "of = docs", "path = words"]
        retrieve.append("words")
    lines += ["[pipeline default]", "cache = answers", f"retrieve = {'; '.join(retrieve)}", pipeline, extra]
    return "\n".join(line for line in lines if line) + "\n"


@pytest.fixture(scope="session")
def make_host(tmp_path_factory):
    """Starts hosts: make_host(config=None, arguments=(), name="host", **embedded_config arguments)."""
    hosts = []

    def make(config=None, arguments=(), name="host", environment=None, wrapper=(), **options):
        folder = tmp_path_factory.mktemp(name)
        host = Host(folder, config if config is not None else embedded_config(**options), arguments, environment, wrapper)
        hosts.append(host)
        return host.start()

    yield make
    failures = []
    for host in hosts:
        try:
            host.stop()
        except AssertionError as failure:
            failures.append(str(failure))
    assert not failures, "\n".join(failures)


@pytest.fixture(scope="session")
def host(make_host):
    """The host that tests share when they need no configuration of their own."""
    return make_host()
