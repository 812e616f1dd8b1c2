"""What the first cell does in Colab and Kaggle: it finds the course or says what to upload, and changes no package."""

import os
import re
import shutil
import subprocess
import sys

import hub
import nbformat
import pytest
from capabilities import needs
from lessons import NOTEBOOKS, cells

ZIP = "audioldm2-course.zip"
PAGE = (hub.ROOT / "docs" / "colab.md").read_text("utf-8")


def first_cell(folder, then, address=None, colab=True, times=1):
    """Run the first cell in a folder that stands for Colab's /content, and holds /content/drive and /kaggle, too."""
    (set_up,) = cells(nbformat.read(NOTEBOOKS[0], 4), "set-up")
    assert "pip " not in set_up.source
    source = re.sub(r'"/(content/drive|kaggle)/', rf'"{folder.as_posix()}/\1/', set_up.source)
    source = re.sub(r'"https://\S+"', f'"{address}"', source) if address else source
    if colab:
        (folder / "google" / "colab").mkdir(parents=True)
        (folder / "google" / "colab" / "__init__.py").touch()
        source = f'import sys\nsys.path.append("")\nimport google.colab\n{source}'
    (folder / "lesson.ipy").write_text("\n".join([*[source] * times, then]), encoding="utf-8")
    elsewhere = os.environ | {"PYTHONPATH": "", "GIT_TERMINAL_PROMPT": "0"}
    command = [sys.executable, "-m", "IPython", "--no-banner", "lesson.ipy"]
    done = subprocess.run(command, env=elsewhere, cwd=folder, capture_output=True, text=True)
    return done.returncode, done.stdout + done.stderr


def course(folder):
    """A stand-in for the course, whose `helpers` load at once."""
    (folder / "course" / "helpers").mkdir(parents=True)
    (folder / "course" / "helpers" / "__init__.py").touch()


def comes_from(place):
    return f"import os\nassert os.path.relpath(helpers.__file__).startswith(os.path.join({place!r}, 'helpers'))"


@needs("git and a clone")
def test_it_fetches_the_course_from_its_address_once(tmp_path):
    course(tmp_path / "home")
    remote = tmp_path / "home" / "course"
    for words in ("init -q", "add .", "-c user.name=a -c user.email=a@b.org commit -q -m Begin"):
        subprocess.run(["git", *words.split()], cwd=remote, check=True)
    code, said = first_cell(tmp_path, comes_from("course"), remote.as_uri(), times=2)
    assert code == 0 and "already exists" not in said, said


@needs("git and a clone")
def test_it_unpacks_the_zip_that_the_page_says_how_to_make(tmp_path):
    (command,) = re.findall(r"(?m)^git archive .*", PAGE)
    subprocess.run(command.replace(ZIP, (tmp_path / ZIP).as_posix()).split(), cwd=hub.ROOT, check=True)
    assert (tmp_path / ZIP).stat().st_size < 40e6
    check = "import runpy\nrunpy.run_path(found[0] + '/tools/check_your_machine.py')"
    code, said = first_cell(tmp_path, f"{comes_from('course')}\n{check}", times=2)
    assert code == 0, said


@pytest.mark.parametrize("place", [".", "content/drive/MyDrive"])
def test_it_unpacks_a_zip_that_was_uploaded_twice_or_lies_on_drive(tmp_path, place):
    course(tmp_path / "home")
    (tmp_path / place).mkdir(parents=True, exist_ok=True)
    shutil.make_archive(tmp_path / place / "audioldm2-course (1)", "zip", tmp_path / "home", "course")
    code, said = first_cell(tmp_path, comes_from("course"))
    assert code == 0, said


@pytest.mark.parametrize("place, colab", [("content/drive/MyDrive", True), ("kaggle/input/owner/name", False)])
def test_it_finds_the_folder_on_drive_and_among_the_inputs_of_kaggle(tmp_path, place, colab):
    course(tmp_path / place)
    code, said = first_cell(tmp_path, comes_from(f"{place}/course"), colab=colab)
    assert code == 0, said


def test_without_a_public_address_it_says_what_to_upload(tmp_path):
    code, said = first_cell(tmp_path, "", "https://github.com/OWNER/REPOSITORY")
    assert code and f"In Colab, upload {ZIP}" in said.replace("\n", " ") and "fatal" not in said, said
