"""Walks a repository and decides which files may be indexed; every file left out is counted with its reason."""

import os
import re
import stat
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import translate
from pathlib import Path, PurePosixPath

from pathspec import GitIgnoreSpec, RegexPattern

from repo_context.errors import RepositoryNotFoundError
from repo_context.file_record import SkipReason, max_bytes
from repo_context.languages import Language, language_of

MAX_FILES = 100_000

IGNORE_FILES = (".gitignore", ".midfillignore")
"""Ignore files of each folder, a later one overriding an earlier one."""


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


NEVER_INDEXED_FOLDERS = _words(
    """.git .hg .svn .jj .bzr node_modules bower_components jspm_packages .venv venv .virtualenv virtualenv
    __pycache__ __pypackages__ .mypy_cache .ruff_cache .pytest_cache .hypothesis .tox .nox .eggs .ipynb_checkpoints
    .cache .gradle .idea .vs .next .nuxt .svelte-kit .parcel-cache .turbo .terraform .serverless .direnv .bundle
    .ssh .gnupg .aws .azure .kube .docker .gcloud .password-store"""
)
"""Folders that are never walked, whatever ignore files say."""

FOLDER_MARKS = ("pyvenv.cfg", "CACHEDIR.TAG")
"""A folder that holds one of these is a virtual environment or a cache, under any name."""

SECRET_NAMES = tuple(
    _words(
        """.env .env.* *.env .envrc *.pem *.key *.p8 *.p12 *.pfx *.pkcs12 *.jks *.keystore *.kdbx *.kdb *.ppk *.gpg
    *.asc *.ovpn id_rsa* id_dsa* id_ecdsa* id_ed25519* *_rsa *_dsa *_ecdsa *_ed25519
    credentials credentials.json credentials.y*ml credentials.toml credentials.ini credentials.csv credentials.xml
    credentials.txt credentials.db client_secret*.json service-account*.json service_account*.json
    application_default_credentials.json secrets secret secrets.json secret.json secrets.y*ml secret.y*ml
    secrets.toml secrets.ini secrets.txt secrets.properties *.secret *.secrets
    .netrc _netrc .pgpass .my.cnf .mylogin.cnf .npmrc .yarnrc.yml .pypirc .htpasswd .htdigest .git-credentials
    .gitcookies .dockercfg .dockerconfigjson kubeconfig *.kubeconfig .s3cfg .boto .vault-token .vault_pass* vault_pass*
    *.tfstate *.tfstate.* *.tfvars *.tfvars.json terraform.rc .terraformrc master.key token.txt tokens.txt
    password.txt passwords.txt passwd shadow *_history .*_history *.cer *.crt *.der"""
    )
)
"""File name patterns that are never read, in lower case; docs/languages.md lists them for users."""

_SECRET = re.compile("|".join(translate(pattern) for pattern in SECRET_NAMES))

