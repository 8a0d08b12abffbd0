# SPDX-License-Identifier: Apache-2.0
"""int8 accuracy of the MLPerf Tiny networks by calibration method and recipe, beside their published int8 models.

    python benchmarks/accuracy.py --models DIR --data DIR [--json OUT] [--html-free]

DIR are folders with the models and data of MLPerf Tiny under the names in CASES. Keywords have labels (top-1 over the
1,000 evaluation inputs, calibrated on 100 others of the distribution: the inputs as the published int8 model stores
them); of the others the relative L2 distance of the outputs from float is told, over inputs that were not seen in
calibration and are drawn as CASES says, since the evaluation sets are not public domain.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from edgesdk import accuracy, compress, converters, passes, probe
from edgesdk.compress.calibrate import chosen_ranges
from edgesdk.compress.observe import observe
from edgesdk.compress.range_methods import METHODS
from edgesdk.compress.work import Work
from edgesdk.ir import Graph

RECIPES = ("int8", "int8+correct_bias", "int8+equalize", "int8+equalize+correct_bias")
CALIBRATION_SAMPLES = 100
