"""The policy of a run: limits from the configuration, waivers with their line, prose without secrets."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import spine  # type: ignore[import-not-found]
from truegate.config import leaves, load_config
from truegate.errors import ConfigError
from truegate.model import Criterion, Policy, to_json
from truegate.policy import build_policy
from truegate.toml import schema_faults

WAIVER = (
    '[[waiver]]\ncheck = "security.sca"\nid = "CVE-2019-10744"\npackage = "pkg:npm/lodash"\n'
    'reason = "not reachable from outside"\napprover = "Ada"\nopened = 2030-01-01\nexpires = "2030-01-31"\n'
)


def policy(folder: Path, text: str = "", waivers: str = "", check: str = "security.sca", **options: Any) -> Policy:
    (folder / "truegate.toml").write_text(text)
    if waivers:
        (folder / "waivers.toml").write_text(waivers)
    return build_policy(check, load_config(str(folder), **options))


def criterion(built: Policy, name: str) -> Criterion:
    return next(criterion for criterion in built.criteria if criterion.id == name)


@pytest.mark.parametrize("check", ["security.sca", "security.sbom"])
def test_by_default_no_criterion_is_looser_and_the_policy_is_valid(check: str, tmp_path: Path) -> None:
    built = policy(tmp_path, check=check)
    assert len(built.criteria) >= 9
    assert all(one.origin == "default" and one.limit == one.default and one.next_step for one in built.criteria)
    assert not any(one.looser_than_default for one in built.criteria)
    assert list(schema_faults(to_json(built), "policy")) == []
    assert built.waiver_max_days == {"critical": 30, "high": 60, "unknown": 60, "medium": 180, "low": 365, "info": 365}


def test_every_criterion_of_the_schema_says_what_a_miss_means_and_what_to_do() -> None:
    found = [(key, node["x-criterion"]) for key, node in leaves() if ".criteria." in key]
    assert len(found) >= 20
    for key, spec in found:
        assert spec["op"] in {"<=", ">="}, key
        assert spec["kind"] in {"failed", "incomplete", "unreliable"}, key
        assert spec["next_step"], key


@pytest.mark.parametrize(
    ("name", "value", "limit", "looser"),
    [
        ("runtime_critical_max", "0", 0, False),
        ("runtime_critical_max", "1", 1, True),
        ("runtime_critical_max", '"none"', None, True),
        ("runtime_medium_max", '"none"', None, False),
        ("runtime_medium_max", "5", 5, False),
        ("dev_high_max", "0", 0, False),
        ("unknown", '"fail"', 0, False),
        ("unknown", '"warn"', None, True),
        ("advisory_age_hours_max", "24", 24, False),
        ("advisory_age_hours_max", "48.5", 48.5, True),
        ("accept_private_advisories", "true", 1, True),
        ("accept_private_advisories", "false", 0, False),
    ],
)
def test_a_limit_that_is_looser_than_the_default_is_marked(
    name: str, value: str, limit: float | None, *, looser: bool, tmp_path: Path
) -> None:
    built = criterion(policy(tmp_path, f"[security.sca.criteria]\n{name} = {value}\n"), name)
    assert (built.limit, built.looser_than_default, built.origin) == (limit, looser, "truegate.toml:2")


def test_waivers_keep_their_line_and_those_of_another_check_stay_out(tmp_path: Path) -> None:
    other = WAIVER.replace("security.sca", "security.sbom")
    text = f"# accepted in May\n{WAIVER}\n{other}\n{WAIVER}ticket = 'SHOP-1'\n"
    built = policy(tmp_path, waivers=text)
    assert [(w.line, w.file, w.ticket) for w in built.waivers] == [
        (2, "waivers.toml", ""), (20, "waivers.toml", "SHOP-1"),
    ]  # fmt: skip
    assert (built.waivers[0].opened, built.waivers[0].expires) == ("2030-01-01", "2030-01-31")
    assert len(policy(tmp_path, waivers=text, check="security.sbom").waivers) == 1


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (WAIVER.replace("expires", "expire"), "waivers.toml:8: unknown key 'waiver[0].expire'; did you"),
        (WAIVER.replace("approver", "approved_by"), 'waivers.toml:1: waiver[0]: "approver" is a required property'),
        (WAIVER.replace('"2030-01-31"', '"31.1.2030"'), 'waivers.toml:8: waiver[0].expires: "31.1.2030" is not'),
        (WAIVER.replace("2030-01-01", "2030-01-01T00:00:00"), "waivers.toml:7: waiver[0].opened: "),
        (WAIVER.replace("2030-01-01", "20300101"), "waivers.toml:7: waiver[0].opened: 20300101 is not of type"),
        (WAIVER + WAIVER.replace("not reachable from outside", "no"), "waivers.toml:13: waiver[1].reason: "),
        (WAIVER.replace('"security.sca"', '"sca"'), "waivers.toml:2: waiver[0].check: "),
        (WAIVER.replace('"CVE-2019-10744"', '"*"'), "waivers.toml:3: waiver[0].id: "),
        (WAIVER.replace("[[waiver]]", "[[waivers]]"), "unknown key 'waivers'; did you mean 'waiver'?"),
        (WAIVER.replace("[[waiver]]", "[waiver]"), "waiver: "),
        ('[[waiver]]\nid = "open\n', "waivers.toml is not TOML: "),
    ],
)  # fmt: skip
def test_an_unsound_waivers_file_is_refused_with_the_line(text: str, told: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        policy(tmp_path, waivers=text)
    assert told in caught.value.message


def test_a_waivers_file_that_is_named_must_be_there_and_be_a_file(tmp_path: Path) -> None:
    text = '[waivers]\nfile = "accepted.toml"\nunused = "fail"\n'
    with pytest.raises(ConfigError, match=r"accepted\.toml is missing"):
        policy(tmp_path, text)
    (tmp_path / "accepted.toml").mkdir()
    with pytest.raises(ConfigError, match="is no file"):
        policy(tmp_path, text)
    (tmp_path / "accepted.toml").rmdir()
    (tmp_path / "accepted.toml").write_text(WAIVER)
    built = policy(tmp_path, text)
    assert (built.waivers[0].file, built.unused_waivers) == ("accepted.toml", "fail")


def test_exclusions_keep_their_line(tmp_path: Path) -> None:
    row = '[[exclude]]\npath = "{}/**"\nreason = "test fixtures only"\napprover = "Ada"\nexpires = 2030-01-31\n'
    built = policy(tmp_path, row.format("a") + "\n" + row.format("b"))
    assert [(e.path, e.expires, e.origin) for e in built.exclusions] == [
        ("a/**", "2030-01-31", "truegate.toml:1"), ("b/**", "2030-01-31", "truegate.toml:7"),
    ]  # fmt: skip


def test_settings_are_those_of_the_check(tmp_path: Path) -> None:
    built = policy(tmp_path, '[target]\nversion = "1.4.2"\n[security.sca]\nengines = ["trivy", "osv-scanner"]\n')
    assert built.settings == {
        "target.version": "1.4.2", "inventory.dev_files": [], "security.sca.engines": ["trivy", "osv-scanner"],
        "security.sca.timeout_seconds": 300,
    }  # fmt: skip


def test_secrets_are_masked_in_prose(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("API_TOKEN", "t0k3n-value")
    text = (
        '[target]\nowner = "t0k3n-value"\nversion = "1-t0k3n-value"\n[[exclude]]\npath = "x"\n'
        'reason = "holds t0k3n-value"\napprover = "t0k3n-value"\nexpires = 2030-01-31\n'
    )
    waiver = WAIVER.replace("not reachable", "t0k3n-value").replace("Ada", "t0k3n-value") + 'ticket = "t0k3n-value"\n'
    built = policy(tmp_path, text, waiver)
    assert built.owner == "***"
    assert "t0k3n-value" not in str(to_json(built))
    assert built.waivers[0].reason == "*** from outside"


WORDS = ("runtime", "critical", "findings", "failed", "incomplete", "unreliable", "complete", "security",
         "security.sca", "pkg:npm/lodash", "CVE-2019-10744", "2030-01-31", "runtime_high_max", "package")  # fmt: skip


@pytest.mark.parametrize("word", WORDS)
def test_a_secret_that_is_a_word_of_the_policy_changes_nothing_in_it(
    word: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = policy(tmp_path, waivers=WAIVER)
    monkeypatch.setenv("ODD_TOKEN", word)
    assert policy(tmp_path, waivers=WAIVER) == plain


@pytest.mark.parametrize(
    "word", ["runtime", "critical", "findings", "failed", "complete", "high", "inconclusive", "flask"]
)
def test_a_secret_that_is_any_such_word_makes_nothing_green(
    word: str, trivy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ODD_TOKEN", word)
    assert spine.judge(tmp_path, trivy).verdict.status in {"fail", "inconclusive"}


def test_rules_beside_the_criteria_that_are_looser_than_the_default_are_told(tmp_path: Path) -> None:
    text = '[waivers.max_days]\ncritical = 36500\nhigh = 7\n[inventory]\ndev_files = ["**"]\n'
    assert policy(tmp_path, text).looser == (
        "inventory.dev_files = ['**'] (truegate.toml:5; default [])",
        "waivers.max_days.critical = 36500 (truegate.toml:2; default 30)",
    )
    assert policy(tmp_path).looser == ()


def test_a_waiver_for_a_check_that_there_is_not_is_refused_with_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"waivers.toml:1: no check is named 'security.sac'") as caught:
        policy(tmp_path, waivers=WAIVER.replace("security.sca", "security.sac"))
    assert caught.value.next_step == "did you mean security.sca?"