LOCK_FILES = _words(
    """package-lock.json npm-shrinkwrap.json yarn.lock pnpm-lock.yaml composer.lock poetry.lock pdm.lock uv.lock
    pipfile.lock cargo.lock gemfile.lock go.sum bun.lockb flake.lock packages.lock.json"""
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ScannedFile:
    """A file that may be indexed; its content has not been looked at yet."""

    path: str
    """Relative to the root, with forward slashes."""
    language: Language
    mtime_ns: int
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Scan:
    """What a walk found."""

    files: tuple[ScannedFile, ...]
    """In order of their path."""
    skipped: dict[SkipReason, int]
    """A folder that is not walked counts once."""


class Scanner:
    """Walks one repository; remembers its ignore rules between questions about single files."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._root_text = str(root).rstrip("/")
        self._rules: dict[str, tuple[_Rules, ...]] = {}

    def scan(self) -> Scan:
        """Walk the whole repository with fresh ignore rules; `RepositoryNotFoundError` when there is none."""
        self.forget_rules()
        try:
            os.scandir(self._root).close()
        except OSError as error:
            raise RepositoryNotFoundError(
                f"cannot open the folder {self._root}: {error.strerror}; give a folder that exists and can be read"
            ) from error
        skipped: Counter[SkipReason] = Counter()
        files: list[ScannedFile] = []
        for entry, path, status in self._walk(skipped):
            answer = self._judge(entry, path, status)
            if isinstance(answer, SkipReason):
                skipped[answer] += 1
            elif len(files) >= MAX_FILES:
                skipped[SkipReason.TOO_MANY] += 1
            else:
                files.append(answer)
        return Scan(files=tuple(sorted(files, key=lambda file: file.path)), skipped=dict(skipped))

    def judge_file(self, path: str) -> ScannedFile | SkipReason:
        """Decide about one path as a scan would, whether or not the file exists now."""
        parts = PurePosixPath(path).parts
        for depth in range(1, len(parts)):
            folder = "/".join(parts[:depth])
            reason = self._judge_folder(folder)
            if reason is not None:
                return reason
        return self._judge(f"{self._root_text}/{path}", path, _status(self._root / path))

    def forget_rules(self) -> None:
        """Read ignore files anew when they are next needed."""
        self._rules.clear()

    def _walk(self, skipped: Counter[SkipReason]) -> Iterator[tuple[str, str, os.stat_result | None]]:
        """Yield (absolute path, path, status) of every file below the root; folders left out are counted here."""
        pending = [""]
        while pending:
            folder = pending.pop()
            try:
                with os.scandir(f"{self._root_text}/{folder}") as listing:
                    entries = sorted(listing, key=_name)
            except OSError:
                skipped[SkipReason.UNREADABLE] += 1
                continue
            names = set(map(_name, entries))
            if folder and not names.isdisjoint(FOLDER_MARKS):
                skipped[SkipReason.ALWAYS_SKIPPED_FOLDER] += 1
                continue
            if folder and names.isdisjoint(IGNORE_FILES):
                # Nothing of its own: the rules around it hold, and no file has to be looked for.
                self._rules[folder] = self._rules_for(folder.rpartition("/")[0])
            for entry in entries:
                path = f"{folder}/{entry.name}" if folder else entry.name
                if not entry.is_dir(follow_symlinks=False):
                    yield entry.path, path, _entry_status(entry)
                elif reason := self._judge_name_of_folder(path):
                    skipped[reason] += 1
                else:
                    pending.append(path)

    def _judge_folder(self, path: str) -> SkipReason | None:
        absolute = self._root / path
        if absolute.is_symlink():
            return self._judge_link(absolute)
        if any((absolute / mark).exists() for mark in FOLDER_MARKS):
            return SkipReason.ALWAYS_SKIPPED_FOLDER
        return self._judge_name_of_folder(path)

    def _judge_name_of_folder(self, path: str) -> SkipReason | None:
        if path.rpartition("/")[2] in NEVER_INDEXED_FOLDERS:
            return SkipReason.ALWAYS_SKIPPED_FOLDER
        return SkipReason.IGNORED if self._is_ignored(f"{path}/") else None

    def _judge(self, absolute: str, path: str, status: os.stat_result | None) -> ScannedFile | SkipReason:
        """Decide by name, then by ignore rules, then by what the file system says."""
        name = path.rpartition("/")[2].lower()
        if _SECRET.match(name):
            return SkipReason.SECRET
        if status is not None and stat.S_ISLNK(status.st_mode):
            return self._judge_link(Path(absolute))
        if name in LOCK_FILES:
            return SkipReason.GENERATED
        language = language_of(path)
        if language is None:
            return SkipReason.UNKNOWN_LANGUAGE
        if self._is_ignored(path):
            return SkipReason.IGNORED
        if not _is_text(path):
            return SkipReason.ODD_NAME
        if status is None:
            return ScannedFile(path=path, language=language, mtime_ns=0, size=0)
        if not stat.S_ISREG(status.st_mode):
            return SkipReason.NOT_A_FILE
        if status.st_size > max_bytes(path):
            return SkipReason.TOO_LARGE
        return ScannedFile(path=path, language=language, mtime_ns=status.st_mtime_ns, size=status.st_size)

    def _judge_link(self, absolute: Path) -> SkipReason:
        """Links are never followed: what they lead to is indexed under its own name, or must not be."""
        try:
            inside = absolute.resolve().is_relative_to(self._root)
        except (OSError, RuntimeError):
            inside = True
        return SkipReason.SYMLINK if inside else SkipReason.SYMLINK_OUT

    def _is_ignored(self, path: str) -> bool:
        """Ask the rules of the innermost folder first; the last pattern that matches decides, as in git."""
        folder = path.rstrip("/").rpartition("/")[0]
        for rules in reversed(self._rules_for(folder)):
            answer = rules.ignores(path)
            if answer is not None:
                return answer
        return False

    def _rules_for(self, folder: str) -> tuple["_Rules", ...]:
        """Return the rules that hold in a folder, outermost first."""
        known = self._rules.get(folder)
        if known is None:
            outer = self._rules_for(folder.rpartition("/")[0]) if folder else _rules_from_elsewhere(self._root)
            own = _folder_rules(self._root / folder, prefix="", below=f"{folder}/" if folder else "")
            known = self._rules[folder] = (*outer, *own)
        return known


@dataclass(frozen=True, slots=True, kw_only=True)
class _Rules:
    """The patterns of one ignore file."""

    spec: GitIgnoreSpec
    prefix: str
    """What to put before a path so that it is relative to a folder above the root."""
    below: str
    """What to take off a path so that it is relative to a folder below the root."""

    any_pattern: re.Pattern[str]
    """See `_any_pattern`: most paths match none, and asking one pattern after another takes many times longer."""

    def ignores(self, path: str) -> bool | None:
        name = self.prefix + path[len(self.below) :]
        return self.spec.check_file(name).include if self.any_pattern.search(f"/{name}") else None


def _rules_from_elsewhere(root: Path) -> tuple[_Rules, ...]:
    """Return the rules that hold before the root's own.

    A root that is itself ignored was asked for all the same (an interpreter's library below the clone of a version
    manager, say): then what is above it says nothing about its files.
    """
    above = tuple(_rules_above(root))
    answers = (rules.ignores("") for rules in reversed(above) if rules.prefix)
    return () if next((answer for answer in answers if answer is not None), False) else above


def _rules_above(root: Path) -> Iterator[_Rules]:
    """Yield the rules that git takes from elsewhere: global excludes, info/exclude, and folders above the root."""
    top = next((folder for folder in (root, *root.parents) if (folder / ".git").exists()), None)
    if top is None:
        yield from _read_rules(_global_excludes(None), "", "")
        return
    prefix = "" if root == top else f"{root.relative_to(top).as_posix()}/"
    git_folder = _git_folder(top)
    yield from _read_rules(_global_excludes(git_folder), prefix, "")
    yield from _read_rules(git_folder / "info" / "exclude", prefix, "")
    if top == root:
        return
    for folder in reversed([parent for parent in root.parents if parent.is_relative_to(top)]):
        yield from _folder_rules(folder, prefix=f"{root.relative_to(folder).as_posix()}/", below="")


_SECTION = re.compile(r"\s*\[\s*([^\]\s]+)[^\]]*\]\s*")
_EXCLUDES_FILE = re.compile(r"\s*excludesfile\s*=\s*(.*?)\s*", re.IGNORECASE)


def _global_excludes(git_folder: Path | None) -> Path:
    """Return the user's own ignore file, as git's `core.excludesFile` names it, or where git looks without one."""
    home = Path.home()
    configured = Path(os.environ.get("XDG_CONFIG_HOME") or home / ".config") / "git"
    named = None
    for settings in (configured / "config", home / ".gitconfig", *([git_folder / "config"] if git_folder else [])):
        named = _excludes_file(settings) or named
    if named is None:
        return configured / "ignore"
    return Path(named).expanduser() if named.startswith("~") else home / named


def _excludes_file(settings: Path) -> str | None:
    """Return `core.excludesFile` of one git configuration file; the last setting counts."""
    try:
        lines = settings.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return None
    section, found = "", None
    for line in lines:
        if heading := _SECTION.fullmatch(line):
            section = heading.group(1).lower()
        elif section == "core" and (setting := _EXCLUDES_FILE.fullmatch(line)):
            found = setting.group(1).strip('"')
    return found


def _name(entry: "os.DirEntry[str]") -> str:
    return entry.name


def _git_folder(top: Path) -> Path:
    """Return the folder that holds `info/exclude`; in a linked worktree `.git` is a file that names it."""
    mark = top / ".git"
    if mark.is_dir():
        return mark
    try:
        folder = top / mark.read_text(encoding="utf-8").partition("gitdir:")[2].strip()
        common = folder / "commondir"
        return folder / common.read_text(encoding="utf-8").strip() if common.exists() else folder
    except (OSError, UnicodeDecodeError):
        return mark


def _folder_rules(folder: Path, *, prefix: str, below: str) -> Iterator[_Rules]:
    for name in IGNORE_FILES:
        yield from _read_rules(folder / name, prefix, below)


def _read_rules(file: Path, prefix: str, below: str) -> Iterator[_Rules]:
    """Yield the rules of an ignore file, if there is one with a pattern in it."""
    try:
        lines = file.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return
    spec = _spec(lines)
    if len(spec):
        yield _Rules(spec=spec, prefix=prefix, below=below, any_pattern=_any_pattern(spec))


_DIRECTORY_MARK = re.compile(r"\(\?P<\w+>/\)")
_ANYWHERE = "^(?:.+/)?"


def _any_pattern(spec: GitIgnoreSpec) -> re.Pattern[str]:
    """Return one pattern that finds, in a path with a slash before it, what any of a spec matches, and seldom more.

    It starts with the slash: a pattern that starts with a letter is searched for many times faster than others.
    """
    patterns = [pattern for pattern in spec.patterns if isinstance(pattern, RegexPattern)]
    sources = [pattern.regex.pattern for pattern in patterns if pattern.regex is not None]
    return re.compile(f"/(?:{'|'.join(map(_after_slash, sources))})")


def _after_slash(source: str) -> str:
    """Return a pattern for what stands behind a slash: behind the first one, or behind any."""
    # Each names its directory mark alike, and a name may be given once.
    source = _DIRECTORY_MARK.sub("/", source)
    if source.startswith(_ANYWHERE):
        return source[len(_ANYWHERE) :]
    return f"(?<=^/){source[1:]}" if source.startswith("^") else rf"[\s\S]*{source}"


def _spec(lines: list[str]) -> GitIgnoreSpec:
    """Compile patterns; one that git would not understand either is passed over, as git does."""
    try:
        return GitIgnoreSpec.from_lines(lines)
    except ValueError:
        return GitIgnoreSpec.from_lines([line for line in lines if _is_pattern(line)])


def _is_pattern(line: str) -> bool:
    try:
        GitIgnoreSpec.from_lines([line])
    except ValueError:
        return False
    return True


def _is_text(path: str) -> bool:
    """Say whether a path's bytes are UTF-8; others cannot be stored, nor written into a prompt."""
    try:
        path.encode()
    except UnicodeEncodeError:
        return False
    return True


def _status(path: Path) -> os.stat_result | None:
    try:
        return path.lstat()
    except OSError:
        return None


def _entry_status(entry: "os.DirEntry[str]") -> os.stat_result | None:
    try:
        return entry.stat(follow_symlinks=False)
    except OSError:
        return None
