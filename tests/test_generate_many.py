"""The script of lesson 10: several processes, one of which is killed; and the lesson where processes cannot share."""

import gc
import json
import os
import re
import shutil
import subprocess
import sys
import threading
from pathlib import Path
from types import SimpleNamespace

import accelerate
import nbformat
import numpy as np
import psutil
import pytest
import soundfile
from accelerate import PartialState
from accelerate.commands.launch import _validate_launch_command, launch_command_parser
from capabilities import needs
from filelock import FileLock
from lessons import cells

import helpers
from helpers.topics import processes

NOTEBOOKS = Path(__file__).parents[1] / "notebooks"
SCRIPT = NOTEBOOKS / "generate_many.py"
sys.path.insert(0, str(NOTEBOOKS))
import generate_many  # noqa: E402

TEXTS = ["Rain falling", "Birds singing", "", "Church bells – größer", "A steam train", "Techno music", "A siren"]
PROMPTS = {line: text for line, text in enumerate(TEXTS, 1) if text}
OLD = "compute_environment: AMAZON_SAGEMAKER\ndistributed_type: NO\nfp16: true\nsome_old_key: 1\n"
SETTINGS = ["--steps", "2", "--seconds", "1.28"]


def write_prompts(path, texts=TEXTS):
    path.write_text("\n".join(texts), encoding="utf-8")
    return path


def rows_in(folder):
    return [json.loads(line) for line in (folder / "table.jsonl").read_text(encoding="utf-8").splitlines()]


def made(folder):
    return {path.name: path.stat().st_mtime_ns for path in folder.glob("*.flac")}


def run_here(prompts, folder, *options, device="cpu"):
    """One process: this one."""
    PartialState._reset_state()
    gc.collect()  # the lock of a run that was refused
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(helpers, "best_device", lambda: device)
        patch.setattr(sys, "argv", ["generate_many.py", str(prompts), str(folder), *SETTINGS, *options])
        generate_many.main()


def launch_and_kill(prompts, folder):
    """Two processes on the CPU, of which the second is killed after its first clip: status, output, whether it hung."""
    command = [sys.executable, "-m", "accelerate.commands.launch", "--config_file", str(NOTEBOOKS / "accelerate.yaml")]
    command += ["--num_processes", "2", str(SCRIPT), str(prompts), str(folder), *SETTINGS, "--cpu"]
    (folder.parent / "accelerate").mkdir()
    (folder.parent / "accelerate" / "default_config.yaml").write_text(OLD, encoding="utf-8")  # somebody's own
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONUTF8": "1", "HF_HOME": str(folder.parent)}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True, "encoding": "utf-8"}
    said = ""
    with subprocess.Popen(command, env=environment, **pipes) as process:
        limit = threading.Timer(400, end, [process])  # a run that hangs fails the tests, and does not stop them
        limit.start()
        for line in process.stdout:
            said += line
            if line.startswith("process 1: "):
                psutil.Process(int(re.search(r"process 1 of 2 \(pid (\d+)\)", said)[1])).kill()
                break
        said += process.stdout.read()
        hung = not limit.is_alive()
        limit.cancel()
        return process.wait(), said, hung


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


def test_one_row_for_each_prompt_with_its_seed_and_score(one):
    rows = rows_in(one.clips)
    assert {row["line"]: row["prompt"] for row in rows} == PROMPTS and len(rows) == len(PROMPTS)
    for row in rows:
        assert row["seed"] == row["line"] and -1 <= row["clap_score"] <= 1 and row["steps"] == 2
        assert soundfile.info(one.clips / f"{row['line']:05}.flac").duration == pytest.approx(1.28, abs=0.1)


def test_a_longer_file_adds_clips_and_makes_none_again(one):
    assert one.first and one.first.items() < made(one.clips).items()


@needs("two processes")
def test_a_killed_process_ends_the_run_and_the_same_command_again_makes_what_is_missing(one, tmp_path):
    clips = tmp_path / "clips"
    status, said, hung = launch_and_kill(one.prompts, clips)
    assert status != 0 and not hung, said
    assert said.count(": 3 of 6 clips") == 2 and "process 0 of 2" in said
    before = made(clips)
    assert 1 <= len(before) < len(PROMPTS)
    run_here(one.prompts, clips)
    assert before.items() < made(clips).items(), "a clip was lost or made twice"
    assert {row["line"]: row["prompt"] for row in rows_in(clips)} == PROMPTS
    assert len(rows_in(clips)) == len(made(clips)) == len(PROMPTS)
    assert {row["process"] for row in rows_in(clips)} == {0, 1} and not list(clips.glob("*.part"))
    for line in PROMPTS:  # whichever process made it
        a, b = (soundfile.read(folder / f"{line:05}.flac")[0] for folder in (one.clips, clips))
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


