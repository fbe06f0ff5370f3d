"""Writes metron_sim/_results.py: a class for each object of the program's JSON, from its schemas.

    python generate_results.py            # after a change of the schemas

tests/test_types.py holds the file to them.
"""

from __future__ import annotations

import json
import keyword
import textwrap
from pathlib import Path
from typing import Any

from metron_sim import _native

#: Schemas, and what the outermost object of each is called.
ROOTS = {
    "result": "ResultFile",
    "explanation": "ExplanationFile",
    "comparison": "ComparisonFile",
    "capacity": "CapacityFile",
    "plan": "PlanFile",
    "sweep": "SweepFile",
}

#: Names here that differ from those of the library, which Python users would read wrongly.
RENAMED = {"ValidatedRun": "RunResult", "Promise": "PromiseKept"}

HEAD = '''\
# Written by generate_results.py from `metron-sim schema`. Do not edit.
"""What commands answer: objects whose attributes are the names of the program's JSON."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ._records import Record

'''


def schema(kind: str) -> dict[str, Any]:
    return json.loads(_native.ask(["schema", kind], []).result)


class Writer:
    def __init__(self) -> None:
        self.bodies: dict[str, dict[str, Any]] = {}
        self.names: dict[tuple[str, str], str] = {}

    def collect(self) -> None:
        roots = {kind: schema(kind) for kind in ROOTS}
        for kind, root in roots.items():
            for name, body in root.get("$defs", {}).items():
                if body.get("type") != "object" or "properties" not in body:
                    continue
                chosen = RENAMED.get(name, name)
                same = json.dumps(self.bodies.get(chosen, {}).get("properties"))
                if chosen in self.bodies and same != json.dumps(body["properties"]):
                    chosen = kind.capitalize() + chosen
                self.names[kind, name] = chosen
                self.bodies[chosen] = {**body, "kind": kind}
        for kind, root in roots.items():
            self.bodies[ROOTS[kind]] = {**root, "kind": kind}
        self.defs = {kind: root.get("$defs", {}) for kind, root in roots.items()}

    def python_type(self, kind: str, of: dict[str, Any] | bool) -> str:
        """The type of a member, as Python writes it."""
        if not isinstance(of, dict):
            return "Any"
        if "$ref" in of:
            name = of["$ref"].rsplit("/", 1)[1]
            if (kind, name) in self.names:
                return self.names[kind, name]
            return self.python_type(kind, self.defs[kind][name])
        for several in ("anyOf", "oneOf"):
            if several in of:
                types = [self.python_type(kind, one) for one in of[several]]
                return " | ".join(dict.fromkeys(types))
        if "const" in of or "enum" in of:
            return "str"
        given = of.get("type")
        if isinstance(given, list):
            rest = [self.python_type(kind, {**of, "type": one}) for one in given]
            return " | ".join(dict.fromkeys(rest))
        match given:
            case "null":
                return "None"
            case "string":
                return "str"
            case "integer":
                return "int"
            case "number":
                return "float"
            case "boolean":
                return "bool"
            case "array" if "prefixItems" in of:
                items = [self.python_type(kind, one) for one in of["prefixItems"]]
                return f"list[{' | '.join(dict.fromkeys(items))}]"
            case "array":
                return f"list[{self.python_type(kind, of.get('items', {}))}]"
            case "object" if isinstance(of.get("additionalProperties"), dict):
                return f"Mapping[str, {self.python_type(kind, of['additionalProperties'])}]"
            case _:
                return "Any"

    def record(self, kind: str, of: dict[str, Any]) -> str | None:
        """The class of the records within a member, if it has some."""
        if "$ref" in of:
            return self.names.get((kind, of["$ref"].rsplit("/", 1)[1]))
        for several in ("anyOf", "oneOf"):
            for one in of.get(several, []):
                if found := self.record(kind, one):
                    return found
        for inner in ("items", "additionalProperties"):
            if isinstance(of.get(inner), dict) and (found := self.record(kind, of[inner])):
                return found
        return None

    def write(self) -> str:
        out = [HEAD]
        records: list[str] = []
        for name in sorted(self.bodies):
            body = self.bodies[name]
            kind = body["kind"]
            out.append(f"\nclass {name}(Record):\n")
            out.append(docstring(body.get("description", name), '    """', '"""'))
            held = {}
            maps = []
            required = body.get("required", [])
            for member, of in body["properties"].items():
                kept = self.python_type(kind, of)
                if member not in required and "None" not in kept.split(" | ") and kept != "Any":
                    kept += " | None"
                attribute = member + "_" if keyword.iskeyword(member) else member
                out.append(f"\n    {attribute}: {kept}\n")
                if "description" in of:
                    out.append(docstring(of["description"], '    """', '"""'))
                if found := self.record(kind, of):
                    held[member] = found
                if "Mapping[" in kept:
                    maps.append(member)
            out.append("\n")
            if held:
                members = ", ".join(f'"{member}": {held[member]}' for member in held)
                records.append(f"{name}._records = {{{members}}}\n")
            if maps:
                names = ", ".join(f'"{member}"' for member in maps)
                records.append(f"{name}._maps = frozenset({{{names}}})\n")
        out.append("\n" + "".join(records))
        return "".join(out)


def docstring(text: str, before: str, after: str) -> str:
    """A description, in lines of at most 100 characters."""
    text = " ".join(text.split()).replace("\\", "\\\\")
    lines = textwrap.wrap(before.lstrip() + text + after, 96)
    return "".join(f"    {line}\n" for line in lines)


def written() -> str:
    writer = Writer()
    writer.collect()
    return writer.write()


if __name__ == "__main__":
    Path(__file__).parent.joinpath("metron_sim", "_results.py").write_text(written())
