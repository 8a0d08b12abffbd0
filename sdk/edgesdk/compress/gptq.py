# SPDX-License-Identifier: Apache-2.0
"""Second-order rounding (optimal brain quantisation in the order of GPTQ, Frantar et al. 2022): weights are rounded
one column after the other, those with the most varied inputs first, and what each one loses is made up for by those
that are still free. Single integers are then moved while that helps.
"""

from __future__ import annotations

import numpy as np

from edgesdk.compress.rounding import Problem, polished


def gptq(p: Problem) -> np.ndarray:
    order = np.argsort(-np.diagonal(p.gram, axis1=1, axis2=2), axis=1, kind="stable")
    factor = upper_factor(p.gram, order)
    w, step = (np.take_along_axis(a, order[:, None, :], 2) for a in (p.w, p.step))
    q = np.empty_like(w)
    for k in range(w.shape[2]):
        q[..., k] = p.clipped(np.rint(w[..., k] / step[..., k]))
        lost = (w[..., k] - q[..., k] * step[..., k]) / factor[:, None, k, k]
        w[..., k + 1 :] -= lost[..., None] * factor[:, None, k, k + 1 :]
    back = np.argsort(order, axis=1)
    return polished(p, np.take_along_axis(q, back[:, None, :], 2))


def upper_factor(gram: np.ndarray, order: np.ndarray) -> np.ndarray:
    """U with U' U = the inverse of the reordered matrix: row k says how the later columns make up for column k."""
    index = np.arange(len(gram))[:, None, None]
    inverse = np.linalg.inv(gram[index, order[:, :, None], order[:, None, :]])
    return np.linalg.cholesky((inverse + inverse.transpose(0, 2, 1)) / 2).transpose(0, 2, 1)
