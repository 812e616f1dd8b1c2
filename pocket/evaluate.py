"""Measure what the embedded checkpoint can do: `python -m pocket.evaluate` prints one table.

It exits with an error when a row falls short. Sounds are recognised by `pocket.judge`, which was trained on real clips
only. Everything is measured on the finished waveform, after the vocoder, at 20 DPM++ steps and guidance 3.5 unless a
row says otherwise. `--quick` runs the same code on a small budget; its figures are too coarse to quote.
"""

import argparse
import sys
import time
from dataclasses import dataclass

import numpy as np
import torch
from diffusers import AudioLDM2Pipeline, DDIMScheduler, DPMSolverMultistepScheduler
from tqdm.auto import tqdm

from pocket import dataset
from pocket.architecture import CHECKPOINT
from pocket.captions import caption
from pocket.features import log_mel
from pocket.judge import listen
from pocket.sounds import BACKGROUNDS, FOREGROUNDS, KINDS, SAMPLE_RATE, Clip
from pocket.train_vocoder import repetition, stft_loss

SAMBA = "The sound of Brazilian samba drums with waves gently crashing in the background"
NEGATIVE = "Low quality, average quality."
BATCH = 10


@dataclass
class Row:
    """One line of the table: what was measured, the figure, what it must be, and whether it is."""

    what: str
    figure: str
    wanted: str = ""
    met: bool | None = None


def generate(pipe, prompts, seeds, steps=20, **settings):
    """Generate one clip for each prompt and seed, ten at a time.

    Returns
    -------
    numpy.ndarray, shape (prompts, samples), float32
    """
    clips = []
    for i in range(0, len(prompts), BATCH):
        some = prompts[i : i + BATCH]
        generators = [torch.Generator().manual_seed(seed) for seed in seeds[i : i + BATCH]]
        if "negative_prompt" in settings:
            settings["negative_prompt"] = [NEGATIVE] * len(some)
        clips.append(pipe(some, num_inference_steps=steps, generator=generators, **settings).audios)
        yield_progress(len(some) * steps)
    return np.concatenate(clips)


def mels(waveforms):
    """Log-mels of waveforms in dB, shape (clips, frames, 64)."""
    return log_mel(torch.as_tensor(np.asarray(waveforms, np.float32))).numpy() * (20 / np.log(10))


def distance(a, b):
    """Mean absolute log-mel difference in dB."""
    return float(np.abs(mels(a) - mels(b)).mean())


def first_choice(waveforms, kinds):
    """Which clips the judge takes for their kind before any other, shape (clips,)."""
    return listen(waveforms)[0].argmax(1) == np.array([KINDS.index(kind) for kind in kinds])


def found(waveforms, kinds):
    """Which clips hold all of `kinds` in the judge's ear, shape (clips,)."""
    return (listen(waveforms)[0][:, [KINDS.index(kind) for kind in kinds]] > 0.5).all(1)


def noise_floor(waveforms):
    """Tenth percentile of the log-mel of each clip in dB, shape (clips,)."""
    return np.quantile(mels(waveforms), 0.1, axis=(1, 2))


def yield_progress(steps):
    """Advance the one progress bar by UNet steps; replaced while `evaluate` runs."""


def percent(hits):
    """Word a share of hits, such as 93 %."""
    return f"{100 * np.mean(hits):.0f} %"