@pytest.mark.parametrize("content", [b"", b" \n\n", "Rain".encode("utf-16"), None])
def test_refuses_a_file_without_prompts(tmp_path, content):
    if content is not None:
        (tmp_path / "prompts.txt").write_bytes(content)
    assert "prompts.txt" in refused(tmp_path / "prompts.txt", tmp_path / "clips")
    assert not list(tmp_path.glob("clips/*.flac"))


def test_says_which_setting_or_line_failed(prompts, tmp_path):
    assert "'pocked'" in refused(prompts, tmp_path / "clips", "--checkpoint", "pocked")
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


@pytest.mark.parametrize("rank", [0, 1])
def test_of_two_processes_on_a_mac_the_first_makes_all_clips(monkeypatch, tmp_path, capsys, rank):
    """On MPS, accelerate lets each process believe that it is alone. Here all are told that this is MPS."""
    load = helpers.load_pipeline
    monkeypatch.setattr(helpers, "load_pipeline", lambda checkpoint, dtype, device: load(checkpoint, dtype, "cpu"))
    monkeypatch.setattr(accelerate.state, "is_mps_available", lambda *args: True)
    for name, value in {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": 2, "LOCAL_WORLD_SIZE": 2}.items():
        monkeypatch.setenv(name, str(value))
    run_here(write_prompts(tmp_path / "prompts.txt", TEXTS[:2]), tmp_path / "clips", device="mps")
    PartialState._reset_state()
    said = capsys.readouterr().out
    if rank == 0:
        assert "cannot share work out on MPS" in said and "process 0 of 1" in said and "on mps: 2 of 2 clips" in said
        assert len(rows_in(tmp_path / "clips")) == 2
    else:
        assert not said and not (tmp_path / "clips").exists()


@pytest.mark.parametrize(("system", "device"), [("Windows", "cpu"), ("Darwin", "mps")])
def test_where_work_cannot_be_shared_the_lesson_says_so_and_starts_one_process(monkeypatch, capsys, system, device):
    monkeypatch.setattr("platform.system", lambda: system)
    monkeypatch.setattr(helpers, "best_device", lambda: device)
    lesson = nbformat.read(NOTEBOOKS / "10_many_prompts_many_devices.ipynb", 4)
    code = {cell.id: cell.source for cell in cells(lesson)}
    commands = []
    monkeypatch.setattr(processes, "run", lambda *command: commands.append(command))
    known = {"helpers": helpers}
    known |= {"work": Path("work"), "script": SCRIPT, "prompts": Path("prompts.txt"), "options": [], "on_cpu": False}
    for name in ("parameters", "load", "change"):
        exec(code[name], known)
    assert "one process makes all clips" in capsys.readouterr().out
    assert commands == [(SCRIPT, Path("prompts.txt"), Path("work/many"))]


def test_the_script_imports_helpers_before_torch():
    """Otherwise torch's threads spin while they wait, and starve beside another process."""
    lines = [line.split()[1] for line in SCRIPT.read_text(encoding="utf-8").splitlines() if line.startswith("import ")]
    assert lines.index("helpers") < lines.index("torch")


def test_what_it_says_is_utf8_whatever_the_code_page(tmp_path):
    environment = os.environ | {"PYTHONIOENCODING": "cp1252", "PYTHONUTF8": "0"}
    command = [sys.executable, str(SCRIPT), "größer–雨.txt", str(tmp_path), "--cpu"]
    done = subprocess.run(command, env=environment, capture_output=True)
    assert done.returncode == 1 and "größer–雨.txt" in done.stderr.decode("utf-8")


def test_our_configuration_starts_as_many_processes_as_asked_for():
    words = ["--config_file", str(NOTEBOOKS / "accelerate.yaml"), "--num_processes", "3", "script.py", "--cpu"]
    asked, _, _ = _validate_launch_command(launch_command_parser().parse_args(words))
    assert asked.multi_gpu and asked.num_processes == 3 and asked.num_machines == 1 and asked.main_process_port == 0
    assert asked.mixed_precision == "no" and asked.training_script_args == ["--cpu"]
