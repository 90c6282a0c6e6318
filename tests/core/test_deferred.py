"""Modules that are executed when they are used."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from importlib.machinery import SourceFileLoader
from pathlib import Path

import pytest

from ddecli.core import deferred
from ddecli.core.deferred import DeferredModule, Deferring, execute

IMPORTED = """
import sys
from ddecli.core.deferred import DeferredModule
from ddecli.core.imports import importing
with importing(defer=True):
    import torch
    from diffusers import DPMSolverMultistepScheduler, UNet2DConditionModel
    from transformers import CLIPModel
    from peft import LoraConfig
waiting = lambda name: isinstance(sys.modules[name], DeferredModule)
"""


def printed(code: str, start: str = IMPORTED, **environment: str) -> list[str]:
    """What a process of its own prints after large imports."""
    done = subprocess.run(
        [sys.executable, "-c", start + code],
        capture_output=True,
        text=True,
        env=os.environ | environment,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split("\n")[:-1]


def test_the_compiler_waits_until_something_is_compiled() -> None:
    code = """
layer = torch.nn.Linear(3, 3)
layer(torch.ones(3)).sum().backward()
print(isinstance(layer, torch._dynamo.eval_frame.OptimizedModule), waiting("torch._dynamo"), "sympy" in sys.modules)

def broken(x):
    x = x + 1
    torch._dynamo.graph_break()
    return 2 * x

graphs = []
def backend(graph, inputs):
    graphs.append(graph)
    return graph.forward
print(torch.compile(broken, backend=backend)(torch.ones(1)).item(), len(graphs))
print(type(sys.modules["torch._dynamo"]).__name__)
print(isinstance(torch.compile(layer), torch._dynamo.eval_frame.OptimizedModule))
"""
    found = printed(code)
    assert found[0] == "False True False"
    assert found[1] == "4.0 2"
    assert found[2] == "module"
    assert found[3:] == ["True"]


def test_what_is_deferred_of_scipy_gives_what_scipy_gives() -> None:
    code = """
import numpy as np
print(waiting("scipy.optimize"), waiting("scipy.stats"), "scipy.linalg" in sys.modules)
from transformers.loss.loss_for_object_detection import linear_sum_assignment
costs = np.array([[4., 1, 3], [2, 0, 5], [3, 2, 2]])
rows, columns = linear_sum_assignment(costs)
print(costs[rows, columns].sum(), waiting("scipy.optimize"))
from scipy.stats import norm
from scipy.optimize._linprog import linprog
from scipy import optimize
print(round(norm.ppf(.975), 4), waiting("scipy.stats"), round(optimize.brentq(lambda x: x * x - 2, 0, 2), 4))
"""
    assert printed(code) == ["True True False", "5.0 False", "1.96 False 1.4142"]


def test_what_tensors_in_shards_take_waits_until_there_are_any() -> None:
    code = """
from transformers.utils import is_torch_distributed_available
print("torch.distributed.tensor._api" in sys.modules, is_torch_distributed_available())
with importing(defer=True):
    from torch.distributed.tensor import DTensor
print(isinstance(torch.ones(2), DTensor), waiting("torch.distributed.tensor"))
from torch.distributed.device_mesh import init_device_mesh
torch.distributed.init_process_group("gloo", store=torch.distributed.HashStore(), rank=0, world_size=1)
from torch.distributed.tensor import DTensor, Shard, distribute_tensor
value = distribute_tensor(torch.ones(2), init_device_mesh("cpu", (1,)), [Shard(0)])
print(isinstance(value, DTensor), isinstance(torch.ones(2), DTensor), value.full_tensor().tolist())
"""
    assert printed(code) == ["False False", "False True", "True False [1.0, 1.0]"]


def test_what_trains_imports_all() -> None:
    code = """
from transformers.utils import is_torch_distributed_available
print("torch._dynamo.eval_frame" in sys.modules, is_torch_distributed_available())
"""
    assert printed(code, start=IMPORTED.replace("defer=True", "")) == ["True True"]


def test_one_of_several_processes_imports_what_it_shares_a_model_with() -> None:
    code = """
from transformers.utils import is_torch_distributed_available
print(is_torch_distributed_available(), "torch._dynamo.eval_frame" in sys.modules)
"""
    assert printed(code, WORLD_SIZE="2") == ["True True"]


def test_transformers_reads_its_files_once() -> None:
    code = """
from transformers import models
from transformers.utils import import_utils
read = import_utils.create_import_structure_from_path
print(read.cache_info().misses < 1.2 * read.cache_info().currsize, hasattr(models, "clip"))
path = str(import_utils.os.path.dirname(models.__file__))
print(read(path) == read.__wrapped__(path))
"""
    assert printed(code) == ["True True", "True"]


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package that is deferred, with a name that stands by; it writes down that it is executed."""
    (tmp_path / "slowly").mkdir()
    (tmp_path / "slowly/__init__.py").write_text(
        "seen = []\nfrom slowly import part\nvalue = 3\nname = 'real'\n"
    )
    (tmp_path / "slowly/part.py").write_text("import slowly\nslowly.seen.append(1)\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(deferred.DEFERRED, "slowly", {"name": "stands by"})
    finder = Deferring()
    finder.active = True
    monkeypatch.setattr(sys, "meta_path", [finder, *sys.meta_path])
    for name in ("slowly", "slowly.part"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    return tmp_path / "slowly"


def test_the_first_look_at_more_executes_a_module_once(package: Path) -> None:
    slowly = importlib.import_module("slowly")
    assert slowly.name == "stands by"
    assert not hasattr(slowly, "__wrapped__")
    assert isinstance(slowly, DeferredModule)
    assert slowly.value == 3
    assert (slowly.name, slowly.seen, type(slowly)) == ("real", [1], type(sys))
    execute(slowly)
    assert slowly.seen == [1]
    assert sys.modules["slowly"] is slowly


def test_a_submodule_executes_its_package(package: Path) -> None:
    """Which imports it itself: neither is executed twice."""
    slowly = importlib.import_module("slowly")
    part = importlib.import_module("slowly.part")
    assert (slowly.seen, type(slowly)) == ([1], type(sys))
    assert slowly.part is part is sys.modules["slowly.part"]
    assert part.__spec__ is not None
    assert isinstance(part.__spec__.loader, SourceFileLoader)


def test_a_module_that_cannot_be_executed_is_as_if_never_imported(package: Path) -> None:
    (package / "__init__.py").write_text("import nothing_of_that_name\n")
    slowly = importlib.import_module("slowly")
    with pytest.raises(ModuleNotFoundError, match="nothing_of_that_name"):
        _ = slowly.value
    assert "slowly" not in sys.modules
