"""One picture of a split: samples of every class in every split, and the copies found."""

from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from pipeline.common.images import decode, resize
from pipeline.common.tables import USED_SPLITS, Assigned
from pipeline.split.audit import DuplicateGroup

TILE = 96  # pixels a side of an image
GAP = 6
MARGIN = 28
LABELS = 190  # pixels wide, left of the samples
SAMPLES = 12
COLUMNS = 6  # of groups of copies
SHOWN_GROUPS = 30
SHOWN_CLASSES = 10
SHOWN_MEMBERS = 2
LINE = 20  # pixels high
HEADING_END = MARGIN + 2 * LINE + GAP
WIDTH = 2 * MARGIN + LABELS + SAMPLES * (TILE + GAP) - GAP
CARD_WIDTH = (WIDTH - 2 * MARGIN - SHOWN_MEMBERS * (TILE + GAP) + GAP) // (COLUMNS - 1)
CARD_HEIGHT = TILE + 3 * LINE

INK, GREY, ALARM, PAPER = "#1c2330", "#667080", "#b3261e", "#ffffff"


def contact_sheet(
    folder: Path, rows: Sequence[Assigned], classes: Sequence[str], groups: Sequence[DuplicateGroup]
) -> Image.Image:
    """Compose the picture.

    Args:
        folder: The folder below which the images lie.
        rows: Every image's class and split.
        classes: Names of the classes, in their order; the first ten are shown.
        groups: The groups of copies; conflicting ones are shown first, then near-duplicates.

    Returns:
        An RGB image, 1,464 pixels wide.
    """
    pairs = [(split, name) for split in USED_SPLITS for name in classes[:SHOWN_CLASSES]]
    shown = sorted(groups, key=lambda group: (not _conflicting(group), group["kind"] == "exact"))
    shown = shown[:SHOWN_GROUPS]
    groups_at = HEADING_END + len(pairs) * (TILE + GAP) + LINE
    height = groups_at + 2 * LINE + -(-len(shown) // COLUMNS) * CARD_HEIGHT + MARGIN
    sheet = Image.new("RGB", (WIDTH, height), PAPER)
    _write(sheet, (MARGIN, MARGIN), f"{len(rows):,} images in three splits", size=24)
    for index, (split, name) in enumerate(pairs):
        chosen = [row for row in rows if (row.split, row.label) == (split, name)]
        _paste_samples(sheet, HEADING_END + index * (TILE + GAP), folder, chosen)
    _write(sheet, (MARGIN, groups_at), _title(groups, shown), size=24)
    for index, group in enumerate(shown):
        line, column = divmod(index, COLUMNS)
        place = (MARGIN + column * CARD_WIDTH, groups_at + 2 * LINE + line * CARD_HEIGHT)
        _paste_group(sheet, place, folder, group)
    return sheet


def _paste_samples(sheet: Image.Image, top: int, folder: Path, rows: Sequence[Assigned]) -> None:
    """A line of samples, with its title to the left."""
    if not rows:
        return
    middle = top + TILE // 2
    _write(sheet, (MARGIN, middle - LINE), rows[0].split, size=15, ink=GREY)
    _write(sheet, (MARGIN, middle), rows[0].label, size=18)
    _write(sheet, (MARGIN, middle + LINE), f"{len(rows):,} images", size=15, ink=GREY)
    # The names of groups come from hashes of content: their order is a fair draw that stays.
    one_of_each = {row.group: row.image for row in sorted(rows, reverse=True)}
    chosen = [one_of_each[group] for group in sorted(one_of_each)[:SAMPLES]]
    _paste_tiles(sheet, (MARGIN + LABELS, top), folder, chosen)


def _paste_group(
    sheet: Image.Image, at: tuple[int, int], folder: Path, group: DuplicateGroup
) -> None:
    """The first images of a group, with what is known of it below."""
    left, top = at
    images = group["images"]
    _paste_tiles(sheet, at, folder, list(images)[:SHOWN_MEMBERS])
    labels = " / ".join(sorted(set(images.values())))
    ink = ALARM if _conflicting(group) else INK
    _write(sheet, (left, top + TILE + 2), labels, size=14, ink=ink)
    facts = f"{len(images)} {group['kind']}, {group['split']}"
    _write(sheet, (left, top + TILE + LINE), facts, size=14, ink=GREY)


def _paste_tiles(
    sheet: Image.Image, at: tuple[int, int], folder: Path, names: Sequence[str]
) -> None:
    left, top = at
    for index, name in enumerate(names):
        pixels = resize(decode((folder / name).read_bytes(), name), TILE)
        sheet.paste(Image.fromarray(pixels), (left + index * (TILE + GAP), top))


def _write(
    sheet: Image.Image, at: tuple[int, int], text: str, *, size: int, ink: str = INK
) -> None:
    ImageDraw.Draw(sheet).text(at, text, ink, ImageFont.load_default(size))


def _conflicting(group: DuplicateGroup) -> bool:
    return len(set(group["images"].values())) > 1


def _title(groups: Sequence[DuplicateGroup], shown: Sequence[DuplicateGroup]) -> str:
    if not groups:
        return "No copies found"
    conflicts = sum(_conflicting(group) for group in groups)
    title = f"{len(groups):,} groups of copies, {conflicts:,} with conflicting labels"
    return title if len(groups) == len(shown) else f"{title}; the first {len(shown)}"
