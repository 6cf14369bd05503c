"""One suite for every rule store."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test
from meshloom.pilot.model.base import ObjectKey
from meshloom.pilot.store.base import RuleStore, StoreError
from meshloom.pilot.store.directory import DirectoryStore
from meshloom.pilot.store.open import open_store
from meshloom.pilot.store.sqlite import SqliteStore

A = ObjectKey("VirtualService", "shop", "a")
B = ObjectKey("DestinationRule", "shop", "b.with.dots")
CLUSTER_WIDE = ObjectKey("Namespace", "", "shop")

Open = Callable[[], RuleStore]


@pytest.fixture(params=["directory", "sqlite"])
def reopen(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Open]:
    """Opens the same store again, as another process would."""
    opened: list[RuleStore] = []

    def again() -> RuleStore:
        sqlite = request.param == "sqlite"
        store = SqliteStore(tmp_path / "rules.db") if sqlite else DirectoryStore(tmp_path / "rules")
        opened.append(store)
        return store

    yield again
    for store in opened:
        store.close()


def texts(store: RuleStore) -> dict[ObjectKey, str]:
    return {key: stored.text for key, stored in store.objects().items()}


class TestRuleStore:
    def test_what_is_put_is_there_at_once_with_its_revision(self, reopen: Open) -> None:
        store = reopen()
        assert (store.revision, store.objects()) == (0, {})
        revision = store.put({A: "a: ä\n", B: "b\n", CLUSTER_WIDE: "c\n"})
        assert revision == store.revision > 0
        assert texts(store) == {A: "a: ä\n", B: "b\n", CLUSTER_WIDE: "c\n"}
        assert {stored.revision for stored in store.objects().values()} == {revision}

    def test_only_what_changes_gets_a_new_revision(self, reopen: Open) -> None:
        store = reopen()
        first = store.put({A: "1\n", B: "1\n"})
        second = store.put({A: "2\n"})
        assert {key: stored.revision for key, stored in store.objects().items()} == {A: second, B: first}
        assert second > first

    def test_delete_reports_what_was_there(self, reopen: Open) -> None:
        store = reopen()
        revision = store.put({A: "1\n"})
        assert store.delete([A, B]) == {A}
        assert store.delete([A]) == frozenset()
        assert store.objects() == {}
        assert store.revision > revision

    def test_nothing_to_do_changes_nothing(self, reopen: Open) -> None:
        store = reopen()
        revision = store.put({A: "1\n"})
        store.put({})
        store.delete([])
        assert store.revision == revision

    def test_it_outlives_its_process_and_revisions_go_on_growing(self, reopen: Open) -> None:
        store = reopen()
        store.put({A: "1\n", B: "1\n"})
        store.delete([B])
        revision = store.revision
        store.close()
        again = reopen()
        assert texts(again) == {A: "1\n"}
        assert again.revision >= revision
        assert again.put({A: "2\n"}) > revision

    def test_poll_reports_each_change_once_whoever_made_it(self, reopen: Open) -> None:
        mine, other = reopen(), reopen()
        mine.put({A: "1\n"})
        assert mine.poll() == {A}
        assert other.poll() == {A}
        other.put({B: "1\n"})
        other.delete([A])
        assert mine.poll() == {A, B}
        assert texts(mine) == {B: "1\n"}
        assert mine.poll() == frozenset()

    def test_any_sequence_of_changes_leaves_what_a_dictionary_would(self, reopen: Open) -> None:
        class Machine(RuleBasedStateMachine):
            def __init__(self) -> None:
                super().__init__()
                self.store = reopen()
                self.store.delete(list(self.store.objects()))
                self.expected: dict[ObjectKey, str] = {}
                self.revision = self.store.revision

            @rule(
                changes=st.dictionaries(st.sampled_from([A, B, CLUSTER_WIDE]), st.text("abc\n"), max_size=3)
            )
            def put(self, changes: dict[ObjectKey, str]) -> None:
                self.store.put(changes)
                self.expected |= changes

            @rule(keys=st.lists(st.sampled_from([A, B, CLUSTER_WIDE]), max_size=3))
            def delete(self, keys: list[ObjectKey]) -> None:
                assert self.store.delete(keys) == self.expected.keys() & set(keys)
                for key in keys:
                    self.expected.pop(key, None)

            @invariant()
            def holds(self) -> None:
                assert texts(self.store) == self.expected
                assert self.store.revision >= self.revision
                self.revision = self.store.revision

            def teardown(self) -> None:
                self.store.close()

        limits = settings(max_examples=8, stateful_step_count=8, deadline=None)
        run_state_machine_as_test(Machine, settings=limits)


def test_only_the_owner_may_read_what_is_stored(tmp_path: Path) -> None:
    DirectoryStore(tmp_path / "rules").put({A: "secret\n"})
    SqliteStore(tmp_path / "rules.db").put({A: "secret\n"})
    files = [path for path in tmp_path.rglob("*") if path.is_file() and path.name != ".revision"]
    assert len(files) >= 2
    assert {path.stat().st_mode & 0o077 for path in files} == {0}


def test_files_are_readable_by_people_and_their_edits_are_noticed(tmp_path: Path) -> None:
    store = DirectoryStore(tmp_path)
    store.put({A: "a: 1\n"})
    store.poll()
    path = tmp_path / "VirtualService.shop.a.yaml"
    assert path.read_text() == "a: 1\n"
    path.write_text("a: 22\n")
    (tmp_path / "README.yaml").write_text("not an object of ours")
    (tmp_path / "Namespace..new.yaml").write_text("x\n")
    assert store.poll() == {A, ObjectKey("Namespace", "", "new")}
    path.unlink()
    assert store.poll() == {A}


def test_a_step_that_was_cut_short_is_carried_out_by_the_next_process(tmp_path: Path) -> None:
    DirectoryStore(tmp_path).put({A: "old\n", B: "old\n"})
    journal = '{"VirtualService.shop.a.yaml": "new\\n", "DestinationRule.shop.b.with.dots.yaml": null}'
    (tmp_path / ".journal").write_text(journal)
    assert texts(DirectoryStore(tmp_path)) == {A: "new\n"}
    assert not (tmp_path / ".journal").exists()


def test_a_store_that_cannot_be_used_says_which_and_why(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match=r"cannot open the rule store .*file/rules: Not a directory"):
        DirectoryStore(tmp_path / "file" / "rules")
    (tmp_path / "garbage.db").write_bytes(b"no database" * 100)
    with pytest.raises(StoreError, match=r"garbage\.db: file is not a database"):
        SqliteStore(tmp_path / "garbage.db")


def test_a_flag_names_the_store(tmp_path: Path) -> None:
    assert isinstance(open_store("dir", tmp_path), DirectoryStore)
    assert isinstance(open_store(f"sqlite:{tmp_path}/x/rules.db", tmp_path), SqliteStore)
    with pytest.raises(StoreError, match=r'unknown store "redis": want dir or sqlite:PATH'):
        open_store("redis", tmp_path)
