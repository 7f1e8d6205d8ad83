"""Parameters of plugins: reading, validation, flags, and the name with changed parameters."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any, Literal, Self

import pytest

from bench import BenchError, Plugin, param
from bench.params import Parameter, parameter_text, slug


class Still(Plugin):
    """A plugin of no role with a parameter of each type."""

    name = "still"

    gain: float = param(default=1.0, help="a factor", above=0, high=2, flag="gain")
    moves: int = param(default=3, help="a count", low=1, decides=False)
    mode: Literal["fast", "good"] = param(default="good", help="a choice")
    limit: float | None = param(default=None, help="an optional number", low=-1)
    loud: bool = param(default=False, help="a switch")
    label: str = param(default="x", help="a text")


def test_parameters_are_listed_with_type_range_flag_and_whether_they_decide() -> None:
    assert Still.parameters() == [
        Parameter("gain", "float", 1.0, "a factor", "> 0, <= 2", "gain", True),
        Parameter("moves", "int", 3, "a count", ">= 1", None, False),
        Parameter("mode", "fast|good", "good", "a choice", ""),
        Parameter("limit", "float or none", None, "an optional number", ">= -1"),
        Parameter("loud", "bool", False, "a switch", ""),
        Parameter("label", "str", "x", "a text", ""),
    ]


@pytest.mark.parametrize("flag", ["snr", "corrector-steps", "x2"])
def test_a_flag_is_lower_case_letters_digits_and_hyphens(flag: str) -> None:
    class Flagged(Plugin):
        name = "flagged"

        size: float = param(default=1.0, help="a size", flag=flag)

    assert [parameter.flag for parameter in Flagged.parameters()] == [flag]


@pytest.mark.parametrize("flag", ["", "--snr", "Snr", "2x", "corrector_steps", "a b", "ä", "snr\n"])
def test_another_flag_is_refused(flag: str) -> None:
    with pytest.raises(BenchError, match="use lower-case letters, digits and hyphens"):
        param(default=1.0, help="a size", flag=flag)


def test_no_file_is_declared_by_default() -> None:
    assert Still.files == ()


def test_changed_parameters_are_those_that_differ_from_their_defaults() -> None:
    assert Still().changed() == {}
    assert Still(gain=1.0, limit=0.5).changed() == {"limit": 0.5}
    assert Still(limit=0.5).changed(always=("mode",)) == {"mode": "good", "limit": 0.5}


def test_the_name_with_changed_parameters_for_titles() -> None:
    assert Still().described() == "still"
    assert Still(gain=0.1, mode="fast").described() == "still (gain=0.1, mode=fast)"
    assert Still(gain=0.5).described(always=("moves",)) == "still (gain=0.5, moves=3)"


def test_the_name_with_changed_parameters_for_columns_and_files() -> None:
    assert Still().tag() == "still"
    assert Still(gain=0.5, label="a/b c").tag() == "still-0.5-a_b_c"
    assert Still(moves=50, mode="fast").tag(keys=True) == "still-moves_50-fast"
    assert Still().tag(always=("mode",)) == "still-good"


@pytest.mark.parametrize(("value", "text"), [(0.25, "0.25"), ("a b/c", "a_b_c"), (True, "True"), (7, "7")])
def test_a_slug_is_part_of_a_file_name(value: object, text: str) -> None:
    assert slug(value) == text


@pytest.mark.parametrize(
    ("texts", "name", "value"),
    [
        ({"gain": "0.5"}, "gain", 0.5),
        ({"gain": 2}, "gain", 2.0),
        ({"moves": "7"}, "moves", 7),
        ({"moves": 7.0}, "moves", 7),
        ({"mode": "fast"}, "mode", "fast"),
        ({"limit": "none"}, "limit", None),
        ({"limit": "1e-3"}, "limit", 0.001),
        ({"loud": "true"}, "loud", True),
        ({"loud": "False"}, "loud", False),
        ({"label": "7"}, "label", "7"),
    ],
)
def test_parameters_are_read_by_their_type(texts: dict[str, Any], name: str, value: object) -> None:
    plugin = Still.build(texts).values()[name]
    assert plugin == value
    assert type(plugin) is type(value)


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        ({"gain": "fast"}, "still.gain must be float, not 'fast'"),
        ({"gain": True}, "still.gain must be float, not True"),
        ({"gain": 0}, "still.gain must be > 0, <= 2, not 0"),
        ({"gain": 2.1}, "still.gain must be > 0, <= 2, not 2.1"),
        ({"gain": "nan"}, "still.gain must be > 0, <= 2, not 'nan'"),
        ({"moves": "2.5"}, "still.moves must be int, not '2.5'"),
        ({"moves": 2.5}, "still.moves must be int, not 2.5"),
        ({"moves": float("inf")}, "still.moves must be int, not inf"),
        ({"moves": 0}, "still.moves must be >= 1, not 0"),
        ({"mode": "bad"}, "still.mode must be fast|good, not 'bad'"),
        ({"mode": ["fast"]}, "still.mode must be fast|good"),
        ({"limit": -2}, "still.limit must be >= -1, not -2"),
        ({"limit": "some"}, "still.limit must be float or none, not 'some'"),
        ({"loud": 1}, "still.loud must be bool, not 1"),
        ({"label": 7}, "still.label must be str, not 7"),
        ({"gian": 1}, "still has no parameter 'gian' (did you mean 'gain'?"),
    ],
)
def test_wrong_parameters_are_refused_by_name(texts: dict[str, Any], message: str) -> None:
    with pytest.raises(BenchError) as error:
        Still.build(texts)
    assert str(error.value).startswith(message)


def test_plugins_are_frozen_values() -> None:
    plugin = Still.build({"gain": "2"})
    assert plugin == Still.build({"gain": 2.0})
    assert plugin != Still.build({})
    with pytest.raises(AttributeError):
        plugin.gain = 1.5  # type: ignore[misc]


class Powers(Plugin):
    """A family: a number names its members."""

    name = "powers:<n>"
    power = 0

    gain: float = param(default=1.0, help="a factor", above=0)

    @classmethod
    def member(cls, name: str) -> type[Self]:
        return type(cls.__name__, (cls,), {"name": f"powers:{name}", "power": int(name)})


def test_a_plugin_pickles_by_its_class_and_values() -> None:
    plugin = Still(gain=0.5, limit=2.0, label="y")
    assert pickle.loads(pickle.dumps(plugin)) == plugin


def test_a_member_of_a_family_pickles_by_family_and_name() -> None:
    """The class of a member is in no module."""
    cubes = Powers.member("3")(gain=2.0)
    assert (cubes.family, Powers.family, Still.family) == (Powers, None, None)
    copied = pickle.loads(pickle.dumps(cubes))
    assert (type(copied).power, copied.values(), copied.family) == (3, {"gain": 2.0}, Powers)


class Listed(Plugin):
    """Lists of numbers, whole numbers and texts."""

    name = "listed"

    levels: tuple[float, ...] = param(default=(1.0,), help="numbers", above=0, high=100)
    counts: tuple[int, ...] | None = param(default=None, help="whole numbers or none", low=1)
    names: tuple[str, ...] = param(default=(), help="texts")


@pytest.mark.parametrize("value", [[3, 2, 0.5], (3.0, 2.0, 0.5), "3,2,0.5", " 3, 2\n0.5 ", "@"])
def test_a_list_is_read_from_text_files_and_lists(value: Any, tmp_path: Path) -> None:
    if value == "@":
        (tmp_path / "levels").write_text("3\n2, 0.5\n")
        value = f"@{tmp_path / 'levels'}"
    plugin = Listed.build({"levels": value, "counts": "4,5", "names": "a,b"})
    assert (plugin.levels, plugin.counts, plugin.names) == ((3.0, 2.0, 0.5), (4, 5), ("a", "b"))
    assert plugin.values() == {"levels": [3.0, 2.0, 0.5], "counts": [4, 5], "names": ["a", "b"]}
    assert Listed.build(json.loads(json.dumps(plugin.values()))) == plugin
    assert Listed.build({k: parameter_text(v) for k, v in plugin.values().items()}) == plugin
    assert pickle.loads(pickle.dumps(plugin)) == plugin
    assert hash(plugin) == hash(Listed.build(plugin.values()))
    assert plugin.described() == "listed (levels=3,2,0.5, counts=4,5, names=a,b)"
    assert plugin.tag() == "listed-3_2_0.5-4_5-a_b"


def test_the_types_of_lists_are_listed() -> None:
    assert [(p.type, p.default, p.range) for p in Listed.parameters()] == [
        ("list of float", (1.0,), "> 0, <= 100"),
        ("list of int or none", None, ">= 1"),
        ("list of str", (), ""),
    ]
    assert Listed().changed() == {}
    long = Listed(levels=tuple(map(float, range(1, 41))))
    assert long.described() == "listed (levels=1,2,3,4,5,6,7,8,9,10,11,12,… (40 values))"


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"levels": "1,two"}, "listed.levels must be a list of numbers, not '1,two'"),
        ({"levels": 3.0}, "listed.levels must be a list of numbers, not 3.0"),
        ({"levels": [True]}, "listed.levels must be a list of numbers, not [True]"),
        ({"levels": "5,0,-1"}, "listed.levels must be > 0, <= 100, not 0.0"),
        ({"levels": "5,nan"}, "listed.levels must be > 0, <= 100, not nan"),
        ({"levels": [1.0] * 100_001}, "listed.levels must be a list of numbers, not [1.0, "),
        ({"counts": "1.5"}, "listed.counts must be a list of whole numbers or none, not '1.5'"),
        ({"levels": "@/no/such/file"}, "/no/such/file can't be read as a list of values: No such file"),
        ({"levels": "@/dev/zero"}, "/dev/zero can't be read as a list of values: it is a device"),
        ({"levels": f"@{'x' * 300}"}, "'xxx"),
    ],
)
def test_wrong_lists_are_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(BenchError) as error:
        Listed.build(values)
    assert str(error.value).startswith(message)
    assert len(str(error.value)) < 300


class Counted(Plugin):
    """A role with a method and a property."""

    name = "counted"

    def calls(self, grid: list[int]) -> int:
        return len(grid)

    @property
    def order(self) -> float | None:
        return None


def test_a_number_cant_stand_for_a_method_of_a_role() -> None:
    """Of a property it can: ``order = 2.0``."""
    message = r"Odd\.calls is a method: in place of 2 write def calls\(self, grid\)"
    with pytest.raises(TypeError, match=message):
        type("Odd", (Counted,), {"name": "odd", "calls": 2})
    assert type("Even", (Counted,), {"name": "even", "order": 2.0})().order == 2.0


def test_a_parameter_cant_take_a_name_of_every_plugin() -> None:
    with pytest.raises(TypeError, match=r"Odd\.values: every plugin has this name: rename the parameter"):
        type(
            "Odd", (Plugin,), {"__annotations__": {"values": "float"}, "values": param(default=1.0, help="x")}
        )
