"""The dashboard, in a real browser."""

import hashlib
import re

import pytest

from browser import ENTER, TAB, Browser, available
from conftest import embedded_config

LONG = "support-tickets-of-the-northern-and-of-the-southern-region"

pytestmark = pytest.mark.skipif(not available(), reason="no chromium with its driver")


@pytest.fixture(scope="module")
def library(make_host):
    host = make_host(name="dashboard", embed=False)
    host.ingest([{"id": f"tides-{i}", "content": f"Tides of day {i} come and go."} for i in range(20)] +
                [{"id": "evil", "content": "<img src=x onerror=\"document.title='owned'\"> tides <script>alert(1)</script>"}])
    for i in range(20):
        host.context(query=f"tides {i % 5}")
    return host


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    browser = Browser(tmp_path_factory.mktemp("browser"))
    yield browser
    browser.close()


# The texts of the graph that are wider than their boxes.
OVERFLOWING = ("return [...document.querySelectorAll('#graph g')].flatMap((node) => { const box = node.querySelector('rect').getBBox();"
               " return [...node.querySelectorAll('text')].filter((text) => { const at = text.getBBox(); return at.x + at.width > box.x + box.width; })"
               ".map((text) => text.textContent); })")


def open_page(browser, host):
    browser.open(host.address + "/")
    browser.wait("document.querySelector('#tiles .tile')")


def test_the_page_is_whole_and_fetches_nothing_from_elsewhere(library):
    answer = library.get("/")
    assert answer.status == 200 and answer.headers["content-type"] == "text/html; charset=utf-8"
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy and "script-src 'sha256-" in policy and "unsafe-inline" not in policy.split(
        "style-src-attr")[0]
    assert b"https://" not in answer.body.replace(b"http://www.w3.org", b"")


def test_numbers_graph_and_tables_are_shown(library, browser):
    open_page(browser, library)
    assert browser.text("#status") == "healthy"
    assert "Cache hit rate" in browser.text("#tiles") and "75.0 %" in browser.text("#tiles")
    browser.wait("document.querySelector('#graph svg')")
    graph = browser.text("#graph")
    assert browser.run(OVERFLOWING) == []
    for words in ("default", "answers", "ram", "docs", "words", "vector-store · faiss", "hit rate 75.0 %"):
        assert words in graph
    assert "words" in browser.text("#sources") and "ram" in browser.text("#cache")
    assert browser.complaints() == []


def test_a_question_is_answered_with_its_scores_and_times(library, browser):
    open_page(browser, library)
    browser.type("#query", "tides of day 7")
    browser.click("#ask button")
    browser.wait("document.querySelectorAll('#answer .chunk').length === 5")
    answer = browser.text("#answer")
    assert "cache: miss" in answer and "fused" in answer and "words" in answer
    assert browser.run("return document.querySelectorAll('#answer .fall div').length") >= 3


def test_what_documents_say_stays_text(library, browser):
    open_page(browser, library)
    browser.run("document.querySelector('#query').value = 'alert onerror owned script'")
    browser.click("#ask button")
    browser.wait("document.querySelector('#answer').textContent.includes('onerror')")
    assert browser.run("return document.title") == "Ragify"
    assert browser.run("return document.querySelectorAll('#answer img, #answer script').length") == 0


def test_refusals_are_shown_in_words(library, browser):
    open_page(browser, library)
    browser.run("const q = document.querySelector('#chunks'); q.removeAttribute('min'); q.value = 0;"
                "document.querySelector('#query').value = 'tides'; document.querySelector('#ask').noValidate = true")
    browser.click("#ask button")
    browser.wait("document.querySelector('#answer .message')")
    assert "max_chunks" in browser.text("#answer .message")


def test_the_configuration_is_shown_with_origins(library, browser):
    open_page(browser, library)
    browser.click("#config summary")
    browser.wait("document.querySelector('#config-text').textContent.includes('[pipeline default]')")
    assert "ragify.conf:" in browser.text("#config-text")


