"""Real English prose that every Python carries: the reference manual behind `help()`, `pydoc_data.topics`."""

from functools import cache

from gradlab.recipe.errors import RecipeError


@cache
def chapters() -> dict[str, str]:
    """Topic -> its text, the longest topic first; a paragraph that stands in several counts in the first alone.

    The manual repeats whole sections under other topics: without this, what is tested on was trained on.
    """
    try:
        from pydoc_data.topics import topics  # 0.5 MB: only when asked for
    except ImportError:  # some distributions leave it out
        raise RecipeError(
            "this Python has no pydoc_data.topics (the text behind help()); give a text of your own: "
            "data=text data.path=FILE"
        ) from None
    found: dict[str, str] = {}
    seen = set[str]()
    for name in sorted(topics, key=lambda name: (-len(topics[name]), name)):
        paragraphs = [part.strip("\n") for part in topics[name].split("\n\n")]
        new = [part for part in dict.fromkeys(paragraphs) if part.strip() and part not in seen]
        seen.update(new)
        found |= {name: "\n\n".join(new)} if new else {}
    return found
