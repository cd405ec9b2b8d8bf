"""DeepFilterNet 3 as one ONNX graph with explicit state, built from the three graphs of the released archive.

The archive's encoder, ERB decoder and filter decoder start cold at every call. Here the five recurrent layers, the
input convolutions and the filter decoder's convolution take what they remember as inputs and give it back as outputs,
so that consecutive blocks of any number of frames compute what one call over the whole recording would.

Convolutions that follow each other without a nonlinearity are multiplied out where ONNX Runtime is faster so.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

OPSET = 17
IR_VERSION = 8  # the ONNX release of that opset

CHANNELS = 64
HIDDEN = 256
RECURRENT_LAYERS = 5
BANDS = 32
BINS = 96
TAPS = 5

# Names and shapes of the graph's ends, "channels" (the batch) and "frames" free. The states come back as "next_<name>".
FEATURES = {
    "erb": ("channels", "frames", BANDS),
    "complex": ("channels", 2, "frames", BINS),
}
STATES = {
    "past_erb": ("channels", 1, 2, BANDS),
    "past_complex": ("channels", 2, 2, BINS),
    "past_filter": ("channels", CHANNELS, TAPS - 1, BINS),
    "hidden": (RECURRENT_LAYERS, "channels", HIDDEN),
}
OUTPUTS = {
    "gains": ("channels", "frames", BANDS),
    "coefficients": ("channels", "frames", BINS, 2 * TAPS),
}

_Array = NDArray[np.float32]


class Source:
    """Parameters of one of the archive's graphs, by the name of the node that uses them."""

    def __init__(self, model: bytes) -> None:
        graph = onnx.load_from_string(model).graph
        self._tensors = {tensor.name: tensor for tensor in graph.initializer}
        self._tensors |= {node.output[0]: node.attribute[0].t for node in graph.node if node.op_type == "Constant"}
        self._nodes = {node.name: node for node in graph.node}

    def parameters(self, node: str) -> list[_Array]:
        """The constant inputs of a node, in order."""
        names = self._nodes[node].input
        return [numpy_helper.to_array(self._tensors[name]) for name in names if name in self._tensors]


class Builder:
    """Collects nodes and constants; each method adds one node or layer and returns the name of its output."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def constant(self, value: NDArray[np.generic]) -> str:
        """A parameter of the graph."""
        name = f"constant_{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def node(self, kind: str, *inputs: str, outputs: Sequence[str] | None = None, **attributes: Any) -> str:  # noqa: ANN401
        """Any operator, by its ONNX name; only the name of its first output is returned."""
        names = list(outputs or [f"{kind}_{len(self.nodes)}"])
        self.nodes.append(helper.make_node(kind, list(inputs), names, name=names[0], **attributes))
        return names[0]

    def reshape(self, x: str, *shape: int) -> str:
        """A view with other sizes; 0 keeps the size, -1 takes what is left."""
        return self.node("Reshape", x, self.constant(np.array(shape, np.int64)))

    def transpose(self, x: str, *axes: int) -> str:
        """The axes in another order."""
        return self.node("Transpose", x, perm=axes)

    def relu(self, x: str) -> str:
        """Negative values as 0."""
        return self.node("Relu", x)

    def conv(self, x: str, parameters: Sequence[_Array], *, stride: int = 1, group: int = 1) -> str:
        """Convolution over (frames, bins): causal in time, whose past the input holds; centred over the bins."""
        width = parameters[0].shape[3]
        return self.node(
            "Conv",
            x,
            *(self.constant(value) for value in parameters),
            group=group,
            strides=(1, stride),
            pads=(0, width // 2, 0, width // 2),
        )

    def separable(self, x: str, depthwise: Sequence[_Array], pointwise: Sequence[_Array], *, stride: int = 1) -> str:
        """A convolution of each map by itself, one across the maps, and the nonlinearity."""
        return self.relu(self.conv(self.conv(x, depthwise, stride=stride, group=CHANNELS), pointwise))

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

    def remember(self, name: str, x: str, frames: int) -> str:
        """Put the last frames of the block before in front of ``x``, and hand on the last ones of this block."""
        joined = self.node("Concat", f"past_{name}", x, axis=2)
        last = [self.constant(np.array([value])) for value in (-frames, np.iinfo(np.int64).max, 2)]
        self.node("Slice", joined, *last, outputs=[f"next_past_{name}"])
        return joined

    def gru(self, x: str, parameters: Sequence[_Array], state: str, next_state: str) -> str:
        """A gated recurrent layer over (frames, channels, values)."""
        w, r, b = (self.constant(value) for value in parameters)
        y = f"{next_state}_frames"
        self.node("GRU", x, w, r, b, "", state, outputs=(y, next_state), hidden_size=HIDDEN, linear_before_reset=1)
        return self.node("Squeeze", y, self.constant(np.array([1])))


def fuse(encoder: bytes, erb_decoder: bytes, df_decoder: bytes) -> bytes:
    """Make the fused graph.

    Args:
        encoder: ``enc.onnx`` of the archive.
        erb_decoder: ``erb_dec.onnx``.
        df_decoder: ``df_dec.onnx``.

    Returns:
        A serialised ONNX model with the inputs `FEATURES` and `STATES` and the outputs `OUTPUTS` and ``next_*``.
    """
    build = Builder()
    hidden = [f"hidden_{layer}" for layer in range(RECURRENT_LAYERS)]
    next_hidden = [f"next_{name}" for name in hidden]
    build.node("Split", "hidden", outputs=hidden, axis=0)

    embedding, skips, filter_input = _encoder(build, Source(encoder), hidden[0], next_hidden[0])
    _erb_decoder(build, Source(erb_decoder), embedding, skips, hidden[1:3], next_hidden[1:3])
    _df_decoder(build, Source(df_decoder), embedding, filter_input, hidden[3:], next_hidden[3:])

    build.node("Concat", *next_hidden, outputs=["next_hidden"], axis=0)
    inputs = FEATURES | STATES
    outputs = OUTPUTS | {f"next_{name}": shape for name, shape in STATES.items()}
    graph = helper.make_graph(build.nodes, "dfn3", _values(inputs), _values(outputs), build.constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString(deterministic=True))


def _encoder(build: Builder, source: Source, hidden: str, next_hidden: str) -> tuple[str, list[str], str]:
    """The embedding (frames, channels, 512), the four skip connections, and the input of the filter's convolution."""
    part = source.parameters
    e0 = build.relu(
        build.conv(
            build.remember("erb", build.node("Unsqueeze", "erb", build.constant(np.array([1]))), 2),
            part("/erb_conv0/1/Conv"),
        )
    )
    e1 = build.separable(e0, part("/erb_conv1/0/Conv"), part("/erb_conv1/1/Conv"), stride=2)
    e2 = build.separable(e1, part("/erb_conv2/Conv"), part("/erb_conv2/Conv_1"), stride=2)
    e3 = build.separable(e2, part("/erb_conv3/0/Conv"), part("/erb_conv3/1/Conv"))

    c0 = build.relu(
        build.conv(
            build.remember("complex", "complex", 2), _product(part("/df_conv0/1/Conv"), part("/df_conv0/2/Conv"))
        )
    )
    c1 = build.separable(c0, part("/df_conv1/Conv"), part("/df_conv1/Conv_1"), stride=2)

    c1 = build.relu(build.grouped(build.vectors(c1), *part("/df_fc_emb/0/Einsum")))
    x = build.node("Add", build.vectors(e3), c1)
    x = build.relu(build.grouped(x, *part("/emb_gru/linear_in/0/Einsum")))
    x = build.gru(x, part("/emb_gru/GRU"), hidden, next_hidden)
    x = build.relu(build.grouped(x, *part("/emb_gru/linear_out/0/Einsum")))
    return x, [e0, e1, e2, e3], c0


