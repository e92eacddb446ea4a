"""The repair ladder at the program's full size: `python -m benchmarks.repair_ladder` writes evidence/pages/REPAIR_LADDER.md.

A row takes about a minute on two processors. Finished rows are kept beside the page until all are done, so an
interrupted run goes on where it stopped. `--tiny` tries the whole path in seconds and writes nothing.
"""

import argparse
import json
import time
from dataclasses import asdict, dataclass, replace

import numpy as np

from benchmarks.run import describe_machine, say, table
from cllm_lib import CLLMConfig, Trainer, defects, load_corpus
from cllm_lib.files import shipped, write_atomically
from cllm_lib.model.transformer import TokenEmbedding

PAGE = shipped("evidence", "pages/REPAIR_LADDER.md")
FULL = CLLMConfig(vocab_size=10_000, d_model=512, n_layers=6, n_heads=8, d_ff=2_048, seq_len=32, dtype="float32")
TINY = replace(FULL, d_model=16, n_layers=3, d_ff=16)
BATCH, EPOCHS, SHOWN, SEED = 4, 20, (1, 2, 5, 10, 20), 0

EXPONENTIAL, NORM, ATTENTION, FORWARD, RESIDUAL, ADAM, SECOND, WARM_UP = defects.REPAIRS
GRADIENTS = (EXPONENTIAL, NORM, ATTENTION)
ALL_RIGHT = (*GRADIENTS, FORWARD, RESIDUAL)


@dataclass(frozen=True)
class Rung:
    """One row of the table: what is repaired, and what else differs."""

    name: str
    repairs: tuple = ()
    rate: float = 1e-3
    n_layers: int | None = None
    start: str = "random"
    embedding: type | None = None


RUNGS = (
    Rung("nothing (all zero)", start="zero"),
    Rung("embeddings random, rest zero (d018b3c)", start="half"),
    Rung("all weights random (4d064f4): as coded"),
    Rung("+ true exponential", (EXPONENTIAL,)),
    Rung("+ LayerNorm backward and embedding gradient, outer product kept", (EXPONENTIAL, NORM)),
    Rung("of these two, LayerNorm backward alone", (EXPONENTIAL, NORM), embedding=defects.LostEmbeddingGradient),
    Rung("of these two, embedding gradient alone", (EXPONENTIAL,), embedding=TokenEmbedding),
    Rung("as coded, Adam in place of SGD", (ADAM,)),
    Rung("true exponential, true gradients of the forward pass as it is", GRADIENTS),
    Rung("the same", (*GRADIENTS, ADAM)),
    Rung("+ mask, stride, projection, output projection, residual: all right", ALL_RIGHT),
    Rung("all right", (*ALL_RIGHT, ADAM)),
    Rung("all right, a LayerNorm after attention too", (*ALL_RIGHT, SECOND, ADAM)),
    Rung("the same, warm-up over 100 steps", (*ALL_RIGHT, SECOND, ADAM, WARM_UP)),
    Rung("the same, rate 3e-4 and no warm-up", (*ALL_RIGHT, SECOND, ADAM), rate=3e-4),
    Rung("2 layers, rate 1e-3, no warm-up", (*ALL_RIGHT, SECOND, ADAM), n_layers=2),
)


def model_of(rung, config):
    """The patient that a row is about."""
    config = config if rung.n_layers is None else replace(config, n_layers=rung.n_layers)
    if rung.start == "half":
        return defects.half_repaired(config, SEED)
    model = defects.program(config, rung.repairs, SEED)
    if rung.embedding is not None:  # half of a repair
        model.embedding = rung.embedding()
    if rung.start == "zero":
        model.flat_parameters.fill(0.0)
    return model


def climb(rung, config, corpus, epochs, report):
    """Train one patient; returns its first batches' losses and every epoch's mean."""
    settings = defects.program_training(rung.repairs, rung.rate)
    trainer = Trainer(model_of(rung, config), corpus, batch_size=BATCH, seed=SEED, stop_when_not_finite=False, **settings)
    with np.errstate(all="ignore"):  # some rows blow up: that is their result
        for epoch in range(1, epochs + 1):
            history = trainer.fit(1)
            report(epoch, history.epoch_losses[-1])
            if not np.isfinite(history.epoch_losses[-1]):
                break
    return {"first": history.losses[:3], "epochs": history.epoch_losses}


