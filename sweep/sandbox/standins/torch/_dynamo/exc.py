"""Exceptions of the compiler's front end."""


class TorchDynamoException(RuntimeError):  # noqa: N818 - PyTorch's own names
    """Base of them all."""


class BackendCompilerFailed(TorchDynamoException):
    """A backend raised an error."""


class ShortenTraceback(TorchDynamoException):
    """An error whose traceback inside the compiler says nothing to a user."""
