import pytest

import helpers

MB = 10**6


def test_the_peak_counts_although_it_was_given_back():
    little = helpers.peak_memory("pass")
    much = helpers.peak_memory("a = bytearray(200_000_000); del a")
    assert 190 * MB < much - little < 230 * MB


def test_the_peak_of_this_process_does_not_count():
    ballast = bytearray(300 * MB)
    ballast[::4096] = b"x" * len(ballast[::4096])  # so that it is really held
    assert helpers.peak_memory("pass") < 150 * MB


def test_the_fresh_process_finds_the_helpers_from_anywhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert helpers.peak_memory("import importlib.util; assert importlib.util.find_spec('helpers.audio')", timeout=100)


def test_it_is_offline_as_this_one(monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    helpers.peak_memory("import os; assert os.environ['HF_HUB_OFFLINE'] == '1'")


def test_what_the_code_prints_is_no_harm():
    helpers.peak_memory("print('peak memory: 7 bytes'); print('ü 🎵', end='')")
    assert helpers.peak_memory("print('peak memory: 7 bytes')") > MB


def test_an_error_is_quoted_in_one_line():
    with pytest.raises(RuntimeError, match="^The code failed .*: ZeroDivisionError: division by zero$"):
        helpers.peak_memory("import sys\n1 / 0")
    with pytest.raises(RuntimeError, match="SyntaxError"):
        helpers.peak_memory("this is no Python")
    with pytest.raises(RuntimeError, match=r"exit status 3\): no message"):
        helpers.peak_memory("import os; os._exit(3)")
    with pytest.raises(RuntimeError, match="exit status 0"):
        helpers.peak_memory("raise SystemExit(0)")


@pytest.mark.parametrize(
    "code",
    [
        "import os; os._exit(137)",
        "raise MemoryError",
        'raise RuntimeError("[enforce fail] DefaultCPUAllocator: can\'t allocate memory: you tried 9 bytes")',
        "bytearray(10**15)",
    ],
)
def test_too_little_memory_has_its_own_error(code):
    with pytest.raises(MemoryError, match="make the clip shorter"):
        helpers.peak_memory(code)


@pytest.mark.skipif("sys.platform == 'win32'", reason="no signals")
def test_killed_by_the_system_means_out_of_memory():
    with pytest.raises(MemoryError, match="killed"):
        helpers.peak_memory("import os; os.kill(os.getpid(), 9)")


def test_it_never_waits_longer_than_told():
    # The second process outlives the first, and would hold a pipe open.
    code = "import subprocess, sys, time\nsubprocess.Popen([sys.executable, '-c', 'import time; time.sleep(20)'])\n"
    with pytest.raises(TimeoutError, match="timeout=1 s"):
        helpers.peak_memory(code + "time.sleep(20)", timeout=1)
