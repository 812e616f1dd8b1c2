"""What Google Colab does with a lesson's first cell: it fetches the course, and leaves all packages as they are."""

import os
import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import hub
import nbformat
import pytest

from tools import address

SET_UP = next(c.source for c in nbformat.read(address.NOTEBOOKS / "00_tour.ipynb", 4).cells if c.id == "set-up")


@pytest.fixture
def colab(tmp_path):
    """Runs words of a command by a Python that sees all packages, but neither the course nor the way back to it.

    What it installs, it would install for itself only, and `pip freeze` would tell.
    """
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "venv"], check=True)
    scripts = tmp_path / "venv" / ("Scripts" if os.name == "nt" else "bin")
    own = sysconfig.get_path("purelib", scheme="venv", vars={"base": str(tmp_path / "venv")})
    Path(own, "packages.pth").write_text(sysconfig.get_path("purelib"), encoding="utf-8")
    (tmp_path / "google" / "colab").mkdir(parents=True)
    (tmp_path / "google" / "colab" / "__init__.py").touch()
    (tmp_path / "content").mkdir()

    def run(*words):
        environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        environment |= {"PATH": f"{scripts}{os.pathsep}{environment['PATH']}", "IPYTHONDIR": str(tmp_path / "ipython")}
        command = [scripts / "python", *words]
        done = subprocess.run(command, env=environment, cwd=tmp_path / "content", capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    return run


@pytest.mark.skipif(not shutil.which("git") or not (hub.ROOT / ".git").exists(), reason="needs git and a clone")
def test_the_set_up_cell_fetches_the_course_and_installs_nothing(colab, tmp_path):
    subprocess.run(["git", "clone", "--quiet", "--bare", hub.ROOT, tmp_path / "remote"], check=True)
    remote = (tmp_path / "remote").as_uri()
    set_up = re.sub(r"https://\S+", remote, SET_UP)
    assert remote in set_up
    use = 'import os\nassert os.path.relpath(helpers.__file__).split(os.sep)[0] == "course", helpers.__file__\n'
    first = f"import sys\nsys.path.append({str(tmp_path)!r})\nimport google.colab\n"
    (tmp_path / "content" / "lesson.ipy").write_text(f"{first}{set_up}\n{set_up}\n{use}", encoding="utf-8")
    before = colab("-m", "pip", "freeze")
    assert "torch==" in before and "numpy==" in before
    colab("-m", "IPython", "lesson.ipy")
    assert colab("-m", "pip", "freeze") == before
