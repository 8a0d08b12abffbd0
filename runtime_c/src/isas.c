/* SPDX-License-Identifier: Apache-2.0 */
/* Which of the instruction sets in this build the machine has. Systems tell: nothing else is allowed to programs. */
#include "isa.h"
#include "kernel.h"

#define BIT(isa) ((uint32_t)1 << ERT_ISA_##isa)

#if ERT_HAS_x86
#include <cpuid.h>

/* The states of registers that the system keeps (XCR0). */
static uint32_t kept_registers(void) {
  uint32_t low, high;
  __asm__("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return low;
}

static uint32_t found(void) {
  enum {
    FMA = 1 << 12,
    OSXSAVE = 1 << 27,
    F16C = 1 << 29,
    AVX2 = 1 << 5,
    AVXVNNI = 1 << 4,
    VBMI = 1 << 1,
    VNNI = 1 << 11
  };
  const uint32_t avx512 = 1u << 16 | 1u << 17 | 1u << 30 | 1u << 31; /* F, DQ, BW, VL */
  uint32_t a, b, c, d, one, features;
  if (!__get_cpuid(1, &a, &b, &one, &d) || (one & (FMA | OSXSAVE | F16C)) != (FMA | OSXSAVE | F16C)) return 0;
  const uint32_t kept = kept_registers();
  if ((kept & 6) != 6 || !__get_cpuid_count(7, 0, &a, &features, &c, &d) || !(features & AVX2)) return 0;
  uint32_t isas = BIT(avx2);
  if ((kept & 0xe6) == 0xe6 && (features & avx512) == avx512 && (c & VNNI)) {
    isas |= BIT(avx512vnni);
    if (c & VBMI) isas |= BIT(avx512vbmi);
  }
  if (__get_cpuid_count(7, 1, &a, &b, &c, &d) && (a & AVXVNNI)) isas |= BIT(avxvnni);
  return isas;
}

#elif ERT_HAS_aarch64 && defined(__linux__)
unsigned long getauxval(unsigned long type);

static uint32_t found(void) {
  const unsigned long hwcap = getauxval(16), hwcap2 = getauxval(26); /* AT_HWCAP, AT_HWCAP2 */
  uint32_t isas = BIT(neon);
  if (hwcap >> 20 & 1) isas |= BIT(neondot);
  if ((hwcap >> 20 & 1) && (hwcap2 >> 13 & 1)) isas |= BIT(neoni8mm);
  if (hwcap >> 10 & 1) isas |= BIT(neonfp16);
  return isas;
}

#elif ERT_HAS_aarch64 && defined(__APPLE__)
int sysctlbyname(const char *name, void *value, size_t *bytes, void *fresh, size_t fresh_bytes);

static int has(const char *name) {
  int value = 0;
  size_t bytes = sizeof value;
  return sysctlbyname(name, &value, &bytes, NULL, 0) == 0 && value != 0;
}

static uint32_t found(void) {
  uint32_t isas = BIT(neon);
  if (has("hw.optional.arm.FEAT_DotProd")) isas |= BIT(neondot);
  if (has("hw.optional.arm.FEAT_I8MM")) isas |= BIT(neoni8mm);
  if (has("hw.optional.arm.FEAT_FP16")) isas |= BIT(neonfp16);
  return isas;
}

#elif ERT_HAS_aarch64 && defined(_WIN32)
__declspec(dllimport) int IsProcessorFeaturePresent(unsigned long feature);

static uint32_t found(void) {
  uint32_t isas = BIT(neon);
  if (IsProcessorFeaturePresent(43)) isas |= BIT(neondot);
  if (IsProcessorFeaturePresent(43) && IsProcessorFeaturePresent(66)) isas |= BIT(neoni8mm);
  if (IsProcessorFeaturePresent(67)) isas |= BIT(neonfp16);
  return isas;
}

#elif ERT_HAS_neon && !ERT_HAS_aarch64 && defined(__linux__)
unsigned long getauxval(unsigned long type);

static uint32_t found(void) { return getauxval(16) >> 12 & 1 ? BIT(neon) : 0; }

#else
/* What the compiler was told to use is there. */
static uint32_t found(void) {
  return (ERT_HAS_neon ? BIT(neon) : 0) | (ERT_HAS_simd128 ? BIT(simd128) : 0) | (ERT_HAS_relaxed ? BIT(relaxed) : 0);
}
#endif

uint32_t ert_isas(void) { return BIT(c) | BIT(thumb2) | BIT(dsp) | BIT(mve) | found(); }
