#!/usr/bin/env bash
# The small LLaVA-NeXT model that a lens is measured with, from the bundled one: pages, training, and the benchmark of docs/lens.md.
# What is there already is not made again. Its record is checkpoints/lens-reader.
set -euo pipefail
cd "$(dirname "$0")/.."
DRAGONFLY=${DRAGONFLY:-.venv/bin/dragonfly}
PYTHON=${PYTHON:-.venv/bin/python}
ROOT=build/lens-reader
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1}

synth() { # name, split, pages, seed
    [ -e "$ROOT/data/$1" ] || "$DRAGONFLY" synth --spec nano --split "$2" --n "$3" --seed "$4" -o "$ROOT/data/$1"
}
stage() { # name, source, options
    [ -e "$ROOT/$1/training.json" ] || "$PYTHON" scripts/close_reader.py "$2" "$ROOT/$1" \
        --pages "$ROOT/data/train" --dev "$ROOT/data/dev" "${@:3}"
}

mkdir -p "$ROOT/data"
synth train train 4500 132
synth dev dev 60 8
STAGES
"$PYTHON" benchmarks/lens_accuracy.py ask "$ROOT/answers"
"$PYTHON" benchmarks/lens_accuracy.py score "$ROOT/answers"
