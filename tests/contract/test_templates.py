"""What templates promise: their rows in PostgreSQL and their use cases, on the embedded server and on one outside."""

import asyncio
from collections.abc import Coroutine
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from rows import BUCKET, LATER, NOW, RICH_ORDER, add_bucket, execute, job, template
from rows import waiting_for_a_lock as blocked
from sordino.adapters.clock import SystemClock
from sordino.adapters.postgres.database import PostgresDatabase, PostgresTransaction
from sordino.domain.job import KEEP, NoiseReduction
from sordino.domain.page import Page
from sordino.domain.template import Template
from sordino.errors import ServiceError
from sordino.jobs.templates import Templates
from sordino.wire.ids import new_template_id

PLAIN = NoiseReduction()


@pytest.fixture
def templates(database: PostgresDatabase) -> Templates:
    """The use cases; five templates a bucket."""
    return Templates(database=database, clock=SystemClock(), new_template_id=new_template_id, max_templates=5)


async def refusal(call: Coroutine[Any, Any, object]) -> tuple[int, str]:
    """Status and code of the refusal that a call ends with."""
    with pytest.raises(ServiceError) as refused:
        await call
    return refused.value.status, refused.value.code


class TestRows:
    """The repository."""

    @pytest.mark.parametrize("order", [PLAIN, RICH_ORDER, NoiseReduction(loudness=KEEP)], ids=["plain", "rich", "kept"])
    async def test_comes_back_equal(self, database: PostgresDatabase, order: NoiseReduction) -> None:
        """Every field survives, also of an order that is changed."""
        expected = template(name="模板-1*_", noise_reduction=order, updated_at=LATER)
        async with database.transaction() as tx:
            assert await tx.templates.add(expected)
            assert await tx.templates.add(template("t2"))
            assert await tx.templates.update(template("t2", noise_reduction=order))
        async with database.transaction() as tx:
            found = await tx.templates.find(BUCKET, ["t2", "t1", "t3"])
        assert found == [template("t2", noise_reduction=order), expected]

    async def test_looks_into_its_bucket_only(self, database: PostgresDatabase) -> None:
        """Templates of other buckets are neither found, counted, changed nor removed, and their names are free."""
        other = "other-1250000000"
        async with database.transaction() as tx:
            await add_bucket(tx, other, "o1")
            assert await tx.templates.add(template())
            assert await tx.templates.find(other, ["t1"]) == []
            assert await tx.templates.update(template(bucket=other)) is None
            assert not await tx.templates.remove(other, "t1")
            assert await tx.templates.count(other) == 0
            assert await tx.templates.add(template("t2", name="t1", bucket=other))

    async def test_a_name_is_taken_once(self, database: PostgresDatabase) -> None:
        """A second one of it is not added, none is renamed to it, and one may keep its own; case makes a difference."""
        async with database.transaction() as tx:
            assert await tx.templates.add(template())
            assert not await tx.templates.add(template("t2", name="t1"))
            assert await tx.templates.add(template("t2", name="T1"))
            assert await tx.templates.update(template("t2", name="t1")) is False
            assert await tx.templates.update(template("t3", name="t1")) is None
            assert await tx.templates.update(template("t2", name="T1", noise_reduction=RICH_ORDER))

    @pytest.mark.parametrize("first", ["add", "update"])
    @pytest.mark.parametrize("second", ["add", "update"])
    async def test_a_name_that_is_being_taken(self, database: PostgresDatabase, first: str, second: str) -> None:
        """Whoever adds or renames one to a name that a transaction under way takes waits for it, and is told."""

        async def take(tx: PostgresTransaction, way: str, template_id: str) -> bool | None:
            return await getattr(tx.templates, way)(template(template_id if way == "update" else "t3", name="new"))

        async def take_later() -> bool | None:
            async with database.transaction() as tx:
                return await take(tx, second, "t2")

        async with database.transaction() as tx:
            assert await tx.templates.add(template("t1"))
            assert await tx.templates.add(template("t2"))
        async with database.transaction() as tx:
            assert await take(tx, first, "t1")
            taking = asyncio.create_task(take_later())
            await blocked(database)
        assert await taking is False

    async def test_pages(self, database: PostgresDatabase) -> None:
        """The newest first, of names that begin so, whatever letters mean elsewhere; with the number of all."""
        names = ["a", "ab", "a%c", "模板", "a_*"]
        async with database.transaction() as tx:
            for number, name in enumerate(names):
                await tx.templates.add(template(f"t{number}", name=name, created_at=NOW + timedelta(seconds=number)))

        async def page(prefix: str, **asked: int) -> tuple[list[str], int]:
            async with database.transaction() as tx:
                paged = await tx.templates.page(BUCKET, prefix, Page(**asked))
            return [it.name for it in paged.items], paged.total

        assert await page("") == (names[::-1], 5)
        assert await page("a", number=2, size=3) == (["a"], 4)
        assert await page("a", number=3, size=3) == ([], 4)
        assert await page("a%") == (["a%c"], 1)
        assert await page("a_") == (["a_*"], 1)
        assert await page("模") == (["模板"], 1)
        assert await page("A") == ([], 0)

    async def test_counting_keeps_jobs_and_objects_going(self, database: PostgresDatabase) -> None:
        """Who counts templates keeps others from adding some, and nobody from submitting."""

        async def add() -> bool:
            async with database.transaction() as tx:
                await tx.templates.count(BUCKET)
                return await tx.templates.add(template())

        async with database.transaction() as tx:
            assert await tx.templates.count(BUCKET) == 0
            async with database.transaction() as other:
                await other.jobs.connection.execute("SET LOCAL lock_timeout = '5s'")
                await other.queues.held(BUCKET, None)
                await other.jobs.add(job())
            adding = asyncio.create_task(add())
            await blocked(database)
        assert await adding


