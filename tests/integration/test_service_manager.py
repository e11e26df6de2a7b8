"""What the service manager is for: sockets that it holds, the word that all is well, units that are sound."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time

import pytest

from conftest import ROOT, build_dir, embedded_config, host_executable

# Stands between us and the host as systemd does: the socket becomes descriptor 3, and the variables say so.
ACTIVATE = """
import os, sys
descriptor, name = int(sys.argv[1]), sys.argv[2]
os.dup2(descriptor, 3)
os.set_inheritable(3, True)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS="1", LISTEN_FDNAMES=name)
os.execv(sys.argv[3], sys.argv[3:])
"""


class Activated:
    """A host whose listening socket is ours."""

    def __init__(self, folder, listener, listen="systemd:http", name="http", **options):
        self.folder, self.listener, self.name = folder, listener, name
        (folder / "state").mkdir(exist_ok=True)
        (folder / "ragify.conf").write_text(embedded_config(listen=listen, embed=False, host="health-interval = 0", **options))
        plugins = folder / "plugins"
        plugins.mkdir(exist_ok=True)
        for module in build_dir().glob("plugins/*/*.so"):
            if not (plugins / module.name).exists():
                (plugins / module.name).symlink_to(module.resolve())
        self.process = None

    def start(self, expect_failure=False):
        log = f"log_path={self.folder}/sanitizer"
        environment = {**os.environ, **{option: ":".join(filter(None, [os.environ.get(option), log]))
                                        for option in ("ASAN_OPTIONS", "UBSAN_OPTIONS", "LSAN_OPTIONS", "TSAN_OPTIONS")}}
        self.process = subprocess.Popen(
            [sys.executable, "-c", ACTIVATE, str(self.listener.fileno()), self.name, str(host_executable()), "--config",
             str(self.folder / "ragify.conf"), "--state-dir", str(self.folder / "state"), "--plugin-dir",
             str(self.folder / "plugins")],
            stdout=subprocess.PIPE, stderr=open(self.folder / "host.log", "ab"), env=environment,
            pass_fds=[self.listener.fileno()])
        if expect_failure:
            code = self.process.wait(60)
            self.process.stdout.close()
            return code
        self.line = self.process.stdout.readline().decode().strip()
        assert self.line.startswith("listening on "), self.log()
        return self

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(60) == 0, self.log()
        self.process.stdout.close()
        assert "".join(path.read_text() for path in self.folder.glob("sanitizer*")) == ""

    def log(self):
        return (self.folder / "host.log").read_text()


def knows_service_manager():
    return b"LISTEN_FDNAMES" in host_executable().read_bytes() or "libsystemd" in subprocess.run(
        ["ldd", str(host_executable())], capture_output=True, text=True, check=False).stdout


needs_manager = pytest.mark.skipif(not knows_service_manager(), reason="this build knows no service manager")


def listening(family=socket.AF_INET, address=("127.0.0.1", 0)):
    listener = socket.socket(family)
    listener.bind(address)
    listener.listen(512)
    return listener


def ask(address, path="/livez", family=socket.AF_INET):
    with socket.socket(family) as connection:
        connection.settimeout(60)
        connection.connect(address)
        connection.sendall(b"GET %s HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n" % path.encode())
        received = b""
        while piece := connection.recv(65536):
            received += piece
    return int(received.split()[1])


@needs_manager
def test_a_socket_that_is_passed(tmp_path):
    with listening() as listener:
        host = Activated(tmp_path, listener).start()
        try:
            assert host.line == "listening on http://127.0.0.1:%d" % listener.getsockname()[1]
            assert ask(listener.getsockname()) == 200
        finally:
            host.stop()


@needs_manager
def test_a_unix_socket_that_is_passed(tmp_path):
    path = str(tmp_path / "http.sock")
    with listening(socket.AF_UNIX, path) as listener:
        host = Activated(tmp_path, listener).start()
        try:
            assert host.line == f"listening on unix:{path}"
            assert ask(path, family=socket.AF_UNIX) == 200
        finally:
            host.stop()
        assert os.path.exists(path)  # it is the service manager's


@needs_manager
def test_who_connects_during_a_restart_waits_and_is_answered(tmp_path):
    """Clients that open a connection for each request go on while the host stops and starts twice: none is refused."""
    failures, answers, over = [], [0], threading.Event()
    with listening() as listener:
        address = listener.getsockname()

        def client():
            while not over.is_set():
                try:
                    status = ask(address, "/v1/context?q=apples")
                except (OSError, IndexError) as failure:
                    failures.append(repr(failure))
                    return
                if status != 200:
                    failures.append(status)
                answers[0] += 1

        host = Activated(tmp_path, listener).start()
        threads = [threading.Thread(target=client) for _ in range(4)]
        for thread in threads:
            thread.start()
        for _ in range(2):
            before = answers[0]
            while answers[0] < before + 50:
                time.sleep(0.05)
            host.stop()
            host.start()
        over.set()
        for thread in threads:
            thread.join(60)
        host.stop()
    assert failures == []
    assert answers[0] >= 100


@needs_manager
@pytest.mark.parametrize("name, listen, words", [
    ("other", "systemd:http", "the service manager passed no socket of that name; there are: 'other'"),
    ("http", "systemd:other", "there are: 'http'"),
])
def test_a_name_that_is_not_there(tmp_path, name, listen, words):
    with listening() as listener:
        host = Activated(tmp_path, listener, listen=listen, name=name)
        assert host.start(expect_failure=True) == 78
        assert words in host.log()


@needs_manager
def test_without_the_service_manager_it_says_so(tmp_path):
    with listening() as listener:
        host = Activated(tmp_path, listener)
        command = [str(host_executable()), "--config", str(tmp_path / "ragify.conf"), "--state-dir", str(tmp_path / "state"),
                   "--plugin-dir", str(tmp_path / "plugins")]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 78 and "passed no socket; is the socket unit enabled" in done.stderr, done.stderr
        assert host.process is None


@needs_manager
def test_what_is_not_listening_is_refused(tmp_path):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams:
        datagrams.bind(("127.0.0.1", 0))
        host = Activated(tmp_path, datagrams)
        assert host.start(expect_failure=True) == 78
        assert "not a listening stream socket" in host.log()


@needs_manager
def test_an_address_for_other_machines_needs_keys_when_it_is_passed_too(tmp_path):
    with listening(address=("0.0.0.0", 0)) as listener:
        host = Activated(tmp_path, listener)
        assert host.start(expect_failure=True) == 78
        assert "open to other machines, which needs 'api-keys-file'" in host.log()


def receive(manager, wanted, limit=60):
    """Words from the host until one has `wanted`; how many came."""
    manager.settimeout(limit)
    count = 0
    while True:
        count += 1
        if wanted in manager.recv(4096).decode():
            return count


@needs_manager
def test_the_watchdog_is_fed(make_host, tmp_path):
    path = tmp_path / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(path))
        host = make_host(name="watchdog", embed=False, environment={"NOTIFY_SOCKET": str(path), "WATCHDOG_USEC": "600000"})
        receive(manager, "READY=1")
        for _ in range(5):
            receive(manager, "WATCHDOG=1")
        host.context(query="apples")
        host.stop()
        receive(manager, "STOPPING=1")


@needs_manager
def test_the_watchdog_starves_while_a_plugin_blocks_a_loop(make_host, tmp_path):
    """The main loop runs on, but a loop thread does not: the service manager is to find out."""
    evil = build_dir() / "tests" / "evil" / "evil-calls.so"
    if not evil.exists():
        pytest.skip("evil-calls is not built")
    (tmp_path / "plugins").mkdir()
    (tmp_path / "plugins" / evil.name).symlink_to(evil.resolve())
    path = tmp_path / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(path))
        config = ("[host]\nhealth-interval = 0\nthreads = 2\n[http a]\nlisten = 127.0.0.1:0\n[source bad]\nplugin = blocks-the-loop\n"
                  "deadline = 10s\n[pipeline default]\nretrieve = bad\n")
        host = make_host(config=config, name="starved", environment={"NOTIFY_SOCKET": str(path), "WATCHDOG_USEC": "600000"},
                         arguments=["--set", f"host.plugin-dir={tmp_path / 'plugins'}"])
        receive(manager, "READY=1")
        receive(manager, "WATCHDOG=1")
        longest = 0
        for number in range(5):  # what was held up in our own queue may have come late, and make the silence seem short
            asking = threading.Thread(target=host.context, kwargs={"query": f"hello {number}"})
            asking.start()
            heard = time.monotonic()
            while asking.is_alive():
                receive(manager, "WATCHDOG=1")
                longest, heard = max(longest, time.monotonic() - heard), time.monotonic()
            if longest > 1.5:
                break
        assert longest > 1.5, "seven rounds"
        asking.join(60)
        receive(manager, "WATCHDOG=1")
        host.stop()


def test_credentials_are_read_where_the_service_manager_puts_them(make_host, tmp_path):
    """LoadCredential= makes a folder that only the service can read, and says where."""
    credentials = tmp_path / "credentials"
    credentials.mkdir(mode=0o700)
    keys = credentials / "keys"
    ctl = build_dir() / "tools" / "ragify-ctl" / "ragify-ctl"
    made = subprocess.run([str(ctl), "keys", "new", "ops", "--scopes", "admin", "--file", str(keys)], capture_output=True, text=True,
                          timeout=60, check=True)
    key = re.search(r"rgf_\S+", made.stdout)[0]
    keys.chmod(0o400)
    host = make_host(name="credentials", embed=False, http="api-keys-file = ${CREDENTIALS_DIRECTORY}/keys",
                     environment={"CREDENTIALS_DIRECTORY": str(credentials)})
    assert host.get("/v1/health").status == 401
    assert host.get("/v1/health", {"Authorization": f"Bearer {key}"}).status == 200


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd-analyze")
def test_the_unit_is_sound_and_hardened(tmp_path):
    """systemd's own judgement of the unit: its exposure is printed and must not grow."""
    unit = tmp_path / "ragify.service"
    text = (ROOT / "config" / "systemd" / "ragify.service.in").read_text().replace("@bindir@/ragify-host", "/bin/true")
    unit.write_text(text)
    shutil.copy(ROOT / "config" / "systemd" / "ragify.socket", tmp_path)
    verified = subprocess.run(["systemd-analyze", "verify", "--man=no", str(unit), str(tmp_path / "ragify.socket")],
                              capture_output=True, text=True, timeout=120, check=False)
    complaints = [line for line in verified.stderr.splitlines() if "ragify" in line]
    assert complaints == [], verified.stderr
    done = subprocess.run(["systemd-analyze", "security", "--offline=true", "--json=pretty", str(unit)], capture_output=True,
                          text=True, timeout=120, check=False)
    if not done.stdout.strip():
        pytest.skip("systemd-analyze cannot look at a unit by itself here")
    table = json.loads(done.stdout)
    exposure = sum(float(row["exposure"] or 0) for row in table)
    score = subprocess.run(["systemd-analyze", "security", "--offline=true", "--no-pager", str(unit)], capture_output=True,
                           text=True, timeout=120, check=False).stdout
    overall = re.search(r"exposure level for \S+: ([\d.]+)", score)
    print(f"systemd-analyze security: {overall[1]} (sum of {exposure:.1f})")
    assert float(overall[1]) <= 1.5, score
