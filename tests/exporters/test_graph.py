from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch
from conftest_kinds import KINDS
from transformers import AutoModelForCausalLM, PreTrainedModel

from exporters import graph as graph_module
from exporters.checkpoint import Checkpoint
from exporters.graph import build_graph, rotary_tables, save_graph
from exporters.parity import DecodeSession
from exporters.precision import Precision

TOLERANCE = 1e-4  # of logits of up to 10: rounding gives 1e-5
