"""Training and generation from a terminal: `cllm train`, `resume`, `generate`, `diagnose`, `chat`, or `python -m cllm_lib train`.

Each command is a few lines over the library, with its names. Exit codes: 0, done; 1, something has to be changed first,
or `diagnose` found something; 2, the command line makes no sense; 130, stopped by Ctrl-C, after saving.
"""

import math
import os
import sys
import warnings
from pathlib import Path

import numpy as np

from cllm_lib.cli_chat import chat
from cllm_lib.cli_options import SIZES, check, check_size, is_same_file
from cllm_lib.cli_parser import MORE_EPOCHS, command_line
from cllm_lib.model.config import CLLMConfig
from cllm_lib.model.transformer import CLLM
from cllm_lib.terminal import say
from cllm_lib.text.corpora import load_corpus
from cllm_lib.text.normalization import PLURALS, SEPARATORS, UNKNOWN, tokenize
from cllm_lib.training.interrupts import BrokenOff
from cllm_lib.training.schedules import schedule_for
from cllm_lib.training.trainer import Trainer, TrainingDiverged

DONE, TO_CHANGE, INTERRUPTED = 0, 1, 130
PROMPT = "the sky is"
FIRST_TOKENS = 32  # byte pairs that hold three words
OF_A_NEW_MODEL = (
    *("unit", "normalization", "vocab_size", "keep_unused_ids", "d_model", "layers", "heads", "d_ff", "seq_len"),
    *("dtype", "positions", "rope_base", "rope_pairs", "norm", "norm_first", "feed_forward", "kv_heads", "untied", "init"),
)


def main(words=None):
    """Run one command; what the user has to change is said in one sentence.

    Parameters
    ----------
    words : list of str, optional
        The command line, without the program's name; the real one by default.

    Returns
    -------
    int
        The exit code.
    """
    options = parser().parse_args(words)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # of numbers that overflow: what comes of it is said in a sentence
            warnings.showwarning = lambda message, *where: say(f"{options.name}: {message}", error=True)
            check(options)
            return options.command(options)
    except BrokenPipeError:  # whoever read what is printed has gone, as `| head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return TO_CHANGE
    except (ValueError, OSError, TrainingDiverged) as error:
        say(f"{options.name}: {error}", error=True)
        return TO_CHANGE
    except MemoryError as error:
        say(f"{options.name}: there is not enough memory ({error}): a smaller model, by {SIZES}, or a smaller --batch-size", error=True)
        return TO_CHANGE
    except KeyboardInterrupt:
        say("", error=True)
        return INTERRUPTED


def train(options):
    """Make a model, train it, and save it after every epoch."""
    if Path(options.save).exists() and not options.overwrite:
        raise ValueError(f"{options.save} exists: `resume {options.save}` goes on with it, --overwrite replaces it, --save names another")
    if options.init_from:
        model, corpus = _model_and_text_of(options)
    else:
        cut = dict(unit=options.unit, normalization=options.normalization, progress=not options.quiet)
        corpus = load_corpus(options.text, options.vocab_size, options.validation_fraction, options.seed, **cut)
        model = _new_model(options, corpus)
    total = options.epochs * corpus.batches_per_epoch(options.batch_size, model.config.seq_len)
    trainer = Trainer(
        model,
        corpus,
        optimizer=options.optimizer,
        learning_rate=options.learning_rate,
        batch_size=options.batch_size,
        seed=options.seed,
        clip_norm=options.clip_norm,
        schedule=schedule_for(options.schedule, total, options.warmup_steps),
        accumulate=options.accumulate,
        evaluate_every=options.evaluate_every,
        patience=options.patience,
        windows=options.windows,
    )
    size = model.flat_parameters.size
    say(f"{corpus.name}: {len(corpus.tokens):,} {PLURALS[corpus.unit]}, {len(corpus.vocabulary):,} different; a model of {size:,} numbers")
    if not options.init_from:
        say(f"A model that knows nothing starts near ln V = {math.log(model.config.vocab_size):.2f};", end=" ")
        say(f"one that knows how often {PLURALS[corpus.unit]} occur reaches {corpus.unigram_entropy(model.config.seq_len):.2f}")
    return _run(trainer, options, {"epochs": options.epochs})


