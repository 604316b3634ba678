#!/bin/sh
# Run the tests of models/ and vision/ under the oldest transformers that pyproject.toml allows, and exchange saved models with the
# newest (that of .venv, or of the interpreter NEWEST).
#
# usage: scripts/test_floor.sh [FOLDER] [PYTEST ARGUMENTS...]
#
# FOLDER holds the virtual environment (default build/floor); an existing one is used again. The environment is its own:
# nothing of the one that calls this is seen. All else is what requirements.lock says.
set -eu
cd "$(dirname "$0")/.."

floor=$(sed -n 's/.*"transformers>=\([0-9.]*\),.*/\1/p' pyproject.toml)
case $floor in *.*.*) ;; *) floor=$floor.0 ;; esac
folder=${1:-build/floor}
[ $# -eq 0 ] || shift
python=$folder/bin/python

if ! "$python" -c "import transformers, sys; sys.exit(transformers.__version__ != '$floor')" 2>/dev/null; then
    "${PYTHON:-python3}" -m venv "$folder"
    pip="$python -m pip install --quiet --disable-pip-version-check"
    $pip --no-deps --retries 0 --timeout 20 --index-url https://download.pytorch.org/whl/cpu torch==2.13.0 ||
        $pip --no-deps torch==2.13.0 # where that index cannot be reached, the build that pip finds
    grep -v '^transformers==' requirements.lock >"$folder/others.lock"
    $pip --constraint "$folder/others.lock" torch==2.13.0 "transformers==$floor" accelerate pillow simplejpeg numpy pydantic pyyaml typer rich \
        jinja2 jaxtyping filelock beartype pytest hypothesis tifffile imagecodecs openslide-python openslide-bin
fi
PYTHONPATH=src "$python" -m pytest -p no:cacheprovider tests/models tests/vision "$@"

# What one version saves, the other loads.
newest=${NEWEST:-.venv/bin/python}
rm -rf "$folder/newest" "$folder/oldest"
export PYTHONPATH=src:. TRANSFORMERS_VERBOSITY=error
"$newest" scripts/cross_versions.py save "$folder/newest"
"$python" scripts/cross_versions.py load "$folder/newest"
"$python" scripts/cross_versions.py save "$folder/oldest"
"$newest" scripts/cross_versions.py load "$folder/oldest"
