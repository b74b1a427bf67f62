"""The page of the HTTP API, from its OpenAPI document: calls with their rights, parameters and answers, then models."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Mapping
from typing import Any

from dynwork.testing.api import api_instance
from dynwork.testing.orchestrators import FakeOrchestrators

HEAD = """# HTTP

What clients call. `GET /openapi.json` has the same for programs, `/docs` lets you try it. Keys go into
`Authorization: Bearer KEY`; without keys configured (on loopback only) none is needed. What a call may refuse is
`application/problem+json` ([Problem](#problem)) with a stable `code`: [errors.md](errors.md). Times are ISO 8601, UTC.
`HEAD` is answered at `/`, `/livez` and `/readyz`. To a method that a path does not have 405 names those it has.
"""
VERBS = ("put", "post", "get", "delete")
Node = Mapping[str, Any]


def document() -> dict[str, Any]:
    """Return the OpenAPI document of an API instance with the default settings."""

    async def ask() -> dict[str, Any]:
        async with api_instance(FakeOrchestrators(), sending=False) as api:
            return dict(api.app.openapi())

    return asyncio.run(ask())


def page() -> str:
    """Return the page."""
    found = document()
    lines = [HEAD]
    for tag, operations in _by_tag(found).items():
        lines.append(f"## {tag.capitalize()}\n")
        for method, path, operation in operations:
            lines += _operation(found, method, path, operation)
    lines.append("## Models\n")
    for name, model in sorted(found["components"]["schemas"].items()):
        lines += _model(name, model)
    return "\n".join(lines).rstrip() + "\n"


def _by_tag(found: Node) -> dict[str, list[tuple[str, str, Node]]]:
    grouped: dict[str, list[tuple[str, str, Node]]] = {}
    for path, operations in found["paths"].items():
        for method in VERBS:
            if method in operations:
                tag = operations[method].get("tags", ["other"])[0]
                grouped.setdefault(tag, []).append((method.upper(), path, operations[method]))
    return grouped


def _operation(found: Node, method: str, path: str, operation: Node) -> Iterator[str]:
    yield f"### `{method} {path}`\n"
    summary = operation["summary"]
    yield f"**{summary if summary.endswith('?') else summary + '.'}**\n"
    yield operation["description"] + ("" if "security" in operation else " Needs no right.") + "\n"
    if parameters := operation.get("parameters"):
        yield "| parameter | in | type | default | meaning |\n|---|---|---|---|---|"
        for parameter in parameters:
            schema = parameter["schema"]
            default = "required" if parameter.get("required") else _literal(schema.get("default"))
            meaning = _cell(parameter.get("description", schema.get("description", "")))
            yield f"| `{parameter['name']}` | {parameter['in']} | {_type(schema)} | {default} | {meaning} |"
        yield ""
    if "requestBody" in operation:
        body = operation["requestBody"]
        media = ", ".join(f"`{name}`" for name in body["content"])
        yield f"Body: {media}. {_cell(body.get('description', ''))}".rstrip() + "\n"
    yield "| status | answer |\n|---|---|"
    for status, response in operation["responses"].items():
        yield f"| {status} | {_answer(response)} |"
    yield ""
    yield from _examples(operation)


def _answer(response: Node) -> str:
    shapes = [
        f"`{media}`" + (f": {_type(content['schema'])}" if content.get("schema") else "")
        for media, content in response.get("content", {}).items()
        if media != "application/problem+json"  # which needs no saying in every line
    ]
    return "; ".join([_cell(response["description"]).removesuffix("."), *shapes])


def _examples(operation: Node) -> Iterator[str]:
    for content in operation.get("requestBody", {}).get("content", {}).values():
        for example in content.get("examples", {}).values():
            yield from _block(f"{example.get('summary', 'Body')}:", example["value"])
    for status, response in operation["responses"].items():
        for media, content in response.get("content", {}).items():
            if status.startswith("2") and media == "application/json":
                if "example" in content:
                    yield from _block("Answer:", content["example"])
                for name, example in content.get("examples", {}).items():
                    yield from _block(f"Answer, {name}:", example["value"])


def _block(title: str, value: object) -> Iterator[str]:
    yield f"{title}\n"
    yield f"```json\n{json.dumps(value, indent=1, ensure_ascii=False)}\n```\n"


def _model(name: str, model: Node) -> Iterator[str]:
    yield f"### {name}\n"
    yield _cell(model.get("description", "")) + "\n"
    if "properties" in model:
        yield "| field | type | meaning |\n|---|---|---|"
        for field, schema in model["properties"].items():
            yield f"| `{field}` | {_type(schema)} | {_cell(schema.get('description', ''))} |"
        yield ""


def _type(schema: Node) -> str:
    if "$ref" in schema:
        name = schema["$ref"].rsplit("/", 1)[1]
        return f"[{name}](#{name.lower()})"
    if "anyOf" in schema:
        return " or ".join(_type(one) for one in schema["anyOf"])
    if "enum" in schema:
        return " ".join(f"`{value}`" for value in schema["enum"])
    if "const" in schema:
        return f"`{schema['const']}`"
    if schema.get("type") == "array":
        return f"list of {_type(schema.get('items', {}))}"
    return _bounded(schema)


def _bounded(schema: Node) -> str:
    name = str(schema.get("format") or schema.get("type", "anything"))
    low, high = schema.get("minimum", schema.get("minLength")), schema.get("maximum", schema.get("maxLength"))
    if low is None and high is None:
        return name
    unit = " characters" if "maxLength" in schema or "minLength" in schema else ""
    if high is None:
        return f"{name}, {low:,}{unit} or more"
    return f"{name}, {f'up to {high:,}' if low is None else f'{low:,}–{high:,}'}{unit}"


def _literal(value: object) -> str:
    return "–" if value is None else f"`{json.dumps(value)}`".replace('"', "")


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")
