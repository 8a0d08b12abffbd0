# SPDX-License-Identifier: Apache-2.0
"""Numbers of the TFLite schema (version 3): field slots, type codes, operator codes."""

from __future__ import annotations

IDENTIFIER = b"TFL3"

# table -> field -> slot
MODEL = {"operator_codes": 1, "subgraphs": 2, "description": 3, "buffers": 4}
OPERATOR_CODE = {"deprecated_builtin_code": 0, "custom_code": 1, "builtin_code": 3}
SUBGRAPH = {"tensors": 0, "inputs": 1, "outputs": 2, "operators": 3}
TENSOR = {
    "shape": 0,
    "type": 1,
    "buffer": 2,
    "name": 3,
    "quantization": 4,
    "is_variable": 5,
    "sparsity": 6,
    "shape_signature": 7,
    "external_buffer": 10,
}
QUANTIZATION = {"scale": 2, "zero_point": 3, "details_type": 4, "quantized_dimension": 6}
SPARSITY = {"traversal_order": 0, "block_map": 1, "dim_metadata": 2}
DIMENSION = {"format": 0, "size": 1, "segments_type": 2, "indices_type": 4}
INDEX_TYPES = {1: "int32", 2: "uint16", 3: "uint8"}
OPERATOR = {"opcode_index": 0, "inputs": 1, "outputs": 2, "options_type": 3, "options": 4, "custom_options": 5}
BUFFER = {"data": 0, "offset": 1, "size": 2}

TYPES = tuple(
    """
    FLOAT32 FLOAT16 INT32 UINT8 INT64 STRING BOOL INT16 COMPLEX64 INT8 FLOAT64 COMPLEX128 UINT64 RESOURCE VARIANT
    UINT32 UINT16 INT4 BFLOAT16 INT2 UINT4 FLOAT8_E4M3FN FLOAT8_E5M2
    """.split()
)

# The types that a graph can hold; the rest are refused by name.
DTYPES = {
    "FLOAT32": "float32",
    "FLOAT16": "float16",
    "INT8": "int8",
    "INT16": "int16",
    "INT32": "int32",
    "INT64": "int64",
    "INT4": "int4",
    "BOOL": "bool",
    "UINT8": "uint8",
}

ACTIVATIONS = ("NONE", "RELU", "RELU_N1_TO_1", "RELU6", "TANH", "SIGN_BIT")
PADDINGS = ("SAME", "VALID")

