"""What the checks of chapter 12 say of a right answer that is too slow for the page."""

import time

import numpy as np
import pytest

from cllm_lib.lattice.primes import primes_below
from cllm_lib.workbook.exercises import check
from cllm_lib.workbook.exercises.chapter_12 import SLOW


@pytest.mark.parametrize(("work", "warned"), [(0.0, False), (SLOW + 0.05, True)])
def test_a_slow_sieve_passes_and_is_told_what_the_next_cell_will_cost(work, warned, capsys):
    def sieve(n):
        until = time.process_time() + (work if n == 20_000 else 0.0)
        while time.process_time() < until:
            pass
        return primes_below(n)

    np.testing.assert_array_equal(check("12.2", sieve)(100), primes_below(100))
    said = capsys.readouterr().out
    assert said.startswith("12.2 passed.")
    assert ("a minute or more" in said) == warned
