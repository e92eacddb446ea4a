"""Rules of the chapter on letting a model speak."""

from itertools import pairwise

import numpy as np
from sentences.trials import fallen, rule

from cllm_lib import CLLM, CLLMConfig, Trainer, defects, load_corpus
from cllm_lib.model import distinct_n, draw, generate, softmax
from cllm_lib.text.corpora import windows

SIZES = {"d_model": 64, "n_layers": 2, "n_heads": 4, "d_ff": 256, "tie_embeddings": False}


def model_by_heart(seed):
    sayings = load_corpus("sayings", validation_fraction=0.1)
    model = CLLM(CLLMConfig(10_000, **SIZES), seed=seed)
    Trainer(model, sayings, learning_rate=3e-3, seed=seed).fit(epochs=30)
    return model, sayings


def model_in_time(seed):
    prose = load_corpus("prose", validation_fraction=0.15)
    model, every = CLLM(CLLMConfig(len(prose.vocabulary), **SIZES), seed=seed), prose.batches_per_epoch(8, 32)
    trainer = Trainer(model, prose, evaluate_every=every, learning_rate=1e-3, batch_size=8, patience=4, seed=seed)
    trainer.fit(epochs=40)
    trainer.restore_best()
    return model, prose


# The four ways


def of_the_first_five(model, ids, count, seed):
    """As the chapter's `speak` with the program's top k."""
    tokens, uniform = list(ids), np.random.default_rng(seed).random
    for _ in range(count):
        chances = defects.keep_first_k(softmax(model.logits([tokens])[0, -1]), 5)
        tokens.append(draw(np.asarray(chances), uniform()))
    return tokens


def four_ways(model, corpus):
    """Mean share of new pairs of each way, over four prompts and three draws, and the text's own."""
    found, other = {way: [] for way in "ABCD"}, defects.inference_model(model)
    for prompt in ("the sea is", "the sky is", "the sun is", "in the morning"):
        ids = corpus.encode(prompt)
        for seed in range(3):
            found["A"].append(generate(other, ids, 27, seed=seed))
            found["B"].append(of_the_first_five(model, ids.tolist(), 27, seed))
            found["C"].append(generate(model, ids, 27, temperature=0))
            found["D"].append(generate(model, ids, 27, seed=seed))
    shares = {way: float(np.mean([distinct_n(words, 2) for words in said])) for way, said in found.items()}
    pieces = [distinct_n(corpus.train_tokens[at : at + 30], 2) for at in range(0, 1000, 30)]
    return shares | {"its text": float(np.mean(pieces))}


def by_heart(seed):
    """The four ways, and how many favourites stay under each difference of the program's other forward pass."""
    model, sayings = model_by_heart(seed)
    sequences, _ = windows(sayings.train_tokens, 32)
    favourites = model.logits(sequences).argmax(-1)
    stay = {}
    for difference in defects.DIFFERENCES:
        logits = defects.inference_model(model, difference).logits(sequences)
        stay[difference] = float((logits.argmax(-1) == favourites).mean())
    return {"stay": stay, "ways": four_ways(model, sayings)}


@rule("ReLU does least harm, with other seeds, too: more than four in five of the favourites stay.", of=by_heart)
def relu_does_least_harm(found):
    return max(found["stay"], key=found["stay"].get) == "ReLU" and found["stay"]["ReLU"] > 0.8


@rule("Without attention not half of them stay, and of the other three no difference leaves three in ten.", of=by_heart)
def the_others_do_more(found):
    others = [share for name, share in found["stay"].items() if name not in ("ReLU", "no attention")]
    return len(others) == 3 and found["stay"]["no attention"] < 0.5 and max(others) < 0.3


def least(ways):
    """The way with the lowest share of new pairs."""
    return min("ABCD", key=ways.get)


@rule("B for the one that knows its text, whatever the seed", of=by_heart)
def five_ids_are_worst(found):
    return least(found["ways"]) == "B"


