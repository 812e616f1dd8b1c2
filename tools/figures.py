"""Hold every figure that the pages quote against its record: `python tools/figures.py` prints those that differ.

A paragraph, or a row of a table, that quotes seconds, ratios or dB ends with a comment: `<!-- from: KEY; KEY -->`
names, figure by figure, where each is from. A key is a name in `RECORDS` and a way into that file, such as
`ladder.rows.sdpa.clip`; ` / `, ` + ` and `20 * ` compute with keys. `here` is a figure that only the page holds (alone:
all of the paragraph or row), `article` one of the original article. Before it looks, the command writes the table of
the article's claims into docs/results.md.
"""

import json
import re
import statistics
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from helpers.pictures import table  # noqa: E402
from helpers.topics import gpu  # noqa: E402
from tools.execute import ROOT  # noqa: E402

GPU = ROOT / "helpers" / "records" / "gpu.json"
CLAIMS, RESULTS = ROOT / "helpers" / "records" / "claims.json", ROOT / "docs" / "results.md"
PLACE = re.compile(r"(?<=<!-- claims: written by tools/figures.py -->\n\n).*?(?=\n\n<!-- end of claims -->)", re.DOTALL)
PAGES = (ROOT / "README.md", RESULTS, ROOT / "benchmarks" / "results" / "README.md")
RECORDS = {
    "busy": "benchmarks/results/busy-neighbour.json",
    "compile": "helpers/records/compile-official.json",
    "curve": "helpers/records/quality_against_steps.json",
    "epyc": "benchmarks/results/ladder-full-size-cpu-2026-11-24.json",
    "ladder": "benchmarks/results/ladder-full-size-cpu.json",
    "lessons": "docs/lesson_seconds.json",
    "pair": "docs/pair.json",
}
SHORT = {  # what is computed and quoted more than once
    "20 steps with SDPA": "20 * ladder.rows.sdpa.seconds_per_step + ladder.rows.sdpa.seconds.text encoding + "
    "ladder.rows.sdpa.seconds.VAE decoding + ladder.rows.sdpa.seconds.vocoder"
}
FIGURE = re.compile(r"(?<![\w.])(\d+(?:\.\d+)?)(?:x| s| dB)(?!\w)(?! of sound)")
FROM = re.compile(r"<!-- from: (.+?) -->")
SUMMARIES = {"median": statistics.median, "least": min, "most": max}


def with_claims(text):
    """Give a text with the table of claims as its record has it."""
    rows, record = [], gpu.read(GPU)
    for claim in json.loads(CLAIMS.read_text(encoding="utf-8")):
        keys = ["article"] * len(FIGURE.findall(claim["article"])) + claim.get("from", [])
        number = re.match("0*([0-9]+)", claim["lesson"])
        link = f"[{number[1] if number else 'deeper'}](../notebooks/{claim['lesson']}.ipynb)"
        on_gpu = gpu.said(record, claim.get("gpu", ()))
        keys += ["here"] * len(FIGURE.findall(on_gpu))  # written from the record, here
        here = "; ".join(filter(None, (claim["here"], on_gpu))) + (f" <!-- from: {'; '.join(keys)} -->" if keys else "")
        rows.append({"the article": claim["claim"], "on its GPU": claim["article"], "here": here, "lesson": link})
    return PLACE.sub(lambda _: table(rows).data, text)


def value(key):
    """The value that a key names."""
    key = SHORT.get(key, key)
    if " / " in key:
        return value(key.split(" / ")[0]) / value(key.split(" / ")[1])
    if " + " in key:
        return sum(map(value, key.split(" + ")))
    if " * " in key:
        return int(key.split(" * ")[0]) * value(key.split(" * ")[1])
    name, *way = key.split(".")
    found = json.loads((ROOT / RECORDS[name]).read_text(encoding="utf-8"))
    for part in way:
        if isinstance(found, dict):
            found = found[part]
        elif part in SUMMARIES:
            found = SUMMARIES[part](found)
        else:  # those rows of a list that hold the word
            found = [row for row in found if part in map(str, row.values())]
            found = found[0] if len(found) == 1 else found
    return found


def faults(text):
    """Say which figures of a page are not what their record holds, or name none."""
    found = []
    for block in re.split(r"\n\s*\n|\n(?=\|)", text):
        keys = [key for keys in FROM.findall(block) for key in keys.split("; ")]
        figures = FIGURE.findall(FROM.sub("", block))
        if keys == ["here"] and figures:
            continue
        if len(keys) != len(figures):
            found.append(f"{len(figures)} figures from {len(keys)} records: {block}")
            continue
        for figure, key in zip(figures, keys, strict=True):
            if key not in ("here", "article") and f"{value(key):.{len(figure.partition('.')[2])}f}" != figure:
                found.append(f"{figure} is {value(key):.4g} in {key}: {block}")
    return found


if __name__ == "__main__":
    RESULTS.write_text(with_claims(RESULTS.read_text(encoding="utf-8")), encoding="utf-8")
    sys.exit("\n\n".join(fault for page in PAGES for fault in faults(page.read_text(encoding="utf-8"))) or None)