def _new_model(options, corpus):
    config = CLLMConfig(
        options.vocab_size if options.keep_unused_ids else len(corpus.vocabulary),
        d_model=options.d_model,
        n_layers=options.layers,
        n_heads=options.heads,
        d_ff=options.d_ff or 4 * options.d_model,
        seq_len=options.seq_len,
        dtype=options.dtype,
        tie_embeddings=not options.untied,
        positions=options.positions,
        rope_base=options.rope_base,
        norm=options.norm,
        norm_first=options.norm_first,
        feed_forward=options.feed_forward,
        n_kv_heads=options.kv_heads,
        rope_pairs=options.rope_pairs,
    )
    check_size(config)
    return CLLM(config, seed=options.seed, init=options.init)


def _model_and_text_of(options):
    """A saved model, and the new text numbered by its vocabulary."""
    from cllm_lib.training.checkpoint import load_checkpoint

    usual = vars(parser().parse_args(["train", "--save", options.save]))
    for name in OF_A_NEW_MODEL:
        if getattr(options, name) != usual[name]:
            raise ValueError(f"--{name.replace('_', '-')} is for a new model; the one in {options.init_from} has its own: leave it out")
    model, state = load_checkpoint(options.init_from)
    reading = state.text | {"source": options.text, "seed": options.seed}
    held_out, shown = options.validation_fraction, not options.quiet
    corpus = load_corpus(**reading, validation_fraction=held_out, vocabulary=state.vocabulary, progress=shown)
    _say_unknown(corpus)
    return model, corpus


def _say_unknown(corpus):
    unknown = np.count_nonzero(corpus.tokens == 0)
    size = f"{len(corpus.tokens):,} {PLURALS[corpus.unit]}"
    say(f"{corpus.name}: read by the model's own vocabulary, to which {unknown:,} of its {size} are unknown")


def resume(options):
    """Go on where a checkpoint stopped: to the end that was planned, or for so many epochs."""
    place = options.save or options.checkpoint
    if Path(place).exists() and not is_same_file(place, options.checkpoint):
        raise ValueError(f"{place} exists: `resume {place}` goes on with it, --save names another")
    trainer = Trainer.resume(options.checkpoint, options.text)
    options.save, left = place, (trainer.run_ends or 0) - trainer.steps
    length = {"steps": left} if options.epochs is None and left > 0 else {"epochs": options.epochs or MORE_EPOCHS}
    if trainer.schedule is not None and not any(map(trainer.schedule, range(trainer.steps, trainer.steps + trainer.batches_per_epoch))):
        raise ValueError(
            f"{options.checkpoint} is at the end of its schedule, {trainer.schedule.name}, after {trainer.steps:,} steps: the rate is 0 "
            "from here on, so no weight would move; a longer run needs a longer schedule from its beginning, train --epochs"
        )
    planned = f"; {left:,} of the {trainer.run_ends:,} planned are left" if "steps" in length else ""
    say(f"{options.checkpoint}: {trainer.steps:,} steps on {trainer.corpus.name}, last loss {_last(trainer.history.losses)}{planned}")
    return _run(trainer, options, length)


def generate(options):
    """Let a saved model continue a prompt, word by word."""
    from cllm_lib.model.generation import stream
    from cllm_lib.training.checkpoint import load_checkpoint

    model, state = load_checkpoint(options.checkpoint)
    words = state.encoder()
    prompt = words.encode(options.prompt)
    if len(prompt) == 0:
        raise ValueError('the prompt is empty: give at least one word, --prompt "the sky"')
    settings = dict(temperature=options.temperature, top_k=options.top_k, top_p=options.top_p, seed=options.seed)
    drawn = stream(model, prompt, options.tokens, **settings)  # looks at the settings: nothing is printed before they make sense
    unknown = _unknown_words(options.prompt, words)
    if unknown:
        say(f"(unknown to this model: {', '.join(unknown)})", error=True)
    say(options.prompt, end="")
    for piece in words.decode_stream(token for token, _ in drawn):
        of_lines = words.unit == "bpe" or piece == "\n"  # the end of a line is a character, and may stand within byte pairs
        *lines, rest = piece.split("\n") if of_lines else [SEPARATORS[words.unit] + piece]
        for line in lines:
            say(line)
        say(rest, end="")
    say("")
    return DONE


