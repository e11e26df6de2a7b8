"""What docs/sources.md shows for HTTP APIs is what config/examples has, and does what is said of it."""

import json
import re
import subprocess
import sys
import urllib.request

import pytest

from conftest import ROOT

SCRIPT = ROOT / "tests" / "common" / "scripted_http.py"
EXAMPLES = ROOT / "config" / "examples"


@pytest.fixture(scope="module")
def port():
    process = subprocess.Popen([sys.executable, str(SCRIPT)], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    yield int(process.stdout.readline().split()[1])
    process.stdin.close()
    process.kill()
    process.wait()
    process.stdout.close()


def events(port):
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/_events", timeout=30) as answer:
        return [event for event in json.loads(answer.read()) if event["event"] == "request"]


def example(name, port, **places):
    """An example whose services are at the scripted server: name → behaviour."""
    text = (EXAMPLES / name).read_text().replace("listen = 127.0.0.1:8080", "listen = 127.0.0.1:0")
    for source, behaviour in places.items():
        text = re.sub(rf"(\[source {source.replace('_', '-')}\]\nplugin = http\nbase-url = )\S+",
                      rf"\1http://127.0.0.1:{port}/{behaviour}", text)
    assert ".example" not in text
    return text


def requests_in(section):
    """The JSON that the page's curl commands of a section send."""
    page = (ROOT / "docs" / "sources.md").read_text()
    part = page[page.index(section):]
    return [json.loads(body) for body in re.findall(r"curl [^\n]* -d '([^\n]*)'", part)]


@pytest.mark.parametrize("name, section", [("api-pool.conf", "### A tuned pool of connections"),
                                           ("three-apis.conf", "## HTTP APIs"),
                                           ("three-apis.conf", "## Several sources at once")])
def test_the_page_shows_what_the_examples_say(name, section):
    page = (ROOT / "docs" / "sources.md").read_text()
    part = re.split(r"\n## |\n### ", page[page.index(section) + len(section):])[0]
    blocks = re.findall(r"```ini\n(.*?)```", part, re.S)
    assert blocks
    text = (EXAMPLES / name).read_text()
    for block in blocks:
        assert block in text


def test_a_tuned_pool_of_connections(make_host, port):
    host = make_host(example("api-pool.conf", port, tickets="ok/pool"), name="pool")
    answer = host.context(requests_in("### A tuned pool of connections")[0])
    assert answer.status == 200, answer
    assert len(answer.json["chunks"]) == 10
    assert answer.json["chunks"][0]["content"].startswith("printer on fire: ")
    seen = [event for event in events(port) if event["target"].startswith("/ok/pool")][-1]
    assert re.fullmatch(r"/ok/pool/search\?q=printer%20on%20fire&limit=\d+", seen["target"])
    assert seen["headers"]["user-agent"] == "Ragify/1.0"
    assert seen["headers"]["accept"] == "application/json"
    assert seen["headers"]["accept-encoding"] == "gzip, deflate"


def test_several_sources_at_once(make_host, port):
    host = make_host(example("three-apis.conf", port, search_a="ok/a", search_b="ok/b", tickets="tickets"), name="three")
    request = requests_in("## Several sources at once")[0]
    for _ in range(30):
        answer = host.context({**request, "cache": "bypass"})
        assert answer.status == 200, answer
        assert answer.json["chunks"] and answer.json["degraded"] is False
    names = {chunk["source"]["name"] for chunk in answer.json["chunks"]}
    assert "tickets" in names and names & {"search", "search-a", "search-b"}
    asked = [sum(event["target"].startswith(f"/ok/{member}/") for event in events(port)) for member in "ab"]
    assert sum(asked) >= 30 and min(asked) >= 1, asked
    bodies = [json.loads(event["body"]) for event in events(port) if event["target"] == "/tickets/find"]
    assert len(bodies) >= 30 and bodies[0]["text"] == "machine learning" and bodies[0]["size"] > 0
    assert all(event["method"] == "POST" for event in events(port) if event["target"] == "/tickets/find")


def test_one_that_fails_does_not_hurt_the_others(make_host, port):
    host = make_host(example("three-apis.conf", port, search_a="ok/a2", search_b="ok/b2", tickets="status/500"),
                     name="hurt")
    answer = host.context({"query": "machine learning", "cache": "bypass"})
    assert answer.status == 200 and answer.json["degraded"] is True and answer.json["chunks"], answer
