"""Pages as they look: receipts, invoices, forms, tables, charts, panels and labels, scanned or photographed, with exact boxes.

A desk is one large image with many of them.
"""

from .desk import make_desk
from .page import make_document

__all__ = ["make_desk", "make_document"]
