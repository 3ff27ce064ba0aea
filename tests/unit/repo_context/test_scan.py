import os
import socket
from collections import Counter

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from repo_context.errors import RepositoryNotFoundError
from repo_context.file_record import SkipReason
from repo_context.scan import ScannedFile, Scanner, _read_rules, _spec
from tests.support.files import write_files


def scanned(root):
    scan = Scanner(root).scan()
    return [file.path for file in scan.files], scan.skipped


def test_files_of_known_languages_come_in_order_of_path(tmp_path):
    write_files(tmp_path, {"b.py": "", "a/z.py": "", "a/a.js": "", "photo.png": ""})
    assert scanned(tmp_path) == (["a/a.js", "a/z.py", "b.py"], {SkipReason.UNKNOWN_LANGUAGE: 1})


def test_an_empty_folder_is_an_empty_repository(tmp_path):
    assert scanned(tmp_path) == ([], {})


def test_a_folder_that_is_not_there_is_an_error_that_says_so(tmp_path):
    with pytest.raises(RepositoryNotFoundError, match="give a folder that exists"):
        Scanner(tmp_path / "nowhere").scan()


@pytest.mark.parametrize(
    ("rules", "kept"),
    [
        ({".gitignore": "*.py\n"}, ["sub/deep/x.js", "x.js"]),
        ({".gitignore": "/x.py\n"}, ["sub/deep/x.js", "sub/x.py", "x.js"]),
        ({".gitignore": "sub/\n"}, ["x.js", "x.py"]),
        ({".gitignore": "sub/**/x.js\n"}, ["sub/x.py", "x.js", "x.py"]),
        ({".gitignore": "*.py\n!sub/x.py\n"}, ["sub/deep/x.js", "sub/x.py", "x.js"]),
        ({".gitignore": "*.py\n", "sub/.gitignore": "!x.py\n"}, ["sub/deep/x.js", "sub/x.py", "x.js"]),
        ({"sub/.gitignore": "/x.py\n/deep\n"}, ["x.js", "x.py"]),
        ({".gitignore": "sub/*\n!sub/x.py\n"}, ["sub/x.py", "x.js", "x.py"]),
        ({".gitignore": "*\n", "sub/.gitignore": "!*\n"}, []),
        ({".gitignore": "# x.py\n\n\\#\n"}, ["sub/deep/x.js", "sub/x.py", "x.js", "x.py"]),
        ({".midfillignore": "*.js\n"}, ["sub/x.py", "x.py"]),
        ({".gitignore": "*.js\n", ".midfillignore": "!*.js\n"}, ["sub/deep/x.js", "sub/x.py", "x.js", "x.py"]),
        ({".git/info/exclude": "*.js\n"}, ["sub/x.py", "x.py"]),
        ({".git/info/exclude": "*.js\n", ".gitignore": "!x.js\n"}, ["sub/deep/x.js", "sub/x.py", "x.js", "x.py"]),
    ],
)
def test_ignore_files_mean_what_they_mean_to_git(tmp_path, rules, kept):
    write_files(tmp_path, {"x.py": "", "x.js": "", "sub/x.py": "", "sub/deep/x.js": "", **rules})
    files, skipped = scanned(tmp_path)
    assert files == kept
    assert (SkipReason.IGNORED in skipped) == (len(kept) < 4)


def test_a_pattern_that_is_none_does_not_disable_the_others(tmp_path):
    write_files(tmp_path, {".gitignore": "!\n\\\n*.js\n", "x.py": "", "x.js": ""})
    assert scanned(tmp_path)[0] == ["x.py"]


def test_a_folder_inside_a_git_repository_obeys_the_rules_above_it(tmp_path):
    (tmp_path / ".git").mkdir()
    write_files(tmp_path, {".gitignore": "part/a.py\n", "part/.gitignore": "b.py\n", "part/a.py": "", "part/c.py": ""})
    write_files(tmp_path, {"part/b.py": ""})
    assert scanned(tmp_path / "part")[0] == ["c.py"]


@pytest.mark.parametrize("pattern", ["versions\n", "/versions/*\n", "versions/3.11/lib/\n"])
def test_a_folder_that_is_itself_ignored_is_read_when_it_is_asked_for(tmp_path, pattern):
    (tmp_path / ".git").mkdir()
    write_files(tmp_path, {".gitignore": pattern, "versions/3.11/lib/a.py": "", "versions/3.11/lib/b.py": ""})
    write_files(tmp_path, {"versions/3.11/lib/.gitignore": "b.py\n"})
    assert scanned(tmp_path / "versions" / "3.11" / "lib")[0] == ["a.py"]


