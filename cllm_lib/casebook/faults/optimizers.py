"""Defects of the optimizer, of its rate, and of what lies between gradient and step."""

from dataclasses import replace

import numpy as np

from cllm_lib import defects
from cllm_lib.casebook.faults.catalogue import fault
from cllm_lib.casebook.settings import SEQ_LEN
from cllm_lib.training.optimizers import AdamW, Optimizer


class Wrapped(Optimizer):
    """An optimizer around another one, whose rate and state are its own."""

    def __init__(self, inner):
        self.inner = inner

    @property
    def learning_rate(self):
        """That of the optimizer inside, so that a schedule reaches it."""
        return self.inner.learning_rate

    @learning_rate.setter
    def learning_rate(self, rate):
        self.inner.learning_rate = rate

    def step(self, parameters, gradients):
        """As the one inside."""
        self.inner.step(parameters, gradients)


@fault("only embeddings updated", "changed tensors")
def only_embeddings_updated(parts, settings):
    """The optimizer stops where the embedding ends.

    Symptom
        The loss falls; on most seeds it stops above the sound twin's.
    Exposed by
        Which tensors changed.
    Source
        The museum, "only embeddings updated": document 004, "Parameter Updates: Only embeddings".
    Repair
        Give the optimizer all parameters.
    """
    return replace(parts, wrap=defects.OnlyEmbeddings)


class Frozen(Wrapped):
    """An optimizer that lacks a layer."""

    def __init__(self, inner, piece):
        super().__init__(inner)
        self.piece = piece

    def step(self, parameters, gradients):
        """Everything but that layer."""
        kept = parameters[self.piece].copy()
        super().step(parameters, gradients)
        parameters[self.piece] = kept


def _first_layer(model):
    start, ends = 0, []
    for name, array in model.parameters.items():
        if name.startswith("layers.0."):
            ends += [start, start + array.size]
        start += array.size
    return slice(ends[0], ends[-1])


def _other_tensors(settings):
    """Whether there are tensors besides the embedding and the first layer: else freezing the layer is updating the embedding only."""
    return settings.n_layers > 1 or not settings.tie_embeddings or settings.positions == "learned"


@fault("frozen layer", "changed tensors", applies=_other_tensors)
def frozen_layer(parts, settings):
    """The first layer was never given to the optimizer.

    Symptom
        None that one would see: the rest learns around it, and the loss ends beside the sound twin's.
    Exposed by
        Which tensors changed.
    Source
        pytorch/pytorch issue 38639: layers kept in a Python list, which the optimizer cannot see; torch.nn.ModuleList keeps them in
        sight.
    Repair
        Give the optimizer all parameters.
    """
    return replace(parts, wrap=lambda model, optimizer: Frozen(optimizer, _first_layer(model)))


class WithoutNorms(Wrapped):
    """An optimizer that lacks gains and biases of the norms."""

    def __init__(self, model, inner):
        super().__init__(inner)
        self.is_norm = np.concatenate([np.full(array.size, "norm" in name) for name, array in model.parameters.items()])

    def step(self, parameters, gradients):
        """Everything but these."""
        kept = parameters[self.is_norm]
        super().step(parameters, gradients)
        parameters[self.is_norm] = kept


@fault("norms left out of the optimizer", "changed tensors")
def norms_left_out(parts, settings):
    """Gains and biases of LayerNorm were sorted out for a group without decay, and that group was never given to the optimizer.

    Symptom
        Hardly any: the loss ends a tenth or so above the sound twin's.
    Exposed by
        Which tensors changed: no gain.
    Source
        namisan/mt-dnn pull request 37: a second group, without decay, that was almost empty by mistake. The group left out
        altogether: no single source.
    Repair
        Give the optimizer all groups.
    """
    return replace(parts, wrap=WithoutNorms)


class OfAnotherModel(Wrapped):
    """An optimizer that holds the weights of a model that was thrown away."""

    def step(self, parameters, gradients):
        """Move a copy."""
        super().step(parameters.copy(), gradients)


@fault("stale optimizer", "changed tensors")
def stale_optimizer(parts, settings):
    """The optimizer was made before the model was built anew: it moves weights that nobody uses.

    Symptom
        The loss stands still, but for what one batch differs from another, while rate and gradients are as they should be.
    Exposed by
        Which tensors changed: none.
    Source
        torch.optim's page: model and optimizer are to hold the same objects all along; pytorch/pytorch issue 14467 asks for a
        warning.
    Repair
        Make the optimizer after the model.
    """
    return replace(parts, wrap=lambda model, optimizer: OfAnotherModel(optimizer))


