"""Bad recipes by class, from the families' own parts, parameters and bounds: a new part is attacked by being there.

An attack is the words of a command line. Whether a value is bad is said here from what a bound declares (type, limits,
names), not by asking its check.
"""

import math
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from gradlab.engine.families import FAMILIES
from gradlab.measurements.probe import probe
from gradlab.measurements.snapshot import snapshot
from gradlab.parts.family import Family
from gradlab.recipe import options
from gradlab.recipe.bounds import Bound, Limit, Many, bound
from gradlab.recipe.recipe import BOUNDS, LISTED

LONG = "9" * 5000  # digits


class Attack(NamedTuple):
    """Words after `gradlab run` that must be refused, and what is wrong with them."""

    kind: str
    words: tuple[str, ...]


class Key(NamedTuple):
    """A key of a recipe with its bound, and the words that choose the option which has it."""

    key: str
    limit: Limit
    choice: tuple[str, ...]


def keys() -> list[Key]:
    """Every key of every part, probe and snapshot, and every root key."""
    root = [Key(key, bound(kind), ()) for key, kind in BOUNDS.items()]
    parts = [
        Key(f"{family.name}.{key}", limit, (f"{family.name}={name}",))
        for family in FAMILIES.values()
        for name in options.groups()[family.name]
        if name in family.makers
        for key, limit in family.parameters(name).items()
    ]
    return root + parts + [key for family in (probe, snapshot) for key in _listed_keys(family)]


def _listed_keys(family: Family) -> list[Key]:
    return [
        Key(f"{LISTED[family.name]}.{name}.{key}", limit, (f"{family.name}=[{name}]",))
        for name in family.makers
        for key, limit in family.parameters(name).items()
    ]


OF_NO_TYPE = {
    "null": "null",
    "list of lists": "[[1]]",
    "mapping in a list": "[{a: 1}]",
    "mapping": "{a: {b: 1}}",
}
OF_NO_NUMBER = {
    **OF_NO_TYPE,
    "nan": "nan",
    "minus infinity": "-inf",
    "true": "true",
    "text": "abc",
    "quoted": "'3'",
    "nothing": "",
    "list": "[3]",
    "empty list": "[]",
    "empty mapping": "{}",
    "expression": "1+1",
    "two numbers": "3 4",
}


def bad_values(limit: Limit) -> dict[str, str]:
    """Values that the bound does not allow, as written on the command line, by what is wrong with them."""
    if isinstance(limit, Many):
        entries = {f"an entry: {kind}": value for kind, value in bad_values(limit.entry).items() if value}
        write = "{{a: {}}}" if limit.named else "[{}]"
        wrong = {
            **OF_NO_TYPE,
            "no list": "3",
            "text": "abc",
            "the other kind": "[1]" if limit.named else "{a: 1}",
        }
        wrong = {
            kind: value
            for kind, value in wrong.items()
            if not (limit.entry.value_type is str and kind == "text")
        }
        return wrong | {kind: write.format(value) for kind, value in entries.items()}
    if not isinstance(limit, Bound):
        return OF_NO_NUMBER
    if limit.among:
        near = {
            f"near {name}": near
            for name in limit.among
            for near in (name[:-1], name + "x", name.upper() + "_")
        }
        return {**OF_NO_TYPE, "number": "3", "true": "true", "nothing": "", "quoted nothing": "''", **near}
    if limit.value_type is bool:
        return {
            **OF_NO_TYPE,
            "one": "1",
            "float": "1.0",
            "text": "yes_",
            "quoted": "'true'",
            "nothing": "",
            "y": "y",
        }
    if limit.value_type is str:
        return OF_NO_TYPE | {"list": "[3]", "empty mapping": "{}"}
    return OF_NO_NUMBER | _beyond(limit) | {f"near {word}": word + "x" for word in limit.words}


