"""Whatever a folder says of its steps: the rows are those of its makers, or the folder is refused by a sentence."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pretrained.tiny import CONFIG, SENTENCES, tiny_arrays, write_folder
from safetensors.numpy import save_file

from cllm_lib.pretrained.folders import load_encoder

OLD, NEW = "sentence_transformers.models.{0}", "sentence_transformers.sentence_transformer.modules.{1}.{0}"
MEAN = {"pooling_mode": "mean"}


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    """A small folder of the right form."""
    return write_folder(tmp_path_factory.mktemp("tiny"))


@pytest.fixture
def folder(good, tmp_path):
    """A copy of it to change."""
    return Path(shutil.copytree(good, tmp_path / "copy"))


def write(folder, name, content):
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).write_text(json.dumps(content), encoding="utf-8")


def listed(folder, *kinds, form=OLD, settings=MEAN, places=None):
    """Write modules.json, and the settings of the pooling among the modules."""
    modules = []
    for i, kind in enumerate(kinds):
        path = (places or {}).get(kind, "" if i == 0 else f"{i}_{kind}")
        modules.append({"idx": i, "name": str(i), "path": path, "type": form.format(kind, kind.lower())})
        if kind == "Pooling":
            write(folder, f"{path}/config.json", settings)
    write(folder, "modules.json", modules)


@pytest.mark.parametrize("form", [OLD, NEW], ids=["before 5.4", "5.4 and later"])
@pytest.mark.parametrize("kinds", [("Transformer", "Pooling"), ("Transformer", "Pooling", "Normalize")], ids=len)
def test_the_steps_of_this_encoder_are_taken(good, folder, form, kinds):
    listed(folder, *kinds, form=form)
    np.testing.assert_array_equal(load_encoder(folder).embed(SENTENCES), load_encoder(good).embed(SENTENCES))


@pytest.mark.parametrize("listing", [True, False], ids=["listed", "by the folder's name"])
def test_the_transformer_may_have_a_folder_of_its_own(good, folder, listing):
    (folder / "0_Transformer").mkdir()
    for name in ("config.json", "tokenizer.json", "model.safetensors"):
        (folder / name).rename(folder / "0_Transformer" / name)
    listed(folder, "Transformer", "Pooling", places={"Transformer": "0_Transformer"})
    if not listing:
        (folder / "modules.json").unlink()
    write(folder, "0_Transformer/sentence_bert_config.json", {"max_seq_length": 6})
    encoder = load_encoder(folder)
    assert encoder.config.max_tokens == 6
    np.testing.assert_array_equal(encoder.embed(["the cat"]), load_encoder(good).embed(["the cat"]))


@pytest.mark.parametrize(
    "settings",
    [
        {"embedding_dimension": 8, "pooling_mode": "mean", "include_prompt": True},
        {"pooling_mode": ["mean"]},
        {
            "word_embedding_dimension": 8,
            "pooling_mode_cls_token": False,
            "pooling_mode_mean_tokens": True,
            "pooling_mode_max_tokens": False,
        },
        {"pooling_mode_mean_tokens": True, "pooling_mode_mean_sqrt_len_tokens": False, "pooling_mode_lasttoken": False},
        {"word_embedding_dimension": 8},
    ],
    ids=["one word", "a list of one", "a line for each", "more lines", "the usual, unsaid"],
)
def test_the_mean_is_known_in_all_its_forms(folder, settings):
    listed(folder, "Transformer", "Pooling", settings=settings)
    load_encoder(folder)


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"pooling_mode": "cls"}, "'cls'"),
        ({"pooling_mode": ["mean", "max"]}, "'mean', 'max'"),
        ({"pooling_mode": []}, "nothing"),
        ({"pooling_mode": None}, "'None'"),
        ({"pooling_mode": {"mean": 1}}, "mean"),
        ({"pooling_mode": "mean", "pooling_mode_cls_token": True}, "'mean', 'cls'"),
        ({"pooling_mode_mean_tokens": True, "pooling_mode_max_tokens": True}, "'mean', 'max'"),
        ({"pooling_mode_mean_sqrt_len_tokens": True}, "'mean_sqrt_len'"),
        ({"pooling_mode_lasttoken": True}, "'lasttoken'"),
        ({"pooling_mode_mean_tokens": False}, "nothing"),
        ({"pooling_mode": "\x1b[2J"}, r"'\\x1b\[2J'"),
    ],
    ids=["cls", "two", "none", "null", "braces", "both forms", "two lines", "the root", "last token", "all false", "a control sequence"],
)
@pytest.mark.parametrize("place", ["1_Pooling", "pool", "1_CLS_Pooling"])
def test_another_pooling_is_refused_wherever_it_stands(folder, settings, named, place):
    listed(folder, "Transformer", "Pooling", settings=settings, places={"Pooling": place})
    with pytest.raises(ValueError, match=f"{place}/config.json pools by .*{named}.*takes the mean of the tokens only") as error:
        load_encoder(folder)
    assert str(error.value).isprintable()


def test_without_a_list_the_names_of_the_folders_tell_the_steps(folder):
    write(folder, "1_Pooling/config.json", MEAN)
    (folder / "2_Normalize").mkdir()
    (folder / "2024_backup").mkdir()
    load_encoder(folder)
    (folder / "3_Dense").mkdir()
    with pytest.raises(
        ValueError, match="makes its rows by Transformer, Pooling, Normalize, Dense: this encoder has no step 'Dense' there"
    ):
        load_encoder(folder)


@pytest.mark.parametrize(
    ("kinds", "words"),
    [
        (("Transformer", "Pooling", "Dense"), "no step 'Dense'"),
        (("Transformer", "Pooling", "Dense", "Normalize"), "no step 'Dense'"),
        (("Transformer", "Pooling", "LayerNorm"), "no step 'LayerNorm'"),
        (("Transformer", "WeightedLayerPooling", "Pooling"), "no step 'WeightedLayerPooling'"),
        (("Transformer", "Pooling", "Pooling"), "no step 'Pooling'"),
        (("Transformer", "Normalize", "Pooling"), "no step 'Normalize'"),
        (("StaticEmbedding",), "no step 'StaticEmbedding'"),
        (("Transformer",), "has no Pooling among its modules"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_a_step_that_would_be_left_out_is_refused_by_name(folder, kinds, words):
    listed(folder, *kinds)
    with pytest.raises(ValueError, match=words) as error:
        load_encoder(folder)
    assert str(folder) in str(error.value)


@pytest.mark.parametrize(
    ("modules", "words"),
    [
        ({}, "holds a dict, and a list in brackets is expected"),
        ([3], "names the module 3"),
        ([{"type": OLD.format("Transformer")}], "names the module"),
        ([{"type": "custom_code.Pooling", "path": ""}], "knows those of sentence_transformers"),
        ([{"type": "sentence_transformers.\x1b[2J", "path": ""}], "knows those of sentence_transformers"),
        ([{"type": OLD.format("Transformer"), "path": "../elsewhere"}], "is none within the folder"),
        ([{"type": OLD.format("Transformer"), "path": "/etc"}], "is none within the folder"),
        ([{"type": OLD.format("Transformer"), "path": "a\0b"}], "is none within the folder"),
    ],
    ids=["no list", "a number", "no path", "code of its own", "a control sequence", "up and away", "from the root", "a NUL"],
)
def test_a_list_of_modules_that_makes_no_sense_is_refused(folder, modules, words):
    write(folder, "modules.json", modules)
    with pytest.raises(ValueError, match=words) as error:
        load_encoder(folder)
    assert str(error.value).isprintable()


def test_an_empty_list_means_a_bare_transformer(folder):
    write(folder, "modules.json", [])
    load_encoder(folder)


def test_words_put_before_every_sentence_are_refused(folder):
    write(folder, "config_sentence_transformers.json", {"prompts": {"query": "query: ", "document": ""}, "default_prompt_name": None})
    load_encoder(folder)
    write(folder, "config_sentence_transformers.json", {"prompts": {"query": "query: ", "document": ""}, "default_prompt_name": "document"})
    load_encoder(folder)
    write(folder, "config_sentence_transformers.json", {"prompts": {"query": "query: "}, "default_prompt_name": "query"})
    with pytest.raises(ValueError, match="puts 'query: ' before every sentence"):
        load_encoder(folder)


def test_a_normalizing_of_other_rows_is_refused(folder):
    listed(folder, "Transformer", "Pooling", "Normalize")
    write(folder, "2_Normalize/config.json", {"module_input_name": "sentence_embedding", "module_output_name": None})
    load_encoder(folder)
    write(folder, "2_Normalize/config.json", {"module_input_name": "token_embeddings"})
    with pytest.raises(ValueError, match="says module_input_name = 'token_embeddings'"):
        load_encoder(folder)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9) | st.sampled_from(["mean", "cls", "", "1_Pooling"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3),
    max_leaves=6,
)
FILES = {  # whatever may lie in such a folder, with what its makers may say there
    "config.json": list(CONFIG),
    "modules.json": ["type", "path", "idx"],
    "1_Pooling/config.json": ["pooling_mode", "pooling_mode_mean_tokens", "pooling_mode_cls_token"],
    "2_Normalize/config.json": ["module_input_name"],
    "sentence_bert_config.json": ["max_seq_length", "do_lower_case", "transformer_task"],
    "tokenizer_config.json": ["model_max_length"],
    "config_sentence_transformers.json": ["prompts", "default_prompt_name"],
    "tokenizer.json": ["model", "normalizer", "added_tokens", "post_processor"],
}
OTHERS = [
    b"",
    b"version https://git-lfs.github.com/spec/v1\noid sha256:4d\nsize 9\n",
    b"<html>",
    b"GGUF" + bytes(60),
    b"\xff\xfe{\0}\0",
    b"[" * 9_999,
]


def damages():
    """What happens to folders: a file lost, replaced, cut, swapped with another, turned into a folder; a setting changed."""
    name = st.sampled_from([*FILES, "model.safetensors"])
    setting = st.sampled_from([(name, key) for name, keys in FILES.items() for key in keys])
    return st.one_of(
        st.tuples(st.just("lose"), name, st.none()),
        st.tuples(st.just("replace"), name, st.sampled_from(OTHERS)),
        st.tuples(st.just("cut"), name, st.floats(0, 1)),
        st.tuples(st.just("swap"), name, name),
        st.tuples(st.just("folder"), name, st.none()),
        st.tuples(st.just("set"), setting, JSON),
        st.tuples(st.just("write"), st.sampled_from(list(FILES)), JSON),
        st.tuples(st.just("rename"), st.sampled_from(list(tiny_arrays())), st.text(max_size=9)),
        st.tuples(st.just("store"), st.sampled_from(list(tiny_arrays())), st.sampled_from(["f2", "f8", "i4", "?"])),
    )


def damage(folder, kind, where, what):
    path = folder / (where[0] if kind == "set" else "model.safetensors" if kind in ("rename", "store") else where)
    if kind in ("set", "rename", "store") and not path.is_file():
        return
    if kind == "set":
        try:
            content = json.loads(path.read_bytes())
        except (ValueError, RecursionError):
            return
        for place in content if isinstance(content, list) else [content]:
            if isinstance(place, dict):
                place[where[1]] = what
        path.write_text(json.dumps(content), encoding="utf-8")
    elif kind in ("rename", "store"):
        arrays = tiny_arrays()
        array = arrays.pop(where)
        arrays[what if kind == "rename" else where] = array if kind == "rename" else array.astype(what)
        save_file(arrays, path)
    elif path.is_dir():
        return
    elif kind in ("lose", "folder"):
        path.unlink(missing_ok=True)
        if kind == "folder":
            path.mkdir()
    elif kind == "swap":
        other = folder / what
        if path.is_file() and other.is_file():
            first, second = path.read_bytes(), other.read_bytes()
            path.write_bytes(second)
            other.write_bytes(first)
    elif kind == "cut":
        path.write_bytes(path.read_bytes()[: int(what * path.stat().st_size)] if path.is_file() else b"")
    else:
        path.write_bytes(what if kind == "replace" else json.dumps(what).encode())


@pytest.mark.parametrize("examples", [80, pytest.param(3_000, marks=pytest.mark.slow)])
def test_a_damaged_folder_gives_one_sentence_or_an_encoder(good, tmp_path, examples):
    whole = Path(shutil.copytree(good, tmp_path / "whole"))
    listed(whole, "Transformer", "Pooling", "Normalize")
    write(whole, "2_Normalize/config.json", {})
    write(whole, "sentence_bert_config.json", {"do_lower_case": False})
    write(whole, "tokenizer_config.json", {"model_max_length": 8})
    load_encoder(whole)

    @settings(max_examples=examples, database=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(done=st.lists(damages(), min_size=1, max_size=3))
    def run(done):
        folder = tmp_path / "damaged"
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(whole, folder)
        for kind, where, what in done:
            damage(folder, kind, where, what)
        try:
            encoder = load_encoder(folder)
        except (ValueError, FileNotFoundError) as error:
            assert str(folder) in str(error)  # noqa: PT017 - either outcome is right
            assert str(error).isprintable()  # noqa: PT017
            return
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            assert encoder.embed(["the cat"]).shape == (1, 8)

    run()
