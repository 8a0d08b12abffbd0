/* SPDX-License-Identifier: Apache-2.0 */
/* The rows that every instruction set makes of the kernels on bytes.h. */
#ifndef ERT_BYTES_ROWS_H
#define ERT_BYTES_ROWS_H

#define ERT_BYTE_ROW(op, tile, isa, rows) \
  void ert_##op##_##tile##__##isa(const ert_call *c, int32_t y0, int32_t y1) { rows(c, y0, y1); }

#define ERT_BYTE_ROWS(isa)                                            \
  ERT_BYTE_ROW(add_s8s8, plain16, isa, ert_b_add_rows)                \
  ERT_BYTE_ROW(prelu_s8s8, x16, isa, ert_b_prelu_rows)                \
  ERT_BYTE_ROW(avg_pool2d_s8, x16, isa, ert_b_avg_pool_rows)          \
  ERT_BYTE_ROW(batch_matmul_s8s8, 4x16, isa, ert_b_batch_matmul_rows) \
  ERT_BYTE_ROW(div_s8s8, x16, isa, ert_b_div_rows)                    \
  ERT_BYTE_ROW(l2_norm_s8, x16, isa, ert_b_l2_norm_rows)              \
  ERT_BYTE_ROW(lut_s8, x16, isa, ert_b_lut_rows)                      \
  ERT_BYTE_ROW(max_pool2d_s8, x16, isa, ert_b_max_pool_rows)          \
  ERT_BYTE_ROW(minmax_s8s8, x16, isa, ert_b_minmax_rows)              \
  ERT_BYTE_ROW(mul_s8s8, x16, isa, ert_b_mul_rows)                    \
  ERT_BYTE_ROW(normalize_s8, x16, isa, ert_b_normalize_rows)          \
  ERT_BYTE_ROW(pixel_softmax_s8, x16, isa, ert_b_pixel_softmax_rows)  \
  ERT_BYTE_ROW(softmax_s8, x16, isa, ert_b_softmax_rows)              \
  ERT_BYTE_ROW(reduce_s8, x16, isa, ert_b_reduce_rows)                \
  ERT_BYTE_ROW(resize_s8, x16, isa, ert_b_resize_rows)

#endif
