"""A model beside its loss, taken out of a trainer: together they make what the trainer makes."""

import types

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
def trainers(torch):
    from cllm_lib.instruments.torch import trainers

    return trainers


class Whole:
    """Ways to write a `training_step`; made into a module below."""

    def shifts_words(self, batch):
        logits = self.net(batch["ids"][:, :-1])
        return self.entropy(logits.flatten(0, 1), batch["ids"][:, 1:].flatten())

    def takes_labels(self, batch):
        return self.entropy(self.net(batch["ids"]).flatten(0, 1), batch["labels"].flatten())

    def adds_its_own_weights(self, batch):
        return self.takes_labels(batch) + 0.1 * (self.net.weight**2).sum()

    def calls_twice(self, batch):
        return self.takes_labels(batch) + self.takes_labels(batch)


def whole(torch, way):
    """A module with a `training_step`, as Lightning's, and a batch."""

    class Module(torch.nn.Module, Whole):
        def __init__(self):
            super().__init__()
            self.net, self.entropy = torch.nn.Embedding(9, 9), torch.nn.CrossEntropyLoss()

        def training_step(self, batch):
            return getattr(self, way)(batch)

    return Module(), {"ids": torch.randint(9, (3, 5)), "labels": torch.randint(9, (3, 5))}


@pytest.mark.parametrize(
    ("way", "is_apart"), [("shifts_words", True), ("takes_labels", True), ("adds_its_own_weights", False), ("calls_twice", False)]
)
def test_a_network_and_the_rest_of_its_step_make_the_loss_of_the_step(way, is_apart, torch, trainers):
    """And where the rest uses more than the network's outputs, the step is left in one piece."""
    module, batch = whole(torch, way)
    examined, loss, pairs = trainers._network_and_loss(module, [batch], [torch.get_rng_state()])
    assert isinstance(examined, trainers.Network) == is_apart
    inputs, targets = pairs[0]
    torch.testing.assert_close(loss(examined(inputs), targets), module.training_step(batch))
    if is_apart:
        outputs = torch.randn_like(examined(inputs))
        words = batch["labels"] if way == "takes_labels" else batch["ids"][:, 1:]
        torch.testing.assert_close(loss(outputs, targets), torch.nn.functional.cross_entropy(outputs.flatten(0, 1), words.flatten()))
    assert "forward" not in vars(module.net), "outputs are given to a copy"


def test_the_words_that_a_model_reads_are_not_shown_as_targets(torch, trainers):
    module, batch = whole(torch, "takes_labels")
    _, _, pairs = trainers._network_and_loss(module, [batch], [torch.get_rng_state()])
    shown = [one for one in pairs[0][1] if isinstance(one, torch.Tensor)]
    assert [one.tolist() for one in shown] == [batch["labels"].tolist()]


def test_a_model_that_returns_no_loss_is_said(trainers):
    for outputs in ({"loss": None}, {"logits": 1}, (types.SimpleNamespace(numel=lambda: 2),)):
        with pytest.raises(ValueError, match="the model returned no loss: it is computed outside of it"):
            trainers.loss_in(outputs)


def test_a_step_that_returns_no_loss_is_said(torch, trainers):
    module = types.SimpleNamespace(training_step=lambda batch, number: {"other": 1})
    with pytest.raises(ValueError, match="training_step returned no loss"):
        trainers.training_loss(module, None)


@pytest.mark.parametrize("way", ["its own", "cross-entropy", "squares", "yes or no"])
def test_a_loss_inside_a_model_is_found_again_as_a_function_of_logits_and_labels(way, torch, trainers):
    """Moved logits make the loss that the model would make of them, though it was found at others."""
    F = torch.nn.functional
    made = {
        "its own": lambda logits, labels: F.cross_entropy(logits, labels, label_smoothing=0.3),
        "cross-entropy": F.cross_entropy,
        "squares": lambda logits, labels: F.mse_loss(logits[:, 0], labels),
        "yes or no": F.binary_cross_entropy_with_logits,
    }[way]
    labels = {"squares": torch.randn(6), "yes or no": torch.randint(2, (6, 3)).float()}.get(way, torch.randint(3, (6,)))

    class Model(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = torch.nn.Linear(4, 1 if way == "squares" else 3)
            if way == "its own":
                self.loss_function = lambda logits, labels, **others: made(logits, labels)

        def forward(self, x, labels=None):
            logits = self.layer(x)
            return {"logits": logits} | ({} if labels is None else {"loss": made(logits, labels)})

    examined, loss, pairs = trainers._model_and_loss(Model(), [{"x": torch.randn(6, 4), "labels": labels}])
    inputs, targets = pairs[0]
    assert sorted(inputs) == ["x"]
    logits = examined(inputs)
    moved = torch.randn_like(logits)
    torch.testing.assert_close(loss(moved, targets), made(moved, labels))


def test_a_loss_of_no_known_form_stays_inside_the_model(torch, trainers):
    class Model(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = torch.nn.Linear(4, 3)

        def forward(self, x, labels=None):
            logits = self.layer(x)
            return {"logits": logits, "loss": (logits.logsumexp(-1) ** 3).mean()}

    batch = {"x": torch.randn(6, 4), "labels": torch.randint(3, (6,))}
    examined, loss, pairs = trainers._model_and_loss(Model(), [batch])
    assert pairs == [(batch, None)]
    torch.testing.assert_close(loss(examined(batch), None), examined.model(**batch)["loss"])
