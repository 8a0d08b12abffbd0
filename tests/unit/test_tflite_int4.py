# SPDX-License-Identifier: Apache-2.0
"""TFLite models with 4-bit weights: bytes of TFLite Micro from the import to the runtime."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

models = pytest.importorskip("tflite_models")
from tflite_models import RELU, SAME, VALID, Op, Tensor, constant  # noqa: E402

from edgesdk import flow, runtime  # noqa: E402
from edgesdk.converters import tflite  # noqa: E402
from edgesdk.errors import Unsupported, UsageError  # noqa: E402


def act(name: str, *shape: int, scale: float = 0.05, zero_point: int = 3) -> Tensor:
    return Tensor(name, shape, scale=scale, zero_point=zero_point)


def weights(rng: np.random.Generator, name: str, shape: tuple[int, ...], axis: int, n: int = 0) -> list[Tensor]:
    scales = rng.uniform(0.02, 0.2, n or shape[axis]).tolist()
    w = constant(f"{name}/w", rng.integers(-8, 8, shape), "int4", scale=scales, axis=axis)
    return [w, constant(f"{name}/b", rng.integers(-500, 500, shape[axis]), scale=[0.05 * s for s in scales])]


def net(channels: int, seed: int = 0) -> bytes:
    """Odd numbers of channels make the rows of the weights begin in the middle of the file's bytes."""
    rng = np.random.default_rng(seed)
    c = channels
    tensors = [act("image", 1, 7, 6, 3), act("c", 1, 4, 3, c), act("d", 1, 4, 3, 2 * c), act("p", 1, 4, 3, c)]
    tensors += [act("flat", 1, 12 * c), act("logits", 1, 5, scale=0.5), constant("shape", [1, -1])]
    tensors += weights(rng, "c", (c, 3, 3, 3), 0) + weights(rng, "d", (1, 3, 3, 2 * c), 3)
    tensors += weights(rng, "p", (c, 1, 1, 2 * c), 0) + weights(
        rng, "f", (5, 12 * c), 0, n=1
    )  # all that TFLite Micro takes
    conv = {"padding": SAME, "strideW": 2, "strideH": 2, "fusedActivationFunction": RELU}
    ops = [
        Op("CONV_2D", ["image", "c/w", "c/b"], ["c"], conv),
        Op("DEPTHWISE_CONV_2D", ["c", "d/w", "d/b"], ["d"], {"padding": SAME, "depthMultiplier": 2}),
        Op("CONV_2D", ["d", "p/w", "p/b"], ["p"], {"padding": VALID}),
        Op("RESHAPE", ["p", "shape"], ["flat"]),
        Op("FULLY_CONNECTED", ["flat", "f/w", "f/b"], ["logits"]),
    ]
    return models.build(tensors, ops)


def converted(tmp_path: Any, data: bytes, **options: Any) -> flow.Converted:
    path = tmp_path / "model.tflite"
    path.write_bytes(data)
    return flow.convert(path, **options)


@pytest.mark.parametrize("channels", [3, 8])
@pytest.mark.parametrize("options", [{}, {"stream": True}], ids=["plain", "streamed"])
def test_bytes_of_tflite_micro(tmp_path: Any, channels: int, options: dict[str, Any]) -> None:
    data = net(channels)
    c = converted(tmp_path, data, **options)
    layers = ("conv2d", "fully_connected_rows")
    assert [s.kernel.types for s in c.schedule.steps if s.node.op in layers] == ["s8s4"] * 3
    session = runtime.open_session(c.data)
    for seed in range(4):
        x = np.random.default_rng(seed).integers(-128, 128, (1, 7, 6, 3)).astype(np.int8)
        if options:
            assert runtime.push_rows(session, x[0])
        else:
            runtime.run(session, [x])
        assert np.array_equal(session.outputs[0], models.run_micro(data, [x])[0])


def test_weights_take_half_a_byte_each(tmp_path: Any) -> None:
    c = converted(tmp_path, net(8), board="mps2_an386")  # vectors of 16 channels would be filled up
    packed = sum(w.nbytes for s in c.schedule.steps for w in s.encoded.params if isinstance(w, np.ndarray))
    count = sum(s.node.input(1).elements for s in c.schedule.steps if len(s.node.inputs) == 3)
    assert count / 2 < packed < count / 2 + 16 * 45


def layer(w: Tensor, kind: str = "int8", scale: float | None = 0.05) -> bytes:
    tensors = [Tensor("x", (1, 6), kind, scale=scale), Tensor("y", (1, 4), kind, scale=scale), w]
    return models.build(tensors, [Op("FULLY_CONNECTED", ["x", "w"], ["y"])])


def nibbles(**quant: Any) -> Tensor:
    return constant("w", np.arange(24).reshape(4, 6) % 16 - 8, "int4", **quant)


def test_float_layers_read_them_as_they_are(tmp_path: Any) -> None:
    w = nibbles(scale=[0.1, 0.2, 0.3, 0.4])
    c = converted(tmp_path, layer(w, "float32", None))
    assert [s.kernel.types for s in c.schedule.steps] == ["f32s4"]
    x = np.linspace(-1, 1, 6, dtype=np.float32)[None]
    expected = x @ (w.data * np.array([[0.1], [0.2], [0.3], [0.4]])).T
    np.testing.assert_allclose(runtime.run(runtime.open_session(c.data), [x])[0], expected, rtol=1e-5)


def test_beside_16_bit_activations_they_become_int8() -> None:
    graph = tflite.parse(layer(nibbles(scale=0.1), "int16", 0.001), "m", {})
    assert graph.nodes[0].input(1).dtype == "int8"
    assert np.array_equal(graph.nodes[0].input(1).data, nibbles().data)


def test_too_little_data_is_refused() -> None:
    model = models.unpack(layer(nibbles(scale=0.1)))
    (buffer,) = (b for b in model.buffers if b.data is not None)
    buffer.data = buffer.data[:11]
    with pytest.raises(UsageError, match="only 11 bytes of data at byte offset .*, expected 12"):
        tflite.parse(models.pack(model), "m", {})


def test_a_zero_point_is_refused() -> None:
    with pytest.raises(Unsupported, match="zero point other than 0"):
        tflite.parse(layer(nibbles(scale=0.1, zero_point=1)), "m", {})
