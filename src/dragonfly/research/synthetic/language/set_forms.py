"""The frames of questions about several entries, about what is there, about shapes and about the page as a whole."""

from __future__ import annotations

from .value_forms import Form


def _compare(more: str, has_more: str) -> Form:
    """Frames of a comparison: `more` are adjectives ("larger|higher"), `has_more` what the one has ("more|the higher value")."""
    return Form(
        direct=(
            (
                f"[which|what|which one] is [{more}], {{the}}{{a}} or {{the}}{{b}}",
                f"is {{the}}{{a}} or {{the}}{{b}} [{more}]",
                f"[which|which one|what] of {{the}}{{a}} and {{the}}{{b}} [is|has the value that is] [{more}]",
                f"[which|what|which one] has [{has_more}], {{the}}{{a}} or {{the}}{{b}}",
                f"of {{the}}{{a}} and {{the}}{{b}}, which [one|] is [{more}]",
                f"{{the}}{{a}} or {{the}}{{b}}[:|, which is|, what is] [{more}]",
                f"between {{the}}{{a}} and {{the}}{{b}}, which is [{more}]",
                f"[comparing|compare] {{the}}{{a}} with {{the}}{{b}}, which is [{more}]",
                f"[which|what] is the [{more}] of the two, {{a}} or {{b}}",
            ),
            (f"does {{the}}{{a}} or {{the}}{{b}} have [{has_more}]", f"{{a}} and {{b}}, which one has [{has_more}]"),
            (
                f"[which|what] would be [{more}], {{the}}{{a}} or {{the}}{{b}}",
                f"between {{the}}{{a}} and {{the}}{{b}}, which has [{has_more}]",
                f"if you compare {{the}}{{a}} and {{the}}{{b}}, which one is [{more}]",
                f"{{the}}{{a}} and {{the}}{{b}}: [name|find] the [{more}]",
            ),
        ),
        clause=(
            f"[which|which one|what] is [{more}], {{the}}{{a}} or {{the}}{{b}}",
            f"[whether|if] {{the}}{{a}} or {{the}}{{b}} is [{more}]",
            f"[which|which one] of {{the}}{{a}} and {{the}}{{b}} is [{more}]",
            f"[which|which one] of {{the}}{{a}} and {{the}}{{b}} has [{has_more}]",
        ),
        thing=(f"the [{more}] [of|one of] {{the}}{{a}} and {{the}}{{b}}", f"the one that is [{more}], {{a}} or {{b}}"),
        bare=(
            (f"[{more}]: {{a}} or {{b}}", f"{{a}} or {{b}}, [{more}]", f"[{more}], {{a}} or {{b}}"),
            (f"which [{more}] - {{a}} or {{b}}",),
            (f"{{a}} / {{b}}: [{more}]", f"[{more}] one: {{a}}, {{b}}"),
        ),
    )


LARGER = _compare("larger|higher|bigger|greater|more", "more|the larger value|the higher value|the bigger number")
SMALLER = _compare("smaller|lower|less", "less|the smaller value|the lower value|the smaller number")


def _extreme(most: str, has_most: str) -> Form:
    return Form(
        direct=(
            (
                f"[which|what] {{noun}} [has|shows] the [{most}] [value|number|figure|{{measure}}]",
                f"[which|what] {{noun}} is the [{most}]",
                f"[which|what] of the {{nouns}} [is the|has the] [{most}]",
                f"what is the [{most}] {{noun}}",
                f"[which|what] {{noun}} has [{has_most}]",
                f"where is the {{measure}} [{most}]",
                f"for [which|what] {{noun}} is the {{measure}} [{most}]",
                f"what has the [{most}] [value|{{measure}}]",
            ),
            (f"which {{noun}} comes with the [{most}] {{measure}}",),
            (
                f"the [{most}] {{measure}} [is for|belongs to|goes with] [which|what] {{noun}}",
                f"of all {{nouns}}, which [one|] [is the|has the] [{most}]",
                f"at [what|which] {{noun}} can you see the [{most}] value",
            ),
        ),
        clause=(
            f"[which|what] {{noun}} has the [{most}] [value|{{measure}}]",
            f"[which|what] {{noun}} is the [{most}]",
            f"where the {{measure}} is the [{most}]",
        ),
        thing=(
            f"the {{noun}} with the [{most}] [value|{{measure}}|number]",
            f"the [{most}] {{noun}}",
            f"the {{noun}} that has [{has_most}]",
        ),
        bare=(
            (f"[{most}] {{noun}}", f"[{most}] {{measure}}", f"which is [{most}]", f"{{noun}} with [{most}] {{measure}}"),
            (f"{{noun}}: [{most}]",),
            (f"and the [{most}] {{noun}}", f"only the {{noun}} that is [{most}]"),
        ),
    )


MOST = _extreme("highest|largest|biggest|greatest|top", "the most|most")
LEAST = _extreme("lowest|smallest|least", "the least|least")

