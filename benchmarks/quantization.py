"""What few bits cost a trained model, method by method: `python -m benchmarks.quantization`.

Writes QUANTIZATION.md and evidence/measured/quantization.json: a small CLLM over ten seeds, the pretrained encoder, and what
reduction costs. A quarter of an hour on one processor, most of it for the encoder; run it with OPENBLAS_NUM_THREADS=1.
`--tiny` tries the path, writes nothing, and goes on without the encoder where `make pretrained` has not brought it.
"""

import argparse
import functools
import json
import os
import re
import tempfile
import time
from pathlib import Path

import numpy as np

from benchmarks.compare import ratio, seconds_of
from benchmarks.run import describe_machine, describe_settings, say, table, two_digits
from cllm_lib import CLLM, CLLMConfig, Trainer, load_corpus
from cllm_lib.experiments.intervals import exact_binomial_interval, interval, paired_difference
from cllm_lib.files import shipped, write_atomically
from cllm_lib.pretrained.folders import load_encoder
from cllm_lib.quantization.matrices import babai_quantize, bits_needed, gptq, input_hessian, layer_error
from cllm_lib.quantization.models import (
    LLL_BLOCK,
    METHODS,
    QuantizedModel,
    encoder_hessians,
    layer_hessians,
    quantize,
    quantize_by_hessian,
    save_quantized,
)
from cllm_lib.text.corpora import Corpus, read_text, windows

COMMAND = "OPENBLAS_NUM_THREADS=1 python -m benchmarks.quantization"
PAGE = shipped("evidence", "pages/QUANTIZATION.md")
RESULTS = shipped("evidence", "measured/quantization.json")

SEEDS = tuple(range(10))
BITS = (8, 4, 3, 2)
FREE = "lll + babai, not clipped"
VARIANTS = (*METHODS, FREE)
PAIRS = (("gptq", "round"), ("gptq, act-order", "gptq"), ("lll + babai", "gptq, act-order"), (FREE, "gptq, act-order"))
MODEL = dict(d_model=48, n_layers=2, n_heads=4, d_ff=192, seq_len=32, positions="learned")
TRAINING = dict(learning_rate=3e-3, batch_size=16, patience=8)
EPOCHS = 60  # at most: the loss on the tenth before the last decides
EMBEDDING_BITS = (None, 8, 4, 3)
BLOCKS = (8, 16, 32, 64, 96, 192, 384)
ROUNDS = 5
PARTS = ("small", "encoder", "costs")
SENTENCES = 200  # to judge on; the rest of the same text, or another, calibrates
OTHER_BITS = 4  # and the methods that are calibrated on texts of another kind
ELSEWHERE = ("gptq", "gptq, act-order", FREE)
LOCATED = "layers.0.attention.query_weight"  # on which reduction is timed


def settings_of(variant):
    """Method and keywords of a variant."""
    return ("lll + babai", {"clip": False, "lll_block": LLL_BLOCK}) if variant == FREE else (variant, {"lll_block": LLL_BLOCK})


# A small model, trained here


def split(name="prose"):
    """A text whose last tenth judges, and whose tenth before that decides when training stops."""
    whole = load_corpus(name)
    tenth = len(whole.tokens) // 10
    return Corpus(name, whole.tokens[:-tenth], whole.vocabulary, n_validation=tenth), whole.tokens[-tenth:]


@functools.cache
def trained(seed, epochs=EPOCHS):
    """The model of one seed, at its best on the tenth that decides."""
    corpus, _ = split()
    model = CLLM(CLLMConfig(len(corpus.vocabulary), **MODEL), seed=seed)
    every = corpus.batches_per_epoch(TRAINING["batch_size"], MODEL["seq_len"])
    trainer = Trainer(model, corpus, **TRAINING, seed=seed, evaluate_every=every)
    trainer.fit(epochs=epochs)
    trainer.restore_best()
    return model


