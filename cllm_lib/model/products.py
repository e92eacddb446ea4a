"""Matrix products, where the time of a step goes: BLAS by way of NumPy, and in a browser, which has none, the faster of NumPy's own loops.

Without BLAS `a @ b` walks down the columns of b in three plain loops. The loops of `np.einsum` go along rows, four numbers at once.
Measured in Pyodide 0.27.7, milliseconds of a processor, `@` before `einsum`: (512, 128) by (128, 512) 154 and 20, its two backward
products 194 and 18, 34 and 25; of 128 rows, 32 columns and 10,000 words 44 and 31, 132 and 23, 46 and 24. A copy of b in
Fortran's order brings the first down to 33. Many small products, such as attention's heads, `@` does as fast or faster.
"""

import numpy as np

from cllm_lib.browser import in_browser

FEW = 32_768  # multiplications, below which a call of einsum takes longer than it saves


def product_without_blas(a, b, out=None):  # (..., n, k), (..., k, m) -> (..., n, m)
    """Matrix product by `np.einsum`, one after the other where there are several: `np.matmul` to rounding.

    Parameters
    ----------
    a, b : ndarray
    out : ndarray, optional
        Where to put it.

    Returns
    -------
    ndarray

    Raises
    ------
    ValueError
        As `np.matmul`, if shapes do not go together.
    """
    if a.ndim < 2 or b.ndim < 2 or a.shape[-1] != b.shape[-2] or a.shape[-2] * a.shape[-1] * b.shape[-1] < FEW:
        return np.matmul(a, b, out=out)
    if a.ndim == b.ndim == 2:
        return np.einsum("nk,km->nm", a, b, out=out)
    several = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    if out is None:
        out = np.empty((*several, a.shape[-2], b.shape[-1]), np.result_type(a, b))
    all_a, all_b = (np.broadcast_to(x, (*several, *x.shape[-2:])) for x in (a, b))
    for i in np.ndindex(several):
        np.einsum("nk,km->nm", all_a[i], all_b[i], out=out[i])
    return out


product = product_without_blas if in_browser() else np.matmul
