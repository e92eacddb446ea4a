import copy
import pickle

import numpy as np
import pytest

from cllm_lib import CLLM, CLLMConfig
from cllm_lib.model.named import FixedArrays, NamedArrays, fitting

CONFIG = CLLMConfig(vocab_size=9, d_model=8, n_layers=2, n_heads=2, d_ff=6, seq_len=5, positions="learned")
NAME = "layers.1.attention.query_weight"


@pytest.fixture
def model():
    return CLLM(CONFIG, seed=0)


@pytest.mark.parametrize("where", ["parameters", "gradients"])
def test_an_assignment_reaches_the_one_buffer(model, where):
    named, flat = getattr(model, where), getattr(model, f"flat_{where}")
    view, values = named[NAME], np.arange(64.0).reshape(8, 8)
    named[NAME] = values
    assert named[NAME] is view
    assert np.shares_memory(view, flat)
    np.testing.assert_array_equal(view, values)
    values[:] = -1.0  # a copy was made
    assert view[0, 1] == 1.0


def test_what_was_assigned_is_used_and_trained(model):
    tokens, targets = [[1, 2, 3]], [[2, 3, 4]]
    before = model.loss(tokens, targets)
    model.parameters[NAME] = 3.0 * np.eye(8)
    other = model.loss(tokens, targets)
    assert other != before
    assert model.forward_backward(tokens, targets) == pytest.approx(other, rel=1e-12)
    model.layer_parameters(0)["attention"]["query_weight"] = np.ones((8, 8))
    assert (model.parameters["layers.0.attention.query_weight"] == 1.0).all()
    model.position_parameters["table"] = np.ones((5, 8))
    assert (model.parameters["positions.table"] == 1.0).all()


def test_lists_and_whole_numbers_are_welcome_and_take_the_models_type():
    model = CLLM(CLLMConfig(vocab_size=9, d_model=8, dtype="float32"))
    for values in ([0] * 8, range(8), np.arange(8, dtype=np.int64), np.arange(8.0), np.ones(8, dtype=bool)):
        model.parameters["layers.0.attention_norm.gain"] = values
        np.testing.assert_array_equal(model.parameters["layers.0.attention_norm.gain"], np.array(values, dtype=np.float32))
    assert model.parameters["layers.0.attention_norm.gain"].dtype == model.flat_parameters.dtype == np.float32


def test_what_is_written_in_place_stays_as_it_was(model):
    gain, before = model.parameters["layers.0.attention_norm.gain"], model.flat_parameters
    model.parameters["layers.0.attention_norm.gain"] *= 2.0
    model.flat_parameters -= 0.5
    model.parameters |= {"layers.0.attention_norm.bias": np.full(8, 7.0)}
    assert model.parameters["layers.0.attention_norm.gain"] is gain
    assert model.flat_parameters is before
    assert (gain == 1.5).all()
    assert (model.parameters["layers.0.attention_norm.bias"] == 7.0).all()


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (np.zeros(8), rf"the parameter '{NAME}' has shape \(8, 8\), and what is given \(8,\)"),
        (np.zeros((1, 8)), r"and what is given \(1, 8\)"),
        (0.0, r"and what is given \(\)"),
        (np.zeros((8, 8), dtype=complex), "holds float64, and what is given is of type complex128: give real numbers"),
        (np.full((8, 8), "x"), "of type <U1"),
        (None, "of type object"),
        ([[1, 2], [3]], "rows of different lengths"),
    ],
)
def test_what_does_not_fit_is_refused_and_nothing_is_written(model, values, words):
    before = model.flat_parameters.copy()
    for write in (
        lambda: model.parameters.__setitem__(NAME, values),
        lambda: model.parameters.update({"embedding": np.zeros((9, 8)), NAME: values}),
        lambda: model.parameters.__ior__({"embedding": np.zeros((9, 8)), NAME: values}),
    ):
        with pytest.raises(ValueError, match=words):
            write()
    np.testing.assert_array_equal(model.flat_parameters, before)


def test_an_unknown_name_gets_those_that_are_like_it(model):
    for write in (
        lambda named: named.__setitem__("layers.1.attention.query_weigth", np.zeros((8, 8))),
        lambda named: named.update({"layers.1.attention.query_weigth": 0}),
        lambda named: named.setdefault("layers.1.attention.query_weigth", 0),
    ):
        with pytest.raises(
            ValueError, match=rf"there is no parameter 'layers.1.attention.query_weigth': the names are {NAME}, .* and \d+ more"
        ):
            write(model.parameters)
    with pytest.raises(ValueError, match="there is no gradient 'table2': the names are table$"):
        model._position_gradients["table2"] = 0
    assert model.parameters.setdefault("embedding", 0) is model.parameters["embedding"]


