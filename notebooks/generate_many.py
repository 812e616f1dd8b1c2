"""Make one clip for every line of a prompt file, on as many devices as there are.

On all GPUs of a machine, one process for each (here two), in the folder notebooks:

    accelerate launch --config_file accelerate.yaml --num_processes 2 generate_many.py prompts.txt my_sounds

Two processes on the CPU: the same with `--cpu` at the end (accelerate's own `--cpu` would start only one).

On several machines give the same command on each, with `--num_machines`, `--machine_rank`, `--main_process_ip`,
`--main_process_port` and a folder on a disk that they share. With one device, on a Mac and on Windows:
`python notebooks/generate_many.py`.

The clip of line 7 is 00007.flac; its seed is 7 (plus `--seed`), so it does not depend on the number of processes.
Line, seed, settings and CLAP score of a clip are stored in the clip itself, and those of all clips in table.jsonl. If a
process was killed, or the file has more lines now, the same command again makes what is missing, and nothing twice.
"""

import argparse
import json
import os
import sys
import time
from datetime import timedelta
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the folder of the course

import helpers  # before torch, so that threads that wait leave the cores to other processes  # isort: skip

import numpy as np
import psutil
import soundfile
import torch
from accelerate import PartialState
from accelerate.utils import broadcast_object_list
from diffusers import DPMSolverMultistepScheduler
from filelock import FileLock, Timeout

PROBLEMS = (OSError, RuntimeError, ValueError)  # what can be told in one line; any other is a mistake in this program


def read_prompts(path):
    """Read the prompts of a text file: a dict of line numbers, from 1, and texts. Blank lines hold none."""
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not in UTF-8: save it as plain text in UTF-8.") from error
    prompts = {number: line.strip() for number, line in enumerate(lines, 1) if line.strip()}
    if not prompts:
        raise ValueError(f"{path} holds no prompt: write one on each line.")
    return prompts


def plan(given):
    """List the clips that the prompt file asks for: a dict of paths and of what each clip is made from."""
    settings = ("checkpoint", "dtype", "steps", "seconds", "negative_prompt", "guidance_scale")
    settings = {name: getattr(given, name) for name in settings}
    return {
        given.folder / f"{line:05}.flac": {"line": line, "prompt": prompt, "seed": given.seed + line, **settings}
        for line, prompt in read_prompts(given.prompts).items()
    }


def what_is_left(given):
    """List paths and tasks of the clips that are missing. Raise if one that exists was made with other settings."""
    tasks, there = plan(given), set(given.folder.glob("*.flac"))
    for path in sorted(there):
        row = read_row(path)
        if path not in tasks:
            raise ValueError(f"{path} exists, but {given.prompts} has no prompt in that line: name another folder.")
        for name, value in tasks[path].items():
            if row.get(name) != value:
                raise ValueError(
                    f"{path} was made with {name} {row.get(name)!r}, not {value!r}: name another folder, "
                    f"or give the same {name} again."
                )
    helpers.find_checkpoint(given.checkpoint)  # downloaded by one process, if need be
    return [(path, task) for path, task in tasks.items() if path not in there]


def make(pipe, task):
    """Generate one clip and score it.

    Returns
    -------
    numpy.ndarray, shape (n,)
    float
        CLAP score, from -1 to 1.
    """
    generator = torch.Generator("cpu").manual_seed(task["seed"])
    clip = pipe(
        task["prompt"],
        negative_prompt=task["negative_prompt"] or None,
        num_inference_steps=task["steps"],
        audio_length_in_s=task["seconds"],
        guidance_scale=task["guidance_scale"],
        generator=generator,
    ).audios[0]
    if not np.isfinite(clip).all():
        raise ValueError(f"the clip holds NaN or infinity in {task['dtype']}: try --dtype float32.")
    return clip, float(helpers.clap_scores(pipe, task["prompt"], [clip])[0])


def write_clip(path, clip, sampling_rate, row):
    """Write a clip with its row inside, under another name until it is complete: it exists as a whole or not at all."""
    part = path.with_suffix(".part")
    with soundfile.SoundFile(part, "w", sampling_rate, channels=1, subtype="PCM_16", format="FLAC") as file:
        file.comment = json.dumps(row)
        file.write(clip)
    part.replace(path)


def read_row(path):
    """Read the row that `write_clip` put into a clip."""
    with soundfile.SoundFile(path) as file:
        try:
            return json.loads(file.comment)
        except ValueError as error:
            raise ValueError(f"{path} is not one of these clips: name another folder.") from error


def write_table(folder):
    """Gather the rows of all clips in a file. The process that ends last finds them all, so none has to wait."""
    with FileLock(folder / ".table.lock"):
        rows = [json.dumps(read_row(path), ensure_ascii=False) for path in sorted(folder.glob("*.flac"))]
        part = folder / "table.part"
        part.write_text("".join(f"{row}\n" for row in rows), encoding="utf-8")
        return len(rows), part.replace(folder / "table.jsonl")


