"""Tables of features of any kind: their columns, how they become numbers, and operations on them."""
