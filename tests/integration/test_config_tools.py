"""ragify-ctl reload and config, and what ragify-host says of a configuration without serving."""

import json
import os
import shutil
import socket
import subprocess

import pytest

from conftest import build_dir, host_executable
from test_reload import rewrite

CONTROL = build_dir() / "tools" / "ragify-ctl" / "ragify-ctl"


def run(command, expect=0, **environment):
    result = subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=120,
                            env={**os.environ, **environment}, check=False)
    assert result.returncode == expect, (result.returncode, result.stdout, result.stderr)
    return result


def control(host, *arguments, expect=0):
    return run([CONTROL, "--url", host.address, *arguments], expect)


@pytest.fixture(scope="module")
def tools_host(make_host):
    return make_host(name="tools", embed=False)


def test_reload_says_what_has_changed_and_what_is_wrong(tools_host):
    rewrite(tools_host, ("[pipeline default]", "[pipeline default]\ndeadline = 7s"))
    said = control(tools_host, "reload").stdout
    assert "rebuilt       [pipeline default]" in said and "is in force" in said
    rewrite(tools_host, ("deadline = 7s", "dedline = 7s"))
    result = control(tools_host, "reload", expect=1)
    assert "error: [pipeline default]: unknown key 'dedline'; did you mean 'deadline'?" in result.stderr
    assert "not reloaded" in result.stderr and result.stdout == ""
    assert json.loads(control(tools_host, "--json", "reload", expect=1).stdout)["status"] == 422
    rewrite(tools_host, ("dedline = 7s", "deadline = 8s"))
    assert json.loads(control(tools_host, "--json", "reload").stdout)["status"] == "reloaded"
    control(tools_host, "reload", "now", expect=2)


def test_nobody_to_reload_is_said():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        result = run([CONTROL, "--url", f"http://127.0.0.1:{taken.getsockname()[1]}", "reload"], 3)
    assert "127.0.0.1" in result.stderr


def test_profiles_are_shown():
    names = run([CONTROL, "config", "show-profile"]).stdout.split()
    assert names == ["default", "high_throughput", "low_latency", "memory_efficient"]
    assert "profile = low_latency" in run([CONTROL, "config", "show-profile", "low_latency"]).stdout
    assert "there are: default" in run([CONTROL, "config", "show-profile", "fast"], 2).stderr


def test_config_check_and_print_are_the_hosts(tools_host):
    options = ["--config", tools_host.config_path, "--plugin-dir", tools_host.plugins()]
    run([CONTROL, "config", "check", *options])
    assert "[pipeline default]" in run([CONTROL, "config", "print", *options]).stdout
    assert run([CONTROL, "config", "graph", *options]).stdout.startswith("digraph")
    result = run([CONTROL, "config", "check", *options, "--set", "pipeline default.dedline=1s"], 78)
    assert "did you mean 'deadline'" in result.stderr


@pytest.mark.skipif(shutil.which("dot") is None, reason="graphviz is not installed")
def test_the_graph_is_drawn(tools_host):
    options = ["--config", tools_host.config_path, "--plugin-dir", tools_host.plugins()]
    drawn = run([host_executable(), "--print-graph", "--svg", *options]).stdout
    assert "<svg" in drawn and "default" in drawn


def test_without_graphviz_it_says_so(tools_host):
    options = ["--config", tools_host.config_path, "--plugin-dir", tools_host.plugins()]
    result = run([host_executable(), "--print-graph", "--svg", *options], 1, PATH="/nowhere")
    assert "Install graphviz" in result.stderr


def test_connect_probes_what_speaks_to_another_process(tools_host):
    options = ["--config", tools_host.config_path, "--plugin-dir", tools_host.plugins()]
    # The store's folder is the running host's: a check must not touch it.
    assert "no node speaks" in run([host_executable(), "--check", "--connect", *options]).stdout
    assert "--connect goes with --check" in run([host_executable(), "--connect", *options], 2).stderr
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        dead = tools_host.folder / "dead.conf"
        dead.write_text(f"[http x]\nlisten = 127.0.0.1:0\n[cache far]\nplugin = redis\n"
                        f"url = redis://127.0.0.1:{taken.getsockname()[1]}/0\n"
                        "[source s]\nplugin = files\nroot = /tmp\n[pipeline default]\nretrieve = s\ncache = far\n")
        command = [host_executable(), "--check", "--config", dead, "--plugin-dir", tools_host.plugins()]
        if not (tools_host.plugins() / "cache-redis.so").exists():
            pytest.skip("this build has no cache-redis")
        run(command)  # offline it is right
        assert "[cache far]" in run([*command, "--connect"], 78).stderr


def test_json_is_json_everywhere(tmp_path):
    """Every command that prints something prints JSON with --json; those that ask a host are tested where they are."""
    def tool(*arguments):
        done = subprocess.run([build_dir() / "tools" / "ragify-ctl" / "ragify-ctl", *map(str, arguments)], capture_output=True,
                              text=True, check=False)
        return done.returncode, json.loads(done.stdout)

    bad = tmp_path / "bad.conf"
    bad.write_text("[host]\nthreds = 1\n")
    code, answer = tool("--json", "config", "check", "--config", bad)
    assert code == answer["exit_code"] == 78 and answer["valid"] is False
    assert any("threds" in message for message in answer["messages"])
    code, answer = tool("config", "show-profile", "--json")
    assert code == 0 and "low_latency" in answer["profiles"]
    code, answer = tool("--json", "config", "show-profile", "low_latency")
    assert code == 0 and answer["text"]
    code, answer = tool("--json", "keys", "new", "me")
    assert code == 0 and answer["key"].startswith("rgf_") and answer["sha256"] in answer["lines"]
