/* SPDX-License-Identifier: Apache-2.0 */
/* Layers with plain parameters, written in the layouts of tiles.h and columns.h while a program is loaded. */
#ifndef ERT_PACK_H
#define ERT_PACK_H

#include "tiles.h"

enum { ERT_PACK_WORDS = 24 /* most of a packed row's parameters */ };

/* What is packed of a step: as the plain parameters say, and pointers into the file's weights. */
typedef struct {
  const int32_t *params;
  int32_t head;        /* words before the blobs: the same in plain and packed parameters */
  int32_t channels, n; /* outputs, and weights of each */
  int32_t kernel_h, kernel_w, item;
  int32_t next, nearby; /* items from a weight to the next channel's, and to the next one of its channel */
  const void *weights;
  const int32_t *bias; /* of float layers the bits of a float */
  const int32_t *multiplier;
  const int8_t *shift;
  int32_t step;
  const int32_t *limits; /* zero point, min and max; of float layers the bits of min and max */
} ert_layer;

/* A layout's name taken apart: n<nr>k<kr>, d<nr> or d<nr>k<kr>, and its last letter. */
typedef struct {
  int32_t nr, kr;
  char kind, last;
} ert_pack_layout;

/* 1 where the name is that of a layout which is known here. */
int ert_pack_layout_of(const char *name, ert_pack_layout *l);

/* Whether a layer of int8 computes the same bytes in that layout: as fits() of ops/tiles.py has it. */
int ert_pack_fits(const ert_layer *layer, const ert_pack_layout *l);

/* Bytes of the two blobs; UINT64_MAX or less. */
uint64_t ert_pack_weights_bytes(const ert_layer *layer, const ert_pack_layout *l);
uint64_t ert_pack_scales_bytes(const ert_layer *layer, const ert_pack_layout *l);

void ert_pack_weights(const ert_layer *layer, const ert_pack_layout *l, void *to);
void ert_pack_scales(const ert_layer *layer, const ert_pack_layout *l, int32_t *to);

/* The words of add s8s8 dense from those of add s8s8; 0 where they do not compute the same. */
int ert_pack_dense_sum(const int32_t *params, int32_t *dense);

#endif