def finished_rows(path, key):
    """What an interrupted run of the same settings has left, by the name of the row and its position."""
    if not path.exists():
        return {}
    kept = json.loads(path.read_text(encoding="utf-8"))
    return kept["rows"] if kept["key"] == key else {}


def measure(config, corpus, epochs, rungs=RUNGS, keep=None):
    """All rows, those already finished taken from `keep`, a file that grows with every row.

    Returns
    -------
    list of dict
        In the order of `rungs`.
    """
    key = json.loads(json.dumps({"config": asdict(config), "epochs": epochs, "corpus": corpus.tokens.tolist()}))
    rows = finished_rows(keep, key) if keep else {}
    for i, rung in enumerate(rungs, 1):
        label = f"{i}. {rung.name}, {optimizer_of(rung)}"
        if label not in rows:
            started = time.monotonic()
            rows[label] = climb(
                rung, config, corpus, epochs, lambda epoch, loss, label=label: say(f"\r{label}: epoch {epoch}, {loss:.2f}  ", "")
            )
            say(f"({time.monotonic() - started:.0f} s)")
            if keep:
                write_atomically(keep, json.dumps({"key": key, "rows": rows}).encode("utf-8"))
    return [rows[f"{i}. {rung.name}, {optimizer_of(rung)}"] for i, rung in enumerate(rungs, 1)]


def optimizer_of(rung):
    """As the table names it."""
    return "Adam" if ADAM in rung.repairs else "SGD"


def cells(rung, row, epochs):
    """One line of the table. A run that left the numbers shows its first batches instead."""
    losses = row["epochs"]
    if not np.isfinite(losses).all():
        first = ", ".join(f"{loss:.4f}" if np.isfinite(loss) else str(loss) for loss in row["first"])
        return [rung.name, optimizer_of(rung), f"first batches {first}", *("" for _ in epochs[1:])]
    return [
        rung.name,
        optimizer_of(rung),
        *(f"{losses[epoch - 1]:,.0f}" if losses[epoch - 1] > 100 else f"{losses[epoch - 1]:.2f}" for epoch in epochs),
    ]


def page(config, corpus, rows, epochs, minutes):
    """The whole of REPAIR_LADDER.md."""
    shown = [epoch for epoch in SHOWN if epoch <= epochs]
    lines = table(
        ["what is repaired", "optimiser", *map(str, shown)], [cells(rung, row, shown) for rung, row in zip(RUNGS, rows, strict=True)]
    )
    batches = corpus.batches_per_epoch(BATCH, config.seq_len)
    facts = (
        f"{config.n_layers} layers, {config.n_heads} heads, d = {config.d_model}, FF {config.d_ff:,}, V = {config.vocab_size:,}, "
        f"{config.dtype}; {batches} batches of {BATCH} x {config.seq_len} an epoch, on {corpus.name!r} with hashed ids; "
        f"rate 0.001 unless a row says otherwise; seed {SEED}. Mean loss of epochs {', '.join(map(str, shown))}, in nats."
    )
    levels = (
        f"Counted from the text: ln V {np.log(config.vocab_size):.2f}, unigram entropy {corpus.unigram_entropy(config.seq_len):.2f}, "
        f"bigram entropy {corpus.bigram_entropy(config.seq_len):.2f}."
    )
    how = "Written by `python -m benchmarks.repair_ladder`. Chapter 09 has the same ladder at a size that runs in a notebook."
    machine = f"{describe_machine()} The rows measured in the last sitting took {minutes:.0f} minutes."
    return "\n\n".join(["# The repair ladder at full size", how, facts, "\n".join(lines), levels, machine]) + "\n"


def main(arguments=None):
    """Measure every row, and write the page when all are there."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tiny", action="store_true", help="try everything at a tiny size, print the page, write nothing")
    tiny = parser.parse_args(arguments).tiny
    config, epochs = (TINY, 2) if tiny else (FULL, EPOCHS)
    corpus, started = defects.hashed_corpus(load_corpus("sayings"), config.vocab_size), time.monotonic()
    keep = None if tiny else PAGE.with_suffix(".part.json")
    rows = measure(config, corpus, epochs, keep=keep)
    text = page(config, corpus, rows, epochs, (time.monotonic() - started) / 60)
    if tiny:
        say(text)
        return
    write_atomically(PAGE, text.encode("utf-8"))
    keep.unlink(missing_ok=True)
    say(f"Written to evidence/pages/{PAGE.name}.")


if __name__ == "__main__":
    main()
