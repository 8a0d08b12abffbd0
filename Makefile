# SPDX-License-Identifier: Apache-2.0
# `make help` lists the targets. Everything lands in .venv and build; nothing else is written.
.DEFAULT_GOAL := help
SHELL := /bin/sh
PYTHON ?= python3
VENV ?= .venv
RUNS ?= 10000000
FUZZ_SECONDS ?= 60
MODELS ?= ../shared/models
INPUTS ?= ../shared/data/mcu-parity
TYPESCRIPT := typescript@7.0.2
WEB_PEERS := @litertjs/core@2.5.3 onnxruntime-web@1.30.0 @tensorflow/tfjs@4.22.0 @tensorflow/tfjs-backend-wasm@4.22.0
JOBS ?= $(shell nproc 2>/dev/null || sysctl -n hw.ncpu 2>/dev/null || echo 2)

BIN := $(CURDIR)/$(VENV)/bin
BUILD := $(CURDIR)/build
ZIG := $(BIN)/python -m ziglang cc
INCLUDES := -Iruntime_c/include -Iruntime_c/src -Iruntime_c/kernels
ABSOLUTE_INCLUDES := $(subst -I,-I$(CURDIR)/,$(INCLUDES))
WARNINGS := -Wall -Wextra -Wpedantic -Wconversion -Werror
SANITIZE := -g -O1 -std=c99 -fsanitize=address,undefined -fno-sanitize-recover=all
SANITIZED := $(BUILD)/sanitized/libert.so
C_SOURCES = $(wildcard runtime_c/src/*.c runtime_c/kernels/*.c runtime_c/kernels/*/*.c)
PORTABLE = $(C_SOURCES)
LIBRARY := $(BUILD)/native/libert$(if $(filter Darwin,$(shell uname -s)),.dylib,.so)

# Command that a Debian package brings, as command:package.
FOR_BUILD := cc:gcc
FOR_BOARDS := arm-none-eabi-gcc:gcc-arm-none-eabi qemu-system-arm:qemu-system-arm
FOR_TESTS := clang:clang ld.lld:lld clang-tidy:clang-tidy cppcheck:cppcheck qemu-aarch64:qemu-user
FOR_WEB := node:nodejs chromium:chromium
# Where no C compiler is installed, the one of the ziglang package builds the host library.
HOST_CC = $(if $(shell command -v cc || command -v gcc || command -v clang),,CC=$(BIN)/zig-cc)

.PHONY: help setup demo test test-long lint fuzz fuzz-run sizes linux bench-mcu bench-arm bench-kernels bench-cycles bench-stream bench-cpu peers bench-web web freestanding sanitize native seeds clean
.PHONY: sanitized system-build system-boards system-tests system-web

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: system-build system-boards system-tests system-web $(VENV)/.ready $(BUILD)/view/edgesdk ## Install what is missing: system packages (as root), .venv, the package in editable mode
	@echo "ready: $(VENV)/bin/edgesdk"

demo: system-build system-boards $(VENV)/.demo ## Convert, validate and profile a digit classifier, on this machine and on an emulated Cortex-M4
	@mkdir -p $(BUILD)/demo
	$(BIN)/python apps/digits/data.py $(BUILD)/demo
	$(BIN)/edgesdk convert apps/digits/digits.onnx -o $(BUILD)/demo/digits.edge --quantize int8 --calibration $(BUILD)/demo/calibration.npz
	$(BIN)/edgesdk validate $(BUILD)/demo/digits.edge --against apps/digits/digits.onnx --data $(BUILD)/demo/test.npz --labels $(BUILD)/demo/test.npz
	$(BIN)/edgesdk profile $(BUILD)/demo/digits.edge
	@if command -v qemu-system-arm >/dev/null; then \
	  set -ex; \
	  $(BIN)/edgesdk convert apps/digits/digits.onnx -o $(BUILD)/demo/digits_m4.edge --board mps2_an386 --quantize int8 --calibration $(BUILD)/demo/calibration.npz; \
	  $(BIN)/edgesdk profile $(BUILD)/demo/digits_m4.edge --board mps2_an386; \
	else \
	  echo "left out: the emulated Cortex-M4 (board mps2_an386) needs qemu-system-arm; install it with"; \
	  echo "  apt-get install qemu-system-arm      or your system's package of QEMU, then run make demo again"; \
	fi

test: setup ## Everything that a change must pass: lint, sanitizers, 60 s of fuzzing, all tests
	$(MAKE) -j2 lint sanitized
	$(MAKE) sanitize
	$(MAKE) -j3 freestanding fuzz fuzz-run RUNS=200000
	$(MAKE) native
	EDGESDK_LIBRARY=$(LIBRARY) $(BIN)/python -m pytest -n $(JOBS) --dist worksteal $(PYTEST_FLAGS)

