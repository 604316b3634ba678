#!/usr/bin/env bash
# The lab's data, the checkpoint that its variants begin from, and the studies named: those of `dragonfly lab studies`, `recall` or
# `curves`, or `data` for none; the headline if nothing is named. What is there already is not made again; the checkpoint, if it is
# taken away, needs build/nano/bind and the data of `make nano`.
set -euo pipefail
cd "$(dirname "$0")/.."
DRAGONFLY=${DRAGONFLY:-.venv/bin/dragonfly}
PYTHON=${PYTHON:-.venv/bin/python}
START=checkpoints/nano/pages
RESULTS=benchmarks/results/lab
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1}

synth() { # folder, spec, split, images, seed
    [ -e "$1" ] || "$DRAGONFLY" synth --spec "$2" --split "$3" --n "$4" --seed "$5" -o "$1"
}

synth data/lab/train nano train 2500 11
synth data/lab/train-captions nano-captions train 2500 11
synth data/lab/test nano test 150 12
synth data/lab/test-crowded nano-crowded test 150 12
synth data/lab/train-fine fine train 1000 13
synth data/lab/test-fine fine test 100 14

if [ ! -e "$START/dragonfly.json" ]; then
    synth build/nano/data/close-4 nano-close-4 train 6000 6
    synth build/nano/data/close-4-dev nano-close-4 dev 60 9
    for name in find pages; do
        [ -e "build/nano/$name/dragonfly.json" ] || "$DRAGONFLY" train "nano/$name"
    done
    choice='model.encoder.selection={policy: question, scope: image, keep: 3}' # its map, for the variants that choose so
    "$PYTHON" scripts/begin.py nano/pages build/nano/pages-begun init_from.checkpoint=build/nano/pages objective=answer "$choice"
    "$DRAGONFLY" lab calibrate build/nano/pages-begun build/nano/data/train --set model.selection.policy=question --limit 1500 -o build/nano/pages-choose
    "$PYTHON" scripts/export_nano.py build/nano/pages-choose "$START"
    cp build/nano/pages/{loss.jsonl,recipe.yaml,run.json} "$START"
fi

recall() { # name, data, scope
    "$DRAGONFLY" lab recall "$2" --scope "$3" -o "$RESULTS/recall-$1.json"
}

for study in "${@:-headline}"; do
    case $study in
        data) continue ;;
        recall) # what nano keeps of the evidence, on pages with few and with many cells filled
            recall nano-pages data/lab/test image
            recall crowded data/lab/test-crowded image
            recall sparse data/lab/test region
            recall dense data/lab/test-crowded region
            continue ;;
        curves)
            "$DRAGONFLY" lab curves data/lab/test --limit 200 -o "$RESULTS/curves-pages.json" \
                --model checkpoints/nano/pages --set model.selection.keep=6
            continue ;;
        policies | cost) "$DRAGONFLY" lab sweep "$study" -o "runs/lab/$study" ${MINUTES:+--minutes "$MINUTES"} ;;
        *) "$DRAGONFLY" ablate "$study" -o "runs/lab/$study" --workers "${WORKERS:-2}" ${MINUTES:+--minutes "$MINUTES"} ;;
    esac
    cp "runs/lab/$study/result.json" "$RESULTS/$study.json"
done
"$DRAGONFLY" lab findings
