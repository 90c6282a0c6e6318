"""Modules that libraries import for a name or two: executed when they are used, if ever.

`transformers` and `diffusers` mark functions for torch's compiler, ask of tensors whether they lie in shards on several
processes, and name a solver of scipy. With that come the compiler, sympy, torch's distributed tensors and most of
scipy, a third of the time that scoring a picture takes; a process that is alone and compiles nothing uses none of them.
A deferred module is the real one: whatever is asked of it but the names below executes it, in place.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType, SimpleNamespace
from typing import Any


class _None:
    """Stands by for a class that nothing is an instance of before its module is executed."""


def _unmarked(function: Any = None, *_: Any, **__: Any) -> Any:
    """Stands by for a mark that only torch's compiler reads; alone or as what makes a decorator."""
    return (lambda each: each) if function is None else function


def _solve(*given: Any, **named: Any) -> Any:
    solver: Any = sys.modules["scipy.optimize"]
    execute(solver)
    return solver.linear_sum_assignment(*given, **named)


DEFERRED: dict[str, Mapping[str, Any]] = {
    "torch._dynamo": {
        "allow_in_graph": _unmarked,
        "assume_constant_result": _unmarked,
        "disable": _unmarked,
        "eval_frame": SimpleNamespace(OptimizedModule=_None),
    },
    "torch.distributed.tensor": {"DTensor": _None},
    "scipy.optimize": {"linear_sum_assignment": _solve},
    "scipy.stats": {},
    "scipy.integrate": {},
}
"""Modules that are deferred, with what stands by in each."""
BY_THEMSELVES = ("torch._dynamo._trace_wrapped_higher_order_op",)
"""Submodules that need nothing of a deferred package."""
ANSWERS = "transformers.utils.import_utils"
"""Where transformers asks whether torch can work in several processes, and then imports what that takes."""
LAUNCHED = ("RANK", "WORLD_SIZE")
"""Environment variables by which a process is told that it is one of several."""


class DeferredModule(ModuleType):
    """A module that is executed by the first look at what it does not have yet."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") and name.endswith("__"):
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
        execute(self)
        return getattr(self, name)


def execute(module: ModuleType) -> None:
    """Execute a deferred module; nothing is done where it has been.

    Raises:
        ImportError: as if it were imported now.
    """
    if not isinstance(module, DeferredModule):
        return
    spec: Any = module.__spec__
    module.__class__ = ModuleType  # type: ignore[assignment]
    spec.loader = module.__loader__ = spec.loader.real
    for name in DEFERRED[spec.name]:
        del vars(module)[name]
    try:
        spec.loader.exec_module(module)
    except BaseException:
        sys.modules.pop(spec.name, None)
        raise


class _Deferring(Loader):
    """Gives a module what stands by in it, and leaves its execution to who needs more."""

    def __init__(self, real: Loader) -> None:
        self.real = real

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return DeferredModule(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        vars(module).update(DEFERRED[module.__name__])


class _Alone(_Deferring):
    """Executes the module that transformers asks, and answers that no other process is there.

    What the files of its models define it is to remember: there are more folders of them than its memory has places,
    and it would read them all twice.
    """

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:  # type: ignore[override]
        return self.real.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        self.real.exec_module(module)
        vars(module).update(is_torch_distributed_available=lambda: False)
        read: Any = vars(module).get("create_import_structure_from_path")
        if hasattr(read, "cache_parameters"):
            vars(module).update(create_import_structure_from_path=functools.cache(read.__wrapped__))


class _Loaded(_Deferring):
    """Of a submodule that its package has imported when it was executed for it."""

    def __init__(self, module: ModuleType) -> None:
        self.module, self.spec = module, module.__spec__

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return self.module

    def exec_module(self, module: ModuleType) -> None:
        module.__spec__ = self.spec


class Deferring(MetaPathFinder):
    """Defers the modules above while it is `active`; who imports a submodule of one executes it first."""

    active = False

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        package = sys.modules.get(fullname.rpartition(".")[0])
        if (
            isinstance(package, DeferredModule)
            and "__path__" in vars(package)
            and fullname not in BY_THEMSELVES
        ):
            execute(package)
            if loaded := sys.modules.get(fullname):
                # Python goes on with the specification of the module that is there by now.
                loaded.__spec__ = ModuleSpec(fullname, _Loaded(loaded))
                return loaded.__spec__
        if not self.active or fullname not in (*DEFERRED, ANSWERS):
            return None
        spec = PathFinder.find_spec(fullname, path)
        if spec is not None and spec.loader is not None:
            spec.loader = _Alone(spec.loader) if fullname == ANSWERS else _Deferring(spec.loader)
        return spec


_FINDER = Deferring()


@contextlib.contextmanager
def deferring() -> Iterator[None]:
    """Defer within the block what is imported there and not used, where this process is no one of several.

    It is for commands that compile nothing and share no model between processes: marks for them are lost.
    """
    if any(name in os.environ for name in LAUNCHED):
        yield
        return
    if _FINDER not in sys.meta_path:
        sys.meta_path.insert(0, _FINDER)
    before, _FINDER.active = _FINDER.active, True
    try:
        yield
        if "torch.distributed" in sys.modules:
            # peft takes it for imported: it is, by transformers, in a process that is not told that it is alone.
            importlib.import_module("torch.distributed.tensor")
    finally:
        _FINDER.active = before
