"""What a pickle may do with the names it was allowed to import: make values, no more. Hosting child only.

Covers: whom it may call and with what, whose state it may set, what that state may hide. Does not cover: which names it may
import, and whom of them it may call (`loaders.hosting.allowed`).

Names alone are not enough. A scorer of scikit-learn calls any method by its name; state set on a function becomes its
attributes, on a class its methods: of allowed names only, these three make `exec`. What scikit-learn and numpy pickle
calls a few constructors, sets the state of instances, and gives no instance an attribute that hides a method: so nothing
else happens here. It takes Python's own unpickler, which can be asked at each opcode; that of C cannot.
"""

from __future__ import annotations

import pickle
from collections import deque
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import numpy as np

from loaders.errors import UntrustedType

_PLAIN = frozenset({"builtins", "collections", "datetime", "decimal", "numpy"})
"""Top packages of what may be given to a call: values, whose methods run no code of a pickle's choice."""
_METHODS = frozenset({"auto", "decision_function", "predict", "predict_log_proba", "predict_proba", "score_samples", "transform"})
_NAMING = frozenset({"_response_method", "chain_method", "chain_method_", "response_method", "stack_method", "stack_method_"})
"""Attributes that say which method of another estimator is called."""
_GETTER = "importance_getter"


class Rules:
    """Put before an unpickler written in Python (`pickle._Unpickler` or one of its classes). See `ruled`."""

    stack: list[Any]
    metastack: list[list[Any]]

    def __init__(self, *given: Any, **options: Any) -> None:
        super().__init__(*given, **options)
        self._found: dict[int, tuple[Any, str]] = {}
        self._makers: dict[int, Any] = {}
        self._named: list[tuple[str, Any]] = []

    def found(self, module: str, name: str, value: Any, is_maker: bool) -> Any:
        """Take note of what a name stands for; that value."""
        self._found[id(value)] = (value, f"{module}.{name}")
        if is_maker:
            self._makers[id(value)] = value
        return value

    def load(self) -> Any:
        """Raises UntrustedType."""
        loaded = super().load()  # type: ignore[misc]
        for key, value in self._named:  # now: what was in a list at first may not be what is in it at last
            if not _names_a_method(key, value):
                raise _refusal(f"set {key} to {str(value)[:100]}", [])
        return loaded

    def _word(self, value: Any) -> str:
        return self._found[id(value)][1] if id(value) in self._found else f"an object of {type(value).__qualname__}"

    # -- calls --------------------------------------------------------------------------------------------------------

    def load_reduce(self) -> None:
        called, given = self.stack[-2:]
        if id(called) not in self._makers:
            raise _refusal(f"call {self._word(called)}", [self._word(called)])
        for value in given:
            is_plain = id(value) in self._makers or isinstance(value, type)
            if not is_plain and (callable(value) or type(value).__module__.partition(".")[0] not in _PLAIN):
                raise _refusal(f"call {self._word(called)} with {self._word(value)}", [self._word(value)])
        super().load_reduce()  # type: ignore[misc]

    def load_newobj(self) -> None:
        self._check_class(self.stack[-2])
        super().load_newobj()  # type: ignore[misc]

    def load_newobj_ex(self) -> None:
        self._check_class(self.stack[-3])
        super().load_newobj_ex()  # type: ignore[misc]

    def _check_class(self, kind: Any) -> None:
        if not isinstance(kind, type):
            raise _refusal(f"make an instance of {self._word(kind)}", [self._word(kind)])

    def load_old(self) -> None:
        """INST and OBJ: of protocols that are refused."""
        raise _refusal("call by an opcode of the protocols 0 and 1", [])

    # -- state --------------------------------------------------------------------------------------------------------

    def load_build(self) -> None:
        instance, state = self.stack[-2:]
        if id(instance) in self._found or isinstance(instance, type):
            raise _refusal(f"change {self._word(instance)}", [self._word(instance)])
        is_plain = not hasattr(type(instance), "__setstate__")
        for part in state if is_plain and type(state) is tuple else (state,):
            if type(part) is dict:
                self._check_attributes(type(instance), part)
            elif type(part) is not tuple and part is not None:
                raise _refusal(f"take {self._word(part)} for a state", [])
        super().load_build()  # type: ignore[misc]
        if isinstance(instance, np.dtype):
            _check_dtype(instance)

    def _check_attributes(self, kind: type, attributes: Mapping[Any, Any]) -> None:
        for key, value in attributes.items():
            if isinstance(key, str) and (key.startswith("__") or callable(getattr(kind, key, None))):
                raise _refusal(f"hide {kind.__qualname__}.{key[:100]}", [])
            if key in _NAMING or key == _GETTER:
                self._named.append((key, value))

    def load_append(self) -> None:
        self._check_kind(self.stack[-2], (list, deque))
        super().load_append()  # type: ignore[misc]

    def load_appends(self) -> None:
        self._check_kind(self.metastack[-1][-1], (list, deque))
        super().load_appends()  # type: ignore[misc]

    def load_additems(self) -> None:
        self._check_kind(self.metastack[-1][-1], (set,))
        super().load_additems()  # type: ignore[misc]

    def _check_kind(self, value: Any, kinds: tuple[type, ...]) -> None:
        if not isinstance(value, kinds):
            raise _refusal(f"put items into {self._word(value)}", [])


