# Everything that developers and CI do. Needs GNU make, Python 3.11 or newer and a C compiler.
#
#   make demo                 build, then see it work
#   make test                 the whole test suite             TESTS=tests/unit  PYTEST_ARGS="-k pool -x"  JOBS=0
#   make lint                 formatting, style, types, stubs
#   make bench                benchmarks against the peers     (minutes; leave the machine alone meanwhile)
#   make dist                 sdist and wheel in dist/, checked and tested
#   make test-sanitized       unit and behaviour tests under AddressSanitizer and UndefinedBehaviorSanitizer
#   make test-debug           the same with C asserts on and Python's development mode
#   make coverage             which lines and branches of the core the tests run (minutes); fails below 95 and 90 %
#   make soak                 SOAK_REQUESTS=1000000 mixed requests, a fifth of them gone wrong (half an hour)
#   make stress               64 threads on few connections, STRESS_SECONDS=600 a run, 13 runs   STRESS_SHAPES="few all"
#   make torture              every call of the system and every allocation of a request fails once (many minutes)
#   make valgrind             the core's unit tests under valgrind, also for leaks (an hour)  VALGRIND_TESTS=FILES
#   make fuzz                 fuzzing, guided by coverage         FUZZ_SECONDS=60 FUZZ_TARGETS="head url" FUZZ_REPLAY=FILE
#   make corpus               650 responses, every way to read, whole and cut at CUTS=40 positions (half an hour)
#   make differential         COUNT=1000000 mutated responses beside h11, llhttp and http.client (minutes)  SEED=1
#   make servers              install the real servers of the tests, where apt-get may; the above do it too
#   make clean                remove all that the above made
#
# Another interpreter: make test PYTHON=python3.13 VENV=build/venv-3.13

PYTHON ?= python3
VENV ?= .venv
# Dependency groups of pyproject.toml that the tests get.
DEPS ?= dev
TESTS ?= tests
PYTEST_ARGS ?=
# Processes that run tests, a file at a time: many tests wait for time-outs. 0 for all in one process, e.g. to debug.
JOBS ?= 6
# Where each response of the corpus is cut, at most; how many mutated responses are compared, and which.
CUTS ?= 40
COUNT ?= 1000000
SEED ?= 1

SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := test
.DELETE_ON_ERROR:
# Each process of a test run would compile all tests again.
unexport PYTHONDONTWRITEBYTECODE