class WithoutCorrection(AdamW):
    """Adam whose running means are used as they are, though both began at 0."""

    def __init__(self, learning_rate, weight_decay, beta1, beta2, eps):
        super().__init__(learning_rate, weight_decay, beta1, beta2, eps)
        self.m = self.v = None

    def step(self, parameters, gradients):
        """Without the two divisions."""
        if self.m is None:
            self.m, self.v = np.zeros_like(parameters), np.zeros_like(parameters)
        self.m += (1.0 - self.beta1) * (gradients - self.m)
        self.v += (1.0 - self.beta2) * (gradients * gradients - self.v)
        parameters *= 1.0 - self.learning_rate * self.weight_decay
        parameters -= self.learning_rate * self.m / (np.sqrt(self.v) + self.eps)


def _is_adam(settings):
    return settings.optimizer in ("adam", "adamw")


@fault("Adam without bias correction", "shadow optimizer", applies=_is_adam)
def adam_without_bias_correction(parts, settings):
    """Adam's running means are not divided by 1 - beta^t: the first steps are three to seven times too long.

    Symptom
        Hard to see: the loss ends above the sound twin's on most seeds, below on others.
    Exposed by
        The stated rule's step beside the one that was taken.
    Source
        Kingma and Ba 2015, section 3; huggingface/transformers issue 420: BertAdam left it out, as BERT's own code does.
    Repair
        Divide by 1 - beta^t.
    """
    adam = parts.optimizer
    return replace(parts, optimizer=WithoutCorrection(adam.learning_rate, adam.weight_decay, adam.beta1, adam.beta2, adam.eps))


@fault("epsilon too large", "shadow optimizer", applies=lambda settings: settings.has_moments)
def epsilon_too_large(parts, settings):
    """The small number that keeps the division from zero is 0.1, larger than most gradients.

    Symptom
        The loss falls slowly, as with a smaller rate, and ends above the sound twin's.
    Exposed by
        The stated rule's step beside the one that was taken.
    Source
        Choi et al. 2019, "On Empirical Comparisons of Optimizers for Deep Learning", on tuning epsilon: as it grows, Adam turns
        into momentum.
    Repair
        1e-8.
    """
    parts.optimizer.eps = 0.1
    return parts


class Coupled(Wrapped):
    """AdamW whose decay is added to the gradient, so that it goes through the moments."""

    def __init__(self, inner):
        super().__init__(inner)
        self.decay, inner.weight_decay = inner.weight_decay, 0.0

    def step(self, parameters, gradients):
        """L2 regularisation in the place of decay."""
        super().step(parameters, gradients + self.decay * parameters)


@fault("decay through the moments", "shadow optimizer", applies=lambda settings: settings.optimizer == "adamw")
def decay_through_the_moments(parts, settings):
    """Weight decay is added to the gradient and divided by its size, which is Adam with L2, not AdamW.

    Symptom
        The loss ends above the sound twin's on most seeds, and the validation loss below: a weight that gets no other gradient
        shrinks by whole steps.
    Exposed by
        The stated rule's step beside the one that was taken.
    Source
        Loshchilov and Hutter 2019, "Decoupled Weight Decay Regularization", section 2.
    Repair
        Shrink the weights beside the step.
    """
    return replace(parts, optimizer=Coupled(parts.optimizer))


class Forgetful(Wrapped):
    """An optimizer that is made anew at each epoch."""

    def __init__(self, inner, every):
        super().__init__(inner)
        self.every, self.count = every, 0

    def step(self, parameters, gradients):
        """With fresh moments at each epoch's first step."""
        if self.count % self.every == 0:
            self.inner = type(self.inner)(**self.inner.settings())
        self.count += 1
        super().step(parameters, gradients)


@fault("moments reset each epoch", "shadow optimizer", applies=lambda settings: settings.optimizer != "sgd")
def moments_reset(parts, settings):
    """The optimizer is made anew at the beginning of each epoch, and forgets what it had gathered.

    Symptom
        A small tooth in the curve at each epoch; the loss ends above the sound twin's on most seeds.
    Exposed by
        The stated rule's step beside the one taken, past the first epoch.
    Source
        keras-team/keras issue 13750: the optimizer's state was lost at each call of fit, once an epoch.
    Repair
        Make it once, before the loop.
    """
    every = parts.corpus.batches_per_epoch(settings.batch_size, SEQ_LEN)
    return replace(parts, optimizer=Forgetful(parts.optimizer, every))


