/* SPDX-License-Identifier: Apache-2.0 */
/* The model file where it is executed: -DMODEL_FILE='"..."', nothing without. */
  .syntax unified
  .section .model, "a"
  .balign 16
  .global model_begin
model_begin:
#ifdef MODEL_FILE
  .incbin MODEL_FILE
#endif
  .global model_end
model_end:
