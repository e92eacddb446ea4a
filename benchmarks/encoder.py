"""The real model on our functions beside PyTorch: `python -m benchmarks.encoder`.

Writes ENCODER.md and evidence/measured/encoder.json in two minutes. Both start from the same token ids and end with rows of length 1;
PyTorch is eager, in the form in which transformers runs such a model. `--tiny` tries the whole path and writes nothing.
"""

import argparse
import json
import os

import numpy as np
import psutil

from benchmarks.compare import Missing, Worker, alternate, ratio
from benchmarks.lattice import Call
from benchmarks.run import describe_machine, describe_settings, say, table, two_digits
from cllm_lib.files import shipped, write_atomically

COMMAND = "python -m benchmarks.encoder"
PAGE = shipped("evidence", "pages/ENCODER.md")
RESULTS = shipped("evidence", "measured/encoder.json")
OURS, PEER = "ours", "PyTorch"
SIZES = [(threads, batch, tokens) for threads in (1, 2) for batch in (1, 32) for tokens in (16, 128)]
SENTENCES_A_TURN = 64  # so that a turn of the small sizes is no blink
ROUNDS = 12
TARGET = 1.5
ALLOWED = 1e-5


def sentences(batch, tokens):
    """Random words, the same for both: rows of ids, a mark at each end."""
    ids = np.random.default_rng(0).integers(1_000, 30_000, (batch, tokens))
    ids[:, 0], ids[:, -1] = 101, 102
    return ids


def ours(batch, tokens):
    """Our functions."""
    from cllm_lib.pretrained.folders import load_encoder

    encoder, ids = load_encoder(), list(sentences(batch, tokens))
    return Call(lambda: encoder.embed_tokens(ids))


def pytorch(batch, tokens):
    """BertModel, the mean over the tokens, length 1."""
    import torch
    from transformers import BertModel, logging

    from cllm_lib.pretrained.folders import installed_folder

    logging.set_verbosity_error()
    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    model, ids = BertModel.from_pretrained(installed_folder()).eval(), torch.from_numpy(sentences(batch, tokens))

    def call():
        with torch.inference_mode():
            hidden = model(input_ids=ids, attention_mask=torch.ones_like(ids)).last_hidden_state
            return torch.nn.functional.normalize(hidden.mean(dim=1), dim=1).numpy()

    return Call(call)


def measure(threads, batch, tokens, rounds=ROUNDS):
    """The times of both, in pairs; Missing where PyTorch or transformers is."""
    for library in ("OPENBLAS", "OMP", "MKL"):
        os.environ[f"{library}_NUM_THREADS"] = str(threads)  # the workers inherit them
    workers = {OURS: Worker(ours, batch, tokens), PEER: Worker(pytorch, batch, tokens)}
    try:
        if not any(worker.missing for worker in workers.values()):
            check(*(worker.call("answer") for worker in workers.values()))
        times = alternate(workers, rounds, steps=max(2, SENTENCES_A_TURN * 16 // (batch * tokens)))
    finally:
        for worker in workers.values():
            worker.close()
    return ratio(times[OURS], times[PEER])


def check(rows, others):
    """Stop if the two do not compute the same."""
    apart = float(np.abs(rows - others).max())
    if not apart <= ALLOWED:
        raise SystemExit(f"the two differ by {apart:.1e}: nothing to compare")


def row(threads, batch, tokens, result):
    """One line of the table."""
    if isinstance(result, Missing):
        return [str(threads), str(batch), str(tokens), "", "", result.reason, "", "", ""]
    each = [f"{1e3 * seconds / batch:.2f}" for seconds in (result.ours, result.peer)]
    spread = f"{two_digits(result.low)} to {two_digits(result.high)}"
    reached = "reached" if result.value <= TARGET else "not reached"
    return [str(threads), str(batch), str(tokens), *each, two_digits(result.value), spread, str(TARGET), reached]


def page(conditions, rows):
    """The whole of ENCODER.md."""
    how = (
        f"Written by `{COMMAND}`. all-MiniLM-L6-v2 in float32; both start from the same token ids and end with the same rows, to "
        f"{ALLOWED:g}. PyTorch is eager, as transformers runs the model. Each contestant runs in a process of its own; they take turns, "
        "and a ratio is the median over the rounds, with its quartiles."
    )
    header = ["threads", "sentences at once", "tokens each", "ours, ms a sentence", "PyTorch, ms", "ratio", "quartiles", "to reach", ""]
    return "\n\n".join(["# A real model side by side", how, *conditions, "\n".join(table(header, rows))]) + "\n"


def main(arguments=None):
    """Measure, print, and write page and numbers."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tiny", action="store_true", help="two rounds of the smallest size; print the page, write nothing")
    options = parser.parse_args(arguments)
    conditions = [describe_machine(), describe_settings({name: value for name, value in os.environ.items() if "THREADS" not in name})]
    conditions.append(f"Before the run other programs kept the processors {psutil.cpu_percent(interval=3):.0f} % busy.")
    found = {}
    for size in SIZES[:1] if options.tiny else SIZES:
        say(f"threads, sentences, tokens: {size}")
        found[size] = measure(*size, rounds=2 if options.tiny else ROUNDS)
    written = page(conditions, [row(*size, result) for size, result in found.items()])
    say(written)
    if options.tiny or any(isinstance(result, Missing) for result in found.values()):
        return
    numbers = [dict(zip(("threads", "batch", "tokens"), size, strict=True)) | vars(result) for size, result in found.items()]
    content = {"command": COMMAND, "machine": conditions[0], "busy": conditions[2], "rounds": ROUNDS, "to_reach": TARGET, "rows": numbers}
    write_atomically(RESULTS, (json.dumps(content, indent=1) + "\n").encode("utf-8"))
    write_atomically(PAGE, written.encode("utf-8"))


if __name__ == "__main__":
    from benchmarks import encoder  # under this name the other processes find its functions

    encoder.main()
