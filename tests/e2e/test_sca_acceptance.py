"""security.sca as a new user types it: the command line, real lockfiles, the real Trivy, the exit codes."""

from __future__ import annotations

import html
import json
import shutil
from datetime import timedelta
from pathlib import Path
from subprocess import CompletedProcess

import pytest
import support  # type: ignore[import-not-found]

pytestmark = pytest.mark.slow

LODASH = ("CVE-2019-10744", "CVE-2020-8203", "CVE-2021-23337")  # what the seed knows of lodash 4.17.4


def sca(target: Path, *arguments: str, **env: str) -> CompletedProcess[str]:
    done: CompletedProcess[str] = support.inv("security.sca", *arguments, cwd=target, env=env)
    assert "Traceback" not in done.stderr
    return done


def waivers(opened_days_ago: int, days_to_run: int) -> str:
    opened, expires = (support.today() + timedelta(days=days) for days in (-opened_days_ago, days_to_run))
    return "\n".join(
        support.waiver(name, "pkg:npm/lodash", f"{opened:%Y-%m-%d}", f"{expires:%Y-%m-%d}") for name in LODASH
    )


def judged(folder: Path, lockfile: str, **files: str) -> Path:
    made: Path = support.sample(lockfile, folder)
    return Path(support.write(made, {"truegate.toml": support.toml(), **files}))


def test_old_lodash_at_run_time_fails_and_is_named(tmp_path: Path) -> None:
    done = sca(judged(tmp_path, "npm3-old-runtime"))
    assert done.returncode == 3
    assert done.stdout.splitlines()[0] == "rests on seed advisories alone, not on the public data"
    for name in LODASH:
        assert any(name in line and "lodash 4.17.4" in line and "4.17.21" in line for line in done.stdout.splitlines())
    assert "failed: runtime_critical_max is" in done.stdout
    last, report = done.stdout.splitlines()[-2:]
    assert last.startswith("security.sca fail ")
    assert (tmp_path / report.removeprefix("report ")).is_file()


def test_old_lodash_as_a_dev_dependency_passes_and_is_reported(tmp_path: Path) -> None:
    done = sca(judged(tmp_path, "npm3-old-dev"))
    assert done.returncode == 0, done.stdout
    assert all(name in done.stdout for name in LODASH)
    assert "dev_critical_max" in done.stdout
    verdict = json.loads((support.run_folder(tmp_path) / "verdict.json").read_bytes())
    assert {row["id"]: row["measured"] for row in verdict["criteria"]}["dev_high_max"] == 2
    page = (tmp_path / done.stdout.splitlines()[-1].removeprefix("report ")).read_text()
    assert all(name in page for name in LODASH)


def test_waived_with_ten_days_to_run_passes_and_is_reported_as_waived(tmp_path: Path) -> None:
    lock = support.npm_lock({"lodash": "4.17.4"})
    files = {"package-lock.json": lock, "truegate.toml": support.toml(), "waivers.toml": waivers(5, 10)}
    folder = support.write(tmp_path, files)
    done = sca(folder)
    assert done.returncode == 0, done.stdout
    assert "waived: 3" in done.stdout
    verdict = json.loads((support.run_folder(folder) / "verdict.json").read_bytes())
    assert {entry["ids"][0] for entry in verdict["waived"]} == set(LODASH)
    assert all(entry["approver"] == "Ada" for entry in verdict["waived"])

    (folder / "waivers.toml").write_text(waivers(12, -1))
    expired = sca(folder)
    assert expired.returncode == 3
    assert "waivers.toml:1: waiver for CVE-2019-10744 in pkg:npm/lodash expired on" in expired.stdout.replace(
        "\n    ", ""
    )


@pytest.mark.parametrize("lockfile", ["npm3-alias", "npm3-workspace", "npm3-nested", "npm1-alias", "yarn1-alias"])
def test_no_spelling_hides_it(lockfile: str, tmp_path: Path) -> None:
    done = sca(judged(tmp_path, lockfile))
    assert done.returncode == 3, done.stdout
    assert "minimist 0.0.8" in done.stdout if lockfile == "npm3-nested" else LODASH[0] in done.stdout


