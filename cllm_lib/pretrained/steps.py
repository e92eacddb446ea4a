"""The steps by which a folder's makers made a row of a sentence: all of them are this encoder's, or the folder is refused.

Sentence-transformers lists its modules in `modules.json`, each with a folder of settings: the transformer, a pooling that
makes one row of the tokens' rows, and what comes behind. This encoder runs BERT, takes the mean, and brings rows to length 1.
"""

import json
import re
from pathlib import Path

from cllm_lib.kinds import FIRST, other_kind

HOUSE = re.compile(r"sentence_transformers\.[A-Za-z_.]+")  # modules of other houses are code that comes with the folder
MEAN = "takes the mean of the tokens only"
INSTEAD = {  # what folders hold that were made for other programs
    "model.safetensors": ("model.safetensors.index.json", "pytorch_model.bin", "tf_model.h5", "onnx", "openvino"),
    "tokenizer.json": ("vocab.txt", "sentencepiece.bpe.model", "spiece.model"),
}
FORMER_MODES = re.compile(r"pooling_mode_(\w+?)(_tokens?)?")  # before sentence-transformers 5.4: one line for each, true or false


def transformer_folder(folder):
    """Where the transformer's own files lie, once every step of the folder is known to be one that the encoder takes.

    Parameters
    ----------
    folder : Path

    Returns
    -------
    Path

    Raises
    ------
    FileNotFoundError
        If a file is missing.
    ValueError
        If a file is damaged, or there is a step that the encoder would leave out; the error names both.
    """
    place, kinds = folder, []
    for kind, path in _modules(folder):
        kinds.append(kind)
        if kind == "Transformer" and kinds == ["Transformer"]:
            place = folder / path
        elif kind == "Pooling" and kinds == ["Transformer", "Pooling"]:
            _check_pooling(folder / path / "config.json")
        elif kind == "Normalize" and "Pooling" in kinds:
            _check_normalize(folder / path / "config.json")  # every row is brought to length 1, and stays so the second time
        else:
            raise ValueError(
                f"{folder} makes its rows by {', '.join(kinds)}: this encoder has no step {kind!r} there (it runs Transformer, Pooling and "
                "Normalize, in this order), and without it the rows would be others; take a folder without it"
            )
    if kinds and "Pooling" not in kinds:
        raise ValueError(
            f"{folder} has no Pooling among its modules, and this encoder {MEAN}: take a folder that makes one row of a sentence"
        )
    _check_prompt(folder / "config_sentence_transformers.json")
    return place


def _modules(folder):
    """Kind and folder of every module, from `modules.json`, or from the folders' own names where that is missing."""
    listed = folder / "modules.json"
    if not listed.exists():
        named = sorted(path.name for path in folder.iterdir() if re.fullmatch(r"\d_[A-Z][A-Za-z]*", path.name) and path.is_dir())
        found = [(name.split("_")[1], name) for name in named]
        return found if not found or found[0][0] == "Transformer" else [("Transformer", ""), *found]
    found = []
    for module in read_json(listed, list):
        kind, path = (module.get(name) if isinstance(module, dict) else None for name in ("type", "path"))
        if not isinstance(kind, str) or not isinstance(path, str) or not HOUSE.fullmatch(kind):
            raise ValueError(
                f"{listed} names the module {module!r:.200}: this encoder knows those of sentence_transformers, with type and path"
            )
        if Path(path).is_absolute() or ".." in Path(path).parts or not path.isprintable():
            raise ValueError(f"{listed} names the path {path!r:.200}, which is none within the folder: copy the folder anew")
        found.append((kind.rpartition(".")[2], path))
    return found


def _check_pooling(path):
    """Refuse a folder whose makers made one row of a sentence in another way than by the mean of its tokens."""
    found = read_json(path)
    modes = found.get("pooling_mode", [])
    said = [modes] if isinstance(modes, str) else modes if isinstance(modes, list) else [repr(modes)]
    lines = {name: value for name, value in found.items() if FORMER_MODES.fullmatch(name)}
    said = [*map(str, said), *(FORMER_MODES.fullmatch(name)[1] for name, value in lines.items() if value)]
    if set(said) != {"mean"} and (said or lines or "pooling_mode" in found):
        raise ValueError(
            f"{path} pools by {', '.join(map(repr, dict.fromkeys(said))) or 'nothing'}, and this encoder {MEAN}: take another folder"
        )


def _check_normalize(path):
    """Refuse a module that brings other rows to length 1 than those of the sentences."""
    settings = read_json(path) if path.exists() else {}
    for name in ("module_input_name", "module_output_name"):
        if settings.get(name) not in (None, "sentence_embedding"):
            raise ValueError(f"{path} says {name} = {settings[name]!r}, and this encoder brings sentences' rows to length 1 only")


def _check_prompt(path):
    """Refuse a folder that puts words of its own before every sentence."""
    found = read_json(path) if path.exists() else {}
    name, prompts = found.get("default_prompt_name"), found.get("prompts")
    prompt = prompts.get(name, name) if isinstance(prompts, dict) and isinstance(name, str) else name
    if prompt not in (None, ""):
        raise ValueError(f"{path} puts {prompt!r:.80} before every sentence, and this encoder puts nothing there: take another folder")


def file_in(path):
    """The path, if an ordinary file is there; a pipe would wait for ever.

    Raises
    ------
    FileNotFoundError
        If there is nothing; what lies there in its place is named.
    ValueError
        If it is no ordinary file.
    """
    if not path.exists():
        beside = [name for name in INSTEAD.get(path.name, ()) if (path.parent / name).exists()]
        there = f" ({', '.join(beside)} cannot take its place)" if beside else ""
        raise FileNotFoundError(
            f"there is no {path.name} in {path.parent}{there}: such a folder has model.safetensors, tokenizer.json, config.json"
        )
    if not path.is_file():
        raise ValueError(f"{path} is no ordinary file: put {path.name} itself there")
    return path


def read_json(path, kind=dict):
    """What a JSON file says: a dictionary, or a list. Raises as :func:`transformer_folder`."""
    text = read_text(path)
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:  # no JSON, or a number of thousands of digits
        raise ValueError(f"{path} is no JSON text ({error}): copy the folder anew") from None
    if not isinstance(content, kind):
        expected = "a list of settings in braces" if kind is dict else "a list in brackets"
        raise ValueError(f"{path} holds a {type(content).__name__}, and {expected} is expected: copy the folder anew")
    return content


def read_text(path):
    """The text of a file that should hold JSON. Raises as :func:`transformer_folder`."""
    try:
        data = file_in(path).read_bytes()
    except FileNotFoundError:
        raise
    except OSError as error:
        raise ValueError(f"{path} could not be read ({error.strerror or error}): see who may read it") from None
    kind = other_kind(data[:FIRST], "JSON")
    if kind:
        raise ValueError(f"{path} is {kind}")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is no JSON text ({error.reason} at byte {error.start:,}): copy the folder anew") from None
