"""Two witnesses: whatever single thing is cut from or changed in what a tool wrote, no fail or doubt becomes a pass."""

from __future__ import annotations

import copy
import functools
import json
import operator
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import support  # type: ignore[import-not-found]
from hypothesis import given, settings
from hypothesis import strategies as st

from truegate import evidence, gate, jsonio, tools
from truegate.checks import get_check
from truegate.checks.pipeline import derive
from truegate.errors import ReportError
from truegate.model import Meta, Verdict
from truegate.verify import verify

pytestmark = pytest.mark.slow

RESULTS = {"trivy": "Results", "osv-scanner": "results"}
ENGINES = tuple(RESULTS)
UNKNOWN = support.record("ACME-1", "left", database_specific={})
ZOPE = support.record("ACME-2", "zope.interface", ecosystem="PyPI")
MALWARE = {"package-lock.json": support.npm_lock({}, {"flatmap-stream": "0.1.1"})}
# Each has one cause for not passing: files, advisories beyond the seed, overrides, and the outcome.
CASES: dict[str, tuple[dict[str, str], tuple[str, ...], dict[str, Any], str]] = {
    "high": ({"requirements.txt": support.FLASK_OLD}, (), {}, "fail"),
    "malware in dev": (MALWARE, (), {}, "fail"),
    "ungraded": ({"package-lock.json": support.npm_lock({"left": "1.0.0"})}, (UNKNOWN,), {}, "fail"),
    "a name of two spellings": ({"requirements.txt": "zope.interface==1.0\n"}, (ZOPE,), {}, "fail"),
    "stale": ({"requirements.txt": support.FLASK_FIXED}, (), {"security_sca_criteria_advisory_age_hours_max": 48},
              "inconclusive"),
}  # fmt: skip


class Run:
    """A run of the real tool that can be judged again with one thing altered."""

    def __init__(self, case: str, engine: str) -> None:
        files, also, overrides, self.status = CASES[case]
        target = support.write(Path(tempfile.mkdtemp(prefix="truegate-witness-")), files)
        data = support.advisories(also=also)
        done = support.judge(target, data=data, security_sca_engines=[engine], **overrides)
        self.folder, self.report = done.run_folder, done.run_folder / "raw" / f"{engine}.json"
        self.meta, self.policy = evidence.read_meta(self.folder), evidence.read_policy(self.folder)
        self.intact = self.report.read_bytes()
        assert self.judge(self.intact).status == self.status

    def judge(self, data: bytes | None, meta: Meta | None = None) -> Verdict:
        """Judge with `data` as the tool's report; None takes it away."""
        if data is None:
            self.report.unlink()
        else:
            self.report.write_bytes(data)
        try:
            result = derive(get_check("security.sca"), self.folder, meta or self.meta, self.policy)
            return gate.judge(meta or self.meta, self.policy, result, [])
        finally:
            self.report.write_bytes(self.intact)


@functools.cache
def run(case: str, engine: str) -> Run:
    return Run(case, engine)


