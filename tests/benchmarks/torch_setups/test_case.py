"""The list of set-ups: what may enter it, and that building one leaves no trace."""

import pytest

from benchmarks.torch_setups import case


def test_a_cause_that_nobody_knows_and_a_name_that_is_taken_are_refused(monkeypatch):
    monkeypatch.setattr(case, "_ENTERED", {})
    with pytest.raises(ValueError, match="no cause is called 'bad luck': choose among no_causal_mask"):
        case.setup("anything", "MLP", "bad luck")
    case.setup("anything", "MLP")(lambda seed: {})
    with pytest.raises(ValueError, match="two set-ups are called 'anything'"):
        case.setup("anything", "MLP")
    assert case._ENTERED["anything"].cause is None


def test_there_are_26_causes():
    assert len(set(case.CAUSES)) == len(case.CAUSES) == 26


def test_building_needs_only_its_seed_and_leaves_the_global_random_numbers_alone():
    torch = pytest.importorskip("torch", reason="PyTorch is large; `make test-all` installs it")
    found = case.everything()
    for one in [found["GPT by hand, trained"], found["noise at evaluation"], found["classifier of padded texts"]]:
        torch.manual_seed(5)
        state = torch.get_rng_state()
        first = one.build(1)
        assert torch.equal(torch.get_rng_state(), state)
        torch.rand(3)
        again, other = one.build(1), one.build(2)
        for p, q in zip(first["module"].parameters(), again["module"].parameters(), strict=True):
            assert torch.equal(p, q)
        assert torch.equal(first["inputs"], again["inputs"])
        assert first["inputs"].shape != other["inputs"].shape or not torch.equal(first["inputs"], other["inputs"])


def test_the_examination_is_as_wide_as_it_says():
    pytest.importorskip("torch", reason="PyTorch is large; `make test-all` installs it")
    found = case.everything().values()
    sick = [one for one in found if one.cause]
    assert {one.cause for one in sick} == set(case.CAUSES)
    for cause in case.CAUSES:
        architectures = {one.architecture for one in sick if one.cause == cause}
        assert len(architectures) >= 3, f"{cause} is planted in {architectures} only"
    assert len({one.architecture for one in sick}) >= 6
    assert len(found) - len(sick) >= 60
    assert sum(one.trained for one in found) >= 10