def relative_error(model, matrices, moments):
    """The outputs' squared error over their own square, as a mean over the matrices."""
    errors = []
    for name, hessian in moments.items():
        weights = model.parameters[name].T
        errors.append(layer_error(weights, matrices[name].weight().T, hessian) / layer_error(weights, np.zeros(weights.shape), hessian))
    return float(np.mean(errors))


def measure(epochs, seed, bits_list=BITS):
    """One seed: losses in nats of the full model and of every variant, errors of the layers, bits of the widest integer.

    Returns
    -------
    dict
    """
    (corpus, test), model = split(), trained(seed, epochs)
    calibration, judged, learnt = (windows(tokens, MODEL["seq_len"]) for tokens in (corpus.train_tokens, test, corpus.train_tokens))
    hessians, moments = layer_hessians(model, calibration[0]), layer_hessians(model, calibration[0], damping=0)
    found = {"full": {"loss": model.loss(*judged), "learnt": model.loss(*learnt)}, "variants": [], "embedding": []}
    for bits in bits_list:
        for variant in VARIANTS:
            method, keywords = settings_of(variant)
            matrices = {
                name: quantize_by_hessian(model.parameters[name], hessian, method, bits, **keywords) for name, hessian in hessians.items()
            }
            rounded = quantized_from(model, matrices, method, bits)
            found["variants"].append(
                {
                    "bits": bits,
                    "variant": variant,
                    "loss": rounded.model.loss(*judged),
                    "learnt": rounded.model.loss(*learnt),
                    "error": relative_error(model, matrices, moments),
                    "stored_bits": max(matrix.bits for matrix in matrices.values()),
                }
            )
    for bits in EMBEDDING_BITS:
        rounded = quantize(model, calibration[0], "gptq", 4, embedding_bits=bits)
        found["embedding"].append({"bits": bits, "loss": rounded.model.loss(*judged)})
    return found


def quantized_from(model, matrices, method, bits):
    """A quantised model of matrices that are at hand."""
    twin = model.with_parameters(model.flat_parameters.copy())
    for name, matrix in matrices.items():
        twin.parameters[name][...] = matrix.weight()
    return QuantizedModel(twin, matrices, method, bits)


def bytes_on_disk(quantized):
    """Of its file."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.safetensors"
        save_quantized(path, quantized)
        return path.stat().st_size


def sizes(epochs, bits_list=BITS):
    """Bytes on disk of the first seed's model in float32: full, for every variant, and with fewer bits for the embedding."""
    corpus, _ = split()
    model = trained(SEEDS[0], epochs)
    model = model.with_parameters(model.flat_parameters.astype(np.float32))
    tokens = windows(corpus.train_tokens, MODEL["seq_len"])[0]
    found = {"full": model.flat_parameters.nbytes, "layers": sum(model.parameters[name].nbytes for name in layer_hessians(model, tokens))}
    found["variants"] = []
    for bits in bits_list:
        for variant in VARIANTS:
            method, keywords = settings_of(variant)
            found["variants"].append(bytes_on_disk(quantize(model, tokens, method, bits, **keywords)))
    found["embedding"] = [bytes_on_disk(quantize(model, tokens, "gptq", 4, embedding_bits=bits)) for bits in EMBEDDING_BITS]
    return found


def small_model(seeds, epochs, bits_list=BITS, report=say):
    """Every seed, and the sizes: numbers to keep."""
    runs = []
    for seed in seeds:
        runs.append(measure(epochs, seed, bits_list))
        report(f"seed {seed}: held-out loss of the full model {runs[-1]['full']['loss']:.3f}")
    return {"seeds": list(seeds), "runs": runs, "bytes": sizes(epochs, bits_list)}