def test_a_linked_worktree_obeys_the_main_repository_s_exclude_file(tmp_path):
    write_files(tmp_path, {"main/.git/info/exclude": "*.js\n", "main/.git/worktrees/w/commondir": "../..\n"})
    write_files(tmp_path, {"w/.git": f"gitdir: {tmp_path}/main/.git/worktrees/w\n", "w/x.js": "", "w/x.py": ""})
    assert scanned(tmp_path / "w")[0] == ["x.py"]


@pytest.mark.parametrize("folder", [".git", "node_modules", ".venv", "__pycache__", ".ssh", "deep/node_modules"])
def test_some_folders_are_never_walked_even_when_rules_admit_them(tmp_path, folder):
    write_files(tmp_path, {f"{folder}/x.py": "", ".gitignore": f"!{folder}/\n"})
    assert scanned(tmp_path) == ([], {SkipReason.ALWAYS_SKIPPED_FOLDER: 1, SkipReason.UNKNOWN_LANGUAGE: 1})


def test_a_virtual_environment_is_known_under_any_name(tmp_path):
    write_files(tmp_path, {"py311/pyvenv.cfg": "", "py311/lib/x.py": "", "x.py": ""})
    assert scanned(tmp_path)[0] == ["x.py"]


@pytest.mark.parametrize(
    "name",
    """.env .env.local prod.env server.pem id_rsa id_ed25519.pub credentials Credentials.JSON secrets.yaml .netrc .npmrc
    .pypirc key.p12 terraform.tfvars client_secret_1.json x.KEY""".split(),  # noqa: SIM905
)
def test_files_that_may_hold_secrets_are_never_read(tmp_path, name):
    write_files(tmp_path, {name: "", f"sub/{name}": ""})
    assert scanned(tmp_path) == ([], {SkipReason.SECRET: 2})
    assert Scanner(tmp_path).judge_file(name) is SkipReason.SECRET


@pytest.mark.parametrize("name", ["credentials.py", "secrets.py", "environment.py", "key.go", "token.ts"])
def test_source_code_about_secrets_is_source_code(tmp_path, name):
    write_files(tmp_path, {name: ""})
    assert scanned(tmp_path)[0] == [name]


def test_links_are_never_followed(tmp_path):
    root, outside = tmp_path / "root", tmp_path / "outside"
    write_files(root, {"real.py": "", "sub/x.py": ""})
    write_files(outside, {"secret.py": ""})
    (root / "inside.py").symlink_to("real.py")
    (root / "leaving.py").symlink_to(outside / "secret.py")
    (root / "folder").symlink_to(outside)
    (root / "sub" / "loop").symlink_to("..")
    (root / "self.py").symlink_to("self.py")
    (root / "dangling.py").symlink_to("nowhere.py")
    files, skipped = scanned(root)
    assert files == ["real.py", "sub/x.py"]
    assert skipped == {SkipReason.SYMLINK: 4, SkipReason.SYMLINK_OUT: 2}


def test_a_file_below_a_link_is_not_admitted_one_by_one_either(tmp_path):
    write_files(tmp_path, {"real/x.py": ""})
    (tmp_path / "link").symlink_to("real")
    assert Scanner(tmp_path).judge_file("link/x.py") is SkipReason.SYMLINK


def test_pipes_sockets_large_files_and_lock_files_are_counted(tmp_path, monkeypatch):
    os.mkfifo(tmp_path / "pipe.py")
    monkeypatch.chdir(tmp_path)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("socket.py")
        write_files(tmp_path, {"big.py": "x" * 1_048_577, "poetry.lock": "", "limit.py": "x" * 1_048_576})
        files, skipped = scanned(tmp_path)
    assert files == ["limit.py"]
    assert skipped == {SkipReason.NOT_A_FILE: 2, SkipReason.TOO_LARGE: 1, SkipReason.GENERATED: 1}


def test_names_with_spaces_and_any_letters_are_kept_and_names_that_are_no_text_are_not(tmp_path):
    write_files(tmp_path, {"a b/ü ß.py": "", "日本.py": ""})
    (tmp_path / os.fsdecode(b"bad\xff.py")).write_text("")
    assert scanned(tmp_path) == (["a b/ü ß.py", "日本.py"], {SkipReason.ODD_NAME: 1})


