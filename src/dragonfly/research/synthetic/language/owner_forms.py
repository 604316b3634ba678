"""The frames of questions for the owner of a value, and of those whether an entry has a value: worded apart from each other."""

from __future__ import annotations

from .value_forms import BE, WHICH, Form

_BY = "[next to|beside|by|near|right of|along with]"
OWNER = Form(
    direct=(
        (
            f"{WHICH} {{noun}} [has|says|shows|is|reads|gives|holds|has the value|is given as|is listed as|is marked] {{value}}",
            f"{WHICH} {{noun}} [does|did] {{value}} [belong to|stand for|go with]",
            f"{WHICH} {{noun}} is {_BY} {{value}}",
            f"{WHICH} [of the {{nouns}}|one of the {{nouns}}|one|of these|line|item] [has|says|shows|is|reads] {{value}}",
            "what [has|says|shows|has the value|is worth] {value}",
            "what is {value} [the value of|for|written for|next to|beside]",
            "what does {value} [belong to|stand for|mean|refer to|go with]",
            f"what is {BE} {_BY} {{value}}",
            "[for|to|under|next to|at] [which|what] {noun} [does it say|do you see|is|stands] {value}",
            "where [does it say|do you see|do I find|is|stands|is there a] {value}",
            "{value} [is|stands for|belongs to|goes with|is the value of|refers to] [what|which {noun}]",
            "{value}[:| -|,] [what is it|which {noun} is it|which {noun}|what is it for|what does it belong to]",
            "[who|what] is it that has {value}",
            "{value} [is|stands] next to [what|which {noun}]",
        ),
        ("which {noun} comes with {value}", "what do they give as {value}", "{value} - for what"),
        (
            "the value {value} [belongs to|is for|goes with] [what|which {noun}]",
            "which {noun} can be [seen|found] [with|at] {value}",
            "what [was|would be] {value}",
            "[at|by] [which|what] {noun} [can you see|did you find] {value}",
            "where did they [write|put|print] {value}",
            "{value} would be [what|which {noun}]",
        ),
    ),
    clause=(
        "[which|what] {noun} [has|says|shows|is|reads] {value}",
        "[what|which {noun}] {value} [belongs to|stands for|is for|is next to|refers to|goes with]",
        "where [it says|you see|to find] {value}",
        "what {value} [is|is the value of|means]",
        "for [what|which {noun}] it says {value}",
    ),
    thing=(
        "the {noun} [with|that has|that says|that shows|that reads|which is|next to|showing] {value}",
        "what {value} [is|belongs to|stands for]",
        "the [name|key|label] [of|for|next to|beside] {value}",
        "the {noun} [with|that has] [the value|value] {value}",
        "what [has|says] {value}",
    ),
    bare=(
        (
            *(
                "{value} is what",
                "what is {value}",
                "{noun} [with|of|for] {value}",
                "{value} belongs to",
                "{value}: what",
                "what has {value}",
            ),
            *(
                "which {noun} {value}",
                "which is {value}",
                "where is {value}",
                "{value} where",
                "{noun} that is {value}",
                "name of {value}",
            ),
        ),
        ("{value}, which",),
        ("{value} for which {noun}", "and {value}, [what|which {noun}]", "{noun} showing {value}", "only the {noun} of {value}"),
    ),
)