def nodes(tree: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield path
    for key, child in tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ():
        yield from nodes(child, (*path, key))


def at(tree: Any, path: tuple[Any, ...]) -> Any:
    return functools.reduce(operator.getitem, path, tree)


def put(value: Any, holder: Any, key: Any) -> None:
    holder[key] = value


def drop(holder: Any, key: Any) -> None:
    del holder[key]


def rename(holder: Any, key: Any) -> None:
    holder[f"{key}x"] = holder.pop(key)


def repeat(holder: Any, key: Any) -> None:
    holder.insert(key, holder[key])


def mutations(holder: Any, value: Any) -> Iterator[tuple[str, Callable[[Any, Any], None]]]:
    """Give what may happen to a value of its kind in its holder."""
    yield "drop", drop
    yield ("rename", rename) if isinstance(holder, dict) else ("repeat", repeat)
    others: list[Any] = [None, [None], {}] if isinstance(value, (list, dict)) else [None, True, "LOW", {}]
    others += [type(value)()] if isinstance(value, (list, dict, str)) else [0, -1]
    others += [value[:-1]] if isinstance(value, (list, str)) else []
    for other in others:
        if other != value:
            yield repr(other), functools.partial(put, other)


def mutants(tree: Any, skipped: Callable[[tuple[Any, ...]], bool] = lambda _: False) -> Iterator[tuple[str, bytes]]:
    """Give the JSON text of every tree that differs from `tree` by one mutation, with what that was."""
    for path in nodes({"report": tree}):
        if not path or skipped(path[1:]):
            continue
        whole = {"report": tree}
        holder = at(whole, path[:-1])
        before = copy.copy(holder)
        for name, mutate in mutations(holder, holder[path[-1]]):
            mutate(holder, path[-1])
            yield f"{name} at {path[1:]}", json.dumps(whole.get("report")).encode()
            if isinstance(holder, dict):
                holder.clear()
                holder.update(before)
            else:
                holder[:] = before


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("engine", ENGINES)
def test_no_single_change_of_a_report_gives_a_pass(engine: str, case: str) -> None:
    one = run(case, engine)
    results = json.loads(one.intact)[RESULTS[engine]]
    controls = [index for index, result in enumerate(results) if "control/" in json.dumps(result)[:400]]
    assert len(controls) < len(results)

    def skipped(path: tuple[Any, ...]) -> bool:
        """Of the control, try one entry of each list: there are many, all alike, and none is about the target."""
        return path[1:2] != () and path[1] in controls and any(isinstance(part, int) and part for part in path[2:])

    tried = 0
    for what, data in mutants(json.loads(one.intact), skipped):
        assert one.judge(data).status != "pass", what
        tried += 1
    assert tried > 500


@pytest.mark.parametrize("case", CASES)
def test_no_vulnerability_moved_to_another_place_gives_a_pass(case: str) -> None:
    one = run(case, "trivy")
    intact = json.loads(one.intact)
    results = range(len(intact["Results"]))
    moves = [(a, i, b) for a in results for i in range(len(intact["Results"][a].get("Vulnerabilities", [])))
             for b in results if a != b]  # fmt: skip
    assert moves
    for source, index, goal in moves:
        report = copy.deepcopy(intact)
        moved = report["Results"][source]["Vulnerabilities"].pop(index)
        report["Results"][goal].setdefault("Vulnerabilities", []).append(moved)
        assert one.judge(json.dumps(report).encode()).status != "pass", (source, index, goal)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("engine", ENGINES)
def test_no_package_lost_with_all_that_is_known_of_it_gives_a_pass(engine: str, case: str) -> None:
    one = run(case, engine)
    intact = json.loads(one.intact)
    key = "Packages" if engine == "trivy" else "packages"
    for r, result in enumerate(intact[RESULTS[engine]]):
        for p, package in enumerate(result[key]):
            report = copy.deepcopy(intact)
            mine = report[RESULTS[engine]][r]
            del mine[key][p]
            if engine == "trivy":
                rows = mine.get("Vulnerabilities", [])
                mine["Vulnerabilities"] = [row for row in rows if row["PkgName"] != package["Name"]]
            assert one.judge(json.dumps(report).encode()).status != "pass", (r, p)


@pytest.mark.parametrize("engine", ENGINES)
def test_no_truncation_is_sound_json_and_none_gives_a_pass(engine: str) -> None:
    one = run("high", engine)
    whole = one.intact.rstrip()
    for length in range(len(whole)):
        with pytest.raises(ReportError):
            jsonio.loads(whole[:length], "report")
    for length in range(0, len(whole), 97):
        verdict = one.judge(whole[:length])
        assert (verdict.status, verdict.reasons[0].kind) == ("inconclusive", "unreliable")


OTHERS = {
    "missing": None, "empty": b"", "blank": b" \n", "null": b"null", "true": b"true", "number": b"7", "text": b'"x"',
    "list": b"[]", "object": b"{}", "list of lists": b"[[]]", "deep": b"[" * 100_000, "not UTF-8": b'{"a": "\xff"}',
    "UTF-16": '{"SchemaVersion": 2}'.encode("utf-16"), "two": b"{} {}", "HTML": b"<html>busy</html>",
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("data", OTHERS.values(), ids=OTHERS)
def test_something_else_than_a_report_is_inconclusive(data: bytes | None, engine: str, case: str) -> None:
    verdict = run(case, engine).judge(data)
    assert verdict.status == "inconclusive"
    assert f"raw/{engine}.json" in verdict.reasons[0].message
    assert verdict.reasons[0].next_step


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        (b'"SchemaVersion": 2', b'"SchemaVersion": 3', "SchemaVersion 3"),
        (b'"SchemaVersion": 2', b'"SchemaVersion": 2, "SchemaVersion": 2', "stands twice"),
        (b'"SchemaVersion": 2', b'"SchemaVersion": true', "bool"),
        (b'"SchemaVersion": 2', b'"SchemaVersion": NaN', "NaN is no JSON number"),
        (b'"SchemaVersion": 2', b'"SchemaVersion": 2, "extra": Infinity', "Infinity is no JSON number"),
        (b'"ArtifactType": "filesystem"', b'"ArtifactType": "container_image"', "ArtifactType 'container_image'"),
        (b'"Severity": "HIGH"', b'"Severity": "SEVERE"', "the severity 'SEVERE' is unknown"),
        (b'"Target": "target/', b'"Target": "elsewhere/', "which was not shown"),
    ],
)
def test_what_is_odd_in_trivys_report_is_named(old: bytes, new: bytes, sentence: str) -> None:
    one = run("high", "trivy")
    assert old in one.intact
    verdict = one.judge(one.intact.replace(old, new, 1))
    assert verdict.status == "inconclusive"
    assert sentence in verdict.reasons[0].message


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("code", [0, 1, 2, 10, 127, 128, 130, 137, -9, -15, 255])
def test_no_other_exit_code_gives_a_pass(code: int, engine: str, case: str) -> None:
    one = run(case, engine)
    steps = [
        replace(step, exit_code=code, exit_meaning=tools.row(engine).exit_meaning(code)) for step in one.meta.steps
    ]
    assert one.judge(one.intact, replace(one.meta, steps=tuple(steps))).status != "pass"


