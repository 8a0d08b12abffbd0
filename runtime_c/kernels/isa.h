/* SPDX-License-Identifier: Apache-2.0 */
/* Instruction sets. ERT_HAS_<isa> tells whether this build has the set; ERT_BUILT_<isa>(f) is f where it has,
 * NULL elsewhere, so that no table needs an #if. A file of kernels for a set is empty where the set is missing.
 *
 * The library of the Python package (ERT_INTROSPECT) computes thumb2 and dsp kernels with plain C in place of their
 * instructions: packed programs run on the machine that wrote them, byte for byte. */
#ifndef ERT_ISA_H
#define ERT_ISA_H

enum { ERT_ISA_c = 0, ERT_ISA_thumb2 = 1, ERT_ISA_dsp = 2, ERT_ISA_mve = 3 };

#define ERT_BUILT_c(f) f

/* Armv7-M and up: multiply-accumulate, 64-bit products, unaligned words. */
#if (defined(__ARM_ARCH_ISA_THUMB) && __ARM_ARCH_ISA_THUMB == 2) || defined(ERT_INTROSPECT)
#define ERT_HAS_thumb2 1
#define ERT_BUILT_thumb2(f) f
#else
#define ERT_HAS_thumb2 0
#define ERT_BUILT_thumb2(f) NULL
#endif

/* Armv7E-M, Armv8-M with DSP: two 16-bit products at once. */
#if defined(__ARM_FEATURE_DSP) || defined(ERT_INTROSPECT)
#define ERT_HAS_dsp 1
#define ERT_BUILT_dsp(f) f
#else
#define ERT_HAS_dsp 0
#define ERT_BUILT_dsp(f) NULL
#endif

/* Armv8.1-M vectors of integers. */
#if defined(__ARM_FEATURE_MVE) && (__ARM_FEATURE_MVE & 1)
#define ERT_HAS_mve 1
#define ERT_BUILT_mve(f) f
#else
#define ERT_HAS_mve 0
#define ERT_BUILT_mve(f) NULL
#endif

/* Armv6-M: eight registers for most instructions, more than compilers keep in order. Portable kernels have
 * their innermost parts in assembly there. */
#if defined(__GNUC__) && defined(__ARM_ARCH_ISA_THUMB) && __ARM_ARCH_ISA_THUMB == 1
#define ERT_THUMB1_ASM 1
#else
#define ERT_THUMB1_ASM 0
#endif

/* Scalar cores gain from four turns of an innermost loop at once; where there are vectors, compilers know better. */
#if defined(__riscv) && defined(__clang__)
#define ERT_UNROLL _Pragma("clang loop unroll_count(4)")
#elif defined(__riscv) && defined(__GNUC__)
#define ERT_UNROLL _Pragma("GCC unroll 4")
#else
#define ERT_UNROLL
#endif

/* A build for a core says which sets it must have: a compiler flag that is missing is an error, not a slow program. */
#if defined(ERT_NEEDS_thumb2) && !ERT_HAS_thumb2
#error "this core has Thumb-2, but the compiler's flags do not select it: -mcpu=cortex-m3 or later"
#endif
#if defined(ERT_NEEDS_dsp) && !ERT_HAS_dsp
#error "this core has DSP instructions, but the compiler's flags do not select them: with clang -mcpu=cortex-m33+dsp"
#endif
#if defined(ERT_NEEDS_mve) && !ERT_HAS_mve
#error "this core has MVE, but the compiler's flags do not select it: with zig -mcpu=cortex_m55+mve_fp"
#endif

#endif
