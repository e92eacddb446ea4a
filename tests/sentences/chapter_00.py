"""Rules of the first chapter."""

import numpy as np
from sentences.trials import fallen, rule  # noqa: F401

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