ifeq ($(OS),Windows_NT)
BIN := Scripts
else
BIN := bin
endif
PY := $(VENV)/$(BIN)/python
PIP := $(PY) -m pip --disable-pip-version-check -qq
# What the extension modules are made of.
SOURCES := setup.py pyproject.toml $(wildcard ext/wirepool/*.pxd ext/wirepool/_core/*.p* ext/include/*.h)
# $(1) environment and interpreter, $(2) where pytest notes what failed, $(3) which tests. Tests of time limits may fail on a
# machine that is busy with all the others: what failed is said, and runs once more, alone. A crash is never forgiven (it
# ends pytest with another code, see tests/conftest.py).
run_tests = $(1) -m pytest -o cache_dir=$(2) $(3) -q -n $(JOBS) --dist loadfile $(PYTEST_ARGS) || { [ $$? = 1 ] && \
	echo "== once more, alone: what failed" && $(1) -m pytest -o cache_dir=$(2) $(3) -q $(PYTEST_ARGS) \
	--last-failed --last-failed-no-failures=none; }
# That a wheel has all it needs, and what leans on the standard library, which changes from Python to Python: in CI this is
# the only run on the newest one. The tests proper have run before.
WHEEL_TESTS := $(addprefix tests/unit/core/test_,$(addsuffix .py,exchange idle watch tlsio)) \
	$(addprefix tests/behaviour/test_,$(addsuffix .py, \
	requests reading poolmanager signals http_client_contract tls_options tls_faults))

.PHONY: demo test lint bench dist test-sanitized test-debug coverage soak stress torture valgrind fuzz fuzz-corpus corpus differential servers nginx clang clean

demo: $(VENV)/.with-demo $(VENV)/.installed
	@$(VENV)/$(BIN)/wirepool demo

test: $(VENV)/.with-$(DEPS) $(VENV)/.installed servers
	@$(call run_tests,$(PY),$(VENV)/pytest-cache,$(TESTS))

lint: $(VENV)/.with-dev $(VENV)/.installed
	@echo "== ruff" && $(PY) -m ruff check . && $(PY) -m ruff format --check .
	@echo "== cython-lint" && PATH="$(VENV)/$(BIN):$$PATH" cython-lint ext
	@echo "== mypy" && $(PY) -m mypy
	@echo "== stubtest" && $(PY) -m mypy.stubtest wirepool._core

bench: $(VENV)/.with-dev $(VENV)/.installed nginx
	@$(PY) bench/run.py

# --- set-up, done once; the stamps say what is done ----------------------------------------------------------------

$(VENV)/.made:
	@$(PYTHON) -c 'import sys; sys.exit("wirepool needs Python 3.11+; try make PYTHON=python3.13" if sys.version_info < (3, 11) else 0)'
	@echo "== $(VENV): new environment, $$($(PYTHON) --version)"
	@$(PYTHON) -m venv $(VENV)
	@$(PIP) install --upgrade "pip>=25.1"
	@touch $@

$(VENV)/.with-%: pyproject.toml | $(VENV)/.made
	@echo "== $(VENV): dependency group $*"
	@$(PIP) install --group $*
	@touch $@

$(VENV)/.installed: $(SOURCES) | $(VENV)/.with-build
	@echo "== $(VENV): building the extension modules (a minute or two)"
	@WIREPOOL_WERROR=$(if $(CI),1,0) $(PIP) install --no-build-isolation -e .
	@touch $@

SOAK_REQUESTS ?= 1000000
SOAK_ARGS ?=
# What tests/soak/memory.py needs to be exact.
SOAK_MEMORY = PYTHONMALLOC=malloc MALLOC_ARENA_MAX=1 GLIBC_TUNABLES=glibc.malloc.tcache_count=0
soak: $(VENV)/.with-dev $(VENV)/.installed
	@$(SOAK_MEMORY) PYTHONPATH=tests $(PY) -m soak --requests $(SOAK_REQUESTS) $(SOAK_ARGS)

# Each shape of tests/threads/stress.py in either gear, without TLS and with; exceptions from outside, where they may come.
STRESS_SECONDS ?= 600
STRESS_SHAPES ?= few open pools
STRESS := tests/threads/stress.py --seconds $(STRESS_SECONDS)

stress: $(VENV)/.with-dev $(VENV)/.installed
	@for shape in $(STRESS_SHAPES); do for gear in fast compatible; do \
	$(PY) $(STRESS) --shape $$shape --gear $$gear && $(PY) $(STRESS) --shape $$shape --gear $$gear --tls || exit 1; \
	done; done
	@$(PY) $(STRESS) --shape interrupted

# What the tests talk to; benchmarks need the first only.
servers:
	@tools/servers

nginx:
	@tools/servers nginx

# What fuzz builds are made with; `make fuzz` asks for it itself.
clang:
	@tools/clang >/dev/null

# --- other builds, each from a copy of the sources, so that no object file is shared -------------------------------

VARIANT_INPUT := ext src setup.py pyproject.toml README.md LICENSE
# $(1) name of the build, $(2) environment of the build
define build_variant
	@echo "== $(1): building"
	@rm -rf build/$(1)
	@mkdir -p build/$(1)/tree build/$(1)/reports
	@cp -R $(VARIANT_INPUT) build/$(1)/tree/
	@find build/$(1)/tree -name '*.so' -delete
	@$(PYTHON) -m venv build/$(1)/venv
	@build/$(1)/venv/$(BIN)/python -m pip install -qq --upgrade "pip>=25.1"
	@build/$(1)/venv/$(BIN)/python -m pip install -qq --group build --group test
	@$(2) build/$(1)/venv/$(BIN)/python -m pip install -qq --no-build-isolation build/$(1)/tree
endef
# $(1) name of the build, $(2) environment of the tests, $(3) which tests
define test_variant
	@echo "== $(1): testing $(3)"
	@failed=0; { $(call run_tests,$(2) build/$(1)/venv/$(BIN)/python,build/$(1)/pytest-cache,$(3)); } || failed=1; \
	for report in build/$(1)/reports/*; do if [ -e "$$report" ]; then cat "$$report"; failed=1; fi; done; exit $$failed
endef

# CPython itself leaks at exit by design, so leaks are looked for in tests/leaks and by valgrind instead. What a process of
# its own finds goes to a file, too: whoever starts it may not look at how it ended.
SANITIZER_RUNTIME = $$(gcc -print-file-name=libasan.so) $$(gcc -print-file-name=libubsan.so)
REPORTS = $(CURDIR)/build/sanitized/reports
SANITIZED := ASAN_OPTIONS=detect_leaks=0:abort_on_error=1:log_path=$(REPORTS)/address \
	UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1:log_path=$(REPORTS)/undefined \
	LD_PRELOAD="$(SANITIZER_RUNTIME)"

# Python's own allocator would hide from AddressSanitizer where an object ends, but without it everything takes twice as
# long: so only the core's own tests go without, and `make fuzz`.
test-sanitized: servers
	$(call build_variant,sanitized,WIREPOOL_SANITIZE=1)
	$(call test_variant,sanitized,PYTHONMALLOC=malloc $(SANITIZED),tests/unit/core)
	$(call test_variant,sanitized,$(SANITIZED),tests/unit/facade tests/behaviour)

test-debug: servers
	$(call build_variant,debug,WIREPOOL_DEBUG=1)
	$(call test_variant,debug,PYTHONDEVMODE=1,tests/unit tests/behaviour)

# Torture, which runs in processes of its own, goes through what happens when memory runs out.
coverage: servers
	$(call build_variant,coverage,WIREPOOL_COVERAGE=1)
	$(call test_variant,coverage,,tests/unit/core tests/fuzz $(addprefix tests/behaviour/test_,$(addsuffix .py, \
		signals reuse tls_reading bodies close_while_busy threads)))
	@$(PYTHON) tools/coverage.py build/coverage/tree --least 95 --least-branches 90

torture: $(VENV)/.with-dev $(VENV)/.installed
	@WIREPOOL_TORTURE=1 $(PY) -m pytest tests/torture -q -rA -p no:cacheprovider $(PYTEST_ARGS)

# Fifty times slower than without: in one process, and without the time limits of tests. CPython's own arithmetic looks at
# values that are not there yet, and none of it is a leak.
VALGRIND_TESTS ?= tests/unit/core
VALGRIND := valgrind --quiet --leak-check=full --show-leak-kinds=definite --errors-for-leak-kinds=definite \
	--num-callers=30 --undef-value-errors=no --suppressions=tests/leaks/others.supp --error-exitcode=9

valgrind: $(VENV)/.with-dev $(VENV)/.installed
	@PYTHONMALLOC=malloc $(VALGRIND) $(PY) -m pytest $(VALGRIND_TESTS) -q -p no:cacheprovider --timeout 0 $(PYTEST_ARGS)

# --- fuzzing: docs/fuzzing.md --------------------------------------------------------------------------------------

# Seconds for each target.
FUZZ_SECONDS ?= 60
FUZZ_TARGETS ?= head chunked headers_out url decoders exchange
# Inputs to try instead of fuzzing.
FUZZ_REPLAY ?=
FUZZ_ARGS ?=
FUZZ_PY := build/fuzz/venv/$(BIN)/python

fuzz: build/fuzz/.installed
	@PYTHONPATH=tests $(FUZZ_PY) -m fuzz.run --seconds $(FUZZ_SECONDS) $(FUZZ_ARGS) \
		$(FUZZ_TARGETS) $(if $(FUZZ_REPLAY),--replay $(FUZZ_REPLAY))

# Makes tests/fuzz/corpus anew of itself and what fuzzing has found since.
fuzz-corpus: build/fuzz/.installed
	@PYTHONPATH=tests $(FUZZ_PY) -m fuzz.run --minimise $(FUZZ_TARGETS)

build/fuzz/.installed: $(SOURCES) tests/fuzz/native.pyx $(shell find src -name '*.py')
	@echo "== fuzz: building with clang"
	@clang=$$(tools/clang) && rm -rf build/fuzz/tree && mkdir -p build/fuzz/tree/tests/fuzz
	@cp -R $(VARIANT_INPUT) build/fuzz/tree/ && cp tests/fuzz/native.pyx build/fuzz/tree/tests/fuzz/
	@find build/fuzz/tree -name '*.so' -delete
	@$(PYTHON) -m venv build/fuzz/venv
	@$(FUZZ_PY) -m pip install -qq --upgrade "pip>=25.1"
	@$(FUZZ_PY) -m pip install -qq --group build --group fuzz
	@CC=$$(tools/clang) LDSHARED="$$(tools/clang) -shared" WIREPOOL_FUZZ=1 \
		$(FUZZ_PY) -m pip install -qq --no-build-isolation --force-reinstall --no-deps build/fuzz/tree
	@touch $@

# --- minutes to hours ----------------------------------------------------------------------------------------------

corpus: $(VENV)/.with-dev $(VENV)/.installed
	@PYTHONPATH=tests $(PY) -m corpus --cuts $(CUTS)

differential: $(VENV)/.with-dev $(VENV)/.installed
	@PYTHONPATH=tests $(PY) -m differential --count $(COUNT) --seed $(SEED)

# --- release -------------------------------------------------------------------------------------------------------

dist: $(VENV)/.with-build servers
	@rm -rf dist build/dist-test
	@echo "== dist: sdist, and the wheel made from the sdist"
	@$(PY) -m build --no-isolation --outdir dist . >build-dist.log 2>&1 || { cat build-dist.log; exit 1; }
	@mkdir -p build/dist-test && mv build-dist.log build/dist-test/
	@$(PY) tools/check_dist.py dist
	@echo "== dist: testing the wheel"
	@cp -R tests pyproject.toml build/dist-test/
	@$(PYTHON) -m venv build/dist-test/venv
	@cd build/dist-test && venv/$(BIN)/python -m pip install -qq --upgrade "pip>=25.1"
	@cd build/dist-test && venv/$(BIN)/python -m pip install -qq --group test ../../dist/*.whl
	@cd build/dist-test && venv/$(BIN)/python -c 'import wirepool; assert "site-packages" in wirepool.__file__, wirepool.__file__'
	@cd build/dist-test && { $(call run_tests,venv/$(BIN)/python,pytest-cache,$(WHEEL_TESTS)); }
	@ls -l dist

clean:
	@rm -rf build dist $(VENV) src/*.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .benchmarks .coverage
	@find src ext \( -name '*.so' -o -name '*.pyd' -o -name '*.c' -o -name '*.html' \) -delete
	@find . -name __pycache__ -not -path './.git/*' -prune -exec rm -rf {} +
