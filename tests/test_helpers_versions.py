import sys

import pytest

from helpers import versions


def none(name):
    raise versions.PackageNotFoundError(name)


@pytest.mark.parametrize(
    ("version", "words"), [(none, "is not installed"), (lambda name: "0.1", "0.1 is too old for the course")]
)
def test_a_library_that_is_missing_or_too_old(monkeypatch, version, words):
    monkeypatch.setattr(versions, "version", version)
    with pytest.raises(ImportError, match=f"torch {words}.*%pip install.*{sys.executable}"):
        versions.check_versions()


def test_a_library_that_is_newer_is_only_warned_of(monkeypatch):
    monkeypatch.setattr(versions, "version", lambda name: "99.0")
    with pytest.warns(UserWarning, match="torch 99.0 is newer"):
        versions.check_versions()


def test_a_list_without_libraries_is_refused(monkeypatch, tmp_path):
    (tmp_path / "pyproject.toml").write_text("[project]\ndependencies = []\noptional-dependencies = {}\n")
    monkeypatch.setattr(versions, "PYPROJECT", tmp_path / "pyproject.toml")
    with pytest.raises(ValueError, match="lists no libraries"):
        versions.requirements()