def _beyond(limit: Bound) -> dict[str, str]:
    """Numbers outside the bound's limits, or of the other type."""
    beyond = {}
    if limit.value_type is int:
        beyond |= {
            "float": "3.5",
            "whole float": "3.0",
            "exponent": "1e1",
            "infinity": "inf",
            "huge": "9" * 19,
        }
        beyond |= {"long": LONG, "minus long": "-" + LONG}
    elif limit.finite:
        beyond |= {"infinity": "inf", "overflow": "1e999", "long": LONG}
    if limit.low > -math.inf:
        beyond["below"] = f"{limit.low - 1:g}" if limit.value_type is float else str(int(limit.low) - 1)
        beyond |= {"minus overflow": "-1e999"} | (
            {"at the low end": f"{limit.low:g}"} if limit.open_low else {}
        )
    if limit.high < math.inf:
        beyond["above"] = f"{limit.high + 1:.12g}" if limit.value_type is float else str(int(limit.high) + 1)
        beyond |= {"at the high end": f"{limit.high:g}"} if limit.open_high else {}
    return beyond


def of_values() -> Iterator[Attack]:
    """Every bad value of every key."""
    for key, limit, choice in keys():
        for kind, value in bad_values(limit).items():
            if key in ("study", "outputs") and kind in ("text",):
                continue
            yield Attack(f"{key}: {kind}", (*choice, f"{key}={value}"))


def of_spelling() -> Iterator[Attack]:
    """Near misses of keys, groups and options, and keys that are not there, at every level."""
    groups = options.groups()
    names = {*groups, *BOUNDS, *(key.key for key in keys()), *LISTED.values(), "log", "eval", "stop"}
    for name in sorted(names):
        for near in {
            name[:-1],
            name + "s",
            name.upper(),
            name[1:],
            name.replace("_", "-"),
            f"{name}.x",
            f"x.{name}",
        }:
            if near not in names:
                yield Attack(f"key {near} for {name}", (f"{near}=1",))
    for group, known in groups.items():
        for name in known:
            for near in {
                name[:-1],
                name + "s",
                name.upper(),
                name.replace("_", "-") + "-",
                name + "/x",
                "../" + name,
            }:
                if near not in known and near != "all":
                    yield Attack(f"{group}={near}", (f"{group}={near}",))


def of_combinations() -> Iterator[Attack]:
    """A part with a parameter of another part of its group."""
    for group, family in FAMILIES.items():
        known = {
            name: set(options.parameters(group, name))
            for name in options.groups()[group]
            if name in family.makers
        }
        every = sorted(set().union(*known.values()))
        for name, own in known.items():
            for key in every:
                if key not in own and key != "name":
                    yield Attack(f"{group}={name} {group}.{key}", (f"{group}={name}", f"{group}.{key}=1"))


IMPORTS = [
    "os:getcwd",
    "os:system",
    "json:loads",
    "builtins:exec",
    "nothing.here:fn",
    "a:b:c",
    ":",
    "a:",
    ":b",
    "os.path:",
    "os:path",
    "os:path.join.x",
    ".:x",
    "..os:x",
    "os:no_such",
    "os:environ",
    "sys:exit",
    "numpy:array",
    "antigravity:x y",
    "a b:c",
    "optax:sgd.x",
    "optax:no_such",
    "jax.numpy:pi",
]


def of_imports() -> Iterator[Attack]:
    """Import paths that are no parts, in the place of every option."""
    for group in [*FAMILIES, *LISTED, "experiment"]:
        for name in IMPORTS:
            yield Attack(f"{group}: import {name}", (f"{group}={name}",))
    for group in FAMILIES:
        yield Attack(f"{group}.name: import", (f"{group}.name=os:system",))


