"""Parse, gate and render one large Trivy report; prints seconds, peak memory in MB and the report's size in MB."""

from __future__ import annotations

import json
import resource
import shutil
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

KIT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(KIT / "scripts"))

from truegate import evidence, gate, jsonio  # noqa: E402  the path must be set first
from truegate.checks import get_check  # noqa: E402
from truegate.checks.pipeline import derive, input_records, run_check, write_reports  # noqa: E402
from truegate.config import load_config  # noqa: E402
from truegate.model import to_json  # noqa: E402

FINDINGS = 100_000


def grow(report: Path) -> float:
    """Give the report 100,000 findings in as many packages, 10 a package; returns its size in MB."""
    record = json.loads(report.read_bytes())
    result = next(r for r in record["Results"] if r["Target"] == "target/package-lock.json")
    model, package = result["Vulnerabilities"][0], result["Packages"][0]
    for bulky in ("CVSS", "DataSource", "PrimaryURL", "VendorSeverity", "Fingerprint"):
        model.pop(bulky)  # as much as brings 100,000 findings to about 60 MB
    for number in range(FINDINGS):
        name = f"package-{number // 10}"
        if number % 10 == 0:
            result["Packages"].append({**package, "Name": name, "Version": "1.0.0"})
        result["Vulnerabilities"].append(
            {
                **model,
                "VulnerabilityID": f"CVE-2020-{number}",
                "VendorIDs": [],
                "PkgName": name,
                "InstalledVersion": "1.0.0",
            }
        )
    report.write_text(json.dumps(record))
    return report.stat().st_size / 1e6


def main() -> None:
    """Make a run, grow its report, and judge it again."""
    with tempfile.TemporaryDirectory() as folder:
        target = Path(shutil.copytree(KIT / "examples" / "old", Path(folder, "target")))
        overrides = {"security.db.dir": f"{folder}/advisories"}
        from truegate.advisories.stores import SEED, compile_private

        compile_private(SEED, Path(folder, "advisories"), "seed")
        config = load_config(str(target), None, overrides)
        done = run_check("security.sca", config, quiet=True)
        size = grow(done.run_folder / "raw" / "trivy.json")
        begin = time.perf_counter()
        result = derive(get_check("security.sca"), done.run_folder, done.meta, done.policy)
        evidence.write_atomic(done.run_folder / "result.json", jsonio.dumps(to_json(result)))
        verdict = gate.judge(replace(done.meta), done.policy, result, input_records(done.run_folder))
        write_reports(config, done.run_folder, (done.meta, done.policy, result, verdict))
        took = time.perf_counter() - begin
        if len(result.findings) < FINDINGS or verdict.status != "fail":
            sys.exit(f"{len(result.findings)} findings, {verdict.status}: the report was not read as meant")
    print(took, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000, size)


if __name__ == "__main__":
    main()
