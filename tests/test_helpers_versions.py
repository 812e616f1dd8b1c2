import sys

import pytest

from helpers import versions


@pytest.fixture
def installed(monkeypatch):
    """Makes one library have another version, or none."""
    real = versions.version

    def change(name, found):
        def version(wanted):
            if wanted != name:
                return real(wanted)
            if found is None:
                raise versions.PackageNotFoundError(name)
            return found

        monkeypatch.setattr(versions, "version", version)

    return change


@pytest.mark.parametrize(("found", "words"), [(None, "is not installed"), ("0.1", "0.1 is too old for the course")])
def test_a_library_that_is_missing_or_too_old(installed, found, words):
    installed("diffusers", found)
    with pytest.raises(ImportError, match=f"diffusers {words}.*%pip install.*{sys.executable}"):
        versions.check_versions()


def test_without_ipywidgets_the_course_goes_on(installed):
    installed("ipywidgets", None)
    versions.check_versions()


def test_a_library_that_is_newer_is_only_warned_of(installed):
    installed("torch", "99.0")
    with pytest.warns(UserWarning, match="torch 99.0 is newer"):
        versions.check_versions()


def test_a_list_without_libraries_is_refused(monkeypatch, tmp_path):
    (tmp_path / "pyproject.toml").write_text("[project]\ndependencies = []\noptional-dependencies = {}\n")
    monkeypatch.setattr(versions, "PYPROJECT", tmp_path / "pyproject.toml")
    with pytest.raises(ValueError, match="lists no libraries"):
        versions.requirements()