OPERATORS = tuple(
    """
    ADD AVERAGE_POOL_2D CONCATENATION CONV_2D DEPTHWISE_CONV_2D DEPTH_TO_SPACE DEQUANTIZE EMBEDDING_LOOKUP FLOOR
    FULLY_CONNECTED HASHTABLE_LOOKUP L2_NORMALIZATION L2_POOL_2D LOCAL_RESPONSE_NORMALIZATION LOGISTIC
    LSH_PROJECTION LSTM MAX_POOL_2D MUL RELU RELU_N1_TO_1 RELU6 RESHAPE RESIZE_BILINEAR RNN SOFTMAX SPACE_TO_DEPTH
    SVDF TANH CONCAT_EMBEDDINGS SKIP_GRAM CALL CUSTOM EMBEDDING_LOOKUP_SPARSE PAD UNIDIRECTIONAL_SEQUENCE_RNN
    GATHER BATCH_TO_SPACE_ND SPACE_TO_BATCH_ND TRANSPOSE MEAN SUB DIV SQUEEZE UNIDIRECTIONAL_SEQUENCE_LSTM
    STRIDED_SLICE BIDIRECTIONAL_SEQUENCE_RNN EXP TOPK_V2 SPLIT LOG_SOFTMAX DELEGATE BIDIRECTIONAL_SEQUENCE_LSTM
    CAST PRELU MAXIMUM ARG_MAX MINIMUM LESS NEG PADV2 GREATER GREATER_EQUAL LESS_EQUAL SELECT SLICE SIN
    TRANSPOSE_CONV SPARSE_TO_DENSE TILE EXPAND_DIMS EQUAL NOT_EQUAL LOG SUM SQRT RSQRT SHAPE POW ARG_MIN
    FAKE_QUANT REDUCE_PROD REDUCE_MAX PACK LOGICAL_OR ONE_HOT LOGICAL_AND LOGICAL_NOT UNPACK REDUCE_MIN FLOOR_DIV
    REDUCE_ANY SQUARE ZEROS_LIKE FILL FLOOR_MOD RANGE RESIZE_NEAREST_NEIGHBOR LEAKY_RELU SQUARED_DIFFERENCE
    MIRROR_PAD ABS SPLIT_V UNIQUE CEIL REVERSE_V2 ADD_N GATHER_ND COS WHERE RANK ELU REVERSE_SEQUENCE MATRIX_DIAG
    QUANTIZE MATRIX_SET_DIAG ROUND HARD_SWISH IF WHILE NON_MAX_SUPPRESSION_V4 NON_MAX_SUPPRESSION_V5 SCATTER_ND
    SELECT_V2 DENSIFY SEGMENT_SUM BATCH_MATMUL PLACEHOLDER_FOR_GREATER_OP_CODES CUMSUM CALL_ONCE BROADCAST_TO
    RFFT2D CONV_3D IMAG REAL COMPLEX_ABS HASHTABLE HASHTABLE_FIND HASHTABLE_IMPORT HASHTABLE_SIZE REDUCE_ALL
    CONV_3D_TRANSPOSE VAR_HANDLE READ_VARIABLE ASSIGN_VARIABLE BROADCAST_ARGS RANDOM_STANDARD_NORMAL BUCKETIZE
    RANDOM_UNIFORM MULTINOMIAL GELU DYNAMIC_UPDATE_SLICE RELU_0_TO_1 UNSORTED_SEGMENT_PROD UNSORTED_SEGMENT_MAX
    UNSORTED_SEGMENT_SUM ATAN2 UNSORTED_SEGMENT_MIN SIGN BITCAST BITWISE_XOR RIGHT_SHIFT STABLEHLO_LOGISTIC
    STABLEHLO_ADD STABLEHLO_DIVIDE STABLEHLO_MULTIPLY STABLEHLO_MAXIMUM STABLEHLO_RESHAPE STABLEHLO_CLAMP
    STABLEHLO_CONCATENATE STABLEHLO_BROADCAST_IN_DIM STABLEHLO_CONVOLUTION STABLEHLO_SLICE STABLEHLO_CUSTOM_CALL
    STABLEHLO_REDUCE STABLEHLO_ABS STABLEHLO_AND STABLEHLO_COSINE STABLEHLO_EXPONENTIAL STABLEHLO_FLOOR
    STABLEHLO_LOG STABLEHLO_MINIMUM STABLEHLO_NEGATE STABLEHLO_OR STABLEHLO_POWER STABLEHLO_REMAINDER
    STABLEHLO_RSQRT STABLEHLO_SELECT STABLEHLO_SUBTRACT STABLEHLO_TANH STABLEHLO_SCATTER STABLEHLO_COMPARE
    STABLEHLO_CONVERT STABLEHLO_DYNAMIC_SLICE STABLEHLO_DYNAMIC_UPDATE_SLICE STABLEHLO_PAD STABLEHLO_IOTA
    STABLEHLO_DOT_GENERAL STABLEHLO_REDUCE_WINDOW STABLEHLO_SORT STABLEHLO_WHILE STABLEHLO_GATHER
    STABLEHLO_TRANSPOSE DILATE STABLEHLO_RNG_BIT_GENERATOR REDUCE_WINDOW STABLEHLO_COMPOSITE STABLEHLO_SHIFT_LEFT
    STABLEHLO_CBRT STABLEHLO_CASE
    """.split()
)

# operator -> (its number in the BuiltinOptions union, field -> (slot, struct kind, default))
Fields = dict[str, tuple[int, str, int | float]]

_WINDOW: Fields = {"padding": (0, "b", 0), "stride_w": (1, "i", 0), "stride_h": (2, "i", 0)}
_ACTIVATION_0: Fields = {"activation": (0, "b", 0)}
_POOL: Fields = {**_WINDOW, "filter_w": (3, "i", 0), "filter_h": (4, "i", 0), "activation": (5, "b", 0)}
_KEEP_DIMS: Fields = {"keep_dims": (0, "b", 0)}
_BLOCK: Fields = {"block": (0, "i", 0)}

