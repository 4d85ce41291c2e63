"""Targets that are empty, broken, hostile or odd: named, with the next step, and never a pass."""

from __future__ import annotations

import json
import os
import shutil
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import support  # type: ignore[import-not-found]

from truegate.checks import inputs
from truegate.inventory.records import Discovery, FoundFile
from truegate.verify import verify

pytestmark = pytest.mark.slow

LOCK = support.npm_lock({"lodash": "4.17.21"})
VERSION = '"version": "4.17.21"'
CONFLICT = LOCK.replace(VERSION, f'<<<<<<< HEAD\n{VERSION}\n=======\n"version": "4.17.4"\n>>>>>>> theirs')

# What stands beside a sound lockfile without findings, and the message about it.
BROKEN: dict[str, tuple[dict[str, str | bytes], str]] = {
    "manifest of npm": ({"web/package.json": '{"dependencies": {"lodash": "^4"}}'},
                        "web/package.json: no lockfile holds lodash"),
    "manifest of Python": ({"web/pyproject.toml": '[project]\nname = "x"\ndependencies = ["jinja2"]\n'},
                           "web/pyproject.toml: no lockfile holds jinja2"),
    "unpinned": ({"web/requirements.txt": "jinja2>=3\nwerkzeug==3.0.3\n"},
                 "web/requirements.txt: no exact version: jinja2 on line 1"),
    "truncated": ({"web/package-lock.json": LOCK[:250]}, "web/package-lock.json: can't be read: "),
    "empty": ({"web/package-lock.json": ""}, "web/package-lock.json: can't be read: it is empty"),
    "not UTF-8": ({"web/package-lock.json": LOCK.encode("utf-16")}, "web/package-lock.json: can't be read: byte 0"),
    "conflict": ({"web/package-lock.json": CONFLICT}, "web/package-lock.json: can't be read: line 17 is a merge"),
    "twice": ({"web/package-lock.json": LOCK.replace(VERSION, f'{VERSION}, "version": "4.17.4"')},
              "web/package-lock.json: can't be read: the key 'version' stands twice"),
    "twice but for case": ({"web/package-lock.json": LOCK.replace(VERSION, f'{VERSION}, "Version": "4.17.4"')},
                           "web/package-lock.json: can't be read: the key 'version' stands twice"),
    "null": ({"web/package-lock.json": "null"}, "web/package-lock.json: can't be read: "),
    "unknown version": ({"web/package-lock.json": LOCK.replace('"lockfileVersion": 3', '"lockfileVersion": 9')},
                        "web/package-lock.json: can't be read: "),
    "Go": ({"web/go.mod": "module example.org/x\n"}, "web/go.mod: Go has no reader and no control here"),
    "Rust": ({"web/Cargo.lock": "version = 3\n"}, "web/Cargo.lock: Cargo has no reader and no control here"),
    "a version that is none": ({"web/package-lock.json": LOCK.replace(VERSION, '"version": "4.17.4 "')},
                               "web/package-lock.json: no advisory can be compared with lodash@4.17.4 "),
    "BOM": ({"web/package-lock.json": "\ufeff" + LOCK}, "trivy skipped web/package-lock.json"),
}  # fmt: skip


@pytest.mark.parametrize(("files", "message"), BROKEN.values(), ids=BROKEN)
def test_what_can_not_be_judged_is_named_and_nothing_passes(
    files: dict[str, str | bytes], message: str, tmp_path: Path
) -> None:
    sound = support.judge(support.write(tmp_path / "sound", {"requirements.txt": support.FLASK_FIXED}))
    assert sound.verdict.status == "pass"
    done = support.judge(support.write(tmp_path / "broken", {"requirements.txt": support.FLASK_FIXED, **files}))
    assert done.verdict.status == "inconclusive"
    [reason] = [reason for reason in done.verdict.reasons if message in reason.message]
    assert (reason.kind, bool(reason.next_step)) == ("incomplete", True)
    failing = support.judge(support.write(tmp_path / "failing", {"requirements.txt": support.FLASK_OLD, **files}))
    assert failing.verdict.status == "fail"  # what was seen still counts
    assert message in support.messages(failing)


@pytest.mark.parametrize("files", [{}, {"README": "x"}, {"package.json": '{"name": "x", "version": "1.0.0"}'}])
def test_no_dependencies_at_all_is_no_pass(files: dict[str, str], tmp_path: Path) -> None:
    done = support.judge(support.write(tmp_path, {"a/b": "", **files}))
    assert done.verdict.status == "inconclusive"
    assert "packages in lockfiles: saw 0 of at least 1 packages" in support.messages(done)
    assert {control.seen for control in done.result.controls} == {5}  # the tool did look