SWEEPS = {
    "depth": [
        "range(1,10,0)",
        "range(1,10,nan)",
        "range(1,10,inf)",
        "range(nan,10)",
        "range(1,inf)",
        "range(-inf,inf)",
        "range(1,nan)",
        "range(1,10,-1)",
        "range(10,1)",
        "range(10)",
        "range(0)",
        "range(1,10,0.0)",
        "range(1,10,1e-300)",
        "range(1,2,1e-12)",
        "range(1,1000000000)",
        "range(0,1e18)",
        "range(1,1e308,1e-308)",
        "range(a,b)",
        "range()",
        "range(1,2,3,4)",
        "range(start=1)",
        "range(stop=3,x=1)",
        f"range(1,{LONG})",
        f"range({LONG},1)",
        "range(range(1,2),3)",
        "shuffle(range(0,1e12))",
        "sort(range(0,1e12))",
        "sort(1,a)",
        "sort(1,2,key=x)",
        "sort(1,2,reverse=3)",
        "sort(1,[2])",
        "sort(true,1,nan)",
        "sort()",
        "sort(interval(0,1))",
        "shuffle()",
        "shuffle(1)",
        "shuffle(interval(0,1))",
        "shuffle(glob(*))",
        "choice()",
        "choice(choice(1,2))",
        "choice([1])",
        "choice({a:1})",
        "choice(a=1)",
        "choice(range(1,3))",
        "interval(0,1)",
        "interval(1,0)",
        "interval(a,b)",
        "interval(0)",
        "tag(a,interval(0,1))",
        "tag(a,b)",
        "tag()",
        "tag(x,choice(a,b))",
        "glob(*)",
        "glob()",
        "glob([)",
        "glob(exclude=*)",
        "glob(*,exclude=*)",
        "glob(['***'])",
        "int(abc)",
        "int(1,2,x)",
        "int()",
        "int(inf)",
        "int(nan)",
        "int(1e300)",
        f"int('{LONG}')",
        "int(null)",
        "int([1,x])",
        "int({a:1})",
        "float(abc)",
        "float(range(1,3))",
        "float(glob(*))",
        "str(3)",
        "bool(3)",
        "bool(maybe)",
        "bool(1.5)",
        "json_str(3)",
        "json_str({a:1})",
        "json_str(interval(0,1))",
        "extend_list(1)",
        "extend_list()",
        "append(1)",
        "prepend(1)",
        "remove_at(0)",
        "remove_value(1)",
        "list_clear()",
        "insert(0,1)",
        "no_such(1)",
        "eval(1)",
        "__import__(os)",
        "1,,2",
        ",",
        "1,",
        ",1",
        "[1",
        "1]",
        "{a",
        "{a:1",
        "{a:1}}",
        "{1:2}",
        "{a:1,a:2}",
        "'1",
        '"1',
        "1'",
        "'\\",
        "\\",
        "(",
        ")",
        "()",
        "$x",
        "$",
        "$$",
        "${",
        "${}",
        "${depth}",
        "${width}",
        "${oc.env:HOME}",
        "${${x}}",
        "'${oc.env:HOME}'",
        "\\${oc.env:HOME}",
        "$\\{oc.env:HOME}",
        "[${oc.env:HOME}]",
        "{a:${oc.env:HOME}}",
        "${hydra:runtime.cwd}",
        "${oc.create:[1]}",
        "${oc.decode:'1'}",
        "???",
        "'???'",
        "1 2",
        "1\t2",
        "1;2",
        "1|2",
        "1&2",
        "#1",
        "1#",
        "@x",
        "x@y",
        "a=b",
        "=",
        "==",
        ":",
        "a:b:c:",
        "0x10z",
        "1__0",
        "_1",
        "١x",
        "٣٣x",
        "½",
        "∞",
        "\u202e1",
        "\ufeff1x",
        "1\u200b",
        "\x001",
        "1\x00",
        "\x1b[31m1",
        "\x07",
        "1\n2",
        "\n",
        "\r1x",
        "\udcff",
        "1\ud800",
        "😀",
        "[" * 200,
        "[" * 200 + "1" + "]" * 200,
        "[" * 20_000,
        "{a:" * 200 + "1" + "}" * 200,
        "1" * 100_000,
        "x" * 1_000_000,
        "'" + "x" * 1_000_000 + "'",
        "[" + "1," * 50_000 + "1]",
        "-" * 1000,
        "1" + ",1x" * 30_000,
    ],
    "clip": [
        "glob(x*)",
        "glob(no_such)",
        "glob([n,)",
        "glob(none,exclude=none)",
        "choice(none,no_such)",
        "range(1,3)",
        "interval(0,1)",
        "sort(norm,no_such)",
        "shuffle(no_such)",
        "[norm]",
        "[norm,no_such]",
        "[norm,norm]",
        "[norm,none]",
        "{name:norm}",
        "norm,",
        "''",
        "' '",
        "norm ,no_such",
        "null",
        "true",
        "1.5",
        "Norm",
        "norm.yaml",
        "./norm",
        "../clip/norm",
        "/etc/passwd",
        "clip/norm",
        "norm\x00",
        "norm\n",
        "n" * 1_000_000,
        "???",
        "'norm'x",
        "str(norm)x",
        "int(norm)",
    ],
    "probe": [
        "none",
        "null",
        "{}",
        "{name:forward}",
        "[]",
        "[null]",
        "[[forward]]",
        "[forward,no_such]",
        "[forward,1]",
        "[all,no_such]",
        "'[forward]'",
        "[{name:forward}]",
        "glob(no_such)",
        "[" + "no_such," * 10_000 + "x]",
        "true",
    ],
    "snapshot": ["no_such", "[null]", "[[x]]", "{a:b}", "[../x]"],
    "experiment": [
        "no_such",
        "[a,b]",
        "null",
        "../x",
        "/etc/passwd",
        "{a:1}",
        "glob(no_such)",
        "''",
        "1",
        "x" * 100_000,
    ],
    "lr_factors": [
        "{a:b}",
        "{a:-1}",
        "{a:{b:1}}",
        "[a]",
        "{'${oc.env:HOME}':1}",
        "{no_such/*:0.5}",
        "{'':1}",
        "{1:1}",
        "{[:1}",
    ],
    "model.start": ["[1]", "[a]"],
    "optimizer.phases": [
        "[]",
        "[1]",
        "[{}]",
        "[{optimizer:sgd}]",
        "[{optimizer:os:system},{optimizer:sgd}]",
        "{a:1}",
    ],
    "study": [
        "''",
        ".",
        "..",
        "a/b",
        "../x",
        "/x",
        "-x.",
        ".x",
        "a\x00b",
        "a\nb",
        "a b",
        "x" * 300,
        "\udcff",
        "ü",
        "[a]",
        "{a:b}",
        "null",
        "a\\\\b",
        "~",
        "con:",
        "'a '",
    ],
    "outputs": [
        "''",
        "null",
        "[a]",
        "{a:b}",
        "a\x00b",
        "x" * 5000,
        "/dev/null/x",
        "/proc/x",
        "\udcff\x00",
        "'a\x00b'",
        "'\udcff'",
    ],
    "device": ["tpu", "gpu:0", "cuda", "CPU"],
    "steps": ["1000000000000000000", "9223372036854775808", "1e18"],
    "batch_size": ["1000000000000", "2147483648", "2147483647", "1000000"],
    "seeds": ["1000000000", "2147483648", "2147483647", "10000000"],
}


