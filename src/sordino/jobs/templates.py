"""Templates: create, change, delete, look up."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from sordino import errors
from sordino.domain.job import NoiseReduction
from sordino.domain.lookup import missing
from sordino.domain.page import Page, Paged
from sordino.domain.ports import Clock, Database
from sordino.domain.template import Template


@dataclass(frozen=True, slots=True, kw_only=True)
class Templates:
    """The template use cases; ``max_templates`` is how many a bucket may have."""

    database: Database
    clock: Clock
    new_template_id: Callable[[], str]
    max_templates: int

    async def create(self, bucket: str, name: str, order: NoiseReduction) -> Template:
        """Create a template.

        Raises:
            ServiceError: TemplateNameDuplicate, CreatedTemplateNumLimit, NoSuchBucket.
        """
        now = self.clock.now()
        template = Template(
            template_id=self.new_template_id(),
            bucket=bucket,
            name=name,
            noise_reduction=order,
            created_at=now,
            updated_at=now,
        )
        async with self.database.transaction() as tx:
            number = await tx.templates.count(bucket)
            if not await tx.templates.add(template):
                raise _duplicate(name)
            if number >= self.max_templates:
                raise errors.CREATED_TEMPLATE_NUM_LIMIT(
                    f"The bucket has {number} templates, which is as many as it may have; delete one first."
                )
        return template

    async def update(self, bucket: str, template_id: str, name: str, order: NoiseReduction) -> Template:
        """Replace name and order; jobs that were submitted keep what they have.

        Raises:
            ServiceError: TemplateNotFound, TemplateNameDuplicate.
        """
        async with self.database.transaction() as tx:
            found = await tx.templates.find(bucket, [template_id])
            if not found:
                raise _unknown(template_id)
            template = replace(found[0], name=name, noise_reduction=order, updated_at=self.clock.now())
            written = await tx.templates.update(template)
            if written is None:
                raise _unknown(template_id)
            if not written:
                raise _duplicate(name)
        return template

    async def remove(self, bucket: str, template_id: str) -> None:
        """Delete a template; jobs that were submitted keep what they have.

        Raises:
            ServiceError: TemplateNotFound.
        """
        async with self.database.transaction() as tx:
            if not await tx.templates.remove(bucket, template_id):
                raise _unknown(template_id)

    async def find(self, bucket: str, template_ids: Sequence[str]) -> tuple[Sequence[Template], Sequence[str]]:
        """The templates among ``template_ids``, and the ids that are none, both in the order asked."""
        async with self.database.reading() as tx:
            templates = await tx.templates.find(bucket, template_ids)
        return templates, missing(template_ids, {template.template_id for template in templates})

    async def page(self, bucket: str, prefix: str, page: Page) -> Paged[Template]:
        """A page of the templates whose names begin so, the newest first."""
        async with self.database.transaction() as tx:
            return await tx.templates.page(bucket, prefix, page)


def _unknown(template_id: str) -> errors.ServiceError:
    return errors.TEMPLATE_NOT_FOUND(f"There is no template {template_id} in this bucket.")


def _duplicate(name: str) -> errors.ServiceError:
    return errors.TEMPLATE_NAME_DUPLICATE(f"The bucket has a template named {name} already; choose another Name.")
