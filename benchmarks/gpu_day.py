"""Measure on one CUDA GPU what the course could not: `python -m benchmarks.gpu_day helpers/records/gpu.json`.

The rows stand in the order of their value; after seven minutes none is begun. Each is written when it is measured, so
none is lost when time is up, and a row that fails says why. The tour reads the record from that place; for the table of
claims run `python tools/figures.py`. `--rehearse` runs the same on a CPU at tiny sizes: no reader accepts its record.

A machine that has only CUDA's torch lacks the rest of the course's libraries. To one without a network, carry them as
wheels, fetched on a machine with the same system and Python; none of these brings another torch:

    pip download -d wheels diffusers transformers librosa soundfile matplotlib ipywidgets psutil nbclient ipykernel
    pip download -d wheels --no-deps accelerate
    pip install --no-index --no-deps wheels/*.whl    # there
"""

import argparse
import copy
import functools
import json
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

import helpers  # before torch  # isort: skip

import torch
from diffusers import DPMSolverMultistepScheduler
from diffusers.models.attention_processor import AttnProcessor, AttnProcessor2_0

from benchmarks.official_pipeline import build_pipeline
from benchmarks.rungs import EveryOther
from helpers.devices import libraries, processor
from helpers.topics.rewrites import PartGuidance
from tools.execute import executed, notebooks

PROMPT = "The sound of Brazilian samba drums with waves gently crashing in the background"
LIMIT = 420  # seconds, after which no further row is begun
LESSONS = ("00_", "03_", "04_", "05_", "07_", "01_")


class Day:
    """What all rows share.

    Parameters
    ----------
    rehearse : bool
        At tiny sizes, on the CPU.
    """

    def __init__(self, rehearse=False):
        self.tiny, self.device = rehearse, "cpu" if rehearse else "cuda"
        self.repeats, self.steps = (1, 2) if rehearse else (3, 20)
        self.pipe = build_pipeline("base", 0.125 if rehearse else 1.0).to(self.device)
        self.pipe.set_progress_bar_config(disable=True)
        self.unet, self.ddim = self.pipe.unet, self.pipe.scheduler

    def variants(self):
        """The rungs by name, as functions that set the pipeline up."""
        half = torch.bfloat16 if self.tiny else torch.float16

        def rung(dtype, processor, compiled=False, dpm=False, part=False):
            self.pipe.unet = self.unet
            self.pipe.to(dtype=dtype)
            self.unet.set_attn_processor(processor())
            if compiled:
                self.pipe.unet = torch.compile(self.unet, mode="reduce-overhead", fullgraph=True)
            if part:
                self.pipe.unet = PartGuidance(self.pipe.unet, EveryOther())
            self.pipe.scheduler = DPMSolverMultistepScheduler.from_config(self.ddim.config) if dpm else self.ddim

        names = {
            "vanilla": (torch.float32, AttnProcessor),
            "SDPA": (torch.float32, AttnProcessor2_0),
            "float16": (half, AttnProcessor2_0),
            "bfloat16": (torch.bfloat16, AttnProcessor2_0),
            "compiled": (half, AttnProcessor2_0, not self.tiny),
            "DPM++": (half, AttnProcessor2_0, not self.tiny, True),
            "part guidance": (half, AttnProcessor2_0, not self.tiny, True, True),
        }
        return {name: functools.partial(rung, *how) for name, how in names.items()}

    def timed(self, setup, make):
        """Measure one variant alone, so that its peak is its own."""
        setup()
        run = make()
        return helpers.measure({"run": (None, run)}, self.repeats).as_record()["run"]

    def step(self, setup):
        """One guided step of 10.24 s."""
        return self.timed(setup, lambda: helpers.unet_step(self.pipe.unet, 1.28 if self.tiny else None))

    def clip(self, setup, seconds=None, waveforms=1):
        """One clip, 20 steps, of the natural length."""

        def generate():
            generator = torch.Generator("cpu").manual_seed(0)
            return self.pipe(
                PROMPT,
                num_inference_steps=self.steps,
                audio_length_in_s=1.28 if self.tiny else seconds,
                num_waveforms_per_prompt=waveforms,
                generator=generator,
            ).audios

        return {key: value for key, value in self.timed(setup, lambda: generate).items() if key != "calls"}

    def long(self, offload):
        """150 s times 4 in half precision, within the 15 GB of a T4: the article's example of out of memory."""
        self.variants()["float16"]()
        self.repeats = 1
        if not self.tiny:
            total = torch.cuda.get_device_properties(0).total_memory
            torch.cuda.set_per_process_memory_fraction(min(1.0, 15e9 / total))
        if offload:
            self.pipe.enable_model_cpu_offload(device=self.device)
        try:
            return self.clip(lambda: None, 150, 1 if self.tiny else 4)
        finally:
            self.pipe.remove_all_hooks()
            if not self.tiny:
                torch.cuda.set_per_process_memory_fraction(1.0)

    def notebook(self, path):
        """One lesson on pocket, and what its cells print."""
        start = time.perf_counter()
        with tempfile.TemporaryDirectory() as empty:  # so that it runs now
            done = executed(path, mocked=self.tiny, cache=Path(empty))
        texts = [output.text for cell in done.cells for output in cell.get("outputs", []) if "text" in output]
        return {"seconds": round(time.perf_counter() - start, 1), "printed": "".join(texts).splitlines()}

    def rows(self):
        """All rows by name, the most valuable first: functions without arguments."""
        rungs = self.variants()
        rows = {f"step, {name}": functools.partial(self.step, rungs[name]) for name in list(rungs)[:-2]}
        rows |= {f"clip of {self.steps} steps, {name}": functools.partial(self.clip, rungs[name]) for name in rungs}
        rows |= {
            f"150 s x 4, {'offload' * on or 'on device'}": functools.partial(self.long, on) for on in (False, True)
        }
        lessons = {beginning: path for path in notebooks() for beginning in LESSONS if path.name.startswith(beginning)}
        rows |= {f"notebook {lessons[key].stem}": functools.partial(self.notebook, lessons[key]) for key in LESSONS}
        return rows