def of_sweeps() -> Iterator[Attack]:
    """Values that Hydra's grammar reads as sweeps, casts and calls, or does not read at all; with and without -m."""
    for key, values in SWEEPS.items():
        for value in values:
            yield Attack(f"{key}: {value[:40]!r}", (f"{key}={value}",))
            yield Attack(f"{key}: {value[:40]!r} -m", (f"{key}={value}", "-m"))


WORDS = [
    "",
    " ",
    "=",
    "==",
    "=1",
    "depth",
    "depth =",
    "depth==3",
    " =1",
    "+",
    "++",
    "~",
    "+depth",
    "++depth=",
    "+=1",
    "~=",
    "~depth",
    "~clip",
    "~clip=norm",
    "~depth=1",
    "~no_such",
    "~~depth",
    "+~depth",
    "-depth=3",
    "--depth=3",
    "--no-such",
    "-x",
    "@",
    "@=1",
    "clip@=norm",
    "clip@x=norm",
    "clip@_global_=norm",
    "clip@:x=norm",
    "clip@a:b=norm",
    "+clip@x=norm",
    "~clip@x",
    "depth@x=1",
    "/clip=norm",
    "clip/=norm",
    "/=1",
    "clip/norm=1",
    "clip.=1",
    ".clip=1",
    ".=1",
    "..=1",
    "clip..threshold=1",
    "clip.threshold.=1",
    "clip[0]=1",
    "clip[threshold]=1",
    "data.shape[0]=1",
    "probes[0]=1",
    "probes=1",
    "probes={}",
    "probes=[]",
    "probes=null",
    "snapshots={}",
    "snapshots=null",
    "log=1",
    "log={}",
    "log={every:1}",
    "log={every:1,x:1}",
    "log=null",
    "stop={}",
    "eval=[]",
    "model=mlp,model=mlp",
    "model={}",
    "+model={name:mlp}",
    "model.name=mlp",
    "model.name=",
    "clip.name=null",
    "hydra=1",
    "hydra.mode=",
    "hydra.mode=null",
    "hydra.mode=[RUN]",
    "hydra.mode=run",
    "hydra.run.dir=/tmp/x",
    "hydra.searchpath=[/tmp]",
    "hydra.output_subdir=x",
    "hydra/launcher=joblib",
    "hydra/sweeper=x",
    "hydra/job_logging=none",
    "+hydra.x=1",
    "~hydra",
    "hydra.verbose=true",
    "hydra@x=1",
    "override hydra/launcher=x",
    "defaults=[x]",
    "defaults={}",
    "+defaults=[clip: norm]",
    "_self_=1",
    "_target_=os.system",
    "clip._target_=os.system",
    "__class__=1",
    "__init__=1",
    "depth.__class__=1",
    "self=1",
    "None=1",
    "1=1",
    "1.5=1",
    "true=1",
    "null=1",
    "'depth'=1",
    '"depth"=1',
    "dep th=1",
    "depth\x00=1",
    "\x00",
    "\udcff=1",
    "\ud800",
    "dépth=1",
    "ԁepth=1",
    "depth\u200b=1",
    "\u202edepth=1",
    "\x1b[31mdepth=1",
    "depth\n=1",
    "\n",
    "${depth}=1",
    "${oc.env:HOME}=1",
    "$x=1",
    "{a:1}",
    "[a]",
    "{a:1}=1",
    "(depth)=1",
    "depth,width=1",
    "depth:1",
    "depth->1",
    "depth=1;width=2",
    "a" * 1_000_000,
    "a" * 1_000_000 + "=1",
    "a." * 100_000 + "=1",
    "a." * 1_000 + "a=1",
    "a" * 100_000 + "@b=1",
    "-" * 1_000_000,
    "=" * 100_000,
    "+" * 100_000,
    "clip." + "x" * 100_000 + "=1",
    "--config-dir",
    "--config-dir=/no/such",
    "--config-dir=/dev/null",
    "--config-dir=\x00",
    "--config-dir=" + "x" * 10_000,
    "--cfg",
    "--cfg=x",
    "--fail-on=no_such",
    "--fail-on",
    "--fail-on=" + "x" * 100_000,
    "--force=1",
    "--multirun=1",
    "--quiet=1",
]


