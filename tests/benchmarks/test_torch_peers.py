"""The peers are asked as they want to be: what they see they say, what they say is counted, and a slow one is interrupted."""

import signal
import time

import pytest

from benchmarks import torch_peers
from benchmarks.torch_peers import CHECKLIST, TORCHDIAG, about, ask, findings
from benchmarks.torch_setups.case import everything


def test_what_is_printed_as_found_is_read_and_nothing_else():
    printed = (
        "\n✓ Loss:            1.6\n✗ Backward pass:   FAILED — no graph\n\n⚠ ISSUES FOUND:\n  • a: 60% neurons dead\n  • b\n\n  • a tip\n"
    )
    assert findings(printed) == ["Backward pass failed", "a: 60% neurons dead", "b"]
    assert findings("⚠ WARNINGS:\n  • ALL parameters are frozen — model will not learn\n====\n") == [
        "ALL parameters are frozen — model will not learn"
    ]
    assert findings("✓ Training step verified — all systems go") == []


def test_a_finding_is_about_the_causes_that_its_words_name():
    assert about(TORCHDIAG, "x: gradient is None — disconnected from graph") == {"detached"}
    assert about(TORCHDIAG, "Forward pass failed: no") == set()
    assert about(CHECKLIST, "overfit_to_batch") == set()
    assert "no_causal_mask" in about(CHECKLIST, "forward_causal_property")


@pytest.mark.skipif(not hasattr(signal, "SIGALRM"), reason="this system has no alarms; the benchmark needs one that has")
def test_a_peer_that_takes_too_long_is_interrupted_and_what_it_said_counts(monkeypatch):
    def slow(setup, parts):
        yield ["forward_batch_independence"], ""
        try:
            time.sleep(20)
        except Exception:  # as torchdiag does
            yield ["overfit_to_batch"], "caught"

    monkeypatch.setitem(torch_peers.PEERS, CHECKLIST, slow)
    found = ask(CHECKLIST, None, {}, 0.05)
    assert found["late"]
    assert found["said"] == ["forward_batch_independence"]
    assert found["named"] == ["batch_mixed", "softmax_axis"]


def answer(peer, name, seed=0):
    pytest.importorskip("torch", reason="PyTorch is large; `make test-all` installs it")
    pytest.importorskip(peer, reason="a peer; `make test-all` installs it")
    one = everything()[name]
    return ask(peer, one, one.build(seed))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("peer", "name", "cause"),
    [
        (CHECKLIST, "mask computed and thrown away", "no_causal_mask"),
        (CHECKLIST, "batch_first forgotten, encoder", "batch_mixed"),
        (CHECKLIST, "features left frozen", "frozen"),
        (CHECKLIST, "states detached between blocks", "detached"),
        (TORCHDIAG, "states detached between blocks", "detached"),
        (TORCHDIAG, "biases far below zero", "dead_units"),
        (TORCHDIAG, "rate 0", "zero_rate"),
    ],
)
def test_a_peer_names_what_it_is_made_for(peer, name, cause):
    assert cause in answer(peer, name)["named"]


@pytest.mark.slow
@pytest.mark.parametrize("peer", [CHECKLIST, TORCHDIAG])
@pytest.mark.parametrize("name", ["GPT by hand", "MultiheadAttention", "MLP", "LSTM", "encoder with a causal mask", "tagger"])
def test_a_peer_runs_through_and_lets_plain_sound_ones_pass(peer, name):
    found = answer(peer, name)
    assert (found["said"], found["crashed"], found["late"]) == ([], "", False)


@pytest.mark.slow
def test_several_outputs_crash_a_peer_that_wants_one_and_are_no_finding():
    found = answer(TORCHDIAG, "LSTM that gives its state")
    assert (found["said"], found["crashed"]) == ([], "verify_step: a stage failed")
    assert answer(CHECKLIST, "logits and states")["said"] == []


@pytest.mark.slow
def test_what_is_put_before_a_peer_stays_as_it_is():
    torch = pytest.importorskip("torch", reason="PyTorch is large; `make test-all` installs it")
    one = everything()["rate of 1e-10"]
    parts = one.build(0)
    before = [p.detach().clone() for p in parts["module"].parameters()]
    for peer in (CHECKLIST, TORCHDIAG):
        pytest.importorskip(peer, reason="a peer; `make test-all` installs it")
        ask(peer, one, parts)
    assert all(torch.equal(p, q) for p, q in zip(parts["module"].parameters(), before, strict=True))
    assert all(p.grad is None for p in parts["module"].parameters())
    assert not any(module._forward_hooks for module in parts["module"].modules())
