"""Write the table of the article's claims into docs/results.md: `python tools/claims.py`, after its record changed."""

import json
import re
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from helpers.tables import table  # noqa: E402
from helpers.topics import gpu  # noqa: E402
from tools.execute import ROOT, notebooks  # noqa: E402

RECORD, PAGE = ROOT / "helpers" / "records" / "claims.json", ROOT / "docs" / "results.md"
GPU = RECORD.with_name("gpu.json")
PLACE = re.compile(r"(?<=<!-- claims: written by tools/claims.py -->\n\n).*?(?=\n\n<!-- end of claims -->)", re.DOTALL)


def with_claims(text):
    """Give a text with the table as the record has it."""
    rows, record = [], gpu.read(GPU)
    for claim in json.loads(RECORD.read_text(encoding="utf-8")):
        (lesson,) = notebooks(f"{int(claim['lesson']):02}_")
        link = f"[{claim['lesson']}](../notebooks/{lesson.name})"
        here = "; ".join(filter(None, (claim["here"], gpu.said(record, claim.get("gpu", ())))))
        rows.append({"the article": claim["claim"], "on its GPU": claim["article"], "here": here, "lesson": link})
    return PLACE.sub(lambda _: table(rows).data, text)


if __name__ == "__main__":
    PAGE.write_text(with_claims(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
