"""Noise, numbers that are none, zeros, dead and saturated units, softmaxes: each gets its word, and what only looks like it none."""

import pytest

torch = pytest.importorskip("torch", reason="PyTorch is large; `make test-all` installs it")
from instruments.torch.subjects import Block, Words, before, classes, drawn, each_word, mlp, next_words, of_words, read, said, subject  # noqa: E402
from torch import nn  # noqa: E402
from torch.nn import functional as F  # noqa: E402

from cllm_lib.instruments.torch import inside  # noqa: E402

ENDS = "hidden units that never change"


class Then(nn.Module):
    """A module, and a function of what it returns."""

    def __init__(self, module, function):
        super().__init__()
        self.module, self.function = module, function

    def forward(self, x):
        return self.function(self.module(x))


def of(module, loss=F.cross_entropy):
    return subject(module, loss, *classes())


NOISY = {
    "dropout that is always on": (F.dropout, True),
    "noise that is always added": (lambda x: x + torch.randn_like(x), True),
    "a module's dropout": (nn.Dropout(), False),
    "noise of a width that is computed": (lambda x: x + torch.exp(x) * torch.randn_like(x), False),
    "a choice": (lambda x: F.gumbel_softmax(x), False),
    "no noise": (torch.relu, False),
}


@pytest.mark.parametrize("name", list(NOISY))
def test_noise_that_stays_on_is_told(name):
    function, told = NOISY[name]
    assert said("repeat", of(Then(mlp(), function))) == (("the same batch, other losses",) if told else ())


def test_numbers_that_are_none_are_told_by_where_they_arise():
    broken = mlp()
    with torch.no_grad():
        broken[0].weight[0, 0] = float("nan")
    assert said("is it finite", of(broken)) == ("weights that are no numbers",)
    assert said("is it finite", of(Then(mlp(), lambda x: x / 0.0))) == ("no number comes out",)
    assert said("is it finite", of(mlp(), lambda o, t: F.cross_entropy(o, t) * float("inf"))) == ("the loss is no number",)
    assert said("is it finite", of(mlp())) == ()


def filled(value, *names, module=None):
    module = module or mlp()
    with torch.no_grad():
        for name, p in module.named_parameters():
            if name in names:
                p.fill_(value)
    return module


def test_matrices_that_stay_at_zero_are_told_and_a_last_layer_that_begins_there_is_not():
    assert said("weights", of(filled(0.0, "0.weight", "0.bias", "2.weight"))) == ("every matrix is zero",)
    deep = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 8), nn.Tanh(), nn.Linear(8, 3))
    assert said("weights", of(filled(0.0, "2.weight", "2.bias", "4.weight", module=deep))) == ("some matrices are zero",)
    assert said("weights", of(filled(0.0, "2.weight"))) == ()
    assert said("weights", of(mlp())) == ()


