"""How tools/test adds up: what a second look forgives, and what it does not."""

import json
import subprocess
import sys
import xml.etree.ElementTree as ET

import pytest
from conftest import ROOT

RACE = "WARNING: ThreadSanitizer: data race (pid=7)"


class Logs:
    """What meson and pytest would have left."""

    def __init__(self, folder):
        self.build = folder / "build-test"
        (self.build / "meson-logs").mkdir(parents=True)
        self.junit = folder / "integration.junit.xml"
        self.skips = folder / "skips.txt"
        self.skips.write_text("")

    def meson(self, log, **tests):
        """Each test is (result, what it printed)."""
        lines = [json.dumps({"name": f"ragify:unit / {name}", "result": result, "stdout": printed})
                 for name, (result, printed) in tests.items()]
        (self.build / "meson-logs" / f"{log}.json").write_text("\n".join(lines))
        root = ET.Element("testsuites")
        for name, (result, _) in tests.items():
            suite = ET.SubElement(root, "testsuite", name=f"ragify.ragify:unit / {name}")
            ET.SubElement(suite, "testcase", name="1 - holds")
            last = ET.SubElement(suite, "testcase", name="2 - holds_too")
            if result == "FAIL":
                ET.SubElement(last, "failure")
        ET.ElementTree(root).write(self.build / "meson-logs" / f"{log}.junit.xml")

    def pytest(self, ending, **tests):
        """Each test is None where it passed, or (element, message, text)."""
        root = ET.Element("testsuites")
        suite = ET.SubElement(root, "testsuite", name="pytest")
        for name, problem in tests.items():
            case = ET.SubElement(suite, "testcase", classname="tests.integration.test_some", name=name)
            if problem is not None:
                ET.SubElement(case, problem[0], message=problem[1]).text = problem[2]
        ET.ElementTree(root).write(self.junit.with_suffix(ending))

    def tally(self, *arguments):
        command = [sys.executable, ROOT / "tools" / "test.d" / "tally", "--skips", self.skips, "--meson", self.build,
                   "--junit", self.junit, *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
        return done.returncode, done.stdout.splitlines()


@pytest.fixture
def logs(tmp_path):
    return Logs(tmp_path)


def test_what_fails_twice_has_failed(logs):
    logs.meson("testlog", a=("OK", ""), b=("FAIL", "not ok 2"))
    logs.meson("second-look", b=("FAIL", "not ok 2"))
    logs.pytest(".xml", one=None, two=("failure", "assert 1 == 2", ""))
    logs.pytest(".second-look.xml", two=("failure", "assert 1 == 2", ""))
    code, lines = logs.tally()
    assert (code, lines[-1]) == (1, "4 passed, 2 failed")
    assert not [line for line in lines if line.startswith("flaky")]


def test_what_passes_alone_has_passed_and_is_told(logs):
    logs.meson("testlog", a=("OK", ""), b=("FAIL", "not ok 2"), c=("TIMEOUT", ""))
    logs.pytest(".xml", one=None, two=("failure", "assert 1 == 2", ""))
    assert logs.tally("--suspects") == (0, [f"meson\t{logs.build}\tb", f"meson\t{logs.build}\tc",
                                            f"pytest\t{logs.junit}\ttests/integration/test_some.py::two"])
    assert logs.tally()[0] == 1, "before the second look"
    logs.meson("second-look", b=("OK", ""), c=("OK", ""))
    logs.pytest(".second-look.xml", two=None)
    assert logs.tally() == (0, ["flaky: build-test: b", "flaky: build-test: c", "flaky: tests.integration.test_some::two",
                                "8 passed, 0 failed"])


@pytest.mark.parametrize("report", [RACE, "==7==ERROR: AddressSanitizer: heap-use-after-free",
                                    "==7==ERROR: LeakSanitizer: detected memory leaks", "a.c:1:2: runtime error: shift"])
def test_a_sanitizer_is_never_forgiven(logs, report):
    logs.meson("testlog", a=("ERROR", report))
    logs.meson("second-look", a=("OK", ""))
    logs.pytest(".xml", one=("failure", "ConnectionRefusedError", f"{report}\n"))
    logs.pytest(".second-look.xml", one=None)
    assert logs.tally("--suspects") == (0, [])
    code, lines = logs.tally()
    assert code == 1
    assert lines == ["FAILED: build-test: a", "FAILED: tests.integration.test_some::one", "2 passed, 2 failed"]


def test_leaks_of_a_test_that_failed_are_its_end(logs):
    leaks = "==7==ERROR: LeakSanitizer: detected memory leaks\nSUMMARY: AddressSanitizer: 9 byte(s) leaked"
    logs.meson("testlog", a=("FAIL", leaks), b=("FAIL", RACE + leaks), c=("ERROR", leaks))
    logs.meson("second-look", a=("OK", ""), b=("OK", ""), c=("OK", ""))
    logs.pytest(".xml", one=None)
    assert logs.tally()[1] == ["FAILED: build-test: b: 2 - holds_too", "FAILED: build-test: c", "flaky: build-test: a", "6 passed, 2 failed"]


def test_what_is_wrong_after_a_test_is_never_forgiven(logs):
    logs.meson("testlog", a=("OK", ""))
    logs.pytest(".xml", one=("error", 'failed on teardown with "AssertionError: exit code 1"', ""))
    logs.pytest(".second-look.xml", one=None)
    assert logs.tally() == (1, ["FAILED: tests.integration.test_some::one", "2 passed, 1 failed"])


def test_more_than_three_are_too_many(logs):
    flaky = {name: ("FAIL", "") for name in "abcd"}
    logs.meson("testlog", **flaky)
    logs.pytest(".xml", one=None)
    assert logs.tally("--suspects") == (0, [])
    logs.meson("second-look", **{name: ("OK", "") for name in flaky})
    code, lines = logs.tally()
    assert code == 1
    assert "FAILED: 4 tests are flaky, more than the 3 that are forgiven" in lines
    assert lines[-1] == "9 passed, 1 failed"
