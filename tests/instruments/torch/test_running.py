"""The reader's loop on copies: its gradients by hand, what was left over, what it was given, and what cannot be followed."""

import copy

import pytest
from hypothesis import given
from hypothesis import strategies as st

torch = pytest.importorskip("torch", reason="PyTorch is large; `make test-all` installs it")
from instruments.torch.subjects import classes, drawn, mlp, subject  # noqa: E402
from torch import nn  # noqa: E402
from torch.nn import functional as F  # noqa: E402

from cllm_lib.instruments.torch import running  # noqa: E402
from cllm_lib.instruments.torch.running import BY_NAME, CALLS, ON_CPU, cosine, flat, followed, median, runs, usable  # noqa: E402

LOSS = F.cross_entropy


def plain(module, optimizer, scheduler, inputs, targets):
    optimizer.zero_grad()
    LOSS(module(inputs), targets).backward()
    optimizer.step()


def of_loop(step, module=None, rate=0.1, n_batches=3, optimizer=None, **others):
    module = module or mlp()
    optimizer = optimizer or torch.optim.SGD(module.parameters(), rate)
    return subject(module, LOSS, *classes(), batches=[classes(k) for k in range(n_batches)], optimizer=optimizer, step=step, **others)


def test_each_call_has_its_own_gradient_what_was_received_rates_and_weights():
    module = mlp()
    run, twin = followed(of_loop(plain, module)), copy.deepcopy(module)
    assert len(run.calls) >= 4
    assert len(run.calls) <= CALLS
    for number, call in enumerate(run.calls):
        inputs, targets = classes(number % 3)
        by_hand = torch.cat([g.flatten() for g in torch.autograd.grad(LOSS(twin(inputs), targets), list(twin.parameters()))]).double()
        torch.testing.assert_close(call.own, by_hand)
        torch.testing.assert_close(call.received[0], by_hand)
        torch.testing.assert_close(call.before, flat(twin, "weights"))
        with torch.no_grad():
            for p, g in zip(twin.parameters(), torch.split(by_hand, [p.numel() for p in twin.parameters()]), strict=True):
                p -= 0.1 * g.reshape(p.shape).float()
        torch.testing.assert_close(call.after, flat(twin, "weights"))
        assert call.rates == [0.1]
        assert call.made == call.arrived == 4
    assert run.left is False
    assert flat(module, "weights").equal(flat(mlp(), "weights")), "it runs on copies"


def test_without_a_loop_that_of_the_manual_is_followed():
    run = followed(of_loop(None))
    assert all(torch.equal(call.own, call.received[0]) for call in run.calls)


def left_in(names, set_to_none=True):
    """A loop that does not clear gradients of the named weights."""

    def step(module, optimizer, scheduler, inputs, targets):
        for name, p in module.named_parameters():
            if name not in names:
                if set_to_none:
                    p.grad = None
                elif p.grad is not None:
                    p.grad.zero_()
        LOSS(module(inputs), targets).backward()
        optimizer.step()

    return step


EVERY = [name for name, _ in mlp().named_parameters()]


@pytest.mark.parametrize("set_to_none", [True, False])
@pytest.mark.parametrize("names", [EVERY, ["0.weight"], ["2.weight"], []], ids=["all", "the first", "the last", "none"])
def test_what_was_not_cleared_is_found_in_all_or_in_part(names, set_to_none):
    assert followed(of_loop(left_in(names, set_to_none), rate=1e-3)).left is bool(names)


def test_gradients_cleared_at_the_end_of_a_call_are_cleared():
    def step(module, optimizer, scheduler, inputs, targets):
        LOSS(module(inputs), targets).backward()
        optimizer.step()
        optimizer.zero_grad()

    assert followed(of_loop(step)).left is False


@pytest.mark.parametrize("largest", [1.0, 1e-3])
def test_what_was_left_is_found_behind_clipping(largest):
    def step(module, optimizer, scheduler, inputs, targets):
        LOSS(module(inputs), targets).backward()
        nn.utils.clip_grad_norm_(module.parameters(), largest)
        optimizer.step()

    assert followed(of_loop(step)).left is True


def test_marking_leaves_the_run_as_it_was():
    run = followed(of_loop(left_in(EVERY)))
    torch.testing.assert_close(flat(run.module, "weights"), run.calls[-1].after)
    assert len(run.calls) <= CALLS


def test_a_loop_that_raises_is_said_to():
    calls = []

    def step(module, optimizer, scheduler, inputs, targets):
        calls.append(1)
        if len(calls) == 3:
            raise KeyError("no such batch")
        plain(module, optimizer, scheduler, inputs, targets)

    found = of_loop(step)
    assert followed(found).failed == "KeyError: 'no such batch'"
    assert runs(found) == "the loop could not be run on copies (KeyError: 'no such batch')"
    assert len(followed(found).calls) == 2


def test_a_loop_that_moves_its_batch_to_another_device_is_told_where_the_copies_are():
    def step(module, optimizer, scheduler, inputs, targets):
        plain(module, optimizer, scheduler, inputs.to("meta"), targets)  # as .to("cuda") does where there is one

    assert ON_CPU in runs(of_loop(step))


@pytest.mark.parametrize("which", ["module and optimizer", "module", "optimizer"])
def test_a_loop_that_trains_the_originals_by_their_names_is_not_followed(which):
    module = mlp()
    optimizer = torch.optim.SGD(module.parameters(), 0.1)

    def step(given, its, scheduler, inputs, targets):
        plain(module if "module" in which else given, optimizer if "optimizer" in which else its, None, inputs, targets)

    found = of_loop(step, module, optimizer=optimizer)
    if which == "optimizer":  # then neither copies nor originals move, and gradients arrive nowhere
        assert followed(found).calls[0].received == []
    else:
        assert runs(found) == f"the loop could not be run on copies ({BY_NAME})"