def small_rows(kept):
    """Rows for the page."""
    full = [one["full"]["loss"] for one in kept["runs"]]
    rows = [["full", "", "", f"{interval(np.exp(full)):.1f}", "", f"{kept['bytes']['full']:,}"]]
    for i, size in enumerate(kept["bytes"]["variants"]):
        columns = [one["variants"][i] for one in kept["runs"]]
        losses = [one["loss"] for one in columns]
        rows.append(
            [
                f"{columns[0]['bits']}",
                columns[0]["variant"],
                f"{interval([one['error'] for one in columns]):.2e}",
                f"{interval(np.exp(losses)):.1f}",
                f"{paired_difference(losses, full):.4f}",
                f"{size:,}",
            ]
        )
    return rows


def small_pairs(kept):
    """Differences of loss between methods, seed by seed, on held-out text and on the text that was learnt; at 8 bits all are 0."""
    rows = []
    for bits in sorted({one["bits"] for one in kept["runs"][0]["variants"]} - {8}, reverse=True):
        of = {one["variant"]: i for i, one in enumerate(kept["runs"][0]["variants"]) if one["bits"] == bits}
        for ours, others in PAIRS:
            cells = []
            for key in ("loss", "learnt"):
                pair = [[one["variants"][of[name]][key] for one in kept["runs"]] for name in (ours, others)]
                cells.append(f"{paired_difference(*pair):.4f}")
            rows.append([f"{bits}", ours, others, *cells])
    return rows


def embedding_rows(kept):
    """What fewer bits for the embedding cost, the layers at 4 bits."""
    rows = []
    for i, size in enumerate(kept["bytes"]["embedding"]):
        columns = [one["embedding"][i] for one in kept["runs"]]
        losses, stay = [one["loss"] for one in columns], [one["embedding"][0]["loss"] for one in kept["runs"]]
        name = "float32" if columns[0]["bits"] is None else f"{columns[0]['bits']} bits"
        rows.append([name, f"{interval(np.exp(losses)):.1f}", "" if i == 0 else f"{paired_difference(losses, stay):.4f}", f"{size:,}"])
    return rows


# The pretrained encoder


def sentences(name):
    """Of a text, those of more than three words."""
    text = read_text(name)
    cut = text.splitlines() if name == "sayings" else re.split(r"(?<=[.!?])\s+", " ".join(text.split()))
    return [sentence.strip() for sentence in cut if len(sentence.split()) > 3]


def nearest(rows):  # (N, D) -> (N,)
    """The nearest other sentence of each."""
    cosines = rows @ rows.T
    np.fill_diagonal(cosines, -np.inf)
    return cosines.argmax(axis=1)


def texts():
    """Sentences to calibrate on, by name, and those to judge on: the end of prose. What calibrates has none of these."""
    prose = sentences("prose")
    docs = sentences("python-docs")
    few = np.random.default_rng(0).choice(len(docs), 2 * SENTENCES, replace=False)
    calibrations = {"the beginning of prose": prose[:-SENTENCES], "sayings": sentences("sayings"), "python-docs": [docs[i] for i in few]}
    return calibrations, prose[-SENTENCES:]


def encoder_runs(encoder, calibration, judged, bits_list=BITS, variants=VARIANTS, report=say):
    """Every variant at every width: cosine to the full model and whether the nearest neighbour stayed, for each sentence.

    Returns
    -------
    list of dict
    """
    full = encoder.embed(judged)
    neighbours, hessians = nearest(full), encoder_hessians(encoder, calibration)
    kept = []
    for bits in bits_list:
        for variant in variants:
            method, keywords = settings_of(variant)
            matrices = {
                name: quantize_by_hessian(encoder.parameters[name], hessian, method, bits, **keywords) for name, hessian in hessians.items()
            }
            rows = encoder.with_parameters({name: matrix.weight() for name, matrix in matrices.items()}).embed(judged)
            one = {
                "bits": bits,
                "variant": variant,
                "cosines": np.round((rows * full).sum(axis=1).astype(float), 5).tolist(),
                "stays": (nearest(rows) == neighbours).astype(np.int64).tolist(),
                "stored_bits": max(matrix.bits for matrix in matrices.values()),
                "bytes": sum(matrix.nbytes for matrix in matrices.values()),
            }
            kept.append(one)
            report(f"{bits} bits, {variant}: cosine {np.mean(one['cosines']):.3f}, neighbours kept {np.mean(one['stays']):.2f}")
    return kept


