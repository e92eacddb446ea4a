"""Instruments that look at weights, gradients and changes, tensor by tensor."""

import math

import numpy as np

from cllm_lib.instruments.kit.catalogue import Word, instrument

_USED, _TRAINED = "each of their numbers acts on the loss", "every tensor has a gradient"
GROUPS = ("embedding", "positions", "queries and keys", "values", "attention output", "norms", "feed-forward", "output")
LARGE = 3.0  # how much longer a matrix makes a vector; 1 with a standard deviation of 1 / sqrt(inputs)


def group_of(name):
    """The part of a model that a tensor belongs to."""
    if "attention." in name:
        kind = name.rsplit(".", 1)[-1].split("_")[0]
        return {"query": "queries and keys", "key": "queries and keys", "value": "values"}.get(kind, "attention output")
    if "norm" in name:
        return "norms"
    if "feed_forward." in name:
        return "feed-forward"
    return {"positions.table": "positions", "output_weight": "output"}.get(name, name.split(".")[0])


def _matrices(arrays):
    """Tensors that may not rest at one value: all but biases, gains and slopes."""
    return {name: array for name, array in arrays.items() if array.ndim == 2}


@instrument(
    "weights",
    2,
    Word("every matrix is zero", lambda n: n["matrices at zero"] == n["matrices"], "what is never initialised stays as it was allocated"),
    Word(
        "some matrices are zero",
        lambda n: 0.0 < n["matrices at zero"] < n["matrices"],
        "what is never initialised stays as it was allocated",
    ),
    Word("a matrix holds one number only", lambda n: n["matrices of one number"] > 0.0, "drawn numbers differ"),
    Word("a matrix has columns or rows of zeros", lambda n: n["rows or columns at zero"] > 0.0, "drawn numbers are not zero"),
    Word(
        "a matrix makes vectors far longer",
        lambda n: n["largest stretch"] > LARGE,
        "a standard deviation of 1 / sqrt(inputs) keeps the length",
    ),
    Word(
        "embeddings far too large as well",
        lambda n: n["embedding, root mean square"] > 0.5,
        "they begin at 0.02, so that logits begin small",
    ),
    needs_sameness=False,
)
def weights(patient):
    """Look at every matrix before the first step: its size, its spread, its zeros."""
    matrices = _matrices(patient.begun.model.parameters)
    inner = {name: array for name, array in matrices.items() if name not in ("embedding", "positions.table", "output_weight")}
    stretches = [float(np.sqrt(np.mean(np.square(array, dtype=np.float64)) * array.shape[0])) for array in inner.values()]
    empty = [not array.any() for array in matrices.values()]
    lines = [
        float((~array.any(axis=0)).sum() + (~array.any(axis=1)).sum()) for array in matrices.values() if array.any() and np.ptp(array) > 0.0
    ]
    return {
        "matrices": float(len(matrices)),
        "matrices at zero": float(sum(empty)),
        "matrices of one number": float(sum(bool(np.ptp(array) == 0.0 and array.any()) for array in matrices.values())),
        "rows or columns at zero": float(sum(lines)),
        "largest stretch": max(stretches),
        "embedding, root mean square": float(np.sqrt(np.mean(np.square(matrices["embedding"], dtype=np.float64)))),
    }


@instrument(
    "gradients",
    2,
    Word("no gradient anywhere", lambda n: n["length"] == 0.0, "a loss that depends on weights has a gradient"),
    Word(
        "queries, keys and values get none",
        lambda n: n["length"] > 0.0 and n["zero: queries, keys, values"] == 1.0,
        "each word's attention acts on the loss",
    ),
    Word(
        "part of queries, keys or values is exactly 0",
        lambda n: 0.0 < n["zero: queries, keys, values"] < 1.0,
        _USED,
    ),
    Word("keys get none", lambda n: n["zero: keys"] == 1.0 and n["zero: queries, keys, values"] < 1.0, "each word's key acts on the loss"),
    Word("a whole lower layer gets none", lambda n: n["layers without"] > 0.0 and n["length"] > 0.0, "each layer acts on the loss"),
    Word("the feed-forward network gets none", lambda n: n["length"] > 0.0 and n["zero: feed-forward"] == 1.0, "its units act on the loss"),
    Word(
        "part of the feed-forward network is exactly 0",
        lambda n: 0.01 < n["zero: feed-forward"] < 1.0,
        _USED + ", but for tanh where rounding makes it 1",
    ),
    Word("the embedding gets none", lambda n: n["length"] > 0.0 and n["zero: embedding"] == 1.0, "the rows that were read act on the loss"),
    Word("positions get none", lambda n: n["zero: positions"] == 1.0 and n["length"] > 0.0, "a table that is added acts on the loss"),
    Word(
        "every number fits into 16 bits",
        lambda n: n["in 16 bits"] == 1.0 and 0.0 < n["length"] < math.inf,
        "of the numbers of float32 one in eight thousand does, of float64 none",
    ),
    Word("NaN or infinite", lambda n: not math.isfinite(n["length"]), "a gradient is a number"),
)
def gradients(patient):
    """Look at the gradient of one batch before the first step: which tensors get one, and how long it is."""
    model = patient.begin().model
    _, found = model.loss_and_gradients(*patient.batch)
    by_group = {group: [g for name, g in found.items() if group_of(name) == group and g.ndim == 2] for group in GROUPS}
    layers = [[g for name, g in found.items() if name.startswith(f"layers.{i}.")] for i in range(model.config.n_layers)]
    whole = np.concatenate([gradient.ravel() for gradient in found.values()])
    present = whole[whole != 0.0]
    attention = by_group["queries and keys"] + by_group["values"]
    return {
        "length": float(np.linalg.norm(whole.astype(np.float64))),
        "zero: embedding": float(not by_group["embedding"][0].any()),
        "zero: positions": float(bool(by_group["positions"]) and not by_group["positions"][0].any()),
        "zero: queries, keys, values": _share_of_zeros(attention),
        "zero: keys": _share_of_zeros([g for name, g in found.items() if name.endswith("key_weight")]),
        "zero: feed-forward": _share_of_zeros(by_group["feed-forward"]),
        "layers without": float(sum(not any(g.any() for g in layer) for layer in layers)),
        "in 16 bits": float(np.mean(present == present.astype(np.float16).astype(whole.dtype))) if present.size else 0.0,
    }