def evaluate(folder, quick):
    """Measure all rows.

    Parameters
    ----------
    folder : str or pathlib.Path
        The checkpoint.
    quick : bool
        Take a small budget.

    Returns
    -------
    list of Row
    """
    rng = np.random.default_rng(2026)
    per_kind, samba_seeds, spoken, pairs, candidates = (1, 2, 14, 2, 2) if quick else (10, 20, 84, 30, 56)
    rows = []

    def add(what, figure, wanted="", met=None):
        rows.append(Row(what, figure, wanted, None if met is None else bool(met)))

    # The judge and the vocoder on real clips that nobody was trained on.
    waveforms, real_mels, clips = dataset.load(dataset.HELD_OUT, 40 if quick else 400)
    real = waveforms.astype(np.float32) / 32767
    kinds, qualities = listen(real)
    single = np.array([clip.background is None for clip in clips])
    truth = np.array([[kind in clip.kinds for kind in KINDS] for clip in clips])
    judged = np.array([q.argmax() for q in qualities]) == [("high", "average", "low").index(c.quality) for c in clips]
    right = kinds.argmax(1)[single] == truth.argmax(1)[single]
    add("judge on held-out real clips: single sounds", percent(right))
    add("judge on held-out real clips: every sound of every clip", percent((kinds > 0.5) == truth))
    add("judge on held-out real clips: quality", percent(judged))

    started = time.perf_counter()
    pipe = AudioLDM2Pipeline.from_pretrained(folder)
    loading = time.perf_counter() - started
    pipe.set_progress_bar_config(disable=True)
    ddim = DDIMScheduler.from_config(pipe.scheduler.config)
    dpm = pipe.scheduler = DPMSolverMultistepScheduler.from_config(pipe.scheduler.config)

    with torch.no_grad():
        few = 20 if quick else 100
        again = pipe.vocoder(torch.from_numpy(real_mels[:few].astype(np.float32))).numpy()
    add("vocoder on held-out real clips: log-mel distance", f"{distance(again, real[:few]):.1f} dB")
    spectral = stft_loss(torch.from_numpy(again), torch.from_numpy(real[:few])).item()
    add("vocoder on held-out real clips: spectral convergence + log-magnitude error", f"{spectral:.2f}")
    again_right = (listen(again)[0].argmax(1) == truth[:few].argmax(1))[single[:few]]
    add("vocoder on held-out real clips: single sounds recognised", percent(again_right))

    # One sound at a time.
    names = [kind for kind in KINDS for _ in range(per_kind)]
    prompts = [caption(rng, Clip(kind, None, "high"), quality_words=False) for kind in names]
    seeds = list(range(1000, 1000 + len(names)))
    plain = generate(pipe, prompts, seeds)
    hits = first_choice(plain, names)
    by_kind = {kind: hits[[n == kind for n in names]].mean() for kind in KINDS}
    worst = min(by_kind, key=by_kind.get)
    add("single sounds recognised", percent(hits), "90 %", hits.mean() >= 0.9)
    add(f"the kind recognised least: {worst}", percent(by_kind[worst]), "70 %", by_kind[worst] >= 0.7)
    print("recognised by kind: " + ", ".join(f"{k} {100 * v:.0f} %" for k, v in by_kind.items()))

    samba = generate(pipe, [SAMBA] * samba_seeds, range(2000, 2000 + samba_seeds))
    both = found(samba, ("samba", "waves"))
    add("samba drums and waves both found", percent(both), "90 %", both.mean() >= 0.9)

    spoken_names = [KINDS[i % len(KINDS)] for i in range(spoken)]
    unseen = [caption(rng, Clip(k, None, "high"), held_out=True, quality_words=False) for k in spoken_names]
    heard = first_choice(generate(pipe, unseen, range(3000, 3000 + spoken)), spoken_names)
    add("wordings that training never saw recognised", percent(heard), "80 %", heard.mean() >= 0.8)
    mixed = [Clip(str(rng.choice(FOREGROUNDS)), str(rng.choice(BACKGROUNDS)), "high") for _ in range(spoken)]
    mixed_clips = generate(pipe, [caption(rng, c, quality_words=False) for c in mixed], range(3500, 3500 + spoken))
    add(
        "two sounds in one prompt, any pair: both found",
        percent([found(w[None], c.kinds)[0] for w, c in zip(mixed_clips, mixed, strict=True)]),
    )

    # Fewer steps: DPM++ 20 against DDIM 200 from the same noise.
    chosen = np.linspace(0, len(prompts) - 1, pairs).astype(int)
    some, their_seeds = [prompts[i] for i in chosen], [seeds[i] for i in chosen]
    pipe.scheduler = ddim
    slow = generate(pipe, some, their_seeds, steps=200)
    pipe.scheduler = dpm
    fast = plain[chosen]
    other = generate(pipe, some, [seed + 5000 for seed in their_seeds])
    between_seeds = distance(fast, other)
    steps_distance = distance(fast, slow)
    add("distance between two seeds", f"{between_seeds:.2f} dB")
    add(
        "distance of DPM++ 20 to DDIM 200, same seed",
        f"{steps_distance:.2f} dB, {steps_distance / between_seeds:.3f} of the seed distance",
        "0.1 of the seed distance",
        steps_distance <= 0.1 * between_seeds,
    )
    few_names = [names[i] for i in chosen]
    slow_hits, fast_hits = first_choice(slow, few_names).mean(), first_choice(fast, few_names).mean()
    add(
        "recognised: DPM++ 20 against DDIM 200",
        f"{100 * fast_hits:.0f} % against {100 * slow_hits:.0f} %",
        "within 5 points",
        abs(fast_hits - slow_hits) <= 0.05,
    )

    # The negative prompt, on prompts that say nothing about quality.
    chosen = np.arange(len(prompts)) if quick else np.array([i for i in range(len(prompts)) if i % per_kind < 3])
    some, their_seeds = [prompts[i] for i in chosen], [seeds[i] for i in chosen]
    for guidance in (1.5, 3.5):
        without = plain[chosen] if guidance == 3.5 else generate(pipe, some, their_seeds, guidance_scale=guidance)
        with_it = generate(pipe, some, their_seeds, guidance_scale=guidance, negative_prompt=NEGATIVE)
        before, after = (np.mean(listen(w)[1].argmax(1) == 0) for w in (without, with_it))
        drop = float(np.median(noise_floor(without)) - np.median(noise_floor(with_it)))
        add(
            f"negative prompt, guidance {guidance}: judged clean",
            f"{100 * before:.0f} % to {100 * after:.0f} %",
            "up by 10 points or 98 %",
            after - before >= 0.1 or after >= 0.98,
        )
        add(f"negative prompt, guidance {guidance}: noise floor", f"{-drop:+.1f} dB", "-3 dB", drop >= 3)

    # Half precision: the same prompts and seeds.
    few = slice(0, len(prompts), max(1, len(prompts) // 14))
    for dtype in (torch.bfloat16, torch.float16):
        half = AudioLDM2Pipeline.from_pretrained(folder, torch_dtype=dtype)
        half.set_progress_bar_config(disable=True)
        half.scheduler = DPMSolverMultistepScheduler.from_config(half.scheduler.config)
        error = distance(generate(half, prompts[few], seeds[few]), plain[few])
        name = str(dtype).removeprefix("torch.")
        add(
            f"distance of {name} to float32, same seed",
            f"{error:.3f} dB, {error / between_seeds:.3f} of the seed distance",
            "0.05 of the seed distance",
            error <= 0.05 * between_seeds,
        )

    # CLAP: does it rank?
    text, sound = clap_embeddings(pipe, prompts, plain)
    similarity = text @ sound.T
    wins = []
    for i, name in enumerate(names):
        j = int(rng.choice([k for k, other_name in enumerate(names) if other_name != name]))
        wins.append(similarity[i, i] > similarity[i, j])
    add("CLAP: own clip above a random other kind's", percent(wins), "95 %", np.mean(wins) >= 0.95)
    four_names = [KINDS[i // 4 % len(KINDS)] for i in range(candidates)]
    four_prompts = [
        caption(np.random.default_rng((4, i // 4)), Clip(k, None, "high"), quality_words=False)
        for i, k in enumerate(four_names)
    ]
    four = generate(pipe, four_prompts, range(6000, 6000 + candidates))
    text, sound = clap_embeddings(pipe, four_prompts, four)
    score = (text * sound).sum(1)
    four_hits = first_choice(four, four_names)
    best = [group[score[group].argmax()] for group in np.array_split(np.arange(candidates), max(1, candidates // 4))]
    add(
        "CLAP: recognised, any of 4 candidates against the best",
        f"{percent(four_hits)} to {percent(four_hits[best])}",
        "up, or 100 %",
        four_hits[best].mean() > four_hits.mean() or four_hits[best].mean() == 1,
    )

    # Faults of the waveform.
    textures = {kind: plain[[n == kind for n in names]] for kind in ("rain", "wind", "waves")} | {
        "samba with waves": samba
    }
    buzz = {name: repetition(torch.from_numpy(w))[:, 0].mean().item() for name, w in textures.items()}
    real_ones = {name: real[[c.kinds == set(name.split(" with ")) for c in clips]] for name in textures}
    real_buzz = [repetition(torch.from_numpy(w))[:, 0].mean().item() for w in real_ones.values() if len(w)]
    add(
        "buzz: " + ", ".join(f"{name} {value:.2f}" for name, value in buzz.items()),
        f"{max(buzz.values()):.2f} (real clips: {min(real_buzz):.2f} to {max(real_buzz):.2f})",
        "0.15",
        max(buzz.values()) <= 0.15,
    )
    everything = np.concatenate([plain, samba, four, mixed_clips, slow])
    broken = (
        ~np.isfinite(everything).all(1) | (everything.std(1) < 1e-4) | ((np.abs(everything) > 0.999).mean(1) > 0.001)
    )
    add(f"silent, NaN or overdriven among {len(everything)} clips", f"{broken.sum()}", "0", not broken.any())

    started = time.perf_counter()
    pipe(SAMBA, num_inference_steps=20, generator=torch.Generator().manual_seed(0))
    clip_seconds = time.perf_counter() - started
    length = plain.shape[1] / SAMPLE_RATE
    add("loading", f"{loading:.1f} s", "3 s", loading < 3)
    add(
        f"one clip of {length:.2f} s at 20 steps, {torch.get_num_threads()} threads",
        f"{clip_seconds:.1f} s",
        "2 s",
        clip_seconds < 2,
    )
    return rows


@torch.no_grad()
def clap_embeddings(pipe, prompts, waveforms):
    """Unit vectors of prompts and waveforms in CLAP's space, each of shape (clips, 64)."""
    clap = pipe.text_encoder
    words = pipe.tokenizer(prompts, padding="max_length", truncation=True, return_tensors="pt")
    pictures = pipe.feature_extractor(list(waveforms), sampling_rate=SAMPLE_RATE, return_tensors="pt").input_features
    both = clap.get_text_features(**words).pooler_output, clap.get_audio_features(pictures).pooler_output
    return tuple(torch.nn.functional.normalize(x, dim=-1).numpy() for x in both)


def as_markdown(rows):
    """The table as Markdown."""
    lines = ["| | measured | at least | met |", "|---|---|---|---|"]
    mark = {None: "", True: "yes", False: "**no**"}
    return "\n".join(lines + [f"| {r.what} | {r.figure} | {r.wanted} | {mark[r.met]} |" for r in rows])


def main():
    """Print the table; exit with 1 when a row falls short."""
    global yield_progress
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--checkpoint", default=CHECKPOINT)
    parser.add_argument("--quick", action="store_true")
    arguments = parser.parse_args()
    started = time.perf_counter()
    with tqdm(desc="UNet steps", unit="step", smoothing=0.05) as bar:
        yield_progress = bar.update
        rows = evaluate(arguments.checkpoint, arguments.quick)
    print(as_markdown(rows))
    print(f"\nmeasured in {time.perf_counter() - started:.0f} s with torch {torch.__version__}")
    sys.exit(any(row.met is False for row in rows))


if __name__ == "__main__":
    main()
