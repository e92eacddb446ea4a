"""What few bits cost models that know a text by heart: `python -m benchmarks.by_heart`.

The model of chapter 09, with ten seeds: trained on the sayings, quantised by every method, and asked for the same text again.
In float64, so the numbers are the same on every processor. Two minutes; writes evidence/measured/by_heart.json. What few
bits cost on a text that was held out, and a large model, is in `benchmarks/quantization.py`.
"""

import json

from benchmarks.run import describe_machine, say
from cllm_lib import CLLM, CLLMConfig, Trainer, load_corpus
from cllm_lib.files import shipped, write_atomically
from cllm_lib.quantization.matrices import layer_error
from cllm_lib.quantization.models import METHODS, layer_hessians, quantize
from cllm_lib.text.corpora import windows

COMMAND = "python -m benchmarks.by_heart"
TEXT = "sayings"
MODEL = dict(d_model=32, n_layers=2, n_heads=4, d_ff=128, seq_len=16, positions="learned")
TRAINING = dict(learning_rate=3e-3, batch_size=16)
EPOCHS = 60
SEEDS = tuple(range(10))
BITS = (8, 4, 3, 2)
FREE = "lll + babai, not clipped"
VARIANTS = (*METHODS, FREE)


def measure(seed, epochs=EPOCHS, all_bits=BITS):
    """One seed: losses in nats of the full model and of each method at each width.

    Returns
    -------
    dict
        "full" is a loss; "runs" has method, bits, loss, the bits that the widest integer takes ("widest"), and the error of all
        layers' outputs as a share of that of rounding ("share").
    """
    corpus = load_corpus(TEXT)
    model = CLLM(CLLMConfig(len(corpus.vocabulary), **MODEL), seed=seed)
    Trainer(model, corpus, **TRAINING, seed=seed).fit(epochs=epochs)
    tokens, targets = windows(corpus.tokens, MODEL["seq_len"])
    moments = layer_hessians(model, tokens, damping=0)
    runs, rounding = [], {}
    for variant in VARIANTS:
        method = "lll + babai" if variant == FREE else variant
        for bits in all_bits:
            small = quantize(model, tokens, method, bits, clip=variant != FREE)
            errors = {
                name: layer_error(model.parameters[name].T, small.model.parameters[name].T, hessian) for name, hessian in moments.items()
            }
            rounding.setdefault(bits, errors)  # the first method
            shares = [errors[name] / rounding[bits][name] for name in errors]
            widest = max(matrix.bits for matrix in small.matrices.values())
            loss = float(small.model.loss(tokens, targets))
            runs.append({"method": variant, "bits": bits, "loss": loss, "widest": widest, "share": sum(shares) / len(shares)})
    return {"full": float(model.loss(tokens, targets)), "runs": runs}


def numbers(seeds=SEEDS, epochs=EPOCHS, all_bits=BITS):
    """Everything that is kept."""
    about = {"command": COMMAND, "machine": describe_machine(), "text": TEXT, "model": MODEL, "training": TRAINING, "epochs": epochs}
    return about | {"seeds": [measure(seed, epochs, all_bits) for seed in seeds]}


def main():
    """Measure and write it down."""
    found = numbers()
    write_atomically(shipped("evidence", "measured/by_heart.json"), (json.dumps(found, indent=1) + "\n").encode("utf-8"))
    say(f"Written to evidence/measured/by_heart.json: {len(found['seeds'])} seeds.")


if __name__ == "__main__":
    main()
