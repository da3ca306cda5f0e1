"""Generated grub.cfg files: every construct that makes entries, hostile titles and ids included."""

from __future__ import annotations

from dataclasses import dataclass, field

from hypothesis import strategies as st

from support.grub_emu import reporting_body

_TRICKY = (
    "Debian GNU/Linux",
    "2nd Windows",
    "8",
    "010",
    "0x1",
    "-1",
    "saved",
    "Joe's OS > 2",
    "a>b",
    "a>>b",
    "Windows Boot Manager (on /dev/sda1)",
    " leading",
    "trailing ",
    'say "hi"',
    "back\\slash",
    "50$ off",
    "#hash",
    "{brace}",
    "semi;colon",
    "Übuntu",
    "--id",
    "x",
    "y",
    "osprober-efi-7A8C-9328",
    "gnulinux-simple-aa",
)
names = st.one_of(st.sampled_from(_TRICKY), st.text("ab1>' $", min_size=1, max_size=4))


@dataclass
class Entry:
    """An entry of a generated menu; a submenu where it has children."""

    title: str
    id: str | None
    id_option: str
    quoting: str
    wrapping: str
    children: list = field(default_factory=list)


def _entries(depth):
    children = st.just([]) if depth == 0 else st.just([]) | _entries(depth - 1)
    entry = st.builds(
        Entry,
        names.filter(lambda name: not name.startswith("--")),
        # GRUB refuses an id that begins with a dash, and waits ten seconds after its message.
        st.none() | names.filter(lambda name: not name.startswith("-")),
        st.sampled_from(["--id ", "--id=", "$menuentry_id_option "]),
        st.sampled_from(["single", "double", "backslash"]),
        st.sampled_from(["plain", "plain", "if", "else", "function", "for", "one-line"]),
        children,
    )
    return st.lists(entry, min_size=1, max_size=4)


def _value(entries, data):
    """Draw a value of `default`: a path of names and numbers, right or a little wrong."""
    parts = []
    menu = entries
    while menu:
        entry = data(st.sampled_from(menu))
        named = st.sampled_from([entry.title, entry.id or entry.title])
        part = data(
            st.one_of(
                named.map(lambda name: name.replace(">", ">>")),
                st.integers(0, len(menu) + 1).map(str),
                named,
                names,
                st.sampled_from(
                    ["", "00", "01", "010", "0x1", "0x", "1x", " 1", "1 ", "99999999999"]
                ),
                st.sampled_from(["18446744073709551616", "4294967296", "4294967297", "2147483648"]),
            )
        )
        parts.append(part + data(st.sampled_from(["", "", "", " "])))
        if not data(st.booleans()):
            break
        menu = entry.children
    return ">".join(parts)


@st.composite
def menus(draw):
    """Draw (text of grub.cfg, value of `default`)."""
    entries = draw(_entries(2))
    value = _value(entries, draw)
    exported = draw(st.booleans())
    lines = ["menuentry_id_option=--id"]
    if exported:
        lines.append("export menuentry_id_option")
    _render(entries, lines, top=True)
    lines.append("set default=" + _quoted(value, draw(st.sampled_from(["single", "double"]))))
    return "\n".join(lines) + "\n", value


def _quoted(text, quoting):
    if quoting == "single":
        return "'" + text.replace("'", "'\\''") + "'"
    if quoting == "double":
        return '"' + "".join("\\" + c if c in '"\\$' else c for c in text) + '"'
    return "".join(c if c.isalnum() else "\\" + c for c in text)


def _render(entries, lines, *, top=False):
    """Append the entries; each reports its line, a loop's also which turn made it."""
    for number, entry in enumerate(entries):
        before, after = {
            "if": (["if [ a = a ]; then"], ["fi"]),
            "else": (["if [ a = b -o ! x = x ]; then true; else"], ["fi"]),
            "function": ([f"function f{number} {{"], ["}", f"f{number}"]),
            "for": (["for turn in 0 1; do"], ["done"]),
        }.get(entry.wrapping, ([], []))
        if entry.wrapping == "function" and not top:  # GRUB has no nested functions
            before, after = [], []
        lines.extend(before)
        head = f"menuentry {_quoted(entry.title, entry.quoting)}"
        if entry.wrapping == "for":
            head = f"{head}$turn $turn"
        if entry.id is not None:
            head += f" {entry.id_option}{_quoted(entry.id, entry.quoting)}"
        if entry.children:
            lines.append("submenu " + head.removeprefix("menuentry ") + " {")
            _render(entry.children, lines)
            lines.append("}")
        else:
            # Behind the title, $2 is the turn even where the id's option is not known.
            mark = f"{len(lines) + 1}0" + ("$2" if entry.wrapping == "for" else "0")
            body = reporting_body(mark)
            one_line = entry.wrapping == "one-line"
            lines.append(f"{head} {{ {body} }}" if one_line else f"{head} {{\n{body}\n}}")
            if not one_line:
                lines[-1:] = lines[-1].split("\n")
        lines.extend(after)
