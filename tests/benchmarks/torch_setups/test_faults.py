"""Each fault is what it says, and no sound set-up has one of them: an exhibit for each cause, which knows nothing of any doctor."""

import copy
import warnings

import pytest

from benchmarks.torch_setups.case import CAUSES, LANGUAGE, everything

torch = pytest.importorskip("torch", reason="PyTorch is large; `make test-all` installs it")
from torch import nn  # noqa: E402
from torch.nn import functional as F  # noqa: E402

from benchmarks.torch_setups.data import PAD  # noqa: E402
from benchmarks.torch_setups.loops import plain, train  # noqa: E402

ALL = everything()
SICK, SOUND = ([one for one in ALL.values() if (one.cause is not None) == sick] for sick in (True, False))
SEVERAL_BATCHES = "four batches a step"  # what it does with one batch is a quarter of a step


@pytest.fixture(autouse=True)
def _one_thread_and_the_same_noise():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    yield
    torch.set_num_threads(threads)


def output_of(module, inputs):
    """The first output, as a tensor."""
    found = module(inputs)
    return found[0] if isinstance(found, tuple) else found


def changed_places(one, setup):
    """For each place t that is changed in the inputs, which outputs change: a matrix (T, T) of booleans [changed, seen]."""
    module, ids = setup["module"].eval(), setup["inputs"][:4]
    with torch.no_grad():
        before, rows = output_of(module, ids), []
        for t in range(ids.shape[1]):
            other = ids.clone()
            other[:, t] = 1 + ids[:, t] % (ids.max() - 1)  # another word, and never padding
            rows.append((output_of(module, other) - before).abs().amax((0, 2)) > 1e-6)
    return torch.stack(rows)


def no_causal_mask(one, setup):
    if one.task != LANGUAGE:
        return False
    seen = changed_places(one, setup)
    return bool(seen.tril(-1).any()) and bool(seen.triu(1).any())


def transposed_mask(one, setup):
    if one.task != LANGUAGE:
        return False
    seen = changed_places(one, setup)
    return bool(seen.tril(-1).any()) and not seen.triu(1).any()


def batch_mixed(one, setup):
    module, inputs = setup["module"].eval(), setup["inputs"]
    other = inputs.clone()
    other[0] = inputs[0].flip(0) if inputs.dim() > 1 else inputs[1]
    with torch.no_grad():
        gap = output_of(module, other)[1:] - output_of(module, inputs)[1:]
    return bool(gap.abs().max() > 1e-5)


def gradients(setup, module=None):
    """Of the loss of the first batch, without noise, by name; and the module."""
    module = copy.deepcopy(module or setup["module"]).eval()
    for p in module.parameters():
        p.grad = None
    setup["loss"](module(setup["inputs"]), setup["targets"]).backward()
    return {name: p.grad for name, p in module.named_parameters() if p.requires_grad}


def detached(one, setup):
    return any(grad is None for grad in gradients(setup).values())


def trained_a_little(setup, steps=25):
    """By the set-up's own loop, or by the plainest where it has none."""
    setup["module"].train()
    return train(setup, steps)


def zero_weights(one, setup):
    """Matrices that begin at zero and are still there after some steps, with a rate that is not 0."""
    begun = [name for name, p in setup["module"].named_parameters() if p.dim() > 1 and not p.any()]
    if not begun:
        return False
    now = dict(trained_a_little(setup)["module"].named_parameters())
    return any(not now[name].any() for name in begun)


def outputs_of(setup, kinds):
    """What the layers of these kinds give, over all batches."""
    found, module = {}, setup["module"].eval()
    for name, layer in module.named_modules():
        if isinstance(layer, kinds):
            layer.register_forward_hook(lambda _, __, y, name=name: found.setdefault(name, []).append(y.detach()))
    with torch.no_grad():
        for inputs, _ in setup.get("batches") or [(setup["inputs"], None)]:
            module(inputs)
    return {name: torch.cat(ys) for name, ys in found.items()}


def dead_units(one, setup):
    shares = []
    for y in outputs_of(setup, nn.ReLU).values():
        units = y.transpose(1, -1).flatten(0, -2) if y.dim() == 4 else y.flatten(0, -2)
        shares.append((units == 0).all(0).float().mean())
    return bool(shares) and bool(max(shares) > 0.9)


