"""Parameters of plugins: typed dataclass fields with help text.

A plugin is a frozen dataclass. Command-line options, validation, listings and records all follow from its
fields, so that a parameter is defined once.
"""

from __future__ import annotations

import dataclasses
import functools
import re
import types
import typing
from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping
from typing import Any, ClassVar, Literal, Self, TypeVar, dataclass_transform

from bench.errors import BenchError, did_you_mean, printable
from bench.files import read_file, user_path
from bench.types import JSONObject

T = TypeVar("T")

_FLAG = re.compile(r"[a-z][a-z0-9-]*")


def param(
    *,
    default: T,
    help: str,
    low: float | None = None,
    high: float | None = None,
    above: float | None = None,
    flag: str | None = None,
    decides: bool = True,
) -> T:
    """A plugin's parameter: a dataclass field with help text and an allowed range.

    A number must satisfy ``low <= value <= high`` and ``value > above``, for the bounds that are set.

    Args:
        default: The value where the user sets none. The field's annotation gives the type: bool, int, float,
            str, a ``Literal`` of texts, or a union of these with None; or a list of them as
            ``tuple[float, ...]``, whose items are checked one by one. A list is text with commas, ``@FILE``
            with the values in a file, or a list of bench.toml. A `FileValue` is the path of its file.
        help: One line for ``bench show``.
        low: Smallest allowed number.
        high: Largest allowed number.
        above: Bound that the number must exceed.
        flag: A short command-line flag: ``flag="snr"`` gives ``--snr R`` for ``-P ROLE.PARAMETER=R``.
            Plugins of one role may share a flag if their parameters have one name.
        decides: False where the value of a run or metric does not depend on the parameter, such as the number
            of bootstrap replicates. Comparisons ignore such a parameter.

    Returns:
        The field, typed as its default so that annotations check.

    Raises:
        BenchError: ``flag`` is not lower-case letters, digits and hyphens with a letter first.
    """
    if flag is not None and not _FLAG.fullmatch(flag):
        raise BenchError(f"flag {flag!r}: use lower-case letters, digits and hyphens, a letter first")
    metadata = {"help": help, "low": low, "high": high, "above": above, "flag": flag, "decides": decides}
    return dataclasses.field(default=default, metadata=metadata)


class FileValue(ABC):
    """A parameter's value that is read from a file, as a whole: a field's annotation is a subclass.

    Users give the file's path. Records, fingerprints and titles hold `plain`, so that a run is named by what
    is in the file, wherever it lies.
    """

    @classmethod
    @abstractmethod
    def read(cls, text: str) -> Self:
        """The value of a path, or of what `plain` wrote.

        Args:
            text: The path, or the plain form.

        Returns:
            The value.

        Raises:
            BenchError: It can't be read; the message is one line.
        """

    @property
    @abstractmethod
    def plain(self) -> str:
        """What stands for the value in records: it is the same where the file's content is."""


def _refuse_method(cls: type, name: str, value: object) -> None:
    """`TypeError` where a value stands in place of a method of a role, such as ``nfe = 2``."""
    method = next((vars(base)[name] for base in cls.__mro__[1:] if name in vars(base)), None)
    if isinstance(method, types.FunctionType):
        code = method.__code__
        head = ", ".join(code.co_varnames[: code.co_argcount])
        raise TypeError(f"{cls.__name__}.{name} is a method: in place of {value!r} write def {name}({head})")


@dataclasses.dataclass(frozen=True)
class Parameter:
    """A parameter as listings show it: type and range as text; ``flag`` and ``decides`` as in `param`."""

    name: str
    type: str
    default: Any
    help: str
    range: str
    flag: str | None = None
    decides: bool = True


