"""What `python -m benchmarks.gpu_day` found on a GPU, for the tour's bars and the table of claims."""

import json
from statistics import median


def read(path):
    """Read a record: a dict, without rows where there is no file.

    Raises
    ------
    ValueError
        If it is that of a rehearsal.
    """
    record = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {"rows": {}, "rehearsal": False}
    if record["rehearsal"]:
        raise ValueError(f"{path} is a rehearsal at tiny sizes: its figures mean nothing.")
    return record


def said(record, names):
    """Say what some rows took, or how they failed: a text, empty where one was not measured."""
    rows = {name: record["rows"][name] for name in names if name in record["rows"]}
    if not rows or len(rows) < len(names):
        return ""
    each = [
        f"{median(row['seconds']):.3g} s" if "seconds" in row else row["error"].split(":")[0] for row in rows.values()
    ]
    return f"{record['machine']}, {record['date']}: " + " → ".join(map("{} {}".format, rows, each))


def bars(record, claims):
    """Give what the tour draws of a record: by the names of its changes, 200 times the steps of a claim's two rows."""
    found = {}
    for claim in claims:
        steps = [
            record["rows"].get(name, {}).get("seconds") for name in claim.get("gpu", ()) if name.startswith("step")
        ]
        if len(steps) == 2 and all(steps):
            before, after = (200 * median(seconds) for seconds in steps)
            found[claim["tour"]] = {"what": "200 times one step", "before": before, "after": after}
            found[claim["tour"]] |= {key: record[key] for key in ("machine", "date")}
    return found
