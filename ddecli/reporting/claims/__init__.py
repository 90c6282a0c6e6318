"""The claims of the DDE paper, and the rules by which results decide them."""
