"""The contents of a page, read by the standard library's parser."""

from html.parser import HTMLParser


class Outline(HTMLParser):
    """The sections, addresses, classes and texts of a page; its tags are checked to be balanced.

    Attributes:
        open: the tags that were left open.
        sections: the ids of the sections.
        addresses: the addresses of all links and loaded files.
        classes: the classes of all elements.
        texts: the texts by the tag that contains them.
    """

    VOID = ("meta", "link", "br", "input", "image")

    def __init__(self, text):
        super().__init__()
        self.open, self.sections, self.addresses = [], [], []
        self.classes, self.texts = set(), {}
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self._note(tag, dict(attributes))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self._note(tag, dict(attributes))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, text):
        self.texts.setdefault(self.open[-1] if self.open else "", []).append(text)

    def _note(self, tag, values):
        self.addresses += [values[name] for name in ("src", "href") if name in values]
        self.classes |= set((values.get("class") or "").split())
        if tag == "section":
            self.sections.append(values["id"])