class TestUseCases:
    """Creating, changing, deleting and finding templates."""

    async def test_a_life(self, templates: Templates) -> None:
        """Created, found, changed, found as changed, deleted, gone."""
        made = await templates.create(BUCKET, "name", RICH_ORDER)
        assert (made.name, made.noise_reduction, made.bucket) == ("name", RICH_ORDER, BUCKET)
        assert await templates.find(BUCKET, ["none", made.template_id]) == ([made], ["none"])
        changed = await templates.update(BUCKET, made.template_id, "other", PLAIN)
        assert changed == replace(made, name="other", noise_reduction=PLAIN, updated_at=changed.updated_at)
        assert changed.updated_at > made.updated_at
        assert await templates.find(BUCKET, [made.template_id]) == ([changed], [])
        assert (await templates.page(BUCKET, "ot", Page())).items == (changed,)
        await templates.remove(BUCKET, made.template_id)
        assert await templates.find(BUCKET, [made.template_id]) == ([], [made.template_id])

    async def test_unknown_ones_are_refused(self, templates: Templates) -> None:
        """Neither changed nor deleted, also not once they are deleted."""
        made = await templates.create(BUCKET, "name", PLAIN)
        await templates.remove(BUCKET, made.template_id)
        for template_id in ("none", made.template_id):
            assert await refusal(templates.remove(BUCKET, template_id)) == (404, "TemplateNotFound")
            assert await refusal(templates.update(BUCKET, template_id, "n", PLAIN)) == (404, "TemplateNotFound")

    async def test_of_one_name_at_once_one_is_made(self, templates: Templates) -> None:
        """The others are told that the name is taken."""
        made = await asyncio.gather(*(templates.create(BUCKET, "n", PLAIN) for _ in range(8)), return_exceptions=True)
        assert sum(isinstance(it, Template) for it in made) == 1
        assert {it.code for it in made if isinstance(it, ServiceError)} == {"TemplateNameDuplicate"}

    async def test_up_to_the_limit(self, database: PostgresDatabase, templates: Templates) -> None:
        """Of many at once just as many succeed as there is room for; a taken name is told first."""
        calls = (templates.create(BUCKET, f"n{number}", PLAIN) for number in range(9))
        made = await asyncio.gather(*calls, return_exceptions=True)
        assert sum(isinstance(it, Template) for it in made) == 5
        assert {it.code for it in made if isinstance(it, ServiceError)} == {"CreatedTemplateNumLimit"}
        assert len(await execute(database, "SELECT 1 FROM templates")) == 5
        taken = next(it.name for it in made if isinstance(it, Template))
        assert await refusal(templates.create(BUCKET, taken, PLAIN)) == (400, "TemplateNameDuplicate")
        assert await refusal(templates.create(BUCKET, "new", PLAIN)) == (400, "CreatedTemplateNumLimit")

    async def test_that_swap_names_at_once(self, templates: Templates) -> None:
        """Each is refused or renamed, and none breaks off: again and again."""
        first, second = await templates.create(BUCKET, "a", PLAIN), await templates.create(BUCKET, "b", PLAIN)
        for _ in range(10):
            ends = await asyncio.gather(
                templates.update(BUCKET, first.template_id, "b", PLAIN),
                templates.update(BUCKET, second.template_id, "a", PLAIN),
                return_exceptions=True,
            )
            assert [it.code for it in ends if isinstance(it, ServiceError)] == ["TemplateNameDuplicate"] * 2

    async def test_renamed_to_one_name_at_once(self, templates: Templates) -> None:
        """One gets it."""
        made = [await templates.create(BUCKET, name, PLAIN) for name in "abcd"]
        calls = (templates.update(BUCKET, it.template_id, "new", PLAIN) for it in made)
        ends = await asyncio.gather(*calls, return_exceptions=True)
        assert sum(isinstance(it, Template) for it in ends) == 1
        assert {it.code for it in ends if isinstance(it, ServiceError)} == {"TemplateNameDuplicate"}

    async def test_needs_its_bucket(self, templates: Templates) -> None:
        """A bucket that went away meanwhile is told."""
        assert await refusal(templates.create("none-1250000000", "n", PLAIN)) == (404, "NoSuchBucket")
