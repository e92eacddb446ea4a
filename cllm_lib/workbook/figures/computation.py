"""The model's computation as a graph, recorded while it runs and drawn: every operation, its shapes, and what feeds what.

The graph is built from the layers' own forward and backward functions and a model's own parameters. Going backward it
follows one rule only: a value that was used twice collects from both users.
"""

from dataclasses import dataclass, field

import numpy as np

from cllm_lib.model.attention import (
    PROJECTIONS,
    merge_heads,
    scaled_dot_product_backward,
    scaled_dot_product_forward,
    split_heads,
)
from cllm_lib.model.layers import (
    cross_entropy_backward,
    cross_entropy_forward,
    embedding_backward,
    embedding_forward,
    layer_norm_backward,
    layer_norm_forward,
    linear_backward,
    linear_forward,
)
from cllm_lib.workbook.figures.style import BLUE, GREY, VERMILION, new_axes


@dataclass
class Operation:
    """One box of the graph.

    Attributes
    ----------
    name : str
    inputs : tuple of Operation
        Whose values it took.
    value : ndarray or float
    undo : callable
        From the gradient of `value` to the gradients of the inputs' values, and of the parameters by name.
    gradient : ndarray or float, optional
        Of the loss with respect to `value`, once the backward pass has come by.
    parameters, parameter_gradients : dict of str to ndarray
        What it trains, and what came back for it.
    """

    name: str
    inputs: tuple
    value: object
    undo: object
    parameters: dict
    gradient: object = None
    parameter_gradients: dict = field(default_factory=dict)


def record(model, tokens, targets):
    """Run a sound model forward and backward, one operation after the other.

    Parameters
    ----------
    model : CLLM
        Of the sound parts, without positions: the operations are those. Left as it was.
    tokens, targets : ndarray of int, shape (B, T)

    Returns
    -------
    list of Operation
        In the order of the forward pass; the last one's value is the loss.

    Raises
    ------
    ValueError
        If the recorded loss or its gradient is not the model's, because the model has other parts; or if its configuration
        says so.
    """
    _refuse_another_layer(model.config)
    recorder = _Recorder(model)
    x = recorder.look_up(tokens)
    for i in range(model.config.n_layers):
        prefix = f"layers.{i}."
        projected = [recorder.linear(name, x, f"{prefix}attention.{name}_") for name in PROJECTIONS]
        attended = recorder.linear("output", recorder.attend(*projected), f"{prefix}attention.output_")
        x = recorder.norm(recorder.add(x, attended), f"{prefix}attention_norm.")
        hidden = recorder.tanh(recorder.linear("expand", x, f"{prefix}feed_forward.expand_"))
        fed = recorder.linear("contract", hidden, f"{prefix}feed_forward.contract_")
        x = recorder.norm(recorder.add(x, fed), f"{prefix}feed_forward_norm.")
    loss = recorder.loss(recorder.scores(x), targets)
    _backward(recorder.operations)
    own_loss, own_gradients = model.with_parameters(model.flat_parameters).loss_and_gradients(tokens, targets)
    same = {"loss": np.isclose(loss.value, own_loss), "gradient": _alike(gradients_of(recorder.operations), own_gradients)}
    for what in same:
        if not same[what]:
            advice = "give a model made of the sound parts, without positions"
            raise ValueError(f"the model's {what} is not that of the recorded operations: {advice}")
    return recorder.operations


def _refuse_another_layer(config):
    recorded = {"norm": "layer", "norm_first": False, "feed_forward": "tanh", "n_kv_heads": config.n_heads}
    given = {name: getattr(config, name) for name in recorded} | {"n_kv_heads": config.kv_heads}
    other = ", ".join(f"{name}={given[name]!r}" for name in recorded if given[name] != recorded[name])
    if other:
        raise ValueError(
            f"the configuration says {other}, and the operations that are recorded are LayerNorm behind each part, tanh, and a head of "
            "keys for each of queries: leave these settings out"
        )


def _alike(gradients, others):
    """Whether gradients by name are the same, to the rounding of float32."""
    allowed = 1e-3 * max(np.abs(gradient).max() for gradient in others.values())
    return gradients.keys() == others.keys() and all(np.abs(gradients[name] - others[name]).max() <= allowed for name in others)