def measure(path, rehearse=False, only=None, limit=LIMIT):
    """Measure the rows that a record lacks, and write it after each; return it."""
    start, day = time.perf_counter(), Day(rehearse)
    record = {"date": f"{datetime.now(UTC):%Y-%m-%d}", "rehearsal": rehearse, "libraries": libraries(), "rows": {}}
    record["machine"] = processor() if rehearse else torch.cuda.get_device_name()
    if path.exists():
        old = json.loads(path.read_text(encoding="utf-8"))
        if any(old.get(key) != record[key] for key in ("rehearsal", "machine", "libraries")):
            raise ValueError(f"{path} was measured with something else: name another file.")
        record["rows"] = {name: row for name, row in old["rows"].items() if "error" not in row}
    for name, run in day.rows().items():
        if name in record["rows"] or (only and not name.startswith(only)):
            continue
        if time.perf_counter() - start > limit:
            print("Time is up; the same command again goes on.")
            break
        before = copy.copy(day.__dict__)
        try:
            record["rows"][name] = run()
        except Exception as error:  # a row that fails is a finding, and the others are still wanted
            record["rows"][name] = {"error": f"{type(error).__name__}: {str(error).splitlines()[0][:300]}"}
        day.__dict__.update(before)
        if not rehearse:
            torch.cuda.empty_cache()
        part = path.with_suffix(".part")
        part.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
        part.replace(path)
        print(f"{time.perf_counter() - start:5.0f} s  {name}: {str(record['rows'][name])[:150]}", flush=True)
    return record


def main():
    """Read the command line, and measure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("record", type=Path)
    parser.add_argument(
        "--rehearse", action="store_true", help="on the CPU, at tiny sizes; no reader accepts the record"
    )
    parser.add_argument("--only", help="the rows whose name begins like this")
    given = parser.parse_args()
    measure(given.record, given.rehearse, given.only)


if __name__ == "__main__":
    main()
