"""Running a grub.cfg on paper: variables, conditions, loops and functions, and the menu they make.

Nothing is booted, read or written. What only the starting machine knows is undecided: such an `if`
is taken to hold, entries in any of its branches are marked conditional, and assignments count in
its first branch only.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

from labkit.boot.grub_script import Command, For, If, Loop
from labkit.boot.grub_words import Word, evaluate_test, expand_words
from labkit.boot.menu import EntryBody, MenuEntry, read_body
from labkit.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from labkit.boot.bls import BlsEntry
    from labkit.boot.grub_script import Function, Statement

__all__ = ["Assignment", "Machine", "Surroundings"]

_FEATURES = (
    "chainloader_bpb ntldr platform_search_hint default_font_path all_video_module "
    "menuentry_id menuentry_options 200_final nativedisk_cmd timeout_style"
)
_MACHINE_VARIABLES = frozenset(
    {"grub_cpu", "root", "prefix", "cmdpath", "config_directory", "config_file", "lang"}
)
_MENU_OPTIONS = frozenset({"class", "users", "hotkey", "source", "id"})
# No configuration comes near; a chain of functions that call each other twice does.
_MAX_STEPS = 2_000_000
# GRUB's own limit of nested functions, sources and submenus.
_MAX_CALLS = 100


@dataclass(frozen=True, slots=True)
class Assignment:
    """A variable's value after the file has run.

    Attributes:
        value: The value; None where only the machine knows it.
        line: The line of the assignment.
        conditional: Whether it stands in an undecided `if`.
    """

    value: str | None
    line: int
    conditional: bool = False


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the file finds when GRUB runs it.

    Attributes:
        environment_block: The variables that `load_env` brings; None where unknown.
        platform: GRUB's platform (`efi`, `pc`, ...); None where unknown.
        bls_entries: What `blscfg` adds, in menu order.
    """

    environment_block: Mapping[str, str] | None = None
    platform: str | None = None
    bls_entries: Sequence[BlsEntry] = ()


@dataclass(slots=True)
class _Draft:
    """An entry before its submenu is run."""

    title: str
    id: str
    line: int
    has_id: bool
    conditional: bool
    body: Sequence[Statement]
    arguments: tuple[str, ...]
    submenu: bool
    bls: bool = False
    children: list[_Draft] = field(default_factory=list)


@dataclass(slots=True)
class _Frame:
    """A list of statements under way.

    Attributes:
        then: What happens when it is through.
        kind: `loop` and `function` are what `break` and `return` look for.
        shadow: Its assignments do not count.
    """

    statements: Sequence[Statement]
    conditional: bool
    shadow: bool
    then: Callable[[], None] | None = None
    kind: str = ""
    arguments: tuple[str, ...] | None = None
    position: int = 0


_Builtin: TypeAlias = "Callable[[list[Word], Command, _Frame], bool | None]"


