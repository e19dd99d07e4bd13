"""A crash leaves the old file or the new one."""

from __future__ import annotations

import errno
import subprocess
import sys

import pytest

from carezoo.errors import InputError
from carezoo.files.atomic import replacing


def test_the_new_file_appears_when_the_block_ends(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("old")
    with replacing(path) as temporary:
        assert temporary.parent == tmp_path
        assert temporary.name.endswith(".a.csv")
        temporary.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, ValueError])
def test_any_exception_leaves_the_old_file(tmp_path, error):
    path = tmp_path / "a.csv"
    path.write_text("old")

    def write_half():
        with replacing(path) as temporary:
            temporary.write_text("half")
            raise error

    with pytest.raises(error):
        write_half()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_that_fails_verification_is_removed(tmp_path):
    def verify(written):
        assert written.read_text() == "bad"
        raise ValueError("not what it should be")

    with pytest.raises(ValueError, match="not what"), replacing(tmp_path / "a.csv", verify=verify) as temporary:
        temporary.write_text("bad")
    assert not list(tmp_path.iterdir())


def test_missing_folder_and_folder_as_name(tmp_path):
    with pytest.raises(InputError, match=r"folder .*nowhere does not exist"), replacing(tmp_path / "nowhere" / "a.csv"):
        pass
    with pytest.raises(InputError, match="is a folder; give the name of a file"), replacing(tmp_path):
        pass


@pytest.mark.parametrize("code", [errno.EACCES, errno.EROFS])
def test_folder_that_cannot_be_written(tmp_path, monkeypatch, code):
    """Root may write anywhere, so the system's answer is put in its mouth."""

    def refuse(self, mode="r", *arguments, **options):
        raise OSError(code, "Permission denied", str(self))

    monkeypatch.setattr("pathlib.Path.open", refuse)
    message = r"cannot write .*a\.csv: Permission denied.*another folder"
    with pytest.raises(InputError, match=message), replacing(tmp_path / "a.csv"):
        pytest.fail("the block was entered")


def test_disk_that_fills_up_while_writing(tmp_path):
    """The real thing: the system stops the file at 64 KiB."""
    resource = pytest.importorskip("resource", reason="needs a system that can limit the size of a file")
    script = (
        "import sys; from carezoo.files.atomic import replacing\n"
        "with replacing(sys.argv[1]) as temporary:\n"
        "    with temporary.open('wb') as file:\n"
        "        file.write(bytes(2**20))\n"
    )
    path = tmp_path / "a.bin"
    path.write_text("old")
    finished = subprocess.run(
        [sys.executable, "-c", script, str(path)],
        capture_output=True,
        text=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (2**16, 2**16)),
    )
    assert finished.returncode == 1
    assert "InputError: cannot write" in finished.stderr
    assert "File too large" in finished.stderr
    assert list(tmp_path.iterdir()) == [path]
    assert path.read_text() == "old"


def test_errors_at_other_files_keep_their_own_words(tmp_path):
    with pytest.raises(FileNotFoundError, match="input"), replacing(tmp_path / "a.csv"):
        (tmp_path / "input").read_bytes()
    assert not list(tmp_path.iterdir())