def _erb_decoder(
    build: Builder, source: Source, embedding: str, skips: Sequence[str], hidden: Sequence[str], after: Sequence[str]
) -> None:
    part = source.parameters
    e0, e1, e2, e3 = skips

    def skip(x: str, node: str) -> str:
        return build.relu(build.conv(x, part(node), group=CHANNELS))

    x = build.relu(build.grouped(embedding, *part("/emb_gru/linear_in/Einsum")))
    x = build.gru(x, part("/emb_gru/GRU"), hidden[0], after[0])
    x = build.gru(x, part("/emb_gru/GRU_1"), hidden[1], after[1])
    x = build.relu(build.grouped(x, *part("/emb_gru/linear_out/Einsum")))
    x = build.transpose(build.reshape(build.transpose(x, 1, 0, 2), 0, 0, -1, CHANNELS), 0, 3, 1, 2)
    x = build.node("Add", skip(e3, "/conv3p/0/Conv"), x)
    x = build.separable(x, part("/convt3/Conv"), part("/convt3/Conv_1"))
    x = build.node("Add", skip(e2, "/conv2p/Conv"), x)
    x = build.doubling(x, part("/convt2/0/ConvTranspose"), part("/convt2/1/Conv"))
    x = build.node("Add", skip(e1, "/conv1p/Conv"), x)
    x = build.doubling(x, part("/convt1/ConvTranspose"), part("/convt1/Conv"))
    x = build.node("Add", skip(e0, "/conv0p/Conv"), x)
    x = build.node("Sigmoid", build.conv(x, part("/conv0_out/0/Conv")))
    build.node("Squeeze", x, build.constant(np.array([1])), outputs=["gains"])


def _df_decoder(
    build: Builder, source: Source, embedding: str, filter_input: str, hidden: Sequence[str], after: Sequence[str]
) -> None:
    part = source.parameters
    x = build.relu(build.grouped(embedding, *part("/df_gru/linear_in/linear_in.0/Einsum")))
    x = build.gru(x, part("/df_gru/gru/GRU"), hidden[0], after[0])
    x = build.gru(x, part("/df_gru/gru/GRU_1"), hidden[1], after[1])
    x = build.node("Add", x, build.grouped(embedding, *part("/df_skip/Einsum")))
    x = build.node("Tanh", build.grouped(x, *part("/df_out/df_out.0/Einsum")))
    x = build.reshape(build.transpose(x, 1, 0, 2), 0, 0, BINS, 2 * TAPS)

    past = build.remember("filter", filter_input, TAPS - 1)
    pathway = build.relu(
        build.conv(past, _product(part("/df_convp/df_convp.1/Conv"), part("/df_convp/df_convp.2/Conv")))
    )
    build.node("Add", x, build.transpose(pathway, 0, 2, 3, 1), outputs=["coefficients"])


def _product(grouped: Sequence[_Array], pointwise: Sequence[_Array], *, groups: int = 2) -> list[_Array]:
    """One dense convolution for a grouped one without bias and the 1x1 convolution that follows it."""
    (first,), (second, bias) = grouped, pointwise
    weight = np.einsum(
        "pgo,goifb->pgifb",
        second.reshape(len(second), groups, -1),
        first.reshape(groups, -1, *first.shape[1:]),
    )
    return [weight.reshape(len(second), -1, *first.shape[2:]), bias]


def _values(shapes: dict[str, tuple[int | str, ...]]) -> list[onnx.ValueInfoProto]:
    return [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in shapes.items()]
