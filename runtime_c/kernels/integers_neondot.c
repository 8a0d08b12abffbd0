/* SPDX-License-Identifier: Apache-2.0 */
/* One instruction multiplies and adds up sixteen bytes. */
#include "lstm/lstm_integers.h"
#include "rnn/rnn_integers.h"
#include "svdf/svdf_integers.h"

#if ERT_HAS_neondot

ERT_BEGIN_neondot

/* Rows o ... */
ERT_INLINE void eight(const ert_v_dots *d, ptrdiff_t o, int own) {
  const ptrdiff_t n = d->n;
  const int8_t *w = d->w + o * n, *x = own ? d->x + o * n : d->x;
  int32x4_t sums[ERT_V_RUNS];
  ptrdiff_t k = 0;
  ERT_UNROLLED
  for (int r = 0; r < ERT_V_RUNS; r++) sums[r] = vsetq_lane_s32(d->bias[o + r], vdupq_n_s32(0), 0);
  for (; k + ERT_V_CHUNK <= n; k += ERT_V_CHUNK) {
    const int8x16_t all = vld1q_s8(x + k);
    ERT_UNROLLED
    for (int r = 0; r < ERT_V_RUNS; r++)
      sums[r] = vdotq_s32(sums[r], own ? vld1q_s8(x + r * n + k) : all, vld1q_s8(w + r * n + k));
  }
  if (k < n) {
    const int8x16_t mask = (int8x16_t)ert_v_last_bytes(d->n);
    k = n - ERT_V_CHUNK;
    ERT_UNROLLED
    for (int r = 0; r < ERT_V_RUNS; r++)
      sums[r] = vdotq_s32(sums[r], vandq_s8(mask, vld1q_s8(own ? x + r * n + k : x + k)), vld1q_s8(w + r * n + k));
  }
  vst1q_s32(d->out + o, vpaddq_s32(vpaddq_s32(sums[0], sums[1]), vpaddq_s32(sums[2], sums[3])));
  vst1q_s32(d->out + o + 4, vpaddq_s32(vpaddq_s32(sums[4], sums[5]), vpaddq_s32(sums[6], sums[7])));
}

static void neondot_dots(const ert_v_dots *d) {
  const int32_t last = d->rows - ERT_V_RUNS;
  if (d->n < ERT_V_CHUNK || last < 0) {
    ert_v_few_dots(d);
    return;
  }
  for (int32_t o = 0; o < d->rows; o += ERT_V_RUNS)
    if (d->own) eight(d, o < last ? o : last, 1);
    else eight(d, o < last ? o : last, 0);
}

ERT_INTEGERS(x4, neondot, neondot_dots)

ERT_END_neondot

#endif
