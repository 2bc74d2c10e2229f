"""Rows of an export that cannot be used to one error that names them all, and a file that lists them."""

import csv
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from dobble.errors import BadRowsError, ExportError, PhotoError, RowProblem
from dobble.files import replaced_file

_SHOWN = 20


class BadRows:
    """Gathers what is wrong with rows, so that all of it is told at once."""

    def __init__(self, source: Path | str, out: Path, cure: str) -> None:
        """Begin with none.

        Args:
            source: the export, as errors shall name it.
            out: what is made of it; the list lies beside that as `<out>-problems.csv`.
            cure: what to do about such rows.
        """
        self.listed = out.with_name(f"{out.name}-problems.csv")
        self._source, self._cure = source, cure
        self._problems: list[RowProblem] = []

    def add(self, error: ExportError | PhotoError, row: int | None = None, photo: str = "") -> None:
        """Note an error of a row; what the error itself does not say is given beside it.

        Raises:
            ExportError: as given, if it is of no row but of the whole export.
        """
        if isinstance(error, ExportError):
            row, photo = error.row or row, error.photo or photo
        if row is None:
            raise error
        self._problems.append(RowProblem(row, photo, error.problem))

    @contextmanager
    def noted(self, row: int, photo: str = "") -> Iterator[None]:
        """Note what the block raises about a row or its photo."""
        try:
            yield
        except (ExportError, PhotoError) as error:
            self.add(error, row, photo)

    def settle(self, *, skip: bool) -> tuple[RowProblem, ...]:
        """Write the list and give its lines; without problems there is no list.

        Raises:
            BadRowsError: if there are problems, and such rows are not to be skipped.
        """
        problems = sorted(self._problems)
        if not problems:
            with suppress(FileNotFoundError, NotADirectoryError):
                self.listed.unlink()
            return ()
        with replaced_file(self.listed) as side, side.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(RowProblem._fields)
            writer.writerows(problems)
        if not skip:
            rows = "1 row" if len(problems) == 1 else f"{len(problems)} rows"
            table = "\n".join(shown(problems))
            said = f"{self._source}: {rows} cannot be used (listed in {self.listed}): {self._cure}"
            raise BadRowsError(f"{said}\n{table}", tuple(problems), self.listed)
        return tuple(problems)


def shown(problems: Sequence[RowProblem]) -> list[str]:
    """Give a line for each problem, up to twenty, and one that says how many more there are."""
    first = problems[:_SHOWN]
    width = max((len(problem.photo) for problem in first), default=0)
    lines = [f"  row {problem.row:<4} {problem.photo:<{width}}  {problem.problem}" for problem in first]
    more = len(problems) - len(first)
    return [*lines, f"  … and {more} more"] if more else lines