def test_the_keyboard_reaches_everything(library, browser):
    open_page(browser, library)
    browser.wait("document.querySelector('#graph svg g')")
    reached = set()
    for _ in range(40):
        browser.press(TAB)
        reached.add(browser.run("const at = document.activeElement; return at.dataset.node || at.id || at.localName"))
        if "summary" in reached:
            break
    nodes = set(browser.run("return [...document.querySelectorAll('#graph g')].map((one) => one.dataset.node)"))
    assert nodes and nodes | {"query", "pipeline", "mode", "chunks", "use", "button", "summary"} <= reached
    browser.press(ENTER)  # on the summary
    browser.wait("document.querySelector('#config-text').textContent.includes('[pipeline default]')")
    browser.run("document.querySelector('#query').focus()")
    browser.press("tides of day 3" + ENTER)
    browser.wait("document.querySelectorAll('#answer .chunk').length === 5")


def test_who_stands_on_a_node_stays_there_while_the_numbers_change(library, browser):
    open_page(browser, library)
    browser.wait("document.querySelector('#graph svg g')")
    browser.run("window.before = document.querySelector('#graph svg'); document.querySelectorAll('#graph g')[1].focus()")
    node = browser.run("return document.activeElement.dataset.node")
    browser.wait("document.querySelector('#graph svg') !== window.before")
    assert node and browser.run("return document.activeElement.dataset.node") == node


# The contrast of every text with what is behind it (WCAG 2.2, 1.4.3); `fill` is the colour of a text in the graph.
CONTRAST = """
const parse = (text) => text.match(/[\\d.]+/g).map(Number);
const light = ([r, g, b]) => [r, g, b].map((v) => v / 255).map((v) => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
  .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
const behind = (node) => {
  for (let at = node; at; at = at.parentElement) {
    const box = at.localName === 'g' ? at.querySelector('rect') : null;
    const colour = parse(box ? getComputedStyle(box).fill : getComputedStyle(at).backgroundColor);
    if (colour.length === 3 || colour[3] > 0) return colour;
  }
  return [255, 255, 255];
};
const poor = [];
const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
let seen = 0;
while (walk.nextNode()) {
  const node = walk.currentNode.parentElement;
  if (!walk.currentNode.textContent.trim() || ['script', 'style', 'option', 'title'].includes(node.localName) || node.getClientRects().length === 0) continue;
  const style = getComputedStyle(node), ink = light(parse(node.namespaceURI.includes('svg') ? style.fill : style.color)), ground = light(behind(node));
  const contrast = (Math.max(ink, ground) + 0.05) / (Math.min(ink, ground) + 0.05);
  seen++;
  if (contrast < 4.5) poor.push(`${walk.currentNode.textContent.trim().slice(0, 40)}: ${contrast.toFixed(2)}`);
}
return [seen, poor, getComputedStyle(document.body).backgroundColor];
"""


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_every_text_can_be_read(working, browser, dark):
    browser.colours("dark" if dark else "light")
    open_page(browser, working)
    browser.run("document.querySelector('#pipeline').value = 'both'; document.querySelector('#query').value = 'tides'")
    browser.click("#ask button")
    browser.wait("document.querySelector('#answer .chunk') && document.querySelector('#unwell .message')"
                 " && document.querySelector('#graph .bad') && document.querySelector('#jobs button')")
    seen, poor, ground = browser.run(CONTRAST)
    assert seen > 50 and poor == []
    assert (sum(int(part) for part in re.findall(r"\d+", ground)[:3]) < 300) == dark


def test_a_phone_needs_no_sideways_scrolling(library, working, tmp_path):
    phone = Browser(tmp_path, 390, 844, phone=True)
    try:
        for host in (library, working):
            open_page(phone, host)
            phone.wait("document.querySelector('#pipeline option') && document.querySelector('#sources td')")
            assert phone.run("return [window.innerWidth, document.documentElement.scrollWidth]") == [390, 390]
    finally:
        phone.close()


def test_a_host_with_keys_asks_for_one(make_host, tmp_path):
    keys = tmp_path / "keys"
    keys.write_text(f"[me]\nsha256 = {hashlib.sha256(b'rgf_me').hexdigest()}\nscopes = admin\n")
    host = make_host(name="dashboard-keys", http=f"api-keys-file = {keys}", embed=False)
    browser = Browser(tmp_path / "profile")
    try:
        browser.open(host.address + "/")
        browser.wait("!document.querySelector('#key-form').classList.contains('hidden')")
        browser.type("#key", "rgf_me")
        browser.click("#key-form button")
        browser.wait("document.querySelector('#status').textContent === 'healthy'")
    finally:
        browser.close()


