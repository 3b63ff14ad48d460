"""tf.errors: the classes that the stand-in raises, with the module name that users see."""


class OpError(Exception):
    """Base of them all."""

    def __init__(self, message):
        Exception.__init__(self, message)
        self.message = message


class InternalError(OpError):
    """What CUDA refuses."""


class InvalidArgumentError(OpError):
    """An operation on a device that is not there."""


for _class in (OpError, InternalError, InvalidArgumentError):
    _class.__module__ = "tensorflow.python.framework.errors_impl"