test-long: setup sanitize ## The tests with many more random cases, and long fuzz runs
	$(MAKE) fuzz fuzz-run FUZZ_SECONDS=1800
	$(MAKE) native
	EDGESDK_LIBRARY=$(LIBRARY) HYPOTHESIS_PROFILE=long $(BIN)/python -m pytest -n $(JOBS) --dist worksteal $(PYTEST_FLAGS)

lint: $(VENV)/.ready $(BUILD)/view/edgesdk ## Static checks of Python and C
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	find runtime_c apps tests boards -name '*.[ch]' | xargs $(BIN)/clang-format --dry-run -Werror
	@if command -v clang-tidy >/dev/null; then \
	  printf '%s\n' $(C_SOURCES) | xargs -P $(JOBS) -n 4 sh -c 'clang-tidy --quiet "$$@" -- -std=c99 $(INCLUDES) -DERT_INTROSPECT 2>/dev/null' tidy; \
	elif command -v cppcheck >/dev/null; then \
	  cppcheck --quiet --std=c99 --enable=warning,portability --error-exitcode=1 $(INCLUDES) $(C_SOURCES); \
	else echo "left out: clang-tidy or cppcheck on the C sources (neither is installed)"; fi

fuzz: $(VENV)/.ready seeds sanitized ## Fuzz the loader under ASan and UBSan (RUNS=10000000)
	@$(call run-fuzzer,fuzz_load,-DLOAD_ONLY=1,-runs=$(RUNS))

fuzz-run: $(VENV)/.ready seeds sanitized ## Fuzz the loader and run what it accepts, for FUZZ_SECONDS
	@$(call run-fuzzer,fuzz_run,,-max_total_time=$(FUZZ_SECONDS))

seeds: native
	@mkdir -p $(BUILD)/fuzz/corpus $(BUILD)/fuzz/seeds
	EDGESDK_LIBRARY=$(LIBRARY) $(BIN)/python tests/fuzz/write_seeds.py $(BUILD)/fuzz/seeds

sizes: $(VENV)/.ready ## Code and stack bytes of every kernel on each Cortex-M, as a table and build/sizes.json
	@mkdir -p $(BUILD)
	$(BIN)/python runtime_c/tools/size_report.py --json $(BUILD)/sizes.json

linux: $(VENV)/.ready ## ert-run, a static program for Linux on aarch64, armv7, x86-64 and riscv64, in build/linux
	$(BIN)/python -c 'import pathlib; from edgesdk import linux; print(*linux.build_all(pathlib.Path("$(BUILD)/linux")), sep="\n")'

bench-mcu: setup ## Instructions, arena, stack, code and load on emulated cores beside TFLite Micro (MODELS, INPUTS; BENCH=--write)
	$(BIN)/python benchmarks/mcu.py --models $(MODELS) --inputs $(INPUTS) --twice --files $(BENCH)

bench-arm: setup ## Instructions of networks on emulated 64-bit Arm cores beside XNNPACK, modelled cycles of hot loops (BENCH=--loops)
	$(BIN)/python benchmarks/arm.py $(BENCH)

bench-kernels: setup ## Instructions per product or element of single layers on emulated cores
	$(BIN)/python benchmarks/kernel_sweep.py $(BENCH)

bench-cycles: setup ## Modelled cycles of the models and their hot loops, from what emulated cores execute (MODELS, INPUTS)
	$(BIN)/python benchmarks/cycles.py --models $(MODELS) --inputs $(INPUTS) $(BENCH)

bench-stream: setup ## Instructions per new frame of a sliding window beside the whole window, on an emulated Cortex-M4 (MODELS)
	$(BIN)/python benchmarks/stream.py --models $(MODELS)

bench-cpu: setup native ## Time on this machine beside LiteRT, onnxruntime, OpenVINO, ncnn and ExecuTorch, where `make peers` has been run
	EDGESDK_LIBRARY=$(LIBRARY) $(BIN)/python benchmarks/cpu.py $(BENCH)

# Each in a virtual environment of its own: their requirements exclude each other.
PEERS := litert onnxruntime openvino ncnn executorch
peers: $(PEERS:%=$(BUILD)/peers/%/.ready) ## Install what bench-cpu compares with (2 GB; PEERS=litert for less)

$(BUILD)/peers/%/.ready: benchmarks/cpu_peers/%.txt | system-build
	$(PYTHON) -m venv $(@D)
	$(@D)/bin/python -m pip install --quiet -r $<
	@touch $@

