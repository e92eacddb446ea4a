"""What few bits cost the chat model: `python -m benchmarks.chat_quantization`.

The seven matrices of all 30 layers at 4 and 3 bits, by rounding, by GPTQ and by Babai's nearest plane on a reduced basis; judged
on the ends of two texts, of which the calibration saw none. One thread, half an hour beside busy programs, 1 GB. Writes
CHAT_QUANTIZATION.md and evidence/measured/chat_quantization.json. Finished variants are kept in .cache/chat_quantization: stop it
as you like, it goes on with the one that was under way. `--tiny` tries the path on two layers and writes nothing.
"""

import argparse
import functools
import json
import math
import os
import resource
import sys
import time
from pathlib import Path

import numpy as np
import psutil

from benchmarks import held_out
from benchmarks.run import describe_machine, describe_settings, say, table
from cllm_lib.experiments.intervals import interval, paired_difference
from cllm_lib.files import shipped, write_atomically
from cllm_lib.model.layers import cross_entropy_forward, linear_forward, rms_norm_forward
from cllm_lib.pretrained.chat import load_chat_model
from cllm_lib.pretrained.decoder_backward import adapted_layer_forward, layer_inputs
from cllm_lib.quantization.decoders import SHARED, quantize_layer, quantized_decoder
from cllm_lib.quantization.matrices import babai_quantize, gptq, input_hessian
from cllm_lib.text.corpora import read_text

COMMAND = "OPENBLAS_NUM_THREADS=1 python -m benchmarks.chat_quantization"
PAGE = shipped("evidence", "pages/CHAT_QUANTIZATION.md")
RESULTS = shipped("evidence", "measured/chat_quantization.json")
CACHE = Path(__file__).resolve().parent.parent / ".cache" / "chat_quantization"

FULL = "as in the file"
LLL_BLOCK = 16
GROUP = 32
VARIANTS = {  # method and bits; and how many weights share a scale, where it is not the whole row
    FULL: None,
    **{f"{method}, {bits} bits": (method, bits) for method in ("round", "gptq, act-order", "lll + babai") for bits in (4, 3)},
    **{f"{method}, 3 bits, groups": (method, 3, GROUP) for method in ("round", "gptq, act-order")},
}
PAIRS = (("gptq, act-order", "round"), ("lll + babai", "gptq, act-order"))
CALIBRATION = ("prose", "documents")  # the beginnings of both
JUDGED = ("prose", "python-docs")  # the ends of both
PIECES = 3  # of each text to calibrate on
JUDGES = 4  # of each text to judge on
DOCUMENTS = tuple(f"documents/00{i}.txt" for i in range(5))


def text_of(name):
    """A text by its name; "documents" are those that the book is about, one behind the other."""
    if name == "documents":
        return "\n".join(shipped("evidence", path).read_text(encoding="utf-8") for path in DOCUMENTS)
    return read_text(name)


def ids_of(model, calibrating=PIECES, judging=JUDGES, length=held_out.LENGTH):
    """Pieces to calibrate on, all texts together, and pieces to judge on, by text.

    Returns
    -------
    calibration : ndarray of int64, shape (2 * calibrating, length)
    judged : dict of str to ndarray, shape (judging, length)
    """
    calibration = [held_out.pieces(model, text_of(name), calibrating, length) for name in CALIBRATION]
    judged = {name: held_out.pieces(model, text_of(name), judging, length, end=True) for name in JUDGED}
    return np.concatenate(calibration), judged


def hidden_losses(x, parameters, config, rows):  # (B, T, D) -> B
    """Mean loss of each piece, in nats a token, from what the last layer made of it."""
    found = []
    for states, ids in zip(x, rows, strict=True):
        normed, _ = rms_norm_forward(states[:-1], **parameters["final_norm"], eps=config.eps)
        logits, _ = linear_forward(normed, parameters["output_weight"])
        found.append(round(cross_entropy_forward(logits, ids[1:])[0], 5))
    return found


def judge(model, calibration, judged, settings, report=None):
    """Quantise a decoder by one variant while the texts go through it: losses of each piece, errors of each layer.

    Parameters
    ----------
    model : ChatModel
    calibration : ndarray of int, shape (B, T)
    judged : dict of str to ndarray of int, shape (B, T)
    settings : tuple or None
        Method, bits, and a group size where there is one; None for the model as it is.
    report : callable, optional
        Called after each layer with its number, from 1.

    Returns
    -------
    dict
    """
    parameters, config = model.parameters, model.config
    xs = {name: parameters["embedding"][ids] for name, ids in judged.items()}
    found = {"layer_errors": [], "stored_bits": None}
    for i, layer in enumerate(parameters["layers"] if settings is None else layers_of(model, calibration, settings)):
        if settings is not None:
            found["layer_errors"].append({name: float(f"{error:.4g}") for name, error in layer.errors.items()})
            found["stored_bits"] = max(found["stored_bits"] or 0, layer.bits)
            layer = layer.parameters
        xs = {name: adapted_layer_forward(x, layer, config)[0] for name, x in xs.items()}
        if report is not None:
            report(i + 1)
    return found | {"losses": {name: hidden_losses(x, parameters, config, judged[name]) for name, x in xs.items()}}


