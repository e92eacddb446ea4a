"""Which places count, and whether the loss is what it should be of the outputs: right ones are silent, and each wrong one gets its word."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

torch = pytest.importorskip("torch", reason="PyTorch is large; `make test-all` installs it")
from instruments.torch.subjects import Words, classes, drawn, each_word, mlp, next_words, read, said, subject, text  # noqa: E402
from torch import nn  # noqa: E402
from torch.nn import functional as F  # noqa: E402

from cllm_lib.instruments.torch.answers import by_classes, by_numbers, by_words  # noqa: E402

COUNT, LOSS = "which targets count", "recompute the loss"
LOGITS = "outputs are probabilities, and the loss takes logits"
LOGARITHMS = "outputs are probabilities, and the loss takes logarithms"
OTHER_AXIS = "outputs sum to 1 along another axis than the classes"
NLL = nn.NLLLoss()


def padded(ignored=False):
    """Words and the next ones, in rows of different lengths, filled up with 0."""
    ids = text(4, 13)
    for row, length in zip(ids, (6, 13, 9, 10), strict=True):
        row[length:] = 0
    targets = ids[:, 1:].clone()
    return ids[:, :12].contiguous(), targets.masked_fill(targets == 0, -100) if ignored else targets


def test_padding_that_counts_is_told_and_padding_left_out_is_not():
    def loss(logits, targets):
        return each_word(logits, targets, ignore_index=0)

    assert said(COUNT, subject(Words(), each_word, *padded())) == ("padding counts in the loss",)
    assert said(COUNT, subject(Words(), loss, *padded())) == ()
    assert said(COUNT, subject(Words(), each_word, *padded(ignored=True))) == ()
    assert said(COUNT, subject(Words(), each_word, *next_words())) == ()


@given(st.integers(0, 2), st.sampled_from(["ignored", "of weight 0"]), st.integers(0, 1000))
def test_a_class_that_has_no_part_is_told(kind, how, seed):
    settings = {"ignore_index": kind} if how == "ignored" else {"weight": torch.ones(3).index_fill(0, torch.tensor([kind]), 0.0)}
    inputs, targets = classes(seed)
    if not (targets == kind).any() or (targets == kind).all():
        return
    reading = read(COUNT, subject(mlp(), nn.CrossEntropyLoss(**settings), inputs, targets))
    assert reading.words == ("a class counts for nothing",)
    assert reading.numbers["a class that does not count"] == (targets == kind).sum()


def test_a_class_of_which_some_examples_count_is_no_class_without_a_part():
    inputs, targets = classes()

    def loss(outputs, targets):
        return F.cross_entropy(outputs[:-2], targets[:-2])

    assert said(COUNT, subject(mlp(), loss, inputs, targets)) == ()


SOUND = {
    "logits": (nn.Identity(), nn.CrossEntropyLoss()),
    "logarithms": (nn.LogSoftmax(-1), NLL),
    "logarithms, and a softmax that changes nothing": (nn.LogSoftmax(-1), nn.CrossEntropyLoss()),
    "probabilities, of which the loss takes logarithms": (nn.Softmax(-1), lambda outputs, targets: NLL(outputs.log(), targets)),
    "smoothing": (nn.Identity(), nn.CrossEntropyLoss(label_smoothing=0.1)),
    "a sum": (nn.Identity(), nn.CrossEntropyLoss(reduction="sum")),
    "weights": (nn.Identity(), nn.CrossEntropyLoss(weight=torch.tensor([1.0, 2.0, 3.0]))),
}
WRONG = {
    "a softmax before the loss's own": (nn.Softmax(-1), nn.CrossEntropyLoss(), {LOGITS}),
    "probabilities instead of logarithms": (nn.Softmax(-1), NLL, {LOGARITHMS}),
    "a softmax inside the loss": (nn.Identity(), lambda o, t: F.cross_entropy(o.softmax(-1), t), {"it is that of a second softmax"}),
    "a softmax over the examples": (nn.Softmax(0), nn.CrossEntropyLoss(), {OTHER_AXIS}),
    "logarithms over the examples": (nn.LogSoftmax(0), NLL, {OTHER_AXIS}),
    "logarithms over the examples in the loss": (
        nn.Identity(), lambda o, t: NLL(o.log_softmax(0), t), {"it is that of a softmax over the positions"}),
}  # fmt: skip


@pytest.mark.parametrize("name", list(SOUND))
def test_a_sound_loss_is_silent(name):
    last, loss = SOUND[name]
    assert said(LOSS, subject(nn.Sequential(mlp(), last), loss, *classes())) == ()


@pytest.mark.parametrize("name", list(WRONG))
def test_a_wrong_loss_gets_its_word(name):
    last, loss, words = WRONG[name]
    assert set(said(LOSS, subject(nn.Sequential(mlp(), last), loss, *classes()))) >= words


def test_the_loss_by_hand_is_the_mean_cross_entropy_of_what_counts():
    inputs, targets = classes()
    targets[3] = -100
    numbers = read(LOSS, subject(mlp(), nn.CrossEntropyLoss(), inputs, targets)).numbers
    by_hand = F.cross_entropy(mlp()(inputs), targets).item()
    assert numbers["by hand"] == pytest.approx(by_hand, rel=1e-5)
    assert numbers["reported"] == pytest.approx(by_hand, rel=1e-5)
    assert numbers["targets"] == 11.0


@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize(
    ("last", "make", "told"),
    [(nn.Sigmoid, nn.BCEWithLogitsLoss, True), (nn.Sigmoid, nn.BCELoss, False), (nn.Identity, nn.BCEWithLogitsLoss, False)],
    ids=["twice", "before", "inside"],
)
def test_a_second_sigmoid_is_told(last, make, told, reduction):
    labels = (drawn(12, 2, seed=3) > 0).float()
    words = said("two sigmoids", subject(nn.Sequential(mlp(2), last()), make(reduction=reduction), classes()[0], labels))
    assert words == (("outputs of a sigmoid, and the loss takes another",) if told else ())


def test_outputs_between_0_and_1_against_numbers_are_no_second_sigmoid():
    assert said("two sigmoids", subject(nn.Sequential(mlp(1), nn.Sigmoid()), F.mse_loss, classes()[0], drawn(12, 1).sigmoid())) == ()


@pytest.mark.parametrize("shape", [(12,), (12, 1)], ids=["shapes that differ", "the same shape"])
@pytest.mark.parametrize("loss", [F.mse_loss, F.l1_loss, F.smooth_l1_loss], ids=["squares", "sizes", "both"])
@pytest.mark.filterwarnings("ignore:Using a target size")  # what is looked for
def test_outputs_held_against_every_target_are_told(shape, loss):
    words = said("targets one by one", subject(mlp(1), loss, classes()[0], drawn(*shape, seed=3)))
    assert words == (("each output is held against every target",) if shape == (12,) else ())


def test_targets_laid_as_the_outputs_inside_the_loss_are_no_pairs():
    def loss(outputs, targets):
        return F.mse_loss(outputs[:, 0], targets)

    assert said("targets one by one", subject(mlp(1), loss, classes()[0], drawn(12, seed=3))) == ()


def test_why_an_instrument_does_not_apply_is_said():
    numbers, kinds = subject(mlp(1), F.mse_loss, classes()[0], drawn(12, 1)), subject(mlp(), F.cross_entropy, *classes())
    words = subject(Words(), each_word, *next_words())
    assert [bool(by_numbers(one)) for one in (numbers, kinds, words)] == [False, True, True]
    assert [bool(by_classes(one)) for one in (numbers, kinds, words)] == [True, False, False]
    assert [bool(by_words(one)) for one in (numbers, kinds, words)] == [True, True, False]

    class Loss(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = mlp()

        def forward(self, both):
            return F.cross_entropy(self.inner(both[0]), both[1])

    assert by_classes(subject(Loss(), lambda value, _: value, classes(), None)) == "the module returns no outputs but its loss"