def encoder_rows(kept):
    """Rows for the page."""
    rows = []
    for one in kept["runs"]:
        cells = [f"{one['bits']}", one["variant"], *judgement(one, rounding(kept, one["bits"]))]
        rows.append([*cells, f"{one['bytes']:,}", f"{one['stored_bits']}"])
    return rows


def elsewhere_rows(kept):
    """Rows for the page."""
    counts = {name: [f"{count:,}" for count in pair] for name, pair in kept["calibrations"].items()}
    own = [one for one in kept["runs"] if one["bits"] == OTHER_BITS and one["variant"] in ELSEWHERE]
    return [
        [name, *counts[name], one["variant"], *judgement(one, rounding(kept, OTHER_BITS))]
        for name, runs in {kept["calibration"]: own, **kept["elsewhere"]}.items()
        for one in runs
    ]


def rounding(kept, bits):
    """The run that rounds to nearest, at so many bits."""
    return next(one for one in kept["runs"] if (one["bits"], one["variant"]) == (bits, "round"))


def judgement(one, other):
    """Cosine, share of neighbours kept, and how many more than another run: the last, where there is anything to compare."""
    gain = "" if one is other else f"{paired_difference(one['stays'], other['stays']):.2f}"
    return [f"{interval(one['cosines']):.3f}", f"{exact_binomial_interval(sum(one['stays']), len(one['stays'])):.2f}", gain]


# What reduction costs


def reduction_costs(weights, hessian, moments, blocks=BLOCKS, rounds=ROUNDS):
    """For blocks of each width: time over that of GPTQ, errors of the layer over GPTQ's in either order, bits of the widest integer."""
    orders = {"as they stand": False, "act-order": True}
    plain = {
        name: layer_error(weights, gptq(weights, hessian, 3, None, order, False).dequantized, moments) for name, order in orders.items()
    }
    kept = []
    for width in blocks:
        times = {"lll": [], "gptq": []}
        for _ in range(rounds):
            times["gptq"].append(seconds_of(lambda: gptq(weights, hessian, 3, clip=False), 1))
            times["lll"].append(seconds_of(lambda width=width: babai_quantize(weights, hessian, 3, clip=False, lll_block=width), 1))
        found = {name: babai_quantize(weights, hessian, 3, None, order, False, width) for name, order in orders.items()}
        errors = {name: layer_error(weights, one.dequantized, moments) / plain[name] for name, one in found.items()}
        taken = ratio(times["lll"], times["gptq"])
        kept.append(
            {"block": width, "ratio": taken.value, "low": taken.low, "high": taken.high}
            | {"errors": errors, "bits": max(bits_needed(one.integers) for one in found.values())}
        )
    least = {name: least_error(hessian, order) for name, order in orders.items()}
    return {"rows": kept, "least": least, "act-order over as they stand": plain["act-order"] / plain["as they stand"]}


def least_error(hessian, act_order):
    """The least that nearest plane's mean error can come to on any basis of the lattice, over what it is on this one.

    On random targets the error is a twelfth of the sum of the squared lengths of the Gram-Schmidt vectors. Their product is the
    same for all bases, so the sum is least where all are as long.
    """
    order = np.argsort(-np.diag(hessian), kind="stable") if act_order else np.arange(len(hessian), dtype=np.int64)
    squares = np.diag(np.linalg.cholesky(hessian[np.ix_(order[::-1], order[::-1])])) ** 2
    return float(np.exp(np.log(squares).mean()) / squares.mean())