def layers_of(model, calibration, settings):
    """The quantised layers, one after the other."""
    method, *numbers = settings
    if method == "round":  # it looks at no text
        return (quantize_layer(layer, None, method, *numbers) for layer in model.parameters["layers"])
    x = model.parameters["embedding"][calibration]
    return quantized_decoder(model.parameters, model.config, x, method, *numbers, lll_block=LLL_BLOCK)


@functools.cache
def loaded():
    """The chat model, with the texts."""
    model = load_chat_model()
    return model, *ids_of(model)


def measure(variant, cache=CACHE):
    """One variant, or what is kept of it: layers, texts and settings are those of this module; for others empty the folder."""
    path = cache / f"{variant}.json"
    settings = [VARIANTS[variant], LLL_BLOCK, PIECES, JUDGES, held_out.LENGTH, CALIBRATION, JUDGED]
    if path.exists():
        kept = json.loads(path.read_text(encoding="utf-8"))
        if kept.pop("settings") == json.loads(json.dumps(settings)):
            return kept
    started, (model, calibration, judged) = time.monotonic(), loaded()

    def step(done):
        say(f"\r{variant}: layer {done} of {model.config.n_layers} ", end="" if done < model.config.n_layers else "\n")

    found = judge(model, calibration, judged, VARIANTS[variant], step) | {"seconds": round(time.monotonic() - started, 1)}
    cache.mkdir(parents=True, exist_ok=True)
    write_atomically(path, json.dumps(found | {"settings": settings}).encode("utf-8"))
    return found


def same_integers(model, calibration, bits=3):
    """How many integers of four of the first layer's matrices GPTQ and nearest plane, unreduced and not clipped, give otherwise."""
    layer = model.parameters["layers"][0]
    _, cache = adapted_layer_forward(model.parameters["embedding"][calibration], layer, model.config)
    inputs, differ, size = layer_inputs(cache), 0, 0
    for names in SHARED:
        part, _, matrix = names[0].partition(".")
        weights, hessian = layer[part][matrix].T, input_hessian(inputs[names[0]])
        one, other = (found(weights, hessian, bits, clip=False).integers for found in (gptq, babai_quantize))
        differ, size = differ + int((one != other).sum()), size + one.size
    return {"matrices": [names[0] for names in SHARED], "integers": size, "different": differ}


def in_its_own_blocks(model):
    """The share of weights that come back when every block of 32 is rounded anew to 16 steps from its least weight to its largest."""
    back = size = 0
    for layer in model.parameters["layers"]:
        for names in SHARED:
            for name in names:
                part, _, matrix = name.partition(".")
                blocks = np.ascontiguousarray(layer[part][matrix].T).reshape(-1, 32).astype(np.float64)
                least = blocks.min(axis=1, keepdims=True)
                step = np.maximum((blocks.max(axis=1, keepdims=True) - least) / 15, np.finfo(np.float64).tiny)
                again = least + np.rint((blocks - least) / step) * step
                back, size = back + int((np.abs(again - blocks) < 0.01 * step).sum()), size + blocks.size
    return back / size