@settings(max_examples=400, deadline=None)
@given(data=st.data())
def test_no_random_damage_gives_a_pass(data: st.DataObject) -> None:
    one = run(data.draw(st.sampled_from(sorted(CASES))), data.draw(st.sampled_from(ENGINES)))
    start = data.draw(st.integers(0, len(one.intact) - 1))
    gone = data.draw(st.one_of(st.integers(0, 3), st.integers(0, 4000)))
    put = data.draw(st.one_of(st.binary(max_size=3), st.sampled_from([b"", b"null", b"[]", b"}", b'"', b"0"])))
    assert one.judge(one.intact[:start] + put + one.intact[start + gone :]).status != "pass"


@pytest.mark.parametrize("name", ["trivy-version.json", "trivy-advisories.json"])
def test_no_change_of_the_datas_age_gives_a_pass(name: str) -> None:
    one = run("stale", "trivy")
    path = one.folder / "raw" / name
    intact = path.read_bytes()
    try:
        for what, data in mutants(json.loads(intact)):
            path.write_bytes(data)
            assert one.judge(one.intact).status != "pass", what
        for other in OTHERS.values():
            path.write_bytes(other or b"")
            assert one.judge(one.intact).status != "pass"
    finally:
        path.write_bytes(intact)


def test_what_only_the_hashes_show(tmp_path: Path) -> None:
    """One vulnerability taken cleanly from both places where its package was shown leaves a report like any other.

    Such are also a word changed alike in both places, and a `source` changed in the note on the data.
    """
    one = run("high", "trivy")
    report = json.loads(one.intact)
    for result in report["Results"]:
        if not result["Target"].startswith("control/"):
            result.pop("Vulnerabilities")
    changed = json.dumps(report).encode()
    assert one.judge(changed).status == "pass"
    folder = Path(shutil.copytree(one.folder, tmp_path / "security" / "sca" / one.folder.name))
    (folder / "raw/trivy.json").write_bytes(changed)
    verified = verify(folder)
    assert verified.state == "altered"
    assert "raw/trivy.json was altered" in verified.faults
