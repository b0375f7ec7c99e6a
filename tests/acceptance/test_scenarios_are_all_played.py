"""Every scenario of the reference is a test with its id in the name, or has a reason why not."""

from __future__ import annotations

import ast
import re
from pathlib import Path

from tests.acceptance.scenarios_left_out import LEFT_OUT, NOT_ALL_OF

NUMBERED = """
a01 a02 a04 a05 a07 a08 a10 a11 a13 a14 a16 a17 a19 a20 a22 a23
b01 b02 b04 b05 b07 b08
c01 c02 c04 c05
d01 d02 d04 d05 d07 d08 d10 d11 d13 d14 d16 d17 d19 d20 d22
e01 e02 e04 e05 e07 e08
f01 f02 f04 f05 f07
g01 g02 g04 g05 g07 g08 g10 g11 g13 g14
h01 h02 h04 h05 h07 h08 h10 h11 h13 h14 h16 h17 h19
i01 i02 i04 i05 i07 i08 i10 i11 i13 i14 i16
j01 j02 j04 j05 j07 j08 j10 j11 j13 j14 j16 j17 j19 j20 j22 j23 j25 j26
k01 k02 k04 k05 k07 k08 k10 k11 k13 k14 k16 k17 k19 k20 k22 k23 k25 k26
l01 l02 l04 l05 l07 l08 l10 l11 l13 l14
m01 m02 m04 m05 m07 m08 m10 m11 m13 m14
n01 n02 n04 n05 n07 n08 n10 n11 n13 n14
o01 o02 o04 o05 o07 o08 o10 o11 o13 o14 o16 o17
p01 p02 p04 p05 p07 p08
s01 s02 s04 s05 s07 s08 s10 s11 s13 s14 s16 s17 s19
s20 s22 s23 s25 s26 s28 s29 s31 s32 s34 s35 s37 s38
s40 s41 s43 s44 s46 s47 s49 s50 s52 s53 s55 s56 s58 s59
s61 s62 s64 s65 s67 s68 s70 s71 s73 s74 s76 s77 s79
s80 s82 s83 s85 s86 s88 s89 s91 s92 s94 s95 s97 s98
s100 s101 s103 s104 s106 s107 s109 s110 s112
"""
"""The ids of the reference, theme by theme; a number it does not use is not missing."""

SCENARIOS = NUMBERED.split()

IDS = re.compile(r"test_((?:(?:and_)?[a-ps]\d\d\d?_)+)")


def played() -> set[str]:
    """Return the ids in the names of the tests of this folder."""
    return {
        name
        for path in Path(__file__).parent.glob("test_*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (found := IDS.match(node.name))
        for name in re.findall(r"[a-ps]\d+", found[1])
    }


def test_every_scenario_is_played_or_left_out_for_a_reason() -> None:
    assert sorted(played() | set(LEFT_OUT)) == sorted(SCENARIOS)


def test_no_scenario_that_is_left_out_is_played() -> None:
    assert played() & set(LEFT_OUT) == set()


def test_a_scenario_of_which_a_part_is_left_out_is_played() -> None:
    assert set(NOT_ALL_OF) - played() == set()
    assert all(NOT_ALL_OF.values())


def test_each_scenario_is_listed_once_and_each_reason_says_something() -> None:
    assert len(set(SCENARIOS)) == len(SCENARIOS)
    assert all(LEFT_OUT.values())
