#!/usr/bin/env bash
# A model that reads scanned pages: a tower from scratch under nano's language model; data, stages, weights, measures. What is there already is not made again; a stage
# that was stopped resumes from its last checkpoint, and a stage whose weights lie in checkpoints/nano begins from them, so a later
# run goes on where an earlier one ended. SHARE=0.01 rehearses everything in minutes. ROUNDS is how often the tower reads on at a
# constant rate before its rate falls. The weights in checkpoints/nano are of runs that dragonfly.json beside them records: the tower's
# rate fell at the end of each. RECEIPTS names a folder of real
# receipts that are measured on, and never trained on. GPU=1 (where torch sees one; GPU=0 overrules) takes batches that fill it, which
# every core prepares: a page's sub-images are then mixed with those of a batch's other pages instead of with earlier ones.
set -euo pipefail
cd "$(dirname "$0")/.."
DRAGONFLY=${DRAGONFLY:-.venv/bin/dragonfly}
PYTHON=${PYTHON:-.venv/bin/python}
ROOT=build/nano
MODEL=src/dragonfly/assets/nano-scans
SHARE=${SHARE:-1}
ROUNDS=${ROUNDS:-4}
GPU=${GPU:-$("$PYTHON" -c "import torch; print(int(torch.cuda.is_available()))")}
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1}

reading=() rows=() answering=()
if [ "$GPU" = 1 ]; then
    most="data.workers=64" # as many as there are cores
    reading=("$most" objective.window=1 objective.sub_images=40 "batch={global_size: 16, per_device: 16}")
    rows=("$most" "batch={global_size: 48, per_device: 48}")
    answering=("$most" "batch={global_size: 64, per_device: 64}")
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
synth scans-receipts documents-receipts train 3000 301 --text-annotations
synth scans documents train 1000 101 --text-annotations
synth scans-crowded documents-crowded train 2000 201 --text-annotations
synth scans-dev documents dev 60 102 --text-annotations
synth scan-strips-2 documents-strips-2 train 6000 113 # pages; each gives up to four strips
synth scan-strips-2-dev documents-strips-2 dev 60 114
synth scan-strips documents-strips train 6000 111
synth scan-strips-3 documents-strips train 9000 117
synth scan-receipts-strips documents-receipts-strips train 5000 331
synth scan-strips-dev documents-strips dev 60 112
synth scan-pages documents train 6000 121
synth scan-pages-dev documents dev 60 122
synth scan-receipts documents-receipts train 3000 321

if ! stored scan-spell; then
    stage scan-read scan-read "$(steps scan-read)" "${reading[@]}" "$@"
    before=scan-read
    for round in $(seq 2 "$ROUNDS"); do
        stage "scan-read-$round" scan-read "$(steps scan-read)" "${reading[@]}" "init_from={scratch: null, checkpoint: $(weights "$before")}" "$@"
        before=scan-read-$round
    done
    stage scan-read-end scan-read "$(steps scan-read)" "${reading[@]}" "init_from={scratch: null, checkpoint: $(weights "$before")}" optim.schedule=linear optim.warmup=0 "$@"
    measure scan-read-end
    stage scan-spell scan-spell "$(steps scan-spell)" "${reading[@]}" "init_from.checkpoint=$(weights scan-read-end)" "$@"
    keep scan-spell
fi
measure scan-spell
if [ "$SHARE" != 1 ] || [ ! -e "$MODEL/model.safetensors" ]; then
    stage scan-rows-2 scan-rows 3000 "${rows[@]}" "init_from.scratch.projector=$(weights scan-spell)" "model.encoder.high={grids: [[1, 2]]}" \
        "data.train=[{name: strips, path: $ROOT/data/scan-strips-2, group_questions: 16}]" optim.schedule=constant \
        "data.eval={name: held-out, path: $ROOT/data/scan-strips-2-dev, group_questions: 16}" "$@"
    stage scan-rows scan-rows "$(steps scan-rows)" "${rows[@]}" "init_from={scratch: null, checkpoint: $ROOT/scan-rows-2}" "$@"
    stage scan-full scan-full "$(steps scan-full)" "${answering[@]}" "init_from.checkpoint=$ROOT/scan-rows" "$@"
    if [ ! -e "$ROOT/scan-choose" ]; then # where to look, learned from evidence with all else as it is
        "$DRAGONFLY" lab calibrate "$ROOT/scan-full" "$ROOT/data/scan-pages" "$ROOT/data/scan-receipts" --limit "$(count 700)" \
            --set model.selection.policy=question --set model.selection.context=patches --set model.selection.keep=7 -o "$ROOT/scan-choose"
    fi
    stage scan-ask scan-ask "$(steps scan-ask)" "${answering[@]}" "init_from.checkpoint=$ROOT/scan-choose" "$@"
    if [ "$SHARE" = 1 ]; then # the package holds the model; how it was trained lies beside the other stages
        "$PYTHON" scripts/export_nano.py "$ROOT/scan-ask" "$MODEL"
        mkdir -p checkpoints/nano/scan-ask
        mv "$MODEL"/{loss.jsonl,recipe.yaml,run.json} checkpoints/nano/scan-ask/
    fi
fi
echo "the model: $([ "$SHARE" = 1 ] && echo "$MODEL" || echo "$ROOT/scan-ask"); measure it with scripts/measure_scans.py --card"
