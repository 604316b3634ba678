"""transformers' own test mixins on our classes: which fail, and why that is meant. Writes benchmarks/results/mixins.json.

The mixins come from the source distribution of the installed version of transformers, fetched into build/mixins and never
committed. What they import and that archive lacks (exporters, generation tests, a table of configuration values) is stubbed.

usage: python benchmarks/mixins.py [-o FILE] [PYTEST ARGUMENTS...]
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tarfile
import xml.etree.ElementTree as ET
from collections import Counter
from pathlib import Path

import transformers
from PIL import Image

from dragonfly.files import result_header, write_json, write_text

ROOT = Path(__file__).resolve().parent.parent
TESTERS = ROOT / "benchmarks" / "transformers_mixins"
STUBS = {  # below hf_tests/
    "__init__.py": "",
    "utils/__init__.py": "",
    "utils/test_configuration_utils.py": "config_common_kwargs = {}\n",
    "generation/__init__.py": "",
    "generation/test_utils.py": "class GenerationTesterMixin:\n    pass\n",
    "exporters/__init__.py": "",
    "exporters/test_export.py": "class ExportTesterMixin:\n    pass\n",
    "../fetch_hub_objects_for_ci.py": "def url_to_local_path(url):\n    return __file__.replace('.py', '.png')\n",
}

STRICT = "a checkpoint that lacks tensors is refused by name; strict=False patches it as transformers does"
FIXED = (
    "sub-images are always cut, rescaled, normalised and RGB; do_*=False is refused, where it would change what the model sees"
)
QUERY = "policy 'question': its query projection learns from evidence alone, and that batch has none"
EXCEPTIONS = {
    "test_base_model_prefix_loads_base_weights": STRICT,
    "test_correct_missing_keys": STRICT,
    "test_model_weights_reload_no_missing_tied_weights": STRICT,
    "test_reverse_loading_mapping": "what was read under the released names is saved under ours, so the renaming is not reversed",
    "test_call_numpy_4_channels": FIXED,
    "test_image_processor_from_dict_with_kwargs_has_attributes": FIXED,
    "test_save_load_pretrained_additional_features": FIXED,
    "test_training_gradient_checkpointing": QUERY,
    "test_training_gradient_checkpointing_use_reentrant_false": QUERY,
    "test_training_gradient_checkpointing_use_reentrant_true": QUERY,
    "test_apply_chat_template_assistant_mask": "its template ends an answer in no token at which generation could stop: refused",
    "test_args_overlap_kwargs": "an option that nothing reads is refused, in a saved file as well",
    "test_subprocessor_defaults_0_text": "before BOS (block_first) the processor writes BOS itself, so its tokenizer must not",
    "test_new_models_require_torchvision_backend": "Pillow and numpy alone cut images, so that no version of torchvision matters",
}
"""Name of a test -> why its failure is meant."""


def fetch(folder: Path) -> None:
    """The mixins of the installed version as the package `hf_tests`, with the one package they need beside."""
    if (folder / "hf_tests" / "test_modeling_common.py").exists():
        return
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    version = transformers.__version__
    source = ["--no-deps", "--no-binary", "transformers", f"transformers=={version}"]
    subprocess.run([*pip, "download", "--dest", str(folder), *source], check=True)
    subprocess.run([*pip, "install", "--target", str(folder), "--no-deps", "parameterized==0.9.0"], check=True)
    with tarfile.open(folder / f"transformers-{version}.tar.gz") as archive:
        for member in archive.getmembers():
            path = Path(member.name)
            if path.parts[1:2] == ("tests",) and path.suffix == ".py":
                content = archive.extractfile(member)
                assert content is not None
                target = folder / "hf_tests" / Path(*path.parts[2:])
                target.parent.mkdir(parents=True, exist_ok=True)
                write_text(target, content.read().decode())
    Image.effect_noise((96, 64), 80).convert("RGB").save(folder / "fetch_hub_objects_for_ci.png")
    for name, text in STUBS.items():
        path = folder / "hf_tests" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            write_text(path, text)


def run(folder: Path, arguments: list[str]) -> list[tuple[str, str, str, str]]:
    """Class, test, outcome and first line of the message, of every test."""
    report = folder / "report.xml"
    paths = os.pathsep.join(map(str, (ROOT / "src", ROOT, folder, *filter(None, [os.environ.get("PYTHONPATH")]))))
    environment = {**os.environ, "PYTHONPATH": paths, "HF_HUB_OFFLINE": "1", "HF_MODULES_CACHE": str(folder / "modules")}
    options = ["-c", os.devnull, "--rootdir", str(folder), "-p", "no:cacheprovider", "-q", "--tb=short", f"--junitxml={report}"]
    command = [sys.executable, "-m", "pytest", *options, str(TESTERS / "test_dragonfly.py"), *arguments]
    with (folder / "log.txt").open("w") as log:
        subprocess.run(command, check=False, env=environment, cwd=folder, stdout=log, stderr=subprocess.STDOUT)
    rows: list[tuple[str, str, str, str]] = []
    for case in ET.parse(report).iter("testcase"):
        problem = next((child for child in case if child.tag in ("failure", "error", "skipped")), None)
        outcome = "passed" if problem is None else {"skipped": "skipped"}.get(problem.tag, "failed")
        message = "" if problem is None else " ".join((problem.get("message") or "").split())[:300]
        rows.append((case.get("classname", "").rpartition(".")[2], case.get("name", ""), outcome, message))
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-o", "--output", type=Path, default=ROOT / "benchmarks" / "results" / "mixins.json")
    options, arguments = parser.parse_known_args()
    folder = ROOT / "build" / "mixins" / transformers.__version__
    folder.mkdir(parents=True, exist_ok=True)
    fetch(folder)
    rows = run(folder, arguments)
    counts: dict[str, Counter[str]] = {}
    for name, _, outcome, _ in rows:
        counts.setdefault(name, Counter())[outcome] += 1
    failed = [row for row in rows if row[2] == "failed"]
    meant = [row for row in failed if row[1] in EXCEPTIONS]
    unexplained = [row for row in failed if row[1] not in EXCEPTIONS]
    result = {
        **result_header(),
        "transformers": transformers.__version__,
        "counts": {name: dict(count) for name, count in counts.items()},
        "exceptions": [{"class": a, "test": b, "message": d, "reason": EXCEPTIONS[b]} for a, b, _, d in meant],
        "unexplained": [{"class": a, "test": b, "message": d} for a, b, _, d in unexplained],
    }
    write_json(options.output, result)
    for name, count in counts.items():
        print(f"{name}: {count['passed']} passed, {count['skipped']} skipped, {count['failed']} failed")
    for name, test, _, message in unexplained:
        print(f"UNEXPLAINED {name}::{test}: {message}")
    sys.exit(1 if unexplained else 0)


if __name__ == "__main__":
    main()