@dataclass_transform(frozen_default=True, field_specifiers=(param,))
class Plugin(ABC):
    """Base of every role: a subclass becomes a frozen dataclass of its annotated fields.

    A subclass sets ``name``, which users type, and declares its parameters as fields (`param`). Construction
    converts text to the fields' types and checks the values.

    Raises:
        BenchError: A value has the wrong type or is out of range; the message names the parameter.
    """

    name: ClassVar[str]
    """What users type, unique within the role; ``family:<…>`` stands for a family of plugins (`member`)."""
    libraries: ClassVar[tuple[str, ...]] = ()
    """Distributions whose versions decide the numbers; the fingerprint holds the versions."""
    family: ClassVar[type[Plugin] | None] = None
    """For a member ``family:name``: its base class, which is registered as ``family:<…>``."""
    files: ClassVar[tuple[str, ...]] = ()
    """Files that decide the numbers, relative to the module's folder; the fingerprint holds their hashes."""

    modules: ClassVar[tuple[str, ...]] = ()
    """Modules that decide the numbers and that the class's own module does not import, as one that a user
    names; the fingerprint holds their code."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        for name, value in cls.__dict__.items():
            if isinstance(value, dataclasses.Field) and hasattr(Plugin, name):
                raise TypeError(f"{cls.__name__}.{name}: every plugin has this name: rename the parameter")
            if isinstance(value, bool | int | float | str | tuple):
                _refuse_method(cls, name, value)
        dataclasses.dataclass(frozen=True)(cls)
        for base in cls.__mro__[1:]:
            prefix, separator, _ = str(base.__dict__.get("name", "")).partition(":<")
            if separator and cls.name.startswith(f"{prefix}:") and ":<" not in cls.name:
                cls.family = base

    def __post_init__(self) -> None:
        hints = _hints(type(self))
        for field in _fields(type(self)):
            value = _checked(field, hints[field.name], getattr(self, field.name), self.name)
            object.__setattr__(self, field.name, value)

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle by class and values; a member of a family, which no module has, by family and name."""
        if self.family is None:
            return _rebuild, (type(self), self._typed_values())
        return _rebuild_member, (self.family, self.name.partition(":")[2], self._typed_values())

    def _typed_values(self) -> dict[str, Any]:
        """The parameters' values themselves by name."""
        return {field.name: getattr(self, field.name) for field in _fields(type(self))}

    @classmethod
    def parameters(cls) -> list[Parameter]:
        """The parameters, in the order of their definition."""
        hints = _hints(cls)
        return [
            Parameter(
                field.name,
                _type_name(hints[field.name]),
                field.default,
                field.metadata.get("help", ""),
                _range(field),
                field.metadata.get("flag"),
                field.metadata.get("decides", True),
            )
            for field in _fields(cls)
        ]

    @classmethod
    def member(cls, name: str) -> type[Self]:
        """The plugin called ``family:name``, for a class that is registered as ``family:<…>``.

        Args:
            name: The part after the colon.

        Returns:
            A subclass of this class, named ``family:name``.

        Raises:
            BenchError: There is no such member, or a library that it needs is not installed.
        """
        raise BenchError(f"{cls.name} has no member {name!r}")

    @classmethod
    def build(cls, values: Mapping[str, Any]) -> Self:
        """The plugin with these parameter values; other parameters keep their defaults.

        Args:
            values: Values by parameter name. Text, as from the command line, becomes the field's type.

        Returns:
            The instance.

        Raises:
            BenchError: A name is unknown, or a value has the wrong type or is out of range.
        """
        known = {parameter.name for parameter in cls.parameters()}
        for key in values:
            if key not in known:
                raise BenchError(f"{cls.name} has no parameter {key!r}{did_you_mean(key, known)}")
        return cls(**values)

    def values(self) -> JSONObject:
        """The parameters' values by name, as records and fingerprints hold them."""
        return {field.name: _plain(getattr(self, field.name)) for field in _fields(type(self))}

    def changed(self, always: Collection[str] = ()) -> JSONObject:
        """The values that differ from their defaults, by name.

        Args:
            always: Names of parameters that are included at their defaults too.
        """
        defaults = {parameter.name: _plain(parameter.default) for parameter in self.parameters()}
        return {
            name: value
            for name, value in self.values().items()
            if name in always or value != defaults.get(name)
        }

    def changed_texts(self, always: Collection[str] = ()) -> dict[str, str]:
        """`changed`, with values as titles show them."""
        return {name: _text(value) for name, value in self.changed(always).items()}

    def described(self, always: Collection[str] = ()) -> str:
        """The name with the changed parameters, for titles.

        Args:
            always: Names of parameters that are included at their defaults too.

        Returns:
            Text such as ``langevin (snr=0.2, steps=2)``.
        """
        texts = [f"{name}={value}" for name, value in self.changed_texts(always).items()]
        return f"{self.name} ({', '.join(texts)})" if texts else self.name

    def tag(self, always: Collection[str] = (), *, keys: bool = False) -> str:
        """The name with the changed parameters, for columns and file names.

        Args:
            always: Names of parameters that are included at their defaults too.
            keys: Whether a number is preceded by its parameter's name, as in ``kid-subsets_50``.

        Returns:
            Text such as ``fid-clean``.
        """
        parts = [
            slug(f"{name}_{_text(value)}" if keys and not isinstance(value, str) else value)
            for name, value in self.changed(always).items()
        ]
        return "-".join([self.name, *parts])


