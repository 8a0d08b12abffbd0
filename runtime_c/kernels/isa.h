/* SPDX-License-Identifier: Apache-2.0 */
/* Instruction sets. ERT_HAS_<isa> tells whether this build has the set; ERT_BUILT_<isa>(f) is f where it has,
 * NULL elsewhere, so that no table needs an #if. A file of kernels for a set is empty where the set is missing.
 *
 * The library of the Python package (ERT_INTROSPECT) computes thumb2 and dsp kernels with plain C in place of their
 * instructions: packed programs run on the machine that wrote them, byte for byte. */
#ifndef ERT_ISA_H
#define ERT_ISA_H

enum {
  ERT_ISA_c = 0,
  ERT_ISA_thumb2,
  ERT_ISA_dsp,
  ERT_ISA_mve,
  ERT_ISA_avx2,       /* x86-64 with AVX2 and FMA */
  ERT_ISA_avx512vnni, /* AVX-512 F, BW, DQ, VL and VNNI */
  ERT_ISA_avx512vbmi, /* shuffles of bytes, beside avx512vnni */
  ERT_ISA_avxvnni,    /* AVX2 with 256-bit VNNI in VEX encoding */
  ERT_ISA_neon,       /* AArch64, or Armv7-A with NEON */
  ERT_ISA_neondot,    /* sdot and udot */
  ERT_ISA_neoni8mm,   /* smmla */
  ERT_ISA_neonfp16,   /* arithmetic of half floats */
  ERT_ISA_simd128,    /* WebAssembly */
  ERT_ISA_relaxed     /* WebAssembly: relaxed SIMD */
};

#if defined(__GNUC__)
#define ERT_INLINE static inline __attribute__((always_inline, unused))
#define ERT_APART static __attribute__((noinline, unused)) /* rarely called: a copy per caller is not worth its code */
#else
#define ERT_INLINE static inline
#define ERT_APART static
#endif

#define ERT_BUILT_c(f) f

/* Armv7-M and up: multiply-accumulate, 64-bit products, unaligned words. */
#if defined(__ARM_ARCH_PROFILE) && __ARM_ARCH_PROFILE == 'M'
#define ERT_PROFILE_M 1
#else
#define ERT_PROFILE_M 0
#endif
#if (ERT_PROFILE_M && __ARM_ARCH_ISA_THUMB == 2) || defined(ERT_INTROSPECT)
#define ERT_HAS_thumb2 1
#define ERT_BUILT_thumb2(f) f
#else
#define ERT_HAS_thumb2 0
#define ERT_BUILT_thumb2(f) NULL
#endif

/* Armv7E-M, Armv8-M with DSP: two 16-bit products at once. */
#if (ERT_PROFILE_M && defined(__ARM_FEATURE_DSP)) || defined(ERT_INTROSPECT)
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

/* Sets that a processor may lack though the compiler knows them: their files are compiled for them function by function
 * (ERT_BEGIN_<isa>, ERT_END_<isa> around what follows the includes), and ert_isas() tells at load whether they run. */
#if defined(__x86_64__) && defined(__GNUC__)
#define ERT_HAS_x86 1
#define ERT_BUILT_avx2(f) f
#define ERT_BUILT_avx512vnni(f) f
#define ERT_BUILT_avx512vbmi(f) f
#define ERT_BUILT_avxvnni(f) f
#else
#define ERT_HAS_x86 0
#define ERT_BUILT_avx2(f) NULL
#define ERT_BUILT_avx512vnni(f) NULL
#define ERT_BUILT_avx512vbmi(f) NULL
#define ERT_BUILT_avxvnni(f) NULL
#endif
#define ERT_HAS_avx2 ERT_HAS_x86
#define ERT_HAS_avx512vnni ERT_HAS_x86
#define ERT_HAS_avx512vbmi ERT_HAS_x86
#define ERT_HAS_avxvnni ERT_HAS_x86

#if defined(__ARM_NEON)
#define ERT_HAS_neon 1
#define ERT_BUILT_neon(f) f
#else
#define ERT_HAS_neon 0
#define ERT_BUILT_neon(f) NULL
#endif

