"""Count modules, lines, function lengths and private helpers that are used once.

    python benchmarks/structure.py [FOLDER]

FOLDER is `pipeline` by default. Modules below `pipeline/dataset/synthetic` are left out, so that
older commits can be compared: the drawn scenes were there before they became a separate package.
"""

import ast
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from statistics import median

LEFT_OUT = "dataset/synthetic"


def main(folder: Path) -> None:
    """Print the counts of one folder."""
    modules = [path for path in sorted(folder.rglob("*.py")) if LEFT_OUT not in path.as_posix()]
    sources = [path.read_text(encoding="utf-8") for path in modules]
    trees = [ast.parse(source) for source in sources]
    functions = [function for tree in trees for function in _functions(tree)]
    private = [f.name for f in functions if f.name.startswith("_") and not f.name.startswith("__")]
    used = Counter(
        node.id if isinstance(node, ast.Name) else node.attr
        for tree in trees
        for node in ast.walk(tree)
        if isinstance(node, ast.Name | ast.Attribute)
    )
    once = [name for name in private if used[name] <= 1]
    lengths = [(function.end_lineno or 0) - function.lineno + 1 for function in functions]
    print(f"{len(modules)} modules, {sum(source.count(chr(10)) for source in sources):,} lines")
    print(f"{len(functions)} functions, median length {median(lengths):g} lines")
    print(f"{len(private)} private functions, {len(once)} of them used once")


def _functions(tree: ast.AST) -> Iterator[ast.FunctionDef]:
    return (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef))


if __name__ == "__main__":
    main(Path(*sys.argv[1:] or ["pipeline"]))
