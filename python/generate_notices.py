"""Writes THIRD-PARTY-NOTICES.txt: the licences of all that is compiled into the wheel. `--check` says whether it is
that of Cargo.lock."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
FILE = HERE / "THIRD-PARTY-NOTICES.txt"
#: What wheels are made for.
PLATFORMS = ("x86_64-unknown-linux-gnu", "aarch64-unknown-linux-gnu")
RULE = "=" * 100

HEAD = """\
metron-sim is licensed under the Apache License 2.0 (LICENSE.txt). What follows is compiled into its wheel, or into
the pages that it writes, and comes from others.
"""

MIT = """\
Permission is hereby granted, free of charge, to any person obtaining a copy of this software and associated
documentation files (the "Software"), to deal in the Software without restriction, including without limitation the
rights to use, copy, modify, merge, publish, distribute, sublicense, and/or sell copies of the Software, and to permit
persons to whom the Software is furnished to do so, subject to the following conditions:

The above copyright notice and this permission notice shall be included in all copies or substantial portions of the
Software.

THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR IMPLIED, INCLUDING BUT NOT LIMITED TO THE
WARRANTIES OF MERCHANTABILITY, FITNESS FOR A PARTICULAR PURPOSE AND NONINFRINGEMENT. IN NO EVENT SHALL THE AUTHORS OR
COPYRIGHT HOLDERS BE LIABLE FOR ANY CLAIM, DAMAGES OR OTHER LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR
OTHERWISE, ARISING FROM, OUT OF OR IN CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE SOFTWARE.
"""


def linked() -> list[dict[str, Any]]:
    """The crates of others whose code is in the wheel: no build scripts, no macros, no tests."""
    command = ["cargo", "metadata", "--locked", "--format-version=1"]
    command += [f"--filter-platform={platform}" for platform in PLATFORMS]
    told = json.loads(subprocess.run(command, cwd=HERE, check=True, stdout=subprocess.PIPE).stdout)
    crates = {crate["id"]: crate for crate in told["packages"]}
    needs = {node["id"]: node["deps"] for node in told["resolve"]["nodes"]}
    found: set[str] = set()
    left = [told["resolve"]["root"]]
    while left:
        one = left.pop()
        is_macro = any("proc-macro" in target["kind"] for target in crates[one]["targets"])
        if one in found or is_macro:
            continue
        found.add(one)
        left += [dep["pkg"] for dep in needs[one] if any(kind["kind"] is None for kind in dep["dep_kinds"])]
    others = [crates[one] for one in found if crates[one]["source"] is not None]
    return sorted(others, key=lambda crate: (crate["name"], crate["version"]))


def expression(crate: dict[str, Any]) -> str:
    """Its licences, as SPDX writes them."""
    given: str | None = crate["license"]
    # As deny.toml has it: its manifest names a file.
    return "MIT" if crate["name"] == "cobyla" else (given or "").replace("/", " OR ")


def is_apache(licences: str) -> bool:
    """Whether the Apache License alone allows its use."""
    return any(choice.strip(" ()") == "Apache-2.0" for choice in licences.split(" OR "))


def texts(crate: dict[str, Any], begins: tuple[str, ...]) -> Iterator[str]:
    """What its files of such names say."""
    folder = Path(crate["manifest_path"]).parent
    files = sorted(file for file in folder.iterdir() if file.name.upper().startswith(begins))
    for file in files:
        # Where both are offered MIT is taken.
        if "Unlicense" in expression(crate) and "MIT" not in file.name:
            continue
        text = file.read_text(encoding="utf-8").replace("\r\n", "\n").replace("\f", "")
        yield "\n".join(line.rstrip() for line in text.splitlines()).strip("\n")


def licences_of(crate: dict[str, Any]) -> list[str]:
    """The texts that have to come with it."""
    found = list(texts(crate, ("LICEN", "COPYING")))
    if found:
        return found
    if expression(crate) != "MIT" or not crate["authors"]:
        raise SystemExit(f"{crate['name']} comes without its licence: {expression(crate)}")
    return [f"MIT License\n\nCopyright (c) {', '.join(crate['authors'])}\n\n{MIT.strip()}"]


def titled(names: list[str], text: str) -> str:
    return f"{RULE}\n{', '.join(names)}\n\n{text}\n"


def notices() -> str:
    """The whole file."""
    apache = ["the Rust standard library"]
    notes: dict[str, list[str]] = defaultdict(list)
    own: dict[str, list[str]] = defaultdict(list)
    for crate in linked():
        name = f"{crate['name']} {crate['version']}"
        for text in texts(crate, ("NOTICE",)):
            notes[text].append(name)
        if is_apache(expression(crate)):
            apache.append(name)
            continue
        for text in licences_of(crate):
            own[text].append(name)
    for folder, name in (("uplot", "uPlot"), ("xz-decompress", "xz-decompress")):
        page = (HERE.parent / "web" / "vendor" / folder / "LICENSE").read_text(encoding="utf-8").strip()
        own[page].append(name)
    listed = "\n".join(f"    {name}" for name in apache)
    parts = [HEAD, f"Under the Apache License 2.0, whose text is in LICENSE.txt, are\n\n{listed}\n"]
    parts += ["Some of them come with a notice, and these are under other licences:\n"]
    parts += [titled(names, text) for text, names in [*notes.items(), *own.items()]]
    return "\n".join(parts)


def main() -> None:
    made = notices()
    if "--check" not in sys.argv[1:]:
        FILE.write_text(made, encoding="utf-8")
    elif FILE.read_text(encoding="utf-8") != made:
        raise SystemExit(f"{FILE.name} is not that of Cargo.lock: python generate_notices.py writes it anew")


if __name__ == "__main__":
    main()
