"""Prove the ranges in pyproject.toml: `python tools/library_sets.py [SET ...]` runs the course with other libraries.

For each set: a virtual environment in .cache/library-sets, the preflight, the tests of the helpers, and all notebooks.
That takes up to half an hour a set on two cores, and 7 GB of disk. What was installed and what came out goes to
benchmarks/results/library-sets.json. `--venv SET=FOLDER` installs into an environment that is there already.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import venv
from datetime import date
from pathlib import Path

COURSE = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(COURSE))
from helpers.versions import requirements  # noqa: E402

RECORD = COURSE / "benchmarks" / "results" / "library-sets.json"
SHOWN = ("torch", "diffusers", "transformers", "accelerate", "numpy", "librosa", "soundfile", "ipywidgets", "ipython")
# What Google Colab had in August 2026. Its torch is a CUDA build of this release.
COLAB = ("torch==2.11.0", "diffusers==0.39.0", "transformers==5.15.*", "numpy==2.1.3", "ipywidgets==7.7.1")
COLAB = (*COLAB, "ipython==7.34.0")
NEWEST = ("torch==2.14.1",)  # pip takes the newest of all others


def oldest():
    """Pin every library that has a lower bound to it."""
    bounds = {wanted.name: s.version for wanted in requirements("test") for s in wanted.specifier if s.operator == ">="}
    return tuple(f"{name}=={version}.*" for name, version in bounds.items())


def install(python, pins):
    """Install the course's libraries with the set's versions, but not the course: Colab has only a clone."""
    wanted = [str(requirement) for requirement in requirements("test")]
    subprocess.run([python, "-m", "pip", "install", "--quiet", "--upgrade", *wanted, *pins], check=True)


def versions(python):
    """Version of each library that is shown, and of Python."""
    listed = subprocess.run([python, "-m", "pip", "list", "--format=json"], check=True, capture_output=True).stdout
    found = {package["name"].lower(): package["version"] for package in json.loads(listed)}
    python = subprocess.run([python, "--version"], capture_output=True, text=True).stdout.split()[1]
    return {"python": python} | {name: found.get(name) for name in SHOWN}


def prove(python):
    """Run preflight, tests of the helpers and notebooks; return the last line of each, and whether all passed."""
    environment = os.environ | {"PYTHONPATH": str(COURSE), "HF_HUB_OFFLINE": "1"}
    tests = sorted(f"tests/{path.name}" for path in (COURSE / "tests").glob("test_helpers_*.py"))
    commands = {
        "preflight": [python, "tools/check_your_machine.py"],
        "helpers": [python, "-m", "pytest", "-q", *tests],
        "notebooks": [python, "-m", "pytest", "-q", "notebooks"],
    }
    closing, passed = {}, True
    for name, command in commands.items():
        run = subprocess.run(command, cwd=COURSE, env=environment, text=True, encoding="utf-8", stdout=subprocess.PIPE)
        print(run.stdout, flush=True)
        passed &= run.returncode == 0
        closing[name] = re.sub(r" in [\d.]+s.*", "", run.stdout.strip().splitlines()[-1].strip("= "))
    return closing, passed


def main():
    """Run the sets that are asked for; exit with 1 if one fails."""
    sets = {"oldest": oldest(), "Colab": COLAB, "newest": NEWEST}
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sets", nargs="*", metavar="SET", help=f"{', '.join(sets)}; all by default")
    parser.add_argument("--venv", nargs="+", default=[], metavar="SET=FOLDER", help="virtual environments to use")
    arguments = parser.parse_args()
    names, folders = arguments.sets or list(sets), dict(pair.split("=", 1) for pair in arguments.venv)
    for name in {*names, *folders} - set(sets):
        parser.error(f"there is no set {name!r}: choose from {', '.join(sets)}")
    record, failed = json.loads(RECORD.read_text(encoding="utf-8")) if RECORD.exists() else {}, False
    for name in names:
        folder = Path(folders.get(name, COURSE / ".cache" / "library-sets" / name))
        if name not in folders:
            venv.create(folder, with_pip=True, clear=True)
        python = folder / ("Scripts" if sys.platform == "win32" else "bin") / "python"
        install(python, sets[name])
        closing, passed = prove(python)
        failed |= not passed
        record[name] = {"date": f"{date.today()}", "passed": passed, "versions": versions(python)} | closing
        RECORD.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
        print(f"{name}: {'passed' if passed else 'FAILED'}: {closing}", flush=True)
    sys.exit(failed)


if __name__ == "__main__":
    main()
