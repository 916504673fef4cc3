import ast

from gradiometer.curing.trials.rewriting import Edit, Source, bound_modules, names_in


def first_call(source: Source) -> ast.Call:
    return next(node for node in ast.walk(source.tree) if isinstance(node, ast.Call))


def test_counts_columns_in_bytes_as_syntax_trees_do() -> None:
    source = Source("größe = 'ä'; x = f(1)  # ö\n")
    assert source.edited([source.replacing(first_call(source), "g(2)")]) == "größe = 'ä'; x = g(2)  # ö\n"


def test_replaces_what_stands_on_several_lines() -> None:
    source = Source("x = f(\n    1,\n)\ny = 2\n")
    assert source.edited([source.replacing(first_call(source), "g()")]) == "x = g()\ny = 2\n"


def test_makes_edits_of_one_place_in_their_order() -> None:
    source = Source("x = 1\n")
    assert source.edited([Edit((0, 0), (0, 0), "a"), Edit((0, 0), (0, 0), "b")]) == "abx = 1\n"


def test_puts_lines_around_a_statement_with_its_indentation() -> None:
    source = Source("def f():\n    x = 1  # one\n    return x\n")
    statement = source.tree.body[0].body[0]  # type: ignore[attr-defined]
    edited = source.edited(source.around(statement, ["before()"], ["after()"]))
    assert edited == "def f():\n    before()\n    x = 1  # one\n    after()\n    return x\n"


def test_keeps_to_the_line_where_statements_share_one() -> None:
    source = Source("if a: x = 1; y = 2\n")
    statement = source.tree.body[0].body[0]  # type: ignore[attr-defined]
    edited = source.edited(source.around(statement, ["before()"], ["after()"]))
    assert edited == "if a: before(); x = 1; after(); y = 2\n"


def test_adds_text_behind_the_imports_that_a_script_begins_with() -> None:
    source = Source('"""Doc."""\nimport a\nfrom b import c\n\nx = 1\nimport d\n')
    edited = source.edited([source.behind_imports("NEW\n")])
    assert edited == '"""Doc."""\nimport a\nfrom b import c\nNEW\n\nx = 1\nimport d\n'
    assert Source("x = 1\n").edited([Source("x = 1\n").behind_imports("\nNEW\n")]).startswith("NEW\n")


def test_ends_a_last_line_without_a_line_break() -> None:
    source = Source("import a")
    assert ast.parse(source.edited([source.behind_imports("\n\nx = 1\n")]))


def test_knows_what_imported_names_stand_for() -> None:
    tree = ast.parse(
        "import torch.nn.functional as F\nimport torch.optim\nfrom torch import nn as n\nfrom . import y\n"
    )
    assert bound_modules(tree) == {"F": "torch.nn.functional", "torch": "torch", "n": "torch.nn"}


def test_tells_names_that_are_assigned_from_names_that_are_read() -> None:
    code = "def f():\n    model = optimizer\n"
    assert names_in(code) == {"f", "model", "optimizer"}
    assert names_in(code, is_stored=True) == {"model"}
