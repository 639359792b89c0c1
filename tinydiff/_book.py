"""What nbdev does to a notebook on its way to the site; `pyproject.toml` names the two classes. Nothing in the package uses them."""

import ast, json, re
from itertools import groupby
from pathlib import Path

from fastcore.docments import DocmentTbl, docments
from fastcore.nbio import mk_cell
from nbdev.config import get_config
from nbdev.process import Processor
from nbdev.showdoc import BasicMarkdownRenderer


class Card(BasicMarkdownRenderer):
    "What `show_doc` shows of a function, whose code stands above it: its docstring and the table of its docments."

    def _repr_markdown_(self):
        text = re.sub(r"(`[^`]*`)|<(?=\w)", lambda m: m[1] or r"\<", self.docs or "")
        told = {k: v for k, v in docments(self.sym, returns=False).items() if k != "self"}
        brief = (
            len(told) > 1 and [k for k, v in told.items() if v] == list(told)[-1:]
        )  # one comment for all parameters
        table = (
            f"*Parameters:* `{', '.join(told)}`: {list(told.values())[-1]}"
            if brief
            else DocmentTbl(self.sym)._repr_markdown_()
        )
        return "\n\n".join([f"{'#' * self.title_level} {self.nm}", text, table]).replace(
            "__main__.", ""
        )


class Book(Processor):
    "Links under the title, an alternative text for each picture from its caption, and code that folds."

    def begin(self):
        cfg, cells = get_config(), self.nb.cells
        path = (
            (file := Path(self.nb.path_).resolve())
            .relative_to(cfg.config_path.resolve())
            .as_posix()
        )
        for before, cell in zip(
            cells, cells[1:]
        ):  # imports of the module, of the notebook, and settings: one block
            if is_setup(before) and is_setup(cell):
                before.source, cell.source = "", "\n".join([before.source, cell.source]).strip()
        groups = groupby((c for c in cells if c.source.strip()), lambda c: "show_doc(" in c.source)
        cells[:] = [
            c for cards, cs in groups for c in (reversed(list(cs)) if cards else cs)
        ]  # nbdev puts the last function of a cell first
        for cell, after in zip(cells, [*cells[1:], None]):
            if cell.cell_type != "code":
                continue
            picture = any(
                mime.startswith("image/")
                for o in cell.get("outputs", [])
                for mime in o.get("data", {})
            )
            if picture and not (
                after and after.cell_type == "markdown" and after.source.startswith("*")
            ):
                raise ValueError(
                    f"{path}: a picture has no caption, a paragraph in *italics* right after this cell:\n{cell.source}"
                )
            fold = (
                {"code-fold": True, "code-summary": "Code of the figure"}
                if picture
                else {"code-fold": True, "code-summary": "Set-up"}
                if is_setup(cell)
                else {"code-fold": "show", "code-summary": "Code"}
            )
            options = ({"fig-alt": plain(after.source)} if picture else {}) | (
                {} if "echo: false" in cell.source else fold
            )
            cell.source = (
                "".join(
                    f"#| {k}: {json.dumps(v, ensure_ascii=False)}\n" for k, v in options.items()
                )
                + cell.source
            )
        if file.stem == "index":
            return
        number, here = file.stem.partition("_")[0], f"blob/{cfg.branch}/{path}"
        place = (
            [f"Chapter {int(number)}" if number < "90" else "Appendix"] if number.isdigit() else []
        )
        links = [
            f"[Notebook]({cfg.git_url}/{here})",
            f"[Open in Colab](https://colab.research.google.com/github/{cfg.user}/{cfg.repo}/{here})",
        ]
        cells.insert(
            1, mk_cell("::: {.chapter-line}\n" + " · ".join(place + links) + "\n:::", "markdown")
        )


def plain(caption):
    "A caption without its markup: `*Figure: $\\sqrt{\\bar\\alpha_t}$ falls.*` becomes `sqrt(bar alpha_t) falls.`"
    text = re.sub(r"^\*(Figure|Film)[^:*]*: ", "", caption.split("\n\n")[0])
    text = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", text).replace("{", "(").replace("}", ")")
    return re.sub(r"\s+", " ", re.sub(r"[$*`]|\\[,;! ]", "", text).replace("\\", " ")).strip()


def is_setup(cell):
    if cell.cell_type != "code" or "echo: false" in cell.source:
        return False
    try:
        return all(
            isinstance(n, (ast.Import, ast.ImportFrom, ast.Try)) or "rcParams" in ast.unparse(n)
            for n in ast.parse(cell.source).body
        )
    except SyntaxError:
        return True  # a shell command or a magic, such as an installation
