"""The command line, described: each option of each command on a line of its own; `--help` shows it."""

import argparse

from cllm_lib import __version__
from cllm_lib.lattice.encodings import ROPE_BASE, ROPE_PAIRS
from cllm_lib.model.initializers import INITIALIZERS
from cllm_lib.model.positions import POSITIONS
from cllm_lib.model.transformer_layer import FEED_FORWARDS, NORMS
from cllm_lib.text.corpora import CORPUS_UNITS, corpus_names
from cllm_lib.text.normalization import AS_IT_STANDS, FORMS
from cllm_lib.training.optimizers import OPTIMIZERS
from cllm_lib.training.schedules import SCHEDULES
from cllm_lib.training.trainer import WINDOWS

MORE_EPOCHS = 10  # of a run that is over


def command_line(program, commands):
    """The command line of the program.

    Parameters
    ----------
    program : str
        Its name, as it was typed.
    commands : dict of str to callable
        What each command runs, by its name.

    Returns
    -------
    argparse.ArgumentParser
    """
    top = argparse.ArgumentParser(
        prog=program,
        description="Train a small language model, go on with it, let it speak, look for what ails it; or chat with a pretrained one.",
        epilog=f"Begin with: {program} train --text sayings --save model.safetensors",
    )
    top.add_argument("--version", action="version", version=f"cllm-workbook {__version__}")
    described = top.add_subparsers(dest="name", required=True, metavar="{" + ",".join(COMMANDS) + "}")
    for name, (describe, text, epilog) in COMMANDS.items():
        form = argparse.ArgumentDefaultsHelpFormatter
        one = described.add_parser(name, help=text, description=text, epilog=epilog, formatter_class=form)
        one.set_defaults(command=commands[name])
        describe(one)
    return top


def _train(one):
    one.add_argument("--text", nargs="+", default=["sayings"], help=f"one or more of {corpus_names()} or UTF-8 text files")
    one.add_argument("--save", required=True, metavar="FILE", help="where the model goes after every epoch, such as model.safetensors")
    one.add_argument("--overwrite", action="store_true", help="replace a file that is there (it stays as NAME.previous)")
    one.add_argument("--init-from", metavar="FILE", help="begin with this saved model instead of a new one, and go on by its vocabulary")
    _of_a_model(one.add_argument_group("the model"))
    _of_a_training(one.add_argument_group("the training"))
    _of_a_run(one, 20, "how many")


def _of_a_model(model):
    unit = "what gets an id; characters where words have no spaces between, or byte pairs (bpe), which lose nothing"
    model.add_argument("--unit", choices=CORPUS_UNITS, default="word", help=unit)
    form = "Unicode form of the text; NFKC unites more spellings; NFC if not given, and with bpe none, the text as it stands"
    model.add_argument("--normalization", choices=[*FORMS, AS_IT_STANDS], help=form)
    known = "most words (or characters) to know; rarer ones share one id; with bpe, most ids at all"
    model.add_argument("--vocab-size", type=int, default=10_000, help=known)
    model.add_argument(
        "--keep-unused-ids", action="store_true", help="give the model all ids of --vocab-size, as in the case of chapter 01"
    )
    model.add_argument("--d-model", type=int, default=128, help="width of the hidden state")
    model.add_argument("--layers", type=int, default=2, help="layers")
    model.add_argument("--heads", type=int, default=4, help="attention heads in each; must divide the width")
    model.add_argument("--d-ff", type=int, help="width inside the feed-forward part; four times the hidden state's if not given")
    model.add_argument("--seq-len", type=int, default=32, help="words (or characters) it reads at a time")
    model.add_argument("--dtype", choices=["float32", "float64"], default="float32", help="float64 gives the same digits everywhere")
    model.add_argument("--positions", choices=list(POSITIONS), default="none", help="how it learns where a word stands")
    model.add_argument("--rope-base", type=float, default=ROPE_BASE, help="of rotary positions: the slowest turn takes so many words")
    model.add_argument("--rope-pairs", choices=list(ROPE_PAIRS), default="neighbours", help="of rotary positions: what is turned together")
    model.add_argument("--norm", choices=list(NORMS), default="layer", help="LayerNorm, or RMSNorm")
    model.add_argument("--norm-first", action="store_true", help="norms before their parts, and one behind the last layer")
    model.add_argument("--feed-forward", choices=list(FEED_FORWARDS), default="tanh", help="what stands within the feed-forward part")
    model.add_argument("--kv-heads", type=int, help="heads of keys and values; must divide --heads; as many if not given")
    model.add_argument("--untied", action="store_true", help="an output matrix of its own instead of the embedding")
    model.add_argument("--init", choices=list(INITIALIZERS), default="scaled_normal", help="zeros shows the case of chapter 01")


