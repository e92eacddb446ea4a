"""Defects of layers, of the embedding and of positions."""

from dataclasses import replace

import numpy as np

from cllm_lib import defects
from cllm_lib.casebook.faults.catalogue import fault
from cllm_lib.model.layers import feed_forward_backward, feed_forward_forward
from cllm_lib.model.transformer import CLLM, TokenEmbedding, TransformerLayer


def _with(parts, **seams):
    return replace(parts, seams=parts.seams | seams)


@fault("no residual connection", "activation statistics")
def no_residual(parts, settings):
    """Nothing is added to what attention returns: what it does not pass on is lost.

    Symptom
        The loss falls, and ends above the sound twin's.
    Exposed by
        What passes a layer whose attention is silent, before training: nothing.
    Source
        The museum, "no residual".
    Repair
        x + attention(x).
    """
    return _with(parts, layer=defects.NoResidual())


@fault("LayerNorm backward from another tensor", "gradient check at the start", "gradient check after training")
def layer_norm_backward_wrong(parts, settings):
    """LayerNorm's backward pass takes mean and variance of attention's output instead of what it normalised.

    Symptom
        The loss falls, and ends above the sound twin's; gradients grow or shrink from layer to layer.
    Exposed by
        The gradient check.
    Source
        The museum, "LayerNorm from the wrong tensor".
    Repair
        Keep in the cache what was normalised.
    """
    return _with(parts, layer=defects.LayerNormFromTheWrongTensor())


class NormOverTime(TransformerLayer):
    """A layer whose norms run over the positions of a sequence, feature by feature."""

    of_2017 = True

    def forward(self, x, parameters, config):
        """The sound order, with the other norm."""
        attended, attention_cache = self.attention.forward(x, parameters["attention"], config)
        x, attention_norm_cache = norm_over_time_forward(x + attended, **parameters["attention_norm"])
        fed, feed_forward_cache = feed_forward_forward(x, **parameters["feed_forward"])
        y, feed_forward_norm_cache = norm_over_time_forward(x + fed, **parameters["feed_forward_norm"])
        return y, (attention_cache, attention_norm_cache, feed_forward_cache, feed_forward_norm_cache)

    def backward(self, dy, cache):
        """True to this forward pass."""
        attention_cache, attention_norm_cache, feed_forward_cache, feed_forward_norm_cache = cache
        d_sum, feed_forward_norm = norm_over_time_backward(dy, feed_forward_norm_cache)
        d_fed, feed_forward = feed_forward_backward(d_sum, feed_forward_cache)
        d_sum, attention_norm = norm_over_time_backward(d_sum + d_fed, attention_norm_cache)
        d_attended, attention = self.attention.backward(d_sum, attention_cache)
        return d_sum + d_attended, {
            "attention": attention,
            "attention_norm": attention_norm,
            "feed_forward": feed_forward,
            "feed_forward_norm": feed_forward_norm,
        }


def norm_over_time_forward(x, gain, bias, eps=1e-5):  # (B, T, D) -> (B, T, D)
    """Bring each feature to mean 0 and variance 1 over the positions of its sequence."""
    centred = x - x.mean(axis=1, keepdims=True)
    inverse_std = 1.0 / np.sqrt((centred * centred).mean(axis=1, keepdims=True) + eps)
    normalised = centred * inverse_std
    return normalised * gain + bias, (normalised, inverse_std, gain)


def norm_over_time_backward(dy, cache):  # (B, T, D) -> (B, T, D), {gain: (D), bias: (D)}
    """Gradients of :func:`norm_over_time_forward`."""
    normalised, inverse_std, gain = cache
    gradients = {"gain": (dy * normalised).sum(axis=(0, 1)), "bias": dy.sum(axis=(0, 1))}
    d_normalised = dy * gain
    shift = d_normalised.mean(axis=1, keepdims=True)
    stretch = (d_normalised * normalised).mean(axis=1, keepdims=True)
    return (d_normalised - shift - normalised * stretch) * inverse_std, gradients


@fault("LayerNorm over time", "activation statistics", "perturb a later token")
def layer_norm_over_time(parts, settings):
    """Mean and variance are taken over the positions of a sequence, not over the features of a position.

    Symptom
        In training the loss falls too far, by half a nat here: mean and variance tell of words to come.
    Exposed by
        Each position's own mean, which is not 0; changing a later token, which changes earlier outputs.
    Source
        jadore801120/attention-is-all-you-need-pytorch pull request 17: mean and deviation along the sequence; Ba, Kiros, Hinton
        2016, section 3.
    Repair
        The last axis.
    """
    return _with(parts, layer=NormOverTime())


