"""Run notebooks and keep what they gave, for the site, the rehearsal and the table of minutes.

An executed copy stays in .cache/executed, and is used until the notebook's code, the helpers, the checkpoint, the
records in benchmarks/results, or torch, diffusers or transformers change. `python tools/execute.py FOLDER [NAME ...]`
copies the executed ones there, to be shown when a laptop fails.
"""

import argparse
import hashlib
import os
import re
import sys
from datetime import datetime
from importlib.metadata import version
from pathlib import Path

import nbformat
from nbclient import NotebookClient

ROOT = Path(__file__).resolve().parents[1]
CACHE = ROOT / ".cache" / "executed"
LINK = re.compile(r"\]\((?!https?:|#)([^)#]+)")  # in prose, to a file
# Runs last: what the kernel and its processes have used. Linux counts memory in KiB; Windows has no `resource`.
LAST = """
import resource
own, others = map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
print(own.ru_maxrss * 1024, own.ru_utime + own.ru_stime + others.ru_utime + others.ru_stime)
"""


def notebooks(*beginnings):
    """The notebooks of the course in its order: tour, lessons, the check of the machine, the deeper ones."""
    found = [*sorted((ROOT / "notebooks").glob("*.ipynb")), *sorted((ROOT / "notebooks" / "deeper").glob("*.ipynb"))]
    return [path for path in found if path.name.startswith(tuple(beginnings) or "")]


def executed(path, mocked=False, cache=CACHE):
    """Give a notebook with the outputs that its code has, from the cache or else by running it.

    Parameters
    ----------
    path : pathlib.Path
        The notebook.
    mocked : bool
        Run it with the values that the metadata of its parameter cell hold for tests.
    cache : pathlib.Path
        Folder of executed copies, and of the scoreboard that they fill one after the other.

    Returns
    -------
    nbformat.NotebookNode
        With outputs, the seconds of each cell (metadata `execution`) and the state of its controls. On Linux the
        metadata `used` hold the most memory that the kernel had, in bytes, and the seconds that it kept the CPU busy.

    Raises
    ------
    nbclient.exceptions.CellExecutionError
        If a cell fails.
    """
    notebook = nbformat.read(path, 4)
    kept = cache / f"{path.stem}-{_fingerprint(notebook, mocked)}.ipynb"
    if not kept.exists():
        print(f"{path.name}: executing", flush=True)
        running = nbformat.read(path, 4)
        for cell in running.cells:
            values = cell.metadata.get("nbmake", {}).get("mock", {}) if mocked else {}
            cell.source = "\n".join([cell.source, *(f"{name} = {value!r}" for name, value in values.items())])
        settings = {"AUDIOLDM2_CHECKPOINT": "pocket", "AUDIOLDM2_SCOREBOARD": str(cache / "scoreboard.jsonl")}
        settings |= {
            "HF_HUB_OFFLINE": "1",
            "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]),
        }
        running.cells.append(nbformat.v4.new_code_cell(LAST, id="last", metadata={"tags": ["raises-exception"]}))
        client = NotebookClient(running, timeout=None, resources={"metadata": {"path": str(path.parent)}})
        cache.mkdir(parents=True, exist_ok=True)
        client.execute(env=os.environ | settings)
        used = "".join(output.get("text", "") for output in running.cells.pop().outputs).split()
        if sys.platform == "linux":
            running.metadata["used"] = {"memory": float(used[0]), "cpu": float(used[1])}
        nbformat.write(running, kept)
    done = nbformat.read(kept, 4)
    outputs = {cell.id: cell for cell in done.cells if cell.cell_type == "code"}
    for cell in notebook.cells:  # the code is the same, the prose may be newer
        if cell.cell_type == "code":
            cell.update({key: outputs[cell.id][key] for key in ("outputs", "execution_count")})
            cell.metadata["execution"] = outputs[cell.id].metadata.get("execution", {})
    notebook.metadata["widgets"] = done.metadata.get("widgets", {})
    notebook.metadata["used"] = done.metadata.get("used", {})
    return notebook


def write(notebook, path, folder):
    """Write a copy of the notebook at `path`, whose links to other files lead there from it, and return its place."""
    target = (folder / path.relative_to(ROOT / "notebooks")).resolve()

    def moved(link):
        goal = (path.parent / link[1]).resolve()
        return link[0] if goal.suffix == ".ipynb" else f"]({Path(os.path.relpath(goal, target.parent)).as_posix()}"

    target.parent.mkdir(parents=True, exist_ok=True)
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            cell.source = LINK.sub(moved, cell.source)
    nbformat.write(notebook, target)
    return target


def seconds(notebook):
    """Seconds that all cells of an executed notebook took."""
    total = 0.0
    for cell in notebook.cells:
        times = cell.metadata.get("execution", {})
        if "shell.execute_reply" in times:
            end, begin = map(datetime.fromisoformat, (times["shell.execute_reply"], times["iopub.execute_input"]))
            total += (end - begin).total_seconds()
    return total


def _fingerprint(notebook, mocked):
    """What an executed notebook depends on, as a short text."""
    digest = hashlib.sha256(repr([mocked, *map(version, ("torch", "diffusers", "transformers"))]).encode())
    for cell in notebook.cells:
        if cell.cell_type == "code":
            digest.update(repr((cell.id, cell.source, mocked and cell.metadata.get("nbmake"))).encode())
    files = [*(ROOT / "notebooks").glob("*.py")]
    for folder in ("helpers", "pocket/checkpoint", "benchmarks/results"):
        files += [file for file in (ROOT / folder).rglob("*.*") if file.suffix not in (".pyc", ".md")]
    for file in sorted(files):
        digest.update(file.relative_to(ROOT).as_posix().encode() + file.read_bytes())
    return digest.hexdigest()[:16]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="for the copies")
    parser.add_argument("names", metavar="NAME", nargs="*", help="beginning of a file name, such as 03; by default all")
    given = parser.parse_args()
    for path in notebooks(*given.names):
        print(write(executed(path), path, given.folder))
