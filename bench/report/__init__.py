"""From rows to tables, a plot, and the pages that show them."""