def saturated(one, setup):
    shares = [(y.abs() > 0.97).float().mean() for y in outputs_of(setup, nn.Tanh).values()]
    if isinstance(setup["loss"], nn.BCELoss):
        return False  # its sigmoid gives probabilities
    shares += [((y - 0.5).abs() > 0.47).float().mean() for y in outputs_of(setup, nn.Sigmoid).values()]
    for layer in setup["module"].modules():
        if isinstance(layer, nn.LSTM):
            x = setup["module"].embedding(setup["inputs"])
            shares.append((F.linear(x, layer.weight_ih_l0, layer.bias_ih_l0).abs() > 4).float().mean())
    return bool(shares) and bool(max(shares) > 0.5)


def held(setup):
    """The parameters that the optimizer holds, by identity."""
    return {id(p): p for group in setup["optimizer"].param_groups for p in group["params"]}


def frozen(one, setup):
    return "optimizer" in setup and any(not p.requires_grad for p in held(setup).values())


def leaves(setup):
    """All weights that the gradient of the loss reaches, found in the graph, whoever has registered them."""
    value = setup["loss"](setup["module"](setup["inputs"]), setup["targets"])
    seen, found, waiting = set(), [], [value.grad_fn]
    while waiting:
        node = waiting.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        if hasattr(node, "variable"):
            found.append(node.variable)
        waiting += [other for other, _ in node.next_functions]
    return found


def not_in_optimizer(one, setup):
    if "optimizer" not in setup or stale_optimizer(one, setup):
        return False
    return any(id(p) not in held(setup) for p in leaves(setup))


def stale_optimizer(one, setup):
    return "optimizer" in setup and not held(setup).keys() <= {id(p) for p in setup["module"].parameters()}


def far_out(setup):
    """The outputs for inputs far from usual, where those are numbers; there no logits stay between bounds by chance."""
    inputs = setup["inputs"]
    with torch.no_grad():
        return output_of(setup["module"].eval(), 30 * inputs if inputs.is_floating_point() else inputs)


def double_softmax(one, setup):
    """Outputs between 0 and 1, and a loss that even a perfect answer between 0 and 1 leaves far above 0."""
    found, targets = far_out(setup), setup["targets"]
    if found.min() < 0 or found.max() > 1 or found.std() == 0:
        return False
    perfect = targets if targets.is_floating_point() else F.one_hot(targets, found.shape[-1]).float()
    return float(setup["loss"](perfect, targets)) > 0.3


def softmax_axis(one, setup):
    module = setup["module"].eval()
    for layer in module.modules():
        if hasattr(layer, "heads") and hasattr(layer, "weights"):
            sums = layer.weights(torch.randn(2, 4, 7, 7)).sum(-1)
            if not torch.allclose(sums, torch.ones_like(sums), atol=1e-5):
                return True
    if hasattr(module, "score"):
        return not gradients(setup)["score.weight"].any()
    found = far_out(setup)
    if found.max() > 0 or found.std() == 0:  # no logarithms of probabilities
        return False
    sums = found.exp().sum(-1)
    return not torch.allclose(sums, torch.ones_like(sums), atol=1e-4)


def no_residual(one, setup):
    """With both branches of a block at zero, nothing of its input is left."""
    blocks = [layer for layer in setup["module"].modules() if hasattr(layer, "attention") and hasattr(layer, "mlp")]
    for block in blocks[:1]:
        for p in [*block.attention.parameters(), *block.mlp.parameters()]:
            p.data.zero_()
        width = block.norm1.weight.numel() if hasattr(block.norm1, "weight") else block.norm1.gain.numel()
        x = torch.randn(2, 3, 5, width)
        return torch.allclose(block(x[0]), block(x[1]))
    return False


def pulls(setup):
    """The gradient of the loss with respect to the outputs."""
    found = output_of(setup["module"].eval(), setup["inputs"]).detach().requires_grad_()
    answer = setup["module"](setup["inputs"])
    answer = (found, *answer[1:]) if isinstance(answer, tuple) else found
    (pull,) = torch.autograd.grad(setup["loss"](answer, setup["targets"]), found)
    return pull


def taught_shift(setup):
    """How far behind a word the word stands that the loss asks for, by what pulls at the outputs."""
    pull, ids = pulls(setup), setup["inputs"]
    there, asked = pull.abs().amax(-1) > 0, pull.argmin(-1)
    for shift in range(3):
        known = there[:, : ids.shape[1] - shift]
        known = known & (ids[:, shift:] != PAD) if (ids[:, -1] == PAD).float().mean() > 0.5 else known
        if (asked[:, : ids.shape[1] - shift] == ids[:, shift:])[known].float().mean() > 0.9:
            return shift
    return None


