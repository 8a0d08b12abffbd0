/* SPDX-License-Identifier: Apache-2.0 */
#include "columns_s16.h"

#if ERT_HAS_avx2

ERT_BEGIN_avx2

ERT_COLUMNS_S16_OF(columns_pairs, ERT_PAIRS)
ERT_COLUMNS_S16_OF(columns_pairs_vnni, ERT_PAIRS_VNNI)

ERT_END_avx2

extern const ert_columns_kernel ert_columns_s16_avx2, ert_columns_s16_avxvnni;
const ert_columns_kernel ert_columns_s16_avx2 = {columns_pairs, ERT_COLUMNS_S16, ERT_COLUMNS_PAIR, 2};
const ert_columns_kernel ert_columns_s16_avxvnni = {columns_pairs_vnni, ERT_COLUMNS_S16, ERT_COLUMNS_PAIR, 2};

#endif
