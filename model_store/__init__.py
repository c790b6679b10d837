"""Models: how a car becomes numbers, how a forest is trained, stored, checked and chosen."""
