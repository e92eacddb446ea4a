"""LoRA by hand on the chat model: it learns the book's sayings, and what that does to the rest: `python -m benchmarks.lora`.

Rank 4 on queries and values: 230,400 numbers beside 134.5 million that stay. Answers before and after, on what was trained, on
other words for the same questions, and on questions that have nothing to do with it; bits a byte of two texts, for what was
forgotten. One thread, twenty minutes beside busy programs. Writes LORA.md, evidence/measured/lora.json, and the adapters, in
float16, to evidence/measured/lora.safetensors: all three at the end, each whole or not at all. `--tiny` tries the path and
writes nothing.
"""

import argparse
import json
import os
import time

import numpy as np
import psutil

from benchmarks import held_out
from benchmarks.run import describe_machine, describe_settings, say, table
from cllm_lib.experiments.intervals import interval, paired_difference
from cllm_lib.files import shipped, write_atomically
from cllm_lib.pretrained.chat import load_chat_model
from cllm_lib.pretrained.lora import adapted, save_lora
from cllm_lib.pretrained.lora_training import answer_losses, train_lora, training_example
from cllm_lib.text.corpora import read_text

COMMAND = "OPENBLAS_NUM_THREADS=1 python -m benchmarks.lora"
PAGE = shipped("evidence", "pages/LORA.md")
RESULTS = shipped("evidence", "measured/lora.json")
ADAPTERS = shipped("evidence", "measured/lora.safetensors")

SETTINGS = dict(rank=4, alpha=8.0, learning_rate=2e-3, batch_size=4, epochs=6, seed=0)
SAID = 8  # questions whose answers are written out before and after, as trained and in other words
MOST = 32  # tokens of an answer
TEXTS = ("prose", "python-docs")
PIECES, LENGTH = 10, 128  # of each text

REWORDED = {  # questions of the sayings, in words that were not trained
    "why is the sky blue": "Can you tell me what makes the sky look blue?",
    "why is the sea salt": "What is the reason that sea water tastes salty?",
    "why is the sky red in the evening": "At sunset the sky turns red. How come?",
    "why does ice float on water": "Ice stays on top of water. Why doesn't it sink?",
    "why does iron sink in water": "If I drop a piece of iron into water, it goes down. Why?",
    "why is summer warm": "What makes it warm in summer?",
    "why is winter cold": "For what reason is it so cold in winter?",
    "why is the night dark": "How come it is dark at night?",
    "where does bread come from": "What is bread made from?",
    "where does milk come from": "Which animal gives us milk?",
    "where does wool come from": "Which animal gives us wool?",
    "where does honey come from": "Who makes honey?",
    "where does glass come from": "What do people make glass from?",
    "where does the sun rise": "In which direction can I see the sun come up?",
    "where does the sun set": "In which direction does the sun go down?",
    "where do the bees live": "What is the home of bees called?",
    "when do the leaves fall": "In which season do trees lose their leaves?",
    "when does the snow fall": "In which season can we expect snow?",
    "what follows spring": "Which season comes right after spring?",
    "what follows autumn": "Which season comes right after autumn?",
    "what moves around the earth": "Which body goes around the earth?",
    "what is faster than sound": "Name something that travels faster than sound.",
    "what has eight legs": "Name an animal with eight legs.",
    "what has twelve months": "Twelve months together make what?",
    "what makes the master": "How does one become a master, as the saying goes?",
    "what gathers no moss": "Complete the saying about moss.",
    "what saves nine": "Which saying is about a stitch and the number nine?",
    "who gets the worm": "Which bird catches the worm, as they say?",
    "what is the best cook": "Which cook do they say is the best?",
    "how do you leap": "What should I do before I leap?",
}
UNRELATED = (
    "What is the capital of France?",
    "How many days does a leap year have?",
    "Write a short poem about a train.",
    "What is 7 plus 5?",
    "Who wrote Romeo and Juliet?",
    "Translate 'good morning' into Spanish.",
    "Give me three tips for a job interview.",
    "What is photosynthesis?",
    "Name the largest planet of the solar system.",
    "How do I boil an egg?",
    "Explain what a computer program is.",
    "Suggest a name for a black cat.",
)


