"""Lockfiles of every package manager, each damaged in every single way: the finding stays, or the file is named.

All damaged copies of one lockfile are folders of one target, so that one run of the real engine judges them all.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import support  # type: ignore[import-not-found]
import test_sca_witnesses as witnesses  # type: ignore[import-not-found]

pytestmark = pytest.mark.slow

# By sample: the lockfile, and the package in it that has a finding at run time.
LOCKFILES = {
    "npm1-old-runtime": ("package-lock.json", "pkg:npm/lodash"),
    "npm2-old-runtime": ("package-lock.json", "pkg:npm/lodash"),
    "npm3-old-runtime": ("package-lock.json", "pkg:npm/lodash"),
    "yarn1-old-runtime": ("yarn.lock", "pkg:npm/lodash"),
    "yarn4-old-runtime": ("yarn.lock", "pkg:npm/lodash"),
    "pnpm8-old-runtime": ("pnpm-lock.yaml", "pkg:npm/lodash"),
    "pnpm10-old-runtime": ("pnpm-lock.yaml", "pkg:npm/lodash"),
    "pipenv-old-runtime": ("Pipfile.lock", "pkg:pypi/pyjwt"),
    "poetry2-old-runtime": ("poetry.lock", "pkg:pypi/pyjwt"),
    "uv-old-runtime": ("uv.lock", "pkg:pypi/pyjwt"),
    "pip-compile-old-runtime": ("requirements.txt", "pkg:pypi/pyjwt"),
}
# What it reads as strictly as we do. Elsewhere one odd type ends it for all files: inconclusive, but of no use here.
OSV_SCANNER = ("yarn1", "yarn4", "pnpm10", "pipenv", "poetry2", "uv", "pip-compile")


def damaged_lines(text: str) -> Iterator[tuple[str, bytes]]:
    lines = text.splitlines(keepends=True)
    for number, line in enumerate(lines):
        before, after, bare = "".join(lines[:number]), "".join(lines[number + 1 :]), line.rstrip("\n")
        changed = {"drop": "", "double": line * 2, "cut": None}
        if bare.strip():
            changed |= {
                "shorten": f"{bare[:-1]}\n",
                "indent": f" {line}",
                "comment": f"#{line}",
                "capitals": line.upper(),
            }
        for name, new in changed.items():
            yield f"{name} line {number}: {bare[:60]}", (before if new is None else before + new + after).encode()


def damaged(name: str, data: bytes) -> Iterator[tuple[str, bytes]]:
    if name in {"package-lock.json", "Pipfile.lock"}:
        yield from witnesses.mutants(json.loads(data))
    else:
        yield from damaged_lines(data.decode())


CASES = [(engine, sample) for engine in ("trivy", "osv-scanner") for sample in LOCKFILES
         if engine == "trivy" or sample.startswith(OSV_SCANNER)]  # fmt: skip


@pytest.mark.parametrize(("engine", "sample"), CASES)
def test_no_single_damage_hides_a_finding_without_a_word(engine: str, sample: str, tmp_path: Path) -> None:
    name, package = LOCKFILES[sample]
    files = support.sample_files(sample)
    what = {}
    for number, (damage, data) in enumerate(damaged(name, files[name])):
        what[f"m{number:04}"] = damage
        support.write(tmp_path / f"m{number:04}", {**files, name: data})
    assert len(what) > 100
    done = support.judge(tmp_path, security_sca_engines=[engine], inventory_dev_files=["*/requirements-dev.txt"])
    assert not support.codes(done) & {"stopped", "report", "tool"}
    found = {
        place.path.partition("/")[0]
        for finding in done.result.findings
        for place in finding.locations
        if finding.package == package and finding.scope == "runtime"
    }
    named = {folder for problem in done.result.problems for folder in re.findall(r"\bm\d{4}(?=/)", problem.message)}
    assert found
    assert named
    assert {folder: damage for folder, damage in what.items() if folder not in found | named} == {}
