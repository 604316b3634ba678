#!/bin/sh
# Run the tests of models/ and vision/ under the oldest transformers that pyproject.toml allows.
#
# usage: scripts/test_floor.sh [FOLDER] [PYTEST ARGUMENTS...]
#
# FOLDER holds the virtual environment (default build/floor); an existing one is used again. The environment is its own:
# nothing of the one that calls this is seen. TORCH_INDEX names where the CPU build of torch comes from.
set -eu
cd "$(dirname "$0")/.."

floor=$(sed -n 's/.*"transformers>=\([0-9.]*\),.*/\1/p' pyproject.toml)
case $floor in *.*.*) ;; *) floor=$floor.0 ;; esac
folder=${1:-build/floor}
[ $# -eq 0 ] || shift
python=$folder/bin/python

if ! "$python" -c "import transformers, sys; sys.exit(transformers.__version__ != '$floor')" 2>/dev/null; then
    "${PYTHON:-python3}" -m venv "$folder"
    "$python" -m pip install --quiet --extra-index-url "${TORCH_INDEX:-https://download.pytorch.org/whl/cpu}" \
        "torch==2.13.0" "transformers==$floor" accelerate pillow numpy pydantic pyyaml jinja2 jaxtyping beartype \
        pytest hypothesis
fi
PYTHONPATH=src exec "$python" -m pytest -p no:cacheprovider tests/models tests/vision "$@"
