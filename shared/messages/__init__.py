"""The texts of every problem: English, translated by `shared.i18n.catalogue`."""