COUNT = Form(
    direct=(
        (
            "how many {nouns} [are there|do you see|can you see|does it show|does it have|are shown|are listed|are on it]",
            "how many {nouns} are [in|on] [this|the] {img}",
            "how many {nouns} does [this|the] {img} [have|show|list]",
            "what is the [number|count|total number] of {nouns}",
            "count the {nouns}",
            "there are how many {nouns}",
            "[this|the] {img} has how many {nouns}",
            "what number of {nouns} [is there|do you see|does it show]",
            "how many {nouns} [does it list|did they list|is it|in all|in total|altogether]",
        ),
        ("how many {nouns} can you find", "the number of {nouns} is what"),
        (
            "how many {nouns} did you [see|find|count]",
            "so how many {nouns} [is that|are there]",
            "{nouns}: how many [can you see|are there]",
            "what do you get if you count the {nouns}",
            "how many {nouns} would you say there are",
        ),
    ),
    clause=(
        "how many {nouns} [there are|you see|it shows|it has|are shown|are listed]",
        "how many {nouns} [this|the] {img} has",
        "what the number of {nouns} is",
    ),
    thing=("the [number|count] of {nouns}", "how many {nouns} [there are|you see]", "the total number of {nouns}"),
    bare=(
        ("how many {nouns}", "number of {nouns}", "{nouns}, how many", "count of {nouns}", "# of {nouns}", "total {nouns}"),
        ("{nouns} count",),
        ("and how many {nouns}", "{nouns} in total", "only the count of {nouns}"),
    ),
)

_THERE = "[there|here|given|shown|listed|printed|mentioned]"
PRESENT = Form(
    direct=(
        (
            "is there {an} [|on it|here|shown|listed|mentioned|anywhere|or not]",
            "is there {an} [in|on] [this|the] {img}",
            "does [it|this|the {img}] [have|show|list|give|mention|contain|include] {an}",
            "[can|do|could] you [see|find|read] {an} [|anywhere|here|on it]",
            "[can|do] you [see|find] {an} [in|on] [this|the] {img}",
            "is {an} [in|on] [this|the] {img}",
            f"is {{an}} {_THERE}",
            "do they [give|list|show|mention] {an}",
            "{an}: is [it|that] there",
            "is it [true|so] that there is {an}",
        ),
        ("can {an} be seen", "do they print {an}", "was there {an}"),
        (
            "is {an} to be [seen|found]",
            "can {an} be found [|here|in the {img}|on the {img}]",
            "did they [list|mention|include|print] {an}",
            "would there be {an} [here|on it]",
            "any chance there is {an}",
        ),
    ),
    clause=(
        "[whether|if] there is {an} [|or not|on it|here]",
        "[whether|if] [it|this|the {img}] [has|shows|lists|mentions|contains] {an}",
        "[whether|if] you [see|can see|can find] {an}",
        f"[whether|if] {{an}} is {_THERE}",
    ),
    bare=(
        ("any {key}", "any {key} [here|there|on it]", "{key} [there|present|shown], yes or no", "has it got {an}", "got {an}"),
        ("is {key} there",),
        ("yes or no: is there {an}", "{key} - is it there", "there is {an}, right", "{an}, yes or no"),
    ),
)

_BESIDE = "[next to|beside|by|near|close to|along with]"
BESIDE = Form(
    direct=(
        (
            f"what [is|stands|is written|do you see|does it say|do you read] {_BESIDE} {{the}}{{key}}",
            f"[which|what] [value|number|text] [is|stands|is written] {_BESIDE} {{the}}{{key}}",
            "[which|what] [value|number] [belongs to|goes with] {the}{key}",
            "what [value|number|] does {the}{key} have",
            "what does it say [for|at] {the}{key}",
            f"{{the}}{{key}} [is|stands] {_BESIDE} what",
            "{key}: what is next to it",
        ),
        (f"what can you read {_BESIDE} {{the}}{{key}}",),
        (f"what [was|would be] put {_BESIDE} {{the}}{{key}}", "{the}{key} has what next to it"),
    ),
    clause=(f"what [is|stands|is written] {_BESIDE} {{the}}{{key}}", "what [belongs to|goes with] {the}{key}"),
    thing=(f"the [value|text|number] {_BESIDE} {{the}}{{key}}", f"what is {_BESIDE} {{the}}{{key}}"),
    bare=(
        ("{key}", "the {key}", "{key} =", "next to {the}{key}", "value of {the}{key}", "{key}: what"),
        ("just {key}",),
        ("{key} is", "and {the}{key}", "so {key}"),
    ),
)

SHAPE_OWNER = Form(
    direct=(
        (
            f"[which|what] shape [is|stands|do you see] {_BESIDE} {{value}}",
            f"what [is|stands|do you see] {_BESIDE} {{value}}",
            "[which|what] shape [belongs to|has|goes with|shows] {value}",
            f"{{value}} [is|stands] {_BESIDE} [what|which shape]",
            "[to|at] which shape [is|stands|belongs] {value}",
            "where [is|do you see|does it say] {value}",
            "{value}: which shape is it",
        ),
        ("which shape comes with {value}",),
        (
            f"which [one|thing] can you see {_BESIDE} {{value}}",
            "{value} belongs to what",
            "what shape did you find [with|at] {value}",
        ),
    ),
    clause=(f"[which|what] shape [is|stands] {_BESIDE} {{value}}", "[what|which shape] {value} [belongs to|is next to]"),
    thing=("the shape [with|that has|next to|beside|by] {value}", f"what is {_BESIDE} {{value}}"),
    bare=(
        ("shape [with|of|by] {value}", "{value} is what", "which shape {value}", "what has {value}"),
        ("{value}, which",),
        ("and {value}, which shape", "only the shape of {value}"),
    ),
)

