"""Read and write tables as CSV, and the columns of the two tables that stages hand on.

`labels.csv`, which `fetch` writes, has a row for each image:

| column | holds |
|---|---|
| image | POSIX path below the folder of images |
| label | name of the class |
| split | where the publisher put it: `train`, `validation`, `test`, or empty |
| sha256 | SHA-256 of the file's bytes, in hexadecimal |

`split.csv`, which `split` writes, has the same images and labels:

| column | holds |
|---|---|
| split | `train`, `validation`, `test` or `dropped` |
| group | shared by an image and its duplicates; derived from the content of one of them |
| fold | number of its fold, from 0; empty for test and dropped images, and without folds |

Both are sorted by image, and every value is text: read them with `read_table(..., text=True)`.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal, get_args

import pandas as pd

from pipeline.common.errors import BluelightError
from pipeline.common.files import atomic_write_text

Split = Literal["train", "validation", "test", "dropped"]
SPLITS: tuple[Split, ...] = get_args(Split)
USED_SPLITS: tuple[Split, ...] = ("train", "validation", "test")

LABEL_COLUMNS = ("image", "label", "split", "sha256")
SPLIT_COLUMNS = ("image", "label", "split", "group", "fold")


def write_table(path: Path, table: pd.DataFrame) -> None:
    """Write a table as CSV: UTF-8, a line of column names, line feeds, no index.

    Floats are written with the digits that identify them; round them first where a file is
    tracked by git (`pipeline.common.files.DIGITS`).
    """
    atomic_write_text(path, table.to_csv(index=False, lineterminator="\n"))


def read_table(path: Path, columns: Sequence[str] = (), *, text: bool = False) -> pd.DataFrame:
    """Read what `write_table` wrote.

    Args:
        path: The file.
        columns: The columns that it must have, in this order; empty for any.
        text: Read every value as text; empty cells are then empty strings. Otherwise pandas
            chooses the types.

    Returns:
        The table.

    Raises:
        BluelightError: The file is missing, is not a CSV file, or has other columns.
    """
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False) if text else pd.read_csv(path)
    except FileNotFoundError:
        raise BluelightError(f"{path} not found; `dvc repro` makes it") from None
    except (ValueError, pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        reason = " ".join(str(error).split())
        raise BluelightError(
            f"{path} is damaged ({reason}); delete it and run `dvc repro`"
        ) from None
    if columns and list(table.columns) != list(columns):
        raise BluelightError(
            f"{path} is damaged (its columns must be {','.join(columns)}); delete it and run "
            "`dvc repro`"
        )
    return table