def _of_a_training(run):
    run.add_argument("--optimizer", choices=list(OPTIMIZERS), default="adam", help="how a gradient becomes a step")
    run.add_argument("--learning-rate", type=float, default=1e-3, help="length of a step, roughly; SGD wants about 0.1")
    run.add_argument("--schedule", choices=list(SCHEDULES), default="constant", help="how the rate changes over the steps")
    run.add_argument("--warmup-steps", type=int, default=100, help="for the schedules that begin with a warm-up")
    run.add_argument("--batch-size", type=int, default=4, help="sequences a step")
    run.add_argument("--windows", choices=list(WINDOWS), default="disjoint", help="sequences side by side, or cut at random places")
    run.add_argument("--accumulate", type=int, default=1, help="parts in which a batch goes through the model, to save memory")
    run.add_argument("--clip-norm", type=float, help="longest gradient let through, such as 1.0; no limit if not given")
    run.add_argument("--validation-fraction", type=float, default=0.0, help="share of the text held out, such as 0.1")
    run.add_argument("--evaluate-every", type=int, help="steps between measurements on what is held out")
    run.add_argument("--patience", type=int, help="stop after so many measurements without a new best")
    run.add_argument("--seed", type=int, default=0, help="of weights and shuffling")


def _of_a_run(one, epochs, how_many):
    one.add_argument("--epochs", type=int, default=epochs, help=how_many)
    one.add_argument("--csv", metavar="FILE", help="write the curves there, too")
    one.add_argument("--quiet", action="store_true", help="no progress bar")


def _resume(one):
    one.add_argument("checkpoint", metavar="FILE")
    one.add_argument("--text", nargs="+", help="the text it was trained on, if the file's name for it is no path")
    one.add_argument("--save", metavar="FILE", help="where to save; over the file itself if not given")
    _of_a_run(one, None, f"how many more; if not given, the run ends where it was planned to, or after {MORE_EPOCHS} more")


def _generate(one):
    one.add_argument("checkpoint", metavar="FILE")
    one.add_argument("--prompt", required=True, help="the words it goes on from")
    one.add_argument("--tokens", type=int, default=20, help="words (or characters) to add")
    one.add_argument("--temperature", type=float, default=1.0, help="0 takes the likeliest word, 1 draws as the model says, more is wilder")
    one.add_argument("--top-k", type=int, help="draw among the k likeliest words only")
    _of_draws(one)


def _of_draws(one):
    one.add_argument("--top-p", type=float, help="draw among the likeliest words that together have this probability")
    one.add_argument("--seed", type=int, default=0, help="of the draws")


def _diagnose(one):
    one.add_argument("checkpoint", metavar="FILE")
    one.add_argument("--text", nargs="+", help="another text than the one it was trained on, numbered by the model's vocabulary")
    one.add_argument("--batch-size", type=int, default=4, help="sequences to measure on")
    one.add_argument("--learning-rate", type=float, default=1e-3, help="turns gradients into sizes of updates")
    one.add_argument("--seed", type=int, default=0, help="of the choice of sequences")


def _chat(one):
    one.add_argument("--model", metavar="FILE", help="a GGUF file of Llama's form; if not given, what `make pretrained` brings")
    one.add_argument("--system", metavar="TEXT", help="what the model is told about itself; what it was trained with if not given")
    one.add_argument("--temperature", type=float, default=0.0, help="0 takes the likeliest token, 1 draws as the model says")
    _of_draws(one)
    one.add_argument("--max-tokens", type=int, default=400, help="longest answer; a word is one token or a few")


COMMANDS = {  # what describes it, what it does, and what stands below its help
    "train": (_train, "Make a model and train it on a text.", "Ctrl-C lets the step end, saves, and says how to go on."),
    "resume": (_resume, "Go on with a saved run, to the last bit as if it had never stopped.", None),
    "generate": (_generate, "Let a saved model continue a prompt.", None),
    "diagnose": (_diagnose, "Measure every tensor of a saved model, and name the suspect.", "Exit code 1 if something is wrong."),
    "chat": (
        _chat,
        "Talk with a pretrained chat model, or have it answer what is piped in.",
        "Ctrl-C stops an answer, /new begins a new conversation, Ctrl-D or /quit ends. Beyond its length the oldest turns are forgotten.",
    ),
}