def sentence(words, mark):
    """A line of the sayings as a sentence."""
    return words[0].upper() + words[1:] + mark


def pairs():
    """The sayings as questions and answers, by their question as it stands in the text."""
    lines = read_text("sayings").splitlines()
    return {q: (sentence(q, "?"), sentence(a, ".")) for q, a in zip(lines[::2], lines[1::2], strict=True)}


def answer(model, question):
    """What it says at temperature 0, and whether it came to an end within so many tokens."""
    said = list(model.stream_tokens(question, max_new_tokens=MOST))
    return model.decode(np.array([token for token, _ in said], dtype=np.int64)), len(said) < MOST


def open_ended(example):
    """An example whose end is not to be learnt: of an answer that was cut."""
    ids, is_target = example
    return ids[:-1], is_target[:-1]


class Subjects:
    """What is asked before and after: the same for both.

    Parameters
    ----------
    model : ChatModel
    said : int
        Trained questions whose answers are written out.
    count, length : int
        Pieces of each text, and tokens of a piece.
    """

    def __init__(self, model, said=SAID, reworded=REWORDED, unrelated=UNRELATED, count=PIECES, length=LENGTH):
        known = pairs()
        self.trained = list(known.values())
        self.reworded = [(question, known[of][1]) for of, question in reworded.items()]
        spoken = dict.fromkeys([*(known[of] for of in reworded), *self.trained])
        self.said = [*list(spoken)[:said], *self.reworded[:said]]  # those first that are asked in other words too
        self.examples = {part: [training_example(model, *pair) for pair in getattr(self, part)] for part in ("trained", "reworded")}
        self.unrelated = []
        for question in unrelated:
            text, ended = answer(model, question)
            example = training_example(model, question, text)
            self.unrelated.append((question, text, example if ended else open_ended(example)))
        self.texts = {name: held_out.pieces(model, read_text(name), count, length) for name in TEXTS}

    def asked(self, model, changed=True):
        """Everything of one model: losses, answers, texts. Of the model that was not changed the unrelated answers are known."""
        found = {}
        for part, examples in {**self.examples, "unrelated": [example for *_, example in self.unrelated]}.items():
            nats, by_heart = answer_losses(model, examples)
            found[part] = {"nats": np.round(nats, 5).tolist(), "by_heart": by_heart.tolist()}
        spoken = {question: answer(model, question)[0] for question, _ in self.said}
        found["spoken"] = spoken | {question: answer(model, question)[0] if changed else text for question, text, _ in self.unrelated}
        found["texts"] = {name: np.round(held_out.losses(model, rows), 5).tolist() for name, rows in self.texts.items()}
        return found


def joined(subjects, before, after, model):
    """Both side by side, as they are stored."""
    answers = {"trained": subjects.trained, "reworded": subjects.reworded, "unrelated": [pair[:2] for pair in subjects.unrelated]}
    found = {part: [] for part in answers}
    for part, asked in answers.items():
        for i, (question, text) in enumerate(asked):
            one = {"question": question, "answer": text}
            if question in before["spoken"]:
                one |= {"before": before["spoken"][question], "after": after["spoken"][question]}
            for when, of in (("before", before), ("after", after)):
                one |= {f"{name}_{when}": of[part][name][i] for name in ("nats", "by_heart")}
            found[part].append(one)
    found["forgotten"] = []
    for name, rows in subjects.texts.items():
        size, length = held_out.n_bytes(model, rows), rows.shape[1]
        chunks = {when: of["texts"][name] for when, of in (("before", before), ("after", after))}
        bits = {when: round(held_out.bits_per_byte(nats, length, size), 5) for when, nats in chunks.items()}
        counts = {"text": name, "tokens": int(rows.size - len(rows)), "bytes": size}
        found["forgotten"].append(counts | bits | {f"chunks_{when}": nats for when, nats in chunks.items()})
    return found


