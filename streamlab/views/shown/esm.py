"""The panel's view as the one ES module that anywidget takes, joined from the parts in ``view/``.

The parts are ES modules which Node.js and a browser can import as they are. There is no build step: they are joined
when the panel is imported. So an import is written ``import { a, b } from "./part.mjs";`` without ``as``, a name is
exported where it is declared, only the main part has a default export, and no two parts declare the same name.
"""

from __future__ import annotations

import re
from pathlib import Path

_IMPORT = re.compile(r'^import \{\s*\w+(?:,\s*\w+)*,?\s*\} from "\./(\w+\.mjs)";\n', re.MULTILINE)
_EXPORT = re.compile(r"^export (?=(?:const|class|function) )", re.MULTILINE)
_LEFT_OVER = re.compile(r"^(?:import|export)\b.*", re.MULTILINE)


def bundle(main: Path) -> str:
    """Return the text of a module joined with all that it imports: each part once, before what needs it.

    Raises
    ------
    ValueError
        If an import or export is written in another way than the parts' are.
    """
    return "\n".join(_parts(main, set(), is_main=True))


def _parts(path: Path, done: set[Path], *, is_main: bool = False) -> list[str]:
    if path in done:
        return []
    done.add(path)
    text = path.read_text("utf-8")
    parts = [part for name in _IMPORT.findall(text) for part in _parts(path.parent / name, done)]
    text = _EXPORT.sub("", _IMPORT.sub("", text))
    for line in _LEFT_OVER.findall(text):
        if not (is_main and line.startswith("export default ")):
            raise ValueError(f"{path.name}: cannot join {line!r} with the other parts of the view")
    return [*parts, f"// ---- {path.name}\n{text}"]
