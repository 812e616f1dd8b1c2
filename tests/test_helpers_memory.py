import pytest
from capabilities import needs

from helpers.topics.memory import peak_memory

MB = 10**6


def test_the_peak_counts_although_it_was_given_back():
    little = peak_memory("pass")
    much = peak_memory("a = bytearray(200_000_000); del a")
    assert 190 * MB < much - little < 230 * MB


def test_the_peak_of_this_process_does_not_count():
    ballast = bytearray(300 * MB)
    ballast[::4096] = b"x" * len(ballast[::4096])  # so that it is really held
    assert peak_memory("pass") < 150 * MB


def test_the_fresh_process_finds_the_helpers_from_anywhere_and_is_offline_as_this_one(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    peak_memory("import importlib.util; assert importlib.util.find_spec('helpers')")
    peak_memory("import os; assert os.environ['HF_HUB_OFFLINE'] == '1'")


def test_what_the_code_prints_is_no_harm():
    peak_memory("print('ü 🎵', end='')")
    assert peak_memory("print('peak memory: 7 bytes')") > MB


@pytest.mark.parametrize(
    ("code", "error", "words"),
    [
        ("import sys\n1 / 0", RuntimeError, "^The code failed .*: ZeroDivisionError: division by zero$"),
        ("this is no Python", RuntimeError, "SyntaxError"),
        ("import os; os._exit(3)", RuntimeError, r"exit status 3\): no message"),
        ("raise SystemExit(0)", RuntimeError, "exit status 0"),
        ("import os; os._exit(137)", MemoryError, "killed.* make the clip shorter"),
        pytest.param("import os; os.kill(os.getpid(), 9)", MemoryError, "killed", marks=needs("signals and bash")),
        ("raise MemoryError", MemoryError, "make the clip shorter"),
        ("raise RuntimeError('DefaultCPUAllocator: can\\'t allocate memory')", MemoryError, "make the clip shorter"),
        ("raise RuntimeError('DefaultCPUAllocator: not enough memory')", MemoryError, "make the clip shorter"),
    ],
)
def test_an_error_is_quoted_in_one_line_and_too_little_memory_has_its_own(code, error, words):
    with pytest.raises(error, match=words):
        peak_memory(code)
