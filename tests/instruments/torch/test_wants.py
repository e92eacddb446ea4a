"""What a loss wants of each output, told from the outside: against the targets that it was really given."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

torch = pytest.importorskip("torch", reason="PyTorch is large; `make test-all` installs it")
from instruments.torch.subjects import Words, classes, drawn, each_word, mlp, next_words, subject  # noqa: E402
from torch import nn  # noqa: E402
from torch.nn import functional as F  # noqa: E402

from cllm_lib.instruments.torch.wants import class_axis, gradient_by_outputs, wanted  # noqa: E402


class Given(nn.Module):
    """Returns its one weight, whatever comes in."""

    def __init__(self, outputs):
        super().__init__()
        self.outputs = nn.Parameter(outputs)

    def forward(self, inputs):
        return self.outputs


@st.composite
def cross_entropies(draw):
    """Logits, targets and settings of a cross-entropy: of rows of classes, of classes in the middle, of all words in one row."""
    n, length, kinds = draw(st.integers(2, 5)), draw(st.integers(2, 5)), draw(st.integers(2, 6))
    form = draw(st.sampled_from(["rows", "middle", "words"]))
    if form == "middle" and kinds == length:
        kinds += 1  # then the shapes alone do not tell classes from places
    shape = {"rows": (n, kinds), "middle": (n, kinds, length), "words": (n, length, kinds)}[form]
    generator = torch.Generator().manual_seed(draw(st.integers(0, 10**6)))
    logits = draw(st.sampled_from([0.1, 1.0, 30.0])) * torch.randn(shape, generator=generator)
    targets = torch.randint(kinds, (n,) if form == "rows" else (n, length), generator=generator)
    settings = {"reduction": draw(st.sampled_from(["mean", "sum"]))}
    ignored = draw(st.sampled_from([None, -100, "a class"]))
    if ignored == "a class":
        settings["ignore_index"] = int(targets.flatten()[-1])
    elif ignored:
        targets.view(-1)[torch.rand(targets.numel(), generator=generator) < 0.4] = -100
    # Weights and smoothing at once may want another class than the target; and more than 0.23 of smoothing, a third of logits within 1.
    kind = draw(st.sampled_from(["plain", "weights", "smoothing"]))
    if kind == "weights":
        settings["weight"] = 0.2 + torch.rand(kinds, generator=generator)
    elif kind == "smoothing":
        settings["label_smoothing"] = draw(st.sampled_from([0.01, 0.1, 0.2]))
    return form, logits, targets, settings


def loss_of(form, settings):
    def loss(outputs, targets):
        if form == "words":
            outputs, targets = outputs.flatten(0, 1), targets.flatten()
        return F.cross_entropy(outputs, targets, **settings)

    return loss


@given(cross_entropies())
def test_of_any_cross_entropy_the_wanted_class_is_the_target_and_what_is_not_ignored_counts(drawn_one):
    form, logits, targets, settings = drawn_one
    counts = targets != settings.get("ignore_index", -100)
    if not counts.any():
        return
    found = wanted(subject(Given(logits), loss_of(form, settings), torch.zeros(1), targets))
    assert found.axis == (1 if form != "words" else 2)
    assert torch.equal(found.counts, counts)
    assert torch.equal(found.targets[counts], targets[counts])
    assert torch.equal(found.outputs.float(), logits.movedim(found.axis, -1))


@given(cross_entropies())
def test_the_gradient_by_the_outputs_is_softmax_minus_target(drawn_one):
    form, logits, targets, settings = drawn_one
    if not (targets != settings.get("ignore_index", -100)).any() or "weight" in settings or "label_smoothing" in settings:
        return
    axis, counts = 1 if form != "words" else 2, targets != settings.get("ignore_index", -100)
    value, gradient = gradient_by_outputs(subject(Given(logits.double()), loss_of(form, settings), torch.zeros(1), targets))
    chances = logits.double().movedim(axis, -1).softmax(-1)
    safe = torch.where(counts, targets, 0)
    share = 1.0 / int(counts.sum()) if settings["reduction"] == "mean" else 1.0
    by_hand = share * (chances - F.one_hot(safe, chances.shape[-1])) * counts[..., None]
    torch.testing.assert_close(gradient.movedim(axis, -1), by_hand, rtol=1e-9, atol=1e-12)
    terms = -chances.log().gather(-1, safe[..., None])[..., 0][counts]
    if torch.isfinite(terms).all():
        assert value == pytest.approx(float(share * terms.sum()), rel=1e-9)


def test_a_class_of_weight_zero_does_not_count():
    x, y = classes()
    found = wanted(subject(mlp(), nn.CrossEntropyLoss(weight=torch.tensor([1.0, 0.0, 1.0])), x, y))
    assert torch.equal(found.counts, y != 1)


def test_where_much_smoothing_wants_several_classes_the_target_is_the_one_that_was_given():
    logits = torch.tensor([20.0] * 5 + [-20.0] * 5).repeat(6, 1)
    targets = torch.tensor([0, 1, 2, 3, 4, 0])
    loss = nn.CrossEntropyLoss(label_smoothing=0.4)
    found = subject(Given(logits), loss, torch.zeros(1), targets)
    _, gradient = gradient_by_outputs(found, scale=1.0 / 21.0)
    assert ((gradient < 0).sum(1) > 1).all()
    assert torch.equal(wanted(found).targets, targets)


def test_a_loss_that_shifts_inside_wants_the_next_word_where_it_was_given_the_words_themselves():
    ids, _ = next_words()
    found = wanted(subject(Words(), lambda logits, ids: each_word(logits[:, :-1], ids[:, 1:]), ids, ids))
    assert torch.equal(found.targets[:, :-1], ids[:, 1:])
    assert found.counts[:, :-1].all()
    assert not found.counts[:, -1].any()


@pytest.mark.parametrize(
    ("loss", "targets"),
    [
        (F.mse_loss, drawn(12, 3, seed=5)),
        (lambda outputs, targets: F.binary_cross_entropy_with_logits(outputs, targets.float()), torch.ones(12, 3, dtype=torch.long)),
        (lambda outputs, targets: outputs.sum() * 0.0, classes()[1]),
        (lambda outputs, targets: outputs.logsumexp(-1).mean() - targets @ outputs[:, 0], drawn(12)),
    ],
    ids=["mean squares", "many labels", "a loss of nothing", "targets with fractions"],
)
def test_of_what_is_no_cross_entropy_nothing_is_wanted(loss, targets):
    assert wanted(subject(mlp(), loss, classes()[0], targets)) is None


@pytest.mark.parametrize("size", [float("inf"), float("nan")])
def test_of_outputs_that_are_no_numbers_nothing_is_wanted(size):
    outputs = torch.zeros(4, 3)
    outputs[0, 0] = size
    assert wanted(subject(Given(outputs), F.cross_entropy, torch.zeros(1), torch.zeros(4, dtype=torch.long))) is None


def test_where_the_classes_lie_is_told_by_the_targets():
    def axis(shape, of_targets):
        def loss(outputs, targets):
            return outputs.sum()

        return class_axis(subject(Given(torch.ones(shape)), loss, torch.zeros(1), torch.zeros(of_targets, dtype=torch.long)))

    assert axis((2, 3, 5), (2, 5)) == 1
    assert axis((2, 5, 3), (2, 5)) == 2
    assert axis((10, 3), (2, 5)) == 1
    assert axis((2, 5, 1), (2, 5)) is None
    assert axis((2, 3, 4, 5), (2, 4, 5)) == 1
    assert axis((7, 3), (2, 5)) is None
