"""Record how far another seed is away, beside the weights: `python -m pocket.yardstick`, after the weights changed."""

import json
import math

from helpers import load_pipeline
from helpers.topics.contest import SECOND_PROMPTS
from helpers.yardstick import RECORD, measured, name
from pocket.architecture import CHECKPOINT
from pocket.evaluate import SAMBA

LENGTHS = (1.28, 2.56, 5.12)  # seconds: that of the lessons, and those of their tests


def main():
    """Measure, and write the record."""
    pipe = load_pipeline(CHECKPOINT, device="cpu")
    found = {
        name(CHECKPOINT, prompt, seconds): vars(measured(pipe, prompt, seconds, math.inf))
        for prompt in (SAMBA, *SECOND_PROMPTS)
        for seconds in LENGTHS
    }
    (CHECKPOINT / RECORD).write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
