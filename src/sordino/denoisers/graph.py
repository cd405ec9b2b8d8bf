"""A DeepFilterNet as one ONNX graph with explicit state, built from the three graphs of a released archive.

An archive's encoder, ERB decoder and filter decoder start cold at every call. Here the recurrent layers and all
convolutions over time take what they remember as inputs and give it back as outputs, so that consecutive blocks of any
number of frames compute what one call over the whole recording would.

The members of the family differ in widths, in the reach of their convolutions over time and in how their layers are
joined. All of it is read off the archive: its parameters come in the same order in each.

Convolutions that follow each other without a nonlinearity are multiplied out where ONNX Runtime is faster so. Recurrent
layers too large for a core's second-level cache, whose weights every frame reads again, get weights of 8 bits there.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

OPSET = 17
IR_VERSION = 8  # the ONNX release of that opset
CONTRIB = "com.microsoft"  # ONNX Runtime's own operators
OPSETS = (helper.make_opsetid("", OPSET), helper.make_opsetid(CONTRIB, 1))

LARGEST_RECURRENT = 2**20
"""Weights of a recurrent layer that are kept as they are: 4 MiB of float32 with its input's."""

QUANTUM = 128
"""Weights that share a scale; with fewer the loop is slower, and nothing is heard of it."""

CHANNELS = 64
BANDS = 32
BINS = 96
TAPS = 5

# Names and shapes of the graph's ends, "channels" (the batch) and "frames" free. Beside them come the states, each as
# an input and, as "next_<name>", as an output.
FEATURES = {
    "erb": ("channels", "frames", BANDS),
    # Real part, imaginary part, and 1: before the first frame all three are 0.
    "complex": ("channels", 3, "frames", BINS),
}
OUTPUTS = {
    "gains": ("channels", "frames", BANDS),
    "coefficients": ("channels", "frames", BINS, 2 * TAPS),
}

_Array = NDArray[np.float32]
_Shapes = dict[str, tuple[int | str, ...]]


class Source:
    """Parameters of one of an archive's graphs: those of each kind of layer in the order of the graph.

    Attributes:
        convolutions: weight, and bias where there is one; shape (out, in / groups, time, bins).
        transposed: the same of the transposed convolutions.
        linear: the weights of the grouped linear layers, shape (groups, in, out).
        recurrent: input weights, recurrent weights and biases.
        adds: the names of the additions.
    """

    def __init__(self, model: bytes) -> None:
        graph = onnx.load_from_string(model).graph
        tensors = {tensor.name: tensor for tensor in graph.initializer}
        tensors |= {node.output[0]: node.attribute[0].t for node in graph.node if node.op_type == "Constant"}

        def parameters(kind: str) -> list[list[_Array]]:
            return [
                [numpy_helper.to_array(tensors[name]) for name in node.input if name in tensors]
                for node in graph.node
                if node.op_type == kind
            ]

        self.convolutions = parameters("Conv")
        self.transposed = parameters("ConvTranspose")
        self.linear = [weight for (weight,) in parameters("Einsum")]
        self.recurrent = parameters("GRU")
        self.adds = frozenset(node.name for node in graph.node if node.op_type == "Add")


