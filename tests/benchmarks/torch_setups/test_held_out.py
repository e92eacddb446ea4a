"""Every fault of the held-out set-ups is there and its twin has none, by a measurement of its own; every sound training learns.

The measurements know what each set-up is meant to be, and use only plain torch: no part of a doctor.
"""

import copy
import math

import pytest

torch = pytest.importorskip("torch", reason="PyTorch is large; `make test-all` installs it")

from benchmarks.torch_setups.held_out_faults import FAULTS  # noqa: E402
from benchmarks.torch_setups.held_out_models import WORDS, rms, rotate  # noqa: E402
from benchmarks.torch_setups.held_out_sound import SOUND  # noqa: E402

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:Detected call of `lr_scheduler.step:UserWarning"),
    pytest.mark.filterwarnings("ignore:Seems like `optimizer.step:UserWarning"),
    pytest.mark.filterwarnings("ignore:.*float16:UserWarning"),
]
KEYS = [
    "no_causal_mask",
    "transposed_mask",
    "batch_mixed",
    "detached",
    "zero_weights",
    "dead_units",
    "saturated",
    "frozen",
    "not_in_optimizer",
    "double_softmax",
    "softmax_axis",
    "no_residual",
    "targets_not_shifted",
    "targets_by_two",
    "padding_in_loss",
    "ignore_index",
    "no_zero_grad",
    "zero_rate",
    "rate_too_high",
    "scheduler_per_batch",
    "clipped_away",
    "dropout_on",
    "untied",
    "underflow",
    "accumulation",
    "stale_optimizer",
]
UNCOPIED = {"closure called many times"}  # torch's L-BFGS does not survive a copy


@pytest.fixture(autouse=True)
def one_thread():
    """One worker, one thread."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


# Running


def batches_of(given):
    return given.get("batches") or [(given["inputs"], given["targets"])]


def step_of(given):
    """The set-up's own step, or the usual one."""

    def step(module, optimizer, scheduler, inputs, targets):
        optimizer.zero_grad()
        given["loss"](module(inputs), targets).backward()
        optimizer.step()

    return given.get("step") or step


def run(given, steps):
    """Let a set-up train; returns it."""
    torch.manual_seed(0)
    if "optimizer" not in given:
        given["optimizer"] = torch.optim.AdamW(given["module"].parameters(), lr=3e-3)
    step, batches = step_of(given), batches_of(given)
    for number in range(steps):
        step(given["module"], given["optimizer"], given.get("scheduler"), *batches[number % len(batches)])
    return given


def cost(given):
    """The mean loss over the batches."""
    with torch.no_grad():
        return sum(float(given["loss"](given["module"](x), y)) for x, y in batches_of(given)) / len(batches_of(given))


def weights(given):
    return {name: value.detach().clone() for name, value in given["module"].named_parameters()}


def tensor(out):
    """What a model returns, as the tensor that the loss begins with."""
    if isinstance(out, dict):
        return out["logits"]
    return out if isinstance(out, torch.Tensor) else out.logits if hasattr(out, "logits") else out[0]


def leaves(value):
    """All weights that a loss depends on, by walking its graph."""
    found, open_, seen = set(), [value.grad_fn], set()
    while open_:
        node = open_.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        if hasattr(node, "variable"):
            found.add(id(node.variable))
        open_ += [after for after, _ in node.next_functions]
    return found


def held(given):
    return {id(p): p for group in given["optimizer"].param_groups for p in group["params"]}


def gradients(given, steps):
    """The largest gradient that each weight saw in some steps; 0 for those that saw none."""
    largest = {name: 0.0 for name, p in given["module"].named_parameters() if p.requires_grad}
    for name, p in given["module"].named_parameters():
        if p.requires_grad:

            def note(p, name=name):
                largest[name] = max(largest[name], float(p.grad.abs().max()))

            p.register_post_accumulate_grad_hook(note)
    run(given, steps)
    return largest


def seen(given, architecture):
    """Whether outputs depend on later words and on earlier ones."""
    module, ids, axis = given["module"].eval(), given["inputs"], 0 if architecture.startswith("seq-first") else 1
    first, middle = module(ids), ids.shape[axis] // 2
    changed = ids.clone()
    place = changed.select(axis, middle)
    place.copy_((place + 1) % WORDS)
    far = (module(changed) - first).abs().amax(-1).amax(1 - axis)
    return float(far[:middle].max().detach()) > 1e-5, float(far[middle + 1 :].max().detach()) > 1e-5


# A measurement for each key: true of the fault, and not of its twin


def shut_nowhere(given, one):
    return seen(given, one.architecture) == (True, True)


def turned_round(given, one):
    return seen(given, one.architecture) == (True, False)


def mixed(given, one):
    module, inputs = given["module"].eval(), given["inputs"]
    other = inputs.clone()
    other[0] = (inputs[0] + 1) % WORDS if inputs.dtype == torch.int64 else inputs[0] + 1
    return float((module(inputs) - module(other))[1:].abs().max().detach()) > 1e-5