def bits_a_weight(config, bits, group_size=None):
    """With a scale of 16 bits for each row, or each group of a row: the mean over a layer's weights."""
    narrow = config.d_model // config.n_heads * config.n_kv_heads
    matrices = [(config.d_model, config.d_model)] * 2 + [(narrow, config.d_model)] * 2
    matrices += [(config.d_ff, config.d_model)] * 2 + [(config.d_model, config.d_ff)]
    return bits + 16 * sum(n * m // (group_size or m) for n, m in matrices) / sum(n * m for n, m in matrices)


def collected(results, model, judged):
    """Runs as they are stored."""
    runs = []
    for name, settings in VARIANTS.items():
        method, bits, group_size = (*(settings or (FULL, None)), None)[:3]
        one = {"name": name, "method": method, "bits": bits, "group_size": group_size} | results[name]
        one["bits_a_weight"] = round(bits_a_weight(model.config, one["stored_bits"], group_size), 3) if settings else 5.0
        runs.append(one)
    texts = [
        {"name": name, "tokens": int(rows.size - len(rows)), "bytes": held_out.n_bytes(model, rows), "pieces": len(rows)}
        for name, rows in judged.items()
    ]
    return {"texts": texts, "runs": runs}


def of(found, name):
    """The stored run of a variant."""
    return next(one for one in found["runs"] if one["name"] == name)


def perplexity(nats):
    """Of mean losses of pieces, with a 95 % interval that is Student's on the losses."""
    mean = interval(nats)
    return f"{math.exp(mean.mean):.1f} ({math.exp(mean.low):.1f} to {math.exp(mean.high):.1f})"


def rows_of(found):
    """Rows for the page: every variant."""
    rows, full = [], found["runs"][0]
    for one in found["runs"]:
        cells = [one["name"], f"{one['bits_a_weight']:.2f}"]
        for text in found["texts"]:
            nats = one["losses"][text["name"]]
            bits = np.sum(nats) * text["tokens"] / text["pieces"] / math.log(2.0) / text["bytes"]
            more = "" if one is full else f"{paired_difference(nats, full['losses'][text['name']]):.3f}"
            cells += [perplexity(nats), f"{bits:.3f}", more]
        errors = [error for layer in one["layer_errors"] for error in layer.values()]
        rows.append([*cells, f"{np.mean(errors):.4f}" if errors else ""])
    return rows


def pair_rows(found):
    """Rows for the page: differences between methods, piece by piece, with a verdict that follows from the interval."""
    rows = []
    names = [[f"{name}, {bits} bits" for name in pair] for bits in (4, 3) for pair in PAIRS]
    for ours, others in [*names, ["gptq, act-order, 3 bits, groups", "round, 3 bits, groups"]]:
        cells = []
        for text in found["texts"]:
            less = paired_difference(*(of(found, name)["losses"][text["name"]] for name in (ours, others)))
            cells += [f"{less:.3f}", verdict(less)]
        rows.append([ours, others, *cells])
    return rows


def lessons(found):
    """What the numbers say, in words; a verdict is that of the interval."""
    names = [text["name"] for text in found["texts"]]

    def costs(name):
        """Nats a token more than as in the file, text by text."""
        more = [np.mean(of(found, name)["losses"][text]) - np.mean(of(found, FULL)["losses"][text]) for text in names]
        return " and ".join(f"{value:.2f}" for value in more)

    def against(ours, others):
        """Verdicts text by text."""
        found_by = {text: verdict(paired_difference(*(of(found, name)["losses"][text] for name in (ours, others)))) for text in names}
        return ", ".join(f"{said} on {text}" for text, said in found_by.items())

    texts = " and ".join(names)
    said = [
        f"At 4 bits, one scale a row, rounding costs {costs('round, 4 bits')} nats a token ({texts}), GPTQ "
        f"{costs('gptq, act-order, 4 bits')}: against rounding it is {against('gptq, act-order, 4 bits', 'round, 4 bits')}.",
        f"A reduced basis costs {costs('lll + babai, 4 bits')}: against GPTQ {against('lll + babai, 4 bits', 'gptq, act-order, 4 bits')}.",
        f"At 3 bits, one scale a row, rounding costs {costs('round, 3 bits')}, GPTQ {costs('gptq, act-order, 3 bits')}, the reduced basis "
        f"{costs('lll + babai, 3 bits')}. "
        + (
            "Whichever way, no model is left that foretells text, and who is less wrong among them means little: the largest of 576 or "
            "1,536 weights sets the step for all, and seven steps are too few."
            if min(np.mean(one["losses"][text]) for one in found["runs"] if one["name"].endswith("3 bits") for text in names) > 7.0
            else ""
        ),
        f"In groups of {GROUP} weights 3 bits, 3.5 with the scales, cost {costs('round, 3 bits, groups')} by rounding and "
        f"{costs('gptq, act-order, 3 bits, groups')} by GPTQ: against rounding "
        f"{against('gptq, act-order, 3 bits, groups', 'round, 3 bits, groups')}.",
        "Not shown: another model or another size (this one is small, and its weights were rounded once before), a long calibration (this "
        f"one has {found['calibration']['tokens']:,} tokens for matrices of up to 1,536 inputs), other texts.",
    ]
    return "\n".join(f"- {one}" for one in said)


def verdict(difference):
    """In words."""
    if not difference.clear_of_zero:
        return "undecided"
    return "better" if difference.mean < 0 else "worse"


def page(found):
    """The whole of CHAT_QUANTIZATION.md, from what is kept."""
    texts = found["texts"]
    header = ["variant", "bits a weight"]
    for text in texts:
        header += [f"{text['name']}: perplexity a token", "bits a byte", "nats more than as in the file"]
    same, counts = found["same_integers"], found["calibration"]
    judged = " and ".join(f"{text['tokens']:,} tokens of the end of {text['name']}" for text in texts)
    parts = [
        "# The chat model in few bits",
        f"Written by `{COMMAND}`, with every number in evidence/measured/{RESULTS.name}.",
        "SmolLM2-135M-Instruct; the seven matrices of all 30 layers. The embedding, which is the output matrix too, and the norms stay. "
        "Layer by layer: each is calibrated on what the layers below it, already quantised, make of the calibration's text, and all its "
        "matrices on what they are given in the layer as it was (Frantar et al. 2023). "
        f"Calibrated on the beginnings of {' and '.join(counts['texts'])}, {counts['tokens']:,} tokens; judged on {judged}, in pieces of "
        f"{held_out.LENGTH} tokens that are read on their own. Prose was written for this workbook, so the model has never seen it; the "
        "documents of Python it may have. Nothing of the judged passages calibrates, but the calibration has prose of the same author, "
        "and nothing of Python's.",
        "**The weights are on a grid of 4 bits already.** In the file every block of 32 weights has a scale and an offset of 16 bits, and "
        "whole numbers from 0 to 15: 5 bits a weight. Rounded to 4 bits in the same blocks they come back: "
        f"{100 * found['in_its_own_blocks']:.2f} % of the weights, to a hundredth of a step; that would show nothing. So here every output "
        "row of a matrix has one scale, its largest weight over the largest integer, and no offset, as in chapter 17: 576 or 1,536 "
        f"weights share it, and the file's grid helps nobody. In groups {GROUP} weights share a scale, still without an offset, nearer to "
        "what is done in practice; then the rows have no lattice in common, and reduction has no place.",
        f"GPTQ takes the columns in act-order; LLL + Babai is nearest plane on blocks of {LLL_BLOCK} of them, reduced, in the same order. "
        "Both keep their integers in their bits. Unreduced and not clipped, nearest plane is GPTQ: "
        f"{same['different']:,} of {same['integers']:,} integers of four matrices of the first layer differ. So Babai has no row of its "
        "own without reduction.",
        "95 % intervals over the pieces; pieces of one text are neighbours, and another text would move the numbers by more than "
        f"the intervals say. Layer error: squared error of the outputs over their own square, mean over all layers; of the "
        f"methods that look at a text. {found['conditions']}",
        "\n".join(table([*header, "layer error"], rows_of(found))),
        lessons(found),
        "Differences between methods, in nats a token, piece by piece; below 0 the first is better. The verdict is that of the interval of "
        "this one question; it is undecided where the interval holds 0.",
        "\n".join(table(["variant", "minus", *(cell for text in texts for cell in (text["name"], ""))], pair_rows(found))),
    ]
    return "\n\n".join(parts) + "\n"


def main(arguments=None):
    """Measure all variants, print, and write page and numbers."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tiny", action="store_true", help="two layers, small pieces; print the page, write nothing")
    tiny = parser.parse_args(arguments).tiny
    started, busy = time.monotonic(), psutil.cpu_percent(interval=0.1 if tiny else 3)
    if tiny:
        model = load_chat_model()
        model.parameters = model.parameters | {"layers": model.parameters["layers"][:2]}
        calibration, judged = ids_of(model, 2, 3, 64)
        results = {name: judge(model, calibration, judged, settings) for name, settings in VARIANTS.items()}
    else:
        results = {name: measure(name) for name in VARIANTS}
        model, calibration, judged = loaded()
    found = {"command": COMMAND, "calibration": {"texts": CALIBRATION, "tokens": calibration.size}} | collected(results, model, judged)
    found |= {"same_integers": same_integers(model, calibration), "in_its_own_blocks": in_its_own_blocks(model)}
    seconds = sum(one.get("seconds", 0.0) for one in found["runs"]) or time.monotonic() - started
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1e9 if sys.platform == "darwin" else 1e6)
    taken = f"The variants took {seconds / 60:.0f} minutes together, and {memory:.1f} GB at most."
    taken += f" Before the run other programs kept the processors {busy:.0f} % busy."
    found["conditions"] = " ".join([describe_machine(), describe_settings(os.environ), taken])
    written = page(found)
    say(written)
    if tiny:
        return
    write_atomically(RESULTS, (json.dumps(found, indent=1) + "\n").encode("utf-8"))
    write_atomically(PAGE, written.encode("utf-8"))


if __name__ == "__main__":
    main()
