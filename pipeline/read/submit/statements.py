"""Several SQL statements in one text."""

from __future__ import annotations

from sqlglot import TokenError, TokenType, tokenize


def split_statements(text: str) -> list[str]:
    """The statements of a text, in order, without the semicolons between them.

    Semicolons in strings, quoted names and comments separate nothing. Parts without a statement, such as a lone
    comment, are left out. A text that cannot be cut is one statement: Spark's own parser says what is wrong with it.
    """
    try:
        tokens = tokenize(text, read="spark")
    except TokenError:
        return [text.strip()]
    found: list[str] = []
    begin, is_empty = 0, True
    for token in tokens:
        if token.token_type is not TokenType.SEMICOLON:
            is_empty = False
            continue
        if not is_empty:
            found.append(text[begin : token.start].strip())
        begin, is_empty = token.end + 1, True
    if not is_empty:
        found.append(text[begin:].strip())
    return found