def read_arguments():
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("prompts", type=Path, help="a text file, one prompt on each line")
    parser.add_argument("folder", type=Path, help="where the clips go; the same for every run that goes on with them")
    parser.add_argument("--checkpoint", default="pocket", help="as for helpers.load_pipeline; pocket by default")
    parser.add_argument("--dtype", default="float32", choices=["float32", "float16", "bfloat16"])
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--seconds", type=float, help="by default the length that the checkpoint was trained on")
    parser.add_argument("--negative-prompt", default="Low quality, average quality.", help='"" for none')
    parser.add_argument("--guidance-scale", type=float, default=3.5)
    parser.add_argument("--cpu", action="store_true", help="leave the GPU alone")
    parser.add_argument("--seed", type=int, default=0, help="added to the number of the line; 0 by default")
    return parser.parse_args()


def launcher():
    """Tell the number of the process that `accelerate launch` runs in; None if nothing launched this one."""
    return os.getppid() if "ACCELERATE_MIXED_PRECISION" in os.environ else None


def orphaned(launched):
    """Whether the launcher was killed, and not this process: it would keep its lock, and nobody would wait for it."""
    return launched is not None and (os.getppid() != launched or not psutil.pid_exists(launched))


def one_line(problem):
    """Shorten what went wrong to one line."""
    return f"generate_many.py: {problem.strip().splitlines()[0]}"


def main():
    """Share out what is left, and make it."""
    launched, given = launcher(), read_arguments()
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure") and not stream.isatty():  # whoever reads a pipe or a file expects UTF-8
            stream.reconfigure(encoding="utf-8", errors="replace")
    if torch.cuda.is_available() and "LOCAL_RANK" in os.environ:  # so that not all of them try out the first GPU
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]) % torch.cuda.device_count())
    device = "cpu" if given.cpu else helpers.best_device()
    if device == "mps" and int(os.environ.get("WORLD_SIZE", 1)) > 1:
        if int(os.environ["RANK"]) > 0:  # PartialState would tell each process that it is the only one
            return
        for name in ("RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE"):  # otherwise it would wait for the others
            os.environ.pop(name, None)
        print("accelerate cannot share work out on MPS: this one process makes all clips", flush=True)
    state = PartialState(cpu=device == "cpu", timeout=timedelta(hours=1))

    # One process looks for what is left and tells the others: if each looked for itself, the first clips might be
    # finished by the time that the last one looks, and the shares would not fit together.
    lock = FileLock(given.folder / f".process{state.process_index}.lock")
    said = [None]
    if state.is_main_process:
        try:
            given.folder.mkdir(parents=True, exist_ok=True)
            lock.acquire(timeout=0)
            for other in set(given.folder.glob(".process*.lock")) - {Path(lock.lock_file)}:
                with FileLock(other).acquire(timeout=0):
                    pass  # free, so there is nobody left of a run before
            said = [what_is_left(given)]
        except Timeout:
            said = [f"another run is at work in {given.folder}: wait until it has ended (if killed, after its clip)."]
        except PROBLEMS as error:
            said = [str(error)]
    broadcast_object_list(said)
    state.destroy_process_group()  # from here on no process waits for another, so none can hang
    left = said[0]
    if isinstance(left, str):
        sys.exit(one_line(left) if state.is_main_process else 1)

    lock.acquire()  # until this process ends: however it ends, the system opens the lock
    with state.split_between_processes(left) as mine:
        who = f"process {state.process_index} of {state.num_processes} (pid {os.getpid()})"
        print(f"{who} on {state.device}: {len(mine)} of {len(left)} clips", flush=True)
        where, place = "", device if state.num_processes == 1 else state.device  # AUDIOLDM2_DEVICE may say "cuda:1"
        try:
            if mine:
                pipe = helpers.load_pipeline(given.checkpoint, getattr(torch, given.dtype), place)
                pipe.scheduler = DPMSolverMultistepScheduler.from_config(
                    pipe.scheduler.config, timestep_spacing="trailing"
                )
                pipe.set_progress_bar_config(disable=True)
            for path, task in mine:
                if orphaned(launched):
                    raise RuntimeError("the launcher was killed; the same command again makes what is missing.")
                where, start = f"line {task['line']}: ", time.perf_counter()
                clip, score = make(pipe, task)
                seconds = round(time.perf_counter() - start, 3)
                row = task | {"clap_score": round(score, 4), "process": state.process_index, "took": seconds}
                write_clip(path, clip, pipe.vocoder.config.sampling_rate, row)
                print(
                    f"process {state.process_index}: {path.name}, {seconds:.1f} s, CLAP score {score:.3f}", flush=True
                )
            count, table = write_table(given.folder)
        except PROBLEMS as error:
            sys.exit(one_line(f"process {state.process_index}: {where}{error}"))
    print(f"process {state.process_index} is done; {table} holds {count} clips so far", flush=True)


if __name__ == "__main__":
    main()
