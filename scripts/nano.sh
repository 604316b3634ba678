#!/usr/bin/env bash
# The next bundled model from scratch: data, stages, export. What is there already is not made again; a stage that was
# stopped resumes from its last checkpoint. SHARE=0.01 makes a rehearsal of everything in a few minutes.
set -euo pipefail
cd "$(dirname "$0")/.."
DRAGONFLY=${DRAGONFLY:-.venv/bin/dragonfly}
PYTHON=${PYTHON:-.venv/bin/python}
ROOT=build/nano
SHARE=${SHARE:-1}
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1} # more threads only wait for each other in a model this small

count() { "$PYTHON" -c "import sys; print(max(16, round(float(sys.argv[1]) * float(sys.argv[2]))))" "$1" "$SHARE"; }
synth() { # name, spec, split, images, seed, options
    local name=$1 spec=$2 split=$3 number=$4 seed=$5
    [ -e "$ROOT/data/$name" ] || "$DRAGONFLY" synth --spec "$spec" --split "$split" --n "$(count "$number")" --seed "$seed" "${@:6}" -o "$ROOT/data/$name"
}
stage() { # name, recipe, steps, overrides
    [ -e "$ROOT/$1/dragonfly.json" ] || "$DRAGONFLY" train "nano/$2" "steps=$(count "$3")" "${@:4}"
    [ "$SHARE" = 1 ] || return 0 # a rehearsal is not recorded
    mkdir -p "checkpoints/nano/$1"
    cp "$ROOT/$1"/{loss.jsonl,recipe.yaml,run.json} "checkpoints/nano/$1"
}
steps() { sed -n 's/^steps: //p' "src/dragonfly/recipes/nano/$1.yaml"; }

rehearsal=()
[ "$SHARE" = 1 ] || rehearsal=("objective.thresholds=[]") # no metric threshold is reached in minutes

mkdir -p "$ROOT/data"
synth crowded nano-crowded train 16000 2 --text-annotations
synth crowded-2 nano-crowded train 24000 22 --text-annotations
synth crowded-dev nano-crowded dev 200 3 --text-annotations
synth close-1 nano-close-1 train 2500 4 # pages; each gives a close-up per cell
synth close-1-dev nano-close-1 dev 16 5
synth train nano train 8000 7
synth dev nano dev 60 8
synth words nano-words train 4000 15

for name in read bind close; do
    stage "$name" "$name" "$(steps "$name")" "${rehearsal[@]}" "$@"
done
[ "$SHARE" != 1 ] || "$PYTHON" scripts/export_nano.py "$ROOT/bind" checkpoints/nano/bind # tests train from it
if [ ! -e "$ROOT/choose" ]; then # where to look, learned from evidence with all else as it is
    "$PYTHON" scripts/begin.py nano/full "$ROOT/begun" "init_from.checkpoint=$ROOT/close"
    "$DRAGONFLY" lab calibrate "$ROOT/begun" "$ROOT/data/train" --set model.selection.policy=question --limit 5000 -o "$ROOT/choose"
fi
stage full full "$(steps full)" "$@"
stage again full 1200 "init_from.checkpoint=$ROOT/full" "output=$ROOT/again" "$@" # the same once more, from a high rate down
if [ ! -e "$ROOT/choose-again" ]; then
    "$DRAGONFLY" lab calibrate "$ROOT/again" "$ROOT/data/train" --set model.selection.policy=question --limit 6500 -o "$ROOT/choose-again"
fi
stage third full 1500 "init_from.checkpoint=$ROOT/choose-again" "output=$ROOT/third" "$@"
both="data.train=[{name: images, path: $ROOT/data/train}, {name: words, path: $ROOT/data/words}]" # letters are learned last
stage words full 1500 "init_from.checkpoint=$ROOT/third" "output=$ROOT/words" "$both" "$@"
[ -e "$ROOT/mean" ] || "$PYTHON" scripts/average.py "$ROOT/third" "$ROOT/words" "$ROOT/mean"

# As people ask: their words become tokens, where to look is learned for them anew, and then how to answer.
synth asked nano train 7000 31 --language natural
synth own nano train 3500 32
[ -e "$ROOT/worded" ] || "$PYTHON" scripts/add_words.py "$ROOT/mean" "$ROOT/data/asked" "$ROOT/worded"
if [ ! -e "$ROOT/choose-asked" ]; then
    "$DRAGONFLY" lab calibrate "$ROOT/worded" "$ROOT/data/asked" "$ROOT/data/own" \
        --set model.selection.policy=question --limit 2500 -o "$ROOT/choose-asked"
