"""What the five documents say, each claim with its measurement and a verdict.

    claims.show("07")             # what one chapter tests
    claims.table()                # all of it, in order of document
    claims.runs("suspects")       # the runs an experiment stored
    claims.recompute("suspects")  # a few of them, made now
    claims.try_out(...)           # a claim of your own

:mod:`~cllm_lib.claims.registry` registers experiments and reads the runs that `make evidence` stored;
:mod:`~cllm_lib.claims.judging` turns them into rows. The other modules hold the claims. A verdict is never typed: each
follows from its measurement.
"""

import importlib

from cllm_lib.claims.judging import (
    FAILS,
    HOLDS,
    PARTLY,
    UNTESTABLE,
    Effect,
    Row,
    adjusted_p_values,
    comparisons,
    effect,
    exact,
    measured,
    rows,
    share,
    show,
    table,
    timed,
    untestable,
    verdict,
    write_effects,
    write_table,
)
from cllm_lib.claims.registry import EXPERIMENTS, Run, experiment, fresh, recompute, runs, stored, values
from cllm_lib.claims.trial import try_out

__all__ = [
    "EXPERIMENTS",
    "FAILS",
    "HOLDS",
    "PARTLY",
    "UNTESTABLE",
    "Effect",
    "Row",
    "Run",
    "adjusted_p_values",
    "comparisons",
    "effect",
    "exact",
    "experiment",
    "fresh",
    "measured",
    "recompute",
    "rows",
    "runs",
    "share",
    "show",
    "stored",
    "table",
    "timed",
    "try_out",
    "untestable",
    "values",
    "verdict",
    "write_effects",
    "write_table",
]

for _module in ("crystalline", "program", "training", "epochs"):  # each registers its experiments and rows
    importlib.import_module(f"{__name__}.{_module}")