def of_words() -> Iterator[Attack]:
    """Words that are not `key=value`, or of keys that cannot be set."""
    for word in WORDS:
        yield Attack(f"word {word[:40]!r}", (word,))


TOGETHER = {
    "too many cells": ("-m", "depth=range(1,200)", "seed=range(0,200)"),
    "far too many cells": ("-m", *(f"{key}=range(1,9000)" for key in ("depth", "width", "seed", "steps"))),
    "cells of floats": ("-m", "lr=range(0.1,1000000000)"),
    "a grid without -m": ("depth=1,2",),
    "a key and a group": ("clip=norm", "clip.name=value"),
    "two clips": ("clip=norm", "clip=no_such"),
    "a parameter of the clip before": ("clip=norm", "clip.threshold=1", "clip=none"),
    "accumulate": ("batch_size=16", "accumulate=3"),
    "accumulate of all": ("batch_size=0", "accumulate=2"),
    "gd with batches": ("optimizer=gd", "batch_size=16"),
    "linear with tanh": ("model=linear", "activation=tanh"),
    "a surface without a point": ("loss=quadratic",),
    "a point without a surface": ("model=point", "loss=mse"),
    "a point of no coordinates": ("model=point", "loss=quadratic", "model.start=[]"),
    "a surface of two coordinates": ("model=point", "loss=rosenbrock", "model.start=[1.0]"),
    "groups": ("normalization=group", "normalization.groups=7", "width=10"),
    "critical sigma": ("initializer=critical", "initializer.sigma_w=17.0"),
    "looks linear": ("initializer=looks_linear", "activation=tanh"),
    "crelu and a residual": ("activation=crelu", "residual=pre_activation"),
    "fixup and weight norm": ("residual=fixup", "normalization=weight_norm"),
    "no more seeds": ("seed=2147483647", "seeds=1"),
    "image model on tables": ("model=cnn", "data=breast_cancer"),
    "recurrent model on a table": ("model=rnn", "data=breast_cancer"),
    "mlp on text": ("model=mlp", "data=copy"),
    "lenet of depth 50": ("model=lenet", "depth=50"),
    "alexnet of depth 3": ("model=alexnet", "depth=3"),
    "vgg of depth 3": ("model=vgg", "depth=3"),
    "resnet of depth 3": ("model=resnet", "depth=3"),
    "densenet of depth 3": ("model=densenet", "depth=3"),
    "custom without blocks": ("model=custom",),
    "labels for a mean square": ("data=diabetes", "loss=cross_entropy"),
    "a csv without a path": ("data=csv",),
    "a path of bytes": ("data=csv", "data.path='\udcff'", "data.target=x"),
    "a name of bytes": ("lr_factors={'\udcff*':0.5,'*':1}",),
    "a csv that is not there": ("data=csv", "data.path=/no/such.csv", "data.target=x"),
    "npz of nothing": ("data=npz",),
    "hf without a name": ("data=hf",),
    "probe twice": ("probe=[os:getcwd,os:getcwd]",),
    "force twice": ("force=true", "--force", "depth=0"),
}