def run(model, subjects, settings=SETTINGS, report=say):
    """Ask, train, ask again; the adapters as they will be stored, and every number.

    Returns
    -------
    lora : Lora
    found : dict
    """
    started = time.monotonic()
    report("asking the model as it is")
    before = subjects.asked(model, changed=False)
    training = time.monotonic()

    def step(done, total, loss, lora):
        report(f"\rstep {done} of {total}: {loss:.3f} nats a token ", end="" if done < total else "\n")

    lora, losses = train_lora(model, subjects.examples["trained"], **settings, report=step)
    lora.flat[...] = lora.flat.astype(np.float16)  # as they are stored: what is asked is what everybody can load
    trained = time.monotonic()
    report("asking the model with its adapters")
    after = subjects.asked(adapted(model, lora))
    found = joined(subjects, before, after, model)
    frozen = sum(array.size for layer in model.parameters["layers"] for part in layer.values() for array in part.values())
    frozen += model.parameters["embedding"].size + model.parameters["final_norm"]["gain"].size
    return lora, {
        "command": COMMAND,
        "settings": settings,
        "parameters": {"trained": lora.flat.size, "frozen": int(frozen)},
        "seconds": {"training": round(trained - training, 1), "all": round(time.monotonic() - started, 1)},
        "losses": [round(float(loss), 5) for loss in losses],
    } | found


def counted(found, part, when):
    """Of so many, how many are answered word for word."""
    return f"{sum(one[f'by_heart_{when}'] for one in found[part])} of {len(found[part])}"


def summary(found):
    """Rows: word for word and nats a token, before and after."""
    names = {"trained": "the trained questions", "reworded": "other words for them", "unrelated": "unrelated questions, its former answers"}
    rows = []
    for part, name in names.items():
        nats = [[one[f"nats_{when}"] for one in found[part]] for when in ("before", "after")]
        rows.append([name, *(counted(found, part, when) for when in ("before", "after")), *(f"{np.mean(values):.2f}" for values in nats)])
        rows[-1].append(f"{paired_difference(nats[1], nats[0]):.2f}")
    return rows


def forgotten(found):
    """Rows: bits a byte of each text, and how many more after."""
    rows = []
    for one in found["forgotten"]:
        nats = [np.array(one[f"chunks_{when}"]) for when in ("before", "after")]
        more = paired_difference(*(bits_of(values, one) for values in nats[::-1]))
        rows.append([one["text"], f"{one['tokens']:,}", f"{one['before']:.3f}", f"{one['after']:.3f}", f"{more:.3f}"])
    return rows


def bits_of(nats, one):
    """Losses of pieces as bits a byte, all bytes shared out evenly."""
    return nats * one["tokens"] / np.log(2.0) / one["bytes"]


def spoken(found, part, known=True):
    """Rows: question and answers."""
    rows = [one for one in found[part] if "before" in one]
    return [[one["question"], *([one["answer"]] if known else []), *(flat(one[when]) for when in ("before", "after"))] for one in rows]


def flat(text):
    """On one line of a table."""
    return " ".join(text.split()).replace("|", "\\|")