class _Recorder:
    """Runs operations of a model and keeps each with what it needs on the way back."""

    def __init__(self, model):
        self.model, self.operations = model, []

    def run(self, name, inputs, forward, backward, parameters=()):
        value, cache = forward(*(operation.value for operation in inputs))
        held = {key: self.model.parameters[key] for key in parameters}
        self.operations.append(Operation(name, tuple(inputs), value, lambda gradient: backward(gradient, cache), held))
        return self.operations[-1]

    def with_parameters(self, name, x, prefix, arguments, forward, backward):
        names = {argument: f"{prefix}{argument}" for argument in arguments}
        held = {argument: self.model.parameters[key] for argument, key in names.items()}

        def undo(gradient, cache):
            dx, gradients = backward(gradient, cache)
            return (dx,), {names[argument]: gradients[argument] for argument in arguments}

        return self.run(name, [x], lambda value: forward(value, **held), undo, names.values())

    def look_up(self, tokens):
        table = self.model.parameters["embedding"]

        def undo(dx, cache):
            return (), {"embedding": embedding_backward(dx, cache)}

        return self.run("look up", [], lambda: embedding_forward(tokens, table), undo, ["embedding"])

    def linear(self, name, x, prefix):
        return self.with_parameters(name, x, prefix, ("weight", "bias"), linear_forward, linear_backward)

    def norm(self, x, prefix):
        return self.with_parameters("norm", x, prefix, ("gain", "bias"), layer_norm_forward, layer_norm_backward)

    def add(self, x, y):
        return self.run("+", [x, y], lambda a, b: (a + b, None), lambda gradient, _: ((gradient, gradient), {}))

    def tanh(self, x):
        return self.run("tanh", [x], lambda a: (np.tanh(a), np.tanh(a)), lambda gradient, y: ((gradient * (1 - y * y),), {}))

    def attend(self, *projected):
        n_heads = self.model.config.n_heads

        def forward(*values):
            y, cache = scaled_dot_product_forward(*(split_heads(value, n_heads) for value in values))
            return merge_heads(y), cache

        def backward(gradient, cache):
            return [merge_heads(d) for d in scaled_dot_product_backward(split_heads(gradient, n_heads), cache)], {}

        return self.run("attend", projected, forward, backward)

    def scores(self, x):
        tied, matrix = self.model.config.tie_embeddings, self.model.output_matrix
        name = "embedding" if tied else "output_weight"

        def undo(gradient, hidden):
            d_matrix = hidden.reshape(-1, hidden.shape[-1]).T @ gradient.reshape(-1, gradient.shape[-1])
            return (gradient @ matrix.T,), {name: d_matrix.T if tied else d_matrix}

        return self.run("scores", [x], lambda hidden: (hidden @ matrix, hidden), undo, [name])

    def loss(self, logits, targets):
        def undo(gradient, cache):
            return (gradient * cross_entropy_backward(cache),), {}

        return self.run("loss", [logits], lambda scores: cross_entropy_forward(scores, targets), undo)


def _backward(operations):
    """From the loss down: each operation hands its inputs their share, and what is used twice adds up."""
    operations[-1].gradient = 1.0
    for operation in reversed(operations):
        shares, operation.parameter_gradients = operation.undo(operation.gradient)
        for source, share in zip(operation.inputs, shares, strict=True):
            source.gradient = share if source.gradient is None else source.gradient + share


def gradients_of(operations):  # -> {name: gradient}
    """The gradient of each parameter, summed over the operations that use it: a tied embedding has two."""
    total = {}
    for operation in operations:
        for name, gradient in operation.parameter_gradients.items():
            total[name] = total[name] + gradient if name in total else gradient
    return total


def computation_graph(model, tokens, targets):
    """The whole computation with its shapes: forward on top, from left to right; backward below, from right to left.

    Parameters
    ----------
    model : CLLM
        Made of the sound parts; one layer, or two, keeps the picture legible.
    tokens, targets : ndarray of int, shape (B, T)

    Returns
    -------
    matplotlib.axes.Axes
        Every shape in it was read from arrays while the model ran; see :func:`record`.
    """
    operations = record(model, tokens, targets)
    columns = {}
    for operation in operations:
        columns[id(operation)] = 1 + max((columns[id(source)] for source in operation.inputs), default=-1)
    rows = {"query": 1.35, "value": -1.35}
    users = {id(operation): sum(operation in other.inputs for other in operations) for operation in operations}
    width = 1 + max(columns.values())

    axes = new_axes("One step: forward on top, backward below", "", "", width=0.95 * width, height=6.2)
    axes.axis("off")
    axes.set_xlim(-0.5, width - 0.5)
    axes.set_ylim(-4.7, 4.7)
    for centre, way in ((2.4, 1), (-2.4, -1)):
        axes.text(width - 0.5, centre + 1.6, "forward \u2192" if way > 0 else "\u2190 backward", ha="right", fontsize=11, color=GREY)
        for operation in operations:
            x, y = columns[id(operation)], centre + rows.get(operation.name, 0.0)
            for source in operation.inputs:
                begin, end = (columns[id(source)], centre + rows.get(source.name, 0.0)), (x, y)
                _arrow(axes, *((begin, end) if way > 0 else (end, begin)), bend=1 if x - columns[id(source)] > 1 else 0)
            arrays, belonging, sign = (
                (operation.value, operation.parameters, "") if way > 0 else (operation.gradient, operation.parameter_gradients, "d ")
            )
            text = [sign + operation.name, _shape(arrays)]
            text += [f"{sign}{_SYMBOLS[name.rpartition('.')[2].rpartition('_')[2]]} {_shape(array)}" for name, array in belonging.items()]
            if way < 0 and users[id(operation)] > 1:
                text.append(f"sum of {users[id(operation)]}")
            box = {"boxstyle": "round,pad=0.25", "facecolor": "white", "edgecolor": BLUE if way > 0 else VERMILION, "linewidth": 1.2}
            axes.text(x, y, "\n".join(text), ha="center", va="center", fontsize=8, bbox=box, zorder=3)
    return axes


_SYMBOLS = {"weight": "W", "bias": "b", "gain": "g", "embedding": "E"}


def _shape(array):
    return "\u00d7".join(map(str, np.shape(array))) or "1 number"


def _arrow(axes, begin, end, bend):
    """From one box to another; a road that passes over others is bent outwards."""
    style = {"arrowstyle": "-|>", "color": GREY, "shrinkA": 22, "shrinkB": 22, "linewidth": 1.0}
    axes.annotate("", end, begin, arrowprops=style | {"connectionstyle": f"arc3,rad={-0.35 * bend}"}, zorder=1)
