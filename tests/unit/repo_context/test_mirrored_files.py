import pytest

from repo_context.mirrored_files import is_test_file, mirrors_of


@pytest.mark.parametrize(
    ("test", "tested"),
    [
        ("tests/test_cart.py", "shop/cart.py"),
        ("shop/cart_test.py", "shop/cart.py"),
        ("src/cart.test.ts", "src/cart.ts"),
        ("src/cart.spec.tsx", "src/cart.ts"),
        ("src/test/shop/CartTest.java", "src/main/shop/Cart.java"),
        ("src/test/shop/CartTests.kt", "src/main/shop/Cart.kt"),
        ("test/CartTests.cs", "src/Cart.cs"),
        ("shop/cart_test.go", "shop/cart.go"),
        ("spec/shop/cart_spec.rb", "lib/shop/cart.rb"),
        ("tests/CartTest.php", "src/Cart.php"),
        ("tests/cart_test.cpp", "src/cart.cc"),
    ],
)
def test_a_test_and_what_it_tests_find_each_other_by_name(test, tested):
    by_name = {path.rpartition("/")[2]: [path] for path in (test, tested)}
    assert mirrors_of(test, by_name) == [tested]
    assert mirrors_of(tested, by_name) == [test]
    assert (is_test_file(test), is_test_file(tested)) == (True, False)


@pytest.mark.parametrize("path", ["latest.py", "Contest.java", "protest.go", "test.py", "attest/spec.rb", "a.b.ts"])
def test_other_names_are_no_tests(path):
    assert not is_test_file(path)


def test_the_file_in_the_most_alike_folders_comes_first():
    paths = ["a/shop/cart.py", "b/shop/cart.py", "b/cart.py"]
    assert mirrors_of("b/shop/tests/test_cart.py", {"cart.py": paths}) == ["b/shop/cart.py", "a/shop/cart.py"]
