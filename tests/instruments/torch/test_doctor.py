"""One call: everything comes out as it went in, odd modules are looked at, the verdict is the first that convicts, complaints are clear."""

import copy
import random
import subprocess
import sys
from collections import namedtuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cllm_lib.instruments.kit.catalogue import Reading
from cllm_lib.instruments.torch import CAUSES, Report, examine
from cllm_lib.instruments.torch.causes import CONVICTS
from cllm_lib.instruments.torch.doctor import WITHOUT_LOOP, _report

REASON = "PyTorch is large; `make test-all` installs it"
EACH = 12  # of the set-ups one in so many; all of them in the slow test
Batch = namedtuple("Batch", ["inputs", "targets"])


@pytest.fixture
def torch():
    """PyTorch on one thread."""
    found = pytest.importorskip("torch", reason=REASON)
    threads = found.get_num_threads()
    found.set_num_threads(1)
    found.manual_seed(0)
    yield found
    found.set_num_threads(threads)


def test_without_pytorch_one_sentence_says_what_brings_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(ModuleNotFoundError) as raised:
        examine(None, None, None, None)
    assert str(raised.value) == "the doctor for PyTorch needs the package torch: `pip install torch` brings it"
    assert raised.value.name == "torch"


def test_importing_the_doctor_does_not_load_pytorch():
    program = "import sys; from cllm_lib.instruments.torch import examine, CAUSES, Report; print('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.strip() == "False"


@given(st.lists(st.sampled_from(list(CONVICTS)), unique=True, max_size=5), st.booleans(), st.booleans(), st.randoms())
def test_the_verdict_is_the_first_finding_in_the_order_of_conviction_whatever_was_read_first(said, with_step, few_rows, order):
    shuffled = list(said)
    order.shuffle(shuffled)
    readings = [Reading("weights", {}, ()), *(Reading(instrument, {}, (word,)) for instrument, word in shuffled)]
    report = _report(readings, {"softmaxes": "a reason"}, object() if with_step else None, "the first 4 rows" if few_rows else "")
    first = next((key for key in CONVICTS if key in said), None)
    assert report.cause == (CONVICTS[first] if first else None)
    assert report.is_healthy == (first is None)
    assert (WITHOUT_LOOP in report.verdict) == (not with_step)
    assert ("the first 4 rows" in report.verdict) == few_rows
    assert report.verdict.endswith(".")
    assert ".." not in report.verdict
    if first:
        assert report.verdict.startswith(CAUSES[report.cause].rstrip("."))
        assert f"({first[0]}: {first[1]})" in report.verdict
    else:
        assert "not looked at: softmaxes" in report.verdict
    assert report.looked_at == tuple(reading.instrument for reading in readings)


def test_a_report_as_text_has_a_line_for_each_instrument():
    readings = [Reading("weights", {}, ()), Reading("gradient check", {"tensors": 9.0, "checked": 4.0}, ("wrong somewhere",))]
    report = _report(readings, {"softmaxes": "a reason"}, None, None)
    assert report.looked_at == ("weights", "gradient check of 4 of 9 tensors")
    assert str(report).splitlines() == [
        f"verdict: {report.verdict}",
        "  weights: nothing stands out",
        "  gradient check: wrong somewhere",
        "  softmaxes: not looked at; a reason",
    ]


def plain(structure, torch):
    """Everything in it as text that can be compared, tensors to their last bit, objects by what they are."""
    if isinstance(structure, torch.Tensor):
        dense = structure.detach().to_dense() if structure.is_sparse else structure.detach()
        return (str(dense.dtype), tuple(dense.shape), dense.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes() if dense.ndim
                else repr(dense.item()))  # fmt: skip
    if isinstance(structure, dict):
        return [(name, plain(value, torch)) for name, value in structure.items()]
    if isinstance(structure, list | tuple):
        return [plain(value, torch) for value in structure]
    return repr(structure) if isinstance(structure, float | int | str | bool | type(None) | np.ndarray) else type(structure).__name__


def stand(torch, module, optimizer=None, scheduler=None, batches=(), **_):
    """All that examining may not change."""
    tensors = [*module.named_parameters(), *module.named_buffers()]
    return {
        "weights": [(name, id(t), t.requires_grad, plain(t, torch)) for name, t in tensors],
        "gradients": [(name, id(t.grad), plain(t.grad, torch)) for name, t in tensors if t.is_leaf],
        "modes": [m.training for m in module.modules()],
        "optimizer": plain(optimizer.state_dict(), torch) if optimizer is not None else None,
        "held": [id(p) for group in optimizer.param_groups for p in group["params"]] if optimizer is not None else None,
        "scheduler": plain(scheduler.state_dict(), torch) if scheduler is not None else None,
        "batches": plain([list(batch) for batch in batches or []], torch),
        "noise": (torch.get_rng_state().tolist(), repr(random.getstate()), repr(np.random.get_state())),  # noqa: NPY002
        "switches": (torch.is_grad_enabled(), str(torch.get_default_dtype()), torch.get_num_threads()),
    }


