# SPDX-License-Identifier: Apache-2.0
"""``/metrics``: it counts what happened, in all processes, and gives nothing away."""

import http.client
import json
import os
import re
import shutil
import signal
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import metrics
import pytest
import yaml
from console_client import signed_in
from metrics import Scrape, until
from processes import processes
from servers import Access, Production, Program, code_of

from keyquorum.ops import registry

DEPLOY = Path(__file__).parents[2] / "deploy"
Start = Callable[..., Production]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Any:
    directory = tmp_path_factory.mktemp("metrics")
    running = Production(directory, "--metrics-port", "0", "--audit-sink", f"file:{directory}/copy")
    yield running
    running.stop()


def test_requests_are_counted_by_operation_and_outcome(server: Production) -> None:
    kms = server.client()
    key_id = kms.create_key(Description="a description")["KeyMetadata"]["KeyId"]
    before = Scrape(server)
    for _ in range(3):
        kms.encrypt(KeyId=key_id, Plaintext=b"a plaintext", EncryptionContext={"some": "context"})
    assert code_of(kms.describe_key, KeyId="alias/absent") == "NotFoundException"
    after = Scrape(server)

    def risen(name: str, **labels: str) -> float:
        return after.value(name, **labels) - before.value(name, **labels)

    encrypts = {"service": "kms", "operation": "Encrypt", "outcome": "Success"}
    assert risen("keyquorum_requests_total", **encrypts) == 3
    assert risen("keyquorum_request_seconds_count", service="kms", operation="Encrypt") == 3
    assert risen("keyquorum_request_seconds_bucket", operation="Encrypt", le="+Inf") == 3
    assert risen("keyquorum_requests_total", operation="DescribeKey", outcome="NotFoundException") == 1
    assert risen("keyquorum_cache_hits_total", cache="keys") == 2
    assert risen("keyquorum_cache_misses_total", cache="keys") == 1
    assert risen("keyquorum_audit_batch_records_sum") == 4
    assert after.value("keyquorum_sealed") == 0
    assert after.value("keyquorum_build_info") == 1
    assert after.value("keyquorum_connections") >= 1


def test_what_a_page_of_the_console_asks_for_is_counted_as_well(server: Production) -> None:
    browser = signed_in(server, server.root)
    before = Scrape(server)
    assert browser.get("/console/keys/00000000-0000-4000-8000-000000000000").status == 400
    assert browser.get("/console/").status == 200
    after = Scrape(server)
    asked = (
        {"operation": "DescribeKey", "outcome": "NotFoundException"},
        {"operation": "CountKeys", "outcome": "Success"},
    )
    for labels in asked:
        seconds = {"operation": labels["operation"]}
        for name, which in (("keyquorum_requests_total", labels), ("keyquorum_request_seconds_count", seconds)):
            assert after.value(name, **which) - before.value(name, **which) == 1, labels


def test_nothing_of_a_request_is_told(server: Production) -> None:
    kms = server.client()
    metadata = kms.create_key(Description="unheard of")["KeyMetadata"]
    kms.create_alias(AliasName="alias/unheard", TargetKeyId=metadata["KeyId"])
    kms.encrypt(KeyId="alias/unheard", Plaintext=b"unheard", EncryptionContext={"unheard": "unheard"})
    text = Scrape(server).text
    for secret in ("unheard", metadata["KeyId"], metadata["AWSAccountId"], server.root.key_id, server.root.secret):
        assert secret not in text


def test_strangers_make_no_series(server: Production) -> None:
    """Whoever sends what he likes, without an access key, gets one series for each way to be refused."""
    names = list(registry.KMS)[:30]
    stranger = Access("AKIANOBODYATALL00000", "x" * 40)
    before = {(s.name, *s.labels.values()) for s in Scrape(server).samples}
    for name in names:
        assert server.signed(name, {}, stranger).status == 400
        server.raw(
            f"POST / HTTP/1.1\r\nHost: x\r\nX-Amz-Target: TrentService.{name}x\r\nContent-Length: 0\r\n\r\n".encode()
        )
    scrape = Scrape(server)
    new = {(s.name, *s.labels.values()) for s in scrape.samples} - before
    assert not [labels for labels in new if any(name in labels for name in names)]
    assert len(new) < 60
    assert scrape.value("keyquorum_authentication_failures_total", code="UnrecognizedClientException") >= len(names)
    assert scrape.value("keyquorum_requests_total", operation="", outcome="UnrecognizedClientException") >= len(names)


