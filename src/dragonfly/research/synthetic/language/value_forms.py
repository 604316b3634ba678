"""The frames of every form of question, before anything stands around them.

A `clause` follows an ask such as "tell me", a `thing` one such as "find": both serve all splits, because the asks of the splits
differ. A `direct` question and `bare` key words stand alone, so each split has its own. Patterns: `[a|b]` is either, `{the}` is
"the " or nothing, `{img}` what people call the page; other fields are the words of the question.
"""

from __future__ import annotations

from dataclasses import dataclass, field

Patterns = tuple[str, ...]


@dataclass(frozen=True)
class Form:
    """One form of question: `direct` and `bare` are patterns of (train, dev, test)."""

    direct: tuple[Patterns, Patterns, Patterns]
    clause: Patterns = ()
    thing: Patterns = ()
    bare: tuple[Patterns, Patterns, Patterns] = field(default=((), (), ()))
    mark: str = "?"


_BE = "[written|printed|given|shown|listed|stated|noted]"
_WHICH = "[which|what]"
_BY = "[next to|beside|by|near|right of|along with]"

VALUE = Form(
    direct=(
        (
            "what is {the}{key}",
            "what is {the}[value|entry|figure|text] [of|for|under|beside] {the}{key}",
            f"what is {_BE} [for|as|under|next to|beside|at|after] {{the}}{{key}}",
            "what [do you see|do you read|stands|comes] [for|next to|beside|after|under] {the}{key}",
            "what does [{the}{key}|it|this|the {img}] [say|show|give|have] [for|as|at|next to] {the}{key}",
            "what does {the}{key} [say|show|read|have]",
            f"{_WHICH} [value|entry|text|figure] [does {{the}}{{key}} have|belongs to {{the}}{{key}}]",
            f"{_WHICH} [value|entry|text|figure] is {_BE} for {{the}}{{key}}",
            f"{_WHICH} {{key}} [do you see|does it show|does the {{img}} have|is it|is on it|is given|is printed]",
            "{the}{key} is what",
            "{the}{key}[ -|,|:] what is it",
            "{key}: what [does it say|is written|is the value|do you see]",
            "what did they [write|put|print|note] [for|as|under|next to] {the}{key}",
            "where it says {key}, what is [next to it|written|given|there]",
            "[what was|what would be|what are] {the}{key}",
            "of {the}{key}, what is the value",
            "what is [seen|found] [for|next to] {the}{key}",
        ),
        ("what does the {img} [list|state] as {the}{key}", "what can you read for {the}{key}", "{the}{key} has what value"),
        (
            "what did you find for {the}{key}",
            "what [has|is] the {img} got for {the}{key}",
            "which [value|entry] can you see [for|next to] {the}{key}",
            "{the}{key} says what",
            f"what is it that is {_BE} for {{the}}{{key}}",
            "what would you read [for|at] {the}{key}",
            "what can be [read|seen|found] [under|for|next to] {the}{key}",
        ),
    ),
    clause=(
        "what {the}{key} [is|says|shows|reads]",
        f"what is {_BE} [for|as|under|next to|beside] {{the}}{{key}}",
        "[what|which] [value|entry] {the}{key} has",
        "what {the}[value|entry] [of|for] {the}{key} is",
        "what [it|this|the {img}] [says|shows|gives|has] [for|as] {the}{key}",
        "what [stands|comes] [next to|beside|after] {the}{key}",
        "[which|what] {key} [it is|this is|it has|is given]",
    ),
    thing=(
        "{the}{key}",
        "{the}{key} [value|entry] [|here]",
        "{the}[value|entry|text|figure] [of|for|next to|beside|under] {the}{key}",
        "what it says [for|next to|under] {the}{key}",
        "what is [written|printed|given] [for|next to|under] {the}{key}",
        "{the}{key} [on|from|in|of] [this|the] {img}",
    ),
    bare=(
        (
            *(
                "{key}",
                "the {key}",
                "{key} value",
                "value of {key}",
                "{key} [=|:|-]",
                "[this|the] {img} {key}",
                "{key} [on|in] {img}",
            ),
            *(
                "{key} [on|in|of|from] [the|this] {img}",
                "which {key}",
                "what {key}",
                "{key} [there|here|only]",
                "find {key}",
                "{img}: {key}",
            ),
        ),
        ("just {key}", "{key} [given|shown]", "{key}, what"),
        ("{key} is", "only the {key}", "and {the}{key}", "{the}{key} as [printed|written|shown]", "so {key}"),
    ),
)


