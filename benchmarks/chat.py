"""The chat model on our functions beside transformers: `python -m benchmarks.chat`.

Writes CHAT.md and evidence/measured/chat.json in ten minutes. Both read the same file, compute in float32 and start from the same
messages; transformers is eager and keeps a cache. A part of its own asks by which of two rules texts are cut into tokens that the
model likes better. `--tiny` tries the whole path and writes nothing.
"""

import argparse
import json
import os
import time
import warnings

import numpy as np
import psutil

from benchmarks.compare import Missing, Worker, alternate, ratio
from benchmarks.memory import peak_bytes
from benchmarks.run import describe_machine, describe_settings, say, table, two_digits, version
from cllm_lib.experiments import interval
from cllm_lib.files import shipped, write_atomically

COMMAND = "python -m benchmarks.chat"
PAGE = shipped("evidence", "pages/CHAT.md")
RESULTS = shipped("evidence", "measured/chat.json")
OURS, PEER = "ours", "transformers"
QUESTION = "Tell me a very long story about a ship."
SENTENCE = " The ship left the harbour early in the morning, and the wind was good."
QUESTIONS = {40: QUESTION, 400: QUESTION + 22 * SENTENCE + " And then the sea was very calm."}  # by the tokens of the whole prompt
A_TURN = 20  # tokens
ROUNDS, LOADS = 6, 3
TARGET, MEMORY_TARGET = 1.0, 0.75e9


class Ours:
    """A token at a time, or a whole prompt and the first token: what a user calls.

    Parameters
    ----------
    length : int
        Of the prompt.
    n_tokens : int
        Of an answer. A step makes the next one; the first after an answer has ended reads the prompt.
    """

    def __init__(self, length, n_tokens):
        from cllm_lib.pretrained import load_chat_model

        started = time.perf_counter()
        self.model = load_chat_model()
        self.load_seconds = time.perf_counter() - started
        self.question, self.n_tokens, self.answer = QUESTIONS[length], n_tokens, iter(())

    def step(self):
        """One token more."""
        token = next(self.answer, None)
        if token is None:
            self.answer = self.model.stream_tokens(self.question, max_new_tokens=self.n_tokens)
            token = next(self.answer)
        return token[0]

    def tokens(self, count):
        """So many tokens, for comparison."""
        return [int(self.step()) for _ in range(count)]

    def costs(self):
        """Seconds to load, and the most memory held, after a prompt and an answer."""
        return self.load_seconds, peak_bytes()


class Transformers(Ours):
    """The same by transformers: the likeliest token by a forward pass with the cache, without the machinery of `generate`."""

    def __init__(self, length, n_tokens):
        import torch
        from transformers import AutoModelForCausalLM, AutoTokenizer, logging

        from cllm_lib.pretrained.chat import installed_file

        logging.set_verbosity_error()
        warnings.simplefilter("ignore", FutureWarning)  # of names that its next version gives to arguments
        torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
        path, started = installed_file(), time.perf_counter()
        self.tokenizer = AutoTokenizer.from_pretrained(path.parent, gguf_file=path.name)
        settings = dict(gguf_file=path.name, dtype=torch.float32, attn_implementation="eager")
        self.model = AutoModelForCausalLM.from_pretrained(path.parent, **settings).eval()
        self.load_seconds = time.perf_counter() - started
        self.question, self.n_tokens, self.made, self.torch = QUESTIONS[length], n_tokens, n_tokens, torch

    def step(self):
        """One token more."""
        if self.made == self.n_tokens:
            messages = [{"role": "user", "content": self.question}]
            ids = self.tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_tensors="pt", return_dict=True)[
                "input_ids"
            ]
            self.made, self.cache = 0, None
        else:
            ids = self.last
        with self.torch.inference_mode():
            found = self.model(input_ids=ids, past_key_values=self.cache, use_cache=True, logits_to_keep=1)
        self.cache, self.last = found.past_key_values, found.logits[:, -1].argmax(dim=-1, keepdim=True)
        self.made += 1
        return self.last.item()


CONTESTANTS = {OURS: Ours, PEER: Transformers}
WORK = {  # what a step is: length of the prompt, tokens of an answer, tokens that a step reads, steps in a turn
    "a token after 40": (40, A_TURN + 1, 1, A_TURN),
    "a prompt of 400": (400, 1, 400, 1),
}


def with_threads(threads):
    """So many threads for whatever starts from now on."""
    for library in ("OPENBLAS", "OMP", "MKL"):
        os.environ[f"{library}_NUM_THREADS"] = str(threads)


def measure(work, threads, rounds=ROUNDS):
    """The times of both, in pairs; Missing where the peer is."""
    length, n_tokens, _, steps = WORK[work]
    with_threads(threads)
    workers = {name: Worker(build, length, n_tokens) for name, build in CONTESTANTS.items()}
    try:
        if not any(worker.missing for worker in workers.values()):
            check(*(worker.call("tokens", n_tokens) for worker in workers.values()))
        times = alternate(workers, rounds, steps)
    finally:
        for worker in workers.values():
            worker.close()
    return ratio(times[OURS], times[PEER])


