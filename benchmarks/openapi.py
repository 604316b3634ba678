"""schemathesis against the description that `dragonfly serve` gives of itself: requests made from it, sound and unsound.

Run: make openapi, or with schemathesis installed in an environment of its own
    python benchmarks/openapi.py --schemathesis PATH [--seconds 120] [--output benchmarks/results/openapi.json]

The server is the command itself with the bundled model. It counts its responses by route and status; `statuses` is its own
count. The exit status is 1 where the server failed (5xx), or answered with a status that its description does not know.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import httpx2

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "src")]

from benchmarks.serving import server  # noqa: E402

from dragonfly.files import result_header, write_json  # noqa: E402

CHECKS = "not_a_server_error,status_code_conformance"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--schemathesis", default="schemathesis", help="the command")
    parser.add_argument("--seconds", type=int, default=120)
    parser.add_argument("--output", type=Path, default=ROOT / "benchmarks" / "results" / "openapi.json")
    options = parser.parse_args()
    program = shutil.which(options.schemathesis)
    if program is None:
        raise SystemExit(f"error: there is no command {options.schemathesis!r}; `make openapi` installs it")
    program = str(Path(program).absolute())  # it runs in another folder
    version = subprocess.run([program, "--version"], capture_output=True, text=True, check=True).stdout.split()[-1]
    with server() as (address, _), tempfile.TemporaryDirectory() as apart:  # it leaves files where it runs
        command = [program, "run", f"{address}/openapi.json", "--checks", CHECKS, "--max-time", str(options.seconds)]
        command += ["--include-method", "POST", "--phases", "examples,coverage,fuzzing", "--seed", "0", "--no-color"]
        done = subprocess.run([*command, "--request-timeout", "150"], check=False, capture_output=True, text=True, cwd=apart)
        counted = httpx2.get(f"{address}/metrics", timeout=60).text
        after = httpx2.get(f"{address}/ready", timeout=60).status_code
    statuses: dict[str, dict[str, int]] = {}
    for route, status, number in re.findall(r'dragonfly_requests_total\{route="(.*?)",status="(\d+)"\} (\S+)', counted):
        statuses.setdefault(route, {})[status] = int(float(number))
    failed = sum(number for found in statuses.values() for status, number in found.items() if status.startswith("5"))
    write_json(
        options.output,
        {
            **result_header(),
            "schemathesis": version,
            "checks": CHECKS.split(","),
            "seconds": options.seconds,
            "statuses": statuses,
            "server_errors": failed,
            "exit": done.returncode,
            "ready_afterwards": after,
        },
    )
    print(done.stdout[-6000:], done.stderr[-2000:])
    return 1 if failed or done.returncode else 0


if __name__ == "__main__":
    sys.exit(main())