fi
stage natural natural "$(steps natural)" "$@"
synth asked-dev nano dev 100 33 --language natural
# A quarter of the way back to where it began: what the generator's own wordings lost is regained at little cost to the others.
[ -e "$ROOT/natural-mean" ] || "$PYTHON" scripts/average.py "$ROOT/choose-asked" "$ROOT/natural" "$ROOT/natural-mean"
[ -e "$ROOT/natural-kept" ] || "$PYTHON" scripts/average.py "$ROOT/natural-mean" "$ROOT/natural" "$ROOT/natural-kept"
[ -e "$ROOT/tempered" ] || "$PYTHON" scripts/temper.py "$ROOT/natural-kept" "$ROOT/tempered" "$ROOT/data/asked-dev" "$ROOT/data/dev"
# The same data once more, for twice as long.
stage natural-2 natural 1000 "init_from.checkpoint=$ROOT/tempered" "output=$ROOT/natural-2" precision=bfloat16 \
    "attention={vision_config: eager, text_config: eager}" optim.learning_rate=1.0e-3 optim.warmup=40 "$@"
[ -e "$ROOT/tempered-2" ] || "$PYTHON" scripts/temper.py "$ROOT/natural-2" "$ROOT/tempered-2" "$ROOT/data/asked-dev" "$ROOT/data/dev"
# And on more pages, five times as long; where to look is learned from all of them first.
synth asked-2 nano train 9000 131 --language natural
synth own-2 nano train 4500 132
if [ ! -e "$ROOT/choose-asked-2" ]; then
    "$DRAGONFLY" lab calibrate "$ROOT/tempered-2" "$ROOT/data/asked-2" "$ROOT/data/own-2" \
        --set model.selection.policy=question --limit 9000 -o "$ROOT/choose-asked-2"
fi
stage natural-3 natural 5000 "init_from.checkpoint=$ROOT/choose-asked-2" "output=$ROOT/natural-3" precision=bfloat16 \
    "attention={vision_config: eager, text_config: eager}" optim.learning_rate=1.2e-3 optim.warmup=60 optim.schedule=linear \
    "data.train=[{name: asked, path: $ROOT/data/asked-2, group_questions: 12}, {name: own, path: $ROOT/data/own-2, group_questions: 12, passes: 1.5}]" "$@"
# Once more, on pages that are all new, from where that ended.
synth asked-4 nano train 9000 141 --language natural
synth own-4 nano train 3000 142
stage natural-4 natural 3000 "init_from.checkpoint=$ROOT/natural-3" "output=$ROOT/natural-4" precision=bfloat16 \
    "attention={vision_config: eager, text_config: eager}" optim.learning_rate=1.2e-3 optim.warmup=40 optim.schedule=linear \
    "data.train=[{name: asked, path: $ROOT/data/asked-4, group_questions: 12}, {name: own, path: $ROOT/data/own-4, group_questions: 12, passes: 1.5}]" "$@"
# Confidence is set on questions as people ask them alone: they are what it is read for, and the generator's own are surer.
[ -e "$ROOT/tempered-4" ] || "$PYTHON" scripts/temper.py "$ROOT/natural-4" "$ROOT/tempered-4" "$ROOT/data/asked-dev"
# Two sub-images instead of one, the better one last, where the only one has been so far: what was learned holds from the first step.
synth asked-6 nano train 14000 161 --language natural
synth own-6 nano train 5000 162
stage natural-5 natural 12500 "init_from.checkpoint=$ROOT/tempered-4" "output=$ROOT/natural-5" precision=bfloat16 \
    model.selection.keep=2 model.selection.order=score \
    "attention={vision_config: eager, text_config: eager}" optim.learning_rate=1.2e-3 optim.warmup=60 optim.schedule=linear \
    "data.train=[{name: asked, path: $ROOT/data/asked-6, group_questions: 12}, {name: own, path: $ROOT/data/own-6, group_questions: 12, passes: 1.5}]" "$@"
