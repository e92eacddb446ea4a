"""What is written down of a call: softmaxes and their axes, units, attention, spans, noise, jumps, cuts; and nothing is left behind."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

torch = pytest.importorskip("torch", reason="PyTorch is large; `make test-all` installs it")
from instruments.torch.subjects import Words, drawn, mlp, text  # noqa: E402
from torch import nn  # noqa: E402
from torch.nn import functional as F  # noqa: E402

from cllm_lib.instruments.torch.watching import kinds_into, watch  # noqa: E402


def seen_of(function):
    """What is seen of a function without modules."""
    return watch(nn.Identity(), function)


@given(st.lists(st.integers(1, 4), min_size=1, max_size=4), st.data())
def test_a_softmax_is_seen_with_its_axis(shape, data):
    axis = data.draw(st.integers(-len(shape), len(shape) - 1))
    x = drawn(*shape)
    module = nn.Softmax(axis)
    ((found, along),) = watch(module, lambda: module(x)).softmaxes
    assert along == axis % len(shape)
    weights = x.double().exp()  # by hand
    torch.testing.assert_close(found.double(), weights / weights.sum(axis, keepdim=True), rtol=1e-5, atol=1e-6)


UNITS = {
    "relu": (nn.ReLU, lambda x: x.clamp(min=0)),
    "tanh": (nn.Tanh, lambda x: 2.0 / (1.0 + (-2.0 * x).exp()) - 1.0),
    "sigmoid": (nn.Sigmoid, lambda x: 1.0 / (1.0 + (-x).exp())),
}


@pytest.mark.parametrize("kind", list(UNITS))
@pytest.mark.parametrize("shape", [(5, 3), (5, 4, 3)], ids=["rows", "words"])
def test_units_are_seen_as_they_come_out(kind, shape):
    make, by_hand = UNITS[kind]
    module, x = make(), drawn(*shape)
    ((name, values),) = watch(module, lambda: module(x)).units
    assert name == kind
    torch.testing.assert_close(values, by_hand(x))


@pytest.mark.parametrize(
    ("layers", "shape"),
    [
        ([nn.Conv2d(2, 6, 3)], (4, 2, 5, 5)),
        ([nn.Conv1d(2, 6, 3)], (4, 2, 5)),
        ([nn.Conv1d(2, 6, 3), nn.BatchNorm1d(6)], (4, 2, 5)),
        ([nn.Linear(5, 6)], (4, 2, 5)),
        ([nn.Linear(5, 6), nn.ReLU()], (4, 2, 5)),
        ([nn.Conv1d(2, 6, 3), nn.ReLU()], (4, 2, 5)),
    ],
    ids=["pictures", "rows", "rows, normed", "words", "words, twice", "rows, twice"],
)
def test_units_are_the_last_axis_also_behind_convolutions(layers, shape):
    module = nn.Sequential(*layers, nn.ReLU())
    found = watch(module, lambda: module(drawn(*shape)))
    assert {values.shape[-1] for _, values in found.units} == {6}


def test_what_a_unit_gave_stays_though_it_is_changed_in_place_afterwards():
    module = nn.ReLU()
    ((_, values),) = watch(module, lambda: module(torch.ones(2, 2)).zero_()).units
    assert values.all()


def test_attention_is_seen_in_the_innermost_module_once_for_each_time():
    module = Words()
    assert watch(module, lambda: module(text(2, 6))).attends == ["blocks.0.attention", "blocks.1.attention"]
    fused = nn.MultiheadAttention(4, 2, batch_first=True)
    x = drawn(2, 5, 4)
    for call in (lambda: fused(x, x, x), lambda: fused(x, x, x, need_weights=False)):
        assert set(watch(fused, call).attends) == {""}, "it is the module itself"

    class Fused(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = mlp(4, 4)

        def forward(self, x):
            return F.scaled_dot_product_attention(x, self.inner(x), x)

    assert "" in watch(nn.Sequential(Fused()), lambda: Fused()(x)).attends
    module = nn.Sequential(Fused())
    assert set(watch(module, lambda: module(x)).attends) == {"0"}


def test_spans_lie_in_each_other_as_modules_do():
    module = Words()
    seen = watch(module, lambda: module(text(2, 6)))
    spans = seen.spans
    names = [name for name, _ in module.named_modules()]
    assert set(spans) == set(names)
    for name in names:
        parent = name.rpartition(".")[0]
        assert spans[parent][0] <= spans[name][0] < spans[name][1] <= spans[parent][1]
    assert spans["embedding"][1] < spans["blocks.0"][0] < spans["blocks.0"][1] < spans["blocks.1"][0] < spans["head"][0]
    assert [name for name, _, _ in seen.calls][-1] == ""
    assert seen.calls[-1][1:] == ((2, 6), (2, 6, 23))


def test_nothing_is_left_on_the_module_also_if_it_raises():
    module = mlp()
    with pytest.raises(RuntimeError):
        watch(module, lambda: module(drawn(2, 99)))
    watch(module, lambda: module(drawn(2, 4)))
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in module.modules())


X = drawn(3, 3)
BITS = {
    "dropout": (lambda: F.dropout(X), {"drops"}),
    "dropout that is off": (lambda: F.dropout(X, training=False), set()),
    "dropout of no part": (lambda: nn.Dropout().eval()(X), set()),
    "alpha dropout": (lambda: F.alpha_dropout(X, training=True), {"drops"}),
    "bernoulli": (lambda: torch.bernoulli(X.sigmoid()), {"drops", "jumps"}),
    "noise": (lambda: X + torch.randn_like(X), {"noise"}),
    "noise of a width that is computed": (lambda: X + torch.exp(0.5 * X) * torch.randn_like(X), set()),
    "rounding": (lambda: torch.round(X), {"jumps"}),
    "the largest": (lambda: X.argmax(-1), {"jumps"}),
    "the two largest": (lambda: X.topk(2), {"jumps"}),
    "cut": (lambda: X.detach(), {"cuts"}),
    "data": (lambda: X.data + 1.0, {"cuts"}),
    "numpy": (lambda: torch.from_numpy(X.numpy()), {"cuts"}),
    "a number": (lambda: X.sum().item(), {"cuts"}),
    "without a graph": (torch.no_grad()(lambda: X @ X), {"cuts"}),
    "with a graph": (torch.enable_grad()(lambda: X @ X), set()),
    "plain": (lambda: torch.relu(X @ X), set()),
}


@pytest.mark.parametrize("name", list(BITS))
def test_noise_jumps_and_cuts_are_told_apart(name):
    call, wanted = BITS[name]
    seen = seen_of(call)
    assert {bit for bit in ("drops", "noise", "jumps", "cuts") if getattr(seen, bit)} == wanted


def test_every_type_that_is_computed_in_is_noted():
    kinds = set()
    with kinds_into(kinds):
        X.to(torch.bfloat16) @ X.to(torch.bfloat16)
        (X > 0).long()
    assert kinds == {torch.bfloat16, torch.bool, torch.int64}
