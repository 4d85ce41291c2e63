"""Secrets reach no file and no screen, and masking them changes no verdict without a word."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from urllib.parse import quote

import pytest
import support  # type: ignore[import-not-found]

from truegate.verify import verify

pytestmark = pytest.mark.slow

TOKEN = "8f14e45f-ceea-467f-a9e7-snyk"
PASSWORD = "p4ss/w+rd=Zq9&x"
IN_URL = "s3cr3t-of-the-registry"
PROFILE = f'DB_PASSWORD="{PASSWORD}"\nREGISTRY_URL="https://bot:{IN_URL}@registry.example.org/npm/"\n'


def forms(secret: str) -> list[bytes]:
    """Give the ways in which tools echo a secret."""
    raw = secret.encode()
    plain = [
        raw,
        raw.hex().encode(),
        raw.hex().upper().encode(),
        quote(secret, safe="").encode(),
        quote(secret).encode(),
    ]
    joined = (f"bot:{secret}".encode(), f"x{secret}".encode(), raw)
    return plain + [base64.b64encode(text)[4:-4] for text in joined] + [json.dumps(secret)[1:-1].encode()]


def lock_with_addresses() -> str:
    lock = json.loads(support.npm_lock({"lodash": "4.17.4"}))
    for secret in (TOKEN, PASSWORD, IN_URL):
        address = f"https://bot:{quote(secret, safe='')}@registry.example.org/lodash/-/lodash-4.17.4.tgz?t={secret}"
        lock["packages"]["node_modules/lodash"]["resolved"] = address
        lock["packages"]["node_modules/lodash"].setdefault("funding", []).append(address)
    return json.dumps(lock, indent=1)


def requirements() -> str:
    basic = base64.b64encode(f"bot:{IN_URL}".encode()).decode()
    lines = [f"--index-url https://bot:{quote(s, safe='')}@pypi.example.org/simple" for s in (TOKEN, PASSWORD, IN_URL)]
    return "\n".join([*lines, f"# Authorization: Basic {basic}", f"# {TOKEN.encode().hex()}", support.FLASK_OLD])


@pytest.mark.parametrize("check", ["security.sca", "security.sbom"])
def test_a_planted_secret_is_found_nowhere(check: str, tmp_path: Path) -> None:
    files = {
        "web/package-lock.json": lock_with_addresses(),
        "requirements.txt": requirements(),
        ".env.staging": PROFILE,
        "truegate.toml": support.toml(),
    }
    target = support.write(tmp_path / "t", files)
    done = support.inv(check, "--profile", "staging", cwd=target, env={"SNYK_TOKEN": TOKEN})
    assert done.returncode in {0, 3}, done.stdout + done.stderr
    kept = list(support.files_below(target / "evidence", target / "reports"))
    assert len(kept) > 15
    texts = {str(path): path.read_bytes() for path in kept} | {"the screen": (done.stdout + done.stderr).encode()}
    assert any(b"***" in text for text in texts.values())  # so it was there to be found
    for name, text in texts.items():
        for secret in (TOKEN, PASSWORD, IN_URL):
            assert not [form for form in forms(secret) if form in text], (name, secret)
    meta = json.loads((support.run_folder(target, check.replace(".", "/")) / "meta.json").read_bytes())
    assert set(meta["redactions"]) == {"SNYK_TOKEN", "DB_PASSWORD", "REGISTRY_URL (password)"}
    if check == "security.sca":
        assert done.returncode == 3
        assert "CVE-2019-10744" in done.stdout
        assert "CVE-2023-30861" in done.stdout
        assert "masked" not in done.stdout


@pytest.mark.parametrize("name", ["SHOP_KEY", "AUTH_SERVICE", "NPM_TOKEN"])
def test_a_secret_called_like_a_package_does_not_hide_the_package(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Masking `lodash` in the copy of the lockfile would take the package away from both witnesses."""
    monkeypatch.setenv(name, "lodash")
    target = support.write(tmp_path, {"package-lock.json": support.npm_lock({"lodash": "4.17.4"})})
    done = support.judge(target)
    assert done.verdict.status == "inconclusive"
    [reason] = [reason for reason in done.verdict.reasons if reason.code == "masked"]
    assert (reason.kind, bool(reason.next_step)) == ("unreliable", True)
    assert f"masking the value of {name} changed what the lockfiles say" in reason.message
    assert verify(done.run_folder).state == "sound"


def test_a_secret_in_a_files_name_makes_it_unjudged_not_clean(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FOLDER_SECRET", "services")
    target = support.write(tmp_path, {"services/requirements.txt": support.FLASK_OLD})
    assert support.judge(target).verdict.status != "pass"


@pytest.mark.parametrize("value", ["CRITICAL", "Vulnerabilities", "Packages", "Results", "lockfile", "requirements"])
def test_a_secret_called_like_a_word_of_the_report_gives_no_pass(
    value: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ODD_TOKEN", value)
    target = support.write(tmp_path, {"package-lock.json": support.npm_lock({"lodash": "4.17.4"})})
    assert support.judge(target).verdict.status in {"fail", "inconclusive"}
