"""The API's description: whole, and true of every request that a generator thinks of."""

import json
import re
import subprocess
import sys

import pytest

from conftest import ROOT

PAGES = json.loads((ROOT / "core" / "server" / "resources" / "openapi.json").read_text())["operations"]


@pytest.fixture(scope="module")
def description(host):
    answer = host.get("/openapi.json")
    assert answer.status == 200 and answer.headers["content-type"] == "application/json"
    return answer.json


def test_every_route_is_described_and_nothing_else(description):
    source = (ROOT / "core" / "server" / "routes.c").read_text()
    routed = set()
    for route in re.findall(r"\{ \.path = .*?\} \} \}", source, re.DOTALL):
        label = re.search(r'\.label = "([^"]+)"', route).group(1)
        routed |= {f"{method} {label}" for method in re.findall(r'\{ "([A-Z]+)", &', route)}
    described = {f"{method.upper()} {path}" for path, item in description["paths"].items() for method in item}
    assert described == routed
    assert set(PAGES) == routed


def test_operations_are_whole(description):
    names = [operation["operationId"] for item in description["paths"].values() for operation in item.values()]
    assert len(names) == len(set(names))
    for path, item in description["paths"].items():
        for operation in item.values():
            assert operation["summary"] and "503" in operation["responses"]
            declared = {parameter.get("name") or parameter["$ref"].rsplit("/", 1)[1]
                        for parameter in operation.get("parameters", [])}
            for name in re.findall(r"\{(\w+)\}", path):
                assert name in declared or (name == "id" and declared & {"document", "job"}), path



CHECKS = ("not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance,"
          "unsupported_method,allow_header_conformance")


def schemathesis_run(host, folder, examples, *arguments):
    command = [sys.executable, "-c", "import schemathesis.cli; schemathesis.cli.schemathesis()", "run",
               host.address + "/openapi.json", "--max-examples", str(examples), "--checks", CHECKS, "--phases",
               "examples,coverage,fuzzing", "--suppress-health-check", "all", "--request-timeout", "60", "--no-color",
               *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder, timeout=4 * 3600)  # no measure of anything
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]


def generate_everything(host, folder, examples):
    # A source that was switched off does not answer, which is as it should be: last, and by itself.
    schemathesis_run(host, folder, examples, "--exclude-operation-id", "changeSource")
    schemathesis_run(host, folder, examples, "--include-operation-id", "changeSource")


def test_generated_requests_find_nothing(make_host, tmp_path):
    host = make_host(name="generated", embed=False)
    host.ingest([{"id": "a", "content": "Something to find."}])
    generate_everything(host, tmp_path, 20)


@pytest.mark.long
def test_thousands_of_generated_requests_find_nothing(make_host, tmp_path):
    host = make_host(name="generated-long", embed=False)
    host.ingest([{"id": "a", "content": "Something to find."}])
    generate_everything(host, tmp_path, 500)
