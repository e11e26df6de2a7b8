"""/metrics: what it says, and that it says it by the rules of OpenMetrics and of the Prometheus text format.

The checker below knows as much of both as this host uses: counters, gauges and histograms without exemplars and
timestamps. It is itself checked against the cases of the OpenMetrics project: what it takes for right they must
parse, and of what they refuse it may let nothing through.
"""

import json
import math
import re

import pytest

from conftest import test_data as data_path

NAME = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
LABEL = r'[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\\n]|\\["\\n])*"'
SAMPLE = re.compile(rf"({NAME})(?:\{{({LABEL}(?:,{LABEL})*)\}})? (\S+)")
NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*(?:[eE][+-]?\d+)?|\.\d+(?:[eE][+-]?\d+)?|[iI]nf(?:inity)?)|[nN]a[nN]")
CANONICAL = re.compile(r"\d+\.\d+|\d+(?:\.\d+)?e[+-]\d\d+|\+Inf")
SUFFIXES = {"counter": ("_total",), "gauge": ("",), "histogram": ("_bucket", "_sum", "_count")}


def fail(line, why):
    raise ValueError(f"{why}: {line!r}")


class Family:
    def __init__(self, name):
        self.name, self.type, self.metadata, self.samples = name, None, set(), {}


def read_metadata(line, families, openmetrics):
    words = line.split(" ", 3)
    if len(words) < 3 or words[1] not in ("HELP", "TYPE", "UNIT") or not re.fullmatch(NAME, words[2]):
        fail(line, "not a comment that is allowed")
    keyword, name, text = words[1], words[2], words[3] if len(words) == 4 else ""
    if not families or families[-1].name != name:
        if any(family.name == name for family in families):
            fail(line, "a family in two pieces")
        families.append(Family(name))
    family = families[-1]
    if family.samples or keyword in family.metadata:
        fail(line, "metadata after samples, or twice")
    family.metadata.add(keyword)
    if keyword == "TYPE":
        if text not in SUFFIXES:
            fail(line, "a type that is not used here")
        family.type = text
    elif keyword == "HELP":
        if re.search(r'(?:^|[^\\])(?:\\\\)*(?:\\[^\\n"]|\\$)', text):
            fail(line, "a wrong escape")
        if openmetrics and re.search(r'(?:^|[^\\])(?:\\\\)*"', text):
            fail(line, "a bare quote")
    elif text and not name.endswith("_" + text):
        fail(line, "a name that does not end in its unit")


def read_sample(line, families, openmetrics):
    match = SAMPLE.fullmatch(line)
    if match is None:
        fail(line, "not a sample")
    name, labels, number = match.groups()
    if not NUMBER.fullmatch(number):
        fail(line, "not a number")
    family = families[-1] if families else None
    if family is None or family.type is None:
        fail(line, "a sample without a type")
    base = family.name
    if family.type == "counter" and not openmetrics:
        base = base[:-len("_total")] if base.endswith("_total") else fail(line, "a counter without _total")
    suffix = name[len(base):] if name.startswith(base) else None
    if suffix not in SUFFIXES[family.type]:
        fail(line, "a sample of another family")
    pairs = re.findall(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\]|\\.)*)"', labels or "")
    if len({pair[0] for pair in pairs}) != len(pairs):
        fail(line, "a label twice")
    value = float(number)
    key = (suffix, tuple(sorted(pairs)))
    if key in family.samples:
        fail(line, "a sample twice")
    if family.type == "counter" and not 0 <= value < math.inf:
        fail(line, "a counter that cannot be")
    if family.type == "gauge" and "le" in dict(pairs) and suffix:
        fail(line, "le where there are no buckets")
    family.samples[key] = value


def check_histogram(family, openmetrics):
    groups, last = {}, None
    for (suffix, pairs), value in family.samples.items():
        rest = tuple(pair for pair in pairs if pair[0] != "le")
        if rest in groups and rest != last:
            fail(family.name, "samples that belong together and do not stand together")
        last = rest
        bounds = [pair[1] for pair in pairs if pair[0] == "le"]
        if (suffix == "_bucket") != (len(bounds) == 1) or not value >= 0:
            fail(family.name, "le is missing, or out of place, or a value is negative")
        if bounds and openmetrics and not CANONICAL.fullmatch(bounds[0]):
            fail(family.name, "a bound that is not written as a float")
        groups.setdefault(rest, {"_bucket": []})
        if suffix == "_bucket":
            groups[rest]["_bucket"].append((float(bounds[0]), value))
        else:
            groups[rest][suffix] = value
    for group in groups.values():
        buckets = group["_bucket"]
        if not buckets or buckets[-1][0] != math.inf:
            fail(family.name, "no bucket +Inf at the end")
        if buckets != sorted(buckets) or [count for _, count in buckets] != sorted(count for _, count in buckets):
            fail(family.name, "buckets that do not ascend")
        if ("_sum" in group) != ("_count" in group) or group.get("_count", buckets[-1][1]) != buckets[-1][1]:
            fail(family.name, "sum, count and buckets that do not agree")


