"""What is on a disk when a process is killed or the power fails, at each call that syncs, moves or deletes a file."""

import os
import shutil
import stat
from collections.abc import Callable
from pathlib import Path

CALLS = ("fsync", "replace", "unlink", "mkdir", "ftruncate")


class Disk:
    """Watches the calls of `os` below a folder, and copies it before those that are chosen.

    `after_kill(n)` is where the folder is copied as it is before the n-th call: that is what a killed process leaves.
    `after_power_cut(n)` holds only what was synced before: a file's content since its last fsync, a folder's names
    since its own last one; a file that was never synced is empty.
    """

    def __init__(self, monkeypatch, root: Path, copies: Path, chosen: Callable[[int], bool]) -> None:
        self.root, self.copies, self.chosen = root, copies, chosen
        self.count, self.copying = 0, False
        self.made: list[int] = []
        self.contents: dict[int, bytes] = {}
        self.names: dict[int, dict[str, int]] = {}
        self.kept: list[int] = []  # open descriptors: no inode is used twice
        for call in CALLS:
            monkeypatch.setattr(os, call, self._watched(getattr(os, call), call))

    def after_kill(self, number: int) -> Path:
        return self.copies / f"kill-{number}"

    def after_power_cut(self, number: int) -> Path:
        return self.copies / f"power-{number}"

    def close(self) -> None:
        for descriptor in self.kept:
            os.close(descriptor)

    def _watched(self, call, name: str):
        def watched(*arguments, **keywords):
            if self.copying:
                return call(*arguments, **keywords)
            self.count += 1
            if self.chosen(self.count):
                self.copying = True
                self.made.append(self.count)
                shutil.copytree(self.root, self.after_kill(self.count))
                self._copy_durable(self.root.stat().st_ino, self.after_power_cut(self.count))
                self.copying = False
            result = call(*arguments, **keywords)
            if name == "fsync":
                self._note(arguments[0])
            return result

        return watched

    def _note(self, descriptor: int) -> None:
        facts = os.fstat(descriptor)
        self.kept.append(os.dup(descriptor))
        if stat.S_ISDIR(facts.st_mode):
            with os.scandir(descriptor) as entries:
                self.names[facts.st_ino] = {entry.name: entry.inode() for entry in entries}
        else:
            self.contents[facts.st_ino] = Path(f"/proc/self/fd/{descriptor}").read_bytes()

    def _copy_durable(self, folder: int, target: Path) -> None:
        target.mkdir()
        for name, inode in self.names.get(folder, {}).items():
            if inode in self.names or inode in self._folders():
                self._copy_durable(inode, target / name)
            else:
                (target / name).write_bytes(self.contents.get(inode, b""))

    def _folders(self) -> set[int]:
        return {path.stat().st_ino for path in self.root.rglob("*") if path.is_dir()}