@pytest.mark.parametrize(
    "take",
    [
        lambda d: d.pop("embedding"),
        lambda d: d.pop("no", None),
        lambda d: d.popitem(),
        lambda d: d.clear(),
        lambda d: d.__delitem__("embedding"),
    ],
)
def test_nothing_is_taken_out(model, take):
    for named in (model.parameters, model.gradients):
        with pytest.raises(TypeError, match=r"stay: none can be taken out; to set one to zero write \[name\]\[...\] = 0"):
            take(named)
        assert "embedding" in named


@pytest.mark.parametrize("where", ["flat_parameters", "flat_gradients"])
def test_a_flat_buffer_takes_values_and_stays(model, where):
    there = getattr(model, where)
    setattr(model, where, np.linspace(0.0, there.size - 1.0, there.size))
    assert getattr(model, where) is there
    assert there[-1] == there.size - 1
    with pytest.raises(ValueError, match=rf"model.{where} has shape \({there.size},\), and what is given \(3,\)"):
        setattr(model, where, np.zeros(3))


def test_all_named_arrays_at_once(model):
    other, named = CLLM(CONFIG, seed=1), model.parameters
    model.parameters = dict(other.parameters)
    assert model.parameters is named
    np.testing.assert_array_equal(model.flat_parameters, other.flat_parameters)
    model.parameters = model.parameters
    for wrong in ({"embedding": np.zeros((9, 8))}, {}, None, [1]):
        with pytest.raises(ValueError, match="model.parameters is given without .*: give a dictionary of all .*update"):
            model.parameters = wrong


def test_groups_take_dictionaries(model):
    group = model.layer_parameters(0)
    group["attention_norm"] = {"gain": np.full(8, 2.0)}
    assert (model.parameters["layers.0.attention_norm.gain"] == 2.0).all()
    group["attention_norm"] |= {"bias": np.full(8, 3.0)}
    assert (model.parameters["layers.0.attention_norm.bias"] == 3.0).all()
    with pytest.raises(
        ValueError, match="'attention_norm' is a group of parameters: give a dictionary of arrays with the names gain, bias"
    ):
        group["attention_norm"] = np.zeros(8)


@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy, lambda one: pickle.loads(pickle.dumps(one))])
def test_copies_of_models_keep_their_memory_and_copies_of_dictionaries_are_plain(model, duplicate):
    twin = duplicate(model)
    assert type(twin.parameters) is NamedArrays
    twin.parameters[NAME] = np.full((8, 8), 2.0)
    assert np.shares_memory(twin.parameters[NAME], twin.flat_parameters)
    assert (model.parameters[NAME] == 2.0).all() == (duplicate is copy.copy)  # a shallow copy shares the weights
    plain = duplicate(model.parameters)
    assert type(plain) is type(model.parameters | {}) is type(model.parameters.copy()) is dict
    plain["new"] = 1
    assert list(plain) == [*model.parameters, "new"]


def test_an_initialiser_may_assign():
    def init(parameters, generator):
        for name in parameters:
            parameters[name] = np.full(parameters[name].shape, 0.5)

    assert (CLLM(CONFIG, init=init).flat_parameters == 0.5).all()
    with pytest.raises(ValueError, match="init returned a dictionary, which nobody reads: fill the arrays it is given in place"):
        CLLM(CONFIG, init=lambda parameters, generator: {name: np.ones_like(array) for name, array in parameters.items()})


def test_fitting_gives_back_an_array_that_fits():
    array = np.ones(3)
    assert fitting(array, np.zeros(3), "it") is array


CHANGES = {
    "an item": lambda arrays: arrays.__setitem__("gain", np.zeros(3)),
    "a new item": lambda arrays: arrays.__setitem__("other", np.zeros(3)),
    "update": lambda arrays: arrays.update(gain=np.zeros(3)),
    "union in place": lambda arrays: arrays.__ior__({"gain": np.zeros(3)}),
    "a default": lambda arrays: arrays.setdefault("other", np.zeros(3)),
    "deletion": lambda arrays: arrays.__delitem__("gain"),
    "pop": lambda arrays: arrays.pop("gain"),
    "the last item": lambda arrays: arrays.popitem(),
    "clear": lambda arrays: arrays.clear(),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_fixed_arrays_refuse_any_change_and_say_what_to_do(change):
    fixed = FixedArrays({"gain": np.ones(3)}, "make a new one")
    with pytest.raises(TypeError, match="stay as they are: make a new one"):
        change(fixed)
    assert list(fixed) == ["gain"]
    assert fixed["gain"].sum() == 3


def test_copies_of_fixed_arrays_are_plain_dictionaries():
    fixed = FixedArrays({"gain": np.ones(3)}, "make a new one")
    assert type(copy.deepcopy(fixed)) is type(pickle.loads(pickle.dumps(fixed))) is type(dict(fixed)) is dict
