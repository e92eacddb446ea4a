"""The catalogue of the museum as a whole."""

import numpy as np
import pytest
from defects.exhibits import CONFIG
from oracles import random_batch

from cllm_lib import defects
from cllm_lib.instruments.gradient_check import check_gradients


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
