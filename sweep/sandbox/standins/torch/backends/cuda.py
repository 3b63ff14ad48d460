"""torch.backends.cuda: the switches of the matrix product."""


class matmul:  # noqa: N801 - PyTorch's own name
    """Whether TF32 may be used."""

    allow_tf32 = False