def test_the_last_hour_begins_with_the_first_samples(library):
    history = library.get("/v1/history").json
    assert history["interval"] == 10
    for sample in history["samples"]:
        assert sample["requests"] >= 0 and sample["memory"] > 0


@pytest.fixture(scope="module")
def working(make_host, tmp_path_factory):
    """A host with a job, and with a source that does not answer."""
    folder = tmp_path_factory.mktemp("library")
    (folder / "a.md").write_text("# Tides\n\nThey come and go.\n")
    extra = (f"[ingest notes]\nroot = {folder}\nstore = docs\ninterval = 1h\n"
             "[source gone]\nplugin = http\nbase-url = http://127.0.0.1:1\nretry = 0\nbreaker-failures = 1\nbreaker-open = 1h\n"
             f"[source {LONG}]\nplugin = http\nbase-url = http://127.0.0.1:1\nretry = 0\nbreaker-failures = 1\nbreaker-open = 1h\n"
             f"[pipeline both]\nretrieve = words; gone; {LONG}\ndeadline = 60s\n"
             f"[pipeline {LONG}-only]\nretrieve = words\n")
    host = make_host(embedded_config(embed=False, host="health-interval = 1s", extra=extra), name="dashboard-working")
    for _ in range(3):
        host.post("/v1/p/both/context", {"query": "tides"})
    return host


def test_jobs_are_shown_and_steered(working, browser):
    open_page(browser, working)
    browser.wait("document.querySelector('#jobs tbody tr')")
    assert "notes → docs" in browser.text("#jobs")
    browser.wait("[...document.querySelectorAll('#jobs button')].some((one) => one.textContent === 'pause')")
    browser.run("[...document.querySelectorAll('#jobs button')].find((one) => one.textContent === 'pause').click()")
    browser.wait("document.querySelector('#jobs .paused')")
    assert working.get("/v1/jobs/notes").json["state"] == "paused"
    browser.wait("[...document.querySelectorAll('#jobs button')].some((one) => one.textContent === 'resume')")
    browser.run("[...document.querySelectorAll('#jobs button')].find((one) => one.textContent === 'resume').click()")
    browser.wait("!document.querySelector('#jobs .paused')")
    assert working.get("/v1/jobs/notes").json["state"] != "paused"


def test_a_host_without_jobs_has_no_panel_for_them(library, browser):
    open_page(browser, library)
    assert browser.run("return document.querySelector('#jobs-section').offsetParent === null")


def test_what_is_wrong_is_said_on_top(working, browser):
    open_page(browser, working)
    browser.wait("document.querySelector('#unwell .message')")
    assert "gone" in browser.text("#unwell")
    browser.wait("document.querySelector('#status').textContent !== 'healthy'")
    browser.wait("document.querySelector('#graph .bad')")


def test_long_names_stay_in_their_boxes(working, browser):
    open_page(browser, working)
    browser.wait("document.querySelector('#graph .bad')")
    assert browser.run(OVERFLOWING) == []
    names = browser.run("return [...document.querySelectorAll('#graph g title')].map((one) => one.textContent.split('\\n')[0])")
    assert LONG in names and "gone" in names


def test_a_key_that_may_only_read_is_told_so(make_host, tmp_path, tmp_path_factory):
    folder = tmp_path_factory.mktemp("library")
    keys = tmp_path / "keys"
    keys.write_text(f"[me]\nsha256 = {hashlib.sha256(b'rgf_me').hexdigest()}\nscopes = read\n")
    extra = f"[ingest notes]\nroot = {folder}\nstore = docs\ninterval = 1h\n"
    host = make_host(embedded_config(embed=False, http=f"api-keys-file = {keys}", extra=extra), name="dashboard-reader")
    browser = Browser(tmp_path / "profile")
    try:
        browser.open(host.address + "/")
        browser.wait("!document.querySelector('#key-form').classList.contains('hidden')")
        browser.type("#key", "rgf_me")
        browser.click("#key-form button")
        browser.wait("document.querySelector('#jobs button')")
        browser.run("document.querySelector('#jobs button').click()")
        browser.wait("document.querySelector('#jobs-said').textContent.includes('scope')")
        browser.wait("document.querySelector('#jobs button') === null")
    finally:
        browser.close()
