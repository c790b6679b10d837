"""From a car to its price, its interval and its outlook."""
