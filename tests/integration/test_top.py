"""ragify-ctl top: on a terminal (a real one, as far as the program can tell), printed, and as JSON."""

import fcntl
import json
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios
import time

import pytest

from conftest import build_dir, embedded_config

TOOL = build_dir() / "tools" / "ragify-ctl" / "ragify-ctl"


@pytest.fixture(scope="module")
def host(make_host, tmp_path_factory):
    folder = tmp_path_factory.mktemp("notes")
    (folder / "a.md").write_text("Tides come and go.\n")
    node = f"[ingest notes]\nroot = {folder}\nstore = docs\ninterval = 1h\n"
    host = make_host(embedded_config(embed=False, extra=node), name="top")
    for i in range(10):
        host.context(query=f"tides {i % 3}")
    return host


class Terminal:
    """The program on a terminal of its own."""

    def __init__(self, *arguments, rows=40, columns=120):
        self.master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        self.before = termios.tcgetattr(slave)
        self.slave = slave
        self.process = subprocess.Popen([TOOL, *arguments], stdin=slave, stdout=slave, stderr=slave)
        self.text = ""

    def read(self, until, seconds=180):
        deadline = time.monotonic() + seconds
        while not re.search(until, self.text):
            assert time.monotonic() < deadline, self.text
            if select.select([self.master], [], [], 0.2)[0]:
                self.text += os.read(self.master, 65536).decode(errors="replace")
        return self.text

    def press(self, keys):
        os.write(self.master, keys)

    def end(self):
        code = self.process.wait(30)
        while select.select([self.master], [], [], 0.2)[0]:
            self.text += os.read(self.master, 65536).decode(errors="replace")
        after = termios.tcgetattr(self.slave)
        os.close(self.slave)
        os.close(self.master)
        return code, after


def test_it_lives_in_the_terminal_and_leaves_it_as_it_was(host):
    terminal = Terminal("--url", host.address, "top", "--interval", "0.3")
    terminal.read(r"\x1b\[\?1049h")
    text = terminal.read(r"(?s)pipeline +answers/s.*job +state.*notes")
    assert "default" in text and "healthy" in text and "words" in text and "ram" in text
    shown = len(re.findall(r"\x1b\[H", terminal.text))
    terminal.press(b" ")
    terminal.read(r"(?s)(\x1b\[H.*){%d}" % (shown + 2))
    terminal.press(b"q")
    code, after = terminal.end()
    assert code == 0 and terminal.text.rstrip().endswith("\x1b[?25h\x1b[?1049l")
    assert after == terminal.before


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_leave_the_terminal_as_it_was(host, number):
    terminal = Terminal("--url", host.address, "top")
    terminal.read(r"pipeline")
    terminal.process.send_signal(number)
    code, after = terminal.end()
    assert code == 0 and after == terminal.before and "\x1b[?1049l" in terminal.text


def test_a_small_terminal_is_not_overfilled(host):
    terminal = Terminal("--url", host.address, "top", rows=8, columns=30)
    terminal.read(r"answers")
    terminal.press(b"q")
    assert terminal.end()[0] == 0
    first = terminal.text.split("\x1b[H")[1].split("\x1b[J")[0]
    lines = [re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", line) for line in re.split("\r+\n", first)]
    assert len(lines) <= 8 and all(len(line) <= 30 for line in lines)


def run(*arguments):
    return subprocess.run([TOOL, *arguments], capture_output=True, text=True, check=False, timeout=120)


def test_without_a_terminal_pictures_are_printed(host):
    done = run("--url", host.address, "top", "--count", "2", "--interval", "0.2")
    assert done.returncode == 0 and "\x1b" not in done.stdout and done.stdout.count("hit rate") >= 2


def test_json_has_the_numbers(host):
    done = run("--url", host.address, "--json", "top", "--count", "2", "--interval", "0.5")
    first, second = (json.loads(line) for line in done.stdout.splitlines())
    assert abs(second["at"] - time.time()) < 3600 and 0 < second["at"] - first["at"] < 3600
    assert first["host"]["answers"] is None and second["host"]["answers"] >= 0
    assert 0 <= second["host"]["hit_rate"] <= 1 and second["host"]["memory"] > 1e6
    assert [one["name"] for one in second["pipelines"]] == ["default"]
    assert {one["name"] for one in second["sources"]} >= {"words"} and second["caches"][0]["name"] == "ram"
    assert second["jobs"][0]["id"] == "notes"


def test_what_is_wrong_is_told_by_the_exit_code(host):
    assert run("--url", "http://127.0.0.1:1", "top", "--count", "1").returncode == 3
    assert run("--url", host.address, "top", "--interval", "0").returncode == 2
    assert run("--url", host.address, "top", "more").returncode == 2


def test_a_host_that_goes_ends_it(make_host):
    host = make_host(embedded_config(embed=False), name="top-gone")
    terminal = Terminal("--url", host.address, "top", "--interval", "0.2")
    terminal.read(r"pipeline")
    host.stop()
    code, after = terminal.end()
    assert code == 3 and after == terminal.before
