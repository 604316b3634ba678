"""What people call an entry that a page names in another word: its key, and the entries of a page as such.

A page says "qty", and people ask for the quantity. Every name is used in all splits: a word that was never met says nothing to a
model that learned all its words here, so what is held out is the sentences around it.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Collection

OTHER_NAMES: dict[str, tuple[str, ...]] = {
    # money
    "total": ("grand total", "final total", "total amount", "overall total"),
    "tax": ("VAT", "taxes", "sales tax"),
    "tip": ("gratuity", "tips"),
    "cash": ("cash given", "money given"),
    "change": ("change given", "change back", "money back"),
    "price": ("asking price", "prices"),
    "fee": ("charge", "charges", "service charge", "fees"),
    "cost": ("costs", "expense"),
    "paid": ("payment", "amount paid"),
    "item": ("article", "product", "items"),
    "rate": ("percentage",),
    "net": ("net amount",),
    "gross": ("gross amount",),
    "due": ("amount due", "balance due", "outstanding amount"),
    "order": ("order number", "order no"),
    "share": ("portion", "shares"),
    "qty": ("quantity", "quantities", "number of pieces"),
    "card": ("credit card", "bank card", "card no"),
    "rent": ("rental",),
    "gift": ("present", "gifts"),
    "loan": ("loan amount", "loans"),
    "debt": ("amount owed", "debts"),
    "bonus": ("bonus payment", "bonuses"),
    "wage": ("wages", "salary", "pay"),
    "fund": ("funds",),
    "bill": ("invoice", "bills"),
    "bread": ("loaf",),
    # people and places
    "name": ("full name",),
    "room": ("room number", "room no"),
    "gate": ("gate number", "gate no"),
    "seat": ("seat number", "seat no"),
    "row": ("row number",),
    "grade": ("mark",),
    "team": ("squad",),
    "badge": ("badge number", "badge no"),
    "bed": ("bed number",),
    "dose": ("dosage",),
    "flight": ("flight number", "flight no", "plane"),
    "train": ("train number",),
    "bus": ("bus number", "coach"),
    "floor": ("storey", "floor number"),
    "door": ("door number",),
    "city": ("town",),
    "area": ("region", "district"),
    "track": ("track number", "platform"),
    "desk": ("desk number",),
    "pass": ("pass number", "permit"),
    # records
    "weight": ("mass",),
    "width": ("breadth",),
    "time": ("hour",),
    "phone": ("telephone", "phone number", "phone no"),
    "agent": ("representative",),
    "owner": ("proprietor", "holder"),
    "client": ("customer",),
    "model": ("make",),
    "size": ("dimensions", "dimension"),
    "type": ("kind", "sort"),
    "status": ("condition",),
    "part": ("component",),
    "case": ("case no",),
    "file": ("file no",),
    "batch": ("batch no",),
    "blood": ("blood group",),
    "pulse": ("heartbeat", "heart rate"),
    # trade
    "north": ("northern", "northern region"),
    "south": ("southern", "southern region"),
    "east": ("eastern", "eastern region"),
    "west": ("western", "western region"),
    "corn": ("maize",),
    "oats": ("oat",),
    "beans": ("bean",),
    "peas": ("pea",),
    "wool": ("fleece",),
    "oil": ("petroleum",),
    "fish": ("seafood",),
    "beer": ("ale",),
    "cocoa": ("cacao",),
    # machines
    "speed": ("velocity",),
    "fuel": ("petrol", "gasoline"),
    "temp": ("temperature",),
    "volts": ("voltage", "volt"),
    "amps": ("amperage", "amp", "electric current"),
    "flow": ("flow rate",),
    "power": ("wattage",),
    "rpm": ("revs", "revolutions", "revolutions per minute"),
    "steam": ("vapour", "vapor"),
    "pump": ("pumps",),
    "fan": ("ventilator", "fans"),
    "motor": ("engine", "motors"),
    "brake": ("brakes",),
    "valve": ("valves",),
    "gear": ("gears",),
    "main": ("mains",),
    "aux": ("auxiliary",),
    # shapes and specks
    "purple": ("violet",),
    "circle": ("disc", "disk"),
    "dots": ("spots", "points"),
    "rods": ("sticks", "bars"),
    "rings": ("loops",),
}
OTHER_NOUNS: dict[str, tuple[str, ...]] = {
    "field": ("entry", "entry", "item", "line", "name", "label", "thing"),
    "row": ("entry", "entry", "line", "item", "name", "thing"),
    "category": ("bar", "entry", "column", "item", "name", "label"),
    "dial": ("gauge", "entry", "meter", "instrument", "item"),
    "shape": ("thing", "object", "figure", "item"),
    "group": ("kind", "sort", "type"),
}


def other_name(rng: random.Random, key: str, keys: Collection[str]) -> str:
    """Another name of a key, or of one word of it; the key itself where every name holds a word of another of the `keys`."""
    words = key.split()
    own = {word for other in keys if other != key for word in other.split()} - set(words)
    found = [
        " ".join([*words[:at], name, *words[at + 1 :]])
        for at, word in enumerate(words)
        for name in OTHER_NAMES.get(word, ())
        if own.isdisjoint(name.split())
    ]
    return rng.choice(found) if found else key


def known_words() -> dict[str, str]:
    """For each word that stands in the names of one key alone, that key: where a model that has the key may begin to learn it."""
    keys = {word: key for key, names in OTHER_NAMES.items() for name in names for word in name.lower().split()}
    count = Counter(word for names in OTHER_NAMES.values() for word in {word for name in names for word in name.lower().split()})
    return {word: key for word, key in keys.items() if count[word] == 1 and word not in OTHER_NAMES}
