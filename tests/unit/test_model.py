"""The records and their schemas say the same, and records survive the way to disk and back."""

from __future__ import annotations

import dataclasses
import typing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import spine  # type: ignore[import-not-found]
from truegate import evidence, jsonio, model
from truegate.errors import EvidenceError
from truegate.model import Meta, Policy, Result, Verdict, from_json, to_json
from truegate.toml import KIT_ROOT, schema, schema_faults

RECORDS: dict[str, type] = {"meta": Meta, "policy": Policy, "result": Result, "verdict": Verdict}
JSON_VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("abc"), inner, max_size=3),
)


def nodes(name: str) -> dict[str, tuple[type, dict[str, Any]]]:
    """Give each record of one schema: its dataclass and the schema's node."""
    top = schema(name)
    inner = {key: (getattr(model, key), node) for key, node in top.get("$defs", {}).items()}
    return {RECORDS[name].__name__: (RECORDS[name], top), **inner}


def records_within(hint: Any) -> set[str]:
    """Give the names of the dataclasses that a type mentions."""
    if dataclasses.is_dataclass(hint):
        return {getattr(hint, "__name__", "")}
    return {name for part in typing.get_args(hint) for name in records_within(part)}


def choices(hint: Any) -> set[str]:
    if typing.get_origin(hint) is typing.Literal:
        return set(typing.get_args(hint))
    return {choice for part in typing.get_args(hint) for choice in choices(part)}


@pytest.mark.parametrize("name", RECORDS)
def test_schema_and_record_have_the_same_fields(name: str) -> None:
    found = nodes(name)
    for record, node in found.values():
        fields = [field.name for field in dataclasses.fields(record)]
        assert set(node["properties"]) == set(fields), record
        assert sorted(node["required"]) == sorted(fields), record
        assert node["additionalProperties"] is False, record
        hints = typing.get_type_hints(record)
        for field in fields:
            place = node["properties"][field]
            assert records_within(hints[field]) <= found.keys(), (record, field)
            wanted = place.get("enum") or place.get("items", {}).get("enum") or ()
            assert choices(hints[field]) == set(wanted), (record, field)
            if type(None) in typing.get_args(hints[field]):
                assert "null" in str(place), (record, field)


def test_every_schema_is_one_and_is_looked_at() -> None:
    import jsonschema_rs

    names = {path.name.removesuffix(".schema.json") for path in (KIT_ROOT / "schemas").glob("*.json")}
    assert names == {*RECORDS, "config", "env", "waivers"}
    for name in names:
        jsonschema_rs.meta.validate(schema(name))
        assert schema(name)["$schema"] == "https://json-schema.org/draft/2020-12/schema"


@pytest.mark.parametrize("check", ["security.sca", "security.sbom"])
def test_records_of_a_real_run_are_valid_and_canonical(check: str, trivy: Path) -> None:
    run = spine.kept_run(trivy, check)
    for name, record in RECORDS.items():
        data = (run / f"{name}.json").read_bytes()
        assert list(schema_faults(jsonio.loads(data, name), name)) == []
        assert jsonio.dumps(to_json(evidence.read_record(run / f"{name}.json", record))) == data


@pytest.mark.parametrize("record", RECORDS.values(), ids=RECORDS)
@given(data=st.data())
@settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
def test_records_come_back_as_they_were(record: type, data: st.DataObject) -> None:
    texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=5)
    numbers = st.floats(allow_nan=False, allow_infinity=False)
    with_types = {str: texts, float: numbers, Any: JSON_VALUES}
    made = data.draw(_built(record, with_types))
    kept = jsonio.loads(jsonio.dumps(to_json(made)), "x")
    assert from_json(record, kept) == made


def _built(record: type, known: dict[Any, st.SearchStrategy[Any]]) -> st.SearchStrategy[Any]:
    hints = typing.get_type_hints(record)
    return st.builds(record, **{field.name: _of(hints[field.name], known) for field in dataclasses.fields(record)})


def _of(hint: Any, known: dict[Any, st.SearchStrategy[Any]]) -> st.SearchStrategy[Any]:
    args = typing.get_args(hint)
    if hint in known:
        return known[hint]
    if dataclasses.is_dataclass(hint):
        return _built(typing.cast("type", hint), known)
    origin = typing.get_origin(hint)
    if origin in {tuple, list}:
        return st.lists(_of(args[0], known), max_size=2).map(origin)
    if origin is dict:
        return st.dictionaries(known[str], _of(args[1], known), max_size=2)
    if args and origin is not typing.Literal:
        return st.one_of([_of(part, known) for part in args])
    return st.from_type(hint)


@pytest.mark.parametrize(
    "change",
    [
        {"state": "bomplete"},
        {"state": None},
        {"run_id": "20260101_0000-ABCDEF"},
        {"run_id": "20260101_0000-abcdef\n"},
        {"steps": {}},
        {"steps": "x"},
        {"target": []},
        {"files": [{"path": "raw/x", "bytes": 1}]},
        {"files": [{"path": "raw/x", "bytes": "1", "sha256": "0" * 64}]},
        {"files": [[]]},
        {"external": 1},
        {"more": 1},
        {"facts": "x"},
        {"redactions": {"A": "x"}},
        {"finished_at": 5},
    ],
)
def test_a_record_that_breaks_its_schema_is_refused(change: dict[str, Any], tmp_path: Path) -> None:
    target = model.Target("t", None, None, None)
    meta = Meta("a.b", "20260101_0000-abcdef", "complete", "2026-01-01T00:00:00Z", None, "1", target, None)
    path = tmp_path / "meta.json"
    path.write_bytes(jsonio.dumps(to_json(meta)))
    assert evidence.read_record(path, Meta) == meta
    path.write_bytes(jsonio.dumps({**to_json(meta), **change}))
    with pytest.raises(EvidenceError) as caught:
        evidence.read_record(path, Meta)
    assert str(path) in caught.value.message
    assert next(iter(change)) in caught.value.message
