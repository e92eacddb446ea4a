"""The whole model: embedding, layers, output and loss, forward and backward, on one flat buffer of parameters."""

import copy
import math
from dataclasses import replace

import numpy as np

from cllm_lib.checks import one_of, token_ids
from cllm_lib.model import fast
from cllm_lib.model.attention import CausalSelfAttention, DistanceBiasAttention, RotarySelfAttention
from cllm_lib.model.contracts import (
    backward_of,
    checked_part,
    checked_shapes,
    embedding_backward_of,
    forward_of,
    gradient_of,
    loss_of,
    write_into,
)
from cllm_lib.model.ends import CrossEntropy, LinearOutput
from cllm_lib.model.initializers import INITIALIZERS
from cllm_lib.model.layers import embedding_backward, embedding_forward
from cllm_lib.model.named import NamedArrays, fitting
from cllm_lib.model.positions import POSITIONS
from cllm_lib.model.transformer_layer import NORMS, TransformerLayer

SOUND_ATTENTION = (CausalSelfAttention, RotarySelfAttention, DistanceBiasAttention)


def _kept(name):
    """A property of a model whose memory stays: what is assigned to it is copied in, if it fits."""

    def own(self):
        return getattr(self, f"_{name}")

    def copy_in(self, values):
        there = own(self)
        if values is there:  # as after model.flat_parameters -= ..., which has worked in place already
            return
        if not isinstance(there, dict):
            there[...] = fitting(values, there, f"model.{name}")
            return
        missing = [key for key in there if key not in values] if isinstance(values, dict) else list(there)
        if missing:
            raise ValueError(
                f"model.{name} is given without {missing[0]!r}: give a dictionary of all {len(there)}, or change some by "
                f"model.{name}[name] = values, or model.{name}.update(...)"
            )
        there.update(values)

    return property(own, copy_in)


class TokenEmbedding:
    """Token embedding, the model's entrance: one row for each token. It has no quick twin, and always runs itself."""

    def forward(self, tokens, embedding):  # (B, T), (V, D) -> (B, T, D)
        """See :func:`~cllm_lib.model.layers.embedding_forward`."""
        return embedding_forward(tokens, embedding)

    def backward(self, dx, cache, out):
        """Add the gradient of the rows that were read to `out`, which holds the output's share already."""
        embedding_backward(dx, cache, out=out)