def _share_of_zeros(arrays):
    return float(np.mean(np.concatenate([array.ravel() for array in arrays]) == 0.0)) if arrays else 0.0


@instrument(
    "changed tensors",
    3,
    Word("nothing changed at all", lambda n: n["changed"] == 0.0, "training changes weights"),
    Word("only the embedding changed", lambda n: n["changed"] == n["embedding"] == 1.0 < n["tensors"], _TRAINED),
    Word(
        "a layer did not change",
        lambda n: n["changed"] > 0.0 and n["embedding"] < n["changed"] and n["layers unchanged"] > 0.0,
        _TRAINED,
    ),
    Word("the embedding did not change", lambda n: n["changed"] > 0.0 and n["embedding"] == 0.0, _TRAINED),
    Word("a matrix did not change", lambda n: 0.0 < n["changed"] < n["tensors"], _TRAINED),
    Word(
        "queries and keys did not change",
        lambda n: n["changed"] > 1.0 and n["queries and keys"] == 0.0 and n["layers unchanged"] == 0.0 and n["has queries"] > 0.0,
        _TRAINED,
    ),
    Word(
        "no gain of a norm changed",
        lambda n: n["changed"] > 1.0 and n["gains"] == 0.0 and n["layers unchanged"] == 0.0,
        _TRAINED,
    ),
    Word("the positions did not change", lambda n: n["changed"] > 1.0 and n["positions"] == 0.0, "a table that is added has a gradient"),
    needs_sameness=False,
)
def changed_tensors(patient):
    """Compare every matrix after training with itself before."""
    before, after = (_matrices(trainer.model.parameters) for trainer in (patient.begun, patient.trained))
    changed = {name: not np.array_equal(before[name], after[name]) for name in before}
    layers = {name.split(".")[1] for name in changed if name.startswith("layers.")}
    still = sum(not any(moved for name, moved in changed.items() if name.startswith(f"layers.{i}.")) for i in layers)
    first, last = patient.begun.model.parameters, patient.trained.model.parameters
    gains = [(array, last[name]) for name, array in first.items() if name.endswith("gain")]
    queries = [moved for name, moved in changed.items() if group_of(name) == "queries and keys"]
    return {
        "tensors": float(len(changed)),
        "changed": float(sum(changed.values())),
        "embedding": float(changed["embedding"]),
        "positions": float(changed.get("positions.table", True)),
        "has queries": float(len(queries)),
        "queries and keys": float(sum(queries)),
        "layers unchanged": float(still),
        "gains": float(sum(not np.array_equal(one, other) for one, other in gains)),
    }


_THOUSANDTH = 'a step is to be about a thousandth of the weights (CS231n, "Neural Networks Part 3")'


@instrument(
    "update ratios",
    3,
    Word("weights hardly move", lambda n: n["largest"] < 1e-4, _THOUSANDTH, certain=False),
    Word("weights do not move", lambda n: n["largest"] == 0.0, "a step changes weights"),
    Word("a step is longer than all weights", lambda n: n["median"] > 1.0, _THOUSANDTH),
    needs_sameness=False,
)
def update_ratios(patient):
    """Measure how far each of the first sixty steps moves the weights, as a share of their length."""
    trainer, ratios = patient.begin(), []
    before = trainer.model.flat_parameters.astype(np.float64)
    for _ in trainer.run(steps=min(patient.steps, 60)):
        after = trainer.model.flat_parameters.astype(np.float64)
        ratios.append(float(np.linalg.norm(after - before)) / max(float(np.linalg.norm(before)), 1e-300))
        before = after
    return {"largest": _largest(ratios), "median": float(np.median(np.where(np.isfinite(ratios), ratios, np.inf)))}


def _largest(values):
    return float(max(values)) if np.isfinite(values).all() else math.inf
