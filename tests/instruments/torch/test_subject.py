"""The copies that are examined, and what is put back: weights, gradients, modes, noise, types, and the complaints."""

import copy
import random
import threading

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

torch = pytest.importorskip("torch", reason="PyTorch is large; `make test-all` installs it")
from instruments.torch.subjects import Words, classes, drawn, each_word, mlp, next_words, subject  # noqa: E402
from torch import nn  # noqa: E402
from torch.nn import functional as F  # noqa: E402

from cllm_lib.instruments.torch import subject as own  # noqa: E402
from cllm_lib.instruments.torch.subject import _alike, in_double, on_cpu, once, seeded, untouched, without_dropout  # noqa: E402


def trained(module, optimizer, inputs, targets):
    optimizer.zero_grad()
    F.cross_entropy(module(inputs), targets).backward()
    optimizer.step()


def numbers(*things):
    """All numbers of states, as text."""
    return repr([copy.deepcopy(thing.state_dict()) for thing in things])


class Parts(nn.Module):
    """Has all that a module may keep: a matrix, averages, and a table that is not stored."""

    def __init__(self):
        super().__init__()
        self.layer, self.norm = nn.Linear(4, 3), nn.BatchNorm1d(3)
        self.register_buffer("table", torch.ones(3), persistent=False)

    def forward(self, x):
        return self.norm(self.layer(x)) * self.table


def spoil_weights(module):
    with torch.no_grad():
        module.layer.weight.mul_(2.0)


def spoil_by_another_parameter(module):
    module.layer.weight = nn.Parameter(torch.zeros(3, 4))


def spoil_by_another_storage(module):
    module.layer.weight.data = torch.zeros(3, 4)


def spoil_averages(module):
    module.train()(torch.ones(5, 4) + torch.randn(5, 4))


def spoil_a_table_that_is_not_stored(module):
    module.table.zero_()


def spoil_by_another_buffer(module):
    module.table = module.table + 1.0


def spoil_modes(module):
    module.norm.eval()


def spoil_what_wants_a_gradient(module):
    module.layer.requires_grad_(False)


def spoil_gradients_in_place(module):
    module.layer.weight.grad.add_(1.0)


def spoil_gradients_by_others(module):
    module.zero_grad(set_to_none=True)


def spoil_by_gradients_where_there_was_none(module):
    module.layer.bias.grad = torch.ones(3)


SPOILS = {name.removeprefix("spoil_").replace("_", " "): value for name, value in globals().items() if name.startswith("spoil_")}


def stand(module):
    """All that has to come out as it went in; objects by their identity."""
    tensors = [*module.named_parameters(), *module.named_buffers()]
    return (
        [(name, id(t), t.tolist(), t.requires_grad, id(t.grad), None if t.grad is None else t.grad.tolist()) for name, t in tensors],
        [m.training for m in module.modules()],
    )


@pytest.mark.parametrize("spoil", list(SPOILS.values()), ids=list(SPOILS))
def test_whatever_was_done_to_a_module_is_undone(spoil):
    module = Parts().train()
    module.layer.weight.grad = drawn(3, 4)
    before = stand(module)
    with untouched(module, None, None):
        spoil(module)
        assert stand(module) != before
    assert stand(module) == before


@pytest.mark.parametrize("make", [torch.optim.SGD, torch.optim.Adam, torch.optim.Adagrad, lambda p: torch.optim.SGD(p, 0.1, momentum=0.9)],
                         ids=["SGD", "Adam", "Adagrad", "momentum"])  # fmt: skip
def test_whatever_was_done_to_an_optimizer_and_a_schedule_is_undone_also_if_something_was_raised(make):
    module, (inputs, targets) = mlp(), classes()
    optimizer = make(module.parameters())
    scheduler = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.1, 20, cycle_momentum=False)
    trained(module, optimizer, inputs, targets)
    scheduler.step()
    before, held = numbers(module, optimizer, scheduler), [id(p) for group in optimizer.param_groups for p in group["params"]]

    def spoil():
        for _ in range(3):
            trained(module, optimizer, inputs, targets)
            scheduler.step()
        optimizer.param_groups[0]["lr"] = 5.0
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError), untouched(module, optimizer, scheduler):
        spoil()
    assert numbers(module, optimizer, scheduler) == before
    assert [id(p) for group in optimizer.param_groups for p in group["params"]] == held
    scheduler.step()
    assert optimizer.param_groups[0]["lr"] == scheduler.get_last_lr()[0], "the schedule still sets the rates of this optimizer"


def test_whatever_was_done_to_a_loss_with_weights_is_undone():
    loss = Parts()
    before = stand(loss)
    with untouched(nn.Linear(4, 4), None, None, loss):
        loss(drawn(5, 4)).sum().backward()
        loss.eval()
    assert stand(loss) == before