@fault("clipped to nothing", "update ratios", "shadow optimizer", applies=lambda settings: not settings.has_moments)
def clipped_to_nothing(parts, settings):
    """Gradients are clipped at a length of 0.0001, where 1 or no limit was meant.

    Symptom
        The loss hardly moves: by half a nat at most in a run.
    Exposed by
        The length of a step beside that of the weights.
    Source
        A digit, or a limit for numbers taken for one for lengths: torch.nn.utils has clip_grad_value_ beside clip_grad_norm_. Seen
        in the field; no single source.
    Repair
        A limit about as long as usual gradients are.
    """
    return replace(parts, clip_norm=1e-4)


def _turned_round(trainer):
    trainer.model.flat_gradients *= -1


@fault("gradient ascent", "shadow optimizer")
def gradient_ascent(parts, settings):
    """Each step goes up the gradient: its sign was turned round between the backward pass and the step.

    Symptom
        The loss rises, into the tens and beyond.
    Exposed by
        The direction of a step beside the stated rule's.
    Source
        probml/pml-book issue 149: d = g, where d = -g was meant; on paper, as in many a first loop.
    Repair
        p -= rate * g.
    """
    return replace(parts, hooks=(*parts.hooks, _turned_round))


class OneBatchBehind:
    """A hook that exchanges each gradient for the one of the batch before."""

    def __init__(self):
        self.last = None

    def __call__(self, trainer):
        """Keep this one, hand on the last."""
        own = trainer.model.flat_gradients.copy()
        trainer.model.flat_gradients[...] = own if self.last is None else self.last
        self.last = own


@fault("gradient of the batch before", "leftover gradients", "shadow optimizer")
def one_batch_behind(parts, settings):
    """The step is taken before the new gradient is there: each goes by that of the batch before.

    Symptom
        The loss falls, and ends a little above the sound twin's.
    Exposed by
        The gradient that reaches the optimizer beside the batch's own.
    Source
        optimizer.step() above loss.backward(). Seen in the field; no single source.
    Repair
        Backward first, then the step.
    """
    return replace(parts, hooks=(*parts.hooks, OneBatchBehind()))


# The rate


def _rated(parts, factor):
    parts.optimizer.learning_rate *= factor
    return parts


@fault("rate a thousand times too high", "rate log")
def rate_too_high(parts, settings):
    """The learning rate is a thousand times what was meant.

    Symptom
        The loss leaps into the hundreds at the first steps, and does not come back.
    Exposed by
        The rate that each step had.
    Source
        A unit: 3 in the place of 3e-3. Seen in the field; no single source.
    Repair
        The rate that was meant.
    """
    return _rated(parts, 1e3)


@fault("rate a thousand times too low", "rate log")
def rate_too_low(parts, settings):
    """The learning rate is a thousandth of what was meant.

    Symptom
        The loss hardly moves.
    Exposed by
        The rate that each step had.
    Source
        A unit: 3e-6 in the place of 3e-3. Seen in the field; no single source.
    Repair
        The rate that was meant.
    """
    return _rated(parts, 1e-3)


@fault("rate zero", "rate log")
def rate_zero(parts, settings):
    """The learning rate is 0 at every step.

    Symptom
        The loss stands still, but for what one batch differs from another.
    Exposed by
        The rate that each step had.
    Source
        Lightning-AI/litgpt issue 2151, "model not learning": lr=[0.0] in the log.
    Repair
        The rate that was meant.
    """
    return _rated(parts, 0.0)


def _scheduled(parts, factor):
    stated = parts.schedule
    return replace(parts, schedule=lambda step: factor(step) * (1.0 if stated is None else stated(step)))


@fault("rate cut at every step", "rate log")
def rate_cut(parts, settings):
    """A schedule that was to cut the rate by a tenth at each epoch is asked at each step.

    Symptom
        The loss falls at first, and then stands still.
    Exposed by
        The rate that each step had.
    Source
        pytorch/vision issue 1261; ivadomed/ivadomed pull request 55: the schedule asked after each batch.
    Repair
        Ask the schedule once an epoch, or write it in steps.
    """
    return _scheduled(parts, lambda step: 0.9**step)


@fault("endless warm-up", "rate log")
def endless_warm_up(parts, settings):
    """The warm-up is written for a run fifty times as long: the rate never arrives.

    Symptom
        The loss falls slowly: on most seeds by less than half of what the sound twin's does.
    Exposed by
        The rate that each step had: still rising at the end.
    Source
        PeterGriffinJin/Search-R1 issue 28, a warm-up over 95 % of a run. Longer than the run, from a larger model's settings: no
        single source.
    Repair
        A warm-up that ends within the first tenth of the run.
    """
    return _scheduled(parts, lambda step: min(1.0, (step + 1) / (50 * settings.steps)))