bench-web: setup native ## Time in a browser beside LiteRT.js, onnxruntime-web and tfjs, and what a page downloads (needs npm)
	@if command -v npm >/dev/null; then npm install --silent --no-audit --no-fund --prefix $(BUILD)/npm $(WEB_PEERS); \
	else echo "left out: the peers need npm (Debian: npm)"; fi
	EDGESDK_LIBRARY=$(LIBRARY) $(BIN)/python benchmarks/web.py $(BENCH)

sanitize: sanitized ## Kernel and unit tests with the library under ASan and UBSan
	@if [ -f $(SANITIZED) ]; then set -ex; \
	  if $(HAS_FUZZER); then preload=$$(clang -print-file-name=libclang_rt.asan-$$(uname -m).so); \
	  else preload=$$(gcc -print-file-name=libasan.so); fi; \
	  LD_PRELOAD="$$preload" ASAN_OPTIONS=detect_leaks=0 \
	  EDGESDK_LIBRARY=$(SANITIZED) $(BIN)/python -m pytest -q -n $(JOBS) --dist worksteal tests/kernels tests/golden; \
	else echo "left out: the tests under ASan and UBSan need clang or gcc on Linux"; fi

# The library under sanitizers, by clang where it has libFuzzer: the fuzzers are of the same objects. MAKEFLAGS: ninja is no
# part of a make -j.
sanitized: $(VENV)/.ready
	@if [ "$$(uname -s)" = Linux ] && { $(HAS_FUZZER) || command -v gcc >/dev/null; }; then set -ex; \
	  $(BIN)/cmake -S . -B $(BUILD)/sanitized -G Ninja -DCMAKE_MAKE_PROGRAM=$(BIN)/ninja -DERT_SANITIZE=ON -DERT_WERROR=ON \
	    -DCMAKE_C_COMPILER=$$(if $(HAS_FUZZER); then echo clang; else echo gcc; fi) >/dev/null; \
	  MAKEFLAGS= $(BIN)/cmake --build $(BUILD)/sanitized --target ert_shared -- --quiet; fi

native: $(VENV)/.ready
	@$(HOST_CC) $(BIN)/cmake -S . -B $(BUILD)/native -G Ninja -DCMAKE_MAKE_PROGRAM=$(BIN)/ninja -DERT_WERROR=ON >/dev/null
	@MAKEFLAGS= $(BIN)/cmake --build $(BUILD)/native --target ert_shared -- --quiet