def check(tokens, others):
    """Stop if the two do not say the same."""
    if tokens != others:
        raise SystemExit(f"the two say different things, {tokens} and {others}: nothing to compare")


def costs(rounds=LOADS):
    """Seconds to load and the most memory, each time in a process of its own, in turns; one thread."""
    with_threads(1)
    found = {OURS: [], PEER: []}
    for _ in range(rounds):
        for name, build in CONTESTANTS.items():
            worker = Worker(build, 400, A_TURN)
            worker.call("tokens", A_TURN)
            found[name].append(worker.call("costs"))
            worker.close()
    return found


# Two readings of the file

READ = [  # texts in which digits stand behind two or more signs of white space: there the rules part
    "How to cook rice:\n\n1. Wash the rice.\n\n2. Boil the water.\n\n3. Add the rice and wait.",
    "Three reasons to read:\n\n1. It is fun.\n2. It is quiet.\n3. It makes you think.",
    "Here are some tips for a better sleep:\n\n1. Go to bed at the same time every day.\n\n2. Avoid coffee in the evening.",
    "The steps are as follows:\n\n1. Open the door.\n\n2. Walk in.\n\n3. Close the door.\n\n4. Sit down.",
    "The largest planets:\n\n1. Jupiter\n\n2. Saturn\n\n3. Uranus\n\n4. Neptune",
    "Some famous bridges are:\n\n1. The Golden Gate Bridge\n\n2. Tower Bridge\n\n3. The Brooklyn Bridge",
    "The sum is\n\n2 + 2 = 4\n\nand the product is\n\n3 * 3 = 9",
    "Ingredients:\n\n2 cups of flour\n1 cup of sugar\n3 eggs\n\n1 teaspoon of salt",
    "def area(radius):\n    pi = 3.14159\n    return pi * radius ** 2\n\n\n2 * area(1)",
    "values = [\n    1,\n    2,\n    3,\n]\nprint(sum(values))",
    "table = {\n    1: 'one',\n    2: 'two',\n    3: 'three',\n}",
    "for i in range(\n    10,\n    20,\n):\n    print(i)",
    "x  = 10\nyy =  5\nz  =  3\nprint(x + yy + z)",
    "Chapter one\n\n1912 was a cold year, and the ship sailed in April.",
    "The war ended.\n\n1945 brought peace to Europe, but not to everyone.",
    "Name    Age\nAnna     31\nBernd    45\nClara    27",
    "Item      Price\nApple         1\nBread         3\nCheese       12",
    "  1. First\n  2. Second\n  3. Third",
    "Questions:\n\n  1) Who was there?\n  2) What was said?\n  3) When did it end?",
    "Dear Sir,\n\n3 weeks ago I wrote to you about the house.\n\n2 days later you answered.",
    "The results:\n\n95% of the patients recovered.\n\n5% did not.",
    "Time\t\t12:30\nPlace\t\t5 Main Street\nPeople\t\t20",
    "A short history:\n\n1066: The Normans land in England.\n\n1215: Magna Carta.\n\n1666: The Great Fire of London.",
    "Score at half time:   2 to 1. Final score:   3 to 1.",
]


def readings(model, texts=READ):
    """Log-probabilities of texts whose tokens are cut by the rule that the file names, and as for GPT-2.

    Returns
    -------
    list of dict
        Of each text: tokens by either rule, and how likely the model finds it, in nats.
    """
    from cllm_lib.text.bpe import BytePairTokenizer

    own = model.tokenizer
    other = BytePairTokenizer(own.merges, own.special_tokens, own.vocabulary, single_digits=False, skip_missing_bytes=True)
    found = []
    for text in texts:
        ours, theirs = (tokenizer.encode(text) for tokenizer in (own, other))
        found.append({"file": log_likelihood(model, ours), "gpt2": log_likelihood(model, theirs), "tokens": [len(ours), len(theirs)]})
    return found


def log_likelihood(model, ids):
    """How likely the model finds tokens as the beginning of a document, in nats."""
    start = model.encode("<|endoftext|>")
    logits = model.logits(np.concatenate([start, ids]))[:-1].astype(np.float64)
    logits -= logits.max(axis=-1, keepdims=True)
    return float((logits[np.arange(len(ids), dtype=np.intp), ids] - np.log(np.exp(logits).sum(axis=-1))).sum())


# The page


def speed_row(result):
    """One line of the table of speeds: tokens a second of both."""
    work, threads = result["work"], result["threads"]
    each = [f"{WORK[work][2] / result[name]:,.1f}" for name in ("ours", "peer")]
    spread = f"{two_digits(result['low'])} to {two_digits(result['high'])}"
    reached = "reached" if result["value"] <= TARGET else "not reached"
    return [work, str(threads), *each, two_digits(result["value"]), spread, str(TARGET), reached]


