"""Which files are a run's own, so that saving writes over nothing else."""

from pathlib import Path

from cllm_lib.training.checkpoint import previous

ENDING = ".safetensors"
BASE = f"dashboard{ENDING}"  # of the names that are given where none is


class NotOurs(ValueError):
    """What would be written over is not this run's own checkpoint."""


class Kept:
    """The checkpoints that one run wrote or was read from, each as it was then."""

    def __init__(self):
        self._looks = {}

    def note(self, path):
        """Remember a checkpoint that was written or read just now, and the one before it, which stays beside it."""
        for each in (path, *_before(path)):
            if Path(each).is_file():
                self._looks[Path(each).resolve()] = _look(each)

    def check(self, path):
        """Say if saving there would write over something that is not this run's own.

        Raises
        ------
        NotOurs
            With a sentence that says what.
        """
        if not Path(path).exists():
            return
        if not self._is_own(path):
            raise NotOurs(f"{path} is there already, and is no checkpoint of this run; it stays as it is.")
        for each in _before(path):
            if each.exists() and not self._is_own(each):
                raise NotOurs(f"{each}, where the checkpoint before would go, is no checkpoint of this run; it stays as it is.")

    def _is_own(self, path):
        return self._looks.get(Path(path).resolve()) == _look(path)


def free_name(path=BASE):
    """A name like that of `path`, in the same folder, where nothing is: "x.safetensors", "x-2.safetensors", ...

    Returns
    -------
    Path
    """
    path, number = Path(path), 1
    stem = path.stem
    while True:
        name = path.with_name(f"{stem}-{number}{ENDING}" if number > 1 else f"{stem}{ENDING}")
        if not any(each.exists() or each.is_symlink() for each in (name, *_before(name))):
            return name
        number += 1


def newest(folder="."):
    """The dashboard's checkpoint that was written last, among those with names that were given here; None without one."""
    pattern = f"{Path(BASE).stem}*{ENDING}"
    found = [path for path in Path(folder).glob(pattern) if path.is_file() and not path.stem.endswith(".previous")]
    return max(found, key=lambda path: path.stat().st_mtime_ns, default=None)


def _before(path):
    """Where the checkpoint before goes: beside the name, or beside the file that the name leads to."""
    return {previous(path), previous(Path(path).resolve())}


def _look(path):
    """What changes when somebody writes to a file."""
    found = Path(path).stat()
    return found.st_ino, found.st_size, found.st_mtime_ns
