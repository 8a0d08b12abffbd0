/* SPDX-License-Identifier: Apache-2.0 */
#include "columns_s16.h"

#if ERT_HAS_avx512vnni

ERT_BEGIN_avx512vnni

ERT_COLUMNS_S16_OF(columns_pairs_evex, ERT_PAIRS_EVEX)

ERT_END_avx512vnni

extern const ert_columns_kernel ert_columns_s16_avx512vnni;
const ert_columns_kernel ert_columns_s16_avx512vnni = {columns_pairs_evex, ERT_COLUMNS_S16, ERT_COLUMNS_PAIR, 2};

#endif
