#!/usr/bin/env bash
# A model that reads scanned pages, from scratch: data, stages, weights, measures. What is there already is not made again; a stage
# that was stopped resumes from its last checkpoint, and a stage whose weights lie in checkpoints/nano begins from them, so a later
# run goes on where an earlier one ended. SHARE=0.01 rehearses everything in minutes. ROUNDS is how often the tower reads on at a
# constant rate before its rate falls; the weights in checkpoints/nano/scan-read are those of four runs, each with a falling rate
# (optim.schedule=linear, steps=240, 700, 700 and 3700, each from the one before: dragonfly.json beside them). RECEIPTS names a folder of real
# receipts that are measured on, and never trained on. GPU=1 (where torch sees one; GPU=0 overrules) takes batches that fill it, which
# every core prepares: a page's sub-images are then mixed with those of a batch's other pages instead of with earlier ones.
set -euo pipefail
cd "$(dirname "$0")/.."
DRAGONFLY=${DRAGONFLY:-.venv/bin/dragonfly}
PYTHON=${PYTHON:-.venv/bin/python}
ROOT=build/nano
SHARE=${SHARE:-1}
ROUNDS=${ROUNDS:-4}
GPU=${GPU:-$("$PYTHON" -c "import torch; print(int(torch.cuda.is_available()))")}
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1}

reading=() answering=()
if [ "$GPU" = 1 ]; then
    most="data.workers=64" # as many as there are cores
    reading=("$most" objective.window=1 objective.sub_images=40 "batch={global_size: 16, per_device: 16}")
    answering=("$most" precision=bfloat16 "attention={vision_config: sdpa, text_config: sdpa}" "batch={global_size: 64, per_device: 64}")
fi

count() { "$PYTHON" -c "import sys; print(max(16, round(float(sys.argv[1]) * float(sys.argv[2]))))" "$1" "$SHARE"; }
synth() { # name, spec, split, pages, seed, options
    local name=$1 spec=$2 split=$3 number=$4 seed=$5
    [ -e "$ROOT/data/$name" ] || "$DRAGONFLY" synth --spec "$spec" --split "$split" --n "$(count "$number")" --seed "$seed" "${@:6}" -o "$ROOT/data/$name"
}
steps() { sed -n 's/^steps: //p' "src/dragonfly/recipes/nano/$1.yaml"; }
stored() { [ "$SHARE" = 1 ] && [ -e "checkpoints/nano/$1/model.safetensors" ]; }
weights() { if [ -e "$ROOT/$1/dragonfly.json" ] || ! stored "$1"; then echo "$ROOT/$1"; else echo "checkpoints/nano/$1"; fi; }
stage() { # name, recipe, steps, overrides
    if [ -e "$ROOT/$1/dragonfly.json" ] || stored "$1"; then return 0; fi
    "$DRAGONFLY" train "nano/$2" "steps=$(count "$3")" "output=$ROOT/$1" "${@:4}"
}
keep() { # name: its weights go where a later run finds them
    [ "$SHARE" = 1 ] || return 0
    stored "$1" || "$PYTHON" scripts/export_nano.py "$ROOT/$1" "checkpoints/nano/$1"
}
measure() { # name
    local options=(--pages "$ROOT/data/scans-dev" --limit 60)
    [ -z "${RECEIPTS:-}" ] || options+=(--receipts "$RECEIPTS")
    [ -e "$ROOT/$1-reading.json" ] || "$PYTHON" scripts/measure_reading.py "$(weights "$1")" "${options[@]}" --output "$ROOT/$1-reading.json"
}

mkdir -p "$ROOT/data"
synth scans documents train 3000 101 --text-annotations
synth scans-crowded documents-crowded train 2000 201 --text-annotations
synth scans-dev documents dev 60 102 --text-annotations
synth scan-strips documents-strips train 8000 111 # pages; each gives up to four strips
synth scan-strips-dev documents-strips dev 60 112
synth scan-pages documents train 8000 121
synth scan-pages-dev documents dev 40 122

if ! stored scan-read-end; then
    stage scan-read scan-read "$(steps scan-read)" "${reading[@]}" "$@"
    before=scan-read
    for round in $(seq 2 "$ROUNDS"); do
        stage "scan-read-$round" scan-read "$(steps scan-read)" "${reading[@]}" "init_from={scratch: null, checkpoint: $(weights "$before")}" "$@"
        before=scan-read-$round
    done
    stage scan-read-end scan-read "$(steps scan-read)" "${reading[@]}" "init_from={scratch: null, checkpoint: $(weights "$before")}" optim.schedule=linear optim.warmup=0 "$@"
    keep scan-read-end
fi
measure scan-read-end
stage scan-spell scan-spell "$(steps scan-spell)" "${reading[@]}" "init_from.checkpoint=$(weights scan-read-end)" "$@"
keep scan-spell
measure scan-spell
stage scan-rows scan-rows "$(steps scan-rows)" "${answering[@]}" "init_from.scratch.projector=$(weights scan-spell)" "$@"
keep scan-rows
stage scan-full scan-full "$(steps scan-full)" "${answering[@]}" "init_from.checkpoint=$(weights scan-rows)" "$@"
keep scan-full
if [ ! -e "$ROOT/scan-choose" ]; then # where to look, learned from evidence with all else as it is
    "$DRAGONFLY" lab calibrate "$(weights scan-full)" "$ROOT/data/scan-pages" --set model.selection.policy=question --limit "$(count 6000)" -o "$ROOT/scan-choose"
fi
echo "the model: $ROOT/scan-choose; it takes the place of src/dragonfly/assets/nano once it is better on every measure of its card"