[ -e "$ROOT/tempered-5" ] || "$PYTHON" scripts/temper.py "$ROOT/natural-5" "$ROOT/tempered-5" "$ROOT/data/asked-dev"
# Once more on new pages, with fewer questions about what is not there: before, it was said too readily.
synth asked-8a nano train 6000 171 --language natural --absent 0.4
synth asked-8b nano train 12000 173 --language natural --absent 0.4
synth own-8 nano train 9000 172 --absent 0.4
stage natural-6 natural 7500 "init_from.checkpoint=$ROOT/tempered-5" "output=$ROOT/natural-6" \
    model.selection.keep=2 model.selection.order=score \
    "attention={vision_config: eager, text_config: eager}" optim.learning_rate=1.2e-3 optim.warmup=60 optim.schedule=linear \
    "data.train=[{name: asked, path: $ROOT/data/asked-8a, group_questions: 12}, {name: asked-more, path: $ROOT/data/asked-8b, group_questions: 12}, {name: own, path: $ROOT/data/own-8, group_questions: 12}]" "$@"
[ -e "$ROOT/natural-6-mean" ] || "$PYTHON" scripts/average.py "$ROOT/tempered-5" "$ROOT/natural-6" "$ROOT/natural-6-mean"
[ -e "$ROOT/natural-6-kept" ] || "$PYTHON" scripts/average.py "$ROOT/natural-6-mean" "$ROOT/natural-6" "$ROOT/natural-6-kept"
[ -e "$ROOT/tempered-6" ] || "$PYTHON" scripts/temper.py "$ROOT/natural-6-kept" "$ROOT/tempered-6" "$ROOT/data/asked-dev"
# Then what kept it from better: two more layers for the language model, which read new pages as it did those of training; names for
# what is asked about that people use and pages do not; and a tower that has read on, on pages whose values hardly repeat.
synth asked-9a nano-glyphs train 7000 181 --language varied --absent 0.4
synth own-9a nano-glyphs train 3000 182 --absent 0.4
synth asked-9b nano train 5000 183 --language varied --absent 0.4
synth own-9b nano train 2500 184 --absent 0.4
synth glyphs nano-glyphs-crowded train 9000 401 --text-annotations
[ -e "$ROOT/deeper" ] || "$PYTHON" scripts/add_layers.py "$ROOT/tempered-6" "$ROOT/deeper" 1 3
[ -e "$ROOT/worded-2" ] || "$PYTHON" scripts/add_words.py "$ROOT/deeper" "$ROOT/data/asked-9a" "$ROOT/worded-2"
deeper=(model.selection.keep=2 model.selection.order=score "attention={vision_config: eager, text_config: eager}")
stage natural-7 natural 2643 "init_from.checkpoint=$ROOT/worded-2" "output=$ROOT/natural-7" "${deeper[@]}" optim.learning_rate=1.2e-3 optim.warmup=60 optim.schedule=constant \
    "data.train=[{name: asked, path: $ROOT/data/asked-9a, group_questions: 12}, {name: own, path: $ROOT/data/own-9a, group_questions: 12}]" "$@"
stage read-on bind 9000 "init_from.checkpoint=$ROOT/bind" "output=$ROOT/read-on" "data.train=[{name: glyphs, path: $ROOT/data/glyphs}]" \
    optim.learning_rate=8.0e-4 optim.schedule=linear optim.warmup=150 "objective.thresholds=[]" "$@"
# A quarter of the way back: it reads known words nearly as well as before, and any glyphs better.
[ -e "$ROOT/read-on-mean" ] || "$PYTHON" scripts/average.py "$ROOT/bind" "$ROOT/read-on" "$ROOT/read-on-mean"
[ -e "$ROOT/read-on-kept" ] || "$PYTHON" scripts/average.py "$ROOT/read-on-mean" "$ROOT/read-on" "$ROOT/read-on-kept"
[ -e "$ROOT/renewed" ] || "$PYTHON" scripts/renew_tower.py "$ROOT/worded-2" "$ROOT/read-on-kept" "$ROOT/data/asked-9a" "$ROOT/renewed"
if [ ! -e "$ROOT/choose-asked-7" ]; then
    "$DRAGONFLY" lab calibrate "$ROOT/renewed" "$ROOT/data/asked-9a" "$ROOT/data/asked-9b" "$ROOT/data/own-9a" \
        --set model.selection.policy=question --limit 4500 -o "$ROOT/choose-asked-7"