def _more(form: Form, *direct: Patterns, clause: Patterns = (), thing: Patterns = ()) -> Form:
    """A form that is asked as another is, and in ways of its own."""
    train, dev, test = (general + own for general, own in zip(form.direct, direct, strict=True))
    return Form((train, dev, test), form.clause + clause, form.thing + thing, form.bare)


MONEY = _more(
    VALUE,
    (
        "how [much|high] [is|was] {the}{key}",
        "how much [is|was] [given|listed|charged|there|due|to pay] [for|as] {the}{key}",
        "how much [does the {img} say|does it say|do they list|did they charge] [for|as] {the}{key}",
        f"{_WHICH} [amount|sum|figure|number] [do you see for {{the}}{{key}}|is {{the}}{{key}}]",
        f"{_WHICH} [amount|sum|figure|number] is {_BE} for {{the}}{{key}}",
        "{the}{key} is how much",
        "how much {key} [is there|was there|is it|do you see]",
        "{key}, how much",
        "what [is|was] {the}amount of {the}{key}",
        "what did {the}{key} come to",
    ),
    ("how much does it give for {the}{key}", "what figure do you see next to {the}{key}"),
    (
        "how much does {the}{key} come to",
        "{the}{key} [was|comes to] how much",
        "how much [would|can] you see for {the}{key}",
        "what amount [was|comes] [next to|under] {the}{key}",
        "so how much is {the}{key}",
    ),
    clause=("how much {the}{key} [is|was]", "how [much|high] {the}{key} is [here|there]", "what amount is given for {the}{key}"),
    thing=("{the}amount [of|for] {the}{key}", "how much {the}{key} is"),
)

DATE = _more(
    VALUE,
    (
        "when [is|was] [it|this|the {img}] [dated|made|printed|issued|from]",
        "[what|which] [day|date] [is|was] [it|this|the {img}] [made|printed|issued|from]",
        "what [date|day] is [on it|on the {img}|on this]",
        "on [what|which] [date|day] was [this|it|the {img}] [made|printed|issued]",
        "when was {the}{key}",
    ),
    ("of what date is [this|the {img}]", "when did they print [this|the {img}]"),
    ("from when is [this|the {img}]", "when did they [make|issue] [this|the {img}]", "what [day|date] has [this|it] got"),
    clause=("when [this|it|the {img}] was [made|printed|issued|dated]", "what [date|day] [this|the {img}] is from"),
    thing=("the [day|date] [it|this|the {img}] was [made|printed|issued]", "the date of issue"),
)

TIME = _more(
    VALUE,
    (
        "[at|] what time [is|was] [it|this|the {img}] [made|printed|issued]",
        "what [time|hour] is [on it|on the {img}|on this|shown]",
        "what time does [it|this|the {img}] [say|show|give]",
    ),
    ("what time did they print [this|the {img}]",),
    ("at which [time|hour] did they [make|print] [this|it]", "what time of day [is|was] on [it|this]"),
    clause=("what time [it|this|the {img}] was [made|printed|issued]",),
)