def test_the_port_has_probes_and_nothing_else(server: Production) -> None:
    base = metrics.url(server).removesuffix("/metrics")
    for path in ("/healthz", "/readyz"):
        with urlopen(base + path, timeout=10) as answer:
            assert answer.status == 200
    for request, status in (
        (Request(f"{base}/"), 404),
        (Request(f"{base}/metrics/../v1/seal"), 404),
        (Request(f"{base}/metrics", b"", method="POST"), 405),
    ):
        with pytest.raises(HTTPError) as refused:
            urlopen(request, timeout=10)
        refused.value.close()
        assert refused.value.code == status


def test_it_listens_on_loopback_alone(server: Production) -> None:
    port = int(metrics.url(server).rsplit(":", 1)[1].partition("/")[0])
    rows = [row.split() for row in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    assert [row[1] for row in rows if row[1].endswith(f":{port:04X}") and row[3] == "0A"] == [f"0100007F:{port:04X}"]


def test_slow_readers_do_not_keep_others_out(server: Production) -> None:
    address = metrics.url(server).removeprefix("http://").removesuffix("/metrics").split(":")
    slow = [socket.create_connection((address[0], int(address[1])), timeout=10) for _ in range(40)]
    try:
        for each in slow[:10]:
            each.sendall(b"GET /metrics HT")
        assert server.signed("ListKeys", {}).status == 200
    finally:
        for each in slow:
            each.close()
    assert until(server, lambda scrape: scrape.value("keyquorum_build_info") == 1)


@pytest.mark.slow
def test_one_scrape_tells_of_all_workers(start: Start) -> None:
    server = start("--metrics-port", "0", "--workers", "2")
    key_id = server.client().create_key()["KeyMetadata"]["KeyId"]
    calls = 0
    for _ in range(12):  # connections spread over the workers
        server.client().encrypt(KeyId=key_id, Plaintext=b"x")
        calls += 1

    def counted(scrape: Scrape) -> float:
        return scrape.value("keyquorum_requests_total", operation="Encrypt", outcome="Success")

    until(server, lambda scrape: counted(scrape) == calls)
    for _ in range(6):  # whichever answers
        assert counted(Scrape(server)) == calls

    # A worker that dies takes nothing of what it counted with it.
    workers = [pid for pid in processes(server) if "multiprocessing" in Path(f"/proc/{pid}/cmdline").read_text()]
    workers = [pid for pid in workers if "resource_tracker" not in Path(f"/proc/{pid}/cmdline").read_text()]
    os.kill(workers[0], signal.SIGKILL)
    kms = server.client(config=None)
    for _ in range(5):
        kms.encrypt(KeyId=key_id, Plaintext=b"x")
        calls += 1
    until(server, lambda scrape: counted(scrape) == calls)


def test_dashboard_and_alerts_name_what_there_is(server: Production) -> None:
    server.client().list_keys()
    assert server.signed("ListKeys", {}, Access("AKIANOBODYATALL00000", "x" * 40)).status == 400
    names = Scrape(server).names
    dashboard = json.loads((DEPLOY / "grafana-dashboard.json").read_text())
    expressions = [target["expr"] for panel in dashboard["panels"] for target in panel.get("targets", [])]
    alerts = yaml.safe_load((DEPLOY / "alerts.yml").read_text())
    rules = [rule for group in alerts["groups"] for rule in group["rules"]]
    expressions += [rule["expr"] for rule in rules]
    assert len(dashboard["panels"]) >= 12
    assert len(rules) >= 10
    used = {name for text in expressions for name in re.findall(r"\b(?:keyquorum|process)_\w+", text)}
    assert used
    assert used - names == set()
    for rule in rules:
        assert {"summary", "description"} <= rule["annotations"].keys()
        assert rule["labels"]["severity"] in ("page", "ticket")
    page = (DEPLOY.parent / "docs" / "operate" / "monitoring.md").read_text()
    assert {rule["alert"] for rule in rules} == set(re.findall(r"^\| `(Keyquorum\w+)` \|", page, re.MULTILINE))


def test_promtool_takes_rules_and_metrics(server: Production) -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is not here")
    subprocess.run([promtool, "check", "rules", DEPLOY / "alerts.yml"], check=True)
    ran = subprocess.run([promtool, "check", "metrics"], input=Scrape(server).text, text=True, capture_output=True)
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "", "")


def test_without_the_option_there_is_no_port(start_dev: Callable[..., Program]) -> None:
    server = start_dev()
    assert "metrics:" not in server.stdout.read_text()
    connection = http.client.HTTPConnection(server.host, server.port, timeout=10)
    connection.request("GET", "/metrics")
    assert connection.getresponse().status == 404
    connection.close()