def with_a_past(torch, setup):
    """A set-up in the middle of its training: gradients lie there, modes are mixed, the optimizer has a state."""
    module, optimizer, scheduler = setup["module"], setup.get("optimizer"), setup.get("scheduler")
    try:
        if setup.get("step"):
            setup["step"](module, optimizer, scheduler, *copy.deepcopy((setup["inputs"], setup["targets"])))
        setup["loss"](module(setup["inputs"]), setup["targets"]).backward()
    except RuntimeError:  # a fault: nothing to go back through
        pass
    for number, part in enumerate(module.modules()):
        part.training = number % 3 != 1
    return setup


def batches_of(setup):
    return [(setup["inputs"], setup["targets"]), *(setup.get("batches") or [])]


def own_step(setup):
    return setup.get("step")


def raising_step(setup):
    count = iter(range(10**6))

    def step(*given):
        if next(count) == 2:
            raise RuntimeError("the loop has come to its end")
        setup["step"](*given)

    return step


def step_by_names(setup):
    """Trains the originals, whatever it is given; and throws switches."""
    originals = [setup["module"], setup.get("optimizer"), setup.get("scheduler")]

    def step(module, optimizer, scheduler, inputs, targets):
        import torch

        originals[0].train(not originals[0].training)
        setup["step"](*originals, inputs, targets)
        random.random(), np.random.rand()  # noqa: NPY002
        torch.set_default_dtype(torch.float64)
        torch.set_grad_enabled(False)

    return step


def left_as_they_were(torch, setup, step):
    setup = with_a_past(torch, setup) | ({"step": step(setup)} if setup.get("step") else {})
    before = stand(torch, **(setup | {"batches": batches_of(setup)}))
    report = examine(**setup)
    after = stand(torch, **(setup | {"batches": batches_of(setup)}))
    assert [name for name in before if before[name] != after[name]] == []
    return report


def setups(part):
    from benchmarks.torch_setups.case import everything

    return [one for number, one in enumerate(everything().values()) if number % EACH == part]


@pytest.mark.parametrize("step", [own_step, raising_step, step_by_names])
def test_everything_comes_out_as_it_went_in(step, torch):
    for one in setups({own_step: 0, raising_step: 3, step_by_names: 5}[step]):
        with_loop = one.build(0)
        if step is own_step or with_loop.get("step"):
            left_as_they_were(torch, with_loop, step)


@pytest.mark.slow
@pytest.mark.parametrize("part", range(EACH))
def test_everything_comes_out_as_it_went_in_of_every_set_up_and_each_kind_of_step(part, torch):
    for one in setups(part):
        for step in (own_step, raising_step, step_by_names):
            left_as_they_were(torch, one.build(1), step)


@pytest.mark.parametrize("at", ["always", 1, 5, 20])
def test_everything_comes_out_as_it_went_in_also_if_the_loss_raises(at, torch):
    from instruments.torch.subjects import classes, mlp

    count = iter(range(10**6))

    def loss(outputs, targets):
        if at in ("always", next(count)):
            raise RuntimeError("the loss has come to its end")
        return torch.nn.functional.cross_entropy(outputs, targets)

    module, (inputs, targets) = torch.nn.Sequential(mlp(), torch.nn.BatchNorm1d(3)), classes()
    optimizer = torch.optim.Adam(module.parameters())
    torch.nn.functional.cross_entropy(module(inputs), targets).backward()
    optimizer.step()
    setup = {"module": module, "optimizer": optimizer, "batches": [(inputs, targets)]}
    before = stand(torch, **setup)
    if at == "always":
        with pytest.raises(ValueError, match="raised RuntimeError on copies on the CPU: the loss has come to its end"):
            examine(module, loss, inputs, targets, optimizer)
    else:
        assert isinstance(examine(module, loss, inputs, targets, optimizer), Report)
    after = stand(torch, **setup)
    assert [name for name in before if before[name] != after[name]] == []