def silent(given, one):
    return any(size == 0 for size in gradients(given, 5).values())


def flat(given, one):
    """The share of units at their ends, or of words that look at one word alone, is over nine tenths."""
    module, inputs = given["module"], given["inputs"]
    if one.name == "recurrent weights times fifty":
        ends = module.rnn(module.encoder(inputs))[0].abs() > 0.99
    elif one.name == "columns never scaled":
        ends = (torch.sigmoid(module[0](inputs)) - 0.5).abs() > 0.49
    else:
        block, x = module.blocks[0], module.table[inputs] * module.table.shape[1] ** 0.5
        q, k, _ = torch.einsum("btd,sdhk->sbhtk", rms(x, block.gains[0]), block.wqkv)
        scores = (rotate(q) @ rotate(k).mT * block.scale).masked_fill(torch.ones(10, 10).triu(1) == 1, -1e9)
        ends = scores.softmax(-1)[..., 3:, :].amax(-1) > 0.95
    return float(ends.float().mean()) > 0.9


def held_but_frozen(given, one):
    return any(not p.requires_grad for p in held(given).values())


def left_out(given, one):
    return bool(leaves(given["loss"](given["module"](given["inputs"]), given["targets"])) - set(held(given)))


def gone(given, one):
    return left_out(given, one) and bool(set(held(given)) - {id(p) for p in given["module"].parameters()})


def probabilities(given, one):
    out = tensor(given["module"](given["inputs"]))
    return bool(((out >= 0) & (out <= 1)).all())


def wrong_axis(given, one):
    if one.name == "attention over the queries":
        return seen(given, one.architecture)[0]  # the sum runs over later words that look
    if one.name == "softmax over an axis of one":
        return gradients(given, 3)["score.weight"] == 0
    sums = given["module"](given["inputs"]).exp().sum(1)
    return not torch.allclose(sums, torch.ones_like(sums), atol=1e-4)


def offset(given, one):
    """By how many places the targets are later than the words that the model reads."""
    ids, labels = given["inputs"], given["targets"]
    if isinstance(ids, tuple):  # the decoder's input
        return 0 if torch.equal(ids[1], labels) else 1
    ids = ids["input_ids"] if isinstance(ids, dict) else ids
    if one.architecture.startswith("seq-first"):
        ids, labels = ids.t(), labels.t()
    inner = 1 if "shift" in one.architecture else 0
    return inner + next(k for k in range(4) if torch.equal(labels[:, : labels.shape[1] - k], ids[:, k:]))


def same_word(given, one):
    return offset(given, one) == 0


def next_but_one(given, one):
    return offset(given, one) == 2


def asked(given):
    """How much the loss asks of each place: the gradient of the outputs, summed over classes."""
    out = given["module"](given["inputs"])
    logits = tensor(out)
    (grad,) = torch.autograd.grad(given["loss"](out, given["targets"]), logits)
    return grad.abs().sum(-1 if logits.shape[:-1] == given["targets"].shape else 1)


def padding_asked(given, one):
    size, ids = asked(given), given["inputs"]
    if isinstance(ids, dict):
        return bool((size[:, :-1][ids["input_ids"][:, 1:] == 0] > 0).any())
    return bool((size[given["targets"] == 0] > 0).any())


def real_unasked(given, one):
    return bool((asked(given) == 0).any())


def piled_up(given, one):
    sizes, batch = [], batches_of(given)[0]
    for group in given["optimizer"].param_groups:
        group["lr"] = 0.0
    for _ in range(2):
        now = {}
        hooks = [
            p.register_post_accumulate_grad_hook(lambda p, name=name, now=now: now.update({name: float(p.grad.norm())}))
            for name, p in given["module"].named_parameters()
        ]
        step_of(given)(given["module"], given["optimizer"], None, *batch)
        sizes.append(now)
        for hook in hooks:
            hook.remove()
    return any(sizes[1][name] > 1.5 * sizes[0][name] > 0 for name in sizes[0])


def travelled(given, steps):
    before = weights(given)
    run(given, steps)
    after = weights(given)
    return math.sqrt(sum(float((after[name].double() - before[name].double()).square().sum()) for name in before))


def unmoved(given, one):
    return travelled(given, 5) < 1e-6


def rate_gone(given, one):
    first = given["optimizer"].param_groups[0]["lr"]
    return run(given, 30)["optimizer"].param_groups[0]["lr"] < 0.02 * first


def hardly_moved(given, one):
    return travelled(given, 10) < 0.05


def noisy(given, one):
    module = given["module"].eval()
    return not torch.equal(module(given["inputs"]), module(given["inputs"]))


def copied(given, one):
    named = weights(given)
    pairs = [(a, b) for a in named for b in named if a < b and named[a].shape == named[b].shape and torch.equal(named[a], named[b])]
    pairs = [(a, b) for a, b in pairs if len(named[a]) == WORDS]
    after = weights(run(given, 10))
    return any(not torch.equal(after[a], after[b]) for a, b in pairs)


