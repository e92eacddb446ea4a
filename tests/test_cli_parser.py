"""The command line as it is described; its numbers are gone through in test_cli_options.py."""

import pytest

from cllm_lib.cli_parser import COMMANDS, command_line

RUN = {name: name.upper() for name in COMMANDS}


@pytest.mark.parametrize("words", ["train --save x", "resume x", "generate x --prompt y", "diagnose x", "chat"])
def test_each_command_runs_its_own(words):
    options = command_line("cllm", RUN).parse_args(words.split())
    assert (options.name, options.command) == (words.split()[0], words.split()[0].upper())


def test_every_command_is_named_and_explained(capsys):
    with pytest.raises(SystemExit):
        command_line("cllm", RUN).parse_args(["--help"])
    said = capsys.readouterr().out
    assert said.startswith("usage: cllm [-h] [--version] {train,resume,generate,diagnose,chat} ...")
    assert all(text in " ".join(said.split()) for _, text, _ in COMMANDS.values())
