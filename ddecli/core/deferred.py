"""Modules that libraries import for a name or two: they are executed when they are used, if ever.

`transformers` and `diffusers` mark functions for torch's compiler and name a solver of scipy when they are imported.
With that come the compiler, sympy and most of scipy, a third of the time that scoring takes to start, and no command
uses them but `train --compile`. A deferred module is the real one: whatever is asked of it but the names below
executes it, in place, and what was marked by then is marked in it.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import os
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import Any

_EXECUTING = threading.RLock()


class DeferredModule(ModuleType):
    """A module that is executed by the first look at what it does not have yet."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") and name.endswith("__"):
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
        execute(self)
        return getattr(self, name)


class _DeferringLoader(Loader):
    """Gives a module its stand-by names, and leaves its execution to who needs more of it."""

    def __init__(self, real: Loader, standing_by: Callable[[], Mapping[str, Any]]) -> None:
        self.real, self.standing_by = real, standing_by

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return DeferredModule(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        names = self.standing_by()
        vars(module).update(names, __deferred__=tuple(names))


def execute(module: ModuleType) -> None:
    """Execute a deferred module; nothing is done where it has been.

    Raises:
        ImportError: as if it were imported now.
    """
    with _EXECUTING:
        if not isinstance(module, DeferredModule):
            return
        spec = module.__spec__
        assert spec is not None
        assert isinstance(spec.loader, _DeferringLoader)
        if spec.name == COMPILER and SHARDS in sys.modules:
            execute(sys.modules[SHARDS])  # what is compiled may be told apart by its class
        for name in vars(module).pop("__deferred__", ()):
            del vars(module)[name]
        module.__class__ = ModuleType  # type: ignore[assignment]
        spec.loader = module.__loader__ = spec.loader.real
        try:
            spec.loader.exec_module(module)
        except BaseException:
            sys.modules.pop(spec.name, None)
            raise
        for later in _LATER.pop(spec.name, []):
            later(module)


_LATER: dict[str, list[Callable[[Any], None]]] = {}
"""By deferred module, what is done in it as soon as it is executed."""


def _until_executed(name: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """A function that stands by for that of its name in a deferred module, and gives way to it."""

    def stands_by(function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def call(*given: Any, **named: Any) -> Any:
            module = sys.modules[name]
            if isinstance(module, DeferredModule):
                return function(*given, **named)
            return getattr(module, function.__name__)(*given, **named)

        return call

    return stands_by


def _compiler() -> dict[str, Any]:
    """What is asked of torch's compiler where nothing is compiled: marks for later."""
    from torch._compile import _disable_dynamo

    with contextlib.suppress(ImportError):
        # Defines one operator, which transformers names; it needs nothing of the compiler.
        importlib.import_module("torch._dynamo._trace_wrapped_higher_order_op")
    later = _LATER.setdefault(COMPILER, [])

    @_until_executed(COMPILER)
    def allow_in_graph(marked: Any) -> Any:
        later.append(lambda real: real.allow_in_graph(marked))
        return marked

    @_until_executed(COMPILER)
    def assume_constant_result(marked: Any) -> Any:
        later.append(lambda real: real.assume_constant_result(marked))
        return marked

    @_until_executed(COMPILER)
    def disable(
        fn: Any = None, recursive: bool = True, *, reason: str | None = None, wrapping: bool = True
    ) -> Any:
        if wrapping or fn is None:
            return _disable_dynamo(fn, recursive)
        # torch asks at the function's first call, and keeps the answer there: it is to ask again.
        later.append(lambda _: vars(fn).pop("__dynamo_disable", None))
        return fn

    @_until_executed(COMPILER)
    def graph_break(msg: str = "") -> None:
        """Nothing is compiled."""

    functions = (allow_in_graph, assume_constant_result, disable, graph_break)
    return {each.__name__: each for each in functions} | {"eval_frame": _Frames()}


class _Frames:
    """Stands by for `torch._dynamo.eval_frame`: nothing has been compiled that could be one of its modules."""

    class OptimizedModule:
        """What `torch.compile` makes of a module."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") and name.endswith("__"):
            raise AttributeError(name)
        execute(sys.modules[COMPILER])
        return getattr(sys.modules[f"{COMPILER}.eval_frame"], name)


def _solver() -> dict[str, Any]:
    """The solver that losses of object detection name."""

    @_until_executed(SOLVER)
    def linear_sum_assignment(*given: Any, **named: Any) -> Any:
        execute(sys.modules[SOLVER])
        return sys.modules[SOLVER].linear_sum_assignment(*given, **named)

    return {"linear_sum_assignment": linear_sum_assignment}


class _Shards(type):
    """Of a class that stands by for the real one: nothing is one of it before there is the real one."""

    def _real(cls, demanded: bool = True) -> Any:
        module = sys.modules[SHARDS]
        if demanded:
            execute(module)
        return None if isinstance(module, DeferredModule) else getattr(module, cls.__name__)

    def __instancecheck__(cls, instance: Any) -> bool:
        real = cls._real(demanded=False)
        return real is not None and isinstance(instance, real)

    def __subclasscheck__(cls, subclass: Any) -> bool:
        real = cls._real(demanded=False)
        return real is not None and issubclass(subclass, real)

    def __call__(cls, *given: Any, **named: Any) -> Any:
        return cls._real()(*given, **named)

    def __getattr__(cls, name: str) -> Any:
        if name.startswith("__") and name.endswith("__"):
            raise AttributeError(name)
        return getattr(cls._real(), name)


def _shards() -> dict[str, Any]:
    """The class of tensors that lie in shards on several processes: libraries ask of every tensor whether it is one."""
    return {"DTensor": _Shards("DTensor", (), {})}


COMPILER, SOLVER, SHARDS = "torch._dynamo", "scipy.optimize", "torch.distributed.tensor"
DEFERRED: dict[str, Callable[[], Mapping[str, Any]]] = {
    COMPILER: _compiler,
    SHARDS: _shards,
    SOLVER: _solver,
    "scipy.stats": dict,
    "scipy.integrate": dict,
}
"""Modules that are deferred, and what each can do without being executed."""


class _AroundLoader(Loader):
    """Executes a module within what is to be around that."""

    def __init__(
        self, real: Loader, around: Callable[[ModuleType], contextlib.AbstractContextManager[None]]
    ) -> None:
        self.real, self.around = real, around

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self.real.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        with self.around(module):
            self.real.exec_module(module)


@contextlib.contextmanager
def _transformers_questions(module: ModuleType) -> Iterator[None]:
    """Where transformers asks what there is and what its files define.

    It is told that this process is alone, where it is (some builds of torch are made for one), and to remember what it
    read: it has more folders of models than its memory has places, and would read them all twice.
    """
    yield
    alone, read = "is_torch_distributed_available", "create_import_structure_from_path"
    if hasattr(module, alone) and not is_launched():
        setattr(module, alone, lambda: False)
    remembered = getattr(module, read, None)
    if remembered is not None and hasattr(remembered, "cache_parameters"):
        setattr(module, read, functools.cache(remembered.__wrapped__))


class _Packages(Mapping[str, list[str]]):
    """Which distributions a package is of, found when it is asked for."""

    def __init__(self, find: Callable[[], Mapping[str, list[str]]]) -> None:
        self.find = functools.cache(find)

    def __getitem__(self, name: str) -> list[str]:
        return self.find()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.find())

    def __len__(self) -> int:
        return len(self.find())


@contextlib.contextmanager
def _diffusers_questions(module: ModuleType) -> Iterator[None]:
    """Where diffusers reads what every installed distribution is made of, for three packages that may not be there."""
    import importlib.metadata as metadata

    find = metadata.packages_distributions
    metadata.packages_distributions = lambda: _Packages(find)
    try:
        yield
    finally:
        metadata.packages_distributions = find


AROUND = {
    "transformers.utils.import_utils": _transformers_questions,
    "diffusers.utils.import_utils": _diffusers_questions,
}
LAUNCHED = ("RANK", "WORLD_SIZE")
"""Environment variables by which a process is told that it is one of several."""


def is_launched() -> bool:
    """Whether this process is one of several."""
    return any(name in os.environ for name in LAUNCHED)


class _LoadedLoader(Loader):
    """Of a submodule that its package has imported meanwhile."""

    def __init__(self, module: ModuleType) -> None:
        self.module, self.spec = module, module.__spec__

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return self.module

    def exec_module(self, module: ModuleType) -> None:
        module.__spec__ = self.spec


class Deferring(MetaPathFinder):
    """Defers the modules above while it is `active`; who imports a submodule of one executes it first.

    What shares a model between processes is deferred where this one was not launched as one of several; transformers,
    which imports much of it, is told so.
    """

    active = False

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        package = sys.modules.get(fullname.rpartition(".")[0])
        if isinstance(package, DeferredModule) and "__deferred__" in vars(package):
            execute(package)
            if loaded := sys.modules.get(fullname):
                # Python goes on with the specification of the module that is there by now.
                loaded.__spec__ = ModuleSpec(fullname, _LoadedLoader(loaded))
                return loaded.__spec__
        standing_by = DEFERRED.get(fullname)
        around = AROUND.get(fullname)
        if not self.active or (standing_by is None and around is None):
            return None
        if fullname == SHARDS and is_launched():
            return None
        spec = PathFinder.find_spec(fullname, path)
        if spec is None or spec.loader is None:
            return None
        if standing_by is not None:
            spec.loader = _DeferringLoader(spec.loader, standing_by)
        elif around is not None:
            spec.loader = _AroundLoader(spec.loader, around)
        return spec


_FINDER = Deferring()


@contextlib.contextmanager
def deferring() -> Iterator[None]:
    """Defer within the block what is imported there and not used."""
    if _FINDER not in sys.meta_path:
        sys.meta_path.insert(0, _FINDER)
    before, _FINDER.active = _FINDER.active, True
    try:
        yield
        if "torch.distributed" in sys.modules and not is_launched():
            importlib.import_module(SHARDS)  # libraries import it later, or take it for imported
    finally:
        _FINDER.active = before
