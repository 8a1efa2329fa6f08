"""Export to ONNX: a folder with the parameter network, its document, a model card and the runtime that reads them."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import secrets
import shutil
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from manymodes import _checks, runtime
from manymodes.estimators.portable.card import CARD_FILE, model_card
from manymodes.estimators.portable.document import describe_model
from manymodes.estimators.portable.parameters import ParameterNetwork
from manymodes.estimators.regressor import MDNRegressor
from manymodes.training.files import naming

_OPSET = 20
_MANY = 64  # numbers, from which on a tensor's precision matters for the size of the file
_RUNTIME_FILE = "runtime.py"


def export_onnx(
    model: MDNRegressor,
    folder: str | os.PathLike[str],
    *,
    example: Any = None,
    evaluation: str = "",
    overwrite: bool = False,
) -> None:
    """Write a fitted regressor as a folder that needs NumPy and onnxruntime only.

    It holds ``parameters.onnx`` (encoded rows, (N, E) in float64, to the parameters of mixtures in scaled units; the
    scaling of the inputs is part of it), ``model.json`` (how tables are encoded, what the parameters mean),
    ``runtime.py`` (``manymodes.runtime``, which reads both) and ``MODEL_CARD.md``. It appears whole or not at all.

    Args:
        model: A fitted ``MDNRegressor``.
        folder: Where to write.
        example: Some rows as ``predict_distribution`` takes them; needed with a backbone of your own that takes arrays
            of more than two axes.
        evaluation: How good the model is on rows that it has not seen, in Markdown, for the card.
        overwrite: Whether to replace these files where the folder exists already.

    Raises:
        ValueError: A folder that exists, a network that ONNX cannot express, packages that are not installed.
        TypeError: Another kind of model.
    """
    _checks.instance("model", model, MDNRegressor, ", as fitted; of a recalibrated one export estimator_")
    folder = Path(folder)
    if folder.exists() and not (overwrite and folder.is_dir()):
        raise _checks.InputError(f"{str(folder)!r} exists already; choose another folder or pass overwrite=True.")
    _refuse_without_packages()
    rows = _example(model, example)
    network = ParameterNetwork(model.network_).cpu()
    with naming(folder):
        staging = folder.parent / f".{folder.name}-{secrets.token_hex(4)}"
        staging.mkdir(parents=True)
        try:
            _write(staging, model, network, rows, evaluation)
            if folder.exists():
                for file in staging.iterdir():
                    file.replace(folder / file.name)
            else:
                staging.rename(folder)
        finally:
            shutil.rmtree(staging, ignore_errors=True)


def _write(folder: Path, model: MDNRegressor, network: ParameterNetwork, rows: Tensor, evaluation: str) -> None:
    write_network(network, rows, folder / runtime.NETWORK_FILE)
    document = describe_model(model, rows)
    document["network_sha256"] = hashlib.sha256((folder / runtime.NETWORK_FILE).read_bytes()).hexdigest()
    text = json.dumps(document, indent=1, allow_nan=False)
    (folder / runtime.MODEL_FILE).write_text(text + "\n", encoding="utf-8")
    (folder / CARD_FILE).write_text(model_card(model, document, evaluation), encoding="utf-8")
    shutil.copyfile(runtime.__file__, folder / _RUNTIME_FILE)


def write_network(network: ParameterNetwork, rows: Tensor, file: Path) -> None:
    """Write a network as an ONNX file whose number of rows is free.

    Weights that single precision holds exactly, as those of fitted networks, are stored in it.

    Raises:
        ValueError: A network that ONNX cannot express.
    """
    with torch.no_grad():
        network(rows)  # which names its outputs
    try:
        with _silence():
            program: Any = torch.onnx.export(
                network,
                (torch.cat([rows, rows])[:2],),
                dynamo=True,
                opset_version=_OPSET,
                input_names=["x"],
                output_names=network.names,
                dynamic_shapes={"x": {0: torch.export.Dim("N")}},
                custom_translation_table=_translations(),
                verbose=False,
            )
    except torch.onnx.OnnxExporterError as error:
        reason = str(error.__cause__ or error).strip().splitlines()[0]
        raise _checks.InputError(f"the network cannot be written as ONNX: {reason}") from error
    file.write_bytes(_with_small_weights(program.model_proto).SerializeToString())


def _with_small_weights(model: Any) -> Any:
    """Return an ONNX model whose weights are kept in single precision where that loses nothing, widened on loading."""
    import onnx

    graph, widened = model.graph, []
    for tensor in list(graph.initializer):
        values = onnx.numpy_helper.to_array(tensor)
        if values.dtype != np.float64 or values.size < _MANY or (values.astype(np.float32) != values).any():
            continue
        small = onnx.numpy_helper.from_array(values.astype(np.float32), f"{tensor.name}.small")
        widened.append(onnx.helper.make_node("Cast", [small.name], [tensor.name], to=onnx.TensorProto.DOUBLE))
        graph.initializer.remove(tensor)
        graph.initializer.append(small)
    nodes = [*widened, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)
    onnx.checker.check_model(model)
    return model


@contextmanager
def _silence() -> Iterator[None]:
    """Keep quiet what the exporter says of itself and of packages that are not needed."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


def _translations() -> dict[Any, Any]:
    """Return how ONNX says what its exporter, or onnxruntime in double precision, does not know."""
    import onnx
    from onnxscript import opset20

    op: Any = opset20

    def softplus(x: Any, *_: Any) -> Any:
        return op.Add(op.Relu(x), op.Log(op.Add(op.Exp(op.Neg(op.Abs(x))), op.CastLike(1.0, x))))

    def searchsorted(levels: Any, values: Any, **_: Any) -> Any:
        smaller = op.Cast(op.Less(levels, op.Unsqueeze(values, [-1])), to=onnx.TensorProto.INT64)
        return op.ReduceSum(smaller, [-1], keepdims=0)

    def scalar_tensor(number: float, dtype: int = onnx.TensorProto.FLOAT, **_: Any) -> Any:
        return op.Constant(value=onnx.helper.make_tensor("number", dtype, [], [number]))  # not by way of float32

    ops = torch.ops.aten
    return {
        ops.searchsorted.Tensor: searchsorted,
        ops.softplus.default: softplus,
        ops.scalar_tensor.default: scalar_tensor,
    }


def _example(model: MDNRegressor, example: Any) -> Tensor:
    """Return some rows as the network takes them."""
    if example is None and model.encoder_ is None:
        raise _checks.InputError("example must hold some rows for a model whose backbone takes arrays as they are.")
    if example is None:
        return torch.zeros(2, len(model.encoder_.order), dtype=torch.float64)
    inputs = model._open(example, 0).part(0, 2)
    if not isinstance(inputs, Tensor):
        raise _checks.InputError(
            "a model of several inputs by name cannot be exported yet; export its network yourself."
        )
    return inputs


def _refuse_without_packages() -> None:
    for package in ("onnx", "onnxscript"):
        if find_spec(package) is None:
            raise _checks.InputError(f"export needs the package {package}; install manymodes[onnx].")
