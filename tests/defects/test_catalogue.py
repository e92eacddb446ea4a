"""The catalogue of the museum as a whole."""

import numpy as np
import pytest
from defects.exhibits import CONFIG
from oracles import random_batch

from cllm_lib import CLLMConfig, defects
from cllm_lib.defects import catalogue
from cllm_lib.instruments.gradient_check import check_gradients
from cllm_lib.model.ends import CrossEntropy, LinearOutput


@pytest.mark.parametrize("name", ["missing attention gradient", "outer-product backward", "gradient of another loss"])
def test_at_zero_weights_the_gradient_check_acquits_every_one(name):
    exhibit = defects.ALL[name]
    for model in (exhibit.patient(CONFIG), exhibit.healthy(CONFIG)):
        model.flat_parameters[...] = 0.0
        batch = random_batch(40, 3, 8)
        report = check_gradients(lambda _, model=model, batch=batch: model.loss_and_gradients(*batch), model.parameters, coordinates=4)
        assert report.max_relative_error == report.largest_gradient == 0.0


@pytest.mark.parametrize("name", defects.ALL)
def test_the_catalogue_is_complete_and_every_part_fits_its_seam(name):
    exhibit = defects.ALL[name]
    assert exhibit.symptom.endswith(".")
    assert exhibit.exposure.endswith(".")
    for model in (exhibit.patient(CONFIG), exhibit.healthy(CONFIG)):
        assert np.isfinite(model.loss_and_gradients(*random_batch(40, 2, 8))[0])


class Exhibited:
    """A part.

    What it did
        Nothing.
    Symptom
        It is seen.
    Exposed by
        A test.
    In the documents
        Nowhere.
    """


def test_the_catalogue_is_in_the_order_of_the_book():
    assert list(defects.ALL)[:3] == ["silent zero initialisation", "half repair", "gradient of another loss"]
    assert sorted(place for place, _ in catalogue._EXHIBITS.values()) == list(range(1, len(defects.ALL) + 1))


@pytest.mark.parametrize(("name", "place"), [("head stride", 99), ("a new one", 6)])
def test_two_exhibits_of_one_name_or_place_are_refused(name, place, monkeypatch):
    assert defects.ALL
    monkeypatch.setattr(catalogue, "_EXHIBITS", dict(catalogue._EXHIBITS))
    with pytest.raises(ValueError, match="Exhibited and HeadStride both stand as .*the next free place is 24"):
        catalogue.exhibit(name, "attention", object, place)(Exhibited)


def test_a_docstring_without_its_headings_is_refused(monkeypatch):
    monkeypatch.setattr(catalogue, "_EXHIBITS", {})
    with pytest.raises(ValueError, match="docstring of int has no heading 'What it did'"):
        catalogue.exhibit("a number", "attention", object, 1)(int)
    found = catalogue.exhibit("a new one", "attention", object, 1)(Exhibited)
    assert found is Exhibited
    assert catalogue._EXHIBITS["a new one"][1].symptom == "It is seen."


@pytest.mark.parametrize(("seam", "sound"), [("output", LinearOutput), ("loss", CrossEntropy)])
def test_an_exhibit_at_either_end_of_a_model_makes_a_patient_by_the_same_line(seam, sound, monkeypatch):
    monkeypatch.setattr(catalogue, "_EXHIBITS", {})
    part = type("Mine", (sound,), {"__doc__": Exhibited.__doc__})
    catalogue.exhibit("a new one", seam, sound, 1)(part)
    _, defect = catalogue._EXHIBITS["a new one"]
    patient, healthy = defect.patient(CONFIG), defect.healthy(CONFIG)
    found = [model.output if seam == "output" else model.loss_part for model in (patient, healthy)]
    assert [type(one) for one in found] == [part, sound]
    assert (patient.is_sound, healthy.is_sound) == (False, True)
    batch = random_batch(40, 2, 8)
    assert patient.forward_backward(*batch) == pytest.approx(healthy.forward_backward(*batch), rel=1e-12)


def test_a_seam_that_is_none_is_named():
    with pytest.raises(ValueError, match="unknown seam 'atention': choose one of 'init', 'attention'"):
        catalogue.exhibit("a new one", "atention", object, 99)


@pytest.mark.parametrize("name", defects.ALL)
def test_every_exhibit_is_offered_by_the_face(name):
    assert defects.ALL[name].part.__name__ in defects.__all__


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", [name for name, exhibit in defects.ALL.items() if exhibit.seam in ("attention", "layer", "embedding")])
def test_a_part_computes_in_the_type_of_its_model(name, dtype):
    config = CLLMConfig(12, d_model=8, n_layers=2, n_heads=2, d_ff=6, seq_len=5, dtype=dtype)
    model = defects.ALL[name].patient(config)
    tokens = np.array([[1, 2, 1, 3, 1], [4, 4, 4, 4, 4]], dtype=np.int64)
    with np.errstate(all="ignore"):
        assert model.logits(tokens).dtype == dtype
        model.forward_backward(tokens, tokens)  # says so if a gradient is of another type