def odd_modules(torch):
    """Modules that nobody trains words with, and a loss and a batch for each."""
    from instruments.torch.subjects import classes, drawn, mlp

    nn, F = torch.nn, torch.nn.functional
    x, y = classes()

    class Then(nn.Module):
        def __init__(self, function, inner=None):
            super().__init__()
            self.inner, self.function = inner or mlp(), function

        def forward(self, x):
            return self.function(self.inner(x))

    class Loss(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = mlp()

        def forward(self, both):
            return F.cross_entropy(self.inner(both["x"]), both["y"])

    class Lists(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = mlp()

        def forward(self, rows):
            return self.inner(torch.tensor([[float(len(word))] * 4 for word in rows]))

    hooked, seen = mlp(), []
    hooked.register_forward_hook(lambda *_: seen.append(1))
    hooked.register_full_backward_hook(lambda *_: None)
    hooked[0].weight.register_hook(lambda gradient: 2.0 * gradient)
    normed = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3))
    weighed = nn.Sequential(
        nn.utils.parametrizations.weight_norm(nn.Linear(4, 8)), nn.utils.parametrizations.spectral_norm(nn.Linear(8, 3))
    )
    return {
        "no weights at all": (nn.Identity(), F.cross_entropy, x, y % 4),
        "its own loss": (Loss(), lambda value, _: value, {"x": x, "y": y}, None),
        "a dictionary": (Then(lambda o: {"hidden": 2.0 * o, "logits": o}), lambda o, t: F.cross_entropy(o["logits"], t), x, y),
        "a tuple with None": (Then(lambda o: (o, None)), lambda o, t: F.cross_entropy(o[0], t), x, y),
        "a named tuple of inputs": (Then(lambda o: o, Named(torch)), F.cross_entropy, Batch(x, y), y),
        "whole numbers": (Then(lambda o: o.argmax(-1)), lambda o, t: (o - t).float().square().mean(), x, y),
        "one number each": (Then(lambda o: o[:, 0]), F.mse_loss, x, drawn(12)),
        "one number": (Then(lambda o: o.mean()), lambda o, t: (o - t.float().mean()).square(), x, y),
        "BatchNorm and one example": (normed, F.cross_entropy, x[:1], y[:1]),
        "one example": (mlp(), F.cross_entropy, x[:1], y[:1]),
        "no example": (mlp(), F.cross_entropy, x[:0], y[:0]),
        "hooks": (hooked, F.cross_entropy, x, y),
        "weights that are computed": (weighed, F.cross_entropy, x, y),
        "words as text": (Lists(), F.cross_entropy, ["a", "bb", "ccc"], y[:3]),
        "frozen": (mlp().requires_grad_(False), F.cross_entropy, x, y),
        "complex numbers": (nn.Linear(4, 3, dtype=torch.complex64), lambda o, t: o.abs().square().mean(), x.to(torch.complex64), y),
        "float16": (mlp().half(), lambda o, t: F.cross_entropy(o.float(), t), x.half(), y),
        "float64": (mlp().double(), F.cross_entropy, x.double(), y),
        "one class": (mlp(1), F.cross_entropy, x, 0 * y),
    }