def check_exposition(text, openmetrics):
    """Raises ValueError unless `text` is right; returns the families."""
    lines = text.split("\n")
    if lines.pop() != "":
        fail(text[-40:], "no line feed at the end")
    if openmetrics and (not lines or lines.pop() != "# EOF"):
        fail(text[-40:], "no EOF at the end")
    families = []
    for line in lines:
        if line.startswith("#"):
            read_metadata(line, families, openmetrics)
        else:
            read_sample(line, families, openmetrics)
    for family in families:
        if family.type is None:
            fail(family.name, "no type")
        if family.type == "histogram":
            check_histogram(family, openmetrics)
    names = {}
    for family in families:
        created = () if family.type == "gauge" else ("_created",)
        for suffix in SUFFIXES[family.type] + ("",) + created:
            if openmetrics and names.setdefault(family.name + suffix, family) is not family:
                fail(family.name, "a name that clashes with another family's")
    return {family.name: family for family in families}


def test_the_checker_knows_the_rules():
    """Of the OpenMetrics project's cases: nothing that is wrong passes, and a good part of what is right does."""
    right = 0
    for folder in sorted(data_path("vectors", "openmetrics", "tests", "testdata", "parsers").iterdir()):
        should_parse = json.loads((folder / "test.json").read_text())["shouldParse"]
        try:
            check_exposition((folder / "metrics").read_bytes().decode("utf-8"), True)
            passed = True
        except (ValueError, UnicodeDecodeError):
            passed = False
        if passed:
            assert should_parse, folder.name
            right += 1
    assert right >= 5


@pytest.fixture
def busy(host):
    """The host after a request of each kind that is counted."""
    host.get("/nothing")
    host.context(query="x")
    host.context({})
    host.raw(b"GET / HTTP/1.1\r\n\r\n")
    host.ingest([{"id": "metrics", "content": "Counted."}])
    return host


def test_openmetrics(busy):
    answer = busy.get("/metrics", {"Accept": "application/openmetrics-text; version=1.0.0,text/plain;q=0.5"})
    assert answer.headers["content-type"] == "application/openmetrics-text; version=1.0.0; charset=utf-8"
    families = check_exposition(answer.body.decode("utf-8"), True)
    assert families["ragify_http_requests"].type == "counter"
    assert families["ragify_request_duration_seconds"].type == "histogram"
    assert "UNIT" in families["process_resident_memory_bytes"].metadata


def test_prometheus_text(busy):
    for headers in ({}, {"Accept": "*/*"}, {"Accept": "text/plain; version=0.0.4"}):
        answer = busy.get("/metrics", headers)
        assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
        families = check_exposition(answer.body.decode("utf-8"), False)
        assert families["ragify_http_requests_total"].type == "counter"


def test_requests_are_counted(busy):
    def count(status, route):
        return busy.metric("ragify_http_requests_total", route=route, status=str(status))

    for request, status, route in (
            (lambda: busy.get("/nothing"), 404, "other"), (lambda: busy.context({}), 422, "/v1/context"),
            (lambda: busy.get("/livez"), 200, "/livez"), (lambda: busy.post("/livez", b""), 405, "/livez"),
            (lambda: busy.get("/v1/documents/metrics"), 200, "/v1/documents/{id}")):
        before = count(status, route)
        durations = busy.metric("ragify_request_duration_seconds_count", route=route)
        assert request().status == status
        assert count(status, route) == before + 1
        assert busy.metric("ragify_request_duration_seconds_count", route=route) >= durations + 1


def test_no_label_comes_from_the_client(busy):
    before = len(busy.get("/metrics").body.splitlines())
    for number in range(200):
        busy.get(f"/x{number}")
        busy.request(f"VERB{number}", "/livez")
        busy.raw(b"GET / HTTP/1.1\r\nHost: a\r\nX%d : y\r\n\r\n" % number)
    assert len(busy.get("/metrics").body.splitlines()) < before + 30
