"""What tests and benchmarks share: tiny models, a tokenizer, the fuzzer's readers, other runtimes and pages.

Tests and benchmarks import from here and never from each other. The packages of the product import nothing from here,
and the wheel leaves it out.
"""
