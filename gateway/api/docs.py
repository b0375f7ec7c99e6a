"""The API page at ``/docs``: Swagger UI from the installed bundle, so that it opens offline.

The bundle reads OpenAPI 3.0 only, so the page gets the same document said in the older words;
``/openapi.json`` stays the real one.

The document takes as long to make as everything else of a start, and most processes are never asked
for it: it is made in a thread when somebody first is.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from gateway.errors import StartError

Json = dict[str, Any]

_ASSETS = {
    "swagger-ui.css": b"text/css",
    "swagger-ui-bundle.js": b"text/javascript",
    "favicon-32x32.png": b"image/png",
}

_PAGE = b"""\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>Tallygate API</title>
<link rel="icon" href="/docs/favicon-32x32.png">
<link rel="stylesheet" href="/docs/swagger-ui.css">
</head>
<body>
<div id="page"></div>
<script src="/docs/swagger-ui-bundle.js"></script>
<script>
SwaggerUIBundle({url: "/docs/openapi.json", dom_id: "#page", deepLinking: true});
</script>
</body>
</html>
"""


PATHS = ("/openapi.json", "/docs", "/docs/openapi.json", *(f"/docs/{name}" for name in _ASSETS))
"""Where the files are."""


class File(NamedTuple):
    """A file as it is served."""

    media_type: bytes
    body: bytes


class Files:
    """Everything the page needs, made once."""

    def __init__(self, document: Callable[[], Json]) -> None:
        """Keep how the document is made. Raises ``StartError`` without the bundle."""
        self._document = document
        self._folder = _bundle()
        self._files: dict[str, File] = {}
        self._making = asyncio.Lock()

    async def at(self, path: str) -> File:
        """Return the file of one of ``PATHS``."""
        async with self._making:
            if not self._files:
                self._files = await asyncio.to_thread(_files, self._document, self._folder)
        return self._files[path]


def _files(document: Callable[[], Json], folder: Path) -> dict[str, File]:
    made = document()
    served = {
        "/openapi.json": File(b"application/json", msgspec.json.encode(made)),
        "/docs": File(b"text/html; charset=utf-8", _PAGE),
    }
    for name, media_type in _ASSETS.items():
        served[f"/docs/{name}"] = File(media_type, (folder / name).read_bytes())
    older = {**say_in_3_0(made), "openapi": "3.0.3"}
    older["info"]["license"].pop("identifier")  # 3.1 only
    served["/docs/openapi.json"] = File(b"application/json", msgspec.json.encode(older))
    return served


def say_in_3_0(value: Any) -> Any:  # noqa: ANN401 - any JSON value
    """Return a 3.1 document, or a part of one, with ``null`` types written the way of 3.0."""
    if isinstance(value, list):
        return [say_in_3_0(element) for element in value]
    if not isinstance(value, dict):
        return value
    said = {key: say_in_3_0(element) for key, element in value.items()}
    choices = said.get("anyOf")
    if isinstance(choices, list) and {"type": "null"} in choices:
        said["nullable"] = True
        said["anyOf"] = [choice for choice in choices if choice != {"type": "null"}]
    return said


def _bundle() -> Path:
    # The package is located, not imported: importing it imports what a server needs, not we.
    spec = find_spec("swagger_ui_bundle")
    if spec is None or spec.origin is None:
        raise StartError("the package swagger-ui-bundle is missing from this installation")
    folders = sorted(Path(spec.origin).parent.glob("vendor/swagger-ui-*"))
    if not folders:
        raise StartError("the package swagger-ui-bundle holds no scripts")
    return folders[-1]
