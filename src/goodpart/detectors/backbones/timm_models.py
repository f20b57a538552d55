"""Backbones from timm (extra ``timm``): its feature maps at strides 4, 8 and 16, as ONNX.

timm brings its own weights, from the internet or its local cache; their licences are its own.
"""

from __future__ import annotations

from typing import Any

from goodpart.errors import MissingExtraError, ModelError

STRIDES = (4, 8, 16)


def timm_to_onnx(name: str) -> bytes:
    """The pretrained timm model ``name`` as a backbone: RGB 0..255 in, features out.

    Raises
    ------
    MissingExtraError
        timm or torch is not installed.
    ModelError
        timm does not know the model, cannot get its weights, or it has no such feature maps.
    """
    try:
        import timm
    except ImportError:
        raise MissingExtraError("timm", "timm") from None
    try:
        model = timm.create_model(name, pretrained=True, features_only=True)
    except Exception as error:  # an unknown name, no internet, no feature maps: all timm's own
        raise ModelError(f"timm cannot provide {name!r}: {_line(error)}") from None
    reductions = list(model.feature_info.reduction())
    chosen = [(f"stride{s}", reductions.index(s)) for s in STRIDES if s in reductions]
    if not chosen:
        raise ModelError(f"timm's {name!r} has no feature maps at strides 4, 8 or 16")
    config = model.pretrained_cfg
    return export(model, chosen, config["mean"], config["std"])


def export(
    model: Any, chosen: list[tuple[str, int]], mean: tuple[float, ...], std: tuple[float, ...]
) -> bytes:
    """A torch module that returns a list of feature maps, as ONNX with its normalisation inside.

    Parameters
    ----------
    model : torch.nn.Module
        Takes normalised float32 (N, 3, H, W), returns a list of feature maps.
    chosen : list of (str, int)
        Output name and index into that list.
    mean, std : tuple of three floats
        Of the channels, for pixels in 0..1.
    """
    try:
        import torch
    except ImportError:
        raise MissingExtraError("torch", "train") from None

    class Normalised(torch.nn.Module):
        mean: torch.Tensor
        std: torch.Tensor

        def __init__(self) -> None:
            super().__init__()
            self.model = model
            self.register_buffer("mean", torch.tensor(mean).view(1, 3, 1, 1) * 255)
            self.register_buffer("std", torch.tensor(std).view(1, 3, 1, 1) * 255)

        def forward(self, image: torch.Tensor) -> list[torch.Tensor]:
            maps = self.model((image - self.mean) / self.std)
            return [maps[index] for _, index in chosen]

    sides = dict.fromkeys((0, 2, 3), torch.export.Dim.DYNAMIC)
    program = torch.onnx.export(
        Normalised().eval(),
        (torch.zeros(2, 3, 256, 256),),
        input_names=["image"],
        output_names=[output for output, _ in chosen],
        dynamic_shapes={"image": sides},
        dynamo=True,
        verbose=False,
    )
    assert program is not None
    return bytes(program.model_proto.SerializeToString())


def _line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
