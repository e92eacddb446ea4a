"""A trainer's loop written down from its settings: against the same by hand, and what is not believed."""

import copy

import pytest

REASON = "PyTorch is large; `make test-all` installs it"
pytestmark = pytest.mark.slow


@pytest.fixture
def torch():
    found = pytest.importorskip("torch", reason=REASON)
    found.set_num_threads(1)
    found.manual_seed(0)
    return found


@pytest.fixture
def first_step(torch):
    from cllm_lib.instruments.torch import first_step

    return first_step


def small(torch):
    """A model that takes its inputs by name, and four batches of different sizes."""
    from cllm_lib.instruments.torch import trainers

    class Model(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = torch.nn.Linear(4, 3)

        def forward(self, x):
            return {"logits": self.layer(x)}

    batches = [({"x": torch.randn(n, 4)}, torch.randint(3, (n,))) for n in (2, 7, 5, 4)]
    return trainers.Keywords(Model(), trainers.logits_in), batches


def weights(module):
    return [p.detach().clone() for p in module.parameters()]


@pytest.mark.parametrize("by_value", [False, True])
def test_accumulation_clipping_and_schedule_are_those_of_one_large_batch(by_value, torch, first_step):
    """Two batches a step, weighed by their sizes: the gradient is that of both as one; the schedule goes on every second step."""
    module, batches = small(torch)
    alone = copy.deepcopy(module)
    loss = torch.nn.CrossEntropyLoss()
    optimizer, schedule = _sgd_and_schedule(torch, module)
    step = first_step.loop_step(loss, 2, first_step.Clip(0.1, by_value), 2, [2 / 9, 7 / 9])
    for inputs, targets in batches[:2] + batches[:2]:
        step(module, optimizer, schedule, inputs, targets)

    by_hand, plan = _sgd_and_schedule(torch, alone)
    x, y = torch.cat([pair[0]["x"] for pair in batches[:2]]), torch.cat([pair[1] for pair in batches[:2]])
    for _ in range(2):
        by_hand.zero_grad()
        loss(alone({"x": x}), y).backward()
        gradients = [p.grad for p in alone.parameters()]
        if by_value:
            clipped = [g.clamp(-0.1, 0.1) for g in gradients]
        else:
            length = sum(float((g**2).sum()) for g in gradients) ** 0.5
            clipped = [g * min(1.0, 0.1 / length) for g in gradients]
        with torch.no_grad():
            for p, g in zip(alone.parameters(), clipped, strict=True):
                p -= 0.5 * g
    for ours, theirs in zip(weights(module), weights(alone), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-6)
    assert (schedule.last_epoch, plan.last_epoch) == (1, 0)


def _sgd_and_schedule(torch, module):
    optimizer = torch.optim.SGD(module.parameters(), 0.5)
    return optimizer, torch.optim.lr_scheduler.StepLR(optimizer, 1, 0.1)


@pytest.mark.parametrize(("of_the_module", "shorter"), [(False, 1), (True, 2)])
def test_weights_that_the_optimizer_does_not_hold_are_clipped_where_the_trainer_does(of_the_module, shorter, torch, first_step):
    module, _ = small(torch)
    weight, bias = module.parameters()
    weight.grad, bias.grad = torch.full_like(weight, 10.0), torch.full_like(bias, 10.0)
    first_step.Clip(1.0, of_the_module=of_the_module).apply(module, torch.optim.SGD([weight], 0.1))
    assert sum(bool((p.grad < 5.0).all()) for p in (weight, bias)) == shorter


@pytest.mark.parametrize(
    ("plan", "steps", "held_at"),
    [
        ("LinearLR(o, 1.0, 0.0, 20)", 20, 19),  # ends with the training
        ("CosineAnnealingLR(o, 20)", 20, 18),
        ("LinearLR(o, 1.0, 0.0, 20)", 400, None),  # gone at a twentieth of it: followed as it is
        ("StepLR(o, 1, 0.1)", 20, None),
        ("ConstantLR(o, 1.0)", 20, None),
    ],
)
def test_a_schedule_that_ends_with_the_training_is_followed_to_just_before_its_end(plan, steps, held_at, torch, first_step):
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], 1.0)
    schedule = eval(f"torch.optim.lr_scheduler.{plan}", {"torch": torch, "o": optimizer})
    twin = copy.deepcopy((optimizer, schedule))
    held = first_step.until_its_end(optimizer, schedule, steps)
    assert optimizer.param_groups[0]["lr"] == twin[0].param_groups[0]["lr"], "looking ahead is done on copies"
    for k in range(1, steps + 10):
        held.step()
        if k <= (held_at or steps):
            twin[1].step()
        assert optimizer.param_groups[0]["lr"] == pytest.approx(twin[0].param_groups[0]["lr"])
    assert held.last_epoch == steps + 9
    if held_at:
        assert optimizer.param_groups[0]["lr"] > first_step.ENDED


@pytest.mark.parametrize("steps", [0, -1])
def test_where_nobody_knows_how_long_a_training_is_the_schedule_is_as_it_is(steps, torch, first_step):
    schedule = object()
    assert first_step.until_its_end(None, schedule, steps) is schedule
    assert first_step.until_its_end(None, None, 10) is None


@pytest.mark.parametrize(("factor", "believed"), [(1.0, True), (1.02, True), (1.2, False), (-1.0, False), (float("nan"), False)])
def test_a_loop_is_believed_only_if_it_makes_the_gradient_that_arrived(factor, believed, torch, first_step):
    module, batches = small(torch)
    loss = torch.nn.CrossEntropyLoss()
    optimizer = torch.optim.SGD(module.parameters(), 0.1)
    arguments = dict(module=module, loss=loss, optimizer=optimizer, scheduler=None)
    arguments |= dict(inputs=batches[0][0], targets=batches[0][1], batches=[])
    loss(module(batches[0][0]), batches[0][1]).backward()
    received = factor * torch.cat([p.grad.double().flatten() for p in module.parameters()])
    before = weights(module)
    found, why_not = first_step.with_the_loop(arguments, first_step.loop_step(loss), [torch.get_rng_state()], received)
    assert ("step" in found) == believed
    assert ("another gradient" in why_not) != believed
    assert all(torch.equal(old, new) for old, new in zip(before, weights(module), strict=True))


def test_a_loop_that_cannot_be_made_again_is_said_and_not_followed(torch, first_step):
    module, batches = small(torch)
    arguments = dict(module=module, loss=torch.nn.CrossEntropyLoss(), inputs=batches[0][0], targets=batches[0][1], batches=[])
    arguments |= dict(optimizer=torch.optim.SGD(module.parameters(), 0.1), scheduler=None)
    found, why_not = first_step.with_the_loop(arguments, lambda *_: 1 / 0, [torch.get_rng_state()], None)
    assert found == arguments
    assert "could not be made again (ZeroDivisionError" in why_not
