"""English prose that comes with Python: the language reference behind `help()`, `pydoc_data.topics`."""

from functools import cache

from gradlab.recipe.errors import RecipeError


@cache
def chapters() -> dict[str, str]:
    """Topic -> its text, the longest topic first. A paragraph of several topics is kept in the longest one only.

    The reference repeats whole sections under several topics: otherwise the test set would contain training examples.

    Raises:
        RecipeError: this distribution of Python has no `pydoc_data.topics`.
    """
    try:
        from pydoc_data.topics import topics  # 0.5 MB: imported only when needed
    except ImportError:
        raise RecipeError(
            "this Python has no pydoc_data.topics (the text behind help()); use a text file instead: "
            "data=text data.path=FILE"
        ) from None
    texts: dict[str, str] = {}
    used = set[str]()
    for topic in sorted(topics, key=lambda topic: (-len(topics[topic]), topic)):
        paragraphs = [paragraph.strip("\n") for paragraph in topics[topic].split("\n\n")]
        new = [text for text in dict.fromkeys(paragraphs) if text.strip() and text not in used]
        used.update(new)
        if new:
            texts[topic] = "\n\n".join(new)
    return texts
