"""Lines of keys in the odd corners of TOML, where a walker that guesses would lose its way."""

from __future__ import annotations

import tomllib

from neurostim.core.program_lines import key_lines

ODD = """\
# = not a key
a."b c".'d' = \"\"\"x\\\"\"\"\" # "
e = [ [1, 2,], {z = 1, w.v = '''
'k'''}, # ] }
 5 ]
[x . y]
f = 1_000.5e3
g = 1979-05-27 07:32:00
[[x.list]]
h = ''
i = \"\"\"\"quote\"\"\"\"
j = ''''''
[[x.list]]
[x.list.sub]
"" = 1
"\\u00e9" = '#'
[[x.list]]
"""


def test_every_key_of_an_odd_text_has_its_line():
    document = tomllib.loads(ODD)
    assert document["a"]["b c"]["d"] == 'x"'
    assert key_lines(ODD) == {
        ("a",): 2,
        ("a", "b c"): 2,
        ("a", "b c", "d"): 2,
        ("e",): 3,
        ("e", 0): 3,
        ("e", 0, 0): 3,
        ("e", 0, 1): 3,
        ("e", 1): 3,
        ("e", 1, "z"): 3,
        ("e", 1, "w"): 3,
        ("e", 1, "w", "v"): 3,
        ("e", 2): 5,
        ("x",): 6,
        ("x", "y"): 6,
        ("x", "y", "f"): 7,
        ("x", "y", "g"): 8,
        ("x", "list"): 9,
        ("x", "list", 0): 9,
        ("x", "list", 0, "h"): 10,
        ("x", "list", 0, "i"): 11,
        ("x", "list", 0, "j"): 12,
        ("x", "list", 1): 13,
        ("x", "list", 1, "sub"): 14,
        ("x", "list", 1, "sub", ""): 15,
        ("x", "list", 1, "sub", "\u00e9"): 16,
        ("x", "list", 2): 17,
    }


def test_windows_line_ends_count_alike():
    assert key_lines(ODD.replace("\n", "\r\n")) == key_lines(ODD)


def test_an_empty_text_has_no_keys():
    assert key_lines("") == key_lines("\n# nothing\n") == {}