class Machine:
    """One run of a script, and the menu and variables that it leaves."""

    def __init__(self, surroundings: Surroundings) -> None:
        self.surroundings = surroundings
        self.variables: dict[str, Assignment] = {
            f"feature_{name}": Assignment("y", 0) for name in _FEATURES.split()
        }
        self.variables["grub_platform"] = Assignment(surroundings.platform, 0)
        for name in _MACHINE_VARIABLES:
            self.variables[name] = Assignment(None, 0)
        self.exported = set(self.variables)
        self.functions: dict[str, Function] = {}
        self.sources: list[Word] = []
        self.uses_bls = False
        self._menu: list[_Draft] = []
        self._frames: list[_Frame] = []
        self._status: bool | None = True
        self._builtins: Mapping[str, _Builtin] = {
            "set": self._set,
            "unset": self._unset,
            "export": self._export,
            "load_env": self._load_env,
            "true": self._true,
            "false": self._false,
            "keystatus": self._false,
            "test": self._test,
            "[": self._bracket,
            "source": self._source,
            ".": self._source,
            "configfile": self._source,
            "blscfg": self._blscfg,
            "break": self._leave,
            "continue": self._leave,
            "return": self._leave,
            "menuentry": self._menuentry,
            "submenu": self._menuentry,
        }
        self._steps = 0
        self._calls = 0

    def run(self, statements: Sequence[Statement]) -> tuple[MenuEntry, ...]:
        """Run the script, then each submenu as GRUB runs it when it is opened.

        Raises:
            InputError: The script does so much that it cannot be a boot menu.
        """
        top: list[_Draft] = []
        final = self._run_menu(statements, top, ())
        self._run_submenus(top)
        self.variables = final
        return _freeze(top)

    def _run_menu(
        self, statements: Sequence[Statement], menu: list[_Draft], arguments: tuple[str, ...]
    ) -> dict[str, Assignment]:
        self._menu = menu
        self._frames = [_Frame(statements, conditional=False, shadow=False, arguments=arguments)]
        self._run_frames()
        return self.variables

    def _run_submenus(self, top: list[_Draft]) -> None:
        """A submenu sees the exported variables only, as its menu left them."""
        waiting = [(draft, self.variables, self.exported, 1) for draft in top if draft.submenu]
        while waiting:
            draft, variables, exported, depth = waiting.pop()
            if depth > _MAX_CALLS:
                raise InputError(
                    f"line {draft.line}: submenus inside each other, {depth} deep; GRUB follows "
                    f"{_MAX_CALLS} at most",
                    code="grub-cfg-endless",
                )
            self.variables = {name: value for name, value in variables.items() if name in exported}
            self.exported = set(exported)
            self._run_menu(draft.body, draft.children, draft.arguments)
            waiting.extend(
                (child, self.variables, self.exported, depth + 1)
                for child in draft.children
                if child.submenu
            )

    # -- statements

    def _run_frames(self) -> None:
        frames = self._frames
        while frames:
            frame = frames[-1]
            if frame.position == len(frame.statements):
                frames.pop()
                if frame.kind == "function":
                    self._calls -= 1
                if frame.then is not None:
                    frame.then()
                continue
            statement = frame.statements[frame.position]
            frame.position += 1
            self._steps += 1
            if self._steps > _MAX_STEPS:
                raise InputError(
                    "this grub.cfg runs more commands than a boot menu can need",
                    hint="look for functions or loops that multiply each other",
                    code="grub-cfg-endless",
                )
            if isinstance(statement, Command):
                self._command(statement, frame)
            elif isinstance(statement, If):
                self._try_branch(statement, 0, frame)
            elif isinstance(statement, For):
                words = [word.text for word in self._expand(statement.words)]
                self._iterate(statement, words, frame)
            elif isinstance(statement, Loop):
                self._loop(statement, frame)
            else:
                self.functions[statement.name] = statement

    def _push(
        self,
        statements: Sequence[Statement],
        parent: _Frame,
        *,
        then: Callable[[], None] | None = None,
        kind: str = "",
        conditional: bool = False,
        shadow: bool = False,
    ) -> None:
        self._frames.append(
            _Frame(
                statements,
                parent.conditional or conditional,
                parent.shadow or shadow,
                then,
                kind,
                parent.arguments,
            )
        )

    def _try_branch(self, node: If, number: int, frame: _Frame) -> None:
        if number == len(node.branches):
            self._status = True
            self._push(node.otherwise, frame)
            return
        condition, _ = node.branches[number]
        self._push(condition, frame, then=lambda: self._decide(node, number, frame))

    def _decide(self, node: If, number: int, frame: _Frame) -> None:
        body = node.branches[number][1]
        if self._status is False:
            self._try_branch(node, number + 1, frame)
        elif self._status:
            self._push(body, frame)
        else:
            others = [later for _, later in node.branches[number + 1 :]]
            for other in reversed([*others, node.otherwise]):
                self._push(other, frame, conditional=True, shadow=True)
            self._push(body, frame, conditional=True)

    def _iterate(self, node: For, words: list[str], frame: _Frame) -> None:
        if not words:
            return
        self._assign(node.variable, Word(words[0]), node.line, frame)
        self._push(
            node.body, frame, kind="loop", then=lambda: self._iterate(node, words[1:], frame)
        )

    def _loop(self, node: Loop, frame: _Frame) -> None:
        """Run a loop's body once at most: nothing in grub.cfg counts, so how often is unknown."""

        def decide() -> None:
            if self._status is not node.until:
                self._push(node.body, frame, kind="loop", conditional=True)

        self._push(node.condition, frame, then=decide)

    # -- commands

    def _lookup(self, name: str) -> Sequence[str] | None:
        if name[:1].isdigit() or name in {"#", "*", "@", "?"}:
            return self._positional(name)
        assignment = self.variables.get(name)
        if assignment is None:
            return [""]
        return None if assignment.value is None else [assignment.value]

    def _positional(self, name: str) -> Sequence[str] | None:
        arguments = (self._frames[-1].arguments if self._frames else None) or ()
        if name == "#":
            return [str(len(arguments))]
        if name == "*":
            return [" ".join(arguments)]
        if name == "@":
            return arguments
        if name == "?":
            return None if self._status is None else ["0" if self._status else "1"]
        number = int(name) if len(name) < len("100") else 0
        return [arguments[number - 1]] if 0 < number <= len(arguments) else [""]

    def _expand(self, written: Sequence[str]) -> list[Word]:
        return expand_words(written, self._lookup)

    def _command(self, command: Command, frame: _Frame) -> None:
        words = self._expand(command.words)
        invert = bool(words) and words[0].text == "!"
        if invert:
            words = words[1:]
        if not words:
            self._status = True
            return
        name = words[0].text
        arguments = words[1:]
        function = self.functions.get(name)
        if function is not None:
            self._call(function, tuple(word.text for word in arguments), frame)
        elif (builtin := self._builtins.get(name)) is not None:
            self._status = builtin(arguments, command, frame)
        elif "=" in name[1:]:
            variable, _, value = name.partition("=")
            self._assign(variable, Word(value, words[0].known), command.line, frame)
            self._status = True
        else:
            self._status = None
        if invert and self._status is not None:
            self._status = not self._status

    def _call(self, function: Function, arguments: tuple[str, ...], frame: _Frame) -> None:
        if self._calls >= _MAX_CALLS:
            self._status = False
            return
        self._calls += 1
        self._push(function.body, frame, kind="function")
        self._frames[-1].arguments = arguments

    def _assign(self, name: str, value: Word, line: int, frame: _Frame) -> None:
        if not frame.shadow:
            text = value.text if value.known else None
            self.variables[name] = Assignment(text, line, frame.conditional)

    def _set(self, arguments: list[Word], command: Command, frame: _Frame) -> bool | None:
        if not arguments:
            return True
        name, equals, value = arguments[0].text.partition("=")
        if not equals:
            return False
        self._assign(name, Word(value, arguments[0].known), command.line, frame)
        return True

    def _unset(self, arguments: list[Word], _: Command, frame: _Frame) -> bool | None:
        if arguments and not frame.shadow:
            self.variables.pop(arguments[0].text, None)
        return True

    def _export(self, arguments: list[Word], _: Command, frame: _Frame) -> bool | None:
        if not frame.shadow:
            self.exported.update(word.text for word in arguments)
        return True

    def _load_env(self, _: list[Word], command: Command, frame: _Frame) -> bool | None:
        for name, value in (self.surroundings.environment_block or {}).items():
            self._assign(name, Word(value), command.line, frame)
        return True

    def _true(self, _: list[Word], __: Command, ___: _Frame) -> bool | None:
        return True

    def _false(self, _: list[Word], __: Command, ___: _Frame) -> bool | None:
        # `keystatus` too: nobody holds a key.
        return False

    def _test(self, arguments: list[Word], _: Command, __: _Frame) -> bool | None:
        return evaluate_test(arguments)

    def _bracket(self, arguments: list[Word], _: Command, __: _Frame) -> bool | None:
        closed = bool(arguments) and arguments[-1].text == "]"
        return evaluate_test(arguments[:-1] if closed else arguments)

    def _source(self, arguments: list[Word], _: Command, __: _Frame) -> bool | None:
        self.sources.extend(arguments[:1])
        return None

    def _blscfg(self, _: list[Word], command: Command, frame: _Frame) -> bool | None:
        self.uses_bls = True
        self._menu.extend(
            _Draft(
                title=entry.title,
                id=entry.id,
                line=command.line,
                has_id=True,
                conditional=frame.conditional,
                body=(),
                arguments=(),
                submenu=False,
                bls=True,
            )
            for entry in self.surroundings.bls_entries
        )
        return True

    def _leave(self, _: list[Word], command: Command, __: _Frame) -> bool | None:
        """`break`, `continue` and `return`: leave the innermost loop or function."""
        name = command.words[0]
        kind = "function" if name == "return" else "loop"
        if all(frame.kind != kind for frame in self._frames):
            return True
        while (frame := self._frames.pop()).kind != kind:
            pass
        if frame.kind == "function":
            self._calls -= 1
        elif name == "continue" and frame.then is not None:
            frame.then()
        return True

    def _menuentry(self, arguments: list[Word], command: Command, frame: _Frame) -> bool | None:
        parsed = _menu_arguments([word.text for word in arguments])
        if parsed is None:
            return False
        options, positional = parsed
        if not positional or (command.block is None and "source" not in options):
            return False
        title = positional[0]
        self._menu.append(
            _Draft(
                title=title,
                id=options.get("id", title),
                line=command.line,
                has_id="id" in options,
                conditional=frame.conditional,
                body=command.block or (),
                arguments=tuple(positional),
                submenu=command.words[0].startswith("s"),
            )
        )
        return True