def _rebuild(cls: type[Plugin], values: dict[str, Any]) -> Plugin:
    return cls(**values)


def _rebuild_member(family: type[Plugin], name: str, values: dict[str, Any]) -> Plugin:
    return family.member(name)(**values)


MOST_IN_TITLE = 12
"""Greatest number of a list's values that a title shows."""


def _plain(value: Any) -> Any:
    """A list as JSON has it; a file's value by what stands for it."""
    if isinstance(value, FileValue):
        return value.plain
    return list(value) if isinstance(value, tuple) else value


def _text(value: Any) -> str:
    """A value in a title: a long list by its first values and their number."""
    if isinstance(value, list | tuple):
        text = ",".join(_text(one) for one in value[:MOST_IN_TITLE])
        return text if len(value) <= MOST_IN_TITLE else f"{text},… ({len(value)} values)"
    return f"{value:g}" if isinstance(value, float) else str(value)


def parameter_text(value: Any) -> str:
    """A value as a parameter reads it from text, with every digit.

    Args:
        value: A parameter's value, or its plain form in a record.
    """
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list | tuple):
        return ",".join(map(parameter_text, value))
    return "none" if value is None else value if isinstance(value, str) else repr(value)


def _fields(cls: type[Plugin]) -> list[dataclasses.Field[Any]]:
    return list(dataclasses.fields(cls))  # type: ignore[arg-type]


@functools.cache
def _hints(cls: type[Plugin]) -> dict[str, Any]:
    return typing.get_type_hints(cls)


def _type_name(hint: Any) -> str:
    if typing.get_origin(hint) is Literal:
        return "|".join(str(a) for a in typing.get_args(hint))
    if _is_union(hint):
        return " or ".join(_type_name(a) for a in typing.get_args(hint))
    if typing.get_origin(hint) is tuple:
        return f"list of {_type_name(typing.get_args(hint)[0])}"
    if _is_file(hint):
        return "file"
    return "none" if hint is types.NoneType else str(getattr(hint, "__name__", hint))


def _in_words(hint: Any) -> str:
    """The type as a message has it: a list by what is in it."""
    if _is_union(hint):
        return " or ".join(_in_words(a) for a in typing.get_args(hint))
    if typing.get_origin(hint) is tuple:
        item = typing.get_args(hint)[0]
        return f"a list of {_ITEMS.get(item, _type_name(item))}"
    return _type_name(hint)


def _is_file(hint: Any) -> bool:
    return isinstance(hint, type) and issubclass(hint, FileValue)


