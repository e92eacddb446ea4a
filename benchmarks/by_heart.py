"""What few bits cost models that know a text by heart: `python -m benchmarks.by_heart`.

The model of chapter 17, with ten seeds: trained on the sayings, quantised by every method, and asked for the same text again;
then with fifteen seeds more, to ask once more what ten only hinted at. In float64, so the numbers are the same on every
processor; files are in float32. Ten minutes; writes evidence/measured/by_heart.json. What few bits cost on a text that was
held out, and a large model, is in `benchmarks/quantization.py`.
"""

import json
import tempfile
from pathlib import Path

import numpy as np

from benchmarks.run import describe_machine, say
from cllm_lib import CLLM, CLLMConfig, Trainer, load_corpus
from cllm_lib.files import shipped, write_atomically
from cllm_lib.model.generation import generate
from cllm_lib.quantization.matrices import layer_error
from cllm_lib.quantization.models import METHODS, layer_hessians, quantize, save_quantized
from cllm_lib.text.corpora import windows

COMMAND = "python -m benchmarks.by_heart"
TEXT = "sayings"
MODEL = dict(d_model=32, n_layers=2, n_heads=4, d_ff=128, seq_len=16, positions="learned")
TRAINING = dict(learning_rate=3e-3, batch_size=16)
EPOCHS = 60
SEEDS, AGAIN = tuple(range(10)), tuple(range(10, 25))
BITS = (8, 4, 3, 2)
FREE = "lll + babai, not clipped"
VARIANTS = (*METHODS, FREE)
QUESTION, WORDS = "why is the sky", 10


def measure(seed, epochs=EPOCHS, all_bits=BITS):
    """One seed: losses in nats of the full model and of each method at each width.

    Returns
    -------
    dict
        "full" is a loss; "runs" has method, bits, loss, the bits that the widest integer takes ("widest"), the error of all
        layers' outputs as a share of that of rounding ("share"), whether the model answers `QUESTION` in the words of the full
        one ("same words"), and the length of its file ("bytes").
    """
    corpus = load_corpus(TEXT)
    model = CLLM(CLLMConfig(len(corpus.vocabulary), **MODEL), seed=seed)
    Trainer(model, corpus, **TRAINING, seed=seed).fit(epochs=epochs)
    tokens, targets = windows(corpus.tokens, MODEL["seq_len"])
    moments, said = layer_hessians(model, tokens, damping=0), _answer(model, corpus)
    runs, rounding = [], {}
    for variant in VARIANTS:
        method = "lll + babai" if variant == FREE else variant
        for bits in all_bits:
            settings = {"method": method, "bits": bits, "clip": variant != FREE}
            small = quantize(model, tokens, **settings)
            errors = {
                name: layer_error(model.parameters[name].T, small.model.parameters[name].T, hessian) for name, hessian in moments.items()
            }
            rounding.setdefault(bits, errors)  # the first method
            shares = [errors[name] / rounding[bits][name] for name in errors]
            found = {"method": variant, "bits": bits, "loss": float(small.model.loss(tokens, targets))}
            found |= {"widest": max(matrix.bits for matrix in small.matrices.values()), "share": sum(shares) / len(shares)}
            runs.append(
                found | {"same words": _answer(small.model, corpus) == said, "bytes": _file_length(model, corpus, tokens, settings)}
            )
    return {"full": float(model.loss(tokens, targets)), "runs": runs}


def _answer(model, corpus):
    return generate(model, corpus.encode(QUESTION), WORDS, temperature=0.01).tolist()


def _file_length(model, corpus, tokens, settings):
    """In bytes, of the model in float32, quantised and saved."""
    single = model.with_parameters(model.flat_parameters.astype(np.float32))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.safetensors"
        save_quantized(path, quantize(single, tokens, **settings, vocabulary=corpus.vocabulary))
        return path.stat().st_size


def numbers(seeds=SEEDS, again=AGAIN, epochs=EPOCHS, all_bits=BITS):
    """Everything that is kept."""
    about = {"command": COMMAND, "machine": describe_machine(), "text": TEXT, "model": MODEL, "training": TRAINING, "epochs": epochs}
    several = {"seeds": seeds, "again": again}
    return about | {name: [measure(seed, epochs, all_bits) for seed in some] for name, some in several.items()}


def main():
    """Measure and write it down."""
    found = numbers()
    write_atomically(shipped("evidence", "measured/by_heart.json"), (json.dumps(found, indent=1) + "\n").encode("utf-8"))
    say(f"Written to evidence/measured/by_heart.json: {len(found['seeds'])} and {len(found['again'])} seeds.")


if __name__ == "__main__":
    main()
