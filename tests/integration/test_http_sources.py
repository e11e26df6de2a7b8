"""/v1/sources and balancers: how each source fares, and what may be changed while the host runs."""

import json
import subprocess

import pytest

from conftest import build_dir

NOTES = {"a": "Cats sleep most of the day.", "b": "Cats hunt at night."}


@pytest.fixture(scope="module")
def balanced(make_host, tmp_path_factory):
    """Two folders with different notes behind a balancer, so that an answer shows who gave it."""
    lines = ["[host]", "threads = 2", "[http public]", "listen = 127.0.0.1:0"]
    for name, text in NOTES.items():
        folder = tmp_path_factory.mktemp(f"notes-{name}")
        (folder / "cats.txt").write_text(text)
        lines += [f"[source notes-{name}]", "plugin = files", f"root = {folder}"]
    lines += ["[balancer notes]", "members = notes-a; notes-b", "policy = round-robin", "slow-start = 0",
              "[pipeline default]", "retrieve = notes"]
    return make_host("\n".join(lines) + "\n", name="balanced")


def member(host):
    answer = host.context({"query": "cats"})
    assert answer.status == 200, answer
    report = answer.json["sources"]["notes"]
    assert report["status"] == "ok"
    assert answer.json["chunks"][0]["content"].strip() == NOTES[report["member"][-1]]
    assert answer.json["chunks"][0]["source"]["name"] == "notes"
    return report["member"]


def patch(host, name, value):
    body = value if isinstance(value, bytes) else json.dumps(value).encode()
    return host.request("PATCH", f"/v1/sources/{name}", body, {"Content-Type": "application/json"})


def test_members_take_turns(balanced):
    assert {member(balanced) for _ in range(4)} == {"notes-a", "notes-b"}


def test_the_list_tells_how_each_fares(balanced):
    member(balanced)
    listed = {source["name"]: source for source in balanced.get("/v1/sources").json["sources"]}
    assert set(listed) == {"notes-a", "notes-b", "notes"}
    assert listed["notes"]["kind"] == "balancer"
    assert [one["name"] for one in listed["notes"]["members"]] == ["notes-a", "notes-b"]
    one = listed["notes-a"]
    assert one["plugin"] == "files" and one["status"] == "ok" and one["enabled"] is True and one["weight"] == 1
    assert one["calls"] >= 1 and one["latency"]["count"] >= 1
    assert balanced.get("/v1/sources/notes-a").json["name"] == "notes-a"


def test_a_disabled_member_is_asked_no_more(balanced):
    answer = patch(balanced, "notes-a", {"enabled": False})
    assert answer.status == 200 and answer.json["status"] == "disabled"
    assert {member(balanced) for _ in range(4)} == {"notes-b"}
    assert patch(balanced, "notes-b", {"enabled": False}).status == 200
    answer = balanced.context({"query": "cats"})
    assert answer.status == 503 and answer.json["sources"]["notes"]["status"] == "skipped"
    for name in ("notes-a", "notes-b"):
        assert patch(balanced, name, {"enabled": True}).status == 200


def test_weights_act_at_once(balanced):
    assert patch(balanced, "notes-a", {"weight": 3, "enabled": True}).json["weight"] == 3
    assert sorted(member(balanced) for _ in range(8)).count("notes-a") == 6
    assert patch(balanced, "notes-a", {"weight": 1}).status == 200


@pytest.mark.parametrize("name, value, status, field", [
    ("nobody", {"enabled": True}, 404, "name"), ("notes", {"enabled": False}, 422, "name"), ("notes-a", {}, 422, None),
    ("notes-a", [], 422, None), ("notes-a", b"{", 400, None), ("notes-a", {"enabled": 1}, 422, "enabled"),
    ("notes-a", {"weight": -1}, 422, "weight"), ("notes-a", {"weight": 1001}, 422, "weight"),
    ("notes-a", {"weight": "2"}, 422, "weight"), ("notes-a", {"enabled": False, "wait": 2}, 422, "wait"),
])
def test_bad_changes_are_refused_and_change_nothing(balanced, name, value, status, field):
    answer = patch(balanced, name, value)
    assert answer.status == status, answer
    assert answer.json.get("field") == field
    one = balanced.get("/v1/sources/notes-a").json
    assert one["enabled"] is True and one["weight"] == 1


def test_other_methods(balanced):
    assert balanced.request("DELETE", "/v1/sources/notes-a").status == 405
    assert balanced.request("POST", "/v1/sources", "{}").status == 405


def control(host, *arguments):
    return subprocess.run([str(build_dir() / "tools" / "ragify-ctl" / "ragify-ctl"), "--url", host.address, "sources", *arguments],
                          capture_output=True, text=True, timeout=60, check=False)


def test_the_command_line_does_the_same(balanced):
    done = control(balanced)
    assert done.returncode == 0, done.stderr
    assert "notes (balancer)" in done.stdout and "notes-a" in done.stdout
    assert json.loads(control(balanced, "--json").stdout)["sources"]
    assert control(balanced, "disable", "notes-a").returncode == 0
    assert balanced.get("/v1/sources/notes-a").json["enabled"] is False
    assert control(balanced, "enable", "notes-a").returncode == 0
    assert control(balanced, "weight", "notes-a", "2.5").returncode == 0
    assert balanced.get("/v1/sources/notes-a").json["weight"] == 2.5
    assert control(balanced, "weight", "notes-a", "1").returncode == 0
    assert control(balanced, "disable", "nobody").returncode == 1
    assert control(balanced, "weight", "notes-a", "much").returncode == 2
    assert control(balanced, "turn").returncode == 2


def test_a_disabled_source_is_skipped_without_degrading_and_another_answer_is_cached(make_host, tmp_path_factory):
    lines = ["[host]", "threads = 1", "[http public]", "listen = 127.0.0.1:0", "[cache ram]", "plugin = memory"]
    for name, text in NOTES.items():
        folder = tmp_path_factory.mktemp(f"both-{name}")
        (folder / "cats.txt").write_text(text)
        lines += [f"[source {name}]", "plugin = files", f"root = {folder}"]
    host = make_host("\n".join(lines + ["[pipeline default]", "retrieve = a; b", "cache = ram"]) + "\n", name="both")
    assert len(host.context({"query": "cats"}).json["chunks"]) == 2
    assert patch(host, "a", {"enabled": False}).status == 200
    answer = host.context({"query": "cats"}).json
    assert answer["cache"] == "miss" and len(answer["chunks"]) == 1
    assert answer["sources"]["a"] == {"status": "skipped", "chunks": 0, "duration": 0, "error": "disabled"}
    assert answer["degraded"] is False
    assert patch(host, "a", {"enabled": True}).status == 200
    answer = host.context({"query": "cats"}).json
    assert answer["cache"] == "memory" and len(answer["chunks"]) == 2
