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


BE = "[written|printed|given|shown|listed|stated|noted]"
WHICH = "[which|what]"

VALUE = Form(
    direct=(
        (
            "what is {the}{key}",
            "what is {the}[value|entry|figure|text] [of|for|under|beside] {the}{key}",
            f"what is {BE} [for|as|under|next to|beside|at|after] {{the}}{{key}}",
            "what [do you see|do you read|stands|comes] [for|next to|beside|after|under] {the}{key}",
            "what does [it|this|the {img}] [say|show|give|have] [for|as|at|next to] {the}{key}",
            "what does {the}{key} [say|show|read|have]",
            f"{WHICH} [value|entry|text|figure] [does {{the}}{{key}} have|belongs to {{the}}{{key}}]",
            f"{WHICH} [value|entry|text|figure] is {BE} for {{the}}{{key}}",
            f"{WHICH} {{key}} [do you see|does it show|does the {{img}} have|is it|is on it|is given|is printed]",
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
            f"what is it that is {BE} for {{the}}{{key}}",
            "what would you read [for|at] {the}{key}",
            "what can be [read|seen|found] [under|for|next to] {the}{key}",
        ),
    ),
    clause=(
        "what {the}{key} [is|says|shows|reads]",
        f"what is {BE} [for|as|under|next to|beside] {{the}}{{key}}",
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
        f"{WHICH} [amount|sum|figure|number] [do you see for {{the}}{{key}}|is {{the}}{{key}}]",
        f"{WHICH} [amount|sum|figure|number] is {BE} for {{the}}{{key}}",
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