@dataclass(slots=True)
class Builder:
    """Collects nodes, constants and states; each method adds one node or layer and returns the name of its output."""

    prefix: str = ""
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    constants: list[onnx.TensorProto] = field(default_factory=list)
    states: _Shapes = field(default_factory=dict)

    def constant(self, value: NDArray[np.generic]) -> str:
        """A parameter of the graph."""
        name = f"{self.prefix}constant_{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def node(self, kind: str, *inputs: str, outputs: Sequence[str] | None = None, **attributes: Any) -> str:  # noqa: ANN401
        """Any operator, by its ONNX name; only the name of its first output is returned."""
        names = list(outputs or [f"{self.prefix}{kind}_{len(self.nodes)}"])
        self.nodes.append(helper.make_node(kind, list(inputs), names, name=names[0], **attributes))
        return names[0]

    def state(self, *shape: int | str) -> tuple[str, str]:
        """A new state: the names of its input and of the output that takes its place."""
        name = f"state_{len(self.states)}"
        self.states[name] = shape
        return name, f"next_{name}"

    def reshape(self, x: str, *shape: int) -> str:
        """A view with other sizes; 0 keeps the size, -1 takes what is left."""
        return self.node("Reshape", x, self.constant(np.array(shape, np.int64)))

    def transpose(self, x: str, *axes: int) -> str:
        """The axes in another order."""
        return self.node("Transpose", x, perm=axes)

    def relu(self, x: str) -> str:
        """Negative values as 0."""
        return self.node("Relu", x)

    def causal(self, x: str, parameters: Sequence[_Array], bins: int, *, stride: int = 1, group: int = 1) -> str:
        """Convolution over (frames, bins): in time it reaches back, also into blocks before; centred over the bins."""
        _, maps, time, _ = parameters[0].shape
        if time > 1:
            x = self.remember(x, (maps * group, time - 1, bins))
        return self.conv(x, parameters, stride=stride, group=group)

    def conv(self, x: str, parameters: Sequence[_Array], *, stride: int = 1, group: int = 1) -> str:
        """The same over input that holds its past: fewer frames come out, the first of which have none before them."""
        width = parameters[0].shape[3]
        return self.node(
            "Conv",
            x,
            *(self.constant(value) for value in parameters),
            group=group,
            strides=(1, stride),
            pads=(0, width // 2, 0, width // 2),
        )

    def remember(self, x: str, shape: tuple[int, int, int]) -> str:
        """Put the last frames of the block before in front of ``x``, and hand on the last ones of this block."""
        before, after = self.state("channels", *shape)
        joined = self.node("Concat", before, x, axis=2)
        last = [self.constant(np.array([value])) for value in (-shape[1], np.iinfo(np.int64).max, 2)]
        self.node("Slice", joined, *last, outputs=[after])
        return joined

    def last(self, x: str, axis: int, *, dropped: int) -> str:
        """All but the first ``dropped`` of an axis."""
        ends = [self.constant(np.array([value])) for value in (dropped, np.iinfo(np.int64).max, axis)]
        return self.node("Slice", x, *ends)

    def separable(self, x: str, layers: Sequence[Sequence[_Array]], bins: int, *, stride: int = 1) -> str:
        """A convolution of each map by itself, one across the maps, and the nonlinearity."""
        depthwise, pointwise = layers
        return self.relu(self.causal(self.causal(x, depthwise, bins, stride=stride, group=CHANNELS), pointwise, bins))

    def doubling(self, x: str, depthwise: Sequence[_Array], pointwise: Sequence[_Array]) -> str:
        """The separable transposed convolution that doubles the bins, multiplied out to a dense one."""
        (first,), (second, bias) = depthwise, pointwise
        weight = np.einsum("imft,oixy->ioft", first, second)
        parameters = (self.constant(weight), self.constant(bias))
        return self.relu(
            self.node("ConvTranspose", x, *parameters, strides=(1, 2), pads=(0, 1, 0, 1), output_padding=(0, 1))
        )

    def grouped(self, x: str, weight: _Array) -> str:
        """A linear layer of independent groups over (frames, channels, values)."""
        groups, inputs, outputs = weight.shape
        x = self.transpose(self.reshape(x, 0, 0, groups, inputs), 1, 2, 0, 3)
        x = self.transpose(self.node("MatMul", x, self.constant(weight)), 2, 0, 1, 3)
        return self.reshape(x, 0, 0, groups * outputs)

    def vectors(self, x: str) -> str:
        """From (channels, maps, frames, bins) to (frames, channels, bins * maps)."""
        return self.transpose(self.reshape(self.transpose(x, 0, 2, 3, 1), 0, 0, -1), 1, 0, 2)

    def recurrent(self, x: str, layers: Sequence[Sequence[_Array]]) -> str:
        """Gated recurrent layers, one after the other, over (frames, channels, values)."""
        for number, (w, r, b) in enumerate(layers):
            if w.size + r.size <= LARGEST_RECURRENT:
                x = self._plain(x, w, r, b)
            else:
                # What such a layer gives lies within -1 and 1; what the first one takes need not.
                inward = self.dense(x, w[0], b[0, : 3 * r.shape[2]], bounded=number > 0)
                x = self._quantised(inward, r[0], b[0, 3 * r.shape[2] :])
        return x

    def _plain(self, x: str, w: _Array, r: _Array, b: _Array) -> str:
        hidden = r.shape[2]
        before, after = self.state(1, "channels", hidden)
        y = f"{after}_frames"
        weights = [self.constant(value) for value in (w, r, b)]
        self.node("GRU", x, *weights, "", before, outputs=(y, after), hidden_size=hidden, linear_before_reset=1)
        return self.node("Squeeze", y, self.constant(np.array([1])))

    def _quantised(self, inward: str, r: _Array, b: _Array) -> str:
        """The same as a loop with 8-bit weights, after the input's part; in ONNX's order: update, reset, candidate."""
        hidden = r.shape[1]
        before, after = self.state("channels", hidden)
        gates, candidate = self._parts(inward, 2 * hidden, hidden)
        body = Builder(prefix=f"{after}_")
        y = f"{after}_frames"
        inputs = {"h": ("channels", hidden), "gates": ("channels", 2 * hidden), "candidate": ("channels", hidden)}
        body.step(r, b)
        graph = helper.make_graph(
            body.nodes,
            "step",
            _values(inputs),
            _values({"next_h": ("channels", hidden), "frame": ("channels", hidden)}),
            body.constants,
        )
        self.node("Scan", before, gates, candidate, outputs=(after, y), body=graph, num_scan_inputs=2)
        return y

    def step(self, r: _Array, b: _Array) -> None:
        """One frame of a gated recurrent layer: from ``h``, ``gates`` and ``candidate`` to ``next_h`` and ``frame``."""
        hidden = r.shape[1]
        recurrent_gates, recurrent_candidate = self._parts(self.product("h", r, b), 2 * hidden, hidden)
        gates = self.node("Sigmoid", self.node("Add", recurrent_gates, "gates"))
        update, reset = self._parts(gates, hidden, hidden)
        candidate = self.node("Tanh", self.node("Add", self.node("Mul", reset, recurrent_candidate), "candidate"))
        kept = self.node("Mul", update, self.node("Sub", "h", candidate))
        self.node("Add", candidate, kept, outputs=["next_h"])
        self.node("Identity", "next_h", outputs=["frame"])

    def dense(self, x: str, weight: _Array, bias: _Array, *, bounded: bool) -> str:
        """A linear layer for many rows at once; in 8 bits where its input is known to lie within -1 and 1.

        Args:
            x: float32, its last axis as long as a row of ``weight``.
            weight: shape (outputs, inputs).
            bias: shape (outputs,).
            bounded: whether all of ``x`` lies within -1 and 1.
        """
        if not bounded:
            return self.node("Add", self.node("MatMul", x, self.constant(weight.T)), self.constant(bias))
        middle, unit = self.constant(np.array(128, np.uint8)), self.constant(np.array(1 / 127, np.float32))
        # Seven bits: without VNNI the pairs of products of eight would overflow the 16 bits they are added in.
        scales = _scales(np.abs(weight).max(axis=1), 63)
        values = np.rint(weight / scales[:, None]).astype(np.int8)
        rounded = self.node("QuantizeLinear", x, unit, middle)
        zeros = self.constant(np.zeros(len(weight), np.int8))
        parameters = [self.constant(values.T), unit, self.constant(scales), middle, zeros, self.constant(bias)]
        return self.node("MatMulIntegerToFloat", rounded, *parameters, domain=CONTRIB)

    def product(self, x: str, weight: _Array, bias: _Array) -> str:
        """A linear layer for single rows, in 8 bits: each `QUANTUM` of a row of weights has its scale, and of ``x``.

        Args:
            x: float32, its last axis as long as a row.
            weight: shape (outputs, inputs).
            bias: shape (outputs,).
        """
        rows = weight.reshape(len(weight), -1, QUANTUM)
        scales = _scales(np.abs(rows).max(axis=2), 127)
        values = (np.rint(rows / scales[:, :, None]) + 128).astype(np.uint8)  # the middle value stands for 0
        return self.node(
            "MatMulNBits",
            x,
            self.constant(values),
            self.constant(scales.ravel()),
            "",
            "",
            self.constant(bias),
            domain=CONTRIB,
            K=weight.shape[1],
            N=len(weight),
            bits=8,
            block_size=QUANTUM,
            accuracy_level=4,
        )

    def _parts(self, x: str, *sizes: int) -> list[str]:
        """Pieces of the last axis."""
        names = [f"{self.prefix}Split_{len(self.nodes)}_{part}" for part in range(len(sizes))]
        self.node("Split", x, self.constant(np.array(sizes)), outputs=names, axis=-1)
        return names


def fuse(encoder: bytes, erb_decoder: bytes, df_decoder: bytes) -> bytes:
    """Make the fused graph.

    Args:
        encoder: ``enc.onnx`` of the archive.
        erb_decoder: ``erb_dec.onnx``.
        df_decoder: ``df_dec.onnx``.

    Returns:
        A serialised ONNX model with the inputs `FEATURES` and ``state_*`` and the outputs `OUTPUTS` and ``next_*``,
        the states in the same order.
    """
    build = Builder()
    embedding, skips, filter_input = _encoder(build, Source(encoder))
    _erb_decoder(build, Source(erb_decoder), embedding, skips)
    _df_decoder(build, Source(df_decoder), embedding, filter_input)

    inputs = FEATURES | build.states
    outputs = OUTPUTS | {f"next_{name}": shape for name, shape in build.states.items()}
    graph = helper.make_graph(build.nodes, "deepfilternet", _values(inputs), _values(outputs), build.constants)
    model = helper.make_model(graph, opset_imports=OPSETS, ir_version=IR_VERSION)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString(deterministic=True))


