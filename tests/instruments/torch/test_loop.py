"""What of a gradient reaches the optimizer: weights of accumulated batches by hand, and each wrong loop by its word."""

from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

torch = pytest.importorskip("torch", reason="PyTorch is large; `make test-all` installs it")
from instruments.torch.subjects import INSTRUMENTS, classes, drawn, mlp, read, said, subject  # noqa: E402
from torch import nn  # noqa: E402
from torch.nn import functional as F  # noqa: E402

from cllm_lib.instruments.torch import loop  # noqa: E402

LEFT, HOLDS = "leftover gradients", "what the optimizer holds"
LOSS = F.cross_entropy
ADDED, ALONE = "several batches are added up, and not divided", "of several batches one counts alone"


def of_loop(step, module=None, rate=0.05, optimizer=None):
    module = module or mlp()
    optimizer = optimizer or torch.optim.SGD(module.parameters(), rate)
    return subject(module, LOSS, *classes(), batches=[classes(k) for k in range(4)], optimizer=optimizer, step=step)


def mixture(shares, cycles, per_cycle, seed=0):
    """A run in which every `per_cycle`-th call steps by a mixture of the gradients of its cycle."""
    calls = []
    for cycle in range(cycles):
        own = [drawn(40, seed=100 * seed + 10 * cycle + k).double() for k in range(per_cycle)]
        received = sum(share * gradient for share, gradient in zip(shares, own, strict=True)) / per_cycle
        calls += [SimpleNamespace(own=gradient, received=[], parts=[]) for gradient in own]
        calls[-1].received.append(received)
    return SimpleNamespace(calls=calls)


@given(st.lists(st.floats(0.1, 4.0), min_size=2, max_size=4), st.integers(1, 4), st.integers(0, 1000))
def test_the_weights_of_accumulated_batches_are_those_of_the_mixture(shares, cycles, seed):
    first, whole, count = loop._accumulated(mixture(shares, cycles, len(shares), seed))
    assert first == pytest.approx(shares[0] / shares[-1], rel=1e-6)
    assert whole == pytest.approx(sum(shares) / len(shares), rel=1e-6)
    assert count == len(shares)


@given(st.lists(st.floats(0.1, 4.0), min_size=2, max_size=4), st.integers(0, 1000))
def test_the_weights_of_the_pieces_of_a_batch_are_those_of_the_mixture(shares, seed):
    parts = [drawn(40, seed=10 * seed + k).double() for k in range(len(shares))]
    received = sum(share * part for share, part in zip(shares, parts, strict=True))
    run = SimpleNamespace(calls=[SimpleNamespace(own=sum(parts), received=[received], parts=parts)])
    first, whole, count = loop._accumulated(run)
    assert first == pytest.approx(shares[0] / shares[-1], rel=1e-6)
    assert whole == pytest.approx(sum(shares) / len(shares), rel=1e-6)
    assert count == len(shares)


def test_where_gradients_cannot_be_told_apart_their_sum_is_measured():
    own = drawn(40).double()
    calls = [SimpleNamespace(own=own, received=[], parts=[]) for _ in range(3)]
    calls[-1].received.append(3.0 * own)
    assert loop._accumulated(SimpleNamespace(calls=calls)) == pytest.approx((1.0, 3.0, 3.0))


def test_a_step_each_batch_is_no_accumulation():
    assert loop._accumulated(mixture([0.3], 5, 1)) == (1.0, 1.0, 1.0)


def stepped(clear=True, divided=True, of=1, only_last=False, sign=1.0, scale=1.0, largest=None, back=True, move=True, too_soon=False):
    """A loop of the usual parts, with one of them wrong."""
    count = iter(range(10**6))

    def step(module, optimizer, scheduler, inputs, targets):
        number = next(count)
        if clear and (number % of == 0 or only_last):
            optimizer.zero_grad()
        value = sign * scale * LOSS(module(inputs), targets) / (of if divided else 1)
        if back:
            value.backward()
        if too_soon:
            optimizer.zero_grad()
        if largest:
            nn.utils.clip_grad_norm_(module.parameters(), largest)
        if move and (number + 1) % of == 0:
            optimizer.step()

    return step


LOOPS = {
    "plain": (stepped(), ()),
    "clipped at 1": (stepped(largest=1.0), ()),
    "two batches, divided": (stepped(of=2), ()),
    "three batches, divided": (stepped(of=3), ()),
    "two batches, divided, clipped at 1": (stepped(of=2, largest=1.0), ()),
    "never cleared": (stepped(clear=False), ("the last batch's gradient is in it",)),
    "two batches, added up": (stepped(of=2, divided=False), (ADDED,)),
    "four batches, added up": (stepped(of=4, divided=False), (ADDED,)),
    "two batches, the last alone": (stepped(of=2, only_last=True), (ALONE,)),
    "up the slope": (stepped(sign=-1.0), ("its own batch's gradient is turned round",)),
    "no backward pass": (stepped(back=False), ("no gradient is made",)),
    "no step": (stepped(move=False), ("no step is made",)),
    "cleared too soon": (stepped(too_soon=True), ("gradients are made, and cleared before the step",)),
    "clipped at a millionth": (stepped(largest=1e-6), ("next to nothing of the gradient arrives",)),
}