def test_noise_types_and_switches_come_out_as_they_went_in():
    def state():
        return repr((torch.get_rng_state().tolist(), random.getstate(), np.random.get_state()))  # noqa: NPY002

    module = mlp()
    before = state()
    with torch.no_grad(), untouched(module, None, None):
        inside = state()
        assert torch.is_grad_enabled()
        torch.rand(3), random.random(), np.random.rand()  # noqa: NPY002
        assert state() != inside
        torch.set_default_dtype(torch.float64)
        torch.set_grad_enabled(False)
    assert state() == inside == before
    assert torch.is_grad_enabled()
    assert torch.get_default_dtype() == torch.float32
    with torch.no_grad():
        with untouched(module, None, None):
            pass
        assert not torch.is_grad_enabled()


def test_sparse_gradients_and_those_that_are_no_numbers_stay():
    module = nn.Embedding(5, 2, sparse=True)
    module(torch.tensor([1, 3])).sum().backward()
    gradient, before = module.weight.grad, module.weight.grad.to_dense().clone()
    other = nn.Linear(1, 1)
    other.weight.grad = torch.tensor([[float("nan")]])
    with untouched(module, None, None), untouched(other, None, None):
        module(torch.tensor([1, 1])).sum().backward()
        other.weight.grad.zero_()
    assert module.weight.grad is gradient
    assert torch.equal(gradient.to_dense(), before)
    assert torch.isnan(other.weight.grad).all()


@pytest.mark.parametrize(
    ("module", "complaint"),
    [
        (lambda: nn.Linear(4, 3, device="meta"), 'weight is on the device "meta"'),
        (lambda: nn.Sequential(nn.LazyLinear(3)), "0.weight has no shape yet"),
        (lambda: torch.relu, "the module is a builtin_function_or_method, and has to be a torch.nn.Module"),
    ],
    ids=["without numbers", "without a shape", "no module"],
)
def test_what_has_no_weights_that_could_be_copied_is_refused(module, complaint):
    with pytest.raises(ValueError, match=complaint), untouched(module(), None, None):
        pytest.fail("it was let in")


VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-2, 2), st.sampled_from([0.5, float("nan"), float("inf")]), st.sampled_from(["a", "b"]),
              st.lists(st.sampled_from([0.0, 1.0, float("nan")]), max_size=3).map(torch.tensor),
              st.lists(st.integers(0, 2), max_size=2).map(np.array)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.sampled_from("abc"), inner, max_size=3)),
    max_leaves=8,
)  # fmt: skip


@given(VALUES, VALUES)
def test_two_states_are_alike_if_they_read_the_same(one, other):
    def plain(value):  # True is 1, and a number is a number
        if isinstance(value, bool):
            return int(value)
        if isinstance(value, dict):
            return {k: plain(v) for k, v in sorted(value.items())}
        if isinstance(value, list):
            return [plain(v) for v in value]
        return (value.tolist(), str(type(value))) if isinstance(value, torch.Tensor | np.ndarray) else value

    assert _alike(one, copy.deepcopy(one))
    assert _alike(one, other) == _alike(other, one) == (repr(plain(one)) == repr(plain(other)))


def test_functions_are_alike_and_objects_by_what_they_hold():
    class Pair:
        def __init__(self, x):
            self.x = torch.tensor(x)

    assert _alike(lambda: 0, lambda: 1)
    assert _alike(Pair([1.0]), Pair([1.0]))
    assert not _alike(Pair([1.0]), Pair([2.0]))
    assert not _alike(torch.ones(2), torch.ones(2, dtype=torch.float64))


@pytest.mark.filterwarnings("ignore:Seems like `optimizer.step")  # of a schedule's copy; harmless
def test_what_is_handed_out_is_a_copy_each_time():
    module, (inputs, targets) = mlp(), classes()
    optimizer = torch.optim.Adam(module.parameters())
    trained(module, optimizer, inputs, targets)
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 1)
    found = subject(module, F.cross_entropy, inputs, targets, optimizer=optimizer, scheduler=scheduler)
    before = numbers(module, optimizer, scheduler)
    for _ in range(2):
        twin, its, plan = found.whole()
        assert numbers(twin, its, plan) == before
        assert plan.optimizer is its
        assert [id(p) for p in its.param_groups[0]["params"]] == [id(p) for p in twin.parameters()]
        trained(twin, its, inputs, targets)
        plan.step()
        found.inputs.zero_()
    assert numbers(module, optimizer, scheduler) == before
    assert inputs.any()


