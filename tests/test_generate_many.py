"""The script of lesson 10: several processes, one of which is killed."""

import gc
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path
from types import SimpleNamespace

import nbformat
import numpy as np
import psutil
import pytest
import soundfile
from accelerate import PartialState
from filelock import FileLock
from nbclient import NotebookClient

import helpers

NOTEBOOKS = Path(__file__).parents[1] / "notebooks"
SCRIPT = NOTEBOOKS / "generate_many.py"
sys.path.insert(0, str(NOTEBOOKS))
import generate_many  # noqa: E402

TEXTS = ["Rain falling", "Birds singing", "", "Church bells – größer", "A steam train", "Techno music", "A siren"]
PROMPTS = {line: text for line, text in enumerate(TEXTS, 1) if text}
SETTINGS = ["--steps", "2", "--seconds", "1.28"]


def write_prompts(path, texts=TEXTS):
    path.write_text("\n".join(texts), encoding="utf-8")
    return path


def rows_in(folder):
    return [json.loads(line) for line in (folder / "table.jsonl").read_text(encoding="utf-8").splitlines()]


def made(folder):
    return {path.name: path.stat().st_mtime_ns for path in folder.glob("*.flac")}


def run_here(prompts, folder, *options):
    """One process: this one."""
    PartialState._reset_state()
    gc.collect()  # the lock of a run that was refused
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(helpers, "best_device", lambda: "cpu")
        patch.setattr(sys, "argv", ["generate_many.py", str(prompts), str(folder), *SETTINGS, *options])
        generate_many.main()


def launch(prompts, folder, kill=None, script=SCRIPT):
    """Two processes on the CPU; kill that of the number `kill` after its first clip."""
    command = [sys.executable, "-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes", "2"]
    command += ["--num_machines", "1", "--gpu_ids", "all", "--main_process_port", "0"]
    command += [str(script), str(prompts), str(folder), *SETTINGS]
    environment = os.environ | {"CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1", "PYTHONUTF8": "1"}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True, "encoding": "utf-8"}
    said = ""
    with subprocess.Popen(command, env=environment, **pipes) as process:
        limit = threading.Timer(400, end, [process])  # a run that hangs fails the tests, and does not stop them
        limit.start()
        for line in process.stdout:
            said += line
            if line.startswith(f"process {kill}: "):
                os.kill(int(re.search(rf"process {kill} of 2 \(pid (\d+)\)", said)[1]), signal.SIGKILL)
                kill = None
        hung = not limit.is_alive()
        limit.cancel()
        return SimpleNamespace(status=process.wait(), said=said, hung=hung)


def end(process):
    for one in [*psutil.Process(process.pid).children(recursive=True), process]:
        one.kill()


@pytest.fixture(scope="module")
def one(tmp_path_factory):
    """What one process makes: first of one line, then of the whole file."""
    folder = tmp_path_factory.mktemp("one")
    prompts = write_prompts(folder / "prompts.txt", TEXTS[:1])
    run_here(prompts, folder / "clips")
    first = made(folder / "clips")
    run_here(write_prompts(prompts), folder / "clips")
    return SimpleNamespace(prompts=prompts, clips=folder / "clips", first=first)


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    """Two processes, of which one is killed; and the same command again."""
    if not hasattr(signal, "SIGKILL"):
        pytest.skip("this system has no SIGKILL")
    folder = tmp_path_factory.mktemp("two")
    prompts, clips = write_prompts(folder / "prompts.txt"), folder / "clips"
    killed = launch(prompts, clips, kill=1)
    before = made(clips)
    resumed = launch(prompts, clips)
    return SimpleNamespace(clips=clips, killed=killed, before=before, resumed=resumed)


def test_one_row_for_each_prompt_with_its_seed_and_score(one):
    rows = rows_in(one.clips)
    assert {row["line"]: row["prompt"] for row in rows} == PROMPTS and len(rows) == len(PROMPTS)
    for row in rows:
        assert row["seed"] == row["line"] and -1 <= row["clap_score"] <= 1 and row["steps"] == 2
        assert soundfile.info(one.clips / f"{row['line']:05}.flac").duration == pytest.approx(1.28, abs=0.1)


def test_a_longer_file_adds_clips_and_makes_none_again(one):
    assert one.first and one.first.items() < made(one.clips).items()


def test_two_processes_really_start_and_share_the_work(two):
    assert "process 0 of 2" in two.killed.said and "process 1 of 2" in two.killed.said
    assert two.killed.said.count(": 3 of 6 clips") == 2
    assert {row["process"] for row in rows_in(two.clips)} == {0, 1}


def test_a_killed_process_ends_the_run_and_leaves_only_whole_clips(two):
    assert two.killed.status != 0 and not two.killed.hung
    assert 1 <= len(two.before) < len(PROMPTS)
    for name in two.before:
        assert generate_many.read_row(two.clips / name)["prompt"] in PROMPTS.values()


def test_the_same_command_again_loses_nothing_and_makes_nothing_twice(two):
    assert two.resumed.status == 0, two.resumed.said
    after = made(two.clips)
    assert two.before.items() < after.items(), "a clip was lost or made twice"
    assert two.resumed.said.count(".flac, ") == len(PROMPTS) - len(two.before)
    assert {row["line"]: row["prompt"] for row in rows_in(two.clips)} == PROMPTS
    assert len(rows_in(two.clips)) == len(after) == len(PROMPTS)
    assert not list(two.clips.glob("*.part"))


