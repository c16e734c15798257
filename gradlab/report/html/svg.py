"""A figure as SVG that can stand in a page: text is text, and it is small.

matplotlib writes six digits of each coordinate, a name for each group and twelve fonts for each text, and its images
have 32 bits per pixel: three quarters of a file say nothing.
"""

import base64
import io
import re
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

import numpy as np

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SVG, XLINK = "http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"
# of matplotlib's settings; the threshold is in points, 1/72 inch
SETTINGS: Any = {"svg.fonttype": "none", "path.simplify_threshold": 0.4}
PIXELS = 1.25  # of a page, per point of a figure
RASTER_DPI = 72  # of what a figure draws as an image: the cells of a heat map
PALETTE = 256  # the most colours of a palette: those of a colour map and of the marks are fewer
_NUMBER = re.compile(r"-?\d+\.\d+(?:e-?\d+)?")
_FONTS = re.compile(r" ?font-family: [^;]+;?")
_FONT_OF_TEXT = re.compile(r"font: ([^'\";]*)'DejaVu Sans'[^;]*")
ElementTree.register_namespace("", SVG)
ElementTree.register_namespace("xlink", XLINK)


Styles = dict[str, str]  # the class of each style that the pictures of a page use


def svg(figure: "Figure", name: str, description: str, styles: Styles) -> str:
    """The figure as an `<svg>` element whose names differ from those of any other `name`.

    `description` is read out in its place. What in it comes from a run is a text node or the value of an attribute,
    escaped by the serializer. Elements have classes, which are added to `styles`: a page needs `style_sheet(styles)`.
    """
    from matplotlib import rc_context
    from matplotlib.backends.backend_svg import FigureCanvasSVG

    content = io.BytesIO()
    figure.set_dpi(RASTER_DPI)
    with rc_context(SETTINGS | {"svg.hashsalt": name}):
        canvas: Any = FigureCanvasSVG(figure)
        canvas.print_svg(content, metadata={"Date": None})  # `savefig` draws everything twice
    root = ElementTree.fromstring(content.getvalue())
    _shorten(root, styles)
    for side in ("width", "height"):
        root.set(side, f"{float(root.attrib[side].removesuffix('pt')) * PIXELS:.0f}")
    root.attrib |= {"role": "img", "aria-label": description}
    return ElementTree.tostring(root, "unicode")


def style_sheet(styles: Styles) -> str:
    """The rules of the classes."""
    return "".join(f".{name}{{{style}}}\n" for style, name in styles.items())


def _shorten(root: ElementTree.Element, styles: Styles) -> None:
    """Drop what says nothing: names of groups, to which nothing refers, and digits below a tenth of a point."""
    for unneeded in (*root.findall(f"{{{SVG}}}metadata"), *root.findall(f"{{{SVG}}}defs")[:1]):
        root.remove(unneeded)  # the first definitions are a style for all elements, of the whole page
    for group in root.iter(f"{{{SVG}}}g"):
        _share_class(group)
    for element in root.iter():
        element.text = None if element.tag == f"{{{SVG}}}g" else element.text
        element.tail = None
        if element.tag == f"{{{SVG}}}g":
            element.attrib.pop("id", None)
        for key, value in list(element.attrib.items()):
            if key == "d":
                element.set(key, _short_path(value))
            elif key in ("x", "y", "width", "height", "transform"):
                element.set(key, _NUMBER.sub(_rounded, value))
            elif key == "style":
                style = _short_style(element.attrib.pop(key))
                element.set("class", styles.setdefault(style, f"s{len(styles)}"))
            elif key == f"{{{XLINK}}}href":
                del element.attrib[key]
                element.set("href", _with_palette(value) if value.startswith("data:image/png") else value)
        if element.get("transform", "").startswith("rotate(-0 "):
            del element.attrib["transform"]


def _share_class(group: ElementTree.Element) -> None:
    """Give the class of equal marks to their group, from which they inherit it."""
    classes = {mark.get("style") for mark in group}
    if len(group) < 2 or len(classes) > 1 or any(mark.tag != f"{{{SVG}}}use" for mark in group):
        return
    if (style := classes.pop()) and "opacity" not in style:  # which is not inherited
        group.set("style", style)
        for mark in group:
            del mark.attrib["style"]


def _rounded(number: re.Match[str]) -> str:
    return f"{float(number[0]):.1f}".removesuffix(".0")


def _short_path(path: str) -> str:
    """A path with rounded numbers; what follows a move or a line without a letter is a line."""
    short = " ".join(_NUMBER.sub(_rounded, path).split())
    return short if re.search("[CQ]", short) else short.replace(" L ", " ").replace("M ", "M")


def _short_style(style: str) -> str:
    """Without the twelve fonts, for which the page has its own."""
    style = _FONT_OF_TEXT.sub(r"font: \1sans-serif", _FONTS.sub("", style))
    return style.replace(": ", ":").replace("; ", ";").removesuffix(";")


def _with_palette(url: str) -> str:
    """An image with a palette in place of 32 bits per pixel, where it has few colours: a quarter of its size."""
    from PIL import Image  # which matplotlib needs itself

    head, _, data = url.partition(",")
    with Image.open(io.BytesIO(base64.b64decode(data))) as image:
        pixels = np.asarray(image.convert("RGBA"))
    packed = np.where(
        pixels[..., 3] > 0, pixels.view(np.uint32)[..., 0], 0
    )  # what is transparent has no colour
    colours, indices = np.unique(packed, return_inverse=True)
    if len(colours) > PALETTE:
        return url
    parts = colours.astype(np.uint32).view(np.uint8).reshape(-1, 4)
    reduced = Image.fromarray(indices.reshape(packed.shape).astype(np.uint8), "P")
    reduced.putpalette(parts[:, :3].tobytes())
    content = io.BytesIO()
    reduced.save(content, "png", optimize=True, transparency=parts[:, 3].tobytes())
    return f"{head},{base64.b64encode(content.getvalue()).decode('ascii')}"
