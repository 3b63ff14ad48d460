# Two commands do all the set-up: `make demo` and `make test`. Everything goes into .venv and .cache here.
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready

.PHONY: demo test unit frameworks browser pool faults lint format bench bench-pool clean

demo: $(READY)
	$(BIN)/python -m sweep.sandbox demo

test: lint unit frameworks browser pool

# Two workers for each core: many of them wait, for processes and time limits.
WORKERS ?= $(shell expr 2 \* $$(nproc))
unit: $(READY)
	$(BIN)/python -m pytest -n $(WORKERS) tests/unit

# The page in a real Chromium: the installed one, or Debian's, unpacked into .cache.
browser: $(READY)
	$(BIN)/python -m pytest tests/browser

# Real frameworks, installed into .cache from the Python registry and from Debian (750 MB and 150 MB, once).
frameworks: $(READY)
	$(BIN)/python -m pytest -n auto tests/frameworks

# A real personal HTCondor with simulated GPUs; root becomes an ordinary user first, because HTCondor refuses root.
# Two files at a time, each in a pool of its own: mostly they wait. The last is a short campaign of faults.
pool: $(READY)
	$(BIN)/python -m sweep.sandbox exec -- $(BIN)/python -m pytest -n 2 --dist loadfile tests/pool tests/faults

# Faults at random moments of real sweeps; prints what became of the verdicts. `SEED=` repeats a campaign.
MINUTES ?= 15
faults: $(READY)
	$(BIN)/python -m sweep.sandbox exec -- $(BIN)/python tests/faults/campaign.py --minutes $(MINUTES) $(if $(SEED),--seed $(SEED))

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(READY)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# Figures for README and notes; nothing is asserted.
bench: $(READY)
	$(BIN)/python tests/bench/bench_start.py
	$(BIN)/python tests/bench/bench_pool.py
	$(BIN)/python tests/bench/bench_classify.py
	$(BIN)/python tests/bench/bench_page.py
	$(BIN)/python -m sweep.sandbox exec --pool -- $(BIN)/python tests/bench/bench_plan.py

# What a pool is asked for, by sweeps of thousands of tuples on private pools; these take hours in all.
bench-pool: $(READY)
	$(BIN)/python -m sweep.sandbox exec -- $(BIN)/python tests/bench/bench_overhead.py 1000
	$(BIN)/python -m sweep.sandbox exec -- $(BIN)/python tests/bench/bench_overhead.py 5000 --rounds 1
	$(BIN)/python -m sweep.sandbox exec -- $(BIN)/python tests/bench/bench_neighbour.py
	$(BIN)/python -m sweep.sandbox exec -- $(BIN)/python tests/bench/bench_savings.py
	$(BIN)/python -m sweep.sandbox exec -- $(BIN)/python tests/bench/bench_downloads.py
	$(BIN)/python tests/bench/bench_install.py

$(READY): pyproject.toml .ci/venv
	.ci/venv $(PYTHON) .venv
	touch $@

clean:
	rm -rf .venv .cache
