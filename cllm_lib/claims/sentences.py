"""What a trained model says: how varied it is, and whether it knows the sentence."""

import numpy as np

from cllm_lib.claims.judging import measured, verdict
from cllm_lib.claims.questions import above
from cllm_lib.claims.registry import experiment, values
from cllm_lib.claims.settings import BATCH, LENGTH, SEEDS
from cllm_lib.defects import SimplifiedAttention
from cllm_lib.model.attention import CausalSelfAttention
from cllm_lib.model.config import CLLMConfig
from cllm_lib.model.generation import distinct_n, generate
from cllm_lib.model.transformer import CLLM
from cllm_lib.text.corpora import load_corpus
from cllm_lib.training.trainer import Trainer

SENTENCE = "the sky is blue because of light scattering in the atmosphere"  # document 003
PROMPT, OWN_WORDS = "why is the sky blue the sky is blue because", "the air scatters blue light"  # as the workbook's text has it
ATTENTIONS = {"simplified": SimplifiedAttention, "real": CausalSelfAttention}
SPEAKING_EPOCHS, WORDS_SAID, PROMPTS = 60, 24, 20
VARIED = above("distinct triples, real minus simplified attention", 0.0, 0.05, "share")
SAID = above(  # a sentence said in fewer than one seed of ten is not learnt
    "the text's own sentence said with real attention, and not with simplified", 0.1, 0.0, "share of seeds", "yes or no"
)


@experiment(variants=ATTENTIONS, seeds=SEEDS, fast={"variants": ["real"], "seeds": [0]})
def sentences(variant, seed):
    """What a small model without positions says, always the likeliest word: how varied, and whether it knows the sentence."""
    corpus = load_corpus("sayings")
    config = CLLMConfig(len(corpus.vocabulary), d_model=64, n_layers=2, n_heads=4, d_ff=256, seq_len=LENGTH)
    model = CLLM(config, seed=seed, attention=ATTENTIONS[variant]())
    Trainer(model, corpus, learning_rate=3e-3, batch_size=BATCH, seed=seed).fit(epochs=SPEAKING_EPOCHS)

    def say(prompt, count):
        return generate(model, prompt, count, temperature=0)[len(prompt) :]

    starts = np.linspace(0, len(corpus.tokens) - 2, PROMPTS).astype(np.int64)
    varied = np.mean([distinct_n(say(corpus.tokens[start : start + 2], WORDS_SAID), 3) for start in starts])
    wanted = corpus.encode(OWN_WORDS)
    return {"distinct triples": float(varied), "sentence": float(np.array_equal(say(corpus.encode(PROMPT), len(wanted)), wanted))}


@measured(
    "18",
    "Generation quality: Repetitive → Varied output",
    "000",
    about="after the fix of attention; 001 and 002 expect it too",
    section="Expected Results",
    experiment=(
        f"Distinct triples of {WORDS_SAID} words after {PROMPTS} prompts, real against simplified attention; a small sound model else, "
        f"{SPEAKING_EPOCHS} epochs by Adam, always the likeliest word."
    ),
    change_our_mind="A text or a way to choose words where simplified attention repeats itself no more than real attention.",
    asks=[VARIED],
)
def varied_output():
    """Real minus simplified, paired by seed."""
    said = {variant: values("sentences", variant, "distinct triples") for variant in ATTENTIONS}
    one = VARIED(said["real"] - said["simplified"])
    found = (
        f"of all triples {said['simplified'].mean():.2f} are distinct with simplified attention, {said['real'].mean():.2f} with real "
        f"attention; difference {one:.2f}"
    )
    return found, verdict(one.answer), [one]


@measured(
    "18",
    f'Before: "is the blue is the blue is the blue" ... After: "{SENTENCE}"',
    "003",
    about="what will be generated",
    section="Generation Quality",
    experiment=f'What follows "{PROMPT}" after {SPEAKING_EPOCHS} epochs by Adam on a text of as many words, always the likeliest word.',
    change_our_mind="A text without the sentence from which a model of this size learns to say it.",
    asks=[SAID],
)
def after_the_fix():
    """Whether the sentence can be said at all, and what is said in its place."""
    words = load_corpus("sayings").vocabulary
    unknown = [word for word in SENTENCE.split() if word not in words]
    said = {variant: values("sentences", variant, "sentence") for variant in ATTENTIONS}
    one = SAID(said["real"] > said["simplified"])
    found = (
        f"{len(unknown)} of its words ({', '.join(unknown)}) do not occur in the text and cannot be said; where the text goes on with "
        f'"{OWN_WORDS}", so does the model in {said["real"].sum():.0f} of {len(said["real"])} seeds, and with simplified attention in '
        f"{said['simplified'].sum():.0f}"
    )
    return found, verdict(not unknown, "the text has the sentence, to be learnt by heart" if one.answer else None), [one]
