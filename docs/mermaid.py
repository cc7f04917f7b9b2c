"""MkDocs hook: the site brings the library of its diagrams, where `make docs` got it from npm.

Without it the theme takes the library from a CDN, and a machine without internet shows their text.
"""

from __future__ import annotations

from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

_PACKAGE = Path(__file__).parents[1] / "build" / "mermaid" / "package"
_PLACES = {
    "javascripts/mermaid.js": _PACKAGE / "dist" / "mermaid.tiny.js",
    "javascripts/mermaid_licence.txt": _PACKAGE / "LICENSE",
}


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the library and its licence to the site."""
    if all(path.is_file() for path in _PLACES.values()):
        for name, path in _PLACES.items():
            files.append(File.generated(config, name, abs_src_path=str(path)))
        config.extra_javascript.append("javascripts/mermaid.js")
    return files