@rule("for the one that knows its text they repeat least of the four, whatever the seed", of=by_heart)
def nonsense_repeats_least(found):
    return all(found["ways"]["A"] > found["ways"][way] for way in "BCD")


@fallen(
    "And dice, even through the wrong forward pass, repeat next to nothing",
    of=by_heart,
    instead="dice through the wrong forward pass repeat next to nothing here",
)
def dice_repeat_nothing(found):
    return min(found["ways"]["A"], found["ways"]["D"]) >= 0.95


PROMPTS = ["the sea is", "in the morning", "nora says that", "the clock", "on the hill"]
CHOICES = {"greedy": {"temperature": 0}, "top k": {"top_k": 10}, "top p": {"top_p": 0.8}}
TEMPERATURES = [0.25, 0.5, 0.75]


def in_time(seed):
    """The four ways, the greedy circle, and new pairs and pairs of the text for each choice of the chapter."""
    model, prose = model_in_time(seed)
    known = set(pairwise(prose.train_tokens.tolist()))

    def of_the_text(words):
        return np.mean([pair in known for pair in pairwise(np.asarray(words).tolist())])

    def varied_and_known(choice):
        said = [generate(model, prose.encode(prompt), 30, seed=seed, **choice) for prompt in PROMPTS for seed in range(5)]
        return np.mean([(distinct_n(words, 2), of_the_text(words)) for words in said], axis=0).tolist()

    greedy = generate(model, prose.encode("the sea is"), 120, temperature=0)
    end = greedy[-60:].tolist()
    return {
        "ways": four_ways(model, prose),
        "circle": next((length for length in range(1, 30) if end[length:] == end[:-length]), 0),
        "distinct at the end": distinct_n(end, 2),
        "distinct in the first nine": distinct_n(greedy[2:11], 2),
        "held out": float(of_the_text(prose.validation_tokens)),
        "choices": {name: varied_and_known(choice) for name, choice in CHOICES.items()},
        "temperatures": [varied_and_known({"temperature": degree}) for degree in TEMPERATURES],
    }


@rule("C for the one that was stopped in time, but for one or two seeds in ten", of=in_time, together=True)
def the_likeliest_is_worst(those):
    return sum(least(found["ways"]) != "C" for found in those) <= 0.2 * len(those)


@rule("With other seeds, too, six in ten pairs or more among the last 60 words of 120 had come before.", of=in_time)
def it_goes_round(found):
    return found["distinct at the end"] <= 0.4


@rule(
    "Some models end in a circle of three words, such as a long and a long and; most go round in longer or less even ones.",
    of=in_time,
    together=True,
)
def some_circles_are_short(those):
    return 0 < sum(found["circle"] == 3 for found in those) < len(those) / 2


@rule("of the pairs in the first nine half or more are new with most seeds", of=in_time, together=True)
def nine_words_tell_little(those):
    return sum(found["distinct in the first nine"] >= 0.5 for found in those) > len(those) / 2


@rule("Top k is, and with other seeds, too (distinct 0.8 or more, in the text 0.7 or more)", of=in_time)
def top_k_is_good_at_both(found):
    def good(choice):
        distinct, standing = found["choices"][choice]
        return round(distinct, 2) >= 0.8 and round(standing, 2) >= 0.7

    return [choice for choice in CHOICES if good(choice)] == ["top k"]


@rule("(distinct 0.95 or more, in the text within a tenth of what the held-out text has)", of=in_time)
def top_p_is_as_new_as_new_text(found):
    distinct, standing = found["choices"]["top p"]
    return round(distinct, 2) >= 0.95 and abs(standing - found["held out"]) <= 0.1


@rule("(With other seeds, too, the curves cross between 0.25 and 0.75.)", of=in_time)
def the_curves_cross(found):
    (distinct, standing), _, (distinct_later, standing_later) = found["temperatures"]
    return distinct < standing and distinct_later > standing_later