def _unknown_words(text, words):
    """What a model does not know of a text; of byte pairs it knows all."""
    if words.unit == "bpe":
        return []
    typed_words = tokenize(text, words.unit, words.normalization)
    return [word for word, token in zip(typed_words, words.encode(text), strict=True) if token == 0 and word != UNKNOWN]


def diagnose(options):
    """Look at every tensor of a saved model on one batch of its text, or of another one, numbered by its vocabulary."""
    from cllm_lib.instruments.diagnosis import diagnose as examine
    from cllm_lib.training.checkpoint import load_checkpoint
    from cllm_lib.training.resuming import corpus_of

    model, state = load_checkpoint(options.checkpoint)
    corpus = corpus_of(state, options.text)
    if corpus.fingerprint != state.fingerprint:
        _say_unknown(corpus)
    tokens, targets = next(corpus.batches(options.batch_size, model.config.seq_len, np.random.default_rng(options.seed)))
    diagnosis = examine(model, tokens, targets, options.learning_rate, vocabulary=corpus.vocabulary)
    return DONE if diagnosis.is_healthy else TO_CHANGE


def _run(trainer, options, length):
    """Train with a bar, save after every epoch and at the end, also when Ctrl-C brings the end early."""
    from cllm_lib.training.callbacks import every, save_to

    each_epoch = every(trainer.batches_per_epoch, save_to(options.save))
    try:
        trainer.fit(**length, callbacks=[each_epoch], progress=not options.quiet)
    except BrokenOff:
        kept = trainer.last_checkpoint
        advice = f"go on from what was saved before, with: {_again(options, kept)}" if kept else "nothing was saved"
        say("", error=True)
        say(f"Stopped at once, within step {1 + len(trainer.history.losses):,}; {advice}", error=True)
        return INTERRUPTED
    except KeyboardInterrupt:
        trainer.save(options.save)
        if trainer.steps < trainer.run_ends:
            say("", error=True)
            say(f"Stopped after step {trainer.steps:,} and saved. Go on with: {_again(options, options.save)}", error=True)
            return INTERRUPTED
    if trainer.steps % trainer.batches_per_epoch:  # stopped early, within an epoch; whole ones are saved already
        trainer.save(options.save)
    history = trainer.history
    say(f"loss of the last epoch {_last(history.epoch_losses)}, of the last batch {_last(history.losses)}")
    if trainer.best is not None:
        best = trainer.best
        say(f"lowest validation loss {best.loss:.4f}, perplexity {math.exp(best.loss):.1f}, after step {best.step:,}")
    if options.csv:
        history.to_csv(options.csv)
    say(f"saved to {options.save}; let it speak: {typed('generate', options.save, '--prompt', _prompt(trainer.corpus))}")
    return DONE


def _prompt(corpus):
    """Words to begin with that the model knows: those of the book's own text, or else the first of the text."""
    if corpus.unit == "bpe":  # which knows the bytes of any words, whether it has seen one or not
        first = corpus.decode(corpus.tokens[:FIRST_TOKENS]).split()
        return PROMPT if np.isin(corpus.encode(f" {PROMPT}"), corpus.train_tokens).all() else " ".join(first[:3])
    return PROMPT if corpus.encode(PROMPT).all() else corpus.decode(corpus.tokens[: len(PROMPT.split())])


def _again(options, checkpoint):
    """What to type so that a run that was broken off reaches its planned end."""
    text = ["--text", *options.text] if options.name == "resume" and options.text else []
    curves = ["--csv", options.csv] if options.csv else []
    return typed("resume", checkpoint, *text, *curves, *(["--quiet"] if options.quiet else []))


def _last(values):
    return f"{values[-1]:.4f}" if values else "none yet"


def program():
    """What was typed to start this: advice is given in the same words."""
    return "cllm" if Path(sys.argv[0]).stem == "cllm" else "python -m cllm_lib"


def typed(*words):
    """A command line of this program, as the shell wants it: a name with a blank in it stands in quotes."""
    import shlex
    import subprocess

    return f"{program()} {subprocess.list2cmdline(words) if os.name == 'nt' else shlex.join(map(str, words))}"


def parser():
    """The command line, described; `--help` shows it."""
    return command_line(program(), {run.__name__: run for run in (train, resume, generate, diagnose, chat)})