def cost_rows(load_seconds, peak_bytes):
    """Medians of seconds to load and of the most memory."""
    seconds, memory = ({name: float(np.median(one)) for name, one in found.items()} for found in (load_seconds, peak_bytes))
    reached = "reached" if memory[OURS] <= MEMORY_TARGET else "not reached"
    return [
        ["load, s", *(f"{seconds[name]:.1f}" for name in (OURS, PEER)), "", ""],
        ["peak memory, GB", *(f"{memory[name] / 1e9:.2f}" for name in (OURS, PEER)), f"{MEMORY_TARGET / 1e9:.2f}", reached],
    ]


def readings_text(found):
    """What the readings say, in words."""
    gains = np.array([one["file"] - one["gpt2"] for one in found])
    spread = interval(gains)
    return (
        "Where digits stand behind two or more signs of white space, as in a list of numbers, two rules cut a text into different tokens. "
        "By the rule that the file names (smollm: each digit apart, then GPT-2's pattern) two ends of a line are one token; by GPT-2's "
        "pattern alone, with which transformers reads the file, they are two. Elsewhere, but for numbers like ½, the ids are the same. "
        f"The same {len(found)} texts, each the beginning of a document, by both rules: the model finds {(gains > 0).sum()} of them "
        f"likelier by the rule of the file, by {gains.mean():.1f} nats a text ({spread.low:.1f} to {spread.high:.1f}, Student's 95 % "
        "interval). So the file's rule is what `load_chat_model` takes."
    )


HOW = (
    f"Written by `{COMMAND}`. SmolLM2-135M-Instruct, 134.5 million parameters, in float32, from the same GGUF file, from the same messages "
    "to the same tokens. transformers is eager and keeps a cache; its tokens are counted without the machinery of its `generate`, ours as "
    "`stream_tokens` gives them out, always the likeliest. Each contestant runs in a process of its own; they take turns, and a ratio is "
    "the median over the rounds of our time over the other's, with its quartiles. With two threads, where they are in the table, ours "
    "tries both numbers and keeps the quicker."
)
LLAMA = (
    "llama.cpp is not in the table: its Python package comes as source alone, to be compiled. What it would gain is plain, though not "
    "measured here. A token asks for every weight once, and what takes the time is fetching them from memory: 538 MB in float32, by which "
    "both of these multiply, 98 MB in the 4 bits of the file, by which llama.cpp multiplies as they lie."
)


def page(content):
    """The whole of CHAT.md, from what is stored."""
    header = ["work", "threads", "ours, tokens a second", "transformers", "ratio", "quartiles", "to reach", ""]
    cost = table(["one thread", OURS, PEER, "to reach", ""], cost_rows(content["load_seconds"], content["peak_bytes"]))
    tables = ["\n".join(table(header, [speed_row(result) for result in content["speeds"]])), "\n".join(cost)]
    parts = ["# A chat model side by side", HOW, *content["conditions"], *tables, LLAMA]
    return "\n\n".join([*parts, "## Two readings of the file", readings_text(content["readings"])]) + "\n"


def conditions():
    """Machine, settings, and how busy it is."""
    machine = describe_machine().replace("; Python", f"; transformers {version('transformers')}, Python")
    settings = describe_settings({name: value for name, value in os.environ.items() if "THREADS" not in name})
    return [machine, settings, f"Before the run other programs kept the processors {psutil.cpu_percent(interval=3):.0f} % busy."]


def main(arguments=None):
    """Measure, print, and write page and numbers."""
    from cllm_lib.pretrained import load_chat_model

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tiny", action="store_true", help="two rounds of the smallest size; print the page, write nothing")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2], help="how many; 1 alone where other programs are busy")
    options = parser.parse_args(arguments)
    tiny, found, speeds = options.tiny, conditions(), []
    for work, threads in [("a token after 40", 1)] if tiny else [(work, threads) for threads in options.threads for work in WORK]:
        result = measure(work, threads, rounds=2 if tiny else ROUNDS)
        if isinstance(result, Missing):
            raise SystemExit(f"{result.reason}: `make bench` brings it")
        speeds.append({"work": work, "threads": threads} | vars(result))
        say(" | ".join(speed_row(speeds[-1])))
    once = costs(2 if tiny else LOADS)
    content = {"command": COMMAND, "conditions": found, "rounds": ROUNDS, "to_reach": TARGET, "speeds": speeds}
    content |= {"load_seconds": {name: [seconds for seconds, _ in one] for name, one in once.items()}}
    content |= {"peak_bytes": {name: [n_bytes for _, n_bytes in one] for name, one in once.items()}}
    content |= {"readings": readings(load_chat_model(), READ[:2] if tiny else READ)}
    say(page(content))
    if not tiny:
        write_atomically(RESULTS, (json.dumps(content, indent=1) + "\n").encode("utf-8"))
        write_atomically(PAGE, page(content).encode("utf-8"))


if __name__ == "__main__":
    from benchmarks import chat  # under this name the other processes find its functions

    chat.main()