#if defined(__aarch64__) && defined(__GNUC__)
#define ERT_HAS_aarch64 1
#define ERT_BUILT_neondot(f) f
#define ERT_BUILT_neoni8mm(f) f
#define ERT_BUILT_neonfp16(f) f
#else
#define ERT_HAS_aarch64 0
#define ERT_BUILT_neondot(f) NULL
#define ERT_BUILT_neoni8mm(f) NULL
#define ERT_BUILT_neonfp16(f) NULL
#endif
#define ERT_HAS_neondot ERT_HAS_aarch64
#define ERT_HAS_neoni8mm ERT_HAS_aarch64
#define ERT_HAS_neonfp16 ERT_HAS_aarch64

/* A module of WebAssembly has its sets or is not accepted: nothing to find out later. */
#if defined(__wasm_simd128__)
#define ERT_HAS_simd128 1
#define ERT_BUILT_simd128(f) f
#else
#define ERT_HAS_simd128 0
#define ERT_BUILT_simd128(f) NULL
#endif
#if defined(__wasm_relaxed_simd__)
#define ERT_HAS_relaxed 1
#define ERT_BUILT_relaxed(f) f
#else
#define ERT_HAS_relaxed 0
#define ERT_BUILT_relaxed(f) NULL
#endif

/* Cores with caches and vectors, where some code more is no matter. */
#define ERT_HAS_VECTORS (ERT_HAS_x86 || ERT_HAS_neon || ERT_HAS_simd128)

#define ERT_PRAGMA(text) _Pragma(#text)
#if defined(__clang__)
#define ERT_BEGIN_TARGET(names) ERT_PRAGMA(clang attribute push(__attribute__((target(names))), apply_to = function))
#define ERT_END_TARGET ERT_PRAGMA(clang attribute pop)
#else
#define ERT_BEGIN_TARGET(names) ERT_PRAGMA(GCC push_options) ERT_PRAGMA(GCC target(names))
#define ERT_END_TARGET ERT_PRAGMA(GCC pop_options)
#endif
#define ERT_BEGIN_avx2 ERT_BEGIN_TARGET("avx2,fma,f16c")
#define ERT_END_avx2 ERT_END_TARGET
#define ERT_BEGIN_avx512vnni ERT_BEGIN_TARGET("avx2,fma,f16c,avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")
#define ERT_END_avx512vnni ERT_END_TARGET
#define ERT_BEGIN_avx512vbmi ERT_BEGIN_TARGET("avx2,fma,f16c,avx512f,avx512bw,avx512dq,avx512vl,avx512vbmi")
#define ERT_END_avx512vbmi ERT_END_TARGET
#define ERT_BEGIN_avxvnni ERT_BEGIN_TARGET("avx2,fma,f16c,avxvnni")
#define ERT_END_avxvnni ERT_END_TARGET
#if defined(__clang__)
#define ERT_BEGIN_neondot ERT_BEGIN_TARGET("dotprod")
#define ERT_BEGIN_neoni8mm ERT_BEGIN_TARGET("dotprod,i8mm")
#if __clang_major__ >= 16 /* from there on names of targets are those of the command line */
#define ERT_BEGIN_neonfp16 ERT_BEGIN_TARGET("fp16")
#else
#define ERT_BEGIN_neonfp16 ERT_BEGIN_TARGET("fullfp16")
#endif
#else
#define ERT_BEGIN_neondot ERT_BEGIN_TARGET("arch=armv8.2-a+dotprod")
#define ERT_BEGIN_neoni8mm ERT_BEGIN_TARGET("arch=armv8.2-a+dotprod+i8mm")
#define ERT_BEGIN_neonfp16 ERT_BEGIN_TARGET("arch=armv8.2-a+fp16")
#endif
#define ERT_END_neondot ERT_END_TARGET
#define ERT_END_neoni8mm ERT_END_TARGET
#define ERT_END_neonfp16 ERT_END_TARGET

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

/* Loops over the registers of a micro-kernel: their number of turns is a constant once it is part of its caller, and
 * what they index must not lie in memory. */
#if defined(__clang__)
#define ERT_UNROLLED _Pragma("clang loop unroll(full)")
#elif defined(__GNUC__)
#define ERT_UNROLLED _Pragma("GCC unroll 16")
#else
#define ERT_UNROLLED
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
