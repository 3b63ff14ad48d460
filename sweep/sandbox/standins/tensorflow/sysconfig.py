"""tf.sysconfig: what the build says of itself."""

from ._build import BUILD


def get_build_info():
    """A mapping; a CPU build says only that it is one."""
    if not BUILD.cuda:
        return {"is_cuda_build": False, "is_rocm_build": False, "is_tensorrt_build": False}
    cudnn = [name.rpartition(".")[2] for name in BUILD.libraries if name.startswith("libcudnn.")]
    return {
        "is_cuda_build": True,
        "is_rocm_build": False,
        "is_tensorrt_build": False,
        "cuda_version": BUILD.cuda,
        "cudnn_version": cudnn[0],
        "cuda_compute_capabilities": BUILD.arch_names(),
    }
