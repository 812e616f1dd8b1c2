"""Measure what the embedded checkpoint can do: `python -m pocket.evaluate` prints one table.

It exits with an error when a row falls short. Sounds are recognised by `pocket.judge`, which was trained on clips of
the same synthesis as the checkpoint, and never on generated ones. Everything is measured on the finished waveform,
after the vocoder, at 20 DPM++ steps and guidance 3.5 unless a row says otherwise. `--quick` runs the same code on a
small budget; its figures are too coarse to quote.
"""

import argparse
import datetime
import json
import sys
import time
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path

import librosa
import numpy as np
import torch
from diffusers import AudioLDM2UNet2DConditionModel, DDIMScheduler, DPMSolverMultistepScheduler, LCMScheduler
from tqdm.auto import tqdm

from helpers.checkpoints import load_pipeline
from helpers.devices import half_dtype, processor
from helpers.quality import clap_scores, distance, noise_floor
from pocket import dataset, real_sounds, sources
from pocket.architecture import CHECKPOINT
from pocket.captions import caption
from pocket.ear import CLASSES, Ear
from pocket.features import log_mel
from pocket.judge import listen
from pocket.sounds import BACKGROUNDS, FOREGROUNDS, KINDS, QUALITIES, SAMPLE_RATE, Clip, synthesise
from pocket.train_vocoder import repetition, stft_loss, through_vae

SAMBA = "The sound of Brazilian samba drums with waves gently crashing in the background"
NEGATIVE = "Low quality, average quality."
BATCH = 4  # as quick a clip as any larger one on two cores


@dataclass
class Row:
    """One line of the table: what was measured, the figure, what it must be, and whether it is."""

    what: str
    figure: str
    wanted: str = ""
    met: bool | None = None


def apart(a, b):
    """Mean distance between the clips of two lists, pair by pair, in dB."""
    return float(np.mean([distance(x, y, SAMPLE_RATE) for x, y in zip(a, b, strict=True)]))


def first_choice(waveforms, kinds):
    """Which clips the judge takes for their kind before any other, shape (clips,)."""
    return listen(waveforms)[0].argmax(1) == np.array([KINDS.index(kind) for kind in kinds])


def found(waveforms, kinds):
    """Which clips hold all of `kinds`, says the judge; shape (clips,)."""
    return (listen(waveforms)[0][:, [KINDS.index(kind) for kind in kinds]] > 0.5).all(1)


def clean(waveforms):
    """Which clips the judge finds of high quality, shape (clips,)."""
    return listen(waveforms)[1].argmax(1) == QUALITIES.index("high")


def buzz(waveforms):
    """Mean over clips of the largest autocorrelation over the first ten hops, from 0 to 1."""
    return repetition(torch.from_numpy(waveforms))[:, 0].mean().item()


def drift(tone):
    """How far the pitch of a tone strays from its median: standard deviation over time, in cents."""
    pitch = librosa.yin(tone, fmin=200, fmax=1200, sr=SAMPLE_RATE)[2:-2]
    return (1200 * np.log2(pitch / np.median(pitch))).std()


def percent(hits):
    """Word a share of hits, such as 93 %."""
    return f"{100 * np.mean(hits):.0f} %"


def with_error(hits):
    """Word a share of hits with its standard error, such as 93 ± 4 %."""
    share = np.mean(hits)
    return f"{100 * share:.0f} ± {100 * np.sqrt(share * (1 - share) / len(hits)):.0f} %"


def load(folder, dtype=torch.float32):
    """A quiet pipeline with DPM++."""
    pipe = load_pipeline(folder, dtype, device="cpu")
    pipe.set_progress_bar_config(disable=True)
    pipe.unet.to(memory_format=torch.channels_last)
    pipe.scheduler = DPMSolverMultistepScheduler.from_config(pipe.scheduler.config)
    return pipe


