"""A framework of a few lines for the tests of what runs on the node, and how to read what that leaves.

It serves exactly the calls of sweep/probe/pytorch.py, computes on the CPU, and misbehaves at a rung (or while the
speed is measured) as the environment variable MISBEHAVE says, such as `kernel:segv`.
"""

from __future__ import annotations

import json
from pathlib import Path

from sweep.sandbox.channel import STANDINS
from sweep.schema import ProbeResult

ROOT = Path(__file__).resolve().parents[2]
PROBE = ROOT / "sweep" / "probe"

TORCH = r"""
import os, signal, sys, time, types
from ._simgpu import arithmetic
from ._simgpu.values import Paused as no_grad, Values, leaves, slopes

def misbehave(rung):
    where, _, what = os.environ.get("MISBEHAVE", "").partition(":")
    if where != rung:
        return None
    if what == "segv":
        os.kill(os.getpid(), signal.SIGSEGV)
    if what == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    if what == "old-cpu":
        os.kill(os.getpid(), signal.SIGILL)
    if what == "lost-file":
        os.kill(os.getpid(), signal.SIGBUS)
    if what == "last-words":
        os.write(2, b"CUDA error: uncorrectable ECC error encountered\n")
        os.abort()
    if what == "hang":
        time.sleep(600)
    if what == "close":
        os.closerange(1, 20)
        time.sleep(600)
    if what == "flood":
        while True:
            os.write(2, b"flood " * 10000)
    if what == "exit":
        os._exit(3)
    if what == "sysexit":
        sys.exit("leaving")
    if what == "kill-parent":
        time.sleep(1)
        os.kill(os.getppid(), signal.SIGKILL)
        time.sleep(600)
    if what == "garbage":
        os.write(2, bytes(range(256)) * 200)
        raise RuntimeError("bad bytes: \udcff \x00 \x1b[31m \u00e9")
    if what == "error":
        try:
            raise OSError("libcudart.so.12: cannot open shared object file")
        except OSError as error:
            raise RuntimeError("CUDA error: no kernel image is available for execution on the device") from error
    if what == "ecc":
        raise RuntimeError("CUDA error: uncorrectable ECC error encountered")
    if what == "long":
        raise RuntimeError("x" * 100000)
    return what

misbehave("import")
__version__ = "9.9" + os.environ.get("ACTIVATED", "")
float32, float16, bfloat16 = "torch.float32", "torch.float16", "torch.bfloat16"

class Tensor(Values):
    grad = None
    dtype = property(lambda self: self._dtype)
    def _start(self, operation, *others):
        return self._place
    def sum(self):
        return self._total()
    def relu(self):
        return self._rectified()
    def requires_grad_(self):
        self._watched = True
        return self
    def backward(self):
        what = misbehave("gradient")
        wanted = leaves(self)
        for leaf, slope in zip(wanted, slopes(self, wanted)):
            leaf.grad = Tensor(slope, leaf.shape, leaf._place)
            if what == "wrong":
                leaf.grad._flat[0] += 0.25
    def __isub__(self, other):
        self._flat = (self - other)._flat
        return self
    def cpu(self):
        return self
    def tolist(self):
        return arithmetic.nest(self._flat, self.shape)
    def item(self):
        return self._flat[0]

def device(name):
    return name

def tensor(values, dtype, device):
    return Tensor(*arithmetic.flatten(values), device, dtype)

def full(shape, value, dtype, device):
    return Tensor(*arithmetic.full(shape, value), device, dtype)

def rand(*shape, device):
    misbehave("speed")
    return Tensor(*arithmetic.uniform(shape), device)

def mm(a, b, out):
    what = misbehave("kernel")
    if what == "half" and a.dtype != float32:
        raise RuntimeError("CUBLAS_STATUS_EXECUTION_FAILED")
    if what == "no-half" and a.dtype == float16:
        raise RuntimeError('"addmm_impl_cpu_" not implemented for \'Half\'')
    if what == "no-bfloat16" and a.dtype == bfloat16:
        raise RuntimeError("_th_mm not supported on CUDAType for BFloat16")
    if what == "cublas-lacks-half" and a.dtype == float16:
        raise RuntimeError("CUDA error: CUBLAS_STATUS_NOT_SUPPORTED when calling `cublasGemmEx(...)`")
    if what == "unimplemented" and a.dtype == bfloat16:
        raise type("UnimplementedError", (Exception,), {})("no such thing")
    product = (a @ b)._flat
    place = 5 * out.shape[1] + 7
    if what == "wrong":
        product[place] += 1 / 256
    if what == "unwritten":
        product[place] = out._flat[place]
    if what == "zeros":
        product = arithmetic.full(out.shape, 0.0)[0]
    if what == "type":
        out._dtype = "torch.float64"
    if what == "shape":
        out.shape = (out.shape[1] // 2, out.shape[0] * 2)
    if what == "wrong-half" and a.dtype == bfloat16:
        product[place] += 0.25
    out._flat = product

def _conv2d(image, kernel):
    misbehave("library")
    answer = Tensor(*arithmetic.conv(image._flat, image.shape, kernel._flat, kernel.shape), image._place)
    if backends.cudnn.allow_tf32:
        answer._flat[0] += 0.01  # as an algorithm that transforms its input may err
    return answer

def compile(function):
    misbehave("jit")
    return function

cuda = types.SimpleNamespace(
    get_arch_list=lambda: (misbehave("cuda-build"), ["sm_80"])[1],
    init=lambda: misbehave("device"),
    device_count=lambda: int(os.environ.get("DEVICES", "1")),
    get_device_name=lambda index: "Toy",
    get_device_capability=lambda index: (7, 5) if misbehave("device") == "capability" else (8, 0),
    synchronize=lambda: misbehave("copy"),
)
version = types.SimpleNamespace(cuda=None if os.environ.get("MISBEHAVE") == "cuda-build:cpu" else "12.4")
backends = types.SimpleNamespace(
    cudnn=types.SimpleNamespace(is_available=lambda: True, version=lambda: 90100, allow_tf32=True),
    cuda=types.SimpleNamespace(matmul=types.SimpleNamespace(allow_tf32=False)),
)
nn = types.SimpleNamespace(functional=types.SimpleNamespace(conv2d=_conv2d))
"""


def toy_files() -> dict[str, bytes]:
    """The files of the toy framework, by their paths in site-packages; its arithmetic is the stand-ins'."""
    shared = sorted((STANDINS / "_simgpu").glob("*.py"))
    return {
        "torch/__init__.py": TORCH.encode(),
        **{f"torch/_simgpu/{path.name}": path.read_bytes() for path in shared},
    }


def result_of(path: Path) -> ProbeResult:
    """result.json as the rest of the house reads it; checks the bounds too."""
    text = path.read_text(encoding="ascii")
    assert text.endswith("\n")
    assert len(text) < 262144
    json.loads(text, parse_constant=lambda name: (_ for _ in ()).throw(ValueError(name)))
    return ProbeResult.model_validate_json(text)


def outcomes(result: ProbeResult) -> list[str]:
    """The outcomes of the rungs, in order."""
    return [rung.outcome.value for rung in result.rungs]
