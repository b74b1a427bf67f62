"""A ``dynwork submit`` that can be resumed: what was wanted, in a file that is there until the command has ended well.

Each file is handed in under a key made of the run's name and its place. Resuming hands everything in once more, under
the same keys: what is known already is not done twice, and its result is told. What retention has deleted meanwhile is
no longer known, and done anew.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Self

from pydantic import BaseModel, ConfigDict

from dynwork.cli.folders import Found, is_given
from dynwork.client import Digest, Work, sha512_of
from dynwork.errors import ConfigurationError, InvalidInputError
from dynwork.files import replace_text
from dynwork.kinds import DEFAULT_KIND


class Entry(BaseModel):
    """One file; ``sha512``: of what cannot be read twice, like a pipe; ``left_out``: why it is not handed in at all."""

    model_config = ConfigDict(frozen=True)

    file: str
    sha512: str | None = None
    left_out: str | None = None

    @classmethod
    def of(cls, found: Found, kind: str) -> Self:
        """Note a file. Raises ``InvalidInputError`` for one that cannot be read again when it has to be."""
        file = found.path
        if found.trouble or (file.is_file() and not is_given(file)):
            return cls(file=str(file.absolute()), left_out=found.trouble)
        if kind != DEFAULT_KIND:
            raise InvalidInputError(f"{file} can be read only once: for the kind {kind}, write it to a file first")
        return cls(file=str(file), sha512=sha512_of(file))


class Run(BaseModel):
    """What was wanted. ``cursor``: where the results feed was before the first file was handed in, if they matter."""

    model_config = ConfigDict(frozen=True)

    name: str
    iterations: int
    priority: int
    kind: str
    wait: bool
    cursor: str | None = None
    entries: list[Entry]

    def works(self) -> dict[int, Work]:
        """Return the works by their places among the entries, in that order."""
        return {
            place: Work(
                Digest(entry.sha512) if entry.sha512 else Path(entry.file),
                self.iterations,
                self.priority,
                self.kind,
                f"{self.name}/{place}",
            )
            for place, entry in enumerate(self.entries)
            if not entry.left_out
        }


class Runs:
    """The runs that have not ended well, in a folder."""

    def __init__(self, data_dir: Path) -> None:
        self._folder = data_dir / "runs"

    def begin(self, run: Run) -> None:
        """Write ``run`` down; it is on disk when this returns."""
        self._folder.mkdir(parents=True, exist_ok=True)
        # By json and not by pydantic: a name of a file may hold bytes that are no UTF-8.
        replace_text(self._path(run.name), json.dumps(run.model_dump()))

    def find(self, name: str) -> Run:
        """Return the run of this name. Raises ``ConfigurationError``."""
        path = self._path(name)
        try:
            return Run.model_validate(json.loads(path.read_bytes()))
        except FileNotFoundError:
            raise ConfigurationError(f"there is no run {name} to be resumed in {self._folder}") from None
        except ValueError:  # pydantic's ValidationError is one too
            raise ConfigurationError(f"{path} cannot be understood") from None

    def end(self, run: Run) -> None:
        """Forget ``run``: it has ended well."""
        self._path(run.name).unlink(missing_ok=True)

    def _path(self, name: str) -> Path:
        return self._folder / f"{Path(name).name}.json"