def _encoder(build: Builder, source: Source) -> tuple[str, list[str], str]:
    """The embedding (frames, channels, values), the skip connections, and what the filter's convolution sees."""
    conv = source.convolutions
    e0 = build.relu(build.causal(build.node("Unsqueeze", "erb", build.constant(np.array([1]))), conv[0], BANDS))
    e1 = build.separable(e0, conv[1:3], BANDS, stride=2)
    e2 = build.separable(e1, conv[3:5], BANDS // 2, stride=2)
    e3 = build.separable(e2, conv[5:7], BANDS // 4)
    # The filter's convolution looks TAPS frames back. What it sees is computed again from the past input, which is
    # small: kept, it would have to be brought from ONNX Runtime's own layout to the common one and back.
    past = build.remember("complex", (3, conv[7][0].shape[2] - 1 + TAPS - 1, BINS))
    c0 = build.relu(build.conv(past, _started(*_product(*conv[7:9]))))
    depthwise, pointwise = conv[9:11]
    c1 = build.relu(build.conv(build.conv(c0, depthwise, stride=2, group=CHANNELS), pointwise))
    c1 = build.last(build.vectors(c1), 0, dropped=TAPS - depthwise[0].shape[2])

    filtering, inward, *outward = source.linear
    x = _joined(build, build.vectors(e3), build.relu(build.grouped(c1, filtering)), inward)
    x = build.recurrent(build.relu(build.grouped(x, inward)), source.recurrent)
    for weight in outward:
        x = build.relu(build.grouped(x, weight))
    return x, [e0, e1, e2, e3], c0


def _joined(build: Builder, erb: str, complex_: str, inward: _Array) -> str:
    """The two embeddings added, or one after the other where the next layer is as wide as both."""
    width = CHANNELS * BANDS // 4
    if inward.shape[0] * inward.shape[1] == width:
        return build.node("Add", erb, complex_)
    return build.node("Concat", erb, complex_, axis=2)


def _erb_decoder(build: Builder, source: Source, embedding: str, skips: Sequence[str]) -> None:
    conv, (inward, outward) = source.convolutions, source.linear
    e0, e1, e2, e3 = skips

    def skip(x: str, parameters: Sequence[_Array]) -> str:
        return build.relu(build.causal(x, parameters, 0, group=CHANNELS))

    before = build.relu(build.grouped(embedding, inward))
    x = build.recurrent(before, source.recurrent)
    if "/emb_gru/Add" in source.adds:
        x = build.node("Add", x, before)
    x = build.relu(build.grouped(x, outward))
    x = build.transpose(build.reshape(build.transpose(x, 1, 0, 2), 0, 0, -1, CHANNELS), 0, 3, 1, 2)
    x = build.node("Add", skip(e3, conv[0]), x)
    x = build.separable(x, conv[1:3], BANDS // 4)
    x = build.node("Add", skip(e2, conv[3]), x)
    x = build.doubling(x, source.transposed[0], conv[4])
    x = build.node("Add", skip(e1, conv[5]), x)
    x = build.doubling(x, source.transposed[1], conv[6])
    x = build.node("Add", skip(e0, conv[7]), x)
    x = build.node("Sigmoid", build.causal(x, conv[8], BANDS))
    build.node("Squeeze", x, build.constant(np.array([1])), outputs=["gains"])


def _df_decoder(build: Builder, source: Source, embedding: str, filter_input: str) -> None:
    inward, *skips, outward = source.linear
    before = build.relu(build.grouped(embedding, inward))
    x = build.recurrent(before, source.recurrent)
    x = build.node("Add", x, build.grouped(embedding, skips[0]) if skips else before)
    x = build.node("Tanh", build.grouped(x, outward))
    x = build.reshape(build.transpose(x, 1, 0, 2), 0, 0, BINS, 2 * TAPS)

    pathway = build.relu(build.conv(filter_input, _product(*source.convolutions)))
    build.node("Add", x, build.transpose(pathway, 0, 2, 3, 1), outputs=["coefficients"])


def _started(weight: _Array, bias: _Array) -> list[_Array]:
    """A convolution whose bias comes by way of a map more, of ones: before the first frame its output is 0."""
    ones = np.zeros_like(weight[:, :1])
    ones[:, 0, -1, ones.shape[3] // 2] = bias
    return [np.concatenate((weight, ones), axis=1)]


def _product(grouped: Sequence[_Array], pointwise: Sequence[_Array], *, groups: int = 2) -> list[_Array]:
    """One dense convolution for a grouped one without bias and the 1x1 convolution that follows it."""
    (first,), (second, bias) = grouped, pointwise
    weight = np.einsum(
        "pgo,goifb->pgifb",
        second.reshape(len(second), groups, -1),
        first.reshape(groups, -1, *first.shape[1:]),
    )
    return [weight.reshape(len(second), -1, *first.shape[2:]), bias]


def _scales(largest: NDArray[np.floating], integer: int) -> _Array:
    """Scales that bring the largest values to an integer; none is 0."""
    return np.maximum(largest / integer, np.finfo(np.float32).tiny).astype(np.float32)


def _values(shapes: Mapping[str, tuple[int | str, ...]]) -> list[onnx.ValueInfoProto]:
    return [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in shapes.items()]