def targets_not_shifted(one, setup):
    return one.task == LANGUAGE and taught_shift(setup) == 0


def targets_by_two(one, setup):
    return one.task == LANGUAGE and taught_shift(setup) == 2


def is_padded(setup):
    """Whether sentences end in padding: in these data 0 is then nowhere else."""
    ids = setup["inputs"]
    if ids.is_floating_point():
        return False
    behind = (ids == PAD).flip(1).cummin(1).values.flip(1)
    return bool(behind[:, -1].float().mean() > 0.5) and torch.equal(behind, ids == PAD)


def padding_in_loss(one, setup):
    if not is_padded(setup) or setup["targets"].dim() < 2:
        return False
    return bool(pulls(setup)[setup["inputs"] == PAD].any())


def ignore_index(one, setup):
    """A class whose examples pull at no output."""
    targets, pull = setup["targets"], pulls(setup)
    if targets.is_floating_point():
        return False
    there = setup["inputs"] != PAD if is_padded(setup) and targets.dim() > 1 else torch.ones_like(targets, dtype=torch.bool)
    if (targets == setup["inputs"]).all() if targets.shape == setup["inputs"].shape else False:
        targets = torch.cat([targets[:, 1:], torch.full_like(targets[:, :1], -100)], 1)  # the loss shifts by itself
    classes = [int(c) for c in targets[there].unique() if c >= 0]
    return any(not pull[there & (targets == c)].any() for c in classes) and one.cause not in ("targets_by_two", "targets_not_shifted")


def stepped(setup, batches):
    """What the optimizer is given at the last of these batches, without noise and without moving; and how often it was called."""
    module, optimizer, scheduler = copy.deepcopy((setup["module"].eval(), setup["optimizer"], setup.get("scheduler")))
    taken = []
    optimizer.register_step_pre_hook(
        lambda *_: taken.append({name: p.grad.clone() for name, p in module.named_parameters() if p.grad is not None})
    )
    for group in optimizer.param_groups:
        group["lr"] = 0.0
    for batch in batches:
        setup["step"](module, optimizer, None if scheduler is None else _Standing(), *batch)
    return taken


class _Standing:
    """A schedule that leaves the rate alone."""

    def step(self, *_):
        pass


def flat(gradients):
    return torch.cat([g.double().flatten() for g in gradients.values()])


def no_zero_grad(one, setup):
    if "step" not in setup or one.name == SEVERAL_BATCHES:
        return False
    first, second = setup["batches"][:2]
    fresh, after = stepped(setup, [second]), stepped(setup, [first, second])
    a, b = flat(fresh[-1]), flat(after[-1])
    return not torch.allclose(a, b, rtol=0.05, atol=0.02 * float(a.abs().max()))


def moved(setup, steps=25):
    """The furthest that any weight has moved after some steps."""
    before = [p.detach().clone() for p in setup["module"].parameters()]
    after = trained_a_little(setup, steps)["module"].parameters()
    return max(float((p.detach() - q).abs().max()) for p, q in zip(after, before, strict=True))


def zero_rate(one, setup):
    if "optimizer" not in setup or stale_optimizer(one, setup) or not _arrives(one, setup):
        return False
    return moved(setup) < 1e-6


def _arrives(one, setup):
    """Whether the optimizer is given a gradient worth the name."""
    if one.name == SEVERAL_BATCHES:
        return True
    return float(flat(stepped(setup, setup["batches"][:1])[-1]).norm()) > 1e-4


def loss_of(setup):
    module = setup["module"].eval()
    batches = setup.get("batches") or [(setup["inputs"], setup["targets"])]
    with torch.no_grad():
        return sum(float(setup["loss"](module(x), y)) for x, y in batches) / len(batches)


def rate_too_high(one, setup):
    if "step" not in setup:
        return False
    before = loss_of(setup)
    after = loss_of(trained_a_little(setup, 40))
    return not after < 1.5 * before + 0.05


def scheduler_per_batch(one, setup):
    if setup.get("scheduler") is None:
        return False
    rates = []
    for _ in range(60):
        trained_a_little(setup, 1)
        rates.append(setup["optimizer"].param_groups[0]["lr"])
    return 0 < rates[-1] < 1e-2 * rates[0]