class CLLM:
    """A small causal (decoder-only) language model, written to be read.

    Parameters
    ----------
    config : CLLMConfig
    seed : int
        Of the initial weights. The same seed gives the same model on every machine.
    init : str or callable
        "scaled_normal", "zeros", or a part `init(parameters, generator)` that fills the named arrays in place and returns nothing.
    attention : part, optional
        What stands in attention's place in every layer; the sound causal attention by default, or that which the
        positions bring.
    layer : part, optional
        What stands in the place of a whole :class:`TransformerLayer`; it then brings its own attention.
    embedding : part, optional
        What stands in the place of :class:`TokenEmbedding`.
    output, loss : part, optional
        What stands in the place of :class:`~cllm_lib.model.ends.LinearOutput` and :class:`~cllm_lib.model.ends.CrossEntropy`.
        With one of them the model computes by plain functions, whatever `fast` says.
    fast : bool
        Whether a training step may run the quick twins of :mod:`~cllm_lib.model.fast`: the same numbers, to rounding. False:
        forward and backward run the plain functions of :mod:`~cllm_lib.model.layers` and :mod:`~cllm_lib.model.attention`,
        which this book reads. A copy keeps it; it is no part of the configuration, nor of a checkpoint.

    Attributes
    ----------
    parameters, gradients : NamedArrays, a dict of str to ndarray
        Named views of the two flat buffers. They stay: `model.parameters[name] = values` copies the values into the array
        that is there, and refuses what does not fit. A dictionary of all of them, in their place, is copied in, too.
    flat_parameters, flat_gradients : ndarray, shape (n_parameters,)
        One buffer each, so that an optimiser is one pass over memory. They stay as well.
    layer, embedding, output, loss_part : part
        What it is made of; :meth:`loss` is what `loss_part` gives.

    Raises
    ------
    ValueError
        If `init` is a name that does not exist; if both `attention` and `layer` are given, or one of them although
        `config.positions` brings an attention. If a part is a class, lacks a method, or, later, hands back something else
        than a part has to: see :mod:`~cllm_lib.model.contracts`.

    Examples
    --------
    >>> from cllm_lib import CLLM, CLLMConfig
    >>> model = CLLM(CLLMConfig(vocab_size=7, d_model=8, n_heads=2, d_ff=16), seed=0)
    >>> model.logits([[1, 2, 3]]).shape
    (1, 3, 7)
    """

    def __init__(
        self, config, seed=0, init="scaled_normal", attention=None, layer=None, embedding=None, output=None, loss=None, *, fast=True
    ):
        if attention is not None and layer is not None:
            raise ValueError("attention and layer are both given: a layer brings its own attention, so give one of them")
        self.config = config
        self.fast = fast
        self.positions = POSITIONS[config.positions]()
        if self.positions.attention is not None:
            if attention is not None or layer is not None:
                given = "layer" if attention is None else "attention"
                raise ValueError(
                    f"positions={config.positions!r} brings an attention of its own, and {given} is given, too: give one of them; "
                    f"attention={self.positions.attention.__name__}(...) goes with positions='none'"
                )
            attention = self.positions.make_attention(config)
        self.layer = TransformerLayer(attention) if layer is None else checked_part(layer, "layer")
        self.embedding = TokenEmbedding() if embedding is None else checked_part(embedding, "embedding")
        self.output = LinearOutput() if output is None else checked_part(output, "output")
        self.loss_part = CrossEntropy() if loss is None else checked_part(loss, "loss")
        initialize = init if callable(init) else one_of(init, INITIALIZERS, "init")
        # Memory starts as zeros, as calloc's does in C. What the initialiser leaves out stays zero.
        size = sum(math.prod(shape) for shape in by_name(self._shapes()).values())
        self._adopt(np.zeros(size, config.dtype), np.zeros(size, config.dtype))
        if isinstance(initialize(self.parameters, np.random.default_rng(seed)), dict):
            raise ValueError("init returned a dictionary, which nobody reads: fill the arrays it is given in place, and return nothing")

    def _shapes(self, layer=None, final_norm=None):
        config = self.config
        layer = checked_shapes(self.layer, "layer", self.layer.parameter_shapes(config)) if layer is None else layer
        shapes = {"embedding": (config.vocab_size, config.d_model), "positions": self.positions.parameter_shapes(config)}
        shapes["layers"] = {str(i): layer for i in range(config.n_layers)}
        if config.norm_first:
            shapes["final_norm"] = NORMS[config.norm].parameter_shapes(config) if final_norm is None else final_norm
        if not config.tie_embeddings:
            shapes["output_weight"] = (config.d_model, config.vocab_size)
        return shapes

    def _adopt(self, flat_parameters, flat_gradients):
        """Make these two buffers the model's own, and cut them into named views."""
        self._flat_parameters, self._flat_gradients = flat_parameters, flat_gradients
        parameters = NamedArrays(views_of(flat_parameters, self._shapes()), "parameter")
        gradients = NamedArrays(views_of(flat_gradients, self._shapes()), "gradient")
        self._parameters, self._gradients = NamedArrays(by_name(parameters), "parameter"), NamedArrays(by_name(gradients), "gradient")
        self._layer_parameters, self._layer_gradients = list(parameters["layers"].values()), list(gradients["layers"].values())
        self._position_parameters, self._position_gradients = parameters["positions"], gradients["positions"]
        self._final_norm, self._final_norm_gradients = parameters.get("final_norm"), gradients.get("final_norm")
        self._stack = self._stack_made_for = None

    parameters, gradients = _kept("parameters"), _kept("gradients")
    flat_parameters, flat_gradients = _kept("flat_parameters"), _kept("flat_gradients")

    def __getstate__(self):
        """What a copy or a pickle holds: everything but the views, which would arrive as arrays of their own."""
        views = {"_parameters", "_gradients", "_layer_parameters", "_layer_gradients"}
        views |= {"_position_parameters", "_position_gradients", "_final_norm", "_final_norm_gradients", "_stack", "_stack_made_for"}
        return {name: value for name, value in vars(self).items() if name not in views}

    def __setstate__(self, state):
        vars(self).update(state)
        self._adopt(self.flat_parameters, self.flat_gradients)

    def with_parameters(self, flat_parameters):
        """The same parts on other weights: a model of its own, in the type of these weights.

        Parameters
        ----------
        flat_parameters : ndarray, shape (n_parameters,)
            In the order of :attr:`flat_parameters`; not copied.

        Returns
        -------
        CLLM
        """
        twin = copy.copy(self)
        twin.config = replace(self.config, dtype=flat_parameters.dtype)
        twin._adopt(flat_parameters, np.zeros_like(flat_parameters))
        return twin

    def layer_parameters(self, i):
        """Layer `i`'s own parameters as its forward pass takes them: views, one dictionary for each part of the layer."""
        return self._layer_parameters[i]

    @property
    def position_parameters(self):
        """The parameters of the positions' part, as its forward pass takes them: views."""
        return self._position_parameters

    def blocks(self, flat):
        """What one of the flat buffers holds, layers and the last norm cut as :func:`~cllm_lib.model.fast.affine_shapes` says: views."""
        slopes = "slopes" in self.layer.attention.parameter_shapes(self.config)
        layer = fast.affine_shapes(self.config, slopes)
        return views_of(flat, self._shapes(layer, final_norm=layer["feed_forward_norm"]))

    @property
    def output_matrix(self):  # (D, V)
        """What turns a hidden state into logits: the embedding, transposed, or a matrix of its own."""
        return self.parameters["embedding"].T if self.config.tie_embeddings else self.parameters["output_weight"]

    @property
    def _output_gradient(self):  # (D, V)
        return self.gradients["embedding"].T if self.config.tie_embeddings else self.gradients["output_weight"]

    def logits(self, tokens):  # (B, T) ints -> (B, T, V)
        """Scores of every possible next token, at every position.

        Parameters
        ----------
        tokens : array_like of int, shape (B, T)

        Returns
        -------
        ndarray, shape (B, T, V)

        Raises
        ------
        ValueError
            If the shape is not (batch, time), time exceeds `config.seq_len`, or an id is no integer of the vocabulary.
        """
        return self._scored(self._hidden(self._checked_tokens(tokens)))[0]

    def loss(self, tokens, targets):
        """Mean cross-entropy in nats, or what a loss part of one's own gives: as :meth:`loss_and_gradients`, without its backward pass."""
        tokens, targets = self._checked_pair(tokens, targets)
        logits, _ = self._scored(self._hidden(tokens))
        return loss_of(self.loss_part, self.loss_part.forward(logits, targets))[0]

    def loss_and_gradients(self, tokens, targets):
        """Mean cross-entropy and its gradient with respect to every parameter.

        Parameters
        ----------
        tokens, targets : array_like of int, shape (B, T)
            targets[b, t] is the token that follows tokens[b, t].

        Returns
        -------
        loss : float
            In nats per token.
        gradients : dict of str to ndarray
            Named and shaped like :attr:`parameters`; copies, yours to keep. (The trainer, which keeps none, calls
            :meth:`forward_backward` and reads :attr:`flat_gradients`.)

        Raises
        ------
        ValueError
            As :meth:`logits`, and if tokens and targets differ in shape.
        """
        loss = self.forward_backward(tokens, targets)
        return loss, {name: gradient.copy() for name, gradient in self.gradients.items()}

    def forward_backward(self, tokens, targets):
        """Return the loss and leave its gradient in :attr:`gradients`, overwriting what was there."""
        tokens, targets = self._checked_pair(tokens, targets)
        x, embedding_cache = self._embedded(tokens)
        x = self.positions.forward(x, self._position_parameters)
        twin = fast.twin_of(self.layer) if self.fast and self._ends_are_sound else None
        if twin is None:
            loss, dx = self._forward_backward_by_parts(x, targets)
        else:
            loss, dx = self._fast_stack(twin, tokens.shape).forward_backward(x, targets)
        position_gradients = self.positions.backward(dx, self._position_parameters)
        write_into(self._position_gradients, position_gradients, self.positions, "positions")
        embedding_gradient = self.gradients["embedding"]
        if not self.config.tie_embeddings:
            embedding_gradient.fill(0.0)  # a tied output has left its share there
        embedding_backward_of(self.embedding, self.embedding.backward(dx, embedding_cache, out=embedding_gradient), embedding_gradient)
        return loss

    def _forward_backward_by_parts(self, x, targets):  # (B, T, D), (B, T) -> loss, (B, T, D)
        """From x through layers, output and loss, and back: with any parts, in plain functions."""
        x, layer_caches = self._through_layers(x)
        hidden, norm_cache = self._normed(x)
        logits, output_cache = self._scored(hidden)
        loss, loss_cache = loss_of(self.loss_part, self.loss_part.forward(logits, targets))

        # Backward, from the loss down.
        # forward: loss = cross_entropy(logits, targets)
        d_logits = gradient_of(self.loss_part, "loss", self.loss_part.backward(loss_cache), logits.shape, self.flat_gradients.dtype)
        # forward: logits = hidden @ output_matrix
        self._output_gradient.fill(0.0)  # an output that leaves nothing there has no gradient, not the last step's
        dx = self.output.backward(d_logits, output_cache, out=self._output_gradient)
        dx = gradient_of(self.output, "output", dx, hidden.shape, self.flat_gradients.dtype)
        if self.config.norm_first:
            # forward: hidden = norm(x)
            dx, gradients = NORMS[self.config.norm].backward(dx, norm_cache)
            write_into(self._final_norm_gradients, gradients, NORMS[self.config.norm], "final_norm")
        # forward: x = layer(x), in each layer
        for i in reversed(range(self.config.n_layers)):
            dx, gradients = backward_of(self.layer, "layer", self.layer.backward(dx, layer_caches[i]), dx)
            write_into(self._layer_gradients[i], gradients, self.layer, f"layers.{i}")
        return loss, dx

    @property
    def is_sound(self):
        """Whether layers, attention, output and loss are the sound parts themselves: no subclass, no method of another hung onto it."""
        sound = type(self.layer) is TransformerLayer and type(self.layer.attention) in SOUND_ATTENTION
        return sound and self._ends_are_sound and fast.twin_of(self.layer) is not None

    @property
    def _ends_are_sound(self):
        return type(self.output) is LinearOutput and type(self.loss_part) is CrossEntropy

    def _fast_stack(self, twin, shape):
        """The quick layers with arrays for batches of this shape, kept until another shape or part comes."""
        made_for = shape, self.layer, self.layer.attention
        if self._stack is None or self._stack_made_for != made_for:
            blocks, d_blocks = self.blocks(self.flat_parameters), self.blocks(self.flat_gradients)
            self._stack = None  # the old arrays go before the new ones come
            matrices = self.output_matrix, self._output_gradient
            self._stack = fast.Stack(blocks, d_blocks, *matrices, *shape, self.config, twin)
            self._stack_made_for = made_for
        return self._stack

    def _hidden(self, tokens):  # (B, T) -> (B, T, D)
        x, _ = self._embedded(tokens)
        x, _ = self._through_layers(self.positions.forward(x, self._position_parameters))
        return self.normed(x)

    def _embedded(self, tokens):  # (B, T) -> (B, T, D), cache
        table = self.parameters["embedding"]
        result = self.embedding.forward(tokens, table)
        return forward_of(self.embedding, "embedding", result, (*tokens.shape, table.shape[1]), table.dtype)

    def _scored(self, hidden):  # (B, T, D) -> (B, T, V), cache
        result = self.output.forward(hidden, self.output_matrix)
        return forward_of(self.output, "output", result, (*hidden.shape[:2], self.config.vocab_size), hidden.dtype)

    def normed(self, x):  # (..., D) -> (..., D)
        """What goes from the last layer to the output: x after the last norm where norms come first, else x as it is."""
        return self._normed(x)[0]

    def _normed(self, x):  # (..., D) -> (..., D), cache
        return NORMS[self.config.norm].forward(x, self._final_norm) if self.config.norm_first else (x, None)

    def _through_layers(self, x):  # (B, T, D) -> (B, T, D), caches
        caches = []
        for parameters in self._layer_parameters:
            x, cache = forward_of(self.layer, "layer", self.layer.forward(x, parameters, self.config), x.shape, x.dtype)
            caches.append(cache)
        return x, caches

    def _checked_tokens(self, tokens, name="tokens"):
        tokens = np.asarray(tokens)
        if tokens.ndim != 2 or 0 in tokens.shape:
            raise ValueError(f"{name} have shape {tokens.shape}: give (batch, time), such as [[1, 2, 3]]")
        if tokens.shape[1] > self.config.seq_len:
            raise ValueError(f"{name} are {tokens.shape[1]} long, the model reads {self.config.seq_len}: cut them, or raise seq_len")
        return token_ids(tokens, self.config.vocab_size, name)

    def _checked_pair(self, tokens, targets):
        tokens = self._checked_tokens(tokens)
        targets = np.asarray(targets)
        if targets.shape != tokens.shape:
            raise ValueError(
                f"targets have shape {targets.shape}, tokens {tokens.shape}: every token needs its target, the token that follows it"
            )
        return tokens, self._checked_tokens(targets, "targets")


def views_of(flat, shapes):
    """Cut one flat buffer into arrays that share its memory, arranged as `shapes` is.

    Parameters
    ----------
    flat : ndarray, shape (n,)
    shapes : dict of str to tuple, or to such a dict
        The sizes sum to n.

    Returns
    -------
    dict of str to ndarray, or to such a dict
    """
    start = 0

    def cut(node):
        nonlocal start
        if isinstance(node, dict):
            return {name: cut(below) for name, below in node.items()}
        size = math.prod(node)
        start += size
        return flat[start - size : start].reshape(node)

    return cut(shapes)


def by_name(tree, prefix=""):
    """Flatten nested dictionaries: {"a": {"b": 1}} becomes {"a.b": 1}."""
    named = {}
    for name, node in tree.items():
        named |= by_name(node, f"{prefix}{name}.") if isinstance(node, dict) else {prefix + name: node}
    return named
