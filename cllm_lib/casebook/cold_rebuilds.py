"""What the cold cases are rebuilt of: settings, parts in the place of sound ones, and a training that can be asked."""

from dataclasses import replace
from functools import cached_property

import numpy as np

from cllm_lib.casebook.building import patient_with
from cllm_lib.casebook.faults.optimizers import Frozen
from cllm_lib.casebook.settings import SEQ_LEN, WARM_UP, Settings
from cllm_lib.checks import one_of
from cllm_lib.instruments import kit
from cllm_lib.model.attention import CausalSelfAttention, scaled_dot_product_backward
from cllm_lib.model.ends import CrossEntropy
from cllm_lib.model.initializers import scaled_normal
from cllm_lib.training.trainer import Trainer

OURS = Settings(  # of every rebuild, but for what a case says otherwise
    texts=("sayings", "prose"),
    n_words=2_000,
    vocab_size=256,
    d_model=32,
    n_layers=1,
    n_heads=4,
    dtype="float32",
    positions="none",
    tie_embeddings=True,
    optimizer="adam",
    learning_rate=6e-3,
    schedule="constant",
    clip_norm=None,
    batch_size=8,
    steps=60,
    seed=689,
)


class UnguardedTrainer(Trainer):
    """A trainer that goes on where the schedule gives 0 step after step: the sound one stops, and says why."""

    def _scheduled_step(self, gradients):
        self._stood_still = False  # as if the step before had had a rate
        super()._scheduled_step(gradients)


def warm_up_by_epoch(parts, settings):
    """The warm-up counts epochs where steps were meant, from 0: the whole first epoch has the factor 0."""
    every = parts.corpus.batches_per_epoch(settings.batch_size, SEQ_LEN)
    return replace(parts, schedule=lambda step: min(1.0, (step // every) / WARM_UP), trainer=UnguardedTrainer)


def _feed_forward_at(endings):
    def init(parameters, generator):
        scaled_normal(parameters, generator)
        for name, array in parameters.items():
            if name.endswith(endings):
                array[...] = 0.0

    return lambda parts, settings: replace(parts, seams=parts.seams | {"init": init})


every_layer_zero = _feed_forward_at(("expand_weight", "contract_weight"))
last_layer_zero = _feed_forward_at(("contract_weight",))


class SeveredSoftmax(CausalSelfAttention):
    """Attention whose softmax has no backward pass: what lies before it, queries and keys, gets no gradient."""

    def attend_backward(self, d_output, cache):
        """The values' own, and zeros."""
        d_query, d_key, d_value = scaled_dot_product_backward(d_output, cache)
        return np.zeros_like(d_query), np.zeros_like(d_key), d_value


def severed_softmax(parts, settings):
    """The softmax of attention hands nothing back."""
    return replace(parts, seams=parts.seams | {"attention": SeveredSoftmax()})


def empty_frozen_output(parts, settings):
    """The output's matrix was never filled in, and is not trained either."""
    if settings.tie_embeddings:
        raise ValueError("these settings tie the output to the embedding, so that it has no matrix of its own: give tie_embeddings=False")

    def init(parameters, generator):
        scaled_normal(parameters, generator)
        parameters["output_weight"][...] = 0.0

    def without_output(model, optimizer):
        ends = dict(zip(model.parameters, np.cumsum([array.size for array in model.parameters.values()], dtype=np.intp), strict=True))
        end = int(ends["output_weight"])
        return Frozen(optimizer, slice(end - model.parameters["output_weight"].size, end))

    return replace(parts, seams=parts.seams | {"init": init}, wrap=without_output)


class ShrunkLogits(CrossEntropy):
    """A loss that is given the logits divided by a million."""

    FACTOR = 1e-6

    def forward(self, logits, targets):
        """Of what is left of them."""
        return super().forward(logits * logits.dtype.type(self.FACTOR), targets)

    def backward(self, cache):
        """True to this forward pass."""
        d_logits = super().backward(cache)
        return d_logits * d_logits.dtype.type(self.FACTOR)


def shrunk_logits(parts, settings):
    """The loss is given a millionth of the logits."""
    return replace(parts, seams=parts.seams | {"loss": ShrunkLogits()})


class Rebuild:
    """One rebuilt training: its losses, and the instruments.

    Parameters
    ----------
    settings : Settings
    plant : callable, optional
        What stands in the place of a sound part.
    """

    def __init__(self, settings, plant=None):
        self.settings = settings
        self._patient = patient_with(settings, plant)
        self._readings = {}

    @cached_property
    def losses(self):
        """Of every step, a list of float."""
        return list(self._patient.trained.history.losses)

    def ask(self, name):
        """Ask one instrument.

        Parameters
        ----------
        name : str
            One of `kit.ALL`.

        Returns
        -------
        Reading

        Raises
        ------
        ValueError
            If there is no such instrument.
        """
        tool = one_of(name, kit.ALL, "instrument")
        if name not in self._readings:
            self._readings[name] = tool.read(self._patient)
        return self._readings[name]