def _menu_arguments(arguments: Sequence[str]) -> tuple[dict[str, str], list[str]] | None:
    """Split options from positional arguments as GRUB does: unknown options are positional.

    None where GRUB refuses them: it takes no value that begins with a dash for a value.
    """
    options: dict[str, str] = {}
    positional: list[str] = []
    position = 0
    while position < len(arguments):
        argument = arguments[position]
        position += 1
        if argument == "--":
            positional.extend(arguments[position:])
            break
        name, equals, value = argument.removeprefix("--").partition("=")
        if argument.startswith("--") and name in _MENU_OPTIONS:
            if not equals:
                if position == len(arguments) or arguments[position].startswith("-"):
                    return None
                value = arguments[position]
                position += 1
            options[name] = value
        elif argument != "--unrestricted":
            positional.append(argument)
    return options, positional


def _freeze(top: Iterable[_Draft]) -> tuple[MenuEntry, ...]:
    """Turn drafts into entries, the innermost first, without recursion."""
    order: list[tuple[_Draft, str]] = []
    waiting = [(draft, str(number)) for number, draft in enumerate(top)]
    while waiting:
        draft, path = waiting.pop()
        order.append((draft, path))
        waiting.extend((child, f"{path}>{n}") for n, child in enumerate(draft.children))
    frozen: dict[int, MenuEntry] = {}
    for draft, path in reversed(order):
        children = tuple(frozen[id(child)] for child in draft.children)
        frozen[id(draft)] = _entry(draft, path, children)
    return tuple(frozen[id(draft)] for draft in top)


def _entry(draft: _Draft, path: str, children: tuple[MenuEntry, ...]) -> MenuEntry:
    if draft.submenu:
        body = EntryBody("submenu")
    elif draft.bls:
        body = EntryBody("linux")
    else:
        body = read_body(draft.title, draft.id, draft.body)
    return MenuEntry(
        path=path,
        title=draft.title,
        id=draft.id,
        kind=body.kind,
        line=draft.line,
        has_id=draft.has_id,
        conditional=draft.conditional,
        loader=body.loader,
        file_systems=body.file_systems,
        modules=body.modules,
        children=children,
    )