def test_a_vulnerability_behind_a_byte_order_mark_is_proven_by_our_list(tmp_path: Path) -> None:
    lock = "\ufeff" + support.npm_lock({"lodash": "4.17.4"})
    done = support.judge(support.write(tmp_path, {"package-lock.json": lock}))
    assert done.verdict.status == "fail"
    assert "trivy skipped package-lock.json: it saw none of its 1 packages" in support.messages(done)
    assert "CVE-2019-10744" in support.named(done)


def test_links_and_huge_files_are_not_read(tmp_path: Path) -> None:
    target = support.write(tmp_path, {"requirements.txt": support.FLASK_FIXED, "real/lock": LOCK, "big/x": ""})
    (target / "loop").mkdir()
    (target / "loop/package-lock.json").symlink_to("package-lock.json")
    (target / "linked").mkdir()
    (target / "linked/package-lock.json").symlink_to(target / "real/lock")
    (target / "round").symlink_to(target)
    with (target / "big/package-lock.json").open("wb") as file:
        file.truncate(50_000_001)
    done = support.judge(target)
    assert done.verdict.status == "inconclusive"
    text = support.messages(done)
    assert "loop/package-lock.json: it is a link" in text
    assert "linked/package-lock.json: it is a link" in text
    assert "big/package-lock.json: it has more than 50,000,000 bytes" in text
    assert "left out: round (a link to a folder, not followed)" in done.result.not_looked


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_a_file_that_may_not_be_read_is_named(tmp_path: Path) -> None:
    target = support.write(tmp_path, {"requirements.txt": support.FLASK_FIXED, "web/package-lock.json": LOCK})
    (target / "web/package-lock.json").chmod(0)
    done = support.judge(target)
    assert done.verdict.status == "inconclusive"
    assert "web/package-lock.json: it may not be read" in support.messages(done)


def test_a_file_that_vanishes_before_it_is_copied_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def found(*_: Any, **__: Any) -> Discovery:
        names = ("gone/requirements.txt", "requirements.txt")
        return Discovery(tuple(FoundFile(name, "requirements", "pypi", "lockfile") for name in names), (), ())

    monkeypatch.setattr(inputs, "discover", found)
    done = support.judge(support.write(tmp_path, {"requirements.txt": support.FLASK_FIXED}))
    assert done.verdict.status == "inconclusive"
    assert "gone/requirements.txt: it can't be copied: No such file or directory" in support.messages(done)


def exclusion(path: str, days: int) -> dict[str, str]:
    expires = support.today() + timedelta(days=days)
    return {"path": path, "reason": "a test fixture only", "approver": "Ada", "expires": f"{expires:%Y-%m-%d}"}


def test_an_exclusion_counts_until_its_last_day_and_is_reported(tmp_path: Path) -> None:
    files = {"requirements.txt": support.FLASK_FIXED, "fixtures/requirements.txt": support.FLASK_OLD}
    target = support.write(tmp_path, files)
    assert support.judge(target).verdict.status == "fail"
    done = support.judge(target, exclude=[exclusion("fixtures/**", 0)])
    assert done.verdict.status == "pass"
    left = "left out: fixtures/requirements.txt (excluded by the configuration)"
    assert left in done.result.not_looked
    assert "fixtures/requirements.txt" in done.report.read_text()
    expired = support.judge(target, exclude=[exclusion("fixtures/**", -1)])
    assert expired.verdict.status == "fail"
    assert "the exclusion of fixtures/** expired on" in support.messages(expired)
    everything = support.judge(target, exclude=[exclusion("**", 5)])
    assert everything.verdict.status == "inconclusive"


def test_an_exclusion_without_its_approver_is_a_configuration_error(tmp_path: Path) -> None:
    more = '[[exclude]]\npath = "fixtures/**"\nreason = "a test fixture only"\n'
    support.write(tmp_path, {"requirements.txt": support.FLASK_OLD, "truegate.toml": support.toml(more=more)})
    done = support.inv("security.sca", cwd=tmp_path)
    assert done.returncode == 2
    assert "approver" in done.stderr


