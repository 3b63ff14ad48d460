"""Arrays of a stand-in framework: operators, and derivatives by the chain rule. Standard library only.

A framework's own array is a subclass that says where an operation runs, and what starting it comes to. Numbers of
half precision are kept in single precision: what the probe computes is exact in both.
"""

from array import array

from . import arithmetic

_recording = [True]


class Values:
    """Numbers, their shape, their element type, and the place that holds them."""

    def __init__(self, flat, shape, place, dtype="float32"):
        self._flat = flat
        self.shape = shape
        self._place = place
        self._dtype = dtype
        self._watched = False  # whether derivatives by it are wanted
        self._origin = ()  # (array, function from the slope by this one to the slope by that one)

    def _start(self, operation, *others):
        """Start an operation's kernel; the place of its result."""
        raise NotImplementedError

    def _run(self, operation, compute, origin, *others):
        place = self._start(operation, *others)
        result = type(self)(*compute(), place, self._dtype)
        if _recording[0] and any(source._watched for source, _ in origin):
            result._watched, result._origin = True, origin
        return result

    def __matmul__(self, other):
        a, b = (self._flat, self.shape), (other._flat, other.shape)
        shape = (self.shape[0], other.shape[1])
        origin = (
            (self, lambda slope: arithmetic.matmul(slope, shape, *arithmetic.transpose(*b))[0]),
            (other, lambda slope: arithmetic.matmul(*arithmetic.transpose(*a), slope, shape)[0]),
        )
        return self._run("MatMul", lambda: arithmetic.matmul(*a, *b), origin, other)

    def __mul__(self, other):
        if isinstance(other, float):
            factor = array("f", [other]) * len(self._flat)
            origin = ((self, lambda slope: arithmetic.multiply(slope, factor)),)
            return self._run("Mul", lambda: (arithmetic.multiply(self._flat, factor), self.shape), origin)
        origin = (
            (self, lambda slope: arithmetic.multiply(slope, other._flat)),
            (other, lambda slope: arithmetic.multiply(slope, self._flat)),
        )
        return self._run("Mul", lambda: (arithmetic.multiply(self._flat, other._flat), self.shape), origin, other)

    def __add__(self, other):
        origin = ((self, lambda slope: slope), (other, lambda slope: slope))
        return self._run("AddV2", lambda: (arithmetic.add(self._flat, other._flat), self.shape), origin, other)

    def __sub__(self, other):
        origin = ((self, lambda slope: slope), (other, arithmetic.negate))
        return self._run(
            "Sub", lambda: (arithmetic.add(self._flat, arithmetic.negate(other._flat)), self.shape), origin, other
        )

    def _total(self):
        """The sum of all elements."""
        origin = ((self, lambda slope: slope * len(self._flat)),)
        return self._run("Sum", lambda: (arithmetic.total(self._flat), ()), origin)

    def _rectified(self):
        """The elements, and 0 instead of negative ones."""
        origin = ((self, lambda slope: array("f", [s if x > 0 else 0.0 for s, x in zip(slope, self._flat)])),)
        return self._run("Relu", lambda: (array("f", [max(x, 0.0) for x in self._flat]), self.shape), origin)


class Paused:
    """`with Paused():` nothing is remembered for derivatives."""

    def __enter__(self):
        self._before, _recording[0] = _recording[0], False

    def __exit__(self, *exception):
        _recording[0] = self._before


def slopes(loss, sources):
    """The derivatives of a number by each of the sources, as flat arrays."""
    found = {id(loss): array("f", [1.0])}
    for result in reversed(_in_order(loss)):
        for source, backwards in result._origin:
            if source._watched:
                slope = backwards(found[id(result)])
                found[id(source)] = arithmetic.add(found[id(source)], slope) if id(source) in found else slope
    return [found[id(source)] for source in sources]


def leaves(loss):
    """What a number was computed from and derivatives are wanted by."""
    return [values for values in _in_order(loss) if values._watched and not values._origin]


def _in_order(loss):
    """What the number was computed from, each after its own origins."""
    ordered, seen, waiting = [], set(), [(loss, False)]
    while waiting:
        values, done = waiting.pop()
        if done:
            ordered.append(values)
        elif id(values) not in seen:
            seen.add(id(values))
            waiting.append((values, True))
            waiting += [(source, False) for source, _ in values._origin if source._watched]
    return ordered