FREE := -std=c99 -O2 -ffreestanding $(WARNINGS) $(ABSOLUTE_INCLUDES) -c
ARM_CORES := m0:soft m3:soft m4:hard m7:hard m33:hard m55:hard
ZIG_TARGETS := thumb-freestanding-eabi aarch64-freestanding-none riscv32-freestanding-none wasm32-freestanding x86_64-freestanding-none
freestanding: $(VENV)/.ready ## Compile the runtime without a C library for every core family; warnings are errors
	@mkdir -p $(BUILD)/freestanding
	@if command -v arm-none-eabi-gcc >/dev/null; then for c in $(ARM_CORES); do \
	  dir=$(BUILD)/freestanding/$${c%:*}; rm -rf $$dir; mkdir -p $$dir; \
	  printf '%s\n' $(addprefix $(CURDIR)/,$(PORTABLE)) | (cd $$dir && xargs -P $(JOBS) -n 8 \
	    arm-none-eabi-gcc -mcpu=cortex-$${c%:*} -mthumb -mfloat-abi=$${c#*:} $(FREE)) || exit 1; \
	  arm-none-eabi-ld -r $$dir/*.o -o $$dir/ert.elf || exit 1; \
	  other=$$(arm-none-eabi-nm -u $$dir/ert.elf | awk '$$2 !~ /^(memcpy|memmove|memset|__.*)$$/ {print $$2}'); rm $$dir/*.elf; \
	  if [ -n "$$other" ]; then echo "cortex-$${c%:*}: the runtime calls $$other; expected memmove, memcpy and memset only"; exit 1; fi; \
	  echo "ok: arm-none-eabi-gcc cortex-$${c%:*}"; done; \
	else echo "left out: arm-none-eabi-gcc is not installed"; fi
	@for t in $(ZIG_TARGETS); do \
	  dir=$(BUILD)/freestanding/$$t; mkdir -p $$dir; \
	  printf '%s\n' $(addprefix $(CURDIR)/,$(PORTABLE)) | (cd $$dir && xargs -P $(JOBS) -n 20 $(ZIG) -target $$t $(FREE)) || exit 1; \
	  echo "ok: zig $$t"; done

web: $(VENV)/.ready ## Make build/web, what a page needs; where npm is installed, apps/web's JavaScript from its TypeScript first
	@if command -v npm >/dev/null; then \
	  npm install --silent --no-audit --no-fund --prefix $(BUILD)/npm $(TYPESCRIPT) && $(BUILD)/npm/node_modules/.bin/tsc -p apps/web; \
	fi
	$(BIN)/python -c 'from edgesdk import wasm; from pathlib import Path; [print(p.stat().st_size, p) for p in wasm.write_package(Path("$(BUILD)/web"))]'

clean: ## Remove what was built; .venv stays
	rm -rf $(BUILD) .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -not -path './$(VENV)/*' -prune -exec rm -rf {} +

HAS_FUZZER = echo 'int LLVMFuzzerTestOneInput(const unsigned char *p, unsigned long n); int LLVMFuzzerTestOneInput(const unsigned char *p, unsigned long n) { (void)p; return n == 0; }' | clang -x c -fsanitize=fuzzer - -o /dev/null 2>/dev/null

# Builds tests/fuzz/fuzz_load.c as $(1) with the flags $(2) and runs it with the options $(3).
define run-fuzzer
if $(HAS_FUZZER); then set -ex; mkdir -p $(BUILD)/fuzz/$(1).corpus; \
  clang $(SANITIZE) -fsanitize=fuzzer $(2) $(WARNINGS) $(INCLUDES) tests/fuzz/fuzz_load.c $$(find $(BUILD)/sanitized/CMakeFiles/ert_shared.dir -name '*.o') -lpthread -o $(BUILD)/fuzz/$(1); \
  cd $(BUILD)/fuzz; \
  ./$(1) $(3) -max_len=8192 -print_final_stats=1 -verbosity=0 -artifact_prefix=$(BUILD)/fuzz/ $(1).corpus seeds; \
else echo "left out: fuzzing needs clang with libFuzzer (Debian: clang libclang-rt-14-dev)"; fi
endef

# Installs the packages of $(1) whose command is missing; without root or apt-get it says what is missing.
define install
missing=; for pair in $(1); do command -v $${pair%%:*} >/dev/null 2>&1 || missing="$$missing $${pair#*:}"; done; $(2) \
if [ -z "$$missing" ]; then :; \
elif [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
  { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $$missing >/dev/null; } || \
  echo "could not install$$missing; going on without"; \
else echo "missing:$$missing; as root: apt-get install$$missing; going on without"; fi
endef

# pip hides the environment's packages from the build, so the compiler is named by its file.
define install-zig-cc
$(BIN)/python -m pip install --quiet ziglang && printf '#!/bin/sh\nexec "%s" cc "$$@"\n' \
  "$$($(BIN)/python -c 'import ziglang, pathlib; print(pathlib.Path(ziglang.__file__).with_name("zig"))')" >$(BIN)/zig-cc && chmod +x $(BIN)/zig-cc
endef

system-build:
	@$(call install,$(FOR_BUILD),$(PYTHON) -c 'import ensurepip' 2>/dev/null || missing="$$missing python3-venv";)

system-boards:
	@$(call install,$(FOR_BOARDS))

system-web:
	@$(call install,$(FOR_WEB))

system-tests:
	@$(call install,$(FOR_TESTS))
	@$(HAS_FUZZER) || { $(call install,libfuzzer:libclang-rt-14-dev); }

$(VENV)/bin/python: | system-build
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip

$(VENV)/.ready: pyproject.toml CMakeLists.txt runtime_c/CMakeLists.txt | $(VENV)/bin/python
	$(if $(HOST_CC),@$(install-zig-cc))
	$(HOST_CC) $(BIN)/python -m pip install --quiet -e '.[test,dev]'
	@touch $@ $(VENV)/.demo

# Without an Arm compiler the firmware is built by the one of the ziglang package.
$(VENV)/.demo: pyproject.toml CMakeLists.txt runtime_c/CMakeLists.txt | $(VENV)/bin/python
	$(if $(HOST_CC),@$(install-zig-cc))
	$(HOST_CC) $(BIN)/python -m pip install --quiet -e '.[demo]'
	@command -v arm-none-eabi-gcc >/dev/null || $(BIN)/python -m pip install --quiet ziglang
	@touch $@

# The package as it is installed, of links: what mypy and editors read.
$(BUILD)/view/edgesdk: $(wildcard sdk/edgesdk/*)
	@rm -rf $@ && mkdir -p $@
	@ln -s $(CURDIR)/sdk/edgesdk/* $(CURDIR)/converters $(CURDIR)/boards $@/
	@touch $@
