"""Rates: where a schedule leads, against its formula; ends on purpose and by accident; and what a lower rate would do."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

torch = pytest.importorskip("torch", reason="PyTorch is large; `make test-all` installs it")
from instruments.torch.subjects import classes, mlp, read, said, subject  # noqa: E402
from torch.nn import functional as F  # noqa: E402
from torch.optim import lr_scheduler as plans  # noqa: E402

from cllm_lib.instruments.torch import rates, running  # noqa: E402

LOSS = F.cross_entropy
LOG, OTHER = "rate log", "another rate"
GONE = "the rate is gone after a few batches"
FEW = settings(max_examples=settings().max_examples // 5)


def of_plan(make, rate=0.1, each_batch=True, optimizer=torch.optim.SGD, **others):
    """A subject whose loop steps its schedule at each batch, or never."""

    def step(module, optimizer, scheduler, inputs, targets):
        optimizer.zero_grad()
        LOSS(module(inputs), targets).backward()
        optimizer.step()
        if each_batch and scheduler is not None:
            scheduler.step()

    module = mlp()
    optimizer = optimizer(module.parameters(), lr=rate)
    scheduler = make(optimizer) if make else None
    return subject(module, LOSS, *classes(), optimizer=optimizer, scheduler=scheduler, step=step, **others)


def log(found):
    return read(LOG, found).numbers


FORMULAS = {
    "StepLR": (lambda o: plans.StepLR(o, 7, 0.5), lambda k: 0.5 ** (k // 7)),
    "ExponentialLR": (lambda o: plans.ExponentialLR(o, 0.9), lambda k: 0.9**k),
    "CosineAnnealingLR": (lambda o: plans.CosineAnnealingLR(o, 300), lambda k: (1.0 + math.cos(math.pi * k / 300)) / 2.0),
    "LinearLR": (lambda o: plans.LinearLR(o, 1.0, 0.0, 50), lambda k: max(0.0, 1.0 - k / 50)),
    "LambdaLR": (lambda o: plans.LambdaLR(o, lambda k: min(1.0, k / 10)), lambda k: min(1.0, k / 10)),
}


@pytest.mark.parametrize("name", list(FORMULAS))
@pytest.mark.filterwarnings("ignore:Detected call of `lr_scheduler.step")  # a schedule alone
def test_rates_ahead_are_those_of_the_formula_and_the_schedule_stays(name):
    make, formula = FORMULAS[name]
    optimizer = torch.optim.SGD(mlp().parameters(), 0.2)
    scheduler = make(optimizer)
    before = (optimizer.param_groups[0]["lr"], scheduler.last_epoch)
    assert rates._ahead(optimizer, scheduler) == pytest.approx([0.2 * formula(k + 1) for k in range(rates.AHEAD)], abs=1e-9)
    assert (optimizer.param_groups[0]["lr"], scheduler.last_epoch) == before


def test_a_schedule_that_comes_to_its_end_or_wants_a_metric_is_followed_as_far_as_it_goes():
    optimizer = torch.optim.SGD(mlp().parameters(), 0.2)
    assert 29 <= len(rates._ahead(optimizer, plans.OneCycleLR(optimizer, 0.2, 30))) <= 30
    assert rates._ahead(optimizer, plans.ReduceLROnPlateau(optimizer)) == []


@FEW
@given(st.floats(0.3, 0.99), st.integers(1, 5))
def test_a_rate_that_falls_by_factors_is_gone_when_the_formula_says(gamma, every):
    found = of_plan(lambda o: plans.StepLR(o, every, gamma))
    end = every * math.ceil(math.log(rates.GONE) / math.log(gamma))
    ahead, steps = rates.AHEAD, log(found)["steps"]
    numbers = log(found)
    if end < ahead:
        assert numbers["batches until the rate is gone"] == end
        assert (GONE in said(LOG, found)) == (not numbers["ends on purpose"])
        assert not numbers["ends on purpose"]
    elif end > ahead + steps:
        assert numbers["batches until the rate is gone"] == math.inf
        assert said(LOG, found) == ()


PLANNED = {
    "OneCycleLR of 100": (lambda o: plans.OneCycleLR(o, 0.1, 100), False),
    "OneCycleLR of 1000": (lambda o: plans.OneCycleLR(o, 0.1, 1000), False),
    "cosine of 100": (lambda o: plans.CosineAnnealingLR(o, 100), False),
    "a line of 100": (lambda o: plans.LinearLR(o, 1.0, 0.0, 100), False),
    "warm-up from 0": (lambda o: plans.LambdaLR(o, lambda k: min(1.0, k / 20)), False),
    "warm-up, then a cosine": (lambda o: plans.LambdaLR(
        o, lambda k: k / 10 if k < 10 else (1.0 + math.cos(math.pi * (k - 10) / 150)) / 2.0 if k < 160 else 0.0), False),
    "by the root of time": (lambda o: plans.LambdaLR(o, lambda k: (1.0 + k) ** -0.5), False),
    "constant": (lambda o: plans.ConstantLR(o, 1.0), False),
    "by tenths each third batch": (lambda o: plans.StepLR(o, 3, 0.1), True),
    "by 0.8": (lambda o: plans.ExponentialLR(o, 0.8), True),
    "cosine of ten": (lambda o: plans.CosineAnnealingLR(o, 10), True),
    "milestones of epochs": (lambda o: plans.MultiStepLR(o, [5, 10, 15], 0.1), True),
}  # fmt: skip


@pytest.mark.parametrize("seconds", [0.0, 60.0], ids=["four calls", "all calls"])
@pytest.mark.parametrize("name", list(PLANNED))
def test_ends_on_purpose_and_ends_by_accident_are_told_apart(name, seconds, monkeypatch):
    monkeypatch.setattr(running, "SECONDS", seconds)
    make, gone = PLANNED[name]
    assert said(LOG, of_plan(make)) == ((GONE,) if gone else ())


@pytest.mark.parametrize("name", [name for name, (_, gone) in PLANNED.items() if gone])
def test_a_schedule_that_the_loop_does_not_step_may_fall_as_it_likes(name):
    assert said(LOG, of_plan(PLANNED[name][0], each_batch=False)) == ()


def test_rates_of_nothing_are_told():
    assert said(LOG, of_plan(None, 0.0)) == ("the rate is 0",)
    assert said(LOG, of_plan(None, 1e-10)) == ("the rate is next to 0",)
    assert said(LOG, of_plan(None, 1e-4)) == ()


def test_a_warm_up_that_is_never_stepped_stays_at_0():
    def warm_up(optimizer):
        return plans.LambdaLR(optimizer, lambda k: min(1.0, k / 1000))

    assert said(LOG, of_plan(warm_up, each_batch=False)) == ("the rate is 0",)
    assert said(LOG, of_plan(warm_up)) == ()


@pytest.mark.parametrize(("rate", "told"), [(1e3, True), (30.0, True), (0.1, False), (1e-3, False), (0.0, False)])
def test_a_rate_at_which_the_loss_goes_up_is_told_if_it_goes_down_at_a_lower_one(rate, told):
    words = said(OTHER, of_plan(None, rate))
    assert words == (("at this rate it goes up, at a lower one down",) if told else ())


def test_a_loss_that_goes_up_at_every_rate_is_no_matter_of_the_rate():
    def step(module, optimizer, scheduler, inputs, targets):
        optimizer.zero_grad()
        (-LOSS(module(inputs), targets)).backward()
        optimizer.step()

    module = mlp()
    found = subject(module, LOSS, *classes(), optimizer=torch.optim.SGD(module.parameters(), 1.0), step=step)
    numbers = read(OTHER, found).numbers
    assert numbers["as it is"] > numbers["at the start"]
    assert said(OTHER, found) == ()


def test_a_factor_on_the_rate_is_there_in_the_step_and_nowhere_else():
    seen = []

    def step(module, optimizer, scheduler, inputs, targets):
        optimizer.zero_grad()
        LOSS(module(inputs), targets).backward()
        before = module[0].weight.detach().clone()
        optimizer.step()
        moved = (before - module[0].weight.detach()).norm() / module[0].weight.grad.norm()
        seen.append((float(moved), optimizer.param_groups[0]["lr"]))

    module = mlp()
    found = subject(module, LOSS, *classes(), optimizer=torch.optim.SGD(module.parameters(), 0.5), step=step)
    rates._trained(found, step, 0.1)
    assert [one for one, _ in seen] == pytest.approx([0.05] * len(seen), rel=1e-3)
    assert {rate for _, rate in seen} == {0.5}


def test_losses_before_and_after_are_those_of_training_by_hand():
    found = of_plan(None, 0.3)
    losses, length = rates._trained(found, found.step, 1.0)
    module, optimizer, _ = found.whole()
    before, first = LOSS(module(classes()[0]), classes()[1]).item(), torch.cat([p.detach().flatten() for p in module.parameters()])
    found.step(module, optimizer, None, *classes())
    moved = torch.cat([p.detach().flatten() for p in module.parameters()]) - first
    assert losses[0] == pytest.approx(before, rel=1e-5)
    assert losses[-1] < losses[0]
    assert length >= float(moved.norm() / first.norm()) * (1.0 - 1e-6)


def test_dropout_is_off_while_rates_are_compared():
    module = torch.nn.Sequential(mlp(), torch.nn.Dropout(0.9))
    found = subject(module, LOSS, *classes(), optimizer=torch.optim.SGD(module.parameters(), 0.0))
    losses, _ = rates._trained(found, lambda *_: None, 1.0)
    assert losses == pytest.approx([LOSS(module.eval()(classes()[0]), classes()[1]).item()] * 2, rel=1e-5)
