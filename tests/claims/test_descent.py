"""Plain descent is judged by both halves of the sentence, the document's Adam by the paper's."""

import numpy as np
import pytest
from claims.made import store

from cllm_lib import claims
from cllm_lib.claims import descent


def optimizer_runs(sgd, adam):
    after = {f"{rule} {rate:g}": end for rule, end in (("sgd", sgd), ("adam", adam)) for rate in descent.RATES_OF[rule]}
    return {(name, "before"): 5.6 for name in after} | {(name, "after"): end for name, end in after.items()}


@pytest.mark.parametrize(("sgd", "adam", "verdict"), [(5.5, 3.0, claims.HOLDS), (5.7, 3.0, claims.FAILS), (3.0, 3.0, claims.FAILS)])
def test_plain_descent_is_fine_if_it_falls_and_suboptimal_if_adam_falls_further(monkeypatch, sgd, adam, verdict):
    store(monkeypatch, "optimizers", optimizer_runs(sgd, adam))
    assert descent.plain_descent()[1] == verdict


def test_the_documents_adam_holds_and_one_without_correction_would_not(monkeypatch):
    assert descent.adam_formula()[1] == claims.HOLDS
    monkeypatch.setattr(descent.math, "sqrt", lambda x: 1.0)
    assert descent.adam_formula()[1] == claims.FAILS


@pytest.mark.slow
def test_the_papers_adam_is_that_of_pytorch():
    torch = pytest.importorskip("torch")
    gradients = np.random.default_rng(0).standard_normal((50, 5))
    parameter = torch.zeros(5, dtype=torch.float64, requires_grad=True)
    rule = torch.optim.Adam([parameter], lr=1e-3)
    for gradient in gradients:
        parameter.grad = torch.tensor(gradient)
        rule.step()
    np.testing.assert_allclose(descent.adam_of_the_paper(gradients), parameter.detach().numpy(), rtol=1e-12)
