# SPDX-License-Identifier: Apache-2.0
"""Non-maximum suppression on float boxes (runtime_c/kernels/nms/nms.h has the rule).

nms     inputs boxes [B,N,4], scores [B,C,N]; attrs most (per class), threshold (scores above it), iou, center (boxes
        are middle and size instead of corners). Output int32 [B * C * most + 1, 3]: rows (image, class, box), -1 where
        there are no more; the last row is (count, 0, 0).
detect  TFLite_Detection_PostProcess. inputs encodings [1,N,>=4], scores [1,N,columns], anchors [N,4]; attrs classes,
        most, per_class (0: every box competes with its best class), threshold (scores from it on), iou, scale
        (y, x, h, w). Output float32 [6 * most + 1]: boxes, classes, scores, count.
"""

from __future__ import annotations

import numpy as np

from edgesdk.ir import Node
from edgesdk.kernels import Kernel
from edgesdk.ops import Encoded, RowView, f32_word

NAMES = ("nms", "detect")


def types(node: Node) -> str:
    return "f32"


def infer(node: Node) -> list[tuple[tuple[int, ...], str]]:
    if any(v is None or v.dtype != "float32" for v in node.inputs) or node.attrs["most"] < 1:
        raise ValueError("expected float32 inputs and room for at least one box")
    return [_selected(node) if node.op == "nms" else _detections(node)]


def _selected(node: Node) -> tuple[tuple[int, ...], str]:
    boxes, scores = node.input(0).shape, node.input(1).shape
    if len(boxes) != 3 or len(scores) != 3 or (boxes[0], boxes[1], boxes[2]) != (scores[0], scores[2], 4):
        raise ValueError(f"expected boxes [B,N,4] and scores [B,C,N], found {boxes} and {scores}")
    return (scores[0] * scores[1] * node.attrs["most"] + 1, 3), "int32"


def _detections(node: Node) -> tuple[tuple[int, ...], str]:
    codes, scores, anchors = (node.input(i).shape for i in range(3))
    n, classes = anchors[0], node.attrs["classes"]
    alike = len(codes) == len(scores) == 3 and len(anchors) == 2 and codes[:2] == scores[:2] == (1, n)
    if not alike or anchors[1] != 4 or codes[2] < 4 or scores[2] not in (classes, classes + 1):
        raise ValueError(
            f"expected encodings [1,N,4], scores [1,N,{classes} or one more] and anchors [N,4], "
            f"found {codes}, {scores} and {anchors}"
        )
    return (6 * node.attrs["most"] + 1,), "float32"


def _area(b: np.ndarray) -> np.ndarray:
    return np.asarray((b[..., 2] - b[..., 0]) * (b[..., 3] - b[..., 1]))


def _overlaps(box: np.ndarray, boxes: np.ndarray, iou: float) -> np.ndarray:
    """Which of the boxes (corners, float32) share more than `iou` of their union with `box`."""
    low, high = np.maximum(box[:2], boxes[:, :2]), np.minimum(box[2:], boxes[:, 2:])
    sides = np.maximum(high - low, np.float32(0))
    both, total = sides[:, 0] * sides[:, 1], _area(box) + _area(boxes)
    with np.errstate(all="ignore"):
        share = both / (total - both)
        return np.asarray((share > np.float32(iou)) & (_area(box) > 0) & (_area(boxes) > 0))


def _winners(boxes: np.ndarray, scores: np.ndarray, allowed: np.ndarray, iou: float, most: int) -> list[int]:
    """Indices in the order in which they win; `allowed` are those with a score that is high enough."""
    left = allowed.copy()
    won: list[int] = []
    for i in np.argsort(-scores, kind="stable"):
        if left[i] and len(won) < most:
            won.append(int(i))
            left &= ~_overlaps(boxes[i], boxes, iou)
            left[i] = False
    return won


def corners(node: Node, boxes: np.ndarray) -> np.ndarray:
    first, second = boxes[..., :2], boxes[..., 2:]
    if node.attrs["center"]:
        half = second / np.float32(2)
        return np.concatenate([first - half, first + half], -1)[..., [1, 0, 3, 2]]
    return np.concatenate([np.minimum(first, second), np.maximum(first, second)], -1)


def decoded(node: Node, codes: np.ndarray, anchors: np.ndarray) -> np.ndarray:
    codes = codes[:, :4] / np.array(node.attrs["scale"], np.float32)
    middle = codes[:, :2] * anchors[:, 2:] + anchors[:, :2]
    with np.errstate(over="ignore"):
        half = np.float32(0.5) * np.exp(codes[:, 2:].astype(np.float64)).astype(np.float32) * anchors[:, 2:]
    return np.concatenate([middle - half, middle + half], -1)


def reference(node: Node, arrays: list[np.ndarray]) -> list[np.ndarray]:
    return [_reference_nms(node, *arrays) if node.op == "nms" else _reference_detect(node, *arrays)]


def _reference_nms(node: Node, boxes: np.ndarray, scores: np.ndarray) -> np.ndarray:
    (rows, _), _ = infer(node)[0]
    found = np.full((rows, 3), -1, np.int32)
    n = 0
    for image, k in np.ndindex(*scores.shape[:2]):
        s = scores[image, k]
        place = corners(node, boxes[image])
        for i in _winners(place, s, s > np.float32(node.attrs["threshold"]), node.attrs["iou"], node.attrs["most"]):
            found[n], n = (image, k, i), n + 1
    found[-1] = (n, 0, 0)
    return found


def _reference_detect(node: Node, codes: np.ndarray, scores: np.ndarray, anchors: np.ndarray) -> np.ndarray:
    most, per_class, least = node.attrs["most"], node.attrs["per_class"], np.float32(node.attrs["threshold"])
    boxes, table = decoded(node, codes[0], anchors), scores[0][:, -node.attrs["classes"] :]
    runs = [(table[:, k], np.full(len(boxes), k)) for k in range(table.shape[1])] if per_class else []
    won: list[tuple[float, int, int]] = []
    for s, classes in runs or [(table.max(1), table.argmax(1))]:
        places = _winners(boxes, s, s >= least, node.attrs["iou"], per_class or most)
        won += [(float(s[i]), int(classes[i]), i) for i in places]
    won = sorted(won, key=lambda w: -w[0])[:most]
    out = np.zeros(6 * most + 1, np.float32)
    for j, (score, k, i) in enumerate(won):
        out[4 * j : 4 * j + 4], out[4 * most + j], out[5 * most + j] = boxes[i], k, score
    out[-1] = len(won)
    return out


def encode(node: Node, kernel: Kernel) -> Encoded:
    y, attrs = node.output, node.attrs
    values = [node.input(i) for i in range(len(node.inputs))]
    limits = [f32_word(attrs["threshold"]), f32_word(attrs["iou"])]
    words: list[int | np.ndarray | None]
    if node.op == "nms":
        images, classes, boxes = values[1].shape
        words = [images, classes, boxes, attrs["most"], int(attrs["center"]), *limits]
    else:
        words = [*values[0].shape[1:], values[1].shape[2], attrs["classes"], attrs["most"], attrs["per_class"], *limits]
        words += [f32_word(s) for s in attrs["scale"]]
    return Encoded(words, RowView(y, 1, y.n_bytes), [RowView(v, 1, v.n_bytes) for v in values], 1)