class Evaluation:
    """Fills `rows`, one group of measurements a method; later ones use the clips of earlier ones.

    Parameters
    ----------
    folder : str or pathlib.Path
        The checkpoint.
    quick : bool
        Take a small budget.
    """

    def __init__(self, folder, quick=False):
        self.folder, self.quick = folder, quick
        self.rng = np.random.default_rng(2026)
        self.rows = []
        self.bar = tqdm(desc="UNet steps", unit="step", smoothing=0.05)
        started = time.perf_counter()
        self.pipe = load(folder)
        self.add_limit("loading", time.perf_counter() - started, 3, "s")
        self.per_kind = 1 if quick else 10
        self.names = [kind for kind in KINDS for _ in range(self.per_kind)]
        self.prompts = [self.word(kind) for kind in self.names]
        self.seeds = [1000 + i for i in range(len(self.names))]

    def add(self, what, figure, wanted="", met=None):
        """Add a row."""
        self.rows.append(Row(what, figure, wanted, None if met is None else bool(met)))

    def add_share(self, what, hits, least):
        """Add a row that wants a share of hits, in percent."""
        self.add(what, percent(hits), f"{least} %", 100 * np.mean(hits) >= least)

    def add_limit(self, what, value, most, unit):
        """Add a row that wants a value below a limit."""
        self.add(what, f"{value:.1f} {unit}", f"under {most} {unit}", value < most)

    def word(self, foreground, background=None, held_out=False):
        """A prompt that says nothing about quality."""
        return caption(self.rng, Clip(foreground, background, "high"), held_out, quality_words=False)

    def generate(self, prompts, seeds, steps=20, pipe=None, negative_prompt=None, **settings):
        """Generate one clip for each prompt and seed, a few at a time, shape (prompts, samples)."""
        pipe, clips = pipe or self.pipe, []
        for i in range(0, len(prompts), BATCH):
            some = prompts[i : i + BATCH]
            generators = [torch.Generator().manual_seed(int(seed)) for seed in seeds[i : i + BATCH]]
            negative = None if negative_prompt is None else [negative_prompt] * len(some)
            clips.append(
                pipe(some, num_inference_steps=steps, generator=generators, negative_prompt=negative, **settings).audios
            )
            self.bar.update(len(some) * steps)
        return np.concatenate(clips)

    def real_clips(self):
        """The judge and the vocoder on real clips that nothing was trained on."""
        waveforms, mels, clips = dataset.load(dataset.HELD_OUT, 40 if self.quick else 400)
        real = waveforms.astype(np.float32) / 32767
        single = np.array([clip.background is None for clip in clips])
        truth = np.array([[kind in clip.kinds for kind in KINDS] for clip in clips])
        kinds, qualities = listen(real)
        right = qualities.argmax(1) == [QUALITIES.index(clip.quality) for clip in clips]
        self.add("judge on held-out real clips: single sounds", percent((kinds.argmax(1) == truth.argmax(1))[single]))
        self.add("judge on held-out real clips: each kind present or not", percent((kinds > 0.5) == truth))
        self.add("judge on held-out real clips: quality", percent(right))
        few = slice(0, len(clips) // 5)
        with torch.no_grad():
            parts = torch.from_numpy(mels[few].astype(np.float32)).split(BATCH)
            again = torch.cat([self.pipe.vocoder(part) for part in parts]).numpy()
        spectral = stft_loss(torch.from_numpy(again), torch.from_numpy(real[few])).item()
        hits = (listen(again)[0].argmax(1) == truth[few].argmax(1))[single[few]]
        what = "vocoder on held-out real clips"
        self.add(f"{what}: log-mel distance", f"{apart(again, real[few]):.1f} dB")
        self.add(f"{what}: spectral convergence + log-magnitude error", f"{spectral:.2f}")
        self.add(f"{what}: single sounds recognised", percent(hits))
        narrow = [kind for kind in ("birds", "crickets", "tone") for _ in range(2 * self.per_kind)]
        real = [synthesise(np.random.default_rng((4, i)), Clip(kind, None, "high")) for i, kind in enumerate(narrow)]
        with torch.no_grad():
            parts = log_mel(torch.from_numpy(np.stack(real))).split(BATCH)
            again = torch.cat([self.pipe.vocoder(through_vae(self.pipe, part)) for part in parts]).numpy()
        hits = first_choice(again, narrow)
        self.add_share("real birds, crickets and tones through VAE and vocoder: recognised", hits, 95)

    def recordings(self):
        """The judge on sounds that no program of ours made; for the other kinds there is no free recording."""
        for kind, clips in real_sounds.load().items():
            self.add(f"judge on recordings: {kind}", f"{found(clips, [kind]).sum()} of {len(clips)}")

    def recognition(self):
        """What the judge hears in generated clips."""
        self.plain = self.generate(self.prompts, self.seeds)
        hits = first_choice(self.plain, self.names)
        tones = [name == "tone" for name in self.names]
        by_kind = {kind: hits[[name == kind for name in self.names]].mean() for kind in KINDS}
        self.add_share("single sounds recognised", hits, 90)
        worst = min(by_kind, key=by_kind.get)
        self.add_share(f"the kind recognised least ({worst})", by_kind[worst], 70)
        self.by_kind = by_kind
        self.add(
            "drift of a plain tone, median of the clips", f"{np.median([*map(drift, self.plain[tones])]):.0f} cents"
        )
        count = 2 if self.quick else 20
        self.samba = self.generate([SAMBA] * count, range(2000, 2000 + count))
        self.add_share("samba drums with waves: both found", found(self.samba, ("samba", "waves")), 90)
        count = 7 if self.quick else 42
        names = [KINDS[i % len(KINDS)] for i in range(count)]
        clips = self.generate([self.word(name, held_out=True) for name in names], range(3000, 3000 + count))
        self.add_share("wordings that training never saw: recognised", first_choice(clips, names), 80)
        pairs = [*product(FOREGROUNDS, BACKGROUNDS)] * 2
        pairs = pairs[: count // 2] if self.quick else pairs
        self.pairs = self.generate([self.word(*pair) for pair in pairs], range(4000, 4000 + len(pairs)))
        hits = [found(clip[None], pair)[0] for clip, pair in zip(self.pairs, pairs, strict=True)]
        self.add_share("each sound in front of each background, twice: both found", hits, 55)

    def fewer_steps(self):
        """DPM++ at 20 steps against DDIM at 200 from the same noise."""
        chosen = np.linspace(0, len(self.prompts) - 1, 1 if self.quick else 30).astype(int)
        prompts, names = [self.prompts[i] for i in chosen], [self.names[i] for i in chosen]
        seeds = [self.seeds[i] for i in chosen]
        fast, dpm = self.plain[chosen], self.pipe.scheduler
        self.between_seeds = apart(fast, self.generate(prompts, [seed + 5000 for seed in seeds]))
        self.pipe.scheduler = DDIMScheduler.from_config(dpm.config)
        self.slow = self.generate(prompts, seeds, steps=200)
        self.pipe.scheduler = dpm
        self.add("distance between two seeds, the yardstick", f"{self.between_seeds:.2f} dB")
        self.add_distance("DPM++ 20 against DDIM 200, same seed", apart(fast, self.slow), 0.1)
        hits = [100 * first_choice(clips, names).mean() for clips in (fast, self.slow)]
        self.add(
            "recognised: DPM++ 20 against DDIM 200",
            f"{hits[0]:.0f} % against {hits[1]:.0f} %",
            "within 5 points",
            abs(hits[0] - hits[1]) <= 5,
        )

    def add_distance(self, what, value, most):
        """Add a row that wants a distance below a part of the distance between seeds."""
        share = value / self.between_seeds
        self.add(what, f"{value:.2f} dB: {share:.3f} of the seed distance", f"under {most} of it", share <= most)

    def negative_prompt(self):
        """With and without, on prompts that say nothing about quality."""
        chosen = [i for i in range(len(self.prompts)) if i % self.per_kind < 4][:: 2 if self.quick else 1]
        prompts, seeds = [self.prompts[i] for i in chosen], [self.seeds[i] for i in chosen]
        for guidance in (3.5,) if self.quick else (1.5, 3.5):
            without = self.plain[chosen]
            if guidance != 3.5:
                without = self.generate(prompts, seeds, guidance_scale=guidance)
            clips = without, self.generate(prompts, seeds, guidance_scale=guidance, negative_prompt=NEGATIVE)
            before, after = (100 * clean(some).mean() for some in clips)
            floors = [np.mean([noise_floor(clip, SAMPLE_RATE) for clip in some]) for some in clips]
            self.add(
                f"negative prompt, guidance {guidance}: judged clean",
                f"{before:.0f} % to {after:.0f} %",
                "up by 10 points, or 98 %",
                after - before >= 10 or after >= 98,
            )
            self.add(
                f"negative prompt, guidance {guidance}: noise floor",
                f"{floors[0]:.1f} dB to {floors[1]:.1f} dB",
                "down by 3 dB",
                floors[0] - floors[1] >= 3,
            )

    def half_precision(self):
        """The same prompts and seeds in bfloat16 and float16."""
        chosen = np.arange(0, len(self.prompts), self.per_kind)
        counts = {torch.bfloat16: 1, torch.float16: 1}  # very slow on a CPU without instructions for it
        if self.quick:
            del counts[torch.float16]
        elif half_dtype("cpu") == torch.bfloat16:
            counts[torch.bfloat16] = 14
        for dtype, count in counts.items():
            chosen = chosen[:count]
            prompts, seeds = [self.prompts[i] for i in chosen], [self.seeds[i] for i in chosen]
            clips = self.generate(prompts, seeds, pipe=load(self.folder, dtype))
            name = str(dtype).removeprefix("torch.")
            what = f"{name} against float32, same seed, clips: {len(chosen)}"
            self.add_distance(what, apart(clips, self.plain[chosen]), 0.05)

    def ranking(self):
        """CLAP scores: own prompt against another, and the best of four candidates."""
        wins = []
        for prompt, name, clip in zip(self.prompts, self.names, self.plain, strict=True):
            other = self.plain[self.rng.choice([i for i, kind in enumerate(self.names) if kind != name])]
            own_score, other_score = clap_scores(self.pipe, prompt, [clip, other])
            wins.append(own_score > other_score)
        self.add_share("CLAP: own clip scored above one of another kind", wins, 95)
        kinds = KINDS[:1] if self.quick else KINDS
        names = [kind for kind in kinds for _ in range(4)]
        prompts = [prompt for kind in kinds for prompt in [self.word(kind)] * 4]
        self.candidates = self.generate(prompts, range(6000, 6000 + len(names)))
        hits = first_choice(self.candidates, names)
        fours = range(0, len(names), 4)
        best = [i + clap_scores(self.pipe, prompts[i], self.candidates[i : i + 4]).argmax() for i in fours]
        self.add(
            "CLAP: recognised, all of 4 candidates and the best of them",
            f"{percent(hits)} and {percent(hits[best])}",
            "up, or 100 %",
            hits[best].mean() > hits.mean() or hits[best].mean() == 1,
        )

    def vocoded(self, waveforms, vae):
        """Waveforms through the vocoder, and through the VAE before it if `vae`."""
        mels = log_mel(torch.from_numpy(np.stack(waveforms).astype(np.float32))).split(BATCH)
        with torch.no_grad():
            return torch.cat([self.pipe.vocoder(through_vae(self.pipe, m) if vae else m) for m in mels]).numpy()

    def ear(self, ear, recordings=None):
        """What an ear from outside hears, kind by kind; the bars are "not run" without it.

        Parameters
        ----------
        ear : Ear or None
        recordings : dict of str to list of numpy.ndarray
            Clips of recordings that nothing was trained on.
        """
        bars = {
            "ear: heard in generated clips, mean of the kinds": 80,
            "ear: heard in generated clips, the worst kind": 60,
            "ear: samba drums with waves: percussion among the first 10 and ocean among the first 40": 80,
            "ear: recordings that are heard, heard after VAE and vocoder": 80,
        }
        if ear is None:
            for what, least in bars.items():
                self.add(what, "not run", f"{least} %", False)
            return
        torch.manual_seed(0)  # of the VAE's samples
        count, shares, kept = 1 if self.quick else 40, {}, []
        for number, kind in enumerate(KINDS):
            seeds = [8000 + 100 * number + i for i in range(count)]
            labels = Clip(kind, None, "high")
            prompts = [caption(np.random.default_rng(seed), labels, quality_words=False) for seed in seeds]
            own = [synthesise(np.random.default_rng((8, seed)), labels) for seed in seeds]
            hits = [ear.hears(clips, kind) for clips in (own, self.vocoded(own, False), self.vocoded(own, True))]
            hits.append(ear.hears(self.generate(prompts, seeds, negative_prompt=NEGATIVE), kind))
            shares[kind] = 100 * hits[-1].mean()
            names = "the program's clips", "by vocoder", "by VAE and vocoder", "generated"
            parts = [f"{name} {with_error(each)}" for name, each in zip(names, hits, strict=True)]
            self.add(f"ear: {kind}, {count} clips each", ", ".join(parts), "60 % generated", shares[kind] >= 60)
        for kind, clips in (recordings or {}).items():
            hits = [ear.hears(some, kind) for some in (clips, self.vocoded(clips, False), self.vocoded(clips, True))]
            figure = ", by vocoder {}, by VAE and vocoder {}".format(*(f"{each[hits[0]].sum()}" for each in hits[1:]))
            self.add(f"ear: recorded {kind}, {len(clips)} clips", f"heard {hits[0].sum()}{figure}")
            kept.extend(hits[2][hits[0]])
        count = 2 if self.quick else 20
        clips = self.generate([SAMBA] * count, range(9500, 9500 + count), negative_prompt=NEGATIVE)
        places = [[ear.place(s, CLASSES[kind]) for kind in ("samba", "waves")] for s in map(ear.scores, clips)]
        values = shares.values(), [min(shares.values())], [100 * (a < 10 and b < 40) for a, b in places]
        values += ([100 * hit for hit in kept] or [0],)
        for (what, least), each in zip(bars.items(), values, strict=True):
            mean = np.mean([*each])
            worst = f" ({min(shares, key=shares.get)})" if "worst" in what else ""
            self.add(what + worst, f"{mean:.0f} %", f"{least} %", mean >= least)
        self.add("ear: places of ocean in samba drums with waves", ", ".join(str(b + 1) for _, b in sorted(places)))

    def student(self, folder, ear=None):
        """A student beside its teacher: wordings that no training saw, with the same seeds.

        Parameters
        ----------
        folder : str or pathlib.Path
            Of the student's UNet.
        ear : Ear, optional
            Without it, no row says what it hears.
        """
        prompts = [self.word(kind, held_out=True) for kind in self.names]
        seeds = [20_000 + i for i in range(len(prompts))]
        guided = {"guidance_scale": 3.5, "negative_prompt": NEGATIVE}
        teacher, lcm = self.pipe.unet, LCMScheduler.from_config(self.pipe.scheduler.config)
        unet = AudioLDM2UNet2DConditionModel.from_pretrained(folder).to(memory_format=torch.channels_last)
        kinds, first = np.array(self.names), None
        for who, steps in (*product(["teacher"], (20, 4, 2, 1)), *product(["student"], (4, 2, 1))):
            if who == "student":
                self.pipe.register_modules(unet=unet, scheduler=lcm)
            settings = {"steps": steps} | (guided if who == "teacher" else {"guidance_scale": 1.0})
            clips = self.generate(prompts, seeds, **settings)
            others = self.generate(prompts, [seed + 5000 for seed in seeds], **settings)
            scores = [clap_scores(self.pipe, *pair)[0] for pair in zip(prompts, clips[:, None], strict=True)]
            hits = {"recognised": first_choice(clips, kinds), "judged clean": clean(clips)}
            heard = [ear.hears(clips[kinds == kind], kind).mean() for kind in KINDS] if ear else [1.0] * len(KINDS)
            now = {name: 100 * each.mean() for name, each in hits.items()}
            now |= {"CLAP": np.mean(scores), "apart": apart(clips, others), "heard": heard}
            first = first or now
            lost = [kind for kind, a, b in zip(KINDS, first["heard"], heard, strict=True) if b < a / 2]
            met = all(now[name] >= first[name] - 5 for name in hits) and not lost
            met = met and now["CLAP"] >= first["CLAP"] - 0.02 and now["apart"] >= 0.8 * first["apart"]
            parts = [f"{name} {with_error(each)}" for name, each in hits.items()]
            parts.append(f"CLAP {now['CLAP']:.3f} ± {np.std(scores) / len(scores) ** 0.5:.3f}")
            parts.append(f"seeds {now['apart']:.1f} dB apart")
            if ear:
                parts.append(f"heard {100 * np.mean(heard):.0f} %, lost: {', '.join(lost) or 'none'}")
            wanted = "within 5 points, 5 points, 0.02, 80 %" + ", no kind heard half as often" * bool(ear)
            bar = (wanted, met) if who == "student" else ()
            self.add(f"{who}, steps: {steps}", ", ".join(parts), *bar)
        self.pipe.register_modules(unet=teacher)

    def faults(self):
        """What no clip should have.

        Buzz is looked for in clips of high quality: the hum of a spoiled clip is periodic by nature.
        """
        prompts = {name: f"{self.word(name)}, high quality" for name in ("rain", "wind", "waves")}
        prompts["samba with waves"] = f"{SAMBA}, high quality"
        for i, (name, prompt) in enumerate(prompts.items()):
            clips = self.generate([prompt] * self.per_kind, range(7000 + 100 * i, 7000 + 100 * i + self.per_kind))
            kinds = name.split(" with ")
            real = [
                synthesise(np.random.default_rng((3, j)), Clip(*kinds, *[None] * (2 - len(kinds)), "high"))
                for j in range(10)
            ]
            value = buzz(clips)
            self.add(
                f"buzz in {name}, high quality",
                f"{value:.2f} (real clips {buzz(np.array(real)):.2f})",
                "at most 0.15",
                value <= 0.15,
            )
        clips = np.concatenate([self.plain, self.samba, self.pairs, self.candidates, self.slow])
        broken = ~np.isfinite(clips).all(1) | (clips.std(1) < 1e-4) | ((np.abs(clips) > 0.999).mean(1) > 0.001)
        self.add(f"silent, NaN or overdriven, of {len(clips)} clips", f"{broken.sum()}", "0", not broken.any())

    def speed(self):
        """One clip of the natural length."""
        started = time.perf_counter()
        self.generate([SAMBA], [0])
        seconds = self.plain.shape[1] / SAMPLE_RATE
        what = f"a clip of {seconds:.2f} s at 20 steps, {torch.get_num_threads()} threads"
        self.add_limit(what, time.perf_counter() - started, 2, "s")

    def run(self):
        """Measure everything but what the ear hears.

        Returns
        -------
        list of Row
        """
        self.real_clips()
        self.recordings()
        self.recognition()
        self.fewer_steps()
        self.negative_prompt()
        self.half_precision()
        self.ranking()
        self.faults()
        self.speed()
        return self.rows


def as_markdown(rows):
    """The table as Markdown."""
    lines = ["| | measured | at least | met |", "|---|---|---|---|"]
    mark = {None: "", True: "yes", False: "**no**"}
    return "\n".join(lines + [f"| {r.what} | {r.figure} | {r.wanted} | {mark[r.met]} |" for r in rows])


def main():
    """Print the table; exit with 1 when a row falls short."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--checkpoint", default=CHECKPOINT)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--ear", metavar="FILE", help="yamnet.tflite, with yamnet_class_map.csv beside it")
    parser.add_argument("--only-ear", action="store_true", help="nothing but its rows")
    parser.add_argument(
        "--student", metavar="FOLDER", help="a distilled UNet: nothing but its rows beside the teacher's"
    )
    parser.add_argument("--recordings", metavar="FOLDER", help="where the recordings named in the model card lie")
    parser.add_argument("--record", type=Path, metavar="FILE", help="write the rows there as JSON")
    arguments = parser.parse_args()
    started = time.perf_counter()
    evaluation = Evaluation(arguments.checkpoint, arguments.quick)
    ear = Ear(arguments.ear) if arguments.ear else None
    everything = not (arguments.only_ear or arguments.student)
    if everything:
        evaluation.run()
    recordings = {k: [np.resize(clip, sources.CLIP) for clip in clips] for k, clips in real_sounds.load().items()}
    for kind, clips in (sources.tests(arguments.recordings) if arguments.recordings else {}).items():
        recordings.setdefault(kind, []).extend(clips)
    if arguments.student:
        evaluation.student(arguments.student, ear)
    else:
        evaluation.ear(ear, recordings)
    evaluation.bar.close()
    rows, seconds = evaluation.rows, time.perf_counter() - started
    print(as_markdown(rows))
    if everything:
        by_kind = ", ".join(f"{kind} {percent(hits)}" for kind, hits in evaluation.by_kind.items())
        print("\nrecognised by kind: " + by_kind)
    print(f"\nmeasured in {seconds:.0f} s with torch {torch.__version__}")
    if arguments.record:
        about = {"date": f"{datetime.date.today()}", "cpu": processor(), "threads": torch.get_num_threads()}
        about |= {"torch": torch.__version__, "seconds": round(seconds), "ear": ear and ear.sha256}
        rows = [asdict(row) for row in rows]
        arguments.record.write_text(json.dumps(about | {"rows": rows}, indent=1, ensure_ascii=False) + "\n", "utf-8")
    sys.exit(any(row.met is False for row in evaluation.rows))


if __name__ == "__main__":
    main()
