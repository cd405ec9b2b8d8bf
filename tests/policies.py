"""Policies, as tests write them."""

import json

Statement = dict[str, object]


def allow(action: str | list[str], resource: str | list[str] = "*", **more: object) -> Statement:
    """A statement that allows."""
    return {"effect": "allow", "action": action, "resource": resource, **more}


def deny(action: str | list[str], resource: str | list[str] = "*", **more: object) -> Statement:
    """A statement that denies."""
    return {**allow(action, resource, **more), "effect": "deny"}


def document(*statements: Statement) -> str:
    """A policy."""
    return json.dumps({"version": "2.0", "statement": list(statements)})
