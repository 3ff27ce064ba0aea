"""Golden files of Go and of scripting languages against their own tools; skipped where a tool is missing."""

import json
import os
import re
from pathlib import Path

from tests.support.import_samples import graph_of, sample
from tests.support.native_tools import edges_below, needs, our_edges, run


@needs("go")
def test_go_packages_are_those_of_go_list(tmp_path):
    go = sample("go")
    go.write(tmp_path)
    offline = {**os.environ, "GOPROXY": "off", "GOFLAGS": "-mod=mod", "GOCACHE": str(tmp_path / "cache")}
    answer = run("go", "list", "-json", "./...", "example.org/units", cwd=tmp_path, env=offline)
    assert answer.returncode == 0, answer.stderr
    packages = [json.loads(text) for text in re.findall(r"^\{.*?^\}", answer.stdout, re.MULTILINE | re.DOTALL)]
    folder_of = {item["ImportPath"]: str(Path(item["Dir"]).relative_to(tmp_path)) for item in packages}
    files_in = {folder_of[item["ImportPath"]]: item["GoFiles"] for item in packages}
    theirs = {
        (folder_of[item["ImportPath"]], str(Path(folder_of[name]) / file))
        for item in packages
        for name in item.get("Imports", ())
        if name in folder_of
        for file in files_in[folder_of[name]]
    }
    ours = {(str(Path(source).parent), target) for source, target in our_edges(go.files, ".go")}
    assert {(folder, target) for folder, target in ours if str(Path(target).parent) != folder} == theirs
    built = run("go", "vet", "./...", cwd=tmp_path, env=offline)
    assert built.returncode == 0, built.stderr


RUBY_HOOK = """
$edges = []
def found(name)
  $LOAD_PATH.map { |folder| File.join(folder, name) }.flat_map { |path| [path, path + ".rb"] }
    .find { |path| File.file?(path) } || File.expand_path(name)
end
def note(from, to) = $edges << [from.absolute_path, to]
module Kernel
  alias_method :plain_require, :require
  alias_method :plain_relative, :require_relative
  alias_method :plain_load, :load
  def require(name)
    note(caller_locations(1, 1)[0], found(name))
    plain_require(name)
  end
  def require_relative(name)
    path = File.expand_path(name + ".rb", File.dirname(caller_locations(1, 1)[0].absolute_path))
    note(caller_locations(1, 1)[0], path)
    plain_require(path)
  end
  def load(name)
    note(caller_locations(1, 1)[0], found(name))
    plain_load(name)
  end
end
class Module
  alias_method :plain_autoload, :autoload
  def autoload(name, path)
    note(caller_locations(1, 1)[0], found(path))
    plain_autoload(name, path)
  end
end
plain_load "test/tree_test.rb"
Forest::Tree.of.grow(1)
puts $edges.uniq.map { |pair| pair.join("\t") }
"""


@needs("ruby")
def test_ruby_requires_are_those_of_the_interpreter(tmp_path):
    ruby = sample("ruby")
    ruby.write(tmp_path)
    answer = run("ruby", "-Ilib", "-Itest", "-e", RUBY_HOOK, cwd=tmp_path)
    assert answer.returncode == 0, answer.stderr
    theirs = edges_below(tmp_path, answer.stdout)
    graph = graph_of(ruby.files)
    ours = {(path, item.target) for path in ruby.files for item in graph.imports_of(path) if not item.statement.names}
    # The interpreter looks an autoloaded file up where its constant is used first.
    autoloaded = {("lib/forest/tree.rb", "lib/forest/soil.rb")}
    assert ours == theirs - autoloaded
    assert autoloaded <= our_edges(ruby.files, ".rb")


PHP_HOOK = r"""<?php
$edges = [];
$roots = [];
foreach (json_decode(file_get_contents("composer.json"), true) as $key => $part) {
    if (str_starts_with($key, "autoload")) $roots += $part["psr-4"];
}
uksort($roots, fn($one, $other) => strlen($other) - strlen($one));
spl_autoload_register(function ($class) use ($roots, &$edges) {
    $files = array_column(debug_backtrace(), "file");
    foreach ($roots as $prefix => $folders) {
        foreach (str_starts_with($class, $prefix) ? (array) $folders : [] as $folder) {
            $name = str_replace("\\", "/", substr($class, strlen($prefix))) . ".php";
            $file = getcwd() . "/" . rtrim($folder, "/") . "/$name";
            if (is_file($file)) {
                $edges[] = "$files[0]\t$file";
                require $file;
                return;
            }
        }
    }
});
$index = getcwd() . "/public/index.php";
ob_start();
try { require "public/index.php"; } catch (Error) {}
foreach (["src/Util/functions.php", "public/bootstrap.php"] as $file) {
    if (in_array(getcwd() . "/$file", get_included_files())) $edges[] = "$index\t" . getcwd() . "/$file";
}
(new Forest\Tests\TreeTest())->testGrow();
(new Forest\Tree())->grow(1);
$edges[] = getcwd() . "/src/Tree.php\t" . (new ReflectionFunction("Forest\Util\metres"))->getFileName();
ob_end_clean();
echo implode("\n", array_unique($edges));
"""
"""`echo new Tree()` ends in an error, after the class was loaded; that is all that is asked here."""


@needs("php")
def test_php_classes_are_loaded_from_the_files_that_are_edges(tmp_path):
    php = sample("php")
    php.write(tmp_path)
    for path in tmp_path.rglob("*.php"):
        # What stands before `<?php` is output, and no namespace may come after it.
        path.write_text(path.read_text().lstrip())
    answer = run("php", "-r", PHP_HOOK.removeprefix("<?php"), cwd=tmp_path)
    assert answer.returncode == 0, answer.stdout + answer.stderr
    for_types_alone = {("src/Tree.php", "ground/src/Soil.php"), ("ground/src/Soil.php", "ground/src/Kind.php")}
    # The class is loaded already when the test is run.
    loaded_before = {("tests/TreeTest.php", "src/Tree.php")}
    assert our_edges(php.files, ".php") - for_types_alone - loaded_before == edges_below(tmp_path, answer.stdout)


LUA_HOOK = """
package.path = "lua/?.lua;lua/?/init.lua"
package.preload["cjson"] = function() return {} end
local plain = require
function require(name)
  local from = debug.getinfo(2, "S").source:sub(2)
  local path = package.searchpath(name, package.path)
  if path then print(from .. "\t" .. path) end
  return plain(name)
end
dofile("plugin/forest.lua")
"""


@needs("lua5.4")
def test_lua_modules_are_those_of_the_interpreter(tmp_path):
    lua = sample("lua")
    lua.write(tmp_path)
    answer = run("lua5.4", "-e", LUA_HOOK, cwd=tmp_path)
    assert answer.returncode == 0, answer.stderr
    assert our_edges(lua.files, ".lua") == {tuple(line.split("\t")) for line in answer.stdout.splitlines()}