_RULED = MappingProxyType(
    {
        pickle.REDUCE: Rules.load_reduce,
        pickle.NEWOBJ: Rules.load_newobj,
        pickle.NEWOBJ_EX: Rules.load_newobj_ex,
        pickle.INST: Rules.load_old,
        pickle.OBJ: Rules.load_old,
        pickle.BUILD: Rules.load_build,
        pickle.APPEND: Rules.load_append,
        pickle.APPENDS: Rules.load_appends,
        pickle.ADDITEMS: Rules.load_additems,
    }
)


def ruled(dispatch: Mapping[int, Any]) -> dict[int, Any]:
    """The opcode table of an unpickler with the rules in it: for the `dispatch` of a class that has Rules first."""
    return {**dispatch, **{opcode[0]: rule for opcode, rule in _RULED.items()}}


def _names_a_method(key: str, value: Any) -> bool:
    if key == _GETTER:
        return not isinstance(value, str) or not any(part.startswith("_") for part in value.split("."))
    names = value if isinstance(value, (list, tuple)) else (value,)
    return all(name is None or (isinstance(name, str) and name in _METHODS) for name in names)


def _check_dtype(dtype: np.dtype[Any]) -> None:
    """A forged state makes numpy read beside the array, or take bytes for objects. Raises UntrustedType."""
    made: Any
    if dtype.subdtype is not None:
        made = np.dtype(dtype.subdtype)
    elif dtype.names is not None and dtype.fields is not None:
        fields = [dtype.fields[name] for name in dtype.names]
        if any(field[1] < 0 or field[1] + field[0].itemsize > dtype.itemsize for field in fields):
            raise _refusal("make a dtype whose fields do not lie in it", [])
        form: Any = {"names": list(dtype.names), "itemsize": dtype.itemsize}
        form |= {"formats": [field[0] for field in fields], "offsets": [field[1] for field in fields]}
        made = np.dtype(form, align=dtype.isalignedstruct)
    else:
        made = np.dtype(dtype.str)
    if (made.flags, made.itemsize, made.kind, made.hasobject) != (dtype.flags, dtype.itemsize, dtype.kind, dtype.hasobject):
        raise _refusal("make a dtype that is none", [])


def _refusal(deed: str, names: list[str]) -> UntrustedType:
    return UntrustedType(
        f'unpickling would {deed}, which no model of the known classes needs; if you trust the file, set trust = "any" in'
        " [loading] (the model then runs its own code, in its capped process)",
        classes=names,
    )
