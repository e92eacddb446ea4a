"""The script of chapter 20: three faults, three repairs, told in this order; stored answers are those that PyTorch gives."""

import importlib.util
import json

import pytest

from cllm_lib import casebook
from cllm_lib.casebook import script
from cllm_lib.files import shipped

CAUSES = ["double_softmax", "no_causal_mask", "scheduler_per_batch", None]
STORED = json.loads(shipped("evidence", script.STORED).read_text(encoding="utf-8"))


def hidden(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)


def test_each_repair_changes_one_place():
    texts = script.stages()
    assert texts[0] == casebook.stuck_script()
    assert len(set(texts)) == 4
    for (old, _), before in zip(script.REPAIRS, texts[:-1], strict=True):
        assert before.count(old) == 1


def test_without_pytorch_the_stored_answers_are_given(monkeypatch):
    hidden(monkeypatch)
    found = [casebook.examine_script(text) for text in script.stages()]
    assert [one.cause for one in found] == CAUSES
    assert [len(one.losses) for one in found] == [script.STEPS // script.EVERY] * 4
    assert found[0].losses[-1] > 0.9 * found[0].losses[0]
    assert found[3].losses[-1] < 0.2 < found[2].losses[-1]
    assert "not installed" in casebook.pytorch_here()


def test_without_pytorch_another_text_is_refused_in_one_sentence(monkeypatch):
    hidden(monkeypatch)
    with pytest.raises(ModuleNotFoundError, match="has not been measured before"):
        casebook.examine_script(casebook.stuck_script() + "\n")


@pytest.mark.slow
def test_what_is_stored_is_what_is_measured():
    pytest.importorskip("torch", reason="PyTorch is large; `make test-all` installs it")
    for text, cause in zip(script.stages(), CAUSES, strict=True):
        verdict, stored_cause, losses = STORED["answers"][script.key(text)]
        found = script.measured(text)
        assert (found.verdict, found.cause, stored_cause) == (verdict, cause, cause)
        assert found.losses == pytest.approx(losses, abs=0.05)
