/* SPDX-License-Identifier: Apache-2.0 */
/* The rows that every instruction set makes of the kernels on bytes.h. */
#ifndef ERT_BYTES_ROWS_H
#define ERT_BYTES_ROWS_H

#define ERT_BYTE_ROW(op, tile, isa, rows) \
  void ert_##op##_##tile##__##isa(const ert_call *c, int32_t y0, int32_t y1) { rows(c, y0, y1); }

#define ERT_BYTE_ROWS(isa)                                    \
  ERT_BYTE_ROW(avg_pool2d_s8, x16, isa, ert_b_avg_pool_rows)  \
  ERT_BYTE_ROW(lut_s8, x16, isa, ert_b_lut_rows)              \
  ERT_BYTE_ROW(max_pool2d_s8, x16, isa, ert_b_max_pool_rows)  \
  ERT_BYTE_ROW(resize_s8, x16, isa, ert_b_resize_rows)

#endif
