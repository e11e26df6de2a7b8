"""Pages of other sites: preflights, what a browser is told, and who is told nothing."""

import pytest


@pytest.fixture(scope="module")
def open_host(make_host):
    return make_host(name="cors", http="cors-origins = https://app.example; http://localhost:3000", embed=False)


PREFLIGHT = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "content-type"}


def test_a_preflight_of_an_allowed_site_is_answered(open_host):
    answer = open_host.request("OPTIONS", "/v1/context", headers={"Origin": "https://app.example", **PREFLIGHT})
    assert answer.status == 204 and answer.body == b""
    assert answer.headers["access-control-allow-origin"] == "https://app.example"
    assert "POST" in answer.headers["access-control-allow-methods"]
    assert "Content-Type" in answer.headers["access-control-allow-headers"]


@pytest.mark.parametrize("origin", ["https://evil.example", "https://app.example.evil", "null", "https://app.exampl"])
def test_other_sites_are_told_nothing(open_host, origin):
    assert open_host.request("OPTIONS", "/v1/context", headers={"Origin": origin, **PREFLIGHT}).status == 405
    answer = open_host.get("/v1/context?q=a", {"Origin": origin})
    assert answer.status == 200 and "access-control-allow-origin" not in answer.headers


def test_answers_and_refusals_can_be_read_by_the_page(open_host):
    for path, status in (("/v1/context?q=a", 200), ("/v1/context?q=", 422), ("/nothing", 404)):
        answer = open_host.get(path, {"Origin": "http://localhost:3000"})
        assert answer.status == status and answer.headers["access-control-allow-origin"] == "http://localhost:3000"


def test_without_the_key_nobody_is(host):
    assert host.request("OPTIONS", "/v1/context", headers={"Origin": "https://app.example", **PREFLIGHT}).status == 405


def test_agents_in_a_page_of_an_allowed_site(open_host):
    message = {"jsonrpc": "2.0", "id": 1, "method": "ping"}
    assert open_host.post("/mcp", message, {"Origin": "https://app.example"}).status == 200
    assert open_host.post("/mcp", message, {"Origin": "https://evil.example"}).status == 403
