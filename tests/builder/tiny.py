"""Models with two random layers, and a byte-level tokenizer trained on a few lines: no download."""

import torch
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, Qwen2Config, Qwen2ForCausalLM

FIM_TOKENS = ("<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>")

TEXT = '''def load_settings(path, default=None):
    """Read the settings of a project, or take the default."""
    settings = parse(open(path).read()) if path.exists() else default
    return {name: value for name, value in settings.items() if value is not None}


class Store:
    def __init__(self, root):
        self.root = root
        self.items = {}

    def get(self, name):
        return self.items.get(name)
'''


def make_tokenizer(vocabulary: int = 420) -> Tokenizer:
    """With fill-in-the-middle tokens."""
    tokenizer = make_plain_tokenizer(vocabulary)
    tokenizer.add_special_tokens([AddedToken(token, special=True) for token in FIM_TOKENS])
    return tokenizer


def make_plain_tokenizer(vocabulary: int = 420) -> Tokenizer:
    """Without them."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False
    )
    tokenizer.train_from_iterator([TEXT], trainer)
    tokenizer.add_special_tokens([AddedToken("<|endoftext|>", special=True)])
    return tokenizer


def make_model(vocabulary: int, *, kind: str = "qwen2", is_tied: bool = True, width: int = 256, layers: int = 2):
    torch.manual_seed(0)
    config_class, model_class = {
        "qwen2": (Qwen2Config, Qwen2ForCausalLM),
        "llama": (LlamaConfig, LlamaForCausalLM),
    }[kind]
    config = config_class(
        vocab_size=vocabulary,
        hidden_size=64,
        intermediate_size=width,
        num_hidden_layers=layers,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=512,
        tie_word_embeddings=is_tied,
        bos_token_id=None,
        eos_token_id=None,
        pad_token_id=None,
    )
    model = model_class(config).eval()
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    return model