def test_the_still_copy_is_in_evaluation_and_in_float64_where_that_runs():
    found = subject(Parts().train(), F.cross_entropy, *classes())
    assert not any(m.training for m in found.still.modules())
    assert found.exact
    assert found.main.dtype == torch.float64
    assert found.rounding < 1e-6

    class Single(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(4, 3)

        def forward(self, x):
            return self.layer(x + torch.zeros(1, dtype=torch.float32)).float()

    found = subject(Single(), F.cross_entropy, *classes())
    assert not found.exact
    assert found.main.dtype == torch.float32
    assert subject(mlp().to(torch.bfloat16), lambda o, t: F.cross_entropy(o.float(), t), drawn(6, 4).bfloat16(), classes(n=6)[1]).kind in (
        torch.float32, torch.float64)  # fmt: skip


def test_a_module_that_changes_its_inputs_in_place_gives_the_same_each_time():
    class Greedy(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(4, 3)

        def forward(self, x):
            return self.layer(x.mul_(2.0))

    found = subject(Greedy(), F.cross_entropy, *classes())
    assert torch.equal(found.main_of(found.still, found.inputs), found.main_of(found.still, found.inputs))
    assert torch.equal(found.inputs.float(), classes()[0])


def test_noise_is_the_same_each_time():
    module = nn.Sequential(nn.Linear(4, 3), nn.Dropout())
    found = subject(module, F.cross_entropy, *classes())
    twin = found.fresh().train()
    first, second = (found.main_of(twin, found.pairs[0][0]) for _ in range(2))
    assert torch.equal(first, second)
    seeded(3)
    one = (torch.rand(1), random.random(), np.random.rand())  # noqa: NPY002
    seeded(3)
    assert one == (torch.rand(1), random.random(), np.random.rand())  # noqa: NPY002


def test_the_first_batch_is_not_counted_twice():
    first, second = classes(), classes(seed=1)
    assert len(subject(mlp(), F.cross_entropy, *first, batches=[first, second]).pairs) == 2


@pytest.mark.parametrize(
    ("loss", "complaint"),
    [
        (lambda o, t: F.cross_entropy(o, t, reduction="none"), r"gave \(12,\): it has to be one number"),
        (lambda o, t: F.cross_entropy(o, t).item(), "gave float: it has to be one number"),
        (lambda o, t: None, "gave NoneType: it has to be one number"),
        (lambda o, t: o @ t, "raised RuntimeError on copies on the CPU"),
        (lambda o, t: 1 / 0, "raised ZeroDivisionError on copies on the CPU: division by zero"),
    ],
    ids=["one for each", "a plain number", "nothing", "of another type", "that divides by zero"],
)
def test_a_loss_that_is_none_is_refused(loss, complaint):
    with pytest.raises(ValueError, match=complaint):
        subject(mlp(), loss, *classes())


def test_what_cannot_be_copied_is_refused():
    module = mlp()
    module.kept = module(classes()[0])
    with pytest.raises(ValueError, match="could not be copied .* keep no tensors that were computed as attributes"):
        subject(module, F.cross_entropy, *classes())
    module.kept = threading.Lock()
    with pytest.raises(ValueError, match="could not be copied"):
        subject(module, F.cross_entropy, *classes())


def test_one_example_is_looked_at_though_its_average_cannot_be_learnt():
    x, y = classes()
    assert subject(Parts().train(), F.cross_entropy, x[:1], y[:1]).main.shape == (1, 3)


def test_words_are_whole_numbers_that_a_table_can_read():
    ids, targets = next_words()
    assert subject(Words(), each_word, ids, targets).tokens.shape == ids.shape

    class WithMask(Words):
        def forward(self, both):
            return super().forward(both["ids"])

    both = {"mask": torch.ones_like(ids, dtype=torch.bool), "far": 1000 + ids, "ids": ids, "below": ids - 30}
    found = subject(WithMask(), each_word, both, targets)
    assert [t.tolist() for t in found.all_tokens] == [ids.tolist()]
    assert subject(mlp(), F.cross_entropy, *classes()).tokens is None


def test_dropout_is_set_to_nothing_wherever_it_is_kept():
    class Fused(nn.Module):
        def __init__(self):
            super().__init__()
            self.dropout_p, self.inner, self.lstm = 0.5, nn.Dropout1d(0.5), nn.LSTM(2, 2, 2, dropout=0.5)

    module = without_dropout(Fused())
    assert (module.dropout_p, module.inner.p, module.lstm.dropout) == (0.0, 0.0, 0.0)


def test_copies_are_cut_from_any_graph_and_share_no_memory():
    weight = torch.ones(2, requires_grad=True)
    (found,) = on_cpu([2.0 * weight])
    assert not found.requires_grad
    kept = torch.ones(2)
    on_cpu([kept])[0].zero_()
    assert kept.all()
    assert [t.dtype for t in in_double([kept, torch.ones(2, dtype=torch.long)])] == [torch.float64, torch.long]


def test_what_is_asked_once_is_computed_once_for_each_subject():
    calls = []

    @once
    def ask(subject):
        calls.append(subject)

    one, other = (subject(mlp(), F.cross_entropy, *classes()) for _ in range(2))
    for asked in (one, other, one, one):
        ask(asked)
    assert calls == [one, other]


def test_it_is_late_after_its_seconds(monkeypatch):
    monkeypatch.setattr(own, "SECONDS", -1.0)
    assert own.Subject(mlp(), F.cross_entropy, [classes()]).late
    monkeypatch.setattr(own, "SECONDS", 1e9)
    assert not own.Subject(mlp(), F.cross_entropy, [classes()]).late