fi
[ -e "$ROOT/begun-8" ] || "$PYTHON" scripts/renew_tower.py "$ROOT/natural-7" "$ROOT/choose-asked-7" "$ROOT/data/asked-9a" "$ROOT/begun-8"
stage natural-8 natural 1350 "init_from.checkpoint=$ROOT/begun-8" "output=$ROOT/natural-8" "${deeper[@]}" optim.learning_rate=1.2e-3 optim.warmup=30 optim.schedule=linear \
    "data.train=[{name: asked, path: $ROOT/data/asked-9b, group_questions: 12}, {name: glyphs, path: $ROOT/data/asked-9a, group_questions: 12, passes: 0.3}, {name: own, path: $ROOT/data/own-9b, group_questions: 12, passes: 0.6}]" "$@"
# Half of the way back to the language model that the seventh run began from: what it knew is kept, what was learned too.
[ -e "$ROOT/natural-8-mean" ] || "$PYTHON" scripts/average.py "$ROOT/choose-asked-7" "$ROOT/natural-8" "$ROOT/natural-8-mean"
[ -e "$ROOT/tempered-8" ] || "$PYTHON" scripts/temper.py "$ROOT/natural-8-mean" "$ROOT/tempered-8" "$ROOT/data/asked-dev"
# Once more on new pages (the run ended early: its rate fell as for 4,100 steps), then half of the pages asked only to count, compare
# and describe, which stayed behind; half of the way back; and a short run on new pages, for what the generator's own wordings lost.
synth asked-10a nano-glyphs train 3000 191 --language varied --absent 0.4
synth asked-10b nano train 3000 193 --language varied --absent 0.4
synth asked-10c nano train 5000 195 --language varied --absent 0.4
synth own-10b nano train 2000 194 --absent 0.4
synth counted-10 nano train 4000 196 --language varied --questions count,describe,compare
synth asked-11 nano train 1700 197 --language varied --absent 0.4
synth own-11 nano train 1000 198 --absent 0.4
stage natural-9 natural 1980 "init_from.checkpoint=$ROOT/tempered-8" "output=$ROOT/natural-9" "${deeper[@]}" optim.learning_rate=1.2e-3 precision=bfloat16 optim.warmup=60 optim.schedule=linear \
    "data.train=[{name: asked, path: $ROOT/data/asked-10b, group_questions: 12}, {name: more, path: $ROOT/data/asked-10c, group_questions: 12}, {name: glyphs, path: $ROOT/data/asked-10a, group_questions: 12}, {name: own, path: $ROOT/data/own-10b, group_questions: 12}]" "$@"
stage natural-10 natural 2200 "init_from.checkpoint=$ROOT/natural-9" "output=$ROOT/natural-10" "${deeper[@]}" precision=bfloat16 optim.learning_rate=1.0e-3 optim.warmup=30 optim.schedule=linear \
    "data.train=[{name: counted, path: $ROOT/data/counted-10, group_questions: 12}, {name: asked, path: $ROOT/data/asked-10b, group_questions: 12}, {name: more, path: $ROOT/data/asked-10c, group_questions: 12, passes: 0.3}]" "$@"
[ -e "$ROOT/natural-10-mean" ] || "$PYTHON" scripts/average.py "$ROOT/tempered-8" "$ROOT/natural-10" "$ROOT/natural-10-mean"
stage natural-11 natural 700 "init_from.checkpoint=$ROOT/natural-10-mean" "output=$ROOT/natural-11" "${deeper[@]}" precision=bfloat16 optim.learning_rate=8.0e-4 optim.warmup=20 optim.schedule=linear \
    "data.train=[{name: asked, path: $ROOT/data/asked-11, group_questions: 12}, {name: own, path: $ROOT/data/own-11, group_questions: 12}]" "$@"
# Half of the way back again: on pages and sentences of other templates the end of the run alone is worse than where it began.
[ -e "$ROOT/natural-11-mean" ] || "$PYTHON" scripts/average.py "$ROOT/natural-10-mean" "$ROOT/natural-11" "$ROOT/natural-11-mean"
[ -e "$ROOT/tempered-11" ] || "$PYTHON" scripts/temper.py "$ROOT/natural-11-mean" "$ROOT/tempered-11" "$ROOT/data/asked-dev"
echo "the model: $ROOT/tempered-11; measure it with scripts/measure_pages.py and measure_language.py before it takes the place of src/dragonfly/assets/nano"