class DetachedLayer(TransformerLayer):
    """A layer that hands nothing down on the way back."""

    def backward(self, dy, cache):
        """The layer's own gradients are true."""
        dx, gradients = super().backward(dy, cache)
        return np.zeros_like(dx), gradients


@fault("detached below a layer", "gradients", applies=lambda settings: settings.n_layers > 1)
def detached(parts, settings):
    """The gradient ends at the last layer: what lies below never learns from the loss.

    Symptom
        The loss falls, above the sound twin's or below: the last layer and the output learn.
    Exposed by
        Tensors of lower layers whose gradient is exactly 0.
    Source
        d2l-ai/d2l-en pull request 2121: .data in a forward pass, so that learnt positions had no gradient; torch.Tensor.detach.
    Repair
        Take it out.
    """
    return _with(parts, layer=DetachedLayer())


class Dropped(TokenEmbedding):
    """An embedding a tenth of whose numbers are dropped, in training and afterwards."""

    def __init__(self, seed):
        self.generator = np.random.default_rng(seed)

    def forward(self, tokens, embedding):
        """Other ones at each call."""
        x, cache = super().forward(tokens, embedding)
        kept = (self.generator.random(x.shape) > 0.1).astype(x.dtype) / x.dtype.type(0.9)
        return x * kept, (cache, kept)

    def backward(self, dx, cache, out):
        """The same ones as in the call before."""
        inner, kept = cache
        super().backward(dx * kept, inner, out)


@fault("dropout at evaluation", "repeat")
def dropout_at_evaluation(parts, settings):
    """Dropout was asked for by nobody, and is on: in training, in validation, in use.

    Symptom
        The loss falls, and ends a little above the sound twin's.
    Exposed by
        The same batch twice: not the same loss.
    Source
        karpathy/nanoGPT pull request 240, dropout at evaluation by a function that knows of no mode; ipolharvard/ethos-ares issue
        20, eval() forgotten.
    Repair
        Switch it off wherever the model is not being trained.
    """
    return _with(parts, embedding=Dropped(settings.seed))


@fault("lost embedding gradient", "gradient check at the start", "gradient check after training")
def lost_embedding_gradient(parts, settings):
    """The backward pass ends at the lowest layer: rows that were read get no gradient from there.

    Symptom
        The loss falls, and ends above the sound twin's: with a tied output the rows learn from the other end, with one of its own
        the layers do.
    Exposed by
        The gradient check of the embedding.
    Source
        The museum, "lost embedding gradient".
    Repair
        Add the gradient to the rows that were read.
    """
    return _with(parts, embedding=defects.LostEmbeddingGradient())


@fault("repeated words counted once", "gradient check at the start", "gradient check after training")
def repeated_words_counted_once(parts, settings):
    """The gradient of a word that stands several times in a batch is that of its last place: "=" where "+=" belongs.

    Symptom
        The loss falls, a little less far than the sound twin's.
    Exposed by
        The gradient check of the embedding: wrong on a batch with repeated words, right on one without.
    Source
        NumPy's page on ufunc.at: a[[0, 0]] += 1 adds once, np.add.at(a, [0, 0], 1) twice; numpy/numpy issue 8866.
    Repair
        Accumulate: np.add.at, or a sum over the places.
    """
    return _with(parts, embedding=defects.LastOneWins())


class WithoutPositions(CLLM):
    """A model whose positions are made and then not added."""

    def __init__(self, *arguments, **keywords):
        super().__init__(*arguments, **keywords)
        self.positions = _NotAdded(self.positions)


class _NotAdded:
    def __init__(self, sound):
        self.sound, self.attention = sound, sound.attention

    def parameter_shapes(self, config):
        return self.sound.parameter_shapes(config)

    def forward(self, x, parameters, start=0):
        return x

    def backward(self, dx, parameters):
        return {name: np.zeros_like(array) for name, array in parameters.items()}


@fault("positions not added", "activation statistics", applies=lambda settings: settings.positions != "none")
def positions_not_added(parts, settings):
    """The encoding of positions is made, and never added to the embedding.

    Symptom
        None: the loss ends beside the sound twin's, for the causal mask alone tells something of the order.
    Exposed by
        What enters the first layer: the same word at two places, as the same numbers.
    Source
        Haviv et al. 2022, "Transformer Language Models without Positional Encodings Still Learn Positional Information".
    Repair
        Add it.
    """
    return replace(parts, model=WithoutPositions)