def test_a_penalty_on_the_originals_does_not_keep_a_loop_from_being_followed():
    module = mlp()

    def loss(outputs, targets):
        return LOSS(outputs, targets) + 1e-3 * module[0].weight.square().sum()

    def step(given, optimizer, scheduler, inputs, targets):
        optimizer.zero_grad()
        loss(given(inputs), targets).backward()
        optimizer.step()

    assert runs(subject(module, loss, *classes(), optimizer=torch.optim.SGD(module.parameters(), 0.1), step=step)) == ""


def test_a_loop_that_changes_its_batch_in_place_gets_a_new_one_each_time():
    seen = []

    def step(module, optimizer, scheduler, inputs, targets):
        seen.append(inputs.clone())
        inputs.zero_(), targets.zero_()
        plain(module, optimizer, scheduler, inputs, targets)

    found = of_loop(step, n_batches=1)
    followed(found)
    assert all(torch.equal(one, classes()[0]) for one in seen)


@pytest.mark.parametrize("sizes", [(4, 4, 4), (6, 6), (3, 9), (12,)])
def test_the_pieces_of_a_batch_have_shares_that_add_up_to_its_own_gradient(sizes):
    def step(module, optimizer, scheduler, inputs, targets):
        optimizer.zero_grad()
        for x, y in zip(inputs.split(list(sizes)), targets.split(list(sizes)), strict=True):
            (len(x) / len(inputs) * LOSS(module(x), y)).backward()
        optimizer.step()

    for call in followed(of_loop(step)).calls:
        assert len(call.parts) == (len(sizes) if len(sizes) > 1 else 0)
        if call.parts:
            torch.testing.assert_close(sum(call.parts), call.own, rtol=1e-4, atol=1e-7)
        torch.testing.assert_close(call.received[0], call.own, rtol=1e-4, atol=1e-7)


def test_several_steps_a_call_are_all_received():
    def step(module, optimizer, scheduler, inputs, targets):
        plain(module, optimizer, scheduler, inputs, targets)
        plain(module, optimizer, scheduler, inputs, targets)

    assert {len(call.received) for call in followed(of_loop(step)).calls} == {2}


@pytest.mark.parametrize("training", [True, False])
def test_a_batch_s_own_gradient_is_made_in_the_mode_of_the_loop(training):
    def step(module, optimizer, scheduler, inputs, targets):
        module.train(training)
        plain(module, optimizer, scheduler, inputs, targets)

    module = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Tanh(), nn.Dropout(0.5), nn.Linear(8, 3))
    for call in followed(of_loop(step, module)).calls:
        torch.testing.assert_close(call.own, call.received[0], rtol=1e-4, atol=1e-7)


def test_of_a_loop_that_runs_away_no_more_is_asked():
    run = followed(of_loop(plain, rate=1e38))
    assert len(run.calls) < CALLS
    assert not torch.isfinite(run.calls[-1].after).all()


def test_without_an_optimizer_nothing_is_followed():
    assert runs(subject(mlp(), LOSS, *classes())) == "no optimizer was given"


def test_types_are_noted():
    def step(module, optimizer, scheduler, inputs, targets):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            plain(module, optimizer, scheduler, inputs, targets)

    assert torch.bfloat16 in followed(of_loop(step)).kinds
    assert torch.bfloat16 not in followed(of_loop(plain)).kinds


@given(st.lists(st.floats(-5.0, 5.0), min_size=1, max_size=7))
def test_a_median_is_one_of_the_values_in_the_middle(values):
    found = median(values)
    assert sum(value < found - 1e-12 for value in values) <= len(values) / 2
    assert sum(value > found + 1e-12 for value in values) <= len(values) / 2
    assert median([]) == 0.0


@given(st.integers(0, 1000), st.floats(0.1, 5.0))
def test_the_cosine_of_two_vectors(seed, scale):
    one, other = drawn(5, seed=seed).double(), drawn(5, seed=seed + 1).double()
    assert cosine(one, scale * one) == pytest.approx(1.0)
    assert cosine(one, -scale * one) == pytest.approx(-1.0)
    assert cosine(one, other) == pytest.approx(float(F.cosine_similarity(one, other, 0)))
    assert cosine(one, 0.0 * one) == 0.0
    assert cosine(one, one / 0.0) == 0.0


def test_gradients_are_usable_if_they_are_numbers_and_the_first_is_not_zero():
    one, none = torch.ones(2), torch.tensor([1.0, float("nan")])
    assert [usable(*pair) for pair in ((one, one), (one, 0 * one), (0 * one, one), (none, one), (one, none))] == [
        True, True, False, False, False]  # fmt: skip


def test_flat_has_zeros_where_there_is_no_gradient():
    module = mlp()
    module[0].bias.grad = torch.ones(16)
    found = flat(module, "gradients")
    assert found.sum() == 16.0
    assert found.shape == flat(module, "weights").shape


def test_the_loudest_numbers_are_a_part_of_their_own_if_there_are_ten_of_them():
    module = mlp()
    received = torch.full_like(flat(module, "weights"), 1e-6)
    received[:64] = 1.0
    every, loud = running._loudest(module, received)
    assert every.all()
    assert loud.nonzero().flatten().tolist() == list(range(64))
