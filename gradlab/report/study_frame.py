"""The frame of a study in Python: one row per run, and the report of the runs whose rows it has."""

from collections.abc import Callable

import pandas as pd

from gradlab.analysis.study import study_frame
from gradlab.recipe.errors import RecipeError
from gradlab.report.html.notebook import Report, report
from gradlab.store.read import Paths


class StudyFrame(pd.DataFrame):
    """A data frame with one row per run; a selection of its rows is one, too: `study[study.depth > 20].report()`."""

    @property
    def _constructor(self) -> Callable[..., "StudyFrame"]:
        return StudyFrame

    def report(self) -> Report:
        """The page that `gradlab report` writes of these runs, which a notebook shows.

        Raises:
            RecipeError: the frame has no column `folder` or no rows, or none of its runs can be read.
        """
        if "folder" not in self or self.empty:
            raise RecipeError("a report is made of rows that have the column 'folder'; this frame has none")
        return report([str(folder) for folder in self["folder"]])


def study(paths: Paths) -> StudyFrame:
    """The rows of all runs at and below the paths, one per run (see `gradlab.analysis.study.study_frame`).

    Raises:
        RecipeError: one of the paths is not a folder.
    """
    return StudyFrame(study_frame(paths))
