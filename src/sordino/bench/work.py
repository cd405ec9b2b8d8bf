"""How much arithmetic a model does: the operators that ONNX Runtime ran, counted from its own profile.

Matrix products and convolutions count, a multiplication and an addition as two operations; they are nearly all of it.
Where ONNX Runtime fills the maps of a convolution up to the processor's vectors, those count, too.
"""

import json
import math
import tempfile
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Final
from unittest.mock import patch

import onnxruntime as ort

Shape = list[int]


def count(run: Callable[[], object]) -> int:
    """The floating point operations in all models that are loaded and run by a function.

    Args:
        run: loads its models itself; those that were loaded before are not seen.
    """
    sessions: list[ort.InferenceSession] = []
    with tempfile.TemporaryDirectory() as directory:

        class Profiled(ort.InferenceSession):  # type: ignore[misc]  # the package has no types
            def __init__(self, model: object, options: Any = None, **others: Any) -> None:  # noqa: ANN401
                options = options or ort.SessionOptions()
                options.enable_profiling = True
                # Weights in a packed form would be missing among the inputs that the profile tells.
                options.add_session_config_entry("session.disable_prepacking", "1")
                options.profile_file_prefix = str(Path(directory, f"{len(sessions)}"))
                super().__init__(model, options, **others)
                sessions.append(self)

        with patch.object(ort, "InferenceSession", Profiled):
            run()
        profiles = [Path(session.end_profiling()).read_text("utf-8") for session in sessions]
    return sum(operations(json.loads(profile)) for profile in profiles)


def operations(events: Iterable[Mapping[str, Any]]) -> int:
    """The floating point operations of the events of a profile of ONNX Runtime."""
    return sum(_of_node(event["args"]) for event in events if event["name"].endswith("_kernel_time"))


def _of_node(node: Mapping[str, Any]) -> int:
    rule = _RULES.get(node["op_name"])
    if rule is None:
        return 0
    inputs, outputs = _shapes(node["input_type_shape"]), _shapes(node["output_type_shape"])
    return 2 * rule(inputs, outputs)


def _shapes(typed: list[dict[str, Shape]]) -> list[Shape]:
    return [shape for tensor in typed for shape in tensor.values()]


def _product(inputs: list[Shape], outputs: list[Shape]) -> int:
    return math.prod(outputs[0]) * inputs[0][-1]


def _gemm(inputs: list[Shape], outputs: list[Shape]) -> int:
    # Whichever side is transposed, the three sizes are those of the output and the one both inputs share.
    return math.prod(outputs[0]) * math.prod(inputs[0]) // outputs[0][0]


def _convolution(inputs: list[Shape], outputs: list[Shape]) -> int:
    return math.prod(outputs[0]) * math.prod(inputs[1][1:])


def _transposed(inputs: list[Shape], outputs: list[Shape]) -> int:  # noqa: ARG001 - one signature for all
    return math.prod(inputs[0]) * math.prod(inputs[1][1:])


def _recurrent(inputs: list[Shape], outputs: list[Shape]) -> int:  # noqa: ARG001 - one signature for all
    """Steps and recordings times both matrices; shapes: (steps, batch, in), then (directions, rows, columns) twice."""
    steps, batch, _ = inputs[0]
    return steps * batch * (math.prod(inputs[1]) + math.prod(inputs[2]))


_RULES: Final[dict[str, Callable[[list[Shape], list[Shape]], int]]] = {
    "MatMul": _product,
    "FusedMatMul": _product,
    "MatMulInteger": _product,
    "DynamicQuantizeMatMul": _product,
    "MatMulIntegerToFloat": _product,
    "Gemm": _gemm,
    "FusedGemm": _gemm,
    "Conv": _convolution,
    "FusedConv": _convolution,
    "ConvTranspose": _transposed,
    "GRU": _recurrent,
    "LSTM": _recurrent,
}