def test_a_matrix_of_one_number_is_told_and_gains_of_one_number_are_not():
    alike = filled(0.1, "0.weight", "0.bias", "2.weight")
    assert said("weights", of(alike)) == ("a matrix holds one number only",)
    assert said("weights", of(filled(0.1, "2.weight"))) == (), "what comes in differs from unit to unit"

    class Gains(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner, self.gains = mlp(), nn.Parameter(torch.ones(2, 3))

        def forward(self, x):
            return self.inner(x) * self.gains[0] * self.gains[1]

    assert said("weights", of(Gains())) == ()


def test_a_module_without_matrices_is_not_looked_at_for_zeros():
    assert inside._has_matrices(of(nn.Identity(), lambda o, t: o.sum())) == "it has no matrices"
    assert inside._has_matrices(of(mlp())) == ""


def test_matrices_are_what_takes_part_in_products():
    class All(nn.Module):
        def __init__(self):
            super().__init__()
            self.table, self.layer, self.start = nn.Embedding(5, 4), nn.Linear(4, 3), nn.Parameter(torch.zeros(1, 4))
            self.picture, self.norm = nn.Conv2d(2, 3, 3), nn.LayerNorm(4)

    assert set(inside.matrices(All())) == {"layer.weight", "picture.weight"}


def test_stirring_changes_a_copy_only():
    one = of(filled(0.0, "2.weight"))
    before, stirred = [p.clone() for p in one.still.parameters()], inside.stirred(one)
    assert all(torch.equal(p, q) for p, q in zip(one.still.parameters(), before, strict=True))
    assert all(bool(p.any()) for p in stirred.parameters())
    assert all(p.grad is None for p in one.still.parameters())


@pytest.mark.parametrize(("share", "told"), [(1.0, True), (0.9, True), (0.5, False), (0.0, False)])
def test_units_that_never_change_are_counted(share, told):
    module = mlp()
    dead = round(16 * share)
    with torch.no_grad():
        module[0].bias[:dead] = -1e3
        module[0].bias[dead:] = 1e3
    reading = read("activation statistics", of(module))
    assert reading.numbers["units that never change"] == pytest.approx(dead / 16)
    assert (ENDS in reading.words) == told


def test_a_unit_that_lives_in_another_batch_is_alive():
    module = mlp()
    with torch.no_grad():
        module[0].bias.fill_(-40.0)
        module[0].weight.fill_(1.0)
    dark, light = classes(), (10.0 + 10.0 * drawn(12, 4).abs(), classes()[1])
    assert ENDS in said("activation statistics", subject(module, F.cross_entropy, *dark))
    assert ENDS not in said("activation statistics", subject(module, F.cross_entropy, *dark, batches=[light]))


@pytest.mark.parametrize("kind", [nn.Tanh, nn.Sigmoid])
def test_saturated_units_are_told(kind):
    def module(scale):
        made = nn.Sequential(nn.Linear(4, 32), kind(), nn.Linear(32, 3))
        with torch.no_grad():
            made[0].weight.mul_(scale)
        return made

    torch.manual_seed(0)
    assert said("activation statistics", of(module(1e4))) == ("most hidden units are saturated",)
    assert said("activation statistics", of(module(1.0))) == ()


def test_outputs_that_are_sure_are_no_hidden_units():
    module = Then(mlp(1), lambda x: torch.sigmoid(1e4 * x))
    assert said("activation statistics", subject(module, F.mse_loss, classes()[0], drawn(12, 1))) == ()


@pytest.mark.parametrize(("scale", "told"), [(1e3, True), (1.0, False)])
def test_a_recurrent_layer_is_looked_at_from_outside(scale, told):
    class Last(nn.Module):
        def __init__(self):
            super().__init__()
            torch.manual_seed(0)
            self.rnn, self.head = nn.RNN(4, 8, batch_first=True), nn.Linear(8, 3)
            with torch.no_grad():
                self.rnn.weight_ih_l0.mul_(scale)

        def forward(self, x):
            return self.head(self.rnn(x)[0][:, -1])

    words = said("activation statistics", subject(Last(), F.cross_entropy, drawn(12, 5, 4), classes()[1]))
    assert words == (("most hidden units are saturated",) if told else ())


@pytest.mark.parametrize("kind", [nn.RNN, nn.LSTM, nn.GRU])
def test_the_share_of_a_recurrent_layer_s_outputs_that_are_saturated(kind):
    class Layer(nn.Module):
        def __init__(self):
            super().__init__()
            torch.manual_seed(0)
            self.layer = kind(4, 8, batch_first=True)

        def forward(self, x):
            return self.layer(x)[0]

    found = subject(Layer(), lambda outputs, _: outputs.square().mean(), 1e3 * drawn(3, 5, 4), None)
    by_hand = float((found.main.abs() > 0.99).double().mean())
    assert inside._recurrent_saturation(found) == by_hand
    assert (by_hand > 0.0) == (kind is not nn.LSTM), "in a few steps its cells do not fill"
    assert not any(m._forward_hooks for m in found.still.modules())


@pytest.mark.parametrize(("axis", "told"), [(-1, False), (1, True), (0, True)])
def test_attention_over_another_axis_than_the_keys_is_told(axis, told):
    words = said("softmaxes", of_words(Words(before, axis=axis)))
    assert ("a softmax over another axis than the keys" in words) == told


def test_attention_that_sees_one_place_only_is_told():
    module = Words()
    with torch.no_grad():
        for block in module.blocks:
            block.attention.three.weight.mul_(1e3)
    assert said("softmaxes", of_words(module)) == ("each row of attention sees one place only",)
    assert said("softmaxes", of_words()) == ()


def test_the_first_row_of_a_causal_mask_sees_one_place_only_and_is_not_counted():
    torch.manual_seed(0)
    ids, targets = next_words(length=2)
    module = nn.Sequential(nn.Embedding(23, 8), Block(8, before), nn.Linear(8, 23))
    assert read("softmaxes", subject(module, each_word, ids, targets)).numbers["rows of one weight"] == 0.0


def test_without_softmaxes_that_is_said():
    assert inside._has_softmaxes(of(mlp())) == "no softmax was seen in it"
