"""What is counted of the doctor's answers and of its peers', and what the page makes of it; without PyTorch, but for the last."""

import argparse
import json
import sys
from types import SimpleNamespace

import pytest

from benchmarks import doctor, evidence, torch_peers
from benchmarks.torch_setups.case import CAUSES

PEER = torch_peers.CHECKLIST


def answer(*named, said=None, crashed="", late=False, seconds=0.1):
    return {"said": list(named) if said is None else said, "named": list(named), "crashed": crashed, "late": late, "seconds": seconds}


def row(setup, cause, seed=0, **answers):
    names = {"doctor": doctor.DOCTOR, "peer": PEER}
    return {
        "set": "first",
        "setup": setup,
        "architecture": "MLP",
        "cause": cause,
        "seed": seed,
        "answers": {names[k]: a for k, a in answers.items()},
    }


ROWS = [
    row("a", "frozen", 0, doctor=answer("frozen"), peer=answer("detached", "frozen", seconds=7.0)),
    row("a", "frozen", 1, doctor=answer("untied"), peer=answer(said=["overfit_to_batch"], late=True)),
    row("b", "untied", 0, doctor=answer(), peer=answer(crashed="check: RuntimeError")),
    row("c", None, 0, doctor=answer(), peer=answer("detached")),
    row("c", None, 1, doctor=answer("untied"), peer=answer(late=True)),
]


def test_each_row_counts_where_it_belongs():
    assert doctor.summary(ROWS, doctor.DOCTOR) == {
        "faulty": 3, "named": 1, "spoke up": 2, "sound": 2, "blamed": 1, "crashed": 0, "late": 0, "seconds": 0.1,
    }  # fmt: skip
    assert doctor.summary(ROWS, PEER) == {
        "faulty": 3, "named": 1, "spoke up": 2, "sound": 2, "blamed": 1, "crashed": 1, "late": 2, "seconds": 7.0,
    }  # fmt: skip
    assert doctor.by_cause(ROWS, doctor.DOCTOR) == {"frozen": (1, 2), "untied": (0, 1)}


def test_a_mark_says_what_came_of_asking():
    assert [doctor.mark(r, doctor.DOCTOR) for r in ROWS] == ["named", "says untied", "missed", "silent", "says untied"]
    assert [doctor.mark(r, PEER) for r in ROWS] == ["named", "spoke up", "crashed", "blamed", "out of time"]
    assert doctor.counts(["named", "missed", "named"]) == "named (2), missed (1)"
    assert doctor.counts(["named", "named"]) == "named"


def found():
    return {
        "command": doctor.COMMAND, "machine": "a machine", "versions": {"torch": "2"}, "seeds": [0, 1], "rows": ROWS,
        "checks": {name: sorted(causes) for name, causes in torch_peers.NAMED_BY_CHECK.items()},
        "words": {words: sorted(causes) for words, causes in torch_peers.NAMED_BY_WORDS.items()},
    }  # fmt: skip


def test_the_page_shows_every_set_up_every_sum_and_the_whole_mapping():
    page = doctor.page(found())
    assert "3 set-ups, 2 of them with one planted fault (2 causes), the others sound; seeds 0, 1." in page
    assert "| the doctor           | 1 of 3        | 2 of 3   | 1 of 2            | 0       | 0           | 0.1               |" in page
    assert "| frozen | a      | MLP          | named (1), says untied (1)  | named (1), spoke up (1)     |" in page
    for name in [*torch_peers.NAMED_BY_CHECK, *torch_peers.NAMED_BY_WORDS]:
        assert name in page


def test_the_stored_page_is_that_of_the_stored_numbers():
    if not doctor.RESULTS.is_file():
        pytest.skip(f"nothing is stored yet: `{doctor.COMMAND}` measures")
    stored = json.loads(doctor.RESULTS.read_text(encoding="utf-8"))
    assert doctor.page(stored) == doctor.PAGE.read_text(encoding="utf-8")
    first = [row for row in stored["rows"] if row["set"] == "first"]
    assert stored["summary"] == {who: doctor.summary(first, who) for who in stored["summary"]}
    assert doctor.in_short(stored) in (evidence.ROOT / "README.md").read_text(encoding="utf-8")


