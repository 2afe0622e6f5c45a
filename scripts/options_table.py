# SPDX-License-Identifier: Apache-2.0
"""Writes the table of docs/operate/configuration.md from the table of options."""

from pathlib import Path

from keyquorum.config.options import GROUPS

PAGE = Path(__file__).resolve().parent.parent / "docs" / "operate" / "configuration.md"
MARK = "<!-- made by `make docs` from the table of options -->\n"


def table() -> str:
    lines = []
    for heading, group in GROUPS.items():
        lines += ["", f"### {heading}", "", "| option | is | by default | |", "| --- | --- | --- | --- |"]
        for option in group:
            default = option.shown_default()
            cells = (f"`{option.name}`", option.kind.expects, default or "", option.help)
            lines.append(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |")
    return "\n".join(lines) + "\n"


def page() -> str:
    return PAGE.read_text(encoding="utf-8").partition(MARK)[0] + MARK + table()


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
