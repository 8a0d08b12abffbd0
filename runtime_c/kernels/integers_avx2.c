/* SPDX-License-Identifier: Apache-2.0 */
#include "lstm/lstm_integers.h"
#include "rnn/rnn_integers.h"
#include "svdf/svdf_integers.h"

#if ERT_HAS_avx2

ERT_BEGIN_avx2

ERT_INTEGERS(x8, avx2, ert_v_all_dots)
ERT_INTEGERS_S16(x8, avx2)

ERT_END_avx2

#endif
