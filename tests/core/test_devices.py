"""Which device a process takes, and which share of the work."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from ddecli.core import devices
from ddecli.core.devices import choose_device, share_of_processes
from ddecli.core.errors import UserError


def test_each_process_has_a_gpu_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    assert choose_device("auto") == torch.device("cuda")
    monkeypatch.setenv("LOCAL_RANK", "3")
    assert choose_device("auto") == choose_device("cuda") == torch.device("cuda", 3)
    assert choose_device("cpu") == torch.device("cpu")
    monkeypatch.setenv("LOCAL_RANK", "4")
    with pytest.raises(UserError, match="torch sees 4: launch as many processes as there are GPUs"):
        choose_device("auto")


def test_the_share_of_a_process(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RANK", "WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)
    assert share_of_processes() == (1, 1)
    monkeypatch.setenv("RANK", "2")
    monkeypatch.setenv("WORLD_SIZE", "8")
    assert share_of_processes() == (3, 8)


@pytest.mark.parametrize(
    ("built", "said"),
    [(None, "it was built without CUDA"), ("13.0", "too old for the CUDA 13.0 that it was built")],
)
def test_a_gpu_that_torch_cannot_use_is_said_once(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    built: str | None,
    said: str,
) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.delenv("RANK", raising=False)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.version, "cuda", built)
    monkeypatch.setattr(devices, "NVIDIA", tmp_path / "version")
    devices._say_of_idle_gpu.cache_clear()
    assert choose_device("auto") == torch.device("cpu") and not capsys.readouterr().err
    (tmp_path / "version").write_text("NVRM version: 570")
    devices._say_of_idle_gpu.cache_clear()
    choose_device("cpu")
    assert not capsys.readouterr().err
    choose_device("auto")
    assert f"has an NVIDIA GPU that torch {torch.__version__} cannot use: " in (
        found := capsys.readouterr().err
    )
    assert said in found
    choose_device("auto")
    assert not capsys.readouterr().err
    devices._say_of_idle_gpu.cache_clear()
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")  # hidden on purpose
    choose_device("auto")
    assert not capsys.readouterr().err
    devices._say_of_idle_gpu.cache_clear()