OPTIONS: dict[str, tuple[int, Fields]] = {
    "CONV_2D": (
        1,
        {
            **_WINDOW,
            "activation": (3, "b", 0),
            "dilation_w": (4, "i", 1),
            "dilation_h": (5, "i", 1),
            "bias_type": (6, "b", 0),
        },
    ),
    "DEPTHWISE_CONV_2D": (
        2,
        {
            **_WINDOW,
            "depth_multiplier": (3, "i", 0),
            "activation": (4, "b", 0),
            "dilation_w": (5, "i", 1),
            "dilation_h": (6, "i", 1),
        },
    ),
    "AVERAGE_POOL_2D": (5, _POOL),
    "MAX_POOL_2D": (5, _POOL),
    "L2_POOL_2D": (5, _POOL),
    "L2_NORMALIZATION": (12, _ACTIVATION_0),
    "LOCAL_RESPONSE_NORMALIZATION": (
        13,
        {"radius": (0, "i", 0), "bias": (1, "f", 0.0), "alpha": (2, "f", 0.0), "beta": (3, "f", 0.0)},
    ),
    "DIV": (29, _ACTIVATION_0),
    "MIRROR_PAD": (77, {"mode": (0, "b", 0)}),
    "FULLY_CONNECTED": (
        8,
        {
            "activation": (0, "b", 0),
            "weights_format": (1, "b", 0),
            "keep_num_dims": (2, "b", 0),
            "asymmetric_inputs": (3, "b", 0),
            "bias_type": (4, "b", 0),
        },
    ),
    "SOFTMAX": (9, {"beta": (0, "f", 0.0)}),
    "CONCATENATION": (10, {"axis": (0, "i", 0), "activation": (1, "b", 0)}),
    "ADD": (11, _ACTIVATION_0),
    "RESIZE_BILINEAR": (15, {"align_corners": (2, "b", 0), "half_pixel_centers": (3, "b", 0)}),
    "SPACE_TO_DEPTH": (19, _BLOCK),
    "MUL": (21, _ACTIVATION_0),
    "MEAN": (27, _KEEP_DIMS),
    "SUM": (27, _KEEP_DIMS),
    "REDUCE_MAX": (27, _KEEP_DIMS),
    "REDUCE_MIN": (27, _KEEP_DIMS),
    "REDUCE_PROD": (27, _KEEP_DIMS),
    "REDUCE_ANY": (27, _KEEP_DIMS),
    "REDUCE_ALL": (27, _KEEP_DIMS),
    "GATHER": (23, {"axis": (0, "i", 0), "batch_dims": (1, "i", 0)}),
    "ONE_HOT": (61, {"axis": (0, "i", 0)}),
    "CUMSUM": (102, {"exclusive": (0, "b", 0), "reverse": (1, "b", 0)}),
    "SUB": (28, _ACTIVATION_0),
    "STRIDED_SLICE": (
        32,
        {
            "begin_mask": (0, "i", 0),
            "end_mask": (1, "i", 0),
            "ellipsis_mask": (2, "i", 0),
            "new_axis_mask": (3, "i", 0),
            "shrink_axis_mask": (4, "i", 0),
            "offset": (5, "b", 0),
        },
    ),
    "TRANSPOSE_CONV": (49, {**_WINDOW, "activation": (3, "b", 0)}),
    "PACK": (59, {"count": (0, "i", 0), "axis": (1, "i", 0)}),
    "UNPACK": (64, {"count": (0, "i", 0), "axis": (1, "i", 0)}),
    "RESIZE_NEAREST_NEIGHBOR": (74, {"align_corners": (0, "b", 0), "half_pixel_centers": (1, "b", 0)}),
    "LEAKY_RELU": (75, {"alpha": (0, "f", 0.0)}),
    "DEPTH_TO_SPACE": (94, _BLOCK),
    "BATCH_MATMUL": (101, {"adj_x": (0, "b", 0), "adj_y": (1, "b", 0)}),
    "GELU": (116, {"approximate": (0, "b", 0)}),
    "SVDF": (6, {"rank": (0, "i", 0), "activation": (1, "b", 0)}),
    "UNIDIRECTIONAL_SEQUENCE_LSTM": (
        71,
        {"activation": (0, "b", 0), "cell_clip": (1, "f", 0.0), "time_major": (3, "b", 0)},
    ),
    "CALL_ONCE": (103, {"subgraph": (0, "i", 0)}),
    "VAR_HANDLE": (111, {}),
}

# operator -> field -> slot, of options that are strings
TEXT_OPTIONS = {"VAR_HANDLE": {"container": 0, "shared_name": 1}}

WITHOUT_OUTPUT = ("ASSIGN_VARIABLE", "CALL_ONCE")

# operator -> (its number in the union, slot of the vector of int32 that is its one field)
VECTOR_OPTIONS = {"RESHAPE": (17, 0), "SQUEEZE": (30, 0)}
