"""compose.yaml brings up what `inv staging.up` does: the same parts, ports and variables."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import yaml

from truegate.tools import table
from truegate_staging import prepare
from truegate_staging.parts import PARTS, service_variables
from truegate_staging.site import ADDRESSES, OFFSETS, STAGING, Site

DEFAULT_PORT = 18_000
COMPOSE: dict[str, Any] = yaml.safe_load((STAGING / "compose.yaml").read_text())
SERVICES: dict[str, Any] = COMPOSE["services"]
NAMES = {part.name for part in PARTS}
SECRETS = (
    "POSTGRES_PASSWORD",
    "S3_REGION",
    "S3_BUCKET",
    "S3_ACCESS_KEY_ID",
    "S3_SECRET_ACCESS_KEY",
    "REVALIDATE_SECRET",
)


def site(folder: Path) -> Site:
    variables = {name: f"x://app:p@127.0.0.1:{DEFAULT_PORT + OFFSETS[part]}/" for name, part in ADDRESSES.items()}
    return Site(folder, DEFAULT_PORT, None, variables | dict.fromkeys(SECRETS, "s3cret-value"), {})


def test_the_parts_are_the_same_and_each_image_has_a_version() -> None:
    assert SERVICES.keys() - {"packages"} == NAMES, "`packages` installs the npm packages and ends"
    for name, service in SERVICES.items():
        assert re.fullmatch(r"[\w./-]+:v?\d[\w.-]*", service["image"]), name
        assert "@sha256" not in service["image"]


def test_every_address_is_on_loopback_and_has_the_default_port_of_its_part() -> None:
    text = (STAGING / "compose.yaml").read_text()
    ports = {int(port) for port in re.findall(r"\b18\d{3}\b", text)}
    proxied = {int(port) for port in re.findall(r"\b18\d{3}\b", (STAGING / "compose" / "toxiproxy.json").read_text())}
    assert ports | proxied == {DEFAULT_PORT + offset for offset in OFFSETS.values()}
    assert all(service.get("network_mode") == "host" for name, service in SERVICES.items() if name != "packages")
    assert "0.0.0.0" not in text
    for name, port in (("postgres", 4), ("redis", 5), ("storage", 6), ("toxiproxy", 7)):
        assert str(DEFAULT_PORT + port) in json.dumps(SERVICES[name]["command"]), name


def test_service_and_worker_get_the_same_variables(tmp_path: Path) -> None:
    given = service_variables(site(tmp_path), NAMES).keys() - {"STAGING_LOG_DIR", "COLLECTOR_PORT", "POSTGRES_PASSWORD"}
    for name in ("service", "worker"):
        assert SERVICES[name]["environment"].keys() == given
    assert SERVICES["collector"]["environment"].keys() == {"STAGING_LOG_DIR", "COLLECTOR_PORT"}
    assert SERVICES["edge"]["environment"].keys() == {"EDGE_PORT", "SERVICE_PORT", "EDGE_DIR"}


def test_the_fault_proxy_stands_before_the_same_parts(tmp_path: Path) -> None:
    written = json.loads((STAGING / "compose" / "toxiproxy.json").read_text())
    assert written == [prepare._proxy(site(tmp_path), name) for name in ("postgres", "redis", "storage")]


def test_the_pinned_versions_are_those_of_the_tools_table() -> None:
    for name, tool in (("storage", "versitygw"), ("toxiproxy", "toxiproxy-server"), ("collector", "otelcol")):
        assert SERVICES[name]["image"].rpartition(":")[2].removeprefix("v") == table()[tool].pinned
    for name, tool in (("postgres", "postgres"), ("service", "node"), ("edge", "nginx")):
        major = SERVICES[name]["image"].rpartition(":")[2].split("-")[0].split(".")[0]
        assert major == table()[tool].pinned.split(".")[0]
