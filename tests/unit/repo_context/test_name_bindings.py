from hypothesis import given
from hypothesis import strategies as st

from repo_context.import_graph import ResolvedImport
from repo_context.name_bindings import bindings_of, bindings_of_name
from repo_context.syntax import Import, ImportedName

NAMES = st.sampled_from(["cart", "Cart", "shop", "item"])
STATEMENTS = st.builds(
    Import,
    module=st.sampled_from(["shop", "shop.cart", "./cart", "cart.h", "shop::cart"]),
    names=st.lists(st.builds(ImportedName, NAMES, NAMES), max_size=3).map(tuple),
    alias=st.just("") | NAMES,
    wildcard=st.booleans(),
    line=st.just(0),
)
TARGETS = st.sampled_from(["shop/cart.py", "shop/__init__.py", "shop/Cart.java", "shop/cart.go", "cart.h"])
RESOLVED = st.lists(st.builds(ResolvedImport, target=TARGETS, statement=STATEMENTS), max_size=6)


@given(RESOLVED, NAMES)
def test_the_bindings_of_one_name_are_those_among_all(resolved, name):
    assert bindings_of_name(resolved, name) == bindings_of(resolved).get(name, [])