_ITEMS = {float: "numbers", int: "whole numbers", str: "texts", bool: "true or false"}


def _is_union(hint: Any) -> bool:
    """``int | None``, and ``int | Literal["all"]``, which Python makes a `typing.Union` of."""
    return typing.get_origin(hint) in (types.UnionType, typing.Union)


def _range(field: dataclasses.Field[Any]) -> str:
    bounds = {"low": ">=", "above": ">", "high": "<="}
    return ", ".join(
        f"{sign} {field.metadata[key]:g}"
        for key, sign in bounds.items()
        if field.metadata.get(key) is not None
    )


def _checked(field: dataclasses.Field[Any], hint: Any, value: Any, owner: str) -> Any:
    options = typing.get_args(hint) if _is_union(hint) else (hint,)
    for option in options:
        converted = _convert(option, value)
        if converted is not _WRONG:
            break
    else:
        raise BenchError(f"{owner}.{field.name} must be {_in_words(hint)}, not {printable(repr(value), 80)}")
    for one in converted if isinstance(converted, tuple) else (converted,):
        if isinstance(one, int | float) and not isinstance(one, bool) and not _in_range(field, one):
            # a number of a list is shown as it is read, another as it was given
            number = one if isinstance(converted, tuple) else value
            raise BenchError(f"{owner}.{field.name} must be {_range(field) or 'finite'}, not {number!r}")
    return converted


def _in_range(field: dataclasses.Field[Any], number: float) -> bool:
    low, high, above = (field.metadata.get(k) for k in ("low", "high", "above"))
    return (
        number == number
        and abs(number) != float("inf")
        and (low is None or number >= low)
        and (high is None or number <= high)
        and (above is None or number > above)
    )


MOST_VALUES = 100_000
"""Greatest number of values of a list."""
LARGEST_LIST = 4_000_000
"""Greatest size of a file of values, in bytes."""


def _convert_list(hint: Any, value: Any) -> Any:
    """A list, or text: values with commas, spaces or line breaks between them, or ``@FILE`` of such text."""
    if isinstance(value, str) and value.startswith("@"):
        path = user_path(value[1:])
        try:
            value = read_file(path, LARGEST_LIST).decode()
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or error
            raise BenchError(f"{printable(str(path))} can't be read as a list of values: {reason}") from error
    if isinstance(value, str):
        value = value.replace(",", " ").split()
    if not isinstance(value, list | tuple) or len(value) > MOST_VALUES:
        return _WRONG
    items = tuple(_convert(typing.get_args(hint)[0], item) for item in value)
    return _WRONG if any(item is _WRONG for item in items) else items


_WRONG = object()


def _convert(hint: Any, value: Any) -> Any:
    """``value`` as the type ``hint``, read from text where it is text; `_WRONG` where it can't be."""
    if typing.get_origin(hint) is Literal:
        return value if value in typing.get_args(hint) else _WRONG
    if typing.get_origin(hint) is tuple:
        return _convert_list(hint, value)
    if hint is types.NoneType:
        return None if value is None or value == "none" else _WRONG
    if _is_file(hint):
        if isinstance(value, hint) or not isinstance(value, str) or value in ("", "none"):
            return value if isinstance(value, hint) else _WRONG
        return hint.read(value)
    if hint is bool:
        if isinstance(value, bool):
            return value
        return {"true": True, "false": False}.get(str(value).lower(), _WRONG)
    if hint is str:
        return value if isinstance(value, str) else _WRONG
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return _WRONG
    try:
        if hint is int:
            return int(value) if isinstance(value, str) or float(value).is_integer() else _WRONG
        if hint is float:
            return float(value)
    except (ValueError, OverflowError):
        pass
    return _WRONG


def slug(value: Any) -> str:
    """A parameter's value as part of a file name: letters, digits, dot, underscore."""
    return re.sub(r"[^A-Za-z0-9.]+", "_", _text(value)).strip("_")
