"""Pages as they look: receipts, invoices, forms, tables, charts, panels and labels, scanned or photographed, with exact boxes."""

from .page import make_document

__all__ = ["make_document"]
