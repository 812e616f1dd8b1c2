"""What torch.compile did: graphs counted, the first call and a later one, and the clips after which it breaks even."""

import json
import math
import os
import tempfile
from pathlib import Path

import torch
from torch._dynamo.exc import TorchDynamoException
from torch._dynamo.utils import counters  # torch's own bookkeeping of what it compiles
from torch._inductor.utils import clear_caches

from helpers.devices import out_of_memory
from helpers.measuring import Trial, measure
from helpers.official import official_unet, unet_step

RECORD = Path(__file__).parents[1] / "records" / "compile-official.json"
_folders = []  # of compiled code, deleted when the process ends


def graphs():
    """Tell how many graphs torch has compiled since this process started."""
    return counters["stats"]["unique_graphs"]


def start_cold(forget=True):
    """Forget compiled code, in memory and on disk, so that the next first call takes as long as on a new machine.

    Parameters
    ----------
    forget : bool
        False forgets only the graphs and keeps the code of earlier sessions, and says so: the first call is not cold.
    """
    torch.compiler.reset()
    if not forget:
        print("Code that was compiled earlier is kept: the first call may be faster than a cold one.")
        return
    _folders.append(tempfile.TemporaryDirectory(prefix="compiled-", ignore_cleanup_errors=True))
    os.environ["TORCHINDUCTOR_CACHE_DIR"] = _folders[-1].name
    os.environ["TRITON_CACHE_DIR"] = str(Path(_folders[-1].name) / "triton")
    clear_caches()


def first_calls(pipe, call):
    """Call a pipeline twice after `torch.compile` has wrapped its UNet.

    Without a C++ compiler, or on a GPU without Triton, the first call fails. The eager UNet is then put back, with a
    line that says why. Where memory ran out, that is raised.

    Parameters
    ----------
    pipe : diffusers.AudioLDM2Pipeline
    call : callable
        Without arguments; makes a clip with the pipeline.

    Returns
    -------
    bool
        Whether compiling worked.
    helpers.measuring.Timing
        `first` is the cold call, or infinite if compiling failed; `median` the warm one; `result` what it returned.
    """
    try:
        return True, measure(call, repeats=1).before
    except TorchDynamoException as error:
        inner = getattr(error, "inner_exception", error)
        if out_of_memory(inner):
            raise inner from error
        pipe.unet = getattr(pipe.unet, "_orig_mod", pipe.unet)
        reason = " ".join(str(error).split("\n\n")[0].split())[:200]
        print(f"Going on eagerly, because compiling failed ({type(error).__name__}): {reason}")
    calls = measure(call, repeats=1).before
    calls.first = math.inf
    return False, calls


def break_even(cold, warm, gain):
    """Tell after how many clips compiling breaks even.

    Parameters
    ----------
    cold, warm : float
        Seconds of the first call and of a later one; their difference is the price.
    gain : float
        Seconds that compiling saves for each clip.

    Returns
    -------
    float
        Price divided by gain; infinite if there is no gain.
    """
    return max(cold - warm, 0) / gain if gain > 0 else math.inf


def measure_official(mode="default", width=1.0, repeats=3):
    """Measure one guided step of the official UNet, eager and compiled, on this machine; this takes minutes.

    Parameters
    ----------
    mode : str
        Of `torch.compile`.
    width : float
        As in `helpers.official_unet`.
    repeats : int
        Pairs of steps after the first ones.

    Returns
    -------
    helpers.measuring.Trial
        Of "eager" and "compiled"; `after.first` is the cold step.
    """
    start_cold()
    eager = official_unet(width=width)
    compiled = torch.compile(eager, mode=mode, fullgraph=True)
    return measure({"eager": unet_step(eager), "compiled": unet_step(compiled)}, repeats)


def recorded():
    """Read what benchmarks/compile_step.py found when it ran last, and say when and where that was.

    Returns
    -------
    helpers.measuring.Trial
        As of `measure_official`.
    """
    content = json.loads(RECORD.read_text(encoding="utf-8"))
    print(f"Recorded on {content['date']}: {content['machine']}")
    return Trial.from_record(content["trial"])