def test_the_clips_do_not_depend_on_the_number_of_processes(one, two):
    for line in PROMPTS:
        a, b = (soundfile.read(folder / f"{line:05}.flac")[0] for folder in (one.clips, two.clips))
        assert np.abs(a - b).max() < 1e-3 < np.abs(a).max()


@pytest.fixture
def prompts(tmp_path):
    return write_prompts(tmp_path / "prompts.txt")


def refused(prompts, folder, *options):
    with pytest.raises(SystemExit) as caught:
        run_here(prompts, folder, *options)
    message = caught.value.code
    assert message.startswith("generate_many.py: ") and "\n" not in message
    return message


@pytest.mark.parametrize("content", [b"", b" \n\n", "Rain".encode("utf-16")])
def test_refuses_a_file_without_prompts(tmp_path, content):
    (tmp_path / "prompts.txt").write_bytes(content)
    assert "prompts.txt" in refused(tmp_path / "prompts.txt", tmp_path / "clips")
    assert not list(tmp_path.glob("clips/*.flac"))


def test_refuses_a_file_that_is_not_there(tmp_path):
    assert "none.txt" in refused(tmp_path / "none.txt", tmp_path / "clips")


def test_refuses_an_unknown_checkpoint(prompts, tmp_path):
    assert "'pocked'" in refused(prompts, tmp_path / "clips", "--checkpoint", "pocked")


def test_says_which_line_failed(prompts, tmp_path):
    assert "line 1: num_inference_steps is 0" in refused(prompts, tmp_path / "clips", "--steps", "0")


def test_refuses_a_folder_with_clips_of_other_settings(one, tmp_path):
    clips = shutil.copytree(one.clips, tmp_path / "clips")
    before = made(clips)
    assert "made with steps 2, not 3" in refused(one.prompts, clips, "--steps", "3")
    assert "seed" in refused(one.prompts, clips, "--seed", "5")
    changed = write_prompts(tmp_path / "changed.txt", ["Snow falling", *TEXTS[1:]])
    assert "'Rain falling', not 'Snow falling'" in refused(changed, clips)
    assert "no prompt in that line" in refused(write_prompts(tmp_path / "short.txt", TEXTS[:2]), clips)
    assert made(clips) == before


@pytest.mark.parametrize("process", [0, 1])
def test_refuses_a_folder_in_which_a_process_of_another_run_is_at_work(prompts, tmp_path, process):
    (tmp_path / "clips").mkdir()
    with FileLock(tmp_path / "clips" / f".process{process}.lock"):
        assert "another run is at work" in refused(prompts, tmp_path / "clips")


# On MPS, accelerate lets each process believe that it is alone. Here helpers and accelerate are told that this is MPS.
ON_A_MAC = """
import runpy, sys
sys.path.insert(0, {course!r})
import helpers
helpers.best_device = lambda: "mps"
import accelerate.state, torch
accelerate.state.is_mps_available = lambda *args: True
load = helpers.load_pipeline
helpers.load_pipeline = lambda checkpoint, dtype, device: load(checkpoint, dtype, "cpu")
sys.argv[0] = {script!r}
runpy.run_path({script!r}, run_name="__main__")
"""


def test_two_processes_on_a_mac_end_as_one(tmp_path):
    script = tmp_path / "on_a_mac.py"
    script.write_text(ON_A_MAC.format(course=str(NOTEBOOKS.parent), script=str(SCRIPT)))
    found = launch(write_prompts(tmp_path / "prompts.txt", TEXTS[:2]), tmp_path / "clips", script=script)
    assert found.status == 0, found.said
    assert "cannot share work out on MPS" in found.said and "process 0 of 1" in found.said and "on mps" in found.said
    assert found.said.count(": 2 of 2 clips") == 1 and len(rows_in(tmp_path / "clips")) == 2


@pytest.mark.parametrize("asked, answer", [("platform.system()", '"Windows"'), ("helpers.best_device()", '"mps"')])
def test_where_work_cannot_be_shared_the_lesson_says_so_and_starts_one_process(asked, answer):
    notebook = nbformat.read(NOTEBOOKS / "10_many_prompts_many_devices.ipynb", 4)
    cells = {cell.id: cell for cell in notebook.cells}
    shrunk = cells["parameters"].metadata.nbmake.mock | {"PROMPTS": ["Rain falling"]}
    cells["parameters"].source += "".join(f"\n{name} = {value!r}" for name, value in shrunk.items())
    assert asked in cells["load"].source
    cells["load"].source = cells["load"].source.replace(asked, answer)
    notebook.cells = notebook.cells[: list(cells).index("proof") + 1]
    NotebookClient(notebook, timeout=600, resources={"metadata": {"path": NOTEBOOKS}}).execute()
    assert "one process makes all clips" in cells["load"].outputs[0].text
    assert "process 0 of 1" in "".join(output.text for output in cells["change"].outputs)


def test_the_script_imports_helpers_before_torch():
    """Otherwise torch's threads spin while they wait, and starve beside another process."""
    lines = [line.split()[1] for line in SCRIPT.read_text(encoding="utf-8").splitlines() if line.startswith("import ")]
    assert lines.index("helpers") < lines.index("torch")