@pytest.mark.parametrize(
    ("path", "answer"),
    [
        ("x.py", ScannedFile),
        ("new/not/there.py", ScannedFile),
        ("ignored/x.py", SkipReason.IGNORED),
        ("node_modules/x.py", SkipReason.ALWAYS_SKIPPED_FOLDER),
        ("x.unknown", SkipReason.UNKNOWN_LANGUAGE),
    ],
)
def test_one_path_is_judged_as_a_scan_would(tmp_path, path, answer):
    write_files(tmp_path, {".gitignore": "ignored/\n", "x.py": "", "ignored/x.py": ""})
    found = Scanner(tmp_path).judge_file(path)
    assert isinstance(found, answer) if isinstance(answer, type) else found is answer


def test_files_beyond_the_limit_are_counted(tmp_path, monkeypatch):
    monkeypatch.setattr("repo_context.scan.MAX_FILES", 2)
    write_files(tmp_path, {f"{number}.py": "" for number in range(5)})
    files, skipped = scanned(tmp_path)
    assert len(files) == 2
    assert Counter(skipped) == {SkipReason.TOO_MANY: 3}


GLOBAL_EXCLUDES = {
    "where git looks by itself": {".config/git/ignore": "mine.py\n"},
    "named in .gitconfig": {".gitconfig": "[core]\n\texcludesFile = ~/own\n", "own": "mine.py\n"},
    "relative to the home": {".gitconfig": '[user]\nname = x\n[core]\nexcludesfile = "own"\n', "own": "mine.py\n"},
    "named in git/config": {".config/git/config": "[core]\n  excludesFile=~/own\n", "own": "mine.py\n"},
    "the last one named counts": {
        ".config/git/config": "[core]\nexcludesFile=~/other\n",
        "other": "kept.py\n",
        ".gitconfig": "[core]\nexcludesFile=~/own\n",
        "own": "mine.py\n",
    },
}


@pytest.mark.parametrize("files", GLOBAL_EXCLUDES.values(), ids=GLOBAL_EXCLUDES)
def test_the_users_own_excludes_hold_in_every_repository(tmp_path, monkeypatch, files):
    home, root = tmp_path / "home", tmp_path / "root"
    write_files(home, {**files, "../root/mine.py": "", "../root/kept.py": "", "../root/.git/HEAD": ""})
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    assert [file.path for file in Scanner(root).scan().files] == ["kept.py"]


def test_a_repository_has_the_last_word_over_the_users_own_excludes(tmp_path, monkeypatch):
    home, root = tmp_path / "home", tmp_path / "root"
    for file, text in {
        home / "own": "a.py\nb.py\n",
        root / ".git" / "config": f"[core]\nexcludesFile = {home / 'own'}\n",
        root / ".gitignore": "!a.py\n",
        root / "a.py": "",
        root / "b.py": "",
    }.items():
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    monkeypatch.setenv("HOME", str(home))
    assert [file.path for file in Scanner(root).scan().files] == ["a.py"]


PIECES = st.sampled_from(["a", "b.py", "*", "**", "*.py", "?", "[ab]", "[!a]", "a b", "(b", "$", "\\#", "é"])
PATTERNS = st.lists(
    st.tuples(
        st.sampled_from(["", "!", "/", "!/"]), st.lists(PIECES, min_size=1, max_size=3), st.sampled_from(["", "/"])
    )
)


@settings(max_examples=400)
@example(patterns=[("", ["*"], "/")], path=["a"], end="/")
@example(patterns=[("", ["a"], ""), ("", ["**"], "")], path=["b.py", "c.py"], end="")
@given(
    patterns=PATTERNS,
    path=st.lists(st.sampled_from(["a", "b.py", "c.py", "a b", "(b", "$", "#", "é", "x\ny"]), min_size=1, max_size=4),
    end=st.sampled_from(["", "/"]),
)
def test_rules_answer_what_each_pattern_asked_alone_answers(tmp_path_factory, patterns, path, end):
    lines = [f"{start}{'/'.join(pieces)}{last}" for start, pieces, last in patterns]
    file = tmp_path_factory.getbasetemp() / "rules"
    file.write_text("\n".join(lines), encoding="utf-8")
    asked = "/".join(path) + end
    spec = _spec(lines)
    answers = [rules.ignores(asked) for rules in _read_rules(file, "", "")]
    assert answers == ([spec.check_file(asked).include] if spec else [])
