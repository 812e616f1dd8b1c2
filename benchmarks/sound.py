"""Listen to what a rung does to the sound, on the pocket checkpoint: random weights have none."""

import numpy as np
from tqdm.auto import tqdm

from benchmarks.rungs import Setup, fewer_steps, generate
from helpers import clap_scores, distance, load_pipeline
from pocket.captions import caption
from pocket.judge import listen
from pocket.sounds import KINDS, Clip

BATCH = 4  # clips at once: as quick a clip as any larger number on two cores
# What a rung may cost before it counts as hurting the sound: so many clips that the judge no longer recognises, and
# such a fall of the mean CLAP score, which is also more than chance makes (twice the standard error).
LOST_CLIPS, LOST_CLAP = 1, 0.01
LOSSLESS = 0.05  # of the distance between two seeds: half precision within it counts as lossless
MEASURING_STEPS = 20  # of DPM++, for what does not depend on steps


class Sound:
    """A pocket pipeline that follows the one that is measured, and is listened to at every lossy rung.

    Parameters
    ----------
    device : torch.device
    half : torch.dtype
        As in `Setup`.
    clips : int
        How many clips each figure comes from, one kind of sound after another.
    steps : int
        Of the baseline.
    """

    def __init__(self, device, half, clips, steps=200):
        pipe = load_pipeline("pocket", device=device)
        pipe.set_progress_bar_config(disable=True)
        self.setup = Setup(pipe, half, compiles=False, steps=steps)
        rng = np.random.default_rng(4)
        self.kinds = [KINDS[i % len(KINDS)] for i in range(clips)]
        self.prompts = [
            caption(rng, Clip(kind, None, "high"), quality_words=False).rstrip(".") + ", high quality"
            for kind in self.kinds
        ]
        self.seeds = [9000 + i for i in range(clips)]
        self.rate = pipe.vocoder.config.sampling_rate
        self.reference = None

    def clips(self, name, seeds=None):
        """Generate one clip for each prompt, shape (clips, samples)."""
        made, seeds = [], seeds or self.seeds
        with tqdm(total=len(seeds), desc=f"pocket: {name}", unit="clip", leave=False) as bar:
            for i in range(0, len(seeds), BATCH):
                some = slice(i, i + BATCH)
                made.append(generate(self.setup, self.prompts[some], seeds[some]).audio.float().cpu().numpy())
                bar.update(len(made[-1]))
        return np.concatenate(made)

    def apart(self, a, b):
        """Mean distance between clips of two lists, pair by pair, in dB."""
        return float(np.mean([distance(x, y, self.rate) for x, y in zip(a, b, strict=True)]))

    def judge(self, clips):
        """How many clips the judge takes for their kind before any other, and the CLAP score of each."""
        hits = listen(clips)[0].argmax(1) == np.array([KINDS.index(kind) for kind in self.kinds])
        scores = [clap_scores(self.setup.pipe, p, [clip])[0] for p, clip in zip(self.prompts, clips, strict=True)]
        return int(hits.sum()), np.array(scores)

    def prepare(self):
        """Make what the others are measured against: the baseline's clips, and those of other seeds."""
        if self.reference is None:
            self.reference = self.clips(f"DDIM {self.setup.steps}, the reference")
            self.hits, self.scores = self.judge(self.reference)
            undo = self._measuring_steps()
            self.usual = self.clips("DPM++ 20")
            others = self.clips("other seeds", [seed + 500 for seed in self.seeds])
            undo()
            self.between_seeds = self.apart(self.usual, others)

    def measure(self, name):
        """Listen to the pipeline as it is.

        Parameters
        ----------
        name : str
            For the progress bar.

        Returns
        -------
        dict
            "recognised" and "recognised_before": of `clips`; "clap" and "clap_before": means; "distance" from the
            baseline's clips and "seed_distance", in dB; "hurts", with the reason, or None.
        """
        self.prepare()
        clips = self.clips(name)
        hits, scores = self.judge(np.nan_to_num(clips))
        lost = self.scores - scores
        error = lost.std() / len(lost) ** 0.5
        hurts = None
        if not np.isfinite(clips).all():
            hurts = "NaN"
        elif hits < self.hits - LOST_CLIPS:
            hurts = "fewer recognised"
        elif lost.mean() > max(LOST_CLAP, 2 * error):
            hurts = "lower CLAP score"
        return {
            "clips": len(clips),
            "recognised": hits,
            "recognised_before": self.hits,
            "clap": float(scores.mean()),
            "clap_before": float(self.scores.mean()),
            "distance": self.apart(np.nan_to_num(clips), self.reference),
            "seed_distance": self.between_seeds,
            "hurts": hurts,
        }

    def half_precision(self, change):
        """Find how far half precision moves the clips.

        Parameters
        ----------
        change : callable
            The rung's; it stays changed.

        Returns
        -------
        dict
            "distance" and "seed_distance" in dB, "passed".
        """
        self.prepare()
        undo_change, undo = change(self.setup), self._measuring_steps()
        moved = self.apart(np.nan_to_num(self.clips("half precision")), self.usual)
        undo()
        return {
            "distance": moved,
            "seed_distance": self.between_seeds,
            "passed": moved <= LOSSLESS * self.between_seeds,
        }, undo_change

    def _measuring_steps(self):
        return fewer_steps(self.setup, (MEASURING_STEPS, {"timestep_spacing": "trailing"}))


def say(quality):
    """Word what `Sound.measure` found, in one line."""
    return (
        f"recognised {quality['recognised']} of {quality['clips']} (baseline {quality['recognised_before']}), "
        f"CLAP {quality['clap']:.3f} ({quality['clap_before']:.3f}), "
        f"distance {quality['distance']:.2f} dB (another seed: {quality['seed_distance']:.2f})"
    )
