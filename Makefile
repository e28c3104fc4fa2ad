# make demo   sets up, builds, and compares the policies on a recorded trace
# make test   sets up and passes the tests
PYTHON ?= python3
VENV   ?= .venv
BIN     = $(VENV)/bin
CORE    = setup.py $(wildcard _ext/*.pyx _ext/*.pxd)
# REPLAY_BUILD=debug or sanitize changes how the core is compiled (see setup.py)
# make fuzz: what to fuzz (names in tests/fuzz/__init__.py; none: all), and for how long each
FUZZ    ?=
SECONDS ?= 60
FUZZ_CC ?= clang-14
# make sanitize: the tests of decoders, lowering and engine; not those that measure (test_bounds.py), nor other people's libraries
SANITIZED = $(wildcard $(addprefix tests/test_,tracecmd*.py ringbuffer.py perfdata*.py text.py text_*.py graphtext.py identity.py slots.py packing.py \
	lowering*.py jsonl.py rawfiles.py engine*.py examples.py oracle.py runs.py))
# make bench: of which trace, of how many events (of several numbers, as in 5M,10M,20M: how it grows), and how often all is measured
TRACE  ?= sample_traces/rdma-ext4.dat
EVENTS ?= 2M
ROUNDS ?= 5

.PHONY: help setup demo test lint types unit package sanitize fuzz bench docs man clean

help: ## show this list
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/' | expand -t 12

setup: $(VENV)/.ready ## make the virtual environment and build the core
	@$(BIN)/python -m compileall -q replay ingest queries # where PYTHONDONTWRITEBYTECODE is set, nothing else would

$(VENV)/.installed: pyproject.toml constraints.txt
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) || { \
		rm -rf $(VENV); echo "make: cannot make a virtual environment (Debian: apt install python3-venv python3-dev gcc)" >&2; exit 1; }
	$(BIN)/pip install -q --disable-pip-version-check -c constraints.txt "setuptools>=77" "Cython>=3.1"
	REPLAY_BUILD=none $(BIN)/pip install -q --disable-pip-version-check -c constraints.txt --no-build-isolation -e ".[dev]"
	@touch $@

$(VENV)/.ready: $(VENV)/.installed $(CORE)
	$(BIN)/python setup.py -q build_ext --inplace
	@touch $@

demo: setup ## ingest a recorded trace, replay it under every policy, compare
	@rm -rf build/demo-store
	$(BIN)/replay ingest --store build/demo-store sample_traces/rdma-ext4.dat
	$(BIN)/replay run --store build/demo-store
	$(BIN)/replay report --store build/demo-store
	@echo
	@echo "The store is build/demo-store. Try next:"
	@echo "  export REPLAY_STORE=build/demo-store PATH=$(BIN):\$$PATH"
	@echo "  replay report stalls --policy hold-off"
	@echo "  replay run --policy lease --param lease.app=50ms"
	@echo "  replay sql \"select class, sum(npages) from conflicts where policy = 'none' group by class\""
	@echo "  replay validate"

test: lint types unit ## lint, type checks, unit tests

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: setup
	$(BIN)/python setup.py -q --version > /dev/null
	$(BIN)/mypy
	$(BIN)/python tests/test_readme.py --code > build/library_code.py && $(BIN)/mypy --strict build/library_code.py
	$(BIN)/python -m mypy.stubtest --mypy-config-file pyproject.toml --allowlist tests/stubtest-allow.txt \
		$(addprefix replay._ext.,$(basename $(notdir $(wildcard _ext/*.pyx))))

unit: setup
	$(BIN)/python -m pytest

package: setup ## build sdist and wheel, install the wheel in a clean environment, and look inside
	rm -rf dist build/clean
	$(BIN)/python -m build -q
	$(BIN)/python tests/check_package.py dist
	$(PYTHON) -m venv build/clean
	build/clean/bin/pip install -q --disable-pip-version-check -c constraints.txt dist/*.whl
	cd build/clean && bin/replay --version && bin/replay --store store ingest ../../sample_traces/rdma-ext4.dat && bin/replay --store store run --policy none

sanitize: setup ## the tests of everything compiled under AddressSanitizer and UndefinedBehaviorSanitizer
	REPLAY_BUILD=sanitize $(BIN)/python setup.py -q build_ext --inplace --force
	LD_PRELOAD="$$(gcc -print-file-name=libasan.so) $$(gcc -print-file-name=libubsan.so)" PYTHONMALLOC=malloc \
		ASAN_OPTIONS=detect_leaks=0 UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1 \
		$(BIN)/python -m pytest --deselect tests/test_examples.py::test_examples_through_the_command_line $(SANITIZED); \
		status=$$?; $(BIN)/python setup.py -q build_ext --inplace --force; exit $$status

fuzz: setup ## coverage-guided fuzzing of the decoders: make fuzz FUZZ=tracedat SECONDS=600
	@command -v $(FUZZ_CC) > /dev/null || { echo "make: no $(FUZZ_CC), which fuzzing needs (Debian: apt install clang-14; another: FUZZ_CC=clang)" >&2; exit 1; }
	@test "$$(uname -sm)" = "Linux x86_64" || { echo "make: fuzzing needs Linux on x86-64, for which atheris brings its runtime" >&2; exit 1; }
	@$(BIN)/python -c "import atheris" 2> /dev/null || REPLAY_BUILD=none $(BIN)/pip install -q --disable-pip-version-check -c constraints.txt --no-build-isolation -e ".[fuzz]"
	REPLAY_BUILD=fuzz CC=$(FUZZ_CC) LDSHARED="$(FUZZ_CC) -shared" $(BIN)/python setup.py -q build --build-base build/fuzz --build-lib build/fuzz/lib
	$(BIN)/python tests/fuzz/run.py --lib build/fuzz/lib --work build/fuzz --seconds $(SECONDS) $(FUZZ)

bench: setup ## measure speed and memory against peers: make bench EVENTS=20M TRACE=large.dat (see ARCHITECTURE.md)
	PYTHONPATH=tests $(BIN)/python -m bench.run --work build/bench --trace $(TRACE) --events $(EVENTS) --rounds $(ROUNDS)

docs: setup ## write docs/commands anew from the commands' definitions
	$(BIN)/python tests/command_pages.py

man: setup ## write man pages into build/man (man -l build/man/replay-run.1)
	$(BIN)/python tests/command_pages.py --man build/man

clean: ## remove everything that was built
	rm -rf $(VENV) build dist *.egg-info _ext/*.so