COMPANY = Form(
    direct=(
        (
            "[which|what] [shop|store|company|business|firm|place] is [this|it|the {img}] from",
            "[which|what] [shop|store|company|business] [made|issued|printed|wrote] [this|it|the {img}]",
            "[who|which company] [made|issued|printed|wrote] [this|it|the {img}]",
            "what is the name of the [shop|store|company|business|firm|place]",
            "what is the [shop|store|company|business] [called|name]",
            "where [is|was] [this|it|the {img}] from",
            "whose [name|{img}] is [this|it|at the top]",
            "what [shop|store|company] name is [on it|at the top|printed|shown]",
            "what do they call [themselves|it]",
            "from [which|what] [shop|store|company|business] is [this|it|the {img}]",
        ),
        ("whose {img} can you see", "what company does the {img} name"),
        (
            "who is [this|the {img}] from",
            "[which|what] [company|shop|business] does [it|this|the {img}] come from",
            "what do they call [this|the] [shop|store|company]",
            "the name at the top is what",
        ),
    ),
    clause=(
        "[which|what] [shop|store|company|business] [this|it|the {img}] is from",
        "[who|which company] [made|issued|printed] [this|it|the {img}]",
        "what the [shop|store|company] is called",
        "where [this|it|the {img}] is from",
    ),
    thing=(
        "the [name of the shop|name of the store|name of the company|shop|store|company|business]",
        "the [shop|store|company|business] name",
        "who [made|issued] [this|it|the {img}]",
    ),
    bare=(
        (
            "[shop|store|company|business]",
            "[company|shop|store] name",
            "name of [shop|store|company|the company]",
            "which [shop|store]",
        ),
        ("the [shop|store|company], what",),
        ("only the [shop|store|company]", "and the [shop|store|company] name", "[shop|store|company] is"),
    ),
)

CELL = Form(
    direct=(
        (
            "what is the {col} [of|for] {the}{row}",
            "what [|is the] {col} [is given|is written|is listed|do you see|does it say] for {the}{row}",
            "what {col} does {the}{row} have",
            "how much is the {col} [of|for] {the}{row}",
            "for {the}{row}, what is the {col}",
            "{the}{row}: what is [the|its] {col}",
            "[which|what] {col} [is next to|belongs to|stands by] {the}{row}",
            "what does the {img} [say|give|show|list] as the {col} [of|for] {the}{row}",
            "in the row [of|for] {the}{row}, what is the {col}",
            "what [number|figure|value] is under {col} for {the}{row}",
        ),
        ("{the}{row} has what {col}", "what can you read as the {col} of {the}{row}"),
        (
            "of {the}{row}, what is the {col}",
            "what did they [write|put|list] as the {col} for {the}{row}",
            "the {col} of {the}{row} is what",
            "which {col} can you see [for|next to] {the}{row}",
        ),
    ),
    clause=("what the {col} [of|for] {the}{row} is", "what {col} {the}{row} has", "what is given as the {col} of {the}{row}"),
    thing=(
        "the {col} [of|for] {the}{row}",
        "{the}{row}'s {col}",
        "{the}{row} {col}",
        "the {col} [in the row of|next to] {the}{row}",
    ),
    bare=(
        ("{row} {col}", "{col} of {row}", "{col} {row}", "{row}, {col}", "{row}: {col}", "{col} for {the}{row}", "{col} ({row})"),
        ("just the {col} of {row}",),
        ("{row}: only {col}", "only {col} for {row}", "and the {col} for {row}", "{row} {col} is"),
    ),
)

PRICE = _more(
    CELL,
    (
        "how much [is|was|does|did] {the}{row}[| cost]",
        "what does {the}{row} cost",
        "what [is|was] [paid|charged] for {the}{row}",
        "how much [did I pay|do I pay|was paid] for {the}{row}",
    ),
    ("what did {the}{row} cost",),
    ("{the}{row} costs [how much|what]", "how much do they [charge|want] for {the}{row}"),
    clause=("how much {the}{row} [is|costs|was]", "what {the}{row} [costs|cost]"),
    thing=("how much {the}{row} [costs|is]",),
)

OWNER = Form(
    direct=(
        (
            f"{_WHICH} {{noun}} [has|says|shows|is|reads|gives|holds|has the value|is given as|is listed as|is marked] {{value}}",
            f"{_WHICH} {{noun}} [does|did] {{value}} [belong to|stand for|go with]",
            f"{_WHICH} {{noun}} is {_BY} {{value}}",
            f"{_WHICH} [of the {{nouns}}|one of the {{nouns}}|one|of these|line|item] [has|says|shows|is|reads] {{value}}",
            "what [has|says|shows|has the value|is worth] {value}",
            "what is {value} [the value of|for|written for|next to|beside]",
            "what does {value} [belong to|stand for|mean|refer to|go with]",
            f"what is {_BE} {_BY} {{value}}",
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
