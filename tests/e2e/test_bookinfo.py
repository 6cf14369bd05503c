"""Istio's own Bookinfo rules on a running mesh of stand-ins, with the outcome that Istio documents.

Once with meshproxy everywhere and once with the real Envoy in its place, gateway included: same rules,
same outcome.
"""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.mesh import ROOT, Answer, UpMesh, up
from tests.support.shared import shared_data
from tests.support.wait import until

# A mesh needs the machine: these run one after the other, also when other tests run in parallel.

JASON = {"cookie": "session=jason"}
REVIEWS = "/api/v1/products/0/reviews"
UNAVAILABLE = "Sorry, product reviews are currently unavailable for this book."


@pytest.fixture(scope="module", params=["meshproxy", "envoy"])
def bookinfo(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[UpMesh]:
    folder, data = tmp_path_factory.mktemp("bookinfo"), shared_data() / "bookinfo"
    for file in (
        "kube/bookinfo.yaml",
        "networking/bookinfo-gateway.yaml",
        "networking/destination-rule-all.yaml",
    ):
        shutil.copy(data / file, folder)
    images = ROOT / "examples" / "bookinfo" / "meshloom.yaml"
    with up(folder, "--images", str(images), proxy=request.param) as mesh:
        # The page is served before its sidecar has heard of the first copy of reviews.
        until(lambda: mesh.get("/productpage").status == 200, "the page is served", 30)
        until(lambda: mesh.get(REVIEWS).status == 200, "reviews are served", 30)
        yield mesh


def rule(name: str) -> Path:
    return shared_data() / "bookinfo" / "networking" / f"{name}.yaml"


def version(answer: Answer) -> str:
    """Which version of reviews answered: v1 shows no stars, v2 black ones, v3 red ones."""
    assert answer.status == 200, answer.body
    rating = answer.json()["reviews"][0].get("rating")
    return {None: "v1", "black": "v2", "red": "v3"}[rating and rating.get("color")]


def seen(mesh: UpMesh, count: int = 12, headers: dict[str, str] | None = None) -> set[str]:
    return {version(mesh.get(REVIEWS, headers)) for _ in range(count)}


def share(mesh: UpMesh, wanted: str, count: int = 250) -> float:
    return sum(version(mesh.get(REVIEWS)) == wanted for _ in range(count)) / count


def to_v1(mesh: UpMesh) -> None:
    mesh.apply(rule("virtual-service-all-v1"))
    until(lambda: seen(mesh, 6) == {"v1"}, "only v1 is left")


def test_without_rules_all_versions_answer(bookinfo: UpMesh) -> None:
    until(lambda: seen(bookinfo, 9) == {"v1", "v2", "v3"}, "three versions in turn")


def test_all_v1(bookinfo: UpMesh) -> None:
    to_v1(bookinfo)
    assert seen(bookinfo, 30) == {"v1"}


def test_user_jason_sees_v2(bookinfo: UpMesh) -> None:
    to_v1(bookinfo)
    bookinfo.apply(rule("virtual-service-reviews-test-v2"))
    until(lambda: seen(bookinfo, 4, JASON) == {"v2"}, "jason sees black stars")
    assert seen(bookinfo, 20, JASON) == {"v2"}
    assert seen(bookinfo, 20) == {"v1"}
    page = bookinfo.get("/productpage", JASON).body
    assert "black" in page
    assert "jason" in page


def test_eighty_twenty(bookinfo: UpMesh) -> None:
    to_v1(bookinfo)
    bookinfo.apply(rule("virtual-service-reviews-80-20"))
    until(lambda: "v2" in seen(bookinfo, 10), "v2 gets its part")
    assert 0.09 < share(bookinfo, "v2") < 0.31


def test_fifty_fifty(bookinfo: UpMesh) -> None:
    to_v1(bookinfo)
    bookinfo.apply(rule("virtual-service-reviews-50-v3"))
    until(lambda: seen(bookinfo, 12) == {"v1", "v3"}, "v3 gets its half")
    assert 0.36 < share(bookinfo, "v3") < 0.64


def test_a_delay_for_jason_makes_his_reviews_time_out_and_nobody_elses(bookinfo: UpMesh) -> None:
    to_v1(bookinfo)
    bookinfo.apply(rule("virtual-service-reviews-test-v2"))
    bookinfo.apply(rule("virtual-service-ratings-test-delay"))
    late = until(lambda: _timed_out(bookinfo.get(REVIEWS, JASON)), "jason waits in vain", 30)
    assert 5.5 < late.seconds < 9.0, "two attempts of three seconds"
    other = bookinfo.get(REVIEWS)
    assert (version(other), other.seconds < 2.0) == ("v1", True)


def _timed_out(answer: Answer) -> Answer | None:
    return answer if answer.status != 200 and UNAVAILABLE in answer.body else None


def test_an_abort_for_jason_takes_his_ratings_away(bookinfo: UpMesh) -> None:
    to_v1(bookinfo)
    bookinfo.apply(rule("virtual-service-reviews-test-v2"))
    bookinfo.apply(rule("virtual-service-ratings-test-abort"))
    told = "Ratings service is currently unavailable"
    until(lambda: told in bookinfo.get(REVIEWS, JASON).body, "jason sees no ratings")
    assert seen(bookinfo, 10) == {"v1"}
    assert bookinfo.get("/api/v1/products/0/ratings").json()["ratings"] == {"Reviewer1": 5, "Reviewer2": 4}


def test_a_status_of_ones_own_can_be_injected(bookinfo: UpMesh) -> None:
    to_v1(bookinfo)
    bookinfo.apply(rule("fault-injection-details-v1"))
    answer = until(
        lambda: (a := bookinfo.get("/api/v1/products/0")).status == 555 and a, "details are aborted with 555"
    )
    assert "product details are currently unavailable" in answer.body


def test_every_rule_of_the_sample_is_accepted_and_no_proxy_refuses_it(bookinfo: UpMesh) -> None:
    for path in sorted((shared_data() / "bookinfo" / "networking").glob("*.yaml")):
        bookinfo.apply(path)
        done = bookinfo.meshloom("proxy-status", "-o", "json")
        assert done.returncode == 0, f"{path.name}: {done.stdout}"
    assert len(json.loads(done.stdout)) == 7
