"""Every number of the command line, at its edges and beyond: a sentence that names the option, or a run."""

import argparse
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cllm_lib import CLLM, CLLMConfig, cli_options
from cllm_lib.cli import parser
from cllm_lib.cli_options import NUMBERS, check, check_size

COMMANDS = {
    "train": ["train", "--save", "new.safetensors"],
    "resume": ["resume", "old.safetensors"],
    "generate": ["generate", "old.safetensors", "--prompt", "the"],
    "diagnose": ["diagnose", "old.safetensors"],
    "chat": ["chat"],
}


def numeric_options():
    """Command and option of every number that the parser knows."""
    commands = next(action for action in parser()._actions if isinstance(action, argparse._SubParsersAction)).choices
    for name, command in commands.items():
        for action in command._actions:
            if action.type in (int, float):
                yield name, action.option_strings[0], action.type


NUMERIC = list(numeric_options())


def test_every_number_has_its_check():
    assert {option.removeprefix("--").replace("-", "_") for _, option, _ in NUMERIC} == set(NUMBERS)
    assert len(NUMERIC) > 20


@pytest.mark.parametrize(("command", "option", "kind"), NUMERIC)
def test_a_number_that_makes_no_sense_is_refused_by_its_name(command, option, kind):
    for value in [-1, -(10**30)] + ([math.nan, math.inf, -math.inf] if kind is float else []):
        options = parser().parse_args([*COMMANDS[command], f"{option}={value}"])
        with pytest.raises(ValueError, match=f"^{option} is ") as error:
            check(options)
        assert "give " in str(error.value)
        assert str(error.value).isprintable()


@pytest.mark.parametrize(("command", "option", "kind"), NUMERIC)
def test_text_for_a_number_shows_the_usage(command, option, kind, capsys):
    for value in ("many", "", "1,5", "0x10", "9" * 5_000 if kind is int else "one"):
        with pytest.raises(SystemExit, match="^2$"):
            parser().parse_args([*COMMANDS[command], f"{option}={value}"])
        assert f"argument {option}: invalid {kind.__name__} value" in capsys.readouterr().err


@pytest.mark.parametrize(("command", "option", "kind"), NUMERIC)
def test_a_huge_number_is_refused_by_its_name_or_is_one(command, option, kind):
    options = parser().parse_args([*COMMANDS[command], f"{option}={10**30}"])
    if option in ("--seed", "--temperature", "--clip-norm"):
        check(options)
    else:
        with pytest.raises(ValueError, match=f"^{option} is "):
            check(options)


@pytest.mark.parametrize("command", COMMANDS)
def test_what_is_usual_passes(command):
    check(parser().parse_args(COMMANDS[command]))


def test_a_rate_is_above_0_and_of_this_world():
    for rate, words in (("0", "no weight moves"), ("1e30", "give 1,000,000 at most"), ("1e7", "give 1,000,000 at most")):
        with pytest.raises(ValueError, match=f"--learning-rate is .*{words}"):
            check(parser().parse_args([*COMMANDS["train"], "--learning-rate", rate]))
    for rate in ("1e-9", "0.1", "100"):
        check(parser().parse_args([*COMMANDS["train"], "--learning-rate", rate]))


def test_a_base_is_above_0_and_tells_positions_apart():
    for base, words in (("0", "give a finite number above 0, such as 500_000"), ("1e13", "give 1,000,000,000,000 at most")):
        with pytest.raises(ValueError, match=f"--rope-base is .*{words}"):
            check(parser().parse_args([*COMMANDS["train"], "--rope-base", base]))


@given(
    sizes=st.tuples(*[st.integers(1, 4)] * 3, st.integers(1, 9), st.integers(1, 9)),
    tied=st.booleans(),
    positions=st.sampled_from(["none", "learned", "rotary", "distance_bias"]),
    others=st.fixed_dictionaries(
        {"norm": st.sampled_from(["layer", "rms"]), "norm_first": st.booleans(), "feed_forward": st.sampled_from(["tanh", "swiglu"])}
    ),
    shares_heads=st.booleans(),
)
def test_the_size_is_that_of_the_model(sizes, tied, positions, others, shares_heads):
    width, heads, layers, words, inner = sizes
    config = CLLMConfig(
        words, 2 * width * heads, layers, heads, inner, 5, "float64", tied, positions, n_kv_heads=1 if shares_heads else None, **others
    )
    needed = cli_options.COPIES * 8 * CLLM(config).flat_parameters.size
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cli_options, "_memory", lambda: needed)
        check_size(config)
        patch.setattr(cli_options, "_memory", lambda: needed - 1)
        with pytest.raises(ValueError, match=f"a model of {CLLM(config).flat_parameters.size:,} numbers takes"):
            check_size(config)


def test_where_a_machine_does_not_say_its_memory_nothing_is_too_large(monkeypatch):
    monkeypatch.setattr(cli_options.os, "sysconf", lambda name: (_ for _ in ()).throw(ValueError("unknown")), raising=False)
    check_size(CLLMConfig(10**15))
    monkeypatch.undo()
    with pytest.raises(ValueError, match="--vocab-size"):
        check_size(CLLMConfig(10**15))
