"""Prove the ranges in requirements.txt: `python tools/library_sets.py` runs the lessons with other sets of libraries.

Each set gets a virtual environment of its own in `.cache/library-sets`, in which the tests of the helpers and all
lessons run. That takes a quarter of an hour for each set on two cores. It prints a table with what was installed.
"""

import argparse
import json
import re
import subprocess
import sys
import venv
from datetime import UTC, datetime
from pathlib import Path

COURSE = Path(__file__).resolve().parent.parent
REQUIREMENTS = (COURSE / "requirements.txt").read_text(encoding="utf-8").splitlines()
TESTS = (*sorted(f"tests/{path.name}" for path in (COURSE / "tests").glob("test_helpers_*.py")), "notebooks")
SHOWN = ("torch", "diffusers", "transformers", "accelerate", "numpy", "ipywidgets", "ipython")
# What Google Colab had installed in August 2026, but for torch, of which it has a CUDA build.
COLAB = ("diffusers==0.39.*", "transformers==5.15.*", "numpy==2.1.3", "ipywidgets==7.7.1", "ipython==7.34.0")
# The lower bounds, but for torch: which versions of it can be had differs between systems.
OLDEST = tuple(
    f"{name}=={version}.*"
    for name, version in re.findall(r"^([\w-]+)>=([\d.]+)", "\n".join(REQUIREMENTS), re.MULTILINE)
    if name not in ("torch", "jupyterlab")
)
SETS = {"newest": (), "Colab": COLAB, "oldest": OLDEST}


def install(name, constraints):
    """Make the set's virtual environment, without JupyterLab: Colab has none, and no test needs it."""
    folder = COURSE / ".cache" / "library-sets" / name
    venv.create(folder, with_pip=True, clear=True)
    python = folder / ("Scripts" if sys.platform == "win32" else "bin") / "python"
    wanted = folder / "requirements.txt"
    lines = [line for line in REQUIREMENTS if not line.startswith(("jupyterlab", "-e"))]
    wanted.write_text("\n".join([*lines, f"-e {COURSE}"]), encoding="utf-8")
    (folder / "constraints.txt").write_text("\n".join(constraints), encoding="utf-8")
    command = [python, "-m", "pip", "install", "--quiet", "-r", wanted, "-c", folder / "constraints.txt"]
    subprocess.run(command, check=True)
    return python


def versions(python):
    """Name what is installed, such as "torch 2.13.0, diffusers 0.42.1"."""
    listed = subprocess.run([python, "-m", "pip", "list", "--format=json"], check=True, capture_output=True).stdout
    found = {package["name"]: package["version"] for package in json.loads(listed)}
    return ", ".join(f"{name} {found[name]}" for name in SHOWN)


def main():
    """Run the sets that are asked for; exit with 1 if a test fails in one."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("sets", nargs="*", metavar="SET", help=f"{', '.join(SETS)}; all by default")
    names = parser.parse_args().sets or list(SETS)
    for name in set(names) - set(SETS):
        parser.error(f"there is no set {name!r}: choose from {', '.join(SETS)}")
    rows, failed = [], False
    for name in names:
        python = install(name, SETS[name])
        run = subprocess.run([python, "-m", "pytest", "-q", *TESTS], cwd=COURSE, text=True, stdout=subprocess.PIPE)
        print(run.stdout)
        failed |= run.returncode != 0
        closing = run.stdout.strip().splitlines()[-1].strip("= ")
        rows.append(f"| {name} | {versions(python)} | {closing} | {datetime.now(UTC).date()} |")
        print("\n| set | versions | tests | date |\n|---|---|---|---|", *rows, sep="\n", flush=True)
    sys.exit(failed)


if __name__ == "__main__":
    main()