def mean_gradient(setup):
    """Of the whole batch."""
    return {name: g for name, g in gradients(setup).items() if g is not None}


def clipped_away(one, setup):
    if "step" not in setup or one.cause == "underflow" or stale_optimizer(one, setup) or one.name == SEVERAL_BATCHES:
        return False
    taken = flat(stepped(setup, setup["batches"][:1])[-1])
    return bool(taken.norm() < 1e-3 * flat(mean_gradient(setup)).norm())


def accumulation(one, setup):
    """What the optimizer is given is neither the gradient of the mean loss nor that, clipped."""
    if "step" not in setup or one.cause in ("underflow", "clipped_away") or one.name == SEVERAL_BATCHES:
        return False
    taken, true = flat(stepped(setup, setup["batches"][:1])[-1]), flat(mean_gradient(setup))
    same_way = float(F.cosine_similarity(taken, true, dim=0)) > 0.98
    size = float(taken.norm() / true.norm())
    return not (same_way and (0.95 < size < 1.05 or abs(float(taken.norm()) - 1) < 0.01))


def dropout_on(one, setup):
    module = setup["module"].eval()
    with torch.no_grad():
        return not torch.equal(output_of(module, setup["inputs"]), output_of(module, setup["inputs"]))


def untied(one, setup):
    weights = [(name, p) for name, p in setup["module"].named_parameters() if p.dim() == 2 and p.std() > 0]
    pairs = [(p, q) for i, (_, p) in enumerate(weights) for _, q in weights[:i] if p.shape == q.shape]
    if any("encoder.layers" in name or "blocks" in name for name, _ in weights):
        weights = [(name, p) for name, p in weights if "layers" not in name and "blocks" not in name]
        pairs = [(p, q) for i, (_, p) in enumerate(weights) for _, q in weights[:i] if p.shape == q.shape]
    return any(torch.equal(p, q) for p, q in pairs)


def underflow(one, setup):
    """Gradients that are 0 where those of the loss are not; or steps that leave most weights where they are."""
    if "step" not in setup or one.cause in ("clipped_away", "zero_rate", "stale_optimizer", "zero_weights", "dead_units"):
        return False
    if one.name == SEVERAL_BATCHES or one.trained:
        return False
    taken, true = stepped(setup, setup["batches"][:1])[-1], mean_gradient(setup)
    lost = [(g == 0) & (true[name] != 0) for name, g in taken.items()]
    if sum(int(x.sum()) for x in lost) > 0.4 * sum(int((true[name] != 0).sum()) for name in taken):
        return True
    before = {name: p.detach().clone() for name, p in setup["module"].named_parameters()}
    after = dict(trained_a_little(setup, 10)["module"].named_parameters())
    still = sum(int(((after[name] == before[name]) & (g != 0)).sum()) for name, g in taken.items())
    return still > 0.5 * sum(int((g != 0).sum()) for g in taken.values())


EXHIBITS = {cause: globals()[cause] for cause in CAUSES}


@pytest.mark.parametrize("seed", [0, pytest.param(1, marks=pytest.mark.slow), pytest.param(2, marks=pytest.mark.slow)])
@pytest.mark.parametrize("one", SICK, ids=lambda one: one.name)
def test_a_fault_is_what_it_says(one, seed):
    assert EXHIBITS[one.cause](one, one.build(seed))


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("one", SOUND, ids=lambda one: one.name)
def test_a_sound_set_up_has_none_of_the_faults(one, seed):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of schedulers that are not stepped
        shown = [cause for cause, exhibit in EXHIBITS.items() if exhibit(one, one.build(seed))]
    assert not shown


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("one", SOUND, ids=lambda one: one.name)
def test_a_sound_set_up_learns_in_a_hundred_steps(one, seed):
    setup = one.build(seed)
    before = loss_of(setup)
    setup["module"].train()
    if "step" not in setup:
        setup["step"] = plain(setup["loss"])
    assert loss_of(train(setup, 100)) < (1.01 if one.trained else 0.9) * before


def test_four_sound_set_ups_show_none_of_the_faults():
    """A share of the test above that is quick enough for every day."""
    for name in ("GPT by hand", "tagger of padded texts", "warm-up whose first rate is 0", "CNN, features frozen on purpose"):
        one = ALL[name]
        assert not [cause for cause, exhibit in EXHIBITS.items() if exhibit(one, one.build(0))], name