BESIDE_HOLDS = Form(
    direct=(
        (
            f"is {{value}} {_BESIDE} {{the}}{{key}}",
            f"does it [say|show] {{value}} {_BESIDE} {{the}}{{key}}",
            "does {the}{key} [have|show|say] {value}",
            f"is {{the}}{{key}} {_BESIDE} {{value}}",
            "does {value} belong to {the}{key}",
            f"is it [true|right] that {{the}}{{key}} is {_BESIDE} {{value}}",
        ),
        ("was {value} by {the}{key}",),
        (f"am I right that {{value}} is {_BESIDE} {{the}}{{key}}", f"did they put {{value}} {_BESIDE} {{the}}{{key}}"),
    ),
    clause=(f"[whether|if] {{value}} [is|stands] {_BESIDE} {{the}}{{key}}", "[whether|if] {the}{key} has {value}"),
    bare=(
        ("{key} = {value}", "is {key} {value}", "{key} {value}, yes or no"),
        ("{key} {value}, correct",),
        ("yes or no: {key} has {value}", "{the}{key} has {value}, right"),
    ),
)

SPECKS_HOLD = Form(
    direct=(
        (
            "are there {value} {key} [|here|shown|or not]",
            "do you [see|count] {value} {key}",
            "does [it|this|the {img}] [have|show] {value} {key}",
            "is the [number|count] of {key} {value}",
            "is it [true|right] that there are {value} {key}",
            "can you see {value} {key}",
            "are {value} {key} [in|on] the {img}",
        ),
        ("can {value} {key} be seen",),
        ("am I right that there are {value} {key}", "would you count {value} {key}", "did you find {value} {key}"),
    ),
    clause=(
        "[whether|if] there are {value} {key}",
        "[whether|if] the number of {key} is {value}",
        "[whether|if] it shows {value} {key}",
    ),
    bare=(
        ("{value} {key}, yes or no", "{key} = {value}", "is it {value} {key}"),
        ("{value} {key}, correct",),
        ("yes or no: {value} {key}", "there are {value} {key}, right"),
    ),
)


def _look(what: str, key: str, be: str, have: str) -> Form:
    """Frames for the colour of a shape, or the shape of a colour; `be` and `have` agree in number."""
    return Form(
        direct=(
            (
                f"[what|which] {what} {be} {key}",
                f"what is the {what} of {key}",
                f"[of|] [which|what] {what} {be} {key}",
                f"[which|what] {what} do you see for {key}",
                f"{key} {be} [of|] [what|which] {what}",
                f"{key}: what {what}",
            ),
            (f"what {what} can you see for {key}",),
            (f"what {what} would you say {key} {be}", f"what {what} did they give {key}"),
        ),
        clause=(f"[what|which] {what} {key} {be}", f"what the {what} of {key} is", f"[what|which] {what} {key} {have}"),
        thing=(f"the {what} of {key}", f"what {what} {key} {be}"),
        bare=(
            (f"{what} of {key}", f"{key}, what {what}", f"what {what}, {key}", f"{key} {what}"),
            (f"just the {what} of {key}",),
            (f"and the {what} of {key}", f"only the {what} for {key}"),
        ),
    )


COLOUR = _look("colour", "{the}{key}", "is", "has")
SPECKS_COLOUR = _look("colour", "{the}{key}", "are", "have")
SHAPE = _look("shape", "the {key} one", "is", "has")

DESCRIBE = Form(
    direct=(
        (
            "what is [this|it|shown|that|in the {img}|on the {img}]",
            "what [does|would] [this|it|the {img}] show",
            "what [do|can] you see [|here|in the {img}]",
            "[describe|summarise|summarize|explain] [this|it|the {img}|what you see] [|briefly|in a few words]",
            "what kind of [thing|page|{img}|document] is [this|it]",
            "what am I looking at",
            "what [is|are] [this {img}|the contents] about",
        ),
        ("what would you call this", "what have we here"),
        ("what can be seen [|here|in the {img}]", "what did you find [|here|in the {img}]", "so what is this {img} [about|of]"),
    ),
    clause=("what [this|it|the {img}] [is|shows]", "what you [see|can see]", "what kind of {img} this is"),
    thing=("a [short|brief] description", "what [this|it] is", "a description of [this|the {img}]", "a summary"),
    bare=(
        ("description", "describe", "summary", "what", "short description", "what kind of {img}"),
        ("description here",),
        ("only a description", "and what is this"),
    ),
)
