"""The model's computation as a graph, recorded while it runs: every operation, its shapes, and what feeds what.

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
        Its attention, layer and embedding are the sound parts, without positions: the operations are those.
    tokens, targets : ndarray of int, shape (B, T)

    Returns
    -------
    list of Operation
        In the order of the forward pass; the last one's value is the loss.

    Raises
    ------
    ValueError
        If the recorded loss is not the model's, because the model has other parts.
    """
    operations = []

    def run(name, inputs, forward, backward, parameters=()):
        value, cache = forward(*(operation.value for operation in inputs))
        held = {key: model.parameters[key] for key in parameters}
        operations.append(Operation(name, tuple(inputs), value, lambda gradient: backward(gradient, cache), held))
        return operations[-1]

    def with_parameters(name, x, prefix, arguments, forward, backward):
        names = {argument: f"{prefix}{argument}" for argument in arguments}
        held = {argument: model.parameters[key] for argument, key in names.items()}

        def undo(gradient, cache):
            dx, gradients = backward(gradient, cache)
            return (dx,), {names[argument]: gradients[argument] for argument in arguments}

        return run(name, [x], lambda value: forward(value, **held), undo, names.values())

    def linear(name, x, prefix):
        return with_parameters(name, x, prefix, ("weight", "bias"), linear_forward, linear_backward)

    def norm(x, prefix):
        return with_parameters("norm", x, prefix, ("gain", "bias"), layer_norm_forward, layer_norm_backward)

    def add(x, y):
        return run("+", [x, y], lambda a, b: (a + b, None), lambda gradient, _: ((gradient, gradient), {}))

    def tanh(x):
        return run("tanh", [x], lambda a: (np.tanh(a), np.tanh(a)), lambda gradient, y: ((gradient * (1 - y * y),), {}))

    def attend(*projected):
        def forward(*values):
            y, cache = scaled_dot_product_forward(*(split_heads(value, model.config.n_heads) for value in values))
            return merge_heads(y), cache

        def backward(gradient, cache):
            return [merge_heads(d) for d in scaled_dot_product_backward(split_heads(gradient, model.config.n_heads), cache)], {}

        return run("attend", projected, forward, backward)

    def read(embedding):
        return embedding_forward(tokens, embedding)

    table = model.parameters["embedding"]
    x = run("look up", [], lambda: read(table), lambda dx, cache: ((), {"embedding": embedding_backward(dx, cache)}), ["embedding"])
    for i in range(model.config.n_layers):
        prefix = f"layers.{i}."
        projected = [linear(name, x, f"{prefix}attention.{name}_") for name in PROJECTIONS]
        x = norm(add(x, linear("output", attend(*projected), f"{prefix}attention.output_")), f"{prefix}attention_norm.")
        hidden = tanh(linear("expand", x, f"{prefix}feed_forward.expand_"))
        x = norm(add(x, linear("contract", hidden, f"{prefix}feed_forward.contract_")), f"{prefix}feed_forward_norm.")
    name = "embedding" if model.config.tie_embeddings else "output_weight"
    matrix = model.output_matrix

    def undo_scores(gradient, hidden):
        d_matrix = hidden.reshape(-1, hidden.shape[-1]).T @ gradient.reshape(-1, gradient.shape[-1])
        return (gradient @ matrix.T,), {name: d_matrix.T if model.config.tie_embeddings else d_matrix}

    logits = run("scores", [x], lambda hidden: (hidden @ matrix, hidden), undo_scores, [name])
    run(
        "loss",
        [logits],
        lambda scores: cross_entropy_forward(scores, targets),
        lambda gradient, cache: ((gradient * cross_entropy_backward(cache),), {}),
    )
    if not np.isclose(operations[-1].value, model.loss(tokens, targets)):
        raise ValueError("the model's loss is not that of the recorded operations: give a model made of the sound parts, without positions")
    _backward(operations)
    return operations


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
