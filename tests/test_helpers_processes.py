"""A command that is run, in whatever code page, and that is ended with all that it started."""

import os
import subprocess
import sys
import time

import psutil
import pytest

from helpers.topics import processes

PARENT = """
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
print("worker", child.pid, flush=True)
time.sleep(60)
"""


@pytest.mark.parametrize("encoding", ["cp1252", "cp437", "ascii"])
def test_a_code_page_does_not_reach_the_child(monkeypatch, capsys, encoding):
    monkeypatch.setenv("PYTHONIOENCODING", encoding)
    monkeypatch.setenv("PYTHONUTF8", "0")
    assert processes.run("-c", "print('größer 雨'); import sys; print('naïve', file=sys.stderr)") > 0
    assert sorted(capsys.readouterr().out.split()) == ["größer", "naïve", "雨"]


def test_what_is_no_text_does_not_stop_the_parent(capsys):
    processes.run("-c", "import sys; sys.stdout.buffer.write(b'gr\\xf6sser\\n')")
    assert capsys.readouterr().out == "gr\ufffdsser\n"


def test_ending_a_command_ends_what_it_started(capsys):
    assert processes.run("-c", PARENT, interrupt_at="worker") < 50
    assert gone(int(capsys.readouterr().out.split()[1]))


def test_an_error_while_it_runs_ends_it_too(monkeypatch):
    said = []

    def interrupt(line, end):
        said.append(line)
        raise KeyboardInterrupt

    monkeypatch.setattr(processes, "print", interrupt, raising=False)
    with pytest.raises(KeyboardInterrupt):
        processes.run("-c", PARENT)
    assert gone(int(said[0].split()[1]))


def gone(pid):
    return not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


def test_a_worker_ends_when_its_launcher_was_killed(tmp_path):
    """The launcher is killed, not the worker: as `kill` on its number, or a closed terminal of Windows, does."""
    script = tmp_path / "worker.py"
    script.write_text(
        "import sys, time\n"
        f"sys.path.insert(0, {str(processes.__file__.rsplit('helpers', 1)[0] + 'notebooks')!r})\n"
        "import generate_many\n"
        "launched = generate_many.launcher()\n"
        "print('ready', flush=True)\n"
        "while not generate_many.orphaned(launched):\n"
        "    time.sleep(0.1)\n"
        f"open({str(tmp_path / 'ended')!r}, 'w').close()\n"
    )
    parent = f"import subprocess, sys; subprocess.Popen([sys.executable, {str(script)!r}]).wait()"
    environment = os.environ | {"ACCELERATE_MIXED_PRECISION": "no"}
    with subprocess.Popen([sys.executable, "-c", parent], env=environment, stdout=subprocess.PIPE) as launcher:
        (worker,) = wait_for(lambda: psutil.Process(launcher.pid).children())
        assert launcher.stdout.readline().strip() == b"ready"
        assert not (tmp_path / "ended").exists()
        launcher.kill()
        try:
            assert wait_for(lambda: (tmp_path / "ended").exists())
        finally:
            processes.end(worker.pid)


def wait_for(what, seconds=60):
    until = time.monotonic() + seconds
    while not (found := what()) and time.monotonic() < until:
        time.sleep(0.1)
    return found
