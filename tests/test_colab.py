"""What Google Colab does with a lesson's first cell: it fetches the course, and leaves all packages as they are."""

import os
import re
import subprocess
import sys

import hub
import nbformat
from capabilities import needs
from lessons import NOTEBOOKS, cells


@needs("git and a clone")
def test_the_set_up_cell_fetches_the_course_once_and_installs_nothing(tmp_path):
    subprocess.run(["git", "clone", "--quiet", "--bare", hub.ROOT, tmp_path / "remote"], check=True)
    (set_up,) = cells(nbformat.read(NOTEBOOKS[0], 4), "set-up")
    assert "pip " not in set_up.source
    set_up = re.sub(r"https://\S+", (tmp_path / "remote").as_uri(), set_up.source)
    use = 'import os\nassert os.path.relpath(helpers.__file__).split(os.sep)[0] == "course", helpers.__file__\n'
    (tmp_path / "google" / "colab").mkdir(parents=True)
    (tmp_path / "google" / "colab" / "__init__.py").touch()
    colab = 'import sys\nsys.path.append("")\nimport google.colab\n'
    (tmp_path / "lesson.ipy").write_text(f"{colab}{set_up}\n{set_up}\n{use}", encoding="utf-8")
    elsewhere = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    command = [sys.executable, "-m", "IPython", "--no-banner", "lesson.ipy"]
    done = subprocess.run(command, env=elsewhere, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0 and "already exists" not in done.stdout + done.stderr, done.stdout + done.stderr
