# SPDX-License-Identifier: Apache-2.0
"""The two kinds of torch modules that the recipes make. torch is imported when the first one is made."""

from __future__ import annotations

from functools import cache
from typing import Any


@cache
def classes() -> dict[str, Any]:
    from torch import nn

    class Step(nn.Module):
        """One operation of the program: `spec` says which, and computes it on the parameters that lie here."""

        def __init__(self, spec: Any) -> None:
            super().__init__()
            self.spec = spec

        def forward(self, *inputs: Any) -> Any:
            return self.spec.run(self, *inputs)

        def extra_repr(self) -> str:
            return str(self.spec)

    class Prepared(nn.Module):
        """A model that computes what its program will. `left_float` names what stays float, and why."""

        def __init__(self, name: str, net: nn.Module, plan: Any, left_float: Any, example: Any) -> None:
            super().__init__()
            self.name, self.net, self.plan, self.left_float, self.example = name, net, plan, left_float, example

        def forward(self, *inputs: Any, **named: Any) -> Any:
            return self.net(*inputs, **named)

        def edge_graph(self) -> Any:
            """What `edgesdk.convert(model)` takes."""
            from edgesdk.compress.torch.emit import emit

            return emit(self)

    for made in (Step, Prepared):  # so that pickle finds them
        made.__qualname__, made.__module__ = made.__name__, __name__
    return {"Step": Step, "Prepared": Prepared}


def __getattr__(name: str) -> Any:
    if name not in ("Step", "Prepared"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return classes()[name]
