"""tf.GradientTape."""

from ._simgpu.values import slopes
from ._tensor import Tensor


class GradientTape:
    """`with tf.GradientTape() as tape:` derivatives by what is watched."""

    def __enter__(self):
        self._watched = []
        return self

    def __exit__(self, *exception):
        for tensor in self._watched:
            tensor._watched = False

    def watch(self, tensor):
        """Derivatives by a tensor, or by each of a list, are wanted."""
        self._watched += tensor if isinstance(tensor, list) else [tensor]
        for each in self._watched:
            each._watched = True

    def gradient(self, target, sources):
        """The derivatives of a number by a tensor, or by each of a list."""
        wanted = sources if isinstance(sources, list) else [sources]
        for each in wanted:
            each._watched = True
        found = [Tensor(s, w.shape, w._place, w._dtype) for s, w in zip(slopes(target, wanted), wanted)]
        for each in wanted:
            each._watched = False
        return found if isinstance(sources, list) else found[0]
