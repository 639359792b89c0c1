"""What nbdev does to a notebook on its way to the site, and before it tests one.

`pyproject.toml` names the two classes, `Book` and `Card`, and `one_thread`."""

import ast
import json
import os
import re
from configparser import ConfigParser
from itertools import groupby
from pathlib import Path

from fastcore.docments import DocmentTbl, docments
from fastcore.nbio import mk_cell
from nbdev.config import get_config
from nbdev.process import Processor
from nbdev.showdoc import BasicMarkdownRenderer


def one_thread(cells):
    "Give each worker of `nbdev-test` one thread: it runs a notebook per core."
    import torch

    os.environ.setdefault("OMP_NUM_THREADS", "1")
    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))


class Card(BasicMarkdownRenderer):
    "What `show_doc` shows of a function below its code: docstring and table of docments."

    def _repr_markdown_(self):
        text = re.sub(r"(`[^`]*`)|<(?=\w)", lambda m: m[1] or r"\<", self.docs or "")
        told = {k: v for k, v in docments(self.sym, returns=False).items() if k != "self"}
        table = one_comment(told) or DocmentTbl(self.sym)._repr_markdown_()
        parts = [f"{'#' * self.title_level} {self.nm}", text, table]
        return "\n\n".join(parts).replace("__main__.", "")


def one_comment(told):
    "Parameters that share the one comment behind the last of them, in a line; else None."
    commented = [k for k, v in told.items() if v]
    if len(told) > 1 and commented == list(told)[-1:]:
        return f"*Parameters:* `{', '.join(told)}`: {told[commented[0]]}"


class Book(Processor):
    "Links under the title, an alternative text for each picture, and code that folds."

    def begin(self):
        file = Path(self.nb.path_).resolve()
        path = file.relative_to(get_config().config_path.resolve()).as_posix()
        cells = self.nb.cells
        join_setup(cells)
        cells[:] = in_order([c for c in cells if c.source.strip()])
        for cell, after in zip(cells, [*cells[1:], None]):
            if cell.cell_type == "code":
                lines = [
                    f"#| {k}: {json.dumps(v, ensure_ascii=False)}\n"
                    for k, v in options(cell, after, path).items()
                    if f"#| {k}:" not in cell.source  # what a cell says of itself stands
                ]
                cell.source = "".join(lines) + cell.source
        if file.stem != "index":
            line = " · ".join(place(file) + links(path))
            cells.insert(1, mk_cell("::: {.chapter-line}\n" + line + "\n:::", "markdown"))


def join_setup(cells):
    "Imports of the module, of the notebook, and settings become one block."
    for before, cell in zip(cells, cells[1:]):
        if is_setup(before) and is_setup(cell):
            cell.source = "\n".join([before.source, cell.source]).strip()
            before.source = ""


def in_order(cells):
    "The cards of a cell in the order of its functions: nbdev puts the last one first."
    ordered = []
    for cards, group in groupby(cells, lambda c: "show_doc(" in c.source):
        ordered += list(group)[:: -1 if cards else 1]
    return ordered


def options(cell, after, path):
    "The Quarto options of a code cell: its fold and, for a picture, what its caption says."
    if not is_picture(cell):
        if "echo: false" in cell.source:
            return {}
        if is_setup(cell):
            return {"code-fold": True, "code-summary": "Set-up"}
        return {"code-fold": "show", "code-summary": "Code"}
    if not (after and after.cell_type == "markdown" and after.source.startswith("*")):
        caption = "no caption, a paragraph in *italics* right after this cell"
        raise ValueError(f"{path}: a picture has {caption}:\n{cell.source}")
    alt = {"fig-alt": plain(after.source)}
    if "echo: false" in cell.source:
        return alt
    return alt | {"code-fold": True, "code-summary": "Code of the figure"}


def is_picture(cell):
    data = [o.get("data", {}) for o in cell.get("outputs", [])]
    return any(mime.startswith("image/") for d in data for mime in d)


def place(file):
    number = file.stem.partition("_")[0]
    if not number.isdigit():
        return []
    return [f"Chapter {int(number)}" if number < "90" else "Appendix"]


def address():
    "The repository's, as settings.ini has it; empty until there is one."
    settings = ConfigParser(delimiters=["="])
    settings.read(get_config().config_path / "settings.ini", encoding="utf-8")
    return settings["DEFAULT"].get("repository", "").rstrip("/")


def links(path):
    "To the notebook where it is kept, and where it can be run."
    where = f"{address()}/blob/{get_config().branch}/{path}"
    if not address():
        return []
    colab = where.replace("https://github.com", "https://colab.research.google.com/github")
    return [f"[Notebook]({where})", f"[Open in Colab]({colab})"]


SIGNS = dict(alpha="α", beta="β", kappa="κ", rho="ρ", sigma="σ", varepsilon="ε", sqrt="√")
SIGNS.update(approx=" ≈ ", gg=" ≫ ", ll=" ≪ ", mid=" | ", dots="…", mathcal="")
ACCENTS = dict(bar="\u0304", hat="\u0302", tilde="\u0303")


def plain(caption):
    "A caption without its markup: `*Figure: $\\sqrt{\\bar\\alpha_t}$.*` is `√(ᾱ_t).`"
    text = re.sub(r"^\*(Figure|Film)[^:*]*: ", "", caption.split("\n\n")[0])
    text = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", text).replace("{", "(").replace("}", ")")
    text = re.sub(r"\\([a-z]{2,})( (?=\w))?", lambda m: SIGNS.get(m[1], m[0]), text)
    text = re.sub(r"\\(bar|hat|tilde) ?(\w)", lambda m: m[2] + ACCENTS[m[1]], text)
    if unknown := re.search(r"\\[a-z]+", text):
        raise ValueError(f"nbs/book.py cannot say {unknown[0]}, in the caption {caption:.60}")
    text = re.sub(r"\s+", " ", re.sub(r"[$*`]|\\[,;! ]", "", text).replace("\\", " ")).strip()
    return text if caption.startswith("*Figure: $") else text[:1].upper() + text[1:]


def is_setup(cell):
    "Only imports and settings, or something that is not Python: an installation, a magic."
    if cell.cell_type != "code" or "echo: false" in cell.source:
        return False
    try:
        body = ast.parse(cell.source).body
    except SyntaxError:
        return True
    kinds = ast.Import, ast.ImportFrom, ast.Try
    return all(isinstance(n, kinds) or "rcParams" in ast.unparse(n) for n in body)