CELL_OWNER = Form(
    direct=(
        (
            "[which|what] {noun} [has|shows|says|is given] [a|the] {col} [of|=|is] {value}",
            "[which|what] {noun} has {value} [as|for|under] [its|the] {col}",
            "[which|what] [one|line|row|of the {nouns}] has [a|the] {col} of {value}",
            "what has [a|the] {col} of {value}",
            "the {col} {value} [is of|belongs to|is for|goes with] [which|what] {noun}",
            "[for|of] [which|what] {noun} is the {col} {value}",
            "where is the {col} {value}",
            "{value} is the {col} of [what|which {noun}]",
            "{col} {value}: which {noun} is it",
        ),
        ("what {noun} comes at a {col} of {value}",),
        (
            "which {noun} [goes with|shows] {value} under {col}",
            "{value} as {col} [is|belongs to] [which|what] {noun}",
            "with a {col} of {value}, which {noun} is it",
            "whose {col} is {value}",
        ),
    ),
    clause=("[which|what] {noun} has [a|the] {col} of {value}", "[which|what] {noun} the {col} {value} belongs to"),
    thing=("the {noun} [with|that has] [a|the] {col} of {value}", "the {noun} whose {col} is {value}"),
    bare=(
        ("{noun} with {col} {value}", "which {noun}: {col} {value}", "{col} {value} is which {noun}", "{noun}, {col} {value}"),
        ("{value} {col}, what {noun}",),
        ("and {col} {value}, which {noun}", "{noun} at {col} {value}"),
    ),
)

HOLDS = Form(
    direct=(
        (
            "is {the}{key} {value}",
            "is it [true|so|right|correct] that {the}{key} [is|says|has] {value}",
            "is {the}[value|entry] [of|for] {the}{key} {value}",
            "does {the}{key} [say|have|show|read|equal] {value}",
            "does [it|this|the {img}] [say|show|give|have] {value} [for|as|next to] {the}{key}",
            "is {value} [written|printed|given|listed|what is given] [for|as|next to] {the}{key}",
            "is {value} [the value of|the] {key}",
            "does {value} belong to {the}{key}",
            "is {the}{key} [given as|written as|equal to|the same as|=] {value}",
            "do you [see|read] {value} [for|next to] {the}{key}",
            "{the}{key} is {value}, [is that right|is it|right|true|correct|yes or no]",
            "{key}: is it {value}",
        ),
        ("was {the}{key} {value}", "do they list {value} as {the}{key}"),
        (
            "can it be that {the}{key} is {value}",
            "did they [write|put|print] {value} [for|as] {the}{key}",
            "am I right that {the}{key} is {value}",
            "would {the}{key} be {value}",
            "is that {value} [for|under|next to] {the}{key}",
        ),
    ),
    clause=(
        "[whether|if] {the}{key} [is|says|has|shows] {value}",
        "[whether|if] it [says|shows] {value} [for|as|next to] {the}{key}",
        "[whether|if] {value} is [given for|written for|the value of] {the}{key}",
        "[whether|if] it is [true|right|correct] that {the}{key} is {value}",
    ),
    bare=(
        (
            "{key} = {value}",
            "{key} {value}, yes or no",
            "is {key} = {value}",
            "true or false: {key} is {value}",
            "{key} is {value}, right",
        ),
        ("{key} {value}, correct",),
        ("yes or no: {the}{key} is {value}", "{the}{key} is {value}, true or false", "so {the}{key} is {value}, right"),
    ),
)

CELL_HOLDS = Form(
    direct=(
        (
            "is the {col} [of|for] {the}{row} {value}",
            "is it [true|right|correct] that the {col} [of|for] {the}{row} is {value}",
            "does {the}{row} have [a|the] {col} of {value}",
            "does it [say|show|give] {value} as the {col} [of|for] {the}{row}",
            "is {value} the {col} [of|for] {the}{row}",
            "{the}{row}: is [the|its] {col} {value}",
            "the {col} of {the}{row} is {value}, [right|is it|correct|yes or no]",
        ),
        ("was the {col} for {the}{row} {value}",),
        ("did they [put|list] {value} as the {col} of {the}{row}", "am I right that the {col} of {the}{row} is {value}"),
    ),
    clause=("[whether|if] the {col} [of|for] {the}{row} is {value}", "[whether|if] {the}{row} has [a|the] {col} of {value}"),
    bare=(
        ("{row} {col} = {value}", "{col} of {row} is {value}, right", "{row}, {col} {value}, yes or no"),
        ("{row} {col} {value}, correct",),
        ("yes or no: {col} of {row} is {value}", "{col} of {row} = {value}, true or false"),
    ),
)