@pytest.mark.parametrize("name", list(LOOPS))
def test_each_loop_gets_its_word(name):
    step, words = LOOPS[name]
    assert set(said(LEFT, of_loop(step))) >= set(words)
    assert bool(said(LEFT, of_loop(LOOPS[name][0]))) == bool(words)


def pieces(divided, kept=True, sizes=(6, 6)):
    def step(module, optimizer, scheduler, inputs, targets):
        optimizer.zero_grad()
        for x, y in zip(inputs.split(list(sizes)), targets.split(list(sizes)), strict=True):
            if not kept:
                optimizer.zero_grad()
            (LOSS(module(x), y) * (len(x) / len(inputs) if divided else 1.0)).backward()
        optimizer.step()

    return step


@pytest.mark.parametrize(
    ("step", "word"),
    [(pieces(True), None), (pieces(True, sizes=(3, 9)), None), (pieces(False), ADDED), (pieces(False, sizes=(3, 3, 3, 3)), ADDED),
     (pieces(True, kept=False), ALONE)],
    ids=["divided", "of different sizes", "added up", "four, added up", "the last alone"],
)  # fmt: skip
def test_a_batch_cut_into_pieces_counts_whole(step, word):
    assert (said(LEFT, of_loop(step)) == ()) if word is None else (word in said(LEFT, of_loop(step)))


def test_gradients_lost_in_16_bits_are_told_and_a_scaler_saves_them():
    def scaled(by):
        def step(module, optimizer, scheduler, inputs, targets):
            optimizer.zero_grad()
            (by * 1e-6 * LOSS(module(inputs).float(), targets)).backward()
            for p in module.parameters():
                p.grad = (p.grad.float() / by).to(p.dtype) if by == 1.0 else p.grad
            optimizer.step()

        return step

    def loss(outputs, targets):
        return 1e-6 * LOSS(outputs.float(), targets)

    def of(step, module, rate):
        inputs, targets = classes()
        kind = next(module.parameters()).dtype
        return subject(module, loss, inputs.to(kind), targets, optimizer=torch.optim.SGD(module.parameters(), rate), step=step)

    assert "small numbers of 16 bits are lost" in said(LEFT, of(scaled(1.0), mlp().half(), 1e4))
    assert said(LEFT, of(scaled(1.0), mlp(), 1e4)) == ()


def test_steps_lost_in_coarse_weights_are_told():
    module = mlp().to(torch.bfloat16)
    inputs, targets = classes()

    def step(module, optimizer, scheduler, inputs, targets):
        optimizer.zero_grad()
        LOSS(module(inputs).float(), targets).backward()
        optimizer.step()

    def of(rate):
        optimizer = torch.optim.SGD(module.parameters(), rate)
        return subject(module, lambda o, t: LOSS(o.float(), t), inputs.bfloat16(), targets, optimizer=optimizer, step=step)

    assert said(LEFT, of(1e-5)) == ("small numbers of 16 bits are lost",)
    assert said(LEFT, of(1.0)) == ()


def held_by(module, parameters):
    return subject(module, LOSS, *classes(), optimizer=torch.optim.SGD(parameters, 0.1))


def test_what_the_optimizer_holds_is_held_against_what_the_module_has():
    module = mlp()
    assert said(HOLDS, held_by(module, module.parameters())) == ()
    assert said(HOLDS, held_by(module, module[0].parameters())) == ("weights to be trained are missing in it",)
    foreign = held_by(module, mlp().parameters())
    assert said(HOLDS, foreign) == ("it holds weights that are not the module's, and lacks some that are",)
    assert read(HOLDS, foreign).numbers == {"tensors": 4.0, "missing": 4.0, "not the module's": 4.0, "held, and frozen": 0.0}


def test_frozen_weights_are_told_where_the_optimizer_holds_them_only():
    module = mlp()
    module[0].requires_grad_(False)
    assert said(HOLDS, held_by(module, module.parameters())) == ("it holds weights that want no gradient",)
    assert said(HOLDS, held_by(module, module[2].parameters())) == ()


def test_weights_of_the_loss_and_weights_without_use_are_in_order():
    class Loss(nn.Module):
        def __init__(self):
            super().__init__()
            self.scale = nn.Parameter(torch.ones(()))

        def forward(self, outputs, targets):
            return LOSS(self.scale * outputs, targets)

    module, loss = mlp(), Loss()
    optimizer = torch.optim.SGD([*module.parameters(), *loss.parameters()], 0.1)
    reading = read(HOLDS, subject(module, loss, *classes(), optimizer=optimizer))
    assert reading.words == ()
    assert reading.numbers["not the module's"] == 0.0
    module = mlp()
    used = list(module.parameters())
    module.spare = None
    spare = nn.Linear(2, 2)

    class WithSpare(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner, self.spare = module, spare

        def forward(self, x):
            return self.inner(x)

    assert said(HOLDS, held_by(WithSpare(), used)) == ()


def test_without_an_optimizer_nothing_is_held():
    for name in (LEFT, HOLDS):
        assert INSTRUMENTS[name][1](subject(mlp(), LOSS, *classes())) == "no optimizer was given"