def curve(losses, settings, n_examples):
    """The mean loss of each epoch."""
    every = -(-n_examples // settings["batch_size"])
    return [[f"{i // every + 1}", f"{np.mean(losses[i : i + every]):.3f}"] for i in range(0, len(losses), every)]


def page(found):
    """The whole of LORA.md, from what is kept."""
    settings, seconds, numbers = found["settings"], found["seconds"], found["parameters"]
    same = sum(one["before"] == one["after"] for one in found["unrelated"])
    texts = [interval(bits_of(np.array(one["chunks_after"]) - np.array(one["chunks_before"]), one)) for one in found["forgotten"]]
    worse = [one["text"] for one, more in zip(found["forgotten"], texts, strict=True) if more.low > 0.0]
    share = 100 * numbers["trained"] / numbers["frozen"]
    parts = [
        "# LoRA by hand: the chat model learns the book's sayings",
        f"Written by `{COMMAND}`, with every number in evidence/measured/{RESULTS.name} and the adapters in {ADAPTERS.name}, in "
        "float16: all that is asked after training is asked of these.",
        f"SmolLM2-135M-Instruct stays as it is, {numbers['frozen']:,} numbers; trained are {numbers['trained']:,} ({share:.2f} %), of rank "
        f"{settings['rank']} beside the matrices of queries and values of every layer (Hu et al. 2021), on the {len(found['trained'])} "
        f"sayings as questions and answers in its chat format; the loss is that of the answer's tokens and its end. Adam, at most "
        f"{settings['learning_rate']:g}, {settings['batch_size']} examples a step, {settings['epochs']} epochs, alpha "
        f"{settings['alpha']:g}, seed {settings['seed']}. One run of one seed: what follows is said of this run. Nothing was tuned: "
        f"the rate was looked at for eight steps, and the epochs are those for which there was time. Training took "
        f"{seconds['training']:.0f} s, all {seconds['all']:.0f} s. {found['conditions']}",
        "## Before and after",
        f"At temperature 0, word for word: {counted(found, 'trained', 'before')} trained questions before and "
        f"{counted(found, 'trained', 'after')} after; asked in words that were not trained, {counted(found, 'reworded', 'before')} and "
        f"{counted(found, 'reworded', 'after')}. {same} of {len(found['unrelated'])} unrelated questions get the same answer as before, in "
        f"its first {MOST} tokens. Nats a token of the answer that is looked for, with a 95 % interval of the difference over the "
        "questions.",
        "\n".join(table(["asked", "word for word before", "after", "nats a token before", "after", "more after"], summary(found))),
        "\n".join(table(["epoch", "loss, nats a token"], curve(found["losses"], settings, len(found["trained"])))),
        "## What it forgot",
        "Bits a byte of texts that nobody trained on here, in pieces of "
        f"{LENGTH} tokens; more after: piece by piece, with a 95 % interval. "
        + (f"It foretells {' and '.join(worse)} worse than before." if worse else "No text is foretold worse beyond its interval."),
        "\n".join(table(["text", "tokens", "before", "after", "more after"], forgotten(found))),
        "## Trained questions",
        "\n".join(table(["question", "saying", "before", "after"], spoken(found, "trained"))),
        "## The same in other words",
        "\n".join(table(["question", "saying", "before", "after"], spoken(found, "reworded"))),
        "## Unrelated questions",
        "\n".join(table(["question", "before", "after"], spoken(found, "unrelated", known=False))),
    ]
    return "\n\n".join(parts) + "\n"


def main(arguments=None):
    """Run, print, and write adapters, numbers and page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tiny", action="store_true", help="one epoch on a few; print the page, write nothing")
    tiny = parser.parse_args(arguments).tiny
    busy = f"Before the run other programs kept the processors {psutil.cpu_percent(interval=0.1 if tiny else 3):.0f} % busy."
    model = load_chat_model()
    subjects = Subjects(model, 1, dict([*REWORDED.items()][:2]), UNRELATED[:2], 2, 16) if tiny else Subjects(model)
    if tiny:
        subjects.trained, subjects.examples["trained"] = subjects.trained[:8], subjects.examples["trained"][:8]
    lora, found = run(model, subjects, SETTINGS | {"epochs": 1} if tiny else SETTINGS)
    found["conditions"] = " ".join([describe_machine(), describe_settings(os.environ), busy])
    written = page(found)
    say(written)
    if tiny:
        return
    save_lora(ADAPTERS, lora, np.float16)
    write_atomically(RESULTS, (json.dumps(found, indent=1, ensure_ascii=False) + "\n").encode("utf-8"))
    write_atomically(PAGE, written.encode("utf-8"))


if __name__ == "__main__":
    main()
