"""A text of a repository, which no model or tokenizer of the tests was made from."""

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
