"""Workers: made anew at each incarnation, while what they have to do stands in a table."""

from __future__ import annotations

import trio

from tests.actors.clock_kit import pass_time, settle
from tests.actors.runtime.actor_kit import Boom
from tocsin.actors.runtime.supervisor import open_supervisor
from tocsin.actors.runtime.worker import TableWorker, Tasks
from tocsin.actors.runtime.worklist import WorkList

# --- The list -------------------------------------------------------------------------------------


def work_list(*keys: str) -> WorkList[str]:
    work: WorkList[str] = WorkList()
    work.add(keys)
    return work


def test_keys_are_taken_in_the_order_in_which_they_came_each_once():
    work = work_list("a", "b", "a", "c")
    assert work.take(2) == ("a", "b")
    work.done()
    assert work.take() == ("c",)
    work.done()
    assert not work


def test_a_key_stays_on_the_list_until_it_is_done():
    work = work_list("a", "b")
    work.take(1)
    assert work
    assert list(work) == ["a", "b"]
    work.done()
    assert list(work) == ["b"]


def test_a_key_that_was_taken_and_not_done_is_taken_again_behind_the_others():
    work = work_list("a", "b", "c")
    work.take(1)
    assert work.take(2) == ("b", "c")
    assert work.take() == ("a", "b", "c")


def test_a_key_that_comes_again_while_it_is_in_hand_is_to_be_done_again():
    work = work_list("a", "b")
    work.take(1)
    work.add(["a"])
    work.done()
    assert work.take() == ("b", "a")


def test_a_key_that_could_not_be_done_waits_again():
    work = work_list("a", "b", "c")
    work.take(2)
    work.done(["a"])
    assert work.take() == ("c", "a")


def test_a_list_that_was_cleared_is_empty_whatever_was_in_hand():
    work = work_list("a", "b")
    work.take(1)
    work.clear()
    assert not work
    assert work.take() == ()


# --- The worker -----------------------------------------------------------------------------------


class Writer(TableWorker):
    """Does what is on the list; "bad" fails it, once."""

    made = 0

    def __init__(self, work: WorkList[str], done: list[str]) -> None:
        Writer.made += 1
        self._work = work
        self._done = done
        self._fails = True

    def tasks(self) -> Tasks:
        return (self._write, self._idle)

    async def finish(self) -> None:
        self._done.append("finished")

    async def _write(self) -> None:
        while True:
            await pass_time(1.0)
            for key in self._work.take(1):
                if key == "bad" and Writer.made == 1:
                    raise Boom
                self._done.append(key)
            self._work.done()

    async def _idle(self) -> None:
        await trio.sleep_forever()


async def test_work_in_the_hands_of_a_failed_worker_is_done_by_the_next(autojump_clock):
    Writer.made = 0
    work, done = work_list("bad", "good"), list[str]()
    async with open_supervisor("", lambda: 0.0) as tree:
        tree.spawn("writer", lambda: Writer(work, done))
        await pass_time(10)
        assert Writer.made == 2
        assert sorted(done) == ["bad", "good"]
        await tree.stop(5)


async def test_a_worker_that_is_stopped_finishes_and_ends_its_tasks(autojump_clock):
    done: list[str] = []
    async with open_supervisor("", lambda: 0.0) as tree:
        ref = tree.spawn("writer", lambda: Writer(work_list(), done))
        await settle()
        await tree.stop(5)
        assert ref.stopped
    assert done == ["finished"]
