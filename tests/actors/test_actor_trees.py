"""The tree of actors of another node, asked for over the bus."""

from __future__ import annotations

from tests.actors.clock_kit import pass_time
from tests.actors.cluster_kit import a_cluster, replace
from tocsin.actors.cluster.actor_trees import BYTES_MAX, ActorTrees
from tocsin.actors.runtime.snapshot import Snapshot
from tocsin.protocol.cluster.sightings import ActorsShown, ActorsSought, Sighted, Spectating


def tree(children: int, name: str = "") -> Snapshot:
    each = tuple(Snapshot(f"/{n}{name}", 1, 10, 0, None, 0, ()) for n in range(children))
    return Snapshot("/users", 0, 10, 2, "ValueError: no", children, each)


def show(node: ActorTrees, limit_of: list[int], children: int = 3, name: str = "") -> None:
    """Let *node* have a tree, and note with which limits it is asked."""

    def shown(limit: int) -> tuple[Snapshot, ...]:
        limit_of.append(limit)
        return (tree(min(limit, children), name),)

    node._show = shown


async def test_another_node_shows_its_tree(autojump_clock):
    async with a_cluster("a", "b", "c") as cluster:
        limits: list[int] = []
        show(cluster["b"].state.actor_trees, limits)
        assert await cluster["a"].state.actors_of("b", 2) == (tree(2),)
        assert set(limits) == {2}
        assert await cluster["c"].state.actors_of("a", 2) == ()


async def test_a_node_that_does_not_answer_is_waited_for_some_seconds(autojump_clock):
    async with a_cluster("a", "b") as cluster:
        assert await cluster["a"].state.actors_of("z", 2) is None


async def test_an_answer_that_was_lost_is_asked_for_again(autojump_clock):
    async with a_cluster("a", "b") as cluster:
        show(cluster["b"].state.actor_trees, [])
        bus = cluster["b"].port
        publish = bus.publish
        lost: list[str] = []

        async def lose(messages):
            if any(each.channel == "s" for each in messages):
                lost.append("s")
                replace(bus, publish=publish)
            else:
                await publish(messages)

        replace(bus, publish=lose)
        assert await cluster["a"].state.actors_of("b", 3) == (tree(3),)
        assert lost == ["s"]


async def test_a_tree_that_is_too_large_is_shown_in_part(autojump_clock):
    async with a_cluster("a", "b") as cluster:
        limits: list[int] = []
        show(cluster["b"].state.actor_trees, limits, children=1000, name="x" * 2000)
        found = await cluster["a"].state.actors_of("b", 10_000)
        assert found is not None
        (shown,) = found
        assert 0 < len(shown.children) <= BYTES_MAX // 2000
        assert max(limits) == 1000


class Nowhere:
    """A bus that takes what is said, and brings nothing."""

    def say_to_all(self, word: Spectating | ActorsSought) -> None: ...

    def say_sighted(self, word: Sighted | ActorsShown) -> None: ...

    def watch_sightings(self) -> None: ...

    def leave_sightings(self) -> None: ...


async def test_an_answer_without_a_question_is_passed_over(autojump_clock):
    trees = ActorTrees("a", Nowhere(), lambda limit: ())
    trees.hear("b", ActorsShown("a", 1, b"garbage"))
    await pass_time(0.1)
    assert await trees.ask("b", 1) is None
