"""Gradients that are missing and gradients that are wrong: told where they are, and not where a loss has a kink or a row is padding."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

torch = pytest.importorskip("torch", reason="PyTorch is large; `make test-all` installs it")
from instruments.torch.subjects import INSTRUMENTS, VOCABULARY, Words, classes, mlp, next_words, of_words, read, said, subject  # noqa: E402
from torch import nn  # noqa: E402
from torch.nn import functional as F  # noqa: E402

from cllm_lib.instruments.torch import backward  # noqa: E402

CHECK, NONE = "gradient check", "gradients"
FORGETS, WRONG = "the gradient forgets a part that was detached", "wrong somewhere"
FEW = settings(max_examples=settings().max_examples // 5)


def scaled(factor, where=None):
    """A product with 2, whose backward pass is wrong by a factor (at some places)."""

    class Twice(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return 2.0 * x

        @staticmethod
        def backward(ctx, gradient):
            wrong = gradient * 2.0 * factor
            return wrong if where is None else torch.where(where(gradient), wrong, 2.0 * gradient)

    return Twice.apply


class Between(nn.Module):
    """Two layers, and a function between them."""

    def __init__(self, function):
        super().__init__()
        torch.manual_seed(0)
        self.first, self.last, self.function = nn.Linear(4, 8), nn.Linear(8, 3), function

    def forward(self, x):
        return self.last(self.function(self.first(x)))


def between(function):
    return subject(Between(function), F.cross_entropy, *classes())


@FEW
@given(st.floats(-3.0, 5.0))
def test_a_factor_in_a_backward_pass_is_found(factor):
    if not 0.9 < factor < 1.1:
        assert said(CHECK, between(scaled(factor))) == (WRONG,)


@pytest.mark.parametrize("factor", [-1.0, 0.5, 1.1, 2.0])
def test_both_tensors_before_the_wrong_pass_are_counted_and_none_behind_it(factor):
    reading = read(CHECK, between(scaled(factor)))
    assert reading.words == (WRONG,)
    assert reading.numbers["wrong"] == 2.0
    assert reading.numbers["tensors"] == reading.numbers["checked"] == 4.0


def test_a_wrong_pass_at_some_units_is_found():
    assert said(CHECK, between(scaled(0.0, lambda g: torch.arange(g.shape[-1]) < 2))) == (WRONG,)


@pytest.mark.parametrize("function", [scaled(1.0), torch.tanh, torch.relu, F.gelu, lambda x: x / x.norm(dim=-1, keepdim=True)],
                         ids=["by hand", "tanh", "relu", "gelu", "norm"])  # fmt: skip
def test_a_right_pass_is_silent(function):
    assert said(CHECK, between(function)) == ()
    assert said(NONE, between(function)) == ()


@pytest.mark.parametrize("function", [torch.relu, torch.abs, lambda x: F.hardtanh(x, 0.0, 1.0), lambda x: x.clamp(min=0.0)],
                         ids=["relu", "abs", "hardtanh", "clamp"])  # fmt: skip
def test_at_a_kink_nothing_is_wrong(function):
    module = Between(function)
    with torch.no_grad():
        for p in module.first.parameters():
            p.zero_()  # every unit stands at 0 exactly
    assert said(CHECK, subject(module, F.cross_entropy, *classes())) == ()


def test_a_row_for_padding_is_no_wrong_gradient():
    module = Words()
    table = nn.Embedding(VOCABULARY, 16, padding_idx=0)
    with torch.no_grad():
        table.weight.copy_(module.embedding.weight)  # its row 0 holds numbers, too, and never learns
    module.embedding = table
    ids, targets = next_words()
    ids[:, -3:] = 0
    loss = lambda logits, targets: F.cross_entropy(logits.flatten(0, 1), targets.flatten())  # noqa: E731
    assert said(CHECK, subject(module, loss, ids, targets)) == ()


@pytest.mark.parametrize("padding", [0, 3, 9])
def test_what_learns_is_all_rows_on_the_longer_side_of_the_padding(padding):
    module = nn.Sequential(nn.Embedding(10, 2, padding_idx=padding), nn.Linear(2, 10))
    ids = torch.tensor([[1, 2], [4, 5]])
    found = subject(module, lambda o, t: F.cross_entropy(o.flatten(0, 1), t.flatten()), ids, ids)
    weights = torch.arange(20).reshape(10, 2).numpy()
    rows, slopes = backward._that_learn(found, "0.weight", weights, weights)
    assert not set(weights[padding]) & set(rows.flatten())
    assert len(rows) == len(slopes) >= 5 - (padding == 5)
    assert rows.base is not None, "changed in place, or the check moves nothing"


def test_a_jump_is_no_wrong_gradient():
    class Straight(nn.Module):
        def forward(self, x):
            return x + (torch.round(x) - x).detach()

    assert said(CHECK, between(Straight())) == ()


CUTS = {
    "detach": lambda x: x * x.detach(),
    "data": lambda x: x * x.data,
    "no_grad": lambda x: x * torch.no_grad()(torch.clone)(x),
    "numpy": lambda x: x * torch.from_numpy(x.detach().numpy()),
}


@pytest.mark.parametrize("name", list(CUTS))
def test_half_a_gradient_that_was_cut_off_is_told_as_that(name):
    assert said(CHECK, between(CUTS[name])) == (FORGETS,)


@pytest.mark.parametrize("cut", [torch.detach, lambda x: x.data, torch.no_grad()(torch.clone)], ids=["detach", "data", "no_grad"])
def test_weights_behind_a_cut_get_no_gradient_and_are_felt(cut):
    reading = read(NONE, between(cut))
    assert reading.words == ("weights that the loss feels get no gradient",)
    assert reading.numbers["felt, without a gradient"] == 2.0


def test_weights_that_the_loss_does_not_feel_are_nothing():
    module = Between(torch.tanh)
    module.spare = nn.Linear(2, 2)
    assert said(NONE, subject(module, F.cross_entropy, *classes())) == ()


def test_a_loss_without_a_graph_is_told():
    found = subject(mlp(), lambda o, t: F.cross_entropy(o.detach(), t), *classes())
    assert "the loss has no graph" in said(NONE, found)
    assert INSTRUMENTS[CHECK][1](found) == "there is no gradient"


def test_weights_in_a_plain_list_are_told():
    class Hidden(nn.Module):
        def __init__(self):
            super().__init__()
            torch.manual_seed(0)
            self.layers, self.last = [nn.Linear(4, 8)], nn.Linear(8, 3)

        def forward(self, x):
            x = x.to(self.layers[0].weight.dtype)
            return self.last(torch.tanh(self.layers[0](x)).to(self.last.weight.dtype))

    reading = read(NONE, subject(Hidden(), F.cross_entropy, *classes()))
    assert reading.words == ("weights that the module does not name get a gradient",)
    assert reading.numbers["not the module's, with a gradient"] == 2.0


def test_weights_of_the_loss_are_not_the_module_s_business():
    class Loss(nn.Module):
        def __init__(self):
            super().__init__()
            self.scale = nn.Parameter(torch.ones(()))

        def forward(self, outputs, targets):
            return F.cross_entropy(self.scale * outputs, targets)

    assert said(NONE, subject(mlp(), Loss(), *classes())) == ()


def test_frozen_weights_are_not_missed():
    module = Between(torch.tanh)
    module.first.requires_grad_(False)
    assert said(NONE, subject(module, F.cross_entropy, *classes())) == ()


def test_gradients_are_those_of_autograd_and_leave_nothing_behind():
    found = between(torch.tanh)
    value, gradients = backward.gradients(found)
    names, weights = zip(*found.still.named_parameters(), strict=True)
    loss = F.cross_entropy(found.still(found.inputs), found.targets)
    for name, by_hand in zip(names, torch.autograd.grad(loss, weights), strict=True):
        torch.testing.assert_close(gradients[name], by_hand)
    assert value == pytest.approx(loss.item())
    assert all(p.grad is None for p in found.still.parameters())


def test_leaves_are_all_weights_in_the_graph_once():
    module = Words()
    module.head.weight = module.embedding.weight
    found = of_words(module)
    assert {id(leaf) for leaf in backward.leaves_of(found, found.still)} == {id(p) for p in found.still.parameters()}


def test_feeling_for_a_weight_leaves_it_as_it_was():
    found = between(torch.detach)
    before = [p.clone() for p in found.still.parameters()]
    read(NONE, found), read(CHECK, found)
    assert all(torch.equal(p, q) for p, q in zip(found.still.parameters(), before, strict=True))


def test_what_computes_in_float32_is_not_checked():
    found = subject(Between(lambda x: x.float()), lambda o, t: F.cross_entropy(o.float(), t), *classes())
    assert "float32" in INSTRUMENTS[CHECK][1](found)


def test_sparse_gradients_are_checked_as_well():
    module = nn.Sequential(nn.Embedding(9, 4, sparse=True), nn.Linear(4, 9))
    ids = torch.tensor([[1, 2, 3], [4, 5, 6]])
    found = subject(module, lambda o, t: F.cross_entropy(o.flatten(0, 1), t.flatten()), ids, ids + 1)
    assert said(CHECK, found) == said(NONE, found) == ()
