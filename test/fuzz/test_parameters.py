"""Every parameter takes a value of any type and size, or refuses it in one sentence."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from depth_anything_ros.errors import SettingError
from depth_anything_ros.formats.yaml_text import load_yaml
from depth_anything_ros.node.parameters import NodeParameters
from depth_anything_ros.node.runtime.log import one_line

TEXT = st.one_of(
    st.text(max_size=30),
    st.text(st.sampled_from("[]{}:,-&*!'\" 0123456789.eE~/"), max_size=30),
    st.sampled_from(
        ["~nosuchuser/x", "//x", "[" * 3000, "9" * 400, "{front: 2001-99-99}", "[a: b"]
    ),
)
NUMBER = st.one_of(st.integers(-(2**63), 2**63 - 1), st.floats())
VALUE = st.one_of(
    st.booleans(), NUMBER, TEXT, st.binary(max_size=9), st.lists(TEXT, max_size=3),
    st.lists(st.floats(), max_size=9), st.lists(st.integers(-9, 9), max_size=9),
    st.lists(st.booleans(), max_size=3), st.none(),
)  # fmt: skip
DEFAULTS = NodeParameters()


@pytest.mark.parametrize("name", [field.name for field in dataclasses.fields(NodeParameters)])
def test_any_value_is_taken_or_refused(name: str) -> None:
    @given(VALUE)
    def check(value: Any) -> None:
        try:
            changed = DEFAULTS.changed({name: value})
        except SettingError as error:
            assert name in str(error)
            assert "\n" not in one_line(str(error))
            return
        assert type(getattr(changed, name)) is type(getattr(DEFAULTS, name))
        others = [each.name for each in dataclasses.fields(changed) if each.name != name]
        assert all(getattr(changed, each) == getattr(DEFAULTS, each) for each in others)

    check()


@settings(max_examples=8 * settings().max_examples)
@given(TEXT)
def test_any_text_is_yaml_or_refused(text: str) -> None:
    try:
        load_yaml(text)
    except ValueError as error:
        assert "\n" not in str(error)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("[" * 60 + "]" * 60, "nested more than 50 deep"),
        ("a: " + "{a: " * 60 + "1" + "}" * 60, "nested more than 50 deep"),
        (
            "- &n0 [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]\n"
            + "".join(f"- &n{i + 1} [{', '.join([f'*n{i}'] * 10)}]\n" for i in range(5)),
            "aliases repeat more than 100000 values",
        ),
        ("!!python/object/apply:os.system [true]", "could not determine a constructor"),
        ("!!bool x", "x"),
        ("!!timestamp x", "NoneType"),
        ("a: 2001-99-99", "month must be in"),
    ],
)
def test_yaml_is_values_of_limited_depth_and_size(text: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        load_yaml(text)


def test_usual_yaml_is_read() -> None:
    assert load_yaml("a: &x [1, 2.5, yes, null]\nb: *x\n") == {
        "a": [1, 2.5, True, None],
        "b": [1, 2.5, True, None],
    }
    deep = load_yaml("[" * 50 + "]" * 50)
    for _ in range(49):
        (deep,) = deep
    assert deep == []