def rounded_away(given, one):
    before = weights(given)
    after = weights(run(given, 5))
    still = sum(int((after[name] == before[name]).sum()) for name in before)
    return still > 0.9 * sum(value.numel() for value in before.values())


def not_the_mean(given, one):
    """Whether the gradient at the first step of the optimizer is something else than that of the mean of all losses so far."""
    module, loss, batches, used = given["module"], given["loss"], batches_of(given), []
    reference, at_step = copy.deepcopy(module), []
    given["optimizer"].register_step_pre_hook(lambda *_: at_step.append([p.grad.clone() for p in module.parameters()]))
    while not at_step:
        used.append(batches[len(used)])
        step_of(given)(module, given["optimizer"], None, *used[-1])
    sum(loss(reference(x), y) / len(used) for x, y in used).backward()
    return any(not torch.allclose(a, p.grad, rtol=1e-2, atol=1e-4) for a, p in zip(at_step[0], reference.parameters(), strict=True))


MEASURES = {
    "no_causal_mask": shut_nowhere,
    "transposed_mask": turned_round,
    "batch_mixed": mixed,
    "detached": silent,
    "zero_weights": silent,
    "dead_units": silent,
    "saturated": flat,
    "frozen": held_but_frozen,
    "not_in_optimizer": left_out,
    "double_softmax": probabilities,
    "softmax_axis": wrong_axis,
    "targets_not_shifted": same_word,
    "targets_by_two": next_but_one,
    "padding_in_loss": padding_asked,
    "ignore_index": real_unasked,
    "no_zero_grad": piled_up,
    "zero_rate": unmoved,
    "scheduler_per_batch": rate_gone,
    "clipped_away": hardly_moved,
    "dropout_on": noisy,
    "untied": copied,
    "underflow": rounded_away,
    "accumulation": not_the_mean,
    "stale_optimizer": gone,
}
# What is left are the two keys whose very meaning is that the training does not succeed, and the others that surely hinder it.
HINDERED = {"no_residual", "rate_too_high", "detached", "zero_weights", "dead_units", "no_zero_grad", "zero_rate", "clipped_away"}
HINDERED |= {"scheduler_per_batch", "stale_optimizer", "underflow", "accumulation"}


def by_name(setups):
    return pytest.mark.parametrize("one", setups, ids=[setup.name for setup in setups])


def test_enough_of_each_and_every_name_is_one_set_up():
    assert len(FAULTS) >= 55
    assert len(SOUND) >= 65
    assert len({one.name for one in FAULTS + SOUND}) == len(FAULTS + SOUND)
    for key in KEYS:
        found = [one for one in FAULTS if one.cause == key]
        assert len(found) >= 2, key
        assert len({one.architecture for one in found}) == len(found), key
        assert sum(not one.debatable for one in found) >= 2, key
    assert {one.cause for one in FAULTS} == set(KEYS)
    assert {one.cause for one in SOUND} == {None}
    assert all("ebatable" in one.why for one in FAULTS + SOUND if one.debatable)


@by_name([one for one in FAULTS if one.cause in MEASURES])
def test_the_fault_is_there_and_the_twin_has_none(one):
    measure = MEASURES[one.cause]
    for seed in (0, 1):
        assert measure(one.build(seed), one)
        assert not measure(one.twin(seed), one)


@by_name([one for one in FAULTS if one.cause in HINDERED and not one.debatable])
def test_with_the_fault_the_training_succeeds_less(one):
    sick, sound = cost(run(one.build(0), 150)), cost(run(one.twin(0), 150))
    assert math.isfinite(sound)
    assert not sick < 1.2 * sound  # infinities and nan too are less of a success


@by_name(FAULTS)
def test_the_twin_learns(one):
    before = cost(one.twin(0))
    assert cost(run(one.twin(0), 150)) < 0.7 * before


@by_name(SOUND)
def test_a_sound_training_learns(one):
    for seed in (0, 1):
        before, after = cost(one.build(seed)), cost(run(one.build(seed), 150))
        assert after < before - 0.15 * abs(before)


@by_name([*FAULTS, *SOUND])
def test_a_seed_makes_the_same_again_takes_no_random_numbers_and_copies_train_alike(one):
    before = torch.get_rng_state()
    given, again = one.build(5), one.build(5)
    assert torch.equal(before, torch.get_rng_state())
    if "batches" in given:
        assert given["inputs"] is given["batches"][0][0]
        assert given["targets"] is given["batches"][0][1]
    if one.name in UNCOPIED or "optimizer" not in given:
        return
    module, optimizer, scheduler = copy.deepcopy((given["module"], given["optimizer"], given.get("scheduler")))
    start = weights(given)
    copied_run = weights(run({**given, "module": module, "optimizer": optimizer, "scheduler": scheduler}, 3))
    assert all(torch.equal(start[name], value) for name, value in weights(given).items())
    direct = weights(run(again, 3))
    assert all(torch.equal(copied_run[name], value) or value.isnan().any() for name, value in direct.items())
