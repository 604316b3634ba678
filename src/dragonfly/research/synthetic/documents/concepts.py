"""What the keys of documents mean: how each is printed, and what people call it.

Two concepts of one topic share no name, so a name on a page means one entry, or none where the concept is absent.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

from . import content

Value = Callable[[random.Random, str, int], str]  # generator, split, style of dates


@dataclass(frozen=True)
class Concept:
    """A meaning of a key.

    Args:
        printed: how pages print it.
        names: what people call it.
        form: how its value is asked for.
        make: draws a value; None where the page works it out.
    """

    printed: tuple[str, ...]
    names: tuple[str, ...]
    form: str = "value"
    make: Value | None = None


def concept(printed: str, names: str, form: str = "value", make: Value | None = None) -> Concept:
    return Concept(tuple(printed.split("|")), tuple(names.split("|")), form, make)


def _code(rng: random.Random, split: str, _: int) -> str:
    return content.code(rng, split)


def _person(rng: random.Random, split: str, _: int) -> str:
    return content.person(rng, split)


def _date(rng: random.Random, _: str, style: int) -> str:
    return content.date(rng, style)


def _between(low: int, high: int, unit: str = "") -> Value:
    return lambda rng, split, style: f"{rng.randint(low, high)}{unit}"


def _tenths(low: int, high: int, unit: str = "") -> Value:
    return lambda rng, split, style: f"{rng.randint(low, high) / 10:.1f}{unit}"


def _of(words: str) -> Value:
    return lambda rng, split, style: rng.choice(words.split("|"))


def _word(rng: random.Random, split: str, _: int) -> str:
    return content.sample(rng, split)


MONEY = {
    "subtotal": concept(
        "Subtotal|Sub-Total|Sub Total|SUBTOTAL|Net Sales|Total Excl. Tax|Total Excl GST|Total Sales (Excl. GST)|Total Before Tax",
        "subtotal|sub-total|sub total",
        "money",
    ),
    "tax": concept(
        "Tax|GST|VAT|Sales Tax|GST 6%|VAT 20%|Tax 8%|Total GST|GST @6%|Total Tax|TOTAL GST 6%",
        "tax|tax amount|sales tax",
        "money",
    ),
    "service": concept("Service Charge|Service Chg 10%|Svc Chrg|SERVICE", "service charge|service fee", "money"),
    "discount": concept("Discount|DISC|Less Discount|Member Discount|Savings", "discount|money off|reduction", "money"),
    "rounding": concept("Rounding|Rounding Adj|Round Adj.|Rounding Adjustment", "rounding|rounding adjustment", "money"),
    "delivery": concept("Delivery|Delivery Fee|Shipping|Postage|Freight", "delivery fee|delivery charge|shipping", "money"),
    "deposit": concept("Deposit|Bottle Deposit|Less Deposit", "deposit", "money"),
    "tip": concept("Tip|Gratuity|TIP", "tip|gratuity", "money"),
    "total": concept(
        "Total|TOTAL|Grand Total|Total Amount|Amount Due|Total Due|NET TOTAL|Total Payable|Total Sales|Balance Due|Nett Total"
        "|Total Incl. Tax|Total Incl GST|Total Sales (Incl. GST)|Total (RM)|TOTAL RM|Total Rounded",
        "total|total amount|grand total|amount due|final total|total to pay|total price",
        "money",
    ),
    "cash": concept(
        "Cash|CASH|Cash Tendered|Tendered|Amount Paid|Paid Cash", "cash|cash paid|cash given|amount tendered", "money"
    ),
    "card": concept("Card|VISA|Credit Card|Master Card|DEBIT|Card Payment", "card payment|amount paid by card", "money"),
    "voucher": concept("Voucher|Gift Card|Coupon", "voucher|coupon|gift card", "money"),
    "change": concept("Change|CHANGE|Change Due|Cash Change", "change|change due|change given|money back", "money"),
}
INFO = {
    "date": concept("Date|DATE|Invoice Date|Bill Date|Date Issued|Dt", "date|day|date of issue|issue date", "date", _date),
    "time": concept("Time|TIME|Time In", "time|hour", "time", lambda rng, split, style: content.clock(rng)),
    "number": concept(
        "Receipt No|Invoice No|Bill No|Doc No.|Inv #|Receipt #|Document No|Trans No|Ticket",
        "receipt number|bill number|document number|invoice number",
        make=_code,
    ),
    "table": concept("Table|Table No|TBL", "table|table number", make=_between(1, 60)),
    "cashier": concept(
        "Cashier|Served by|Operator|Staff|Clerk", "cashier|staff name", make=lambda rng, s, d: content.first_name(rng)
    ),
    "register": concept("Register|Reg|Terminal|POS|Counter|Till", "register|terminal|till|counter", make=_between(1, 40)),
    "store": concept("Store|Branch|Outlet|Store No", "store number|branch|outlet", make=_between(100, 9999)),
    "member": concept("Member|Member ID|Loyalty No|Card No", "member number|member id|loyalty number", make=_code),
    "guests": concept("Guests|Pax|Covers|No. of Pax", "number of guests|guests|pax", make=_between(1, 14)),
    "order": concept("Order|Order No|Ord #|Order ID", "order number|order id|order", make=_code),
    "reference": concept("Ref|Ref No|Reference|Your Ref", "reference|reference number|ref", make=_code),
    "taxid": concept(
        "GST ID|Tax ID|VAT Reg No|GST Reg No|ABN",
        "tax id|tax number|registration number",
        make=lambda rng, s, d: content.digits(rng, 12, "0"),
    ),
    "phone": concept(
        "Tel|TEL|Phone|Ph|T|Contact", "phone number|telephone|phone|tel|contact number", make=lambda rng, s, d: content.phone(rng)
    ),
    "fax": concept("Fax|FAX|F", "fax|fax number", make=lambda rng, s, d: content.phone(rng)),
}
INVOICE = {
    **{name: INFO[name] for name in ("date", "reference", "taxid", "phone", "fax", "order")},
    "number": concept(
        "Invoice No.|Invoice Number|Invoice #|Inv. No", "invoice number|invoice no|number of the invoice", make=_code
    ),
    "due": concept("Due Date|Payment Due|Pay By|Date Due", "due date|payment date|pay by date|deadline", make=_date),
    "customer": concept("Customer No|Account No|Client ID|Customer ID", "customer number|account number|client id", make=_code),
    "terms": concept("Terms|Payment Terms", "terms|payment terms", make=_of("30 days|14 days|Net 60|Cash|7 days|On receipt")),
    "po": concept("PO Number|P.O. No.|Purchase Order", "po number|purchase order|purchase order number", make=_code),
    "rep": concept("Sales Rep|Salesperson|Contact Person|Prepared by", "sales rep|salesperson|contact person", make=_person),
    "iban": concept(
        "Account|Bank Acc.|Bank Account", "bank account|bank account number", make=lambda rng, s, d: content.digits(rng, 10)
    ),
    "page": concept("Page", "page number", make=_of("1 of 1|1 of 2|1 of 3")),
}
FORM = {
    "name": concept("Name|Full Name|Name of Applicant|Patient Name|Applicant", "name|full name", make=_person),
    "birth": concept("Date of Birth|DOB|Birth Date|Born", "date of birth|birthday|birth date|dob", make=_date),
    "signed": concept("Date|Date Signed|Date of Application", "date|date signed|signing date", make=_date),
    "phone": INFO["phone"],
    "id": concept("ID No|Passport No|ID Number|National ID|Licence No", "id number|passport number|id", make=_code),
    "city": concept("City|Town|Place of Residence", "city|town", make=lambda rng, s, d: content.town(rng)),
    "street": concept(
        "Street|Address|Street Address", "street|address|street address", make=lambda rng, s, d: content.street(rng)
    ),
    "zip": concept(
        "ZIP|Postcode|Postal Code", "zip code|postcode|postal code|zip", make=lambda rng, s, d: content.digits(rng, 5)
    ),
    "job": concept(
        "Occupation|Job Title|Position|Profession",
        "occupation|job|position|profession",
        make=_of("Clerk|Teacher|Nurse|Driver|Engineer|Cook|Farmer|Painter|Analyst|Welder|Editor|Pilot"),
    ),
    "height": concept("Height|Height (cm)|Body Height", "height", make=_between(140, 205)),
    "weight": concept("Weight|Weight (kg)|Body Weight", "weight", make=_between(42, 120)),
    "blood": concept("Blood Group|Blood Type", "blood group|blood type", make=_of("A+|A-|B+|B-|AB+|AB-|O+|O-")),
    "pulse": concept("Pulse|Heart Rate|Pulse Rate", "pulse|heart rate", make=_between(48, 130)),
    "pressure": concept(
        "Blood Pressure|BP", "blood pressure", make=lambda rng, s, d: f"{rng.randint(95, 170)}/{rng.randint(55, 105)}"
    ),
    "temperature": concept("Temperature|Body Temp.|Temp", "temperature|body temperature", make=_tenths(355, 402)),
    "ward": concept("Ward|Department|Unit", "ward|department", make=_word),
    "doctor": concept("Doctor|Physician|Attending", "doctor|physician", make=_person),
    "case": concept("Case No|File No|Record No|Application No", "case number|file number|record number", make=_code),
    "amount": concept(
        "Amount|Amount Claimed|Sum",
        "amount|claimed amount|sum",
        "money",
        make=lambda rng, s, d: content.money(rng.randint(1000, 900000), "."),
    ),
    "vehicle": concept("Vehicle|Plate No|Registration", "vehicle|plate number|number plate", make=_code),
    "nationality": concept(
        "Nationality|Citizenship",
        "nationality|citizenship",
        make=_of("Danish|Kenyan|Malay|Polish|Peruvian|Indian|Greek|Korean|Dutch|Irish|Turkish|Chilean"),
    ),
    "employer": concept("Employer|Company", "employer|company", make=lambda rng, s, d: content.shop(rng, s)),
}
LABEL = {
    "net": concept("Net Weight|Net Wt.|Contents|Net", "net weight|contents", make=_between(50, 990, " g")),
    "gross": concept("Gross Weight|Gross", "gross weight", make=_tenths(10, 480, " kg")),
    "batch": concept("Batch|Batch No.|Lot|LOT", "batch|batch number|lot|lot number", make=_code),
    "expiry": concept("Best Before|Exp. Date|EXP|Use By", "expiry date|best before date|use by date", make=_date),
    "made": concept("Mfg. Date|Produced|Packed on|MFD", "manufacturing date|production date|packing date", make=_date),
    "serial": concept("Serial No.|S/N|Serial", "serial number|serial", make=_code),
    "model": concept("Model|Type|Model No.", "model|type|model number", make=_code),
    "origin": concept(
        "Origin|Product of|Made in|Country",
        "origin|country of origin|country",
        make=_of("Chile|Kenya|Norway|Peru|Spain|Ghana|Japan|Nepal|Italy|Canada|Vietnam|Poland"),
    ),
    "voltage": concept(
        "Voltage|Input|Rated Voltage",
        "voltage|input voltage",
        make=_of("110 V|115 V|120 V|220 V|230 V|240 V|12 V|24 V|48 V|400 V"),
    ),
    "power": concept("Power|Rated Power|Wattage", "power|rated power|wattage", make=_between(5, 2400, " W")),
    "current": concept("Current|Max. Current|Amps", "current|maximum current", make=_tenths(2, 160, " A")),
    "energy": concept("Energy|Calories", "energy|calories", make=_between(40, 640, " kcal")),
    "fat": concept("Fat|Total Fat", "fat|fat content", make=_tenths(1, 400, " g")),
    "sugars": concept("Sugars|of which sugars|Sugar", "sugars|sugar|sugar content", make=_tenths(1, 500, " g")),
    "protein": concept("Protein", "protein|protein content", make=_tenths(1, 300, " g")),
    "salt": concept("Salt|Sodium", "salt|salt content", make=_tenths(1, 60, " g")),
    "dose": concept("Dose|Dosage", "dose|dosage", make=_of("1 tablet|2 tablets|5 ml|10 ml|1 capsule|3 drops|15 ml|2 puffs")),
    "weightlimit": concept("Max. Load|Load Limit", "maximum load|load limit", make=_between(5, 900, " kg")),
    "sku": concept("SKU|Art. No.|Item No.|Ref.", "sku|article number|item number", make=_code),
    "price": concept(
        "Price|Retail Price", "price|retail price", "money", make=lambda rng, s, d: content.money(content.price(rng), ".")
    ),
}
PANEL = {
    "speed": concept("SPEED|Speed|VELOCITY", "speed|velocity", make=_between(0, 320)),
    "rpm": concept("RPM|Engine RPM|ROTATION", "rpm|engine speed|revolutions", make=_between(600, 6500)),
    "fuel": concept("FUEL|Fuel Level", "fuel|fuel level", make=_between(2, 99, "%")),
    "oilp": concept("OIL PRESS|Oil Pressure", "oil pressure", make=_tenths(10, 90)),
    "temp": concept("TEMP|Coolant Temp|WATER TEMP", "temperature|coolant temperature|water temperature", make=_between(40, 125)),
    "volts": concept("VOLTS|Battery|BUS VOLTAGE", "voltage|volts|battery voltage", make=_tenths(100, 290)),
    "amps": concept("AMPS|LOAD CURRENT", "amps|current|load current", make=_tenths(5, 900)),
    "flow": concept("FLOW|Flow Rate|FEED FLOW", "flow|flow rate", make=_between(5, 990)),
    "level": concept("LEVEL|Tank Level", "level|tank level", make=_between(1, 99, "%")),
    "pressure": concept("PRESSURE|Line Pressure|STEAM PRESS", "pressure|line pressure|steam pressure", make=_tenths(2, 400)),
    "depth": concept("DEPTH", "depth", make=_tenths(3, 990)),
    "altitude": concept("ALT|Altitude", "altitude|height", make=_between(120, 9800)),
    "heading": concept("HDG|Heading", "heading|course", make=_between(0, 359)),
    "power": concept("POWER|Output", "power|power output|output", make=_between(10, 990)),
    "torque": concept("TORQUE", "torque", make=_between(20, 640)),
    "humidity": concept("HUMIDITY|Rel. Humidity|RH", "humidity|relative humidity", make=_between(12, 98, "%")),
    "hours": concept("HOURS|Run Hours|OPERATING HOURS", "hours|run hours|operating hours", make=_between(40, 9900)),
    "setpoint": concept("SETPOINT|Set Point|TARGET", "setpoint|target|set point", make=_between(20, 240)),
    "mode": concept("MODE|Status", "mode|status", make=_of("AUTO|MANUAL|STANDBY|RUN|HOLD|ECO|TEST")),
    "valve": concept("VALVE|Valve Pos.", "valve|valve position", make=_between(0, 100, "%")),
}
