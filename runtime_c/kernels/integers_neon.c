/* SPDX-License-Identifier: Apache-2.0 */
#include "lstm/lstm_integers.h"
#include "rnn/rnn_integers.h"
#include "svdf/svdf_integers.h"

#if ERT_HAS_neon

ERT_INTEGERS(x4, neon, ert_v_all_dots)
ERT_INTEGERS_S16(x4, neon)

#endif
