"""fetch: bring the images home, checked, with one normalised table of labels."""

from pipeline.common import paths
from pipeline.common.files import read_json
from pipeline.common.params import Params
from pipeline.fetch.fetching import fetch
from pipeline.fetch.watching import watch


def run(params: Params) -> None:
    """Write `data/raw` from the source named in params, and point `data/source` at it."""
    local = fetch(params.fetch, params.synthetic, paths.RAW)
    watch(params.fetch.source, local, paths.SOURCE)
    manifest = read_json(paths.RAW_MANIFEST)
    counts = ", ".join(f"{count:,} {name}" for name, count in manifest["counts"].items())
    print(f"fetch: {manifest['images']:,} images from {manifest['source']}: {counts}")
