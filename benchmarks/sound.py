"""Listen to what a rung does to the sound, on the pocket checkpoint: random weights have none."""

import numpy as np
from tqdm.auto import tqdm

from benchmarks.rungs import TRAILING, dpm
from helpers import clap_scores
from helpers.yardstick import SAME
from pocket.captions import caption
from pocket.evaluate import apart, first_choice
from pocket.sounds import KINDS, Clip

BATCH = 4  # clips at once: as quick a clip as any larger number on two cores
# A rung hurts the sound when more clips are lost to the judge, or more of the mean CLAP score, than this, and more than
# chance makes: twice the standard error.
LOST_CLIPS, LOST_CLAP = 1, 0.01
FEW_STEPS = 20  # of DPM++, for what does not depend on steps


class Sound:
    """Compares clips of a pocket pipeline with those of the baseline.

    The judge was trained on the same synthesised sounds as the checkpoint: it tells whether a clip still is what the
    checkpoint was taught, not what a person hears.

    Parameters
    ----------
    baseline : callable
        Makes a `Setup` of the pocket checkpoint as the baseline has it.
    clips : int
        How many clips each figure comes from, one kind of sound after another.
    cache : pathlib.Path
        File that holds the baseline's clips, so that a run that was stopped need not make them again.
    """

    def __init__(self, baseline, clips, cache):
        rng = np.random.default_rng(4)
        self.kinds = [KINDS[i % len(KINDS)] for i in range(clips)]
        self.prompts = [
            caption(rng, Clip(kind, None, "high"), quality_words=False).rstrip(".") + ", high quality"
            for kind in self.kinds
        ]
        self.seeds = [9000 + i for i in range(clips)]
        self.baseline, self.cache, self.reference = baseline, cache, None

    def prepare(self):
        """Make what rungs are compared with: clips of the baseline, with few steps, and of other seeds."""
        if self.reference is not None:
            return
        setup = self.baseline()
        if not self.cache.exists():
            made = {"reference": self.clips(setup, "the baseline")}
            dpm(setup, FEW_STEPS, **TRAILING)
            made["few_steps"] = self.clips(setup, "few steps")
            made["other_seeds"] = self.clips(setup, "other seeds", [seed + 500 for seed in self.seeds])
            part = self.cache.with_name(f"{self.cache.name}.npz")
            np.savez(part, **made)
            part.replace(self.cache)  # complete or not at all
        with np.load(self.cache) as made:
            self.reference, self.few_steps = made["reference"], made["few_steps"]
            self.inter_seed_distance = apart(self.few_steps, made["other_seeds"])
        self.hits, self.scores = self.judge(setup.pipe, self.reference)

    def clips(self, setup, name, seeds=None):
        """Generate one clip for each prompt, shape (clips, samples)."""
        made, seeds = [], seeds or self.seeds
        with tqdm(total=len(seeds), desc=f"pocket: {name}", unit="clip", leave=False) as bar:
            for i in range(0, len(seeds), BATCH):
                some = slice(i, i + BATCH)
                made.append(setup.pipe(**setup.call(seeds[some], self.prompts[some])).audios)
                bar.update(len(made[-1]))
        return np.concatenate(made).astype(np.float32)

    def judge(self, pipe, clips):
        """How many clips the judge takes for their kind before any other, and the CLAP score of each."""
        scores = [clap_scores(pipe, prompt, [clip])[0] for prompt, clip in zip(self.prompts, clips, strict=True)]
        return int(first_choice(clips, self.kinds).sum()), np.array(scores)

    def measure(self, setup, name):
        """Listen to a pocket pipeline.

        Returns
        -------
        dict
            "recognised" and "recognised_before" of "clips", with "standard_error", the binomial one of the share
            recognised; "clap" and "clap_before", means, with "clap_error", the standard error of their difference;
            "distance" from the baseline's clips and "inter_seed_distance", in dB; "hurts", with the reason, or None.
        """
        self.prepare()
        clips = self.clips(setup, name)
        finite = np.nan_to_num(clips)
        hits, scores = self.judge(setup.pipe, finite)
        count, lost = len(clips), self.scores - scores
        error, error_before = (standard_error(k, count) for k in (hits, self.hits))
        clap_error = float(lost.std() / count**0.5)
        hurts = None
        if not np.isfinite(clips).all():
            hurts = "NaN"
        elif self.hits - hits > max(LOST_CLIPS, 2 * error_before * count):
            hurts = "fewer recognised"
        elif lost.mean() > max(LOST_CLAP, 2 * clap_error):
            hurts = "lower CLAP score"
        return {
            "clips": count,
            "recognised": hits,
            "recognised_before": self.hits,
            "standard_error": error,
            "clap": float(scores.mean()),
            "clap_before": float(self.scores.mean()),
            "clap_error": clap_error,
            "distance": apart(finite, self.reference),
            "inter_seed_distance": self.inter_seed_distance,
            "hurts": hurts,
        }

    def half_precision(self, setup):
        """How far half precision moves the clips: "distance" and "inter_seed_distance" in dB, "passed"."""
        self.prepare()
        dpm(setup, FEW_STEPS, **TRAILING)
        moved = apart(np.nan_to_num(self.clips(setup, "half precision")), self.few_steps)
        passed = moved <= SAME * self.inter_seed_distance
        return {"distance": moved, "inter_seed_distance": self.inter_seed_distance, "passed": passed}


def standard_error(hits, count):
    """The binomial standard error of a share."""
    return (hits * (count - hits) / count**3) ** 0.5
