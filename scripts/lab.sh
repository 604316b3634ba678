#!/usr/bin/env bash
# The lab's data, the checkpoint that its arms begin from, and the studies named (none: the headline). Needs build/nano/bind and the
# data of `make nano`. What is there already is not made again.
set -euo pipefail
cd "$(dirname "$0")/.."
DRAGONFLY=${DRAGONFLY:-.venv/bin/dragonfly}
PYTHON=${PYTHON:-.venv/bin/python}
START=checkpoints/nano/pages
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1}

synth() { # folder, spec, split, pictures, seed
    [ -e "$1" ] || "$DRAGONFLY" synth --spec "$2" --split "$3" --n "$4" --seed "$5" -o "$1"
}

synth data/lab/train nano train 2500 11
synth data/lab/test nano test 150 12
synth data/lab/test-crowded nano-crowded test 150 12

if [ ! -e "$START/dragonfly.json" ]; then
    synth build/nano/data/close-4 nano-close-4 train 6000 6
    synth build/nano/data/close-4-dev nano-close-4 dev 60 9
    for name in find pages; do
        [ -e "build/nano/$name/dragonfly.json" ] || "$DRAGONFLY" train "nano/$name"
    done
    choice='model.encoder.selection={policy: question, scope: picture, keep: 3}' # its map, for the arms that choose so
    "$PYTHON" scripts/begin.py nano/pages build/nano/pages-begun init_from.checkpoint=build/nano/pages data.alone=false pointing=null "$choice"
    "$DRAGONFLY" lab calibrate build/nano/pages-begun build/nano/data/train --set model.selection.policy=question --limit 1500 -o build/nano/pages-choose
    "$PYTHON" scripts/export_nano.py build/nano/pages-choose "$START"
    cp build/nano/pages/{loss.jsonl,recipe.yaml,run.json} "$START"
fi

for study in "${@:-headline}"; do
    "$DRAGONFLY" ablate "$study" -o "runs/lab/$study" --workers "${WORKERS:-2}" ${MINUTES:+--minutes "$MINUTES"}
    cp "runs/lab/$study/result.json" "benchmarks/results/lab/$study.json"
done
"$DRAGONFLY" lab findings
