#!/usr/bin/env bash
# The built wheel in an empty environment: its declared dependencies from the index, and a question to its bundled model.
# Usage: scripts/try_wheel.sh WHEEL FOLDER [PYTHON_WITH_TORCH]. With the third, torch is taken from there, not downloaded again.
set -euo pipefail
wheel=$(realpath "$1") folder=$2 root=$(cd "$(dirname "$0")/.." && pwd)
rm -rf "$folder"
python3 -m venv "$folder"
if [ $# -gt 2 ]; then # a folder of links, so that nothing but torch is seen
    installed=$("$3" -c 'import torch, pathlib; print(pathlib.Path(torch.__file__).parents[1])')
    packages=$("$folder/bin/python" -c 'import site; print(site.getsitepackages()[0])')
    mkdir "$folder/torch"
    ln -s "$installed"/torch "$installed"/torchgen "$installed"/functorch "$installed"/torch-*.dist-info "$folder/torch/"
    realpath "$folder/torch" > "$packages/torch.pth"
fi
"$folder/bin/python" -m pip install --quiet --disable-pip-version-check --constraint "$root/requirements.lock" "$wheel"
"$folder/bin/python" -m pip check
dragonfly=$(realpath "$folder/bin/dragonfly")
cd "$folder" # away from the sources
unset PYTHONPATH
answer=$("$dragonfly" ask "$root/examples/images/receipt.png" "Give the qty.")
echo "asked for the quantity, it answers: $answer"
[ "${answer%%$'\n'*}" = 51 ]
"$dragonfly" --version