def cost_rows(kept):
    """Rows for the page."""
    rows = []
    for one in kept:
        quartiles = f"{two_digits(one['low'])} to {two_digits(one['high'])}"
        rows.append(
            [
                f"{one['block']}",
                two_digits(one["ratio"]),
                quartiles,
                *(f"{error:.3f}" for error in one["errors"].values()),
                f"{one['bits']}",
            ]
        )
    return rows


def page(numbers):
    """The whole of QUANTIZATION.md, from what is kept."""
    small = numbers["small"]
    model = ", ".join(f"{name} {value}" for name, value in numbers["model"].items())
    parts = [
        "# Few bits",
        f"Written by `{COMMAND}`, with every number in evidence/measured/{RESULTS.name}.",
        "Every row of a matrix has one scale, its largest weight over the largest integer. Layer matrices only are quantised, unless it "
        f"says otherwise. LLL + Babai: blocks of {LLL_BLOCK} columns in act-order, delta 0.99. Clipped: integers are kept in their bits; "
        "GPTQ clips as it rounds, LLL + Babai once a block is settled. Not clipped: a matrix is stored in as many bits as its widest "
        "integer takes, so compare bytes as well.",
        "## A small model",
        f"{model}; trained on prose by Adam at {TRAINING['learning_rate']:g}, in float64, to its best on the tenth before the last; "
        f"calibrated on what it was trained on, judged on the last tenth. Means over {len(small['seeds'])} seeds, with 95 % intervals. "
        "Layer error: the outputs' squared error over their own square, on the calibration text, mean over 12 matrices. Loss: less that "
        "of the full model, in nats, by seeds. Bytes: of the file in float32, first seed; of those of the full model the layer matrices "
        f"are {small['bytes']['layers']:,}. {small['conditions']}",
        "\n".join(table(["bits", "method", "layer error", "perplexity", "loss, more than full", "bytes"], small_rows(small))),
        "Differences of loss between methods, seed by seed; below 0 the first is better.",
        "\n".join(table(["bits", "method", "minus", "held-out text", "text it was trained on"], small_pairs(small))),
        "The embedding, which is the output matrix too, rounded as well; the layers by GPTQ at 4 bits.",
        "\n".join(table(["embedding", "perplexity", "loss, more than unrounded", "bytes"], embedding_rows(small))),
    ]
    if "encoder" in numbers:
        encoder = numbers["encoder"]
        header = ["bits", "method", "cosine to the full model", "keep their neighbour", "more than rounding", "bytes", "stored bits"]
        parts += [
            "## The pretrained encoder",
            f"All 36 layer matrices of all-MiniLM-L6-v2, calibrated on {encoder['calibration']}, judged on {encoder['judged']}. Mean "
            "over the sentences with a 95 % interval; more than rounding: sentence by sentence. They share "
            "their neighbours, and another text would move the numbers by more than the intervals say. Bytes: of the layer matrices, which "
            f"take {encoder['layer_bytes']:,} in float32. {encoder['conditions']}",
            "\n".join(table(header, encoder_rows(encoder))),
            f"Calibrated on a text of another kind instead, at {OTHER_BITS} bits, and judged on the same sentences.",
            "\n".join(table(["calibrated on", "sentences", "tokens", "method", *header[2:5]], elsewhere_rows(encoder))),
        ]
    if "costs" in numbers:
        costs = numbers["costs"]
        header = ["columns reduced together", "time", "quartiles", "error, as they stand", "error, act-order", "bits needed"]
        least = [f"{value:.3f}" for value in costs["least"].values()]
        parts += [
            "## What reduction costs",
            f"One matrix of it ({costs['matrix']}, {costs['columns']} columns) at 3 bits, not clipped. Time (columns as they stand) over "
            "that of GPTQ for the same matrix, median over rounds with quartiles; error of the layer over GPTQ's, both with the columns "
            f"as they stand and both in act-order, which alone brings GPTQ's error to {costs['act-order over as they stand']:.3f} of what "
            "it was. Any basis: what the error would be, on random targets and by the damped Hessian, if all Gram-Schmidt vectors were of "
            f"one length, and so the least that nearest plane can have on a basis of this lattice. {costs['conditions']}",
            "\n".join(table(header, [*cost_rows(costs["rows"]), ["any basis", "", "", *least, ""]])),
        ]
    return "\n\n".join(parts) + "\n"


