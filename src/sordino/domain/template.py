"""Templates: named orders that jobs of the same bucket refer to."""

from dataclasses import dataclass
from datetime import datetime

from sordino.domain.job import NoiseReduction

MAX_TEMPLATE_NAME = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Template:
    """A noise reduction template; ``name`` is unique in its bucket."""

    template_id: str
    bucket: str
    name: str
    noise_reduction: NoiseReduction
    created_at: datetime
    updated_at: datetime
