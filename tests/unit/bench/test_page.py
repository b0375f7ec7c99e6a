"""The page of a run, and its plots."""

from __future__ import annotations

from xml.etree import ElementTree as ET

from bench.page import page, plot
from bench.results import Curve, Outcome, Record


def curve(*points: tuple[float, float], name: str = "lane", title: str = "Latency") -> Curve:
    return Curve(title, "ms", "share", name, list(points))


def drawn(*curves: Curve) -> ET.Element:
    return ET.fromstring(plot(curves))  # noqa: S314 - our own text


def test_each_curve_is_a_line_with_its_name() -> None:
    root = drawn(curve((1, 0.5), (10, 0.1)), curve((2, 0.5), (20, 0.1), name="a < b"))
    lines = [one.get("points", "").split() for one in root.iter("polyline")]
    assert [len(line) for line in lines] == [2, 2]
    assert {"lane", "a < b"} <= {one.text for one in root.iter("text")}


def test_every_curve_can_be_told_from_every_other_and_its_name_read() -> None:
    """A run of ``http`` has thirteen of them, ``entities`` sixteen with names of 45 letters."""
    names = [f"entities 20,000: track, customer, p{at:010}" for at in range(24)]
    root = drawn(*(curve((1, 0.5), (10, 0.1), name=name) for name in names))
    pens = {(one.get("stroke"), one.get("stroke-dasharray")) for one in root.iter("polyline")}
    assert len(pens) == len(names)
    width, height = map(float, root.get("viewBox", "").split()[2:])
    for text in root.iter("text"):
        if text.text in names:
            assert float(text.get("x", "")) + 6.5 * len(text.text) <= width
            assert float(text.get("y", "")) <= height


def test_points_lie_within_the_axes_and_in_order() -> None:
    (line,) = drawn(curve((1, 1), (10, 10), (100, 100))).iter("polyline")
    places = [tuple(map(float, point.split(","))) for point in line.get("points", "").split()]
    assert [x for x, _ in places] == sorted(x for x, _ in places)
    assert [y for _, y in places] == sorted((y for _, y in places), reverse=True)
    assert all(60 <= x <= 490 and 10 <= y <= 260 for x, y in places)


def test_equal_steps_of_a_logarithm_are_equal_distances() -> None:
    (line,) = drawn(curve((1, 1), (10, 10), (100, 100))).iter("polyline")
    first, second, third = (float(point.split(",")[0]) for point in line.get("points", "").split())
    assert abs((second - first) - (third - second)) < 0.2


def test_a_single_value_is_drawn() -> None:
    assert list(drawn(curve((5, 5))).iter("polyline"))


def test_what_a_logarithm_cannot_show_is_left_out() -> None:
    (line,) = drawn(curve((0, 1), (1, 0), (1, 1), (2, 2))).iter("polyline")
    assert len(line.get("points", "").split()) == 2
    assert plot([curve((0, 0))]) == ""


def test_the_page_has_the_run_the_table_and_a_plot_for_each_title() -> None:
    curves = [curve((1, 1)), curve((1, 1), name="asgi"), curve((1, 1), title="Cost")]
    outcome = Outcome(about="rounds & more", answers="abc", curves=curves)
    text = page(
        Record(
            date="today",
            commit="1234abc",
            machine="2 cores",
            command="python -m bench track",
            outcomes={"track": outcome},
        )
    )
    for expected in ("today", "1234abc", "2 cores", "python -m bench track", "rounds &amp; more"):
        assert expected in text
    assert text.count("<svg") == 2
    assert "answers abc" in text