LARGE = {
    "depth": ("depth=1000000000",),
    "depth of the bound": ("depth=2147483647",),
    "width": ("width=1000000000",),
    "width of the bound": ("width=2147483647",),
    "wide": ("width=1000000",),
    "seeds": ("seeds=1000000000",),
    "many seeds": ("seeds=1000000",),
    "seeds of the bound": ("seed=0", "seeds=2147483646"),
    "deep": ("depth=10000000",),
    "batch": ("batch_size=1000000000000",),
    "branch": ("model.branch=1000000000",),
    "gaussian": ("data=gaussian", "data.shape=[1000000,1000000]"),
    "steps": ("steps=2147483647", "seeds=10000000"),
    "a long sequence": ("model=rnn", "data=parity", "data.length=1000000"),
    "pairs": ("optimizer=spsa", "optimizer.pairs=1000000000"),
    "population": ("optimizer=es", "optimizer.population=1000000000"),
}


def of_together() -> Iterator[Attack]:
    """Words of which each is good and not all together."""
    for kind, words in TOGETHER.items():
        yield Attack(kind, words)


def of_size() -> Iterator[Attack]:
    """Networks that no machine holds."""
    for kind, words in LARGE.items():
        yield Attack(f"large: {kind}", words)


CLASSES = {
    "values": of_values,
    "spelling": of_spelling,
    "combinations": of_combinations,
    "imports": of_imports,
    "sweeps": of_sweeps,
    "words": of_words,
    "together": of_together,
    "size": of_size,
}


def spread(attacks: Iterable[Attack], count: int) -> list[Attack]:
    """At most `count` of the attacks, spread evenly over them."""
    every = list(attacks)
    return [every[index * len(every) // count] for index in range(count)] if count < len(every) else every
