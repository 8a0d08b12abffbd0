# SPDX-License-Identifier: Apache-2.0
"""Writes the digits data of this demo: calibration.npz and test.npz.

    python data.py OUT_DIR

The images are scikit-learn's bundled 8x8 digits, scaled to 0..1 and laid out [samples, 1, 8, 8].
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

SEED = 0
TEST_SAMPLES = 450
CALIBRATION_SAMPLES = 100


def split_digits() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """(train images, train labels, test images, test labels), the same split every time."""
    from sklearn.datasets import load_digits

    bunch = load_digits()
    images = (bunch.images / 16.0).astype(np.float32)[:, None]
    labels = bunch.target.astype(np.int64)
    order = np.random.RandomState(SEED).permutation(len(labels))
    test, train = order[:TEST_SAMPLES], order[TEST_SAMPLES:]
    return images[train], labels[train], images[test], labels[test]


def write(folder: Path) -> None:
    train, _, test, labels = split_digits()
    folder.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(folder / "calibration.npz", image=train[:CALIBRATION_SAMPLES])
    np.savez_compressed(folder / "test.npz", image=test, labels=labels)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="write the digits data")
    parser.add_argument("folder", type=Path)
    write(parser.parse_args().folder)
