"""Rules of the first chapter."""

import numpy as np
from sentences.trials import rule

from cllm_lib import CLLM, CLLMConfig, Trainer, load_corpus
from cllm_lib.model import generate
from cllm_lib.text import windows


def first_model(seed):
    """Losses, and what the model says before its training and after."""
    corpus = load_corpus("sayings")
    config = CLLMConfig(vocab_size=len(corpus.vocabulary), d_model=64, n_layers=2, n_heads=4, d_ff=256)
    model = CLLM(config, seed=seed)
    batch = windows(corpus.tokens, seq_len=32)

    def speak(question):
        tokens = corpus.encode(question)
        return corpus.decode(generate(model, tokens, max_new_tokens=10, temperature=0)[len(tokens) :])

    before, loss_before = speak("why is the sky blue"), float(model.loss(*batch))
    history = Trainer(model, corpus, learning_rate=2e-3, batch_size=4, seed=seed).fit(epochs=60)
    questions = ("why is the sky blue", "where do the bees live", "what saves nine")
    return {
        "before": before,
        "loss before": loss_before,
        "losses": history.epoch_losses,
        "loss after": float(model.loss(*batch)),
        "after": [speak(question) for question in questions],
        "unigram entropy": corpus.unigram_entropy(32),
    }


@rule("with other seeds, too, it repeats the last word it read", of=first_model)
def it_repeats_the_last_word(found):
    return found["before"].split() == ["blue"] * 10


@rule("with other seeds 1 in 280 to 295", of=first_model)
def it_knows_nothing(found):
    return 280 <= round(np.exp(found["loss before"])) <= 295


@rule("The loss starts just below the first dashed line, falls through the second within a few epochs, and nears 0.", of=first_model)
def it_falls_through_the_second_line(found):
    losses = found["losses"]
    return np.log(280) - 0.3 < losses[0] < np.log(280) and losses[3] < found["unigram entropy"] < losses[0] and losses[-1] < 0.3


@rule("With other seeds the one on the sky mostly comes word for word, too, and the stitch with none.", of=first_model, together=True)
def the_sky_comes_and_the_stitch_does_not(those):
    sky, _, stitch = zip(*(found["after"] for found in those), strict=True)
    right = sum(said == "the sky is blue because the air scatters blue light" for said in sky)
    return right > len(those) / 2 and not any("stitch" in said for said in stitch)


@rule("It has learnt a text nearly by heart, whatever the seed", of=first_model)
def it_knows_its_text(found):
    return found["loss after"] < 0.25