def test_without_advisory_data_it_says_how_to_get_it(tmp_path: Path) -> None:
    folder = judged(tmp_path, "npm3-fixed-runtime", **{"truegate.toml": support.toml(data=tmp_path / "gone")})
    done = sca(folder)
    assert done.returncode == 4
    text = " ".join(done.stdout.split())
    assert "Trivy has no advisory data in" in text
    assert "inv security.db.update fetches it; inv security.db.import --file F takes an archive" in text
    assert done.stdout.splitlines()[-2].startswith("security.sca inconclusive ")


@pytest.mark.parametrize("lost", ["trivy.db", "metadata.json"])
def test_half_of_the_advisory_data_is_none(lost: str, tmp_path: Path) -> None:
    data = Path(shutil.copytree(support.advisories(), tmp_path / "data"))
    (data / "trivy" / "db" / lost).unlink()
    done = sca(judged(tmp_path / "t", "npm3-fixed-runtime", **{"truegate.toml": support.toml(data=data)}))
    assert done.returncode == 4
    assert "inv security.db.update fetches it" in done.stdout


def test_without_the_controls_advisories_nothing_is_clean(tmp_path: Path) -> None:
    planted = json.loads((support.KIT / "scripts/truegate/controls/sca/expected.json").read_text())["npm"]["expected"]
    data = support.advisories(without=tuple(ids[0] for ids in planted))
    clean = judged(tmp_path / "clean", "npm3-fixed-runtime", **{"truegate.toml": support.toml(data=data)})
    done = sca(clean)
    assert done.returncode == 4
    assert "control trivy: npm was missed: 0 of at least 4 planted flaws seen" in " ".join(done.stdout.split())


def test_stale_data_can_fail_but_not_pass(tmp_path: Path) -> None:
    config = support.toml(criteria="accept_private_advisories = true", accept=False)
    done = sca(judged(tmp_path / "clean", "npm3-fixed-runtime", **{"truegate.toml": config}))
    assert done.returncode == 4
    assert "hours, wanted <= 48" in done.stdout
    assert "inv security.db.update" in done.stdout
    assert sca(judged(tmp_path / "old", "npm3-old-runtime", **{"truegate.toml": config})).returncode == 3


def test_private_advisories_can_fail_and_pass_only_where_accepted(tmp_path: Path) -> None:
    now = f"{support.today():%Y-%m-%dT%H:%M:%SZ}"
    data = support.advisories(also=(support.record("ACME-2026-1", "nobody-has-this", modified=now),))
    refused = support.toml(data=data, accept=False)
    done = sca(judged(tmp_path / "clean", "npm3-fixed-runtime", **{"truegate.toml": refused}))
    assert done.returncode == 4
    assert done.stdout.splitlines()[0] == "rests on private advisories alone, not on the public data"
    assert "accept_private_advisories = true" in done.stdout
    assert sca(judged(tmp_path / "old", "npm3-old-runtime", **{"truegate.toml": refused})).returncode == 3

    accepted = support.toml(data=data, accept=False, criteria="accept_private_advisories = true")
    done = sca(judged(tmp_path / "clean", "npm3-fixed-runtime", **{"truegate.toml": accepted}))
    assert done.returncode == 0, done.stdout
    assert done.stdout.splitlines()[0] == "rests on private advisories alone, not on the public data"
    assert "looser than the default: accept_private_advisories <= 1" in done.stdout
    report = tmp_path / "clean" / done.stdout.splitlines()[-1].removeprefix("report ")
    for name in ("index.html", "summary.md"):
        text = html.unescape(report.with_name(name).read_text())
        assert "accept_private_advisories" in text
        assert "looser than the default" in text


def test_the_two_last_lines_and_the_verdict_as_json(tmp_path: Path) -> None:
    folder = judged(tmp_path, "npm3-fixed-runtime")
    quiet = sca(folder, "--quiet")
    assert [line.split()[0] for line in quiet.stdout.splitlines()] == ["security.sca", "report"]
    assert json.loads(sca(folder, "--json").stdout)["status"] == "pass"
    assert support.inv("evidence.verify", cwd=folder).returncode == 0