def test_the_sentence_of_the_readme_adds_up_and_says_what_was_at_first_sight(monkeypatch):
    monkeypatch.setattr(doctor, "AT_FIRST_SIGHT", {"first": ("abc", "1 of 2", "0 of 1"), "second": ("def", "2 of 3", "1 of 4")})
    rows = [
        *ROWS,
        row("d", "frozen", doctor=answer("frozen")) | {"set": "second"},
        row("e", None, doctor=answer("frozen")) | {"set": "third"},
    ]
    said = doctor.in_short(found() | {"rows": rows})
    assert "put before 2 sets" in said
    assert "named the fault in 3 of 5, and accused 1 of 5 sound ones; since it was mended by them, 2 of 4 and 1 of 2" in said
    assert f"`{PEER}` names 1 of 3 and speaks up in 1 of 2 sound ones" in said


def test_numbers_are_stored_one_row_a_line_and_come_back():
    text = doctor.as_json(found())
    assert json.loads(text) == found()
    assert sum(line.startswith('{"set"') for line in text.splitlines()) == len(ROWS)


def test_seeds_are_written_with_both_ends():
    assert list(doctor.seeds_of("4..6")) == [4, 5, 6]
    assert list(doctor.seeds_of("7")) == [7]
    for words in ("6..4", "a", "1..", ""):
        if words == "1..":
            assert list(doctor.seeds_of(words)) == [1]
        else:
            with pytest.raises(argparse.ArgumentTypeError, match="written as 0..2 or 5"):
                doctor.seeds_of(words)


def stub(monkeypatch, examine):
    monkeypatch.setitem(sys.modules, "cllm_lib.instruments.torch", SimpleNamespace(examine=examine))


def test_the_doctors_report_is_an_answer_like_any_other(monkeypatch):
    stub(monkeypatch, lambda **parts: SimpleNamespace(verdict="It is frozen.", cause="frozen", is_healthy=False, looked_at=[]))
    assert doctor.examined({}) | {"seconds": 0} == answer("frozen", said=["It is frozen."], seconds=0)
    stub(monkeypatch, lambda **parts: SimpleNamespace(verdict="Nothing was found.", cause=None, is_healthy=True, looked_at=[]))
    assert doctor.examined({}) | {"seconds": 0} == answer(seconds=0)

    def crash(**parts):
        raise KeyError("what")

    stub(monkeypatch, crash)
    assert doctor.examined({}) | {"seconds": 0} == answer(crashed="KeyError: 'what'", seconds=0)


def test_every_cause_that_a_peer_can_name_is_one():
    mapped = [*torch_peers.NAMED_BY_CHECK.values(), *torch_peers.NAMED_BY_WORDS.values()]
    assert set().union(*mapped) <= set(CAUSES)


@pytest.mark.slow
def test_the_whole_path_on_one_cause_writes_nothing(monkeypatch, capsys):
    pytest.importorskip("torch", reason="PyTorch is large; `make test-all` installs it")
    stub(monkeypatch, lambda module, **parts: SimpleNamespace(verdict="Frozen.", cause="frozen", is_healthy=False, looked_at=[]))
    monkeypatch.setattr(doctor, "spread_over", lambda function, jobs, what, workers: [function(job) for job in jobs])
    written = doctor.RESULTS.read_bytes() if doctor.RESULTS.is_file() else None
    doctor.main(["--only", "frozen", "--seeds", "0..1"])
    out = capsys.readouterr().out
    assert "| the doctor | 6 of 6" in out
    assert "| held-out | 6 of 6" in out
    assert (doctor.RESULTS.read_bytes() if doctor.RESULTS.is_file() else None) == written