def test_what_runs_judged_is_not_judged_again_wherever_they_are_kept(tmp_path: Path) -> None:
    target = support.write(tmp_path, {"requirements.txt": support.FLASK_OLD})
    first = support.judge(target, evidence_dir="kept/evidence", evidence_reports_dir="kept/reports")
    assert first.verdict.status == "fail"
    (target / "requirements.txt").write_text(support.FLASK_FIXED)
    second = support.judge(target)
    assert second.verdict.status == "pass"
    left = [text for text in second.result.not_looked if text.startswith("left out: ")]
    assert left == ["left out: evidence/security/sca/*/input and 1 more (what a run judged)"]


@pytest.mark.parametrize("key", ["evidence_dir", "evidence_reports_dir", "security_db_dir"])
def test_a_folder_that_the_kit_writes_to_hides_nothing_else(key: str, tmp_path: Path) -> None:
    files = {"requirements.txt": support.FLASK_FIXED, "services/requirements.txt": support.FLASK_OLD}
    target = support.write(tmp_path, files)
    if key == "security_db_dir":
        shutil.copytree(support.advisories(), target / "services", dirs_exist_ok=True)
    done = support.judge(target, **{key: str(target / "services")})
    assert done.verdict.status == "fail"
    assert support.codes(done) == {"runtime_high_max"}


NAMES = (
    "a b", "ünï/é", "new\nline", "-dash", "--config", "control/pypi", "control/npm", "target/control", "listed/pypi",
    "a:b", "$HOME", "*", "%s", "q'\"q", "input/x", "\u202egpj", "[bold]", "<b>", "|", "::error::x", "\x1b[31m",
)  # fmt: skip


@pytest.mark.parametrize("engine", ["trivy", "osv-scanner"])
def test_no_name_of_a_folder_hides_what_is_in_it(engine: str, tmp_path: Path) -> None:
    target = support.write(tmp_path, {f"{name}/requirements.txt": support.FLASK_OLD for name in NAMES})
    done = support.judge(target, security_sca_engines=[engine])
    assert done.verdict.status == "fail"
    [finding] = done.result.findings
    assert {location.path for location in finding.locations} == {f"{name}/requirements.txt" for name in NAMES}
    assert all(location.line == 1 for location in finding.locations)
    assert not {reason.code for reason in done.verdict.reasons} & {"package-unseen", "not-seen", "report"}
    assert verify(done.run_folder).state == "sound"
    (target / "a b/requirements.txt").write_text(support.FLASK_FIXED)
    assert support.judge(target, security_sca_engines=[engine]).verdict.status == "fail"


def test_very_deep_paths_are_judged_or_named(tmp_path: Path) -> None:
    deep = "/".join(["d" * 40] * 60)
    done = support.judge(support.write(tmp_path / "deep", {f"{deep}/requirements.txt": support.FLASK_OLD}))
    assert done.verdict.status == "fail"
    room = 4090 - len(str(tmp_path / "deeper")) - len("/requirements.txt")
    files = {"requirements.txt": support.FLASK_FIXED, "/".join(["d" * 40] * (room // 41)) + "/requirements.txt": "x"}
    too_deep = support.judge(support.write(tmp_path / "deeper", files))
    assert too_deep.verdict.status == "inconclusive"
    assert "it can't be copied: File name too long" in support.messages(too_deep)


def test_a_target_under_a_link_or_below_a_folder_called_input_is_judged(tmp_path: Path) -> None:
    real = support.write(tmp_path / "input" / "service", {"requirements.txt": support.FLASK_OLD})
    (tmp_path / "link").symlink_to(tmp_path / "input")
    for place in (real, tmp_path / "link" / "service"):
        for engine in ("trivy", "osv-scanner"):
            done = support.judge(place, security_sca_engines=[engine], evidence_dir=str(tmp_path / "link/kept"))
            assert done.verdict.status == "fail"
            assert support.codes(done) == {"runtime_high_max"}
            assert verify(done.run_folder).state == "sound"


def test_the_inventory_is_kept_with_the_run(tmp_path: Path) -> None:
    done = support.judge(
        support.write(tmp_path, {"requirements.txt": support.FLASK_OLD, "sub/package-lock.json": LOCK})
    )
    kept = json.loads((done.run_folder / "input/inventory.json").read_bytes())
    assert [file["path"] for file in kept["files"]] == ["target/requirements.txt", "target/sub/package-lock.json"]
    assert (done.run_folder / "input/target/sub/package-lock.json").read_text() == LOCK
    assert (done.run_folder / "input/listed/pypi/requirements.txt").read_text() == support.FLASK_OLD
    listed = json.loads((done.run_folder / "input/listed/npm/package-lock.json").read_bytes())
    assert listed["packages"] == {"node_modules/0/node_modules/lodash": {"version": "4.17.21"}}
