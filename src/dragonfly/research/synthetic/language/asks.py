"""What stands around a question: openers, asks that take a clause, asks that take a thing, endings. No entry is in two splits.

An ask of `dev` or `test` is no opener and ask of `train` put together, so whatever follows it, the template is a new one.
"""

from __future__ import annotations

OPENERS: dict[str, tuple[str, ...]] = {
    "train": (
        *("hi,", "hello,", "hey,", "ok,", "so,", "now,", "well,", "sorry,", "excuse me,", "thanks,", "right,", "um,", "next,"),
        *(
            "quick question:",
            "one question:",
            "one more:",
            "another one:",
            "question:",
            "first,",
            "then",
            "also,",
            "good morning,",
        ),
        *("[in|on|from|for|looking at|according to|based on] [this|the] {img},", "about this {img}:", "here is [a|my] {img}."),
        *("I have a {img} here.", "[see|look at|check|read] [this|the] {img}.", "[this|my] {img}:", "given this {img},"),
        *(
            "as [shown|written|printed] [in|on] the {img},",
            "[look|listen],",
            "if you can,",
            "for my records,",
            "for my work,",
            "I can't see well.",
            "if you happen to see it,",
            "last question:",
        ),
    ),
    "dev": ("hi there,", "last one:", "[in|on] the {img} [here|shown],", "ok now,", "please look at this {img}."),
    "test": (
        "hello there,",
        "good question:",
        "going by [this|the] {img},",
        "one last question:",
        "and now,",
        "from what you see,",
    ),
}

CLAUSE_ASKS: dict[str, tuple[str, ...]] = {
    "train": (
        *(
            "[please|just|kindly|quickly|do|] tell me",
            "[can|could|would|will] you [please|kindly|] tell me",
            "[please|just|] say",
        ),
        *("I[ want|'d like| need| have|'m trying] to know", "do you [know|see]", "[can|could] you [see|read|say|check|find out]"),
        *("[please|] let me know", "[please|] show me", "I wonder", "I'm [wondering|asking]", "any idea", "[please|just|] check"),
        *("[help me|please|] find out", "I [can't|cannot|can not] [see|read|tell|find]", "not sure", "look and tell me", "find"),
        *("[we|they|my boss|my friend] [needs|need|wants|want] to know", "would you mind [telling me|checking|saying|reading]"),
        *("are you able to [tell me|say|read]", "is it possible to [say|see|tell]", "I forgot", "someone asked me", "try to see"),
        *(
            "read the {img} and [say|tell me]",
            "look at the {img} and [say|tell me]",
            "have a look and [say|tell me]",
            "remind me",
        ),
    ),
    "dev": ("I would like to know", "could we see", "do tell", "please find and say", "can you work out", "I want to see"),
    "test": (
        *("could you please say", "do you happen to know", "help me see", "kindly work out", "I can't make out"),
        *("mind telling me", "please look and say", "we want to see", "check and say", "can you let me know"),
    ),
}

THING_ASKS: dict[str, tuple[str, ...]] = {
    "train": (
        *("[please|just|now|] [tell|give|read|show|find|get] me", "[please|just|] [give|read|read out|find|show|get|look up]"),
        "[please|] [extract|return|report|state|print|output|copy|locate|identify|write|write down|pull out|type|list|check]",
        *(
            "I [need|want|'d like|would like]",
            "I'm [looking for|trying to find|interested in]",
            "looking for",
            "can I [have|see|get]",
        ),
        *(
            "[can|could|would|will] you [please|] [give me|tell me|read|read out|find|show me|check|copy]",
            "what about",
            "how about",
        ),
        *("could I have", "help me with", "all I need is", "the question is", "[please|] pick out", "make out", "may I have"),
        *(
            "do you [see|have|know]",
            "have you got",
            "I can't [read|find|see]",
            "go and find",
            "let us have",
            "where it says so, read",
        ),
    ),
    "dev": ("please pull up", "could I see", "I'm after", "[please|] let me see", "would you show", "please do find"),
    "test": (
        *("can you get me", "could you look up", "I am after", "let me have", "would you write down", "please make out"),
        *("help me find", "kindly [read|give|state]", "just [state|report|copy]", "mind reading", "I'd want"),
    ),
}

ENDINGS: dict[str, tuple[str, ...]] = {
    "train": (
        *(
            "please",
            ", please",
            ", thanks",
            "thank you",
            ", thank you",
            "[in|on] [this|the] {img}",
            "here",
            ", if you can see it",
        ),
        *(
            ", can you tell",
            ", do you know",
            "[according to|as shown in|going by] the {img}",
            ", if any",
            "exactly",
            "[there|then]",
        ),
        *("shown [here|in the {img}|on the {img}]", "as [printed|written]", "for me", ", quickly", "again", ", any idea", "now"),
        *(
            "(see {img})",
            "[in|on] my {img}",
            "[in|on] the attached {img}",
            ", you can read it",
            ", it is hard to read",
            ", by any chance",
        ),
    ),
    "dev": ("[in|on] this {img} please", ", thank you again", "right here", "if you please", ", I can't see it"),
    "test": (
        ", many thanks",
        "[in|on] the {img} here",
        "would you",
        ", can you read it",
        "for my records",
        "[in|on] the {img}, please",
    ),
}

IMAGE_NOUNS = ("image", "picture", "photo", "scan", "page", "document", "paper", "file", "screenshot", "pic")
