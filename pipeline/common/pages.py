"""Templates of the pages that people read: Markdown and self-contained HTML."""

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape


def template_environment(package: str) -> Environment:
    """Make the environment of a package's `templates/`, given its dotted name.

    Text is escaped in `.html.j2`. A name that the content lacks is an error.
    """
    return Environment(
        loader=PackageLoader(package, "templates"),
        autoescape=select_autoescape(["html.j2"], default=False),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
