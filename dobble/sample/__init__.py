"""From symbols to rendered photos of cards and tables, labelled as Labelbox would export them."""