def Named(torch):  # a class that needs PyTorch is made where that is
    from instruments.torch.subjects import mlp

    class First(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = mlp()

        def forward(self, batch):
            return self.inner(batch.inputs)

    return First()


SICK = {"whole numbers": "detached", "no example": "not_finite"}  # what is really so


@pytest.mark.parametrize("with_optimizer", [False, True])
def test_odd_modules_are_looked_at_and_nothing_is_raised(with_optimizer, torch):
    for name, (module, loss, inputs, targets) in odd_modules(torch).items():
        parameters = [p for p in module.parameters() if p.requires_grad]
        optimizer = torch.optim.SGD(parameters, 0.1) if with_optimizer and parameters else None
        report = examine(module, loss, inputs, targets, optimizer, batches=[])
        assert report.cause == SICK.get(name), (name, report.verdict)
        assert WITHOUT_LOOP in report.verdict
        assert len(report.looked_at) >= (1 if name == "no example" else 3), name


def test_a_compiled_module_is_looked_at(torch):
    from instruments.torch.subjects import classes, mlp

    report = examine(torch.compile(mlp(), backend="eager"), torch.nn.functional.cross_entropy, *classes())
    assert report.is_healthy
    assert "gradient check" in report.looked_at


@pytest.mark.parametrize("switch", ["no_grad", "inference_mode"])
def test_gradients_that_are_switched_off_outside_are_no_fault_of_the_module(switch, torch):
    from instruments.torch.subjects import classes, mlp

    module, (inputs, targets) = mlp(), classes()
    with getattr(torch, switch)():
        report = examine(module, torch.nn.functional.cross_entropy, inputs, targets, torch.optim.SGD(module.parameters(), 0.1))
        assert not torch.is_grad_enabled()
    assert report.is_healthy, report.verdict
    assert torch.is_grad_enabled()


def test_a_loop_that_knows_the_originals_by_their_names_is_not_convicted_of_what_it_does_not_do(torch):
    from instruments.torch.subjects import classes, mlp

    module, (inputs, targets) = mlp(), classes()
    optimizer = torch.optim.SGD(module.parameters(), 0.1)

    def step(*_):
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(module(inputs), targets).backward()
        optimizer.step()

    report = examine(module, torch.nn.functional.cross_entropy, inputs, targets, optimizer, step=step)
    assert report.is_healthy, report.verdict
    assert "use what the step is given" in report.skipped["leftover gradients"]


def test_complaints_are_clear(torch):
    from instruments.torch.subjects import classes, mlp

    (x, y), cross_entropy = classes(), torch.nn.functional.cross_entropy
    with pytest.raises(ValueError, match=r"gave \(12,\): it has to be one number"):
        examine(mlp(), lambda o, t: cross_entropy(o, t, reduction="none"), x, y)
    with pytest.raises(ValueError, match=r"raised .*Error on copies on the CPU: .* Give what the loop gives"):
        examine(mlp(), cross_entropy, x, y[:3])
    with pytest.raises(ValueError, match=r'0\.weight is on the device "meta", which holds no numbers'):
        examine(mlp().to("meta"), cross_entropy, x, y)
    kept = mlp()
    kept.last = kept(x)
    with pytest.raises(ValueError, match="could not be copied .* keep no tensors that were computed as attributes"):
        examine(kept, cross_entropy, x, y)
    with pytest.raises(ValueError, match="the module is a function"):
        examine(lambda x: x, cross_entropy, x, y)


def test_what_cannot_be_measured_is_skipped_and_said(torch, monkeypatch):
    from instruments.torch.subjects import classes, mlp

    from cllm_lib.instruments.torch import inside

    def broken(subject):
        raise KeyError("a case that nobody thought of")

    (tool, _), *others = inside.INSTRUMENTS
    other = type(tool)(tool.name, tool.cost, broken, tool.words, tool.asks)
    (last, _) = others.pop()
    monkeypatch.setattr(inside, "INSTRUMENTS", ((other, inside.always), *others, (last, broken)))
    report = examine(mlp(), torch.nn.functional.cross_entropy, *classes())
    assert report.is_healthy
    for name in (tool.name, last.name):
        assert report.skipped[name] == "it could not be measured (KeyError: 'a case that nobody thought of')"
    assert {*report.skipped, *(name.partition(" of ")[0] for name in report.looked_at)} >= {tool.name, "weights", "gradient check"}


def test_of_a_module_that_drops_numbers_nothing_else_is_read(torch):
    from instruments.torch.subjects import classes, mlp

    class Noisy(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = mlp()

        def forward(self, x):
            return torch.nn.functional.dropout(self.inner(x))

    report = examine(Noisy(), torch.nn.functional.cross_entropy, *classes())
    assert report.cause == "dropout_on"
    assert report.looked_at == ("repeat",)
    assert set(report.skipped.values()) == {"the module does not give the same twice"}


def test_without_time_what_is_left_is_said(torch, monkeypatch):
    from instruments.torch.subjects import classes, mlp

    from cllm_lib.instruments.torch import subject

    monkeypatch.setattr(subject, "SECONDS", -1.0)
    report = examine(mlp(), torch.nn.functional.cross_entropy, *classes())
    assert "repeat" in report.looked_at, "what costs little is looked at however late it is"
    late = {name for name, why in report.skipped.items() if why == "there was no time left"}
    assert {"gradient check", "activation statistics"} <= late
    assert not late & set(report.looked_at)
    assert all(name in report.verdict.partition("not looked at: ")[2] for name in late)


def test_in_a_large_model_a_part_of_each_batch_shows_the_faults_too(torch):
    from instruments.torch.subjects import Words, each_word, next_words

    def step(module, optimizer, scheduler, inputs, targets):
        each_word(module(inputs), targets).backward()
        optimizer.step()

    module = Words(width=256, length=48)
    weights = sum(p.numel() for p in module.parameters())
    inputs, targets = next_words(rows=16, length=48)
    assert weights > 1e6, "large enough for float32"
    report = examine(module, each_word, inputs, targets, torch.optim.SGD(module.parameters(), 0.1), step=step)
    assert report.cause == "no_zero_grad"
    assert "of each batch the first 8 rows" in report.verdict


def test_nothing_is_printed_and_no_warning_given(torch, capfd, recwarn):
    from instruments.torch.subjects import Words, each_word, next_words

    module = Words()
    examine(module, each_word, *next_words(), torch.optim.SGD(module.parameters(), 0.1))
    assert "".join(capfd.readouterr()) == ""
    assert [str(warning.message) for warning in recwarn] == []