def encoder_part(encoder, tiny=False):
    """Numbers to keep."""
    calibrations, judged = texts()
    if tiny:
        calibrations, judged = {name: some[:20] for name, some in calibrations.items()}, judged[:20]
    (name, own), *others = calibrations.items()
    runs = encoder_runs(encoder, own, judged, *(((4,), ("round", FREE)) if tiny else ()))
    elsewhere = {other: encoder_runs(encoder, some, judged, (OTHER_BITS,), ELSEWHERE[:1] if tiny else ELSEWHERE) for other, some in others}
    counts = {of: [len(some), sum(map(len, encoder.tokens(some)))] for of, some in calibrations.items()}
    return {
        "calibration": name,
        "calibrations": counts,
        "judged": f"{len(judged)} sentences of the end of prose",
        "layer_bytes": sum(encoder.parameters[matrix].nbytes for matrix in encoder.matrices),
        "runs": runs,
        "elsewhere": elsewhere,
    }


def costs_part(encoder, tiny=False):
    """Numbers to keep."""
    calibrations, _ = texts()
    inputs = []
    encoder.run_with_hook(next(iter(calibrations.values())), lambda matrix, x: inputs.append(x) if matrix == LOCATED else None)
    inputs, weights = np.concatenate(inputs), encoder.parameters[LOCATED].T
    found = reduction_costs(weights, input_hessian(inputs), input_hessian(inputs, 0), *(((8,), 2) if tiny else ()))
    return found | {"matrix": LOCATED, "columns": weights.shape[1]}


def with_conditions(part, *arguments):
    """What a part measures, with what it was measured on and how long it took."""
    started = time.monotonic()
    numbers = part(*arguments)
    minutes = f"It took {(time.monotonic() - started) / 60:.1f} minutes."
    return numbers | {"conditions": " ".join([describe_machine(), describe_settings(os.environ), minutes])}


def main(arguments=None):
    """Measure everything, or one part and keep the others as they are stored, and write page and numbers."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tiny", action="store_true", help="try the whole path; write nothing")
    parser.add_argument("--only", choices=PARTS, help="measure this part anew and keep the others")
    options = parser.parse_args(arguments)
    tiny, only = options.tiny, options.only
    numbers = {"command": COMMAND, "model": MODEL, "training": TRAINING, "bits": BITS, "variants": VARIANTS, "block": LLL_BLOCK}
    stored = json.loads(RESULTS.read_text(encoding="utf-8")) if only else {}
    numbers |= {part: stored[part] for part in PARTS if part in stored and part != only}
    if only in (None, "small"):
        numbers["small"] = with_conditions(small_model, *((SEEDS[:2], 1, (4,)) if tiny else (SEEDS, EPOCHS)))
    if only != "small":
        try:
            encoder = load_encoder()
        except FileNotFoundError as error:
            if not tiny:
                raise SystemExit(str(error)) from None
            say(str(error))
        else:
            measured = {"encoder": encoder_part, "costs": costs_part}
            numbers |= {name: with_conditions(part, encoder, tiny) for name, part in measured.items() if only in (None, name)}
    text = page(numbers)
    say(text)
    if tiny:
        return
    write_atomically(PAGE, text.encode("utf-8"))
    write_atomically(RESULTS, (json.dumps(numbers, indent=1) + "\n").encode("utf-8"))
    say(f"Written to evidence/pages/{PAGE.name} and evidence/measured/{RESULTS.name}.")


if __name__ == "__main__":
    main()
