"""Policies that every account has, under the names that they have in the cloud."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from sordino.domain.identity import NamedPolicy

PRESETS: Final[Mapping[str, NamedPolicy]] = MappingProxyType(
    {
        policy.name: policy
        for policy in (
            NamedPolicy(
                "QcloudAccessForCIRole",
                '{"version":"2.0","statement":[{"effect":"allow","action":"cos:*","resource":"*"}]}',
            ),
        )
    }
)


def named(name: str) -> NamedPolicy | None:
    """The preset of that name, or None."""
    return PRESETS.get(name)
