#!/usr/bin/env python3
"""Makes the fonts of src/draw/font from the Inter typeface.

    apt-get download fonts-inter=4.0~beta7+ds-1 && dpkg-deb -x fonts-inter_*.deb inter
    pip install fonttools==4.68.0
    scripts/subset_font.py inter/usr/share/fonts/opentype/inter src/draw/font

The same input gives the same bytes. Latin, Greek and Cyrillic stay, with punctuation, currency signs and arrows. Of the
layout rules only kerning stays. All digits of the regular weight get the same width.
"""

import hashlib
import pathlib
import sys

from fontTools import subset
from fontTools.ttLib import TTFont

REGULAR = "Inter-Regular.otf"
# Inter 3.19 as Debian 12 packages it: files and their SHA-256.
SOURCES = {
    REGULAR: "a7e791e8f5a0fb02b65663f7fca73e1d1ca9543f772ad480cbd76f4e3fe3f8cc",
    "Inter-SemiBold.otf": "8c1990b6012254ea2b487161697d107357dd0ee55811cfd91c8c11227bbef457",
}
RANGES = [
    (0x0020, 0x007E),  # Basic Latin
    (0x00A0, 0x024F),  # Latin-1 Supplement, Latin Extended-A and -B
    (0x0300, 0x036F),  # combining marks
    (0x0370, 0x03FF),  # Greek
    (0x0400, 0x052F),  # Cyrillic
    (0x1E00, 0x1EFF),  # Latin Extended Additional, with Vietnamese
    (0x2010, 0x2044),  # dashes, quotation marks, ellipsis, fraction slash
    (0x2070, 0x2089),  # superscripts and subscripts
    (0x20A0, 0x20BF),  # currency
    (0x2116, 0x2122),  # numero, trade mark
    (0x2190, 0x2199),  # arrows
    (0x2212, 0x2212),  # minus
    (0x2248, 0x2265),  # almost equal, not equal, at most, at least
    (0x25A1, 0x25A1),  # box, for characters that are missing
    (0xFFFD, 0xFFFD),  # replacement character
]


def use_tabular_digits(font):
    """Points the digits at the glyphs of the `tnum` feature, so that numbers in a column line up."""
    table = font["GSUB"].table
    lookups = {
        index
        for record in table.FeatureList.FeatureRecord
        if record.FeatureTag == "tnum"
        for index in record.Feature.LookupListIndex
    }
    tabular = {}
    for index in lookups:
        for rule in table.LookupList.Lookup[index].SubTable:
            tabular.update(getattr(rule, "ExtSubTable", rule).mapping)
    for cmap in font["cmap"].tables:
        for code in range(ord("0"), ord("9") + 1):
            if code in cmap.cmap:
                # Subtables may share one mapping, which then is changed already.
                cmap.cmap[code] = tabular.get(cmap.cmap[code], cmap.cmap[code])


def main():
    source, target = map(pathlib.Path, sys.argv[1:])
    for name, checksum in SOURCES.items():
        found = hashlib.sha256((source / name).read_bytes()).hexdigest()
        if found != checksum:
            sys.exit(f"error: `{source / name}` is not the expected version\n  Caused by: its SHA-256 is {found}")
        font = TTFont(source / name, recalcTimestamp=False)
        if name == REGULAR:
            use_tabular_digits(font)
        options = subset.Options()
        options.layout_features = ["kern"]
        options.notdef_outline = True
        options.hinting = False
        options.name_IDs = [0, 1, 2, 3, 4, 5, 6, 13, 14]
        subsetter = subset.Subsetter(options)
        subsetter.populate(unicodes=[code for first, last in RANGES for code in range(first, last + 1)])
        subsetter.subset(font)
        font.save(target / name)
        print(f"{target / name}: {(target / name).stat().st_size} bytes")


if __name__ == "__main__":
    main()
