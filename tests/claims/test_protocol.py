"""Rules are frozen before the seeds that they judge are drawn, and whoever changes one afterwards is seen."""

import copy
import subprocess

import pytest

from cllm_lib import claims
from cllm_lib.claims import changed, protocol, questions


@pytest.fixture(scope="module")
def now():
    return protocol.protocol()


def test_the_rules_in_the_code_are_the_frozen_ones(now):
    assert protocol.changes(now=now) == []


def test_the_protocol_holds_all_that_was_decided_beforehand(now):
    rows = {f"{row.chapter}: {row.claim}": row for row in claims.table()}
    assert list(now["rows"]) == list(rows)
    for name, row in rows.items():
        asked = now["rows"][name]["questions"]
        assert [(one["name"], one["threshold"], one["margin"], one["kind"]) for one in asked] == [
            (one.name, one.threshold, one.margin, one.kind) for one in row.asks
        ]
        assert all(one["seeds"] >= 10 for one in asked)
    assert now["seeds"]["tuning"] == "100 to 109"


@pytest.mark.parametrize("key", ["threshold", "margin", "says", "kind", "name"])
def test_a_changed_rule_is_seen(now, key):
    name = next(name for name, row in now["rows"].items() if row["questions"])
    changed = copy.deepcopy(now)
    changed["rows"][name]["questions"][0][key] = "other"
    assert protocol.changes(changed, now) == [f"{name!r} has other rules"]


def test_a_row_that_came_in_or_went_is_seen(now):
    name = next(iter(now["rows"]))
    fewer = now | {"rows": {other: row for other, row in now["rows"].items() if other != name}}
    assert protocol.changes(fewer, now) == [f"{name!r} has come in"]
    assert protocol.changes(now, fewer) == [f"{name!r} is gone"]


def test_a_changed_rule_of_the_other_family_is_seen(now):
    assert now["changes"] == changed.rules()
    name = next(iter(now["changes"]["comparisons"]))
    other = copy.deepcopy(now)
    other["changes"]["comparisons"][name]["margin"] = 7.0
    assert protocol.changes(other, now) == [f"{name!r} has other rules"]
    del other["changes"]["comparisons"][name]
    other["changes"]["correction"] = "none"
    assert protocol.changes(other, now) == [f"{name!r} has come in", "the correction was 'none'"]
    other["judges"]["cllm_lib.claims.changed_layers"] = "another"
    assert "'cllm_lib.claims.changed_layers' is judged by other code" in protocol.changes(other, now)


def test_other_seeds_change_no_rule(now):
    other = copy.deepcopy(now)
    for row in other["rows"].values():
        for one in row["questions"]:
            one |= {"seeds": 20, "detectable": 0.5}
    assert protocol.changes(other, now) == []


SOURCE = '''
"""A docstring."""

LIMIT = 0.5


def judge(value):
    """Another."""
    return value < LIMIT  # a comment
'''


@pytest.mark.parametrize(
    ("old", "new", "same"),
    [
        ("# a comment", "# another comment", True),
        ("Another.", "Yet another, longer.", True),
        ("0.5", "0.6", False),
        ("value < LIMIT", "value <= LIMIT", False),
    ],
    ids=["a comment", "a docstring", "a threshold", "a comparison"],
)
def test_a_fingerprint_of_judges_sees_code_and_nothing_else(tmp_path, old, new, same):
    found = []
    for i, text in enumerate((SOURCE, SOURCE.replace(old, new))):
        path = tmp_path / f"judges_{i}.py"
        path.write_text(text)
        module = type(questions)(path.stem)
        module.__file__ = str(path)
        found.append(protocol._code(module))
    assert (found[0] == found[1]) == same


def git(folder, *words):
    who = ["-c", "user.name=a", "-c", "user.email=a@b.c", "-c", "commit.gpgsign=false"]
    return subprocess.run(["git", *who, *words], cwd=folder, capture_output=True, text=True, check=True).stdout.strip()


def test_a_protocol_counts_once_it_is_committed(tmp_path):
    path = tmp_path / "protocol.json"
    path.write_text("{}")
    git(tmp_path, "init", "-q")
    with pytest.raises(RuntimeError, match="is not committed as it stands"):
        protocol.commit_of(path)
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-q", "-m", "rules")
    first = git(tmp_path, "rev-parse", "--short=7", "HEAD")
    (tmp_path / "other").write_text("x")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-q", "-m", "something else")
    assert protocol.commit_of(path) == first
    path.write_text('{"changed": 1}')
    with pytest.raises(RuntimeError, match="is not committed as it stands"):
        protocol.commit_of(path)


def test_where_there_is_none_the_error_says_how_one_is_made(monkeypatch, tmp_path):
    monkeypatch.setattr(protocol.registry, "evidence_file", lambda name: tmp_path / name)
    with pytest.raises(FileNotFoundError, match="--freeze"):
        protocol.stored()
