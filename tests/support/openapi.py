"""Our words for a part of an OpenAPI document against the document itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def resolved(document: Mapping[str, Any], node: Mapping[str, Any]) -> Mapping[str, Any]:
    """What a schema refers to."""
    while "$ref" in node:
        found: Any = document
        for name in node["$ref"].removeprefix("#/").split("/"):
            found = found[name]
        node = found
    return node


def is_nullable(node: Mapping[str, Any]) -> bool:
    """Whether a value may be null, as OpenAPI 3.0 says it, or JSON Schema."""
    return bool(node.get("nullable")) or {"type": "null"} in node.get("anyOf", ())


def not_null(document: Mapping[str, Any], node: Mapping[str, Any]) -> Mapping[str, Any]:
    """What a value is if it is not null."""
    others = [one for one in node.get("anyOf", ()) if one != {"type": "null"}]
    return resolved(document, others[0]) if len(others) == 1 else node


def parts(document: Mapping[str, Any], node: Mapping[str, Any]) -> dict[str, Any]:
    """A schema with what it is made of, as one object: its values, those it must have, whether it may have others."""
    node = resolved(document, node)
    each = [parts(document, one) for one in node.get("allOf", [])] + [
        {
            "values": dict(node.get("properties", {})), "must": set(node.get("required", [])),
            "open": node.get("additionalProperties", True) is not False,
        }
    ]  # fmt: skip
    return {
        "values": {name: value for one in each for name, value in one["values"].items()},
        "must": {name for one in each for name in one["must"]},
        "open": all(one["open"] for one in each),
    }


def differences(
    theirs: Mapping[str, Any], their: Mapping[str, Any], ours: Mapping[str, Any], our: Mapping[str, Any], at: str = ""
) -> list[str]:
    """Where our schema is another than the document's. What we know but its type of is not looked into.

    Args:
        theirs: the document, of OpenAPI 2 or 3.0.
        their: the schema in it.
        ours: what pydantic makes of our words.
        our: the schema in that.
        at: what the two are a part of.
    """
    their, our = resolved(theirs, their), resolved(ours, our)
    if at.count(".parent") > 1:
        return []
    found = []
    if is_nullable(their) != is_nullable(our):
        found.append(f"{at}: null {is_nullable(our)} instead of {is_nullable(their)}")
    our = not_null(ours, our)
    for name in ("type", "format"):
        expected = their.get(name, "object" if name == "type" and "allOf" in their else None)
        if our.get(name) != expected and expected != "int64":
            found.append(f"{at}: {name} {our.get(name)} instead of {expected}")
    choices = our.get("enum", [our["const"]] if "const" in our else None)
    if "enum" in their and choices != their["enum"]:
        found.append(f"{at}: {choices} instead of {their['enum']}")
    if our.get("minimum") != their.get("minimum"):
        found.append(f"{at}: at least {our.get('minimum')} instead of {their.get('minimum')}")
    if "items" in their:
        found += differences(theirs, their["items"], ours, our["items"], f"{at}[]")
    mine, other = parts(ours, our), parts(theirs, their)
    if mine["values"].keys() in ({"type"}, set()):
        return found
    for name in ("must", "open"):
        if mine[name] != other[name]:
            found.append(f"{at}: {name} {mine[name]} instead of {other[name]}")
    if mine["values"].keys() != other["values"].keys():
        found.append(f"{at}: {mine['values'].keys() ^ other['values'].keys()}")
    for name in mine["values"].keys() & other["values"].keys():
        found += differences(theirs, other["values"][name], ours, mine["values"][name], f"{at}.{name}")
    return found
