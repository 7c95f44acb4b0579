"""Parts of messages, and what messages say about the tables that ship."""

from skuae._messages import such_rows
from skuae.embedding import get_table


def test_a_single_row_is_not_counted():
    assert [such_rows(n) for n in (0, 1, 2, 1234)] == [
        "",
        "",
        " (2 such rows)",
        " (1,234 such rows)",
    ]


def test_tables_that_messages_recommend_have_the_elements():
    assert get_table("ct-uae-mt").symbols[-1] == "Bk" and get_table("ct-uae-mt").seen[:97].all()
    assert get_table("mat2vec").seen.all()
